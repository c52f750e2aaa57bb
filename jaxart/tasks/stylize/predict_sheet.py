"""What a sheet will need: how many pictures fit in memory at once, and how long they take."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxart.arrays import Key
from jaxart.tasks.stylize.choose import memory_limit
from jaxart.tasks.stylize.job import Stylization, scale_of
from jaxart.tasks.stylize.needs import state_bytes, step_bytes
from jaxart.tasks.stylize.predict import forecast, program_overhead, step_seconds
from jaxart.tasks.stylize.sheet import check_alike, group_sizes


class SheetPlan(NamedTuple):
    """Prediction for a sheet: pictures in a ``group``, how many ``groups``, ``bytes`` of peak memory, ``seconds`` in all."""

    group: int
    groups: int
    bytes: int
    seconds: float


def plan_sheet(jobs: Sequence[Stylization], *, key: Key, max_memory: int | None = None) -> SheetPlan:
    """Find how many pictures of a sheet fit in memory at once, halving until they do, and predict memory and time as `plan` does.

    Args:
        jobs: as in `run_sheet`.
        key: typed key.
        max_memory: as in `choose_memory_modes`.

    Raises:
        ValueError: not even one fits; the message tells what it needs. Also as `run_sheet`.
    """
    check_alike(jobs)
    job, limit, most, told = jobs[0], memory_limit(max_memory), len(jobs), forecast(jobs[0], key)
    last = scale_of(job, len(job.sizes) - 1)
    while True:
        groups, group = group_sizes(len(jobs), most)
        waiting = (groups - 1) * group * state_bytes(last)
        needed = told.resident + program_overhead(last.index) + step_bytes(last, pictures=group) + waiting
        if limit is None or needed <= limit:
            break
        if group == 1:
            height, width = last.size
            raise ValueError(
                f"one picture of {width} x {height} needs {needed / 2**30:.2f} GiB, but {limit / 2**30:.2f} GiB may be used: "
                "allow that much, or choose a smaller size."
            )
        most = group // 2
    scales = (scale_of(job, index) for index in range(len(job.sizes)))
    seconds = sum(each.steps * step_seconds(told, each) for each in scales)
    return SheetPlan(group, groups, needed, groups * group * seconds)
