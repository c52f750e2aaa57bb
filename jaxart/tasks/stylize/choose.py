"""Choosing the memory mode of each scale by the memory that it will need, and by what its compiled program then says."""

from typing import Any, NamedTuple

import jax

from jaxart import memory
from jaxart.arrays import Key
from jaxart.image import fit_within
from jaxart.tasks.stylize.job import MEMORY_MODES, WHOLE, MemoryMode, Scale, Stylization, objective_terms, scale_of
from jaxart.tasks.stylize.predict import Forecast, forecast, program_bytes, scale_bytes, step_seconds, working_bytes
from jaxart.training import Recipe, compile_steps

_LONGEST = 1 << 17  # pixels on the long side, beyond which nobody asks


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
        One `ModePlan` per memory mode, the quickest first. How it is predicted stands in `plan`.
    """
    limit, told, rows = memory_limit(max_memory), forecast(job, key), []
    for mode in _modes(job):
        there = scale_of(_in_mode(job, mode), len(job.sizes) - 1)
        largest = None if limit is None else _largest(told, there, limit)
        rows.append(ModePlan(mode, scale_bytes(told, there), step_seconds(told, there), largest))
    return rows


def choose_memory_modes(job: Stylization, *, key: Key, max_memory: int | None = None) -> Stylization:
    """Take for each scale the quickest memory mode that will fit in memory, by the prediction of `plan`.

    Nothing is compiled; `run` checks the one program that it compiles if it is told `max_memory` too.

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
    told, modes = forecast(job, key), _modes(job)
    chosen, lowest = [WHOLE] * len(job.sizes), len(modes) - 1
    for index in reversed(range(len(job.sizes))):
        lowest = _first_fit(told, job, index, limit, modes[: lowest + 1])  # a smaller scale needs no lower memory mode
        chosen[index] = modes[lowest]
        if lowest == 0:
            break
    return job._replace(memory_modes=tuple(chosen))


def lower_mode(scale: Scale) -> MemoryMode | None:
    """Return the next memory mode that takes less than a scale's, or None."""
    modes = _modes(scale.job)
    at = modes.index(scale.memory_mode) if scale.memory_mode in modes else len(modes)
    lower = (mode for mode in modes[at + 1 :] if mode.tile is None or mode.tile < max(scale.size) or mode == modes[-1])
    return next(lower, None)


def compiled_bytes(recipe: Recipe, state: Any, key: Key) -> int:
    """Return what a scale takes by its compiled program's own account: of the process, whose arrays are there; elsewhere of the device.

    The program is the one that is run next, so nothing is compiled for it alone.

    Args:
        recipe: of the scale.
        state: with which it starts.
        key: typed key.
    """
    if jax.devices()[0].platform != "cpu":
        return program_bytes(recipe, state, key)
    sizes: Any = compile_steps(recipe, key=key, state=state).memory_analysis()
    devices = {device for leaf in jax.tree.leaves(state) for device in leaf.devices()}
    return memory.resident() + len(devices) * working_bytes(sizes)


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


def _modes(job: Stylization) -> tuple[MemoryMode, ...]:
    """Return the memory modes in which a stylization can be computed: without tiles where a term does not add up over them."""
    additive = all(term.additive for term in objective_terms(job))
    return tuple(mode for mode in MEMORY_MODES if additive or mode.tile is None)


def _first_fit(told: Forecast, job: Stylization, index: int, limit: int, modes: tuple[MemoryMode, ...]) -> int:
    height, width = job.sizes[index]
    needed = 0
    for number, mode in enumerate(modes):
        if mode.tile is not None and mode.tile >= max(height, width) and mode != modes[-1]:
            continue  # a single tile is the memory mode before
        needed = scale_bytes(told, scale_of(_in_mode(job, mode), index))
        if needed <= limit:
            return number
    raise ValueError(
        f"{width} x {height} needs {needed / 2**30:.2f} GiB ({modes[-1].name}), but {limit / 2**30:.2f} GiB may be used: "
        "allow that much, or choose a smaller size."
    )


def _largest(told: Forecast, scale: Scale, limit: int) -> tuple[int, int]:
    """Return the largest size of this memory mode that fits, by halving the interval of the long side."""
    shape, low, high = scale.job.content.shape[:2], 1, _LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        size = fit_within(shape, middle)
        there = scale_of(scale.job._replace(sizes=(*scale.job.sizes[:-1], size)), scale.index)
        low, high = (middle, high) if scale_bytes(told, there) <= limit else (low, middle)
    return fit_within(shape, low)


def _in_mode(job: Stylization, memory_mode: MemoryMode) -> Stylization:
    return job._replace(memory_modes=(memory_mode,) * len(job.sizes))
