"""What a stylisation will need, told before it starts, from the very programs that it will run."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.tasks.stylize.prepare import Stylization
from jaxart.tasks.stylize.run import scale_recipe, scale_step
from jaxart.training import Limits, Recipe, compile_steps, one_blas_thread

_SCRATCH, _SLACK = 100 << 20, 1.03  # beside what the compiler accounts for; measured by benchmarks/memory.py


# What a step costs beside its pixels, the roots of covariances above all, expressed in pixels.
FIXED_PIXELS = 15_000


class ScalePlan(NamedTuple):
    """Prediction for one scale: ``size`` (height, width), ``steps``, ``bytes`` of peak resident memory, ``step_seconds``."""

    size: tuple[int, int]
    steps: int
    bytes: int
    step_seconds: float

    @property
    def seconds(self) -> float:
        """Return the time of all steps of this scale."""
        return self.steps * self.step_seconds


def plan(job: Stylization, *, key: Key, probe: int = 2) -> list[ScalePlan]:
    """Predict peak memory and time of each scale.

    The program of every scale is compiled, as `run` would do it, and its memory read off; a run that follows finds it compiled. Steps are
    timed at the smallest scales and extrapolated by the number of pixels to the others.

    Args:
        job: from `prepare`.
        key: typed key.
        probe: how many of the smallest scales to time, at least one.

    Returns:
        One `ScalePlan` a scale. Memory is that of the whole process; on an accelerator, that of the device.
    """
    needed, timed, seconds = [], [], []
    for index, (height, width) in enumerate(job.sizes):
        needed.append(_needed(job, index, key))
        if index < max(probe, 1):
            timed.append((height * width, _time_step(job, index, key)))
        seconds.append(_extrapolated(timed, height * width))
    base = _base(job)
    return [
        ScalePlan(*row) for row in zip(job.sizes, job.steps, (base + extra for extra in needed), seconds, strict=True)
    ]


def estimate(job: Stylization, *, key: Key) -> tuple[float, int]:
    """Predict (seconds, bytes of peak memory) quickly: only the largest scale is compiled for its memory, only the smallest timed."""
    timed = [(job.sizes[0][0] * job.sizes[0][1], _time_step(job, 0, key))]
    seconds = sum(
        steps * _extrapolated(timed, height * width)
        for (height, width), steps in zip(job.sizes, job.steps, strict=True)
    )
    needed = _needed(job, len(job.sizes) - 1, key)
    return seconds, _base(job) + needed


def _base(job: Stylization) -> int:
    memory.release()
    return memory.resident() if jax.devices()[0].platform == "cpu" else _bytes(job.variables)


def _shapes(job: Stylization, index: int, key: Key):
    """Return the recipe and the state of a scale with shapes in place of arrays."""

    def build(key):
        recipe = scale_recipe(job, index)
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    return Recipe(lambda key: state, scale_step(job), frozen), state


def _bytes(tree: PyTree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _needed(job: Stylization, index: int, key: Key) -> int:
    """Return what the program of a scale takes beside the network's weights, which are there already."""
    recipe, state = _shapes(job, index, key)
    sizes: Any = compile_steps(recipe, key=key, state=state).memory_analysis()
    held = sizes.argument_size_in_bytes - _bytes(job.variables)
    return _SCRATCH + int(
        _SLACK * (sizes.temp_size_in_bytes + held + sizes.output_size_in_bytes - sizes.alias_size_in_bytes)
    )


def _time_step(job: Stylization, index: int, key: Key) -> float:
    recipe = scale_recipe(job, index)
    state = recipe.init(key)
    program = compile_steps(recipe, key=key, state=state)
    times = []
    for until in (1, 2, 3):
        begin = time.perf_counter()
        with one_blas_thread():
            state, _, left = program(key, state, None, recipe.frozen, Limits(jnp.int32(until)))
            jax.block_until_ready(left)
        times.append(time.perf_counter() - begin)
    return min(times)


def _extrapolated(timed: list[tuple[int, float]], pixels: int) -> float:
    """Continue the line through the two last timings: a fixed cost and a cost per pixel."""
    if len(timed) == 1:
        return timed[0][1] * (pixels + FIXED_PIXELS) / (timed[0][0] + FIXED_PIXELS)
    (small, quick), (large, slow) = timed[-2:]
    per_pixel = max((slow - quick) / (large - small), 0.5 * slow / large)
    return slow + per_pixel * (pixels - large)
