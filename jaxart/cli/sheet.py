"""The command sheet."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.job import read_init
from jaxart.cli.options import Colors, Features, Init, StyleLoss, StyleScale, look, running
from jaxart.cli.progress import Bar, scales_hook
from jaxart.cli.terminal import MemorySize, format_duration, format_size, interruptible, messages, say, table
from jaxart.cli.weights import load_weights

if TYPE_CHECKING:
    import numpy as np

    from jaxart.tasks.stylize import Stylization

_MOST = 100  # pictures on a sheet
_FACTORS = (0.3, 1, 3)  # of the usual content weight, where none were given
_GAP = 6  # pixels between pictures
_REMEDY = "Try lower --content-weights or another --style-loss."

_pictures = Group("The pictures", sort_key=1)

Painting = Annotated[Path, Parameter(help="Paintings, a row of the sheet for each.")]


@dataclass(frozen=True)
class Options:
    """Everything but the files."""

    content_weights: Annotated[
        tuple[float, ...] | None,
        Parameter(
            group=look,
            consume_multiple=True,
            help="A column for each: strength of the photograph; lower is more painterly. [vgg16: 0.003 0.01 0.03]",
        ),
    ] = None
    size: Annotated[int, Parameter(group=_pictures, help="Long side of each picture in pixels.")] = 256
    min_size: Annotated[int, Parameter(group=_pictures, help="Long side of the first, coarsest scale.")] = 128
    steps: Annotated[
        int, Parameter(group=_pictures, help="Steps per scale; the first, cheapest scale takes twice as many.")
    ] = 60
    columns: Annotated[
        int | None, Parameter(group=_pictures, help="Pictures in a row. [one for each content weight]")
    ] = None
    each: Annotated[Path | None, Parameter(group=_pictures, help="A folder for the single pictures too.")] = None
    features: Features = "vgg16"
    style_loss: StyleLoss = "wasserstein"
    style_scale: StyleScale = 1.0
    colors: Colors = "style"
    init: Init = "content"
    seed: Annotated[int, Parameter(group=look, help="Of the noise in --init, the same in all pictures.")] = 0
    max_memory: Annotated[
        MemorySize | None,
        Parameter(
            group=running,
            help="Memory that may be used: 1.5GiB, 1500MB, or a number in GiB. Pictures that do not fit at once take turns. [what is free]",
        ),
    ] = None


def sheet(
    content: Annotated[Path, Parameter(help="The photograph.")],
    style: Painting,
    /,
    *styles: Painting,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], group=_pictures, help="The sheet: .png .jpg .webp .tif.")
    ],
    options: Annotated[Options, Parameter(name="*")] = Options(),
) -> int:
    """Try a photograph in many styles and strengths: a row for each painting, a column for each content weight.

    All pictures are made together, as one program. Make the one you like large with `jaxart stylize`, its painting and its
    `--content-weight`. Ctrl-C writes the sheet as it stands.

    Example: `jaxart sheet harbor.jpg monet.jpg hokusai.jpg klee.jpg -o sheet.png --content-weights 0.003 0.01 0.03`
    """
    from jaxart.tasks import stylize as task

    paths = (style, *styles)
    _check(len(paths) * len(options.content_weights or _FACTORS), output, options)
    job, paintings = _job(content, paths, options)
    weights = options.content_weights or [factor * float(job.loss_weights["content"]) for factor in _FACTORS]
    names = [f"{path.stem} {weight:.3g}" for path in paths for weight in weights]
    columns = options.columns or len(weights)
    write = functools.partial(_write, output=output, each=options.each, names=names, columns=columns)
    return _run(task.variations(job, paintings, weights), options, write, output)


def _check(count: int, output: Path, options: Options) -> None:
    """Find out before any work what would spoil it."""
    from jaxart import io

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


def _job(content: Path, paths: Sequence[Path], options: Options) -> "tuple[Stylization, list[np.ndarray]]":
    """Return the stylization of the first painting, and all paintings."""
    from jaxart import io, losses
    from jaxart.tasks import stylize as task

    photograph, paintings = io.read(content), [io.read(path) for path in paths]
    keep_compiled_programs()
    job = task.prepare(
        photograph,
        paintings[0],
        variables=load_weights(options.features),
        size=options.size,
        min_size=options.min_size,
        steps=options.steps,
        style_loss=losses.STYLE_LOSSES[options.style_loss],
        style_scale=options.style_scale,
        colors=options.colors,
        init=read_init(options.init),
    )
    return job, paintings


def _run(jobs: "Sequence[Stylization]", options: Options, write: Callable[..., None], output: Path) -> int:
    import jax

    from jaxart.tasks import stylize as task
    from jaxart.tasks.stylize import NotFiniteSheetError

    key, job = jax.random.key(options.seed), jobs[0]
    plan = task.plan_sheet(jobs, key=key, max_memory=options.max_memory)
    height, width = job.result_size
    together = "together" if plan.groups == 1 else f"{plan.group} at a time, as more do not fit in memory"
    needs = f"about {format_duration(plan.seconds)}, {format_size(plan.bytes)}"
    say(f"{len(jobs)} pictures of {width} x {height}, {together}: {needs}")
    costs = [task.step_work(job, index) + task.FIXED_PIXELS for index in range(len(job.sizes))]
    with Bar() as bar, interruptible() as interrupted:
        try:
            report = scales_hook(bar, costs)
            pictures = task.run_sheet(jobs, key=key, group=plan.group, on_step=report, stop=interrupted)
        except NotFiniteSheetError as error:
            write(error.pictures)
            raise ValueError(f"{error} The last good pictures are in {output}. {_REMEDY}") from error
    write(pictures)
    if interrupted():
        say(f"Interrupted: {output} holds the pictures as they stood.")
        return 130
    say(f"{output}: {len(jobs)} pictures, {format_duration(bar.seconds)}")
    return 0


def _write(pictures: "np.ndarray", *, output: Path, each: Path | None, names: Sequence[str], columns: int) -> None:
    """Write the sheet, the single pictures if wanted, and say which is which."""
    from jaxart import io

    io.write(output, io.grid(pictures, columns=columns, gap=_GAP))
    rows = [names[begin : begin + columns] for begin in range(0, len(names), columns)]
    messages().print(table(rows, title="style, content weight", lines=True))
    if each is not None:
        for number, (picture, name) in enumerate(zip(pictures, names, strict=True), 1):
            io.write(each / f"{number:02d} {name}{output.suffix}".replace(" ", "-"), picture)
