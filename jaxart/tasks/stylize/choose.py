"""Choosing the memory mode of each scale by the memory that its program needs."""

from typing import NamedTuple

import jax

from jaxart import memory
from jaxart.arrays import Key
from jaxart.image import fit_within
from jaxart.tasks.stylize.job import MEMORY_MODES, WHOLE, MemoryMode, Scale, Stylization, scale_of
from jaxart.tasks.stylize.predict import (
    PROGRAM,
    SCRATCH,
    all_additive,
    extrapolated,
    program_bytes,
    resident_bytes,
    scale_work,
    timed_scales,
)

_PROBES = (2048, 4096)  # long sides between which memory is interpolated


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
        One `ModePlan` per memory mode, the quickest first.
    """
    limit, last, modes = memory_limit(max_memory), len(job.sizes) - 1, _modes(job)
    timed, additive = timed_scales(job, key), all_additive(job)
    growth = 0 if limit is None or all(mode.tile is None for mode in modes) else _growth(job, key)
    rows, needed = [], 0
    for mode in modes:
        there = scale_of(_in_mode(job, mode), last)
        if mode.recompute or mode.tile is None or mode.tile < max(there.size):  # else one tile: as the mode before
            needed = program_bytes(there, key)
        base = resident_bytes(job)
        largest = None if limit is None else _largest(there, key, needed, growth, limit - base)
        rows.append(ModePlan(mode, base + needed, extrapolated(timed, scale_work(there), additive=additive), largest))
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
    modes = _modes(job)
    chosen, lowest = [WHOLE] * len(job.sizes), len(modes) - 1
    for index in reversed(range(len(job.sizes))):
        lowest = _first_fit(job, index, key, limit, modes[: lowest + 1])  # a smaller scale needs no lower memory mode
        chosen[index] = modes[lowest]
        if lowest == 0:
            break
    return job._replace(memory_modes=tuple(chosen))


def _modes(job: Stylization) -> tuple[MemoryMode, ...]:
    """Return the memory modes in which a stylization can be computed: without tiles where a term does not add up over them."""
    additive = all_additive(job)
    return tuple(mode for mode in MEMORY_MODES if additive or mode.tile is None)


def _first_fit(job: Stylization, index: int, key: Key, limit: int, modes: tuple[MemoryMode, ...]) -> int:
    height, width = job.sizes[index]
    needed = 0
    for number, mode in enumerate(modes):
        if mode.tile is not None and mode.tile >= max(height, width) and mode != modes[-1]:
            continue  # a single tile is the memory mode before
        needed = program_bytes(scale_of(_in_mode(job, mode), index), key)
        needed += resident_bytes(job) + index * PROGRAM  # only now: compiling leaves something behind
        if needed <= limit:
            return number
    raise ValueError(
        f"{width} x {height} needs {needed / 2**30:.2f} GiB ({modes[-1].name}), but {limit / 2**30:.2f} GiB may be used: "
        "allow that much, or choose a smaller size."
    )


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
    """Return the bytes per pixel that a memory mode in tiles takes at any size. The last mode's are a few fewer."""
    tiled = _in_mode(job, next(mode for mode in MEMORY_MODES if mode.tile is not None))
    small, large = (fit_within(job.content.shape[:2], side) for side in _PROBES)
    low, high = (program_bytes(scale_of(tiled._replace(sizes=(size,)), 0), key) for size in (small, large))
    return (high - low) / (large[0] * large[1] - small[0] * small[1])


def _largest(scale: Scale, key: Key, needed: int, growth: float, room: int) -> tuple[int, int]:
    """Return the largest size of this memory mode that fits: memory is a line in the number of pixels."""
    shape, size = scale.job.content.shape[:2], scale.size
    if scale.memory_mode.tile is None:
        growth = (needed - SCRATCH) / (size[0] * size[1])
    else:
        size = fit_within(shape, _PROBES[0])
        needed = program_bytes(scale_of(scale.job._replace(sizes=(size,)), 0), key)
    pixels = max(1, size[0] * size[1] + (room - needed) / growth)
    return fit_within(shape, max(1, int((pixels * max(shape) / min(shape)) ** 0.5)))


def _in_mode(job: Stylization, memory_mode: MemoryMode) -> Stylization:
    return job._replace(memory_modes=(memory_mode,) * len(job.sizes))
