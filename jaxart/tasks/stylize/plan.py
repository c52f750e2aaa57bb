"""What a stylization will need, told before it starts, from the very programs that it will run."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.image import fit_within
from jaxart.models import vgg_halo
from jaxart.ops import tiled_pixels
from jaxart.tasks.stylize.prepare import Stylization
from jaxart.tasks.stylize.recipe import MEMORY_MODES, WHOLE, MemoryMode
from jaxart.tasks.stylize.rows import rows_of, split_frozen, split_state
from jaxart.tasks.stylize.run import scale_recipe, scale_step
from jaxart.tasks.stylize.sheet import group_sizes, sheet_recipe, sheet_step
from jaxart.training import Limits, Recipe, compile_steps, one_blas_thread

_SCRATCH, _SLACK = 100 << 20, 1.03  # beside what the compiler accounts for; measured by benchmarks/memory.py


# What a step costs beside its pixels, the roots of covariances above all, expressed in pixels.
FIXED_PIXELS = 15_000
_REMATERIALISED, _CONTENT = 0.13, 0.84  # of a forward pass: block 1, and all up to relu4_2
_PROGRAM = 60 << 20  # what each scale's program leaves resident
_PROBES = (2048, 4096)  # long sides between which memory is interpolated


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
    timed at the smallest scales and extrapolated by the number of pixels to the others.

    Args:
        job: from `prepare`.
        key: typed key.
        probe: how many of the smallest scales to time, at least one.

    Returns:
        One `ScalePlan` a scale. Memory is that of the whole process; on an accelerator, that of the device.
    """
    needed, timed, seconds = [], [], []
    for index in range(len(job.sizes)):
        needed.append(_needed(job, index, key))
        if index < max(probe, 1):
            timed.append((step_work(job, index), _time_step(scale_recipe(job, index), key)))
        seconds.append(_extrapolated(timed, step_work(job, index)))
    base = _base(job)
    return [
        ScalePlan(size, steps, base + extra, each, memory_mode)
        for size, steps, extra, each, memory_mode in zip(
            job.sizes, job.steps, needed, seconds, job.memory_modes, strict=True
        )
    ]


class ModePlan(NamedTuple):
    """Prediction for one memory mode at the largest scale: as `ScalePlan`, and the ``largest`` size (height, width) that fits, or None."""

    memory_mode: MemoryMode
    bytes: int
    step_seconds: float
    largest: tuple[int, int] | None


def compare_memory_modes(job: Stylization, *, key: Key, max_memory: int | None = None) -> list[ModePlan]:
    """Predict memory and time of a step at the largest scale, and the largest size in the same memory, for every memory mode.

    Args:
        job: from `prepare`.
        key: typed key.
        max_memory: as in `choose_memory_modes`.

    Returns:
        One `ModePlan` a memory mode, quick first.
    """
    limit, last = memory_limit(max_memory), len(job.sizes) - 1
    timed = [(step_work(job, 0), _time_step(scale_recipe(job, 0), key))]
    growth = 0 if limit is None else _growth(job, key)
    rows, needed = [], 0
    for memory_mode in MEMORY_MODES:
        there = _in_mode(job, memory_mode)
        if (
            memory_mode.recompute or memory_mode.tile is None or memory_mode.tile < max(job.sizes[last])
        ):  # else one tile: as the memory mode before
            needed = _needed(there, last, key)
        base = _base(job)
        largest = None if limit is None else _largest(there, key, needed, growth, limit - base)
        rows.append(ModePlan(memory_mode, base + needed, _extrapolated(timed, step_work(there, last)), largest))
    return rows


def choose_memory_modes(job: Stylization, *, key: Key, max_memory: int | None = None) -> Stylization:
    """Take for each scale the quickest memory mode whose compiled program fits in memory.

    Args:
        job: from `prepare`.
        key: typed key.
        max_memory: bytes that the whole process may take (on an accelerator: its arrays); by default what is free.

    Returns:
        The job with its memory_modes; as it was if nothing is known of the memory.

    Raises:
        ValueError: even the smallest memory mode does not fit; the message tells what it needs.
    """
    limit = memory_limit(max_memory)
    if limit is None:
        return job
    memory_modes, lowest = [WHOLE] * len(job.sizes), len(MEMORY_MODES) - 1
    for index in reversed(range(len(job.sizes))):
        lowest = _first_fit(
            job, index, key, limit, MEMORY_MODES[: lowest + 1]
        )  # a smaller scale needs no lower memory mode
        memory_modes[index] = MEMORY_MODES[lowest]
        if lowest == 0:
            break
    return job._replace(memory_modes=tuple(memory_modes))


def _first_fit(job: Stylization, index: int, key: Key, limit: int, memory_modes: tuple[MemoryMode, ...]) -> int:
    height, width = job.sizes[index]
    needed = 0
    for number, memory_mode in enumerate(memory_modes):
        if memory_mode.tile is not None and memory_mode.tile >= max(height, width) and memory_mode != memory_modes[-1]:
            continue  # a single tile is the memory mode before
        needed = _needed(_in_mode(job, memory_mode), index, key)
        needed += _base(job) + index * _PROGRAM  # only now: compiling leaves something behind
        if needed <= limit:
            return number
    raise ValueError(
        f"{width} x {height} needs {needed / 2**30:.2f} GiB ({memory_modes[-1].name}), but {limit / 2**30:.2f} GiB may be used: "
        "allow that much, "
        "or choose a smaller size."
    )


def needed_memory(job: Stylization, *, key: Key) -> int:
    """Return the bytes that the largest scale takes, with what is there already: of the process on a CPU, of the device elsewhere."""
    last = len(job.sizes) - 1
    return _needed(job, last, key) + _base(job) + last * _PROGRAM


def _in_mode(job: Stylization, memory_mode: MemoryMode) -> Stylization:
    return job._replace(memory_modes=(memory_mode,) * len(job.sizes))


def memory_limit(given: int | None = None) -> int | None:
    """Return the bytes that a run may take: of the process on a CPU, of the device elsewhere; None if unknown.

    Args:
        given: what the user allows; by default all that is free.
    """
    if given is not None:
        return given
    device = jax.devices()[0]
    if device.platform == "cpu":
        free = memory.available()
        return None if free is None else free + memory.resident()
    return (device.memory_stats() or {}).get("bytes_limit")


def _growth(job: Stylization, key: Key) -> float:
    """Return the bytes a pixel of what has the picture's size in a memory mode in tiles. The last mode's are a few fewer."""
    tiled = _in_mode(job, next(memory_mode for memory_mode in MEMORY_MODES if memory_mode.tile is not None))
    small, large = (fit_within(job.content.shape[:2], side) for side in _PROBES)
    low, high = (_needed(tiled._replace(sizes=(size,)), 0, key) for size in (small, large))
    return (high - low) / (large[0] * large[1] - small[0] * small[1])


def _largest(job: Stylization, key: Key, needed: int, growth: float, room: int) -> tuple[int, int]:
    """Return the largest size of this memory mode that fits: memory is a line in the number of pixels."""
    shape, size = job.content.shape[:2], job.sizes[-1]
    if job.memory_modes[-1].tile is None:
        growth = (needed - _SCRATCH) / (size[0] * size[1])
    else:
        size = fit_within(shape, _PROBES[0])
        needed = _needed(job._replace(sizes=(size,)), 0, key)
    pixels = max(1, size[0] * size[1] + (room - needed) / growth)
    return fit_within(shape, max(1, int((pixels * max(shape) / min(shape)) ** 0.5)))


def step_work(job: Stylization, index: int) -> float:
    """Return the work of a step as the number of pixels for which a step on the whole picture, two passes, costs the same.

    Of several devices it is that of one; simulated devices take turns.
    """
    (height, width), memory_mode, rows = job.sizes[index], job.memory_modes[index], rows_of(job, index)
    halo, align = vgg_halo(job.network.depth, job.network.layers)
    read = height if rows is None else rows.read
    pixels = tiled_pixels((read, width), tile=memory_mode.tile, halo=halo, align=align)
    tiled = pixels > read * width
    pixels *= _sharing(job, index)
    return (
        pixels
        * (2 + tiled + memory_mode.rematerialize * _REMATERIALISED + memory_mode.recompute * _CONTENT * (1 + tiled))
        / 2
    )


def estimate(job: Stylization, *, key: Key) -> tuple[float, int]:
    """Predict (seconds, bytes of peak memory) quickly: only the largest scale is compiled for its memory, only the smallest timed."""
    timed = [(step_work(job, 0), _time_step(scale_recipe(job, 0), key))]
    seconds = sum(steps * _extrapolated(timed, step_work(job, index)) for index, steps in enumerate(job.steps))
    return seconds, needed_memory(job, key=key)


def _sharing(job: Stylization, index: int) -> int:
    """Return how many devices take part in a scale and share the memory and the cores of one CPU."""
    rows = rows_of(job, index)
    return rows.mesh.size if rows is not None and jax.devices()[0].platform == "cpu" else 1


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
        needed = _needed_together(jobs[:group], key, groups) + _base(job) + (len(job.sizes) - 1) * _PROGRAM
        if limit is None or needed <= limit:
            break
        if group == 1:
            height, width = job.sizes[-1]
            raise ValueError(
                f"one picture of {width} x {height} needs {needed / 2**30:.2f} GiB, but {limit / 2**30:.2f} GiB may be used: "
                "allow that much, or choose a smaller size."
            )
        most = group // 2
    timed = [(step_work(job, 0), _time_step(sheet_recipe(jobs[:group], 0), key))]
    seconds = sum(steps * _extrapolated(timed, step_work(job, index)) for index, steps in enumerate(job.steps))
    return SheetPlan(group, groups, needed, groups * seconds)


def _needed_together(jobs: Sequence[Stylization], key: Key, groups: int) -> int:
    """Return what the program of a group takes at the largest scale, and the states of the other groups, which wait."""
    last = len(jobs[0].sizes) - 1

    def build(key):
        recipe = sheet_recipe([_of_same_shapes(job) for job in jobs], last)
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    recipe = Recipe(lambda key: state, sheet_step(jobs, last), frozen, short_run=True)
    return _taken(recipe, state, jobs[0], key) + (groups - 1) * _bytes(state)


def _base(job: Stylization) -> int:
    memory.release()
    return memory.resident() if jax.devices()[0].platform == "cpu" else _bytes(job.variables)


def _shapes(job: Stylization, index: int, key: Key):
    """Return the recipe and the state of a scale with shapes in place of arrays."""

    def build(key):
        recipe = scale_recipe(_of_same_shapes(job)._replace(mesh=None), index)
        return recipe.frozen, recipe.init(key)

    frozen, state = jax.eval_shape(build, key)
    rows = rows_of(job, index)
    frozen, state = split_frozen(frozen, rows), split_state(state, rows)
    return Recipe(lambda key: state, scale_step(job, index), frozen, short_run=True), state


def _of_same_shapes(job: Stylization) -> Stylization:
    """Return a job whose recipe has the same shapes and is traced in a fraction of the time."""
    return job._replace(network=job.network.clone(winograd=False))


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _needed(job: Stylization, index: int, key: Key) -> int:
    """Return what the program of a scale takes beside the network's weights, which are there already."""
    return _taken(*_shapes(job, index, key), job, key, devices=_sharing(job, index))


def _taken(recipe: Recipe, state: PyTree, job: Stylization, key: Key, *, devices: int = 1) -> int:
    sizes: Any = compile_steps(recipe, key=key, state=state).memory_analysis()  # of each device
    taken = (
        sizes.argument_size_in_bytes + sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    )
    return _SCRATCH + int(_SLACK * (devices * taken - _bytes(job.variables)))


def _time_step(recipe: Recipe, key: Key) -> float:
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


def _extrapolated(timed: list[tuple[float, float]], pixels: float) -> float:
    """Continue the line through the two last timings: a fixed cost and a cost per pixel."""
    if len(timed) == 1:
        return timed[0][1] * (pixels + FIXED_PIXELS) / (timed[0][0] + FIXED_PIXELS)
    (small, quick), (large, slow) = timed[-2:]
    per_pixel = max((slow - quick) / (large - small), 0.5 * slow / large)
    return slow + per_pixel * (pixels - large)
