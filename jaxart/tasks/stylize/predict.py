"""What a stylization will need, told before it starts, from the very programs that it will run."""

import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.ops import tiled_pixels
from jaxart.tasks.stylize.job import MemoryMode, Scale, Stylization, objective_terms, scale_of
from jaxart.tasks.stylize.recipe import recipe_of, step_of
from jaxart.tasks.stylize.rows import split_state
from jaxart.tasks.stylize.targets import split_frozen
from jaxart.tasks.stylize.terms import terms_halo
from jaxart.training import Limits, Recipe, compile_steps, one_blas_thread

SCRATCH, _SLACK = 100 << 20, 1.03  # beside what the compiler accounts for; measured by benchmarks/memory.py


# What a step costs beside its pixels, the roots of covariances above all, expressed in pixels.
FIXED_PIXELS = 15_000
_REMATERIALIZED, _CONTENT = 0.13, 0.84  # of a forward pass: block 1, and all up to relu4_2
PROGRAM = 60 << 20  # bytes that each scale's program leaves resident


class ScalePlan(NamedTuple):
    """Prediction for one scale: ``size`` (height, width), ``steps``, ``bytes`` of peak resident memory, ``step_seconds``, and its mode."""

    size: tuple[int, int]
    steps: int
    bytes: int
    step_seconds: float
    memory_mode: MemoryMode

    @property
    def seconds(self) -> float:
        """Return the time of all steps of this scale."""
        return self.steps * self.step_seconds


def plan(job: Stylization, *, key: Key, probe: int = 2) -> list[ScalePlan]:
    """Predict peak memory and time of each scale.

    The program of every scale is compiled, as `run` would do it, and its memory read off; a run that follows finds it compiled. Steps are
    timed at the smallest scales and extrapolated by the number of pixels to the others: by a line, or, where a term is not additive, by
    the power of the pixels that two scales show.

    Args:
        job: from `prepare`.
        key: typed key.
        probe: how many of the smallest scales to time, at least one.

    Returns:
        One `ScalePlan` a scale. Memory is that of the whole process; on an accelerator, that of the device.
    """
    needed, timed, seconds, additive = [], [], [], all_additive(job)
    for index in range(len(job.sizes)):
        scale = scale_of(job, index)
        needed.append(program_bytes(scale, key))
        if index < max(probe, 1 if additive else 2):
            timed.append((scale_work(scale), timed_step(recipe_of(scale), key)))
        seconds.append(extrapolated(timed, scale_work(scale), additive=additive))
    base = resident_bytes(job)
    return [
        ScalePlan(size, steps, base + extra, each, memory_mode)
        for size, steps, extra, each, memory_mode in zip(
            job.sizes, job.steps, needed, seconds, job.memory_modes, strict=True
        )
    ]


def needed_memory(job: Stylization, *, key: Key) -> int:
    """Return the bytes that the largest scale takes, with what is there already: of the process on a CPU, of the device elsewhere.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    last = len(job.sizes) - 1
    return program_bytes(scale_of(job, last), key) + resident_bytes(job) + last * PROGRAM


def step_work(job: Stylization, index: int) -> float:
    """Return the work of a step as the number of pixels for which a step on the whole picture, two passes, costs the same.

    Of several devices it is that of one; simulated devices take turns.

    Args:
        job: from `prepare`.
        index: of the scale, from 0.
    """
    return scale_work(scale_of(job, index))


def scale_work(scale: Scale) -> float:
    """Return `step_work` of a scale."""
    (height, width), memory_mode, rows, network = scale.size, scale.memory_mode, scale.rows, scale.job.network
    halo, align = terms_halo(objective_terms(scale.job), network)
    read = height if rows is None else rows.read
    pixels = tiled_pixels((read, width), tile=memory_mode.tile, halo=halo, align=align)
    tiled = pixels > read * width
    passes = 2 + tiled + memory_mode.rematerialize * _REMATERIALIZED + memory_mode.recompute * _CONTENT * (1 + tiled)
    return pixels * _sharing(scale) * passes / 2


def estimate(job: Stylization, *, key: Key) -> tuple[float, int]:
    """Predict (seconds, bytes of peak memory) quickly: only the largest scale is compiled for its memory, only the smallest timed.

    Where a term is not additive the two smallest are timed, which shows how its work grows.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    scales = [scale_of(job, index) for index in range(len(job.sizes))]
    timed, additive = timed_scales(job, key), all_additive(job)
    seconds = sum(scale.steps * extrapolated(timed, scale_work(scale), additive=additive) for scale in scales)
    return seconds, needed_memory(job, key=key)


def _sharing(scale: Scale) -> int:
    """Return how many devices take part in a scale and share the memory and the cores of one CPU."""
    rows = scale.rows
    return rows.mesh.size if rows is not None and jax.devices()[0].platform == "cpu" else 1


def resident_bytes(job: Stylization) -> int:
    """Return what is there before a scale: of the process on a CPU, of the device elsewhere."""
    memory.release()
    return memory.resident() if jax.devices()[0].platform == "cpu" else tree_bytes(job.variables)


def _shapes(scale: Scale, key: Key) -> tuple[Recipe, PyTree]:
    """Return the recipe and the state of a scale with shapes in place of arrays."""
    rows = scale.rows

    def build(key):
        recipe = recipe_of(scale._replace(job=of_same_shapes(scale.job), rows=None))
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    if rows is not None:
        frozen, state = split_frozen(frozen, rows), split_state(state, rows)
    return Recipe(lambda key: state, step_of(scale), frozen, short_run=True), state


def of_same_shapes(job: Stylization) -> Stylization:
    """Return a job whose recipe has the same shapes and is traced in a fraction of the time."""
    return job._replace(network=job.network.clone(winograd=False))


def tree_bytes(tree: PyTree) -> int:
    """Return the bytes of all arrays of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def program_bytes(scale: Scale, key: Key) -> int:
    """Return what the program of a scale takes beside the network's weights, which are there already.

    Args:
        scale: from `scale_of`.
        key: typed key.
    """
    return program_needs(*_shapes(scale, key), scale.job, key, devices=_sharing(scale))


def program_needs(recipe: Recipe, state: PyTree, job: Stylization, key: Key, *, devices: int = 1) -> int:
    """Return what the program of a recipe takes beside the network's weights.

    Args:
        recipe: with arrays or shapes.
        state: or its shapes.
        job: whose network is there already.
        key: typed key.
        devices: that share one memory.
    """
    sizes: Any = compile_steps(recipe, key=key, state=state).memory_analysis()  # of each device
    taken = (
        sizes.argument_size_in_bytes + sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    )
    return SCRATCH + int(_SLACK * (devices * taken - tree_bytes(job.variables)))


def timed_step(recipe: Recipe, key: Key) -> float:
    """Return the seconds of a step.

    Args:
        recipe: of a scale.
        key: typed key.
    """
    state = recipe.init(key)
    program = compile_steps(recipe, key=key, state=state)
    times = []
    for until in (1, 2):  # the first call touches its memory for the first time
        begin = time.perf_counter()
        with one_blas_thread():
            state, _, left = program(key, state, None, recipe.frozen, Limits(jnp.int32(until)))
            jax.block_until_ready(left)
        times.append(time.perf_counter() - begin)
    return min(times)


def all_additive(job: Stylization) -> bool:
    """Return whether all terms are sums over pixels, whose work is a line in the number of pixels."""
    return all(term.additive for term in objective_terms(job))


def timed_scales(job: Stylization, key: Key) -> list[tuple[float, float]]:
    """Return (work, seconds of a step) of the smallest scale, and of the next where a term is not additive.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    scales = [scale_of(job, index) for index in range(len(job.sizes))][: 1 if all_additive(job) else 2]
    return [(scale_work(scale), timed_step(recipe_of(scale), key)) for scale in scales]


def extrapolated(timed: list[tuple[float, float]], pixels: float, *, additive: bool = True) -> float:
    """Continue the line through the two last timings: a fixed cost and a cost per pixel. What is not additive may grow faster.

    Args:
        timed: pairs (work, seconds), at least one.
        pixels: the work to predict.
        additive: else, beyond two timings, seconds grow by the power of the work between them, from 1 to 2: such terms sort, or compare
            all pixels with all others.
    """
    if len(timed) > 1 and not additive and pixels > timed[-1][0]:
        (small, quick), (large, slow) = timed[-2:]
        power = math.log(slow / quick) / math.log(large / small)
        return slow * (pixels / large) ** min(max(power, 1.0), 2.0)
    if len(timed) == 1:
        return timed[0][1] * (pixels + FIXED_PIXELS) / (timed[0][0] + FIXED_PIXELS)
    (small, quick), (large, slow) = timed[-2:]
    per_pixel = max((slow - quick) / (large - small), 0.5 * slow / large)
    return slow + per_pixel * (pixels - large)
