"""The command plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.job import DEFAULTS, Options, in_memory_modes, job_maker
from jaxart.cli.options import Content, Style
from jaxart.cli.terminal import format_duration, format_size, show, table

if TYPE_CHECKING:
    from rich.table import Table

    from jaxart.tasks.stylize import ModePlan, ScalePlan


def plan(
    content: Content,
    style: Style,
    /,
    *styles: Style,
    options: Annotated[Options, Parameter(name="*")] = DEFAULTS,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], show=False, help="Ignored, so that a stylize line can be planned as it stands."
        ),
    ] = None,
) -> int:
    """Predict memory and time of the same `stylize` line, in a few seconds: nothing is compiled for it."""
    import jax

    from jaxart import io
    from jaxart.tasks import stylize as task

    del output
    keep_compiled_programs()
    pictures = io.pictures_in(content) if content.is_dir() else [content]
    job = job_maker((style, *styles), options)(io.read_picture(pictures[0]))
    key, limit = jax.random.key(options.seed), task.memory_limit(options.max_memory)
    job = in_memory_modes(job, key, options, limit)
    rows = task.plan(job, key=key)
    show(_scales_table(rows))
    most = format_size(max(row.bytes for row in rows)) + ("" if limit is None else f" of {format_size(limit)}")
    show(f"together {format_duration(sum(row.seconds for row in rows))}, at most {most}")
    show(_modes_table(task.compare_memory_modes(job, key=key, max_memory=limit)))
    if content.is_dir():
        show(f"for {pictures[0].name}, the first of {len(pictures)} pictures")
    return 0


def _scales_table(scales: "list[ScalePlan]") -> "Table":
    rows = (
        (
            str(number),
            f"{each.size[1]} x {each.size[0]}",
            str(each.steps),
            f"{each.step_seconds:.2f}",
            format_duration(each.seconds),
            format_size(each.bytes),
            each.memory_mode.name,
        )
        for number, each in enumerate(scales, 1)
    )
    return table(rows, columns=("scale", "size", "steps", "s/step", "time", "peak memory", "memory mode"))


def _modes_table(modes: "list[ModePlan]") -> "Table":
    rows = (
        (
            each.memory_mode.name,
            f"{each.step_seconds:.2f}",
            format_size(each.bytes),
            "unknown" if each.largest is None else f"{each.largest[1]} x {each.largest[0]}",
        )
        for each in modes
    )
    return table(rows, columns=("memory mode at the largest scale", "s/step", "peak memory", "largest size that fits"))
