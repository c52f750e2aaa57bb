"""What a sheet will need: how many pictures fit in memory at once, and how long they take."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from jaxart.arrays import Key
from jaxart.tasks.stylize.choose import memory_limit
from jaxart.tasks.stylize.job import Stylization, scale_of
from jaxart.tasks.stylize.predict import (
    PROGRAM,
    extrapolated,
    of_same_shapes,
    program_needs,
    resident_bytes,
    scale_work,
    timed_step,
    tree_bytes,
)
from jaxart.tasks.stylize.sheet import group_sizes, sheet_recipe, sheet_step
from jaxart.training import Recipe


class SheetPlan(NamedTuple):
    """Prediction for a sheet: pictures in a ``group``, how many ``groups``, ``bytes`` of peak memory, ``seconds`` in all."""

    group: int
    groups: int
    bytes: int
    seconds: float


def plan_sheet(jobs: Sequence[Stylization], *, key: Key, max_memory: int | None = None) -> SheetPlan:
    """Find how many pictures of a sheet fit in memory at once, halving until they do, and predict memory and time.

    Args:
        jobs: as in `run_sheet`.
        key: typed key.
        max_memory: as in `choose_memory_modes`.

    Raises:
        ValueError: not even one fits; the message tells what it needs.
    """
    job, limit, most = jobs[0], memory_limit(max_memory), len(jobs)
    while True:
        groups, group = group_sizes(len(jobs), most)
        needed = _needed_together(jobs[:group], key, groups) + resident_bytes(job) + (len(job.sizes) - 1) * PROGRAM
        if limit is None or needed <= limit:
            break
        if group == 1:
            height, width = job.sizes[-1]
            raise ValueError(
                f"one picture of {width} x {height} needs {needed / 2**30:.2f} GiB, but {limit / 2**30:.2f} GiB may be used: "
                "allow that much, or choose a smaller size."
            )
        most = group // 2
    timed = [(scale_work(scale_of(job, 0)), timed_step(sheet_recipe(jobs[:group], 0), key))]
    seconds = sum(
        steps * extrapolated(timed, scale_work(scale_of(job, index))) for index, steps in enumerate(job.steps)
    )
    return SheetPlan(group, groups, needed, groups * seconds)


def _needed_together(jobs: Sequence[Stylization], key: Key, groups: int) -> int:
    """Return what the program of a group takes at the largest scale, and the states of the other groups, which wait."""
    last = len(jobs[0].sizes) - 1

    def build(key):
        recipe = sheet_recipe([of_same_shapes(job) for job in jobs], last)
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    recipe = Recipe(lambda key: state, sheet_step(jobs, last), frozen, short_run=True)
    return program_needs(recipe, state, jobs[0], key) + (groups - 1) * tree_bytes(state)
