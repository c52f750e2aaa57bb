"""What a stylisation will need, told before it starts, from the very programs that it will run."""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart import memory
from jaxart.arrays import Key
from jaxart.tasks.stylize.run import Stylization, scale_recipe, scale_step
from jaxart.training import Recipe, compile_steps, one_blas_thread

# Resident memory beside what the compiler accounts for: thread stacks, the allocator's slack, copies of the picture (docs/performance.md).
_SCRATCH, _SLACK = 80 << 20, 0.05


class ScalePlan(NamedTuple):
    """Prediction for one scale: ``size`` (height, width), ``steps``, ``bytes`` of peak resident memory, ``step_seconds``, None if not probed."""

    size: tuple[int, int]
    steps: int
    bytes: int
    step_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """Return the time of all steps of this scale."""
        return None if self.step_seconds is None else self.steps * self.step_seconds


def plan(job: Stylization, *, key: Key, probe: int = 2) -> list[ScalePlan]:
    """Predict peak memory and time of each scale.

    The program of every scale is compiled, as `run` would do it, and its memory read off; a run that follows finds it compiled. Steps are
    timed at the smallest scales and extrapolated by the number of pixels to the others.

    Args:
        job: from `prepare`.
        key: typed key.
        probe: how many of the smallest scales to time; 0 for none.

    Returns:
        One `ScalePlan` a scale. Memory is that of the whole process; on an accelerator, that of the device.
    """
    base = _base_memory(job)
    rows, timed = [], []
    for index, (size, steps) in enumerate(zip(job.sizes, job.steps, strict=True)):
        recipe, state = _shapes(job, index, key)
        program = compile_steps(recipe, key=key, state=state)
        if index < probe:
            timed.append((size[0] * size[1], _time_step(job, index, key)))
        rows.append(ScalePlan(size, steps, base + _needed(program), _extrapolated(timed, size[0] * size[1])))
    return rows


def _shapes(job: Stylization, index: int, key: Key):
    """Return the recipe and the state of a scale with shapes in place of arrays."""

    def build(key):
        recipe = scale_recipe(job, index)
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    return Recipe(lambda key: state, scale_step(job), frozen), state


def _base_memory(job: Stylization) -> int:
    on_host = jax.devices()[0].platform == "cpu"
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(job.variables))
    return memory.resident() - held if on_host else 0


def _needed(program: jax.stages.Compiled) -> int:
    sizes = program.memory_analysis()
    known = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return _SCRATCH + int(known * (1 + _SLACK))


def _time_step(job: Stylization, index: int, key: Key) -> float:
    recipe = scale_recipe(job, index)
    state = recipe.init(key)
    program = compile_steps(recipe, key=key, state=state)
    times = []
    for until in (1, 2, 3):
        begin = time.perf_counter()
        with one_blas_thread():
            state, _, finite = program(key, state, None, recipe.frozen, jnp.int32(until))
            jax.block_until_ready(finite)
        times.append(time.perf_counter() - begin)
    return min(times)


def _extrapolated(timed: list[tuple[int, float]], pixels: int) -> float | None:
    """Continue the line through the two last timings: a fixed cost and a cost per pixel."""
    if not timed:
        return None
    if len(timed) == 1:
        return timed[0][1] * pixels / timed[0][0]
    (small, quick), (large, slow) = timed[-2:]
    per_pixel = max((slow - quick) / (large - small), 0.5 * slow / large)
    return slow + per_pixel * (pixels - large)
