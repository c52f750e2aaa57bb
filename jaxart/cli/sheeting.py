"""What the command sheet does."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from jaxart import io, weights
from jaxart.cli.progress import Reporter, duration, interruptible, keep_compiled_programs
from jaxart.cli.sheet import Options
from jaxart.cli.stylizing import on_white
from jaxart.tasks import stylize as task

_MOST = 100  # pictures on a sheet
_FACTORS = (0.3, 1, 3)  # of the usual content weight, where none were given
_GAP = 6  # pixels between pictures


def sheet(content: Path, styles: Sequence[Path], output: Path, options: Options) -> int:
    """Make a contact sheet; return the exit code."""
    _check(len(styles) * len(options.content_weights or _FACTORS), output, options)
    photograph, paintings = on_white(io.read_picture(content)), [io.read(style) for style in styles]
    keep_compiled_programs()
    job = task.prepare(
        photograph,
        paintings[0],
        variables=jax.device_put(weights.load(options.features)),
        size=options.size,
        min_size=options.min_size,
        steps=options.steps,
        style_scale=options.style_scale,
        colors=options.colors,
        init=options.init,
    )
    strengths = options.content_weights or [factor * float(job.loss_weights["content"]) for factor in _FACTORS]
    jobs = task.variations(job, paintings, strengths)
    names = [f"{style.stem} {strength:.3g}" for style in styles for strength in strengths]
    columns = options.columns or len(strengths)
    write = functools.partial(_write, output=output, each=options.each, names=names, columns=columns)
    return _run(jobs, options, write, output)


def _check(count: int, output: Path, options: Options) -> None:
    """Find out before any work what would spoil it."""
    io.check_writable(output)
    if options.columns is not None and options.columns < 1:
        raise ValueError(f"--columns: expected at least 1, got {options.columns}.")
    if count > _MOST:
        raise ValueError(
            f"a sheet of {count} pictures: expected at most {_MOST}; give fewer styles or content weights."
        )
    if options.each is not None:
        if options.each.exists() and not options.each.is_dir():
            raise ValueError(f"--each: {options.each} is a file, expected a folder.")
        options.each.mkdir(parents=True, exist_ok=True)


def _run(jobs: Sequence[task.Stylization], options: Options, write: Callable[..., None], output: Path) -> int:
    key, most = jax.random.key(options.seed), options.max_memory
    console = Console(stderr=True)
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    plan = task.plan_sheet(jobs, key=key, max_memory=None if most is None else int(most * 2**30))
    height, width = jobs[0].result_size
    together = "together" if plan.groups == 1 else f"{plan.group} at a time, as more do not fit in memory"
    say(
        f"{len(jobs)} pictures of {width} x {height}, {together}: about {duration(plan.seconds)}, {plan.bytes / 2**20:.0f} MiB"
    )
    everything = jobs[0]._replace(steps=tuple(plan.groups * steps for steps in jobs[0].steps))
    with Reporter(console, everything, None, None) as report, interruptible() as interrupted:
        try:
            pictures = task.run_sheet(jobs, key=key, group=plan.group, on_step=report, stop=interrupted)
        except task.NotFiniteSheetError as error:
            write(error.pictures, console=console)
            raise ValueError(f"{error} The last good pictures are in {output}.") from error
    write(pictures, console=console)
    if interrupted():
        say(f"Interrupted: {output} holds the pictures as they stood.")
        return 130
    say(f"{output}: {len(jobs)} pictures, {duration(report.seconds)}")
    return 0


def _write(
    pictures: np.ndarray, *, output: Path, each: Path | None, names: Sequence[str], columns: int, console: Console
) -> None:
    """Write the sheet, the single pictures if wanted, and say which is which."""
    io.write(output, io.grid(pictures, columns=columns, gap=_GAP))
    table = Table(show_header=False, show_lines=True, title="style, content weight")
    for begin in range(0, len(names), columns):
        table.add_row(*names[begin : begin + columns])
    console.print(table)
    if each is not None:
        for number, (picture, name) in enumerate(zip(pictures, names, strict=True), 1):
            io.write(each / f"{number:02d} {name}{output.suffix}".replace(" ", "-"), picture)
