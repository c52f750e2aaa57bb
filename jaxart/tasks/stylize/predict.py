"""What a stylization will need, told before it starts: bytes by arithmetic (`needs`), seconds by that and a probe of the machine."""

import functools
import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import losses, memory
from jaxart.arrays import Key, PyTree
from jaxart.models import vgg_stride
from jaxart.models.vgg import CHANNELS, vgg_block
from jaxart.ops import compiler_options, conv2d, transform_kernel
from jaxart.tasks.stylize.job import WHOLE, MemoryMode, Scale, Stylization, objective_terms, scale_of
from jaxart.tasks.stylize.needs import FIXED_PIXELS, multiplications, scale_work, step_bytes, tree_bytes
from jaxart.tasks.stylize.recipe import recipe_of
from jaxart.training import Limits, Recipe, compile_steps, one_blas_thread

# What a process takes beside arrays (libraries touched, programs that prepare a scale, the step's own, the compiled kernel's rooms; fitted
# by benchmarks/memory.py), what each scale's programs leave behind, and pages between arrays.
PROCESS, PROGRAM, _SLACK = 120 << 20, 60 << 20, 1.03
_OVERHEAD = 1.65  # the time of a step over that of its convolutions; steps without the compiled kernel take up to 1.5 times as long as said
_SMALL, _WIDE = (128, 64), (64, 256)  # side and channels of the layers that are timed
_BY_SORTING = (losses.HISTOGRAM, losses.SLICED)
_ADDITIVE = (losses.WASSERSTEIN, losses.WASSERSTEIN_CONVERGED, losses.GRAM, losses.ADAIN)
_MOST_PATCHES = 4096


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


class Forecast(NamedTuple):
    """What predictions for a stylization start from.

    Fields:
        resident: bytes that are there before it begins.
        pixel_seconds: of a step on the whole picture.
        bytes_beyond, seconds_beyond: what the arithmetic does not know, at the smallest scale.
    """

    resident: int
    pixel_seconds: float
    bytes_beyond: int
    seconds_beyond: float


def plan(job: Stylization, *, key: Key) -> list[ScalePlan]:
    """Predict peak memory and time of each scale, without compiling a step.

    Memory is arithmetic. Seconds are the work times the pace of this machine, which two convolution layers tell in a fraction of a second.
    What no arithmetic knows is measured: for terms of the user's own (memory and time), and style losses of whole feature maps (time), the
    step of the smallest scale is compiled and timed, and what it takes more is extrapolated by how the terms grow. A run then finds that
    program compiled.

    Args:
        job: from `prepare`.
        key: typed key.

    Returns:
        One `ScalePlan` a scale. Memory is that of the whole process; on an accelerator, that of the device.
    """
    told = forecast(job, key)
    scales = [scale_of(job, index) for index in range(len(job.sizes))]
    return [
        ScalePlan(each.size, each.steps, scale_bytes(told, each), step_seconds(told, each), each.memory_mode)
        for each in scales
    ]


def needed_memory(job: Stylization, *, key: Key) -> int:
    """Return the bytes that the largest scale takes, with what is there already: of the process on a CPU, of the device elsewhere.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    return plan(job, key=key)[-1].bytes


def estimate(job: Stylization, *, key: Key) -> tuple[float, int]:
    """Return (seconds, bytes of peak memory) of a whole run, from `plan`.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    rows = plan(job, key=key)
    return sum(row.seconds for row in rows), max(row.bytes for row in rows)


def step_work(job: Stylization, index: int) -> float:
    """Return the work of a step as the number of pixels for which a step on the whole picture, two passes, costs the same.

    Of several devices it is that of one; simulated devices take turns.

    Args:
        job: from `prepare`.
        index: of the scale, from 0.
    """
    return scale_work(scale_of(job, index))


def forecast(job: Stylization, key: Key) -> Forecast:
    """Return what predictions start from: memory in use, the pace of this machine, and what only the smallest scale's step tells.

    Args:
        job: from `prepare`.
        key: typed key.
    """
    pace = _paces(job.network.winograd, jnp.dtype(job.network.dtype).name, job.network.in_winograds_form)
    pixel = 2 * _OVERHEAD * sum(count * pace[wide] for wide, count in multiplications(job.network).items())
    resident = resident_bytes(job)
    if not job.terms and job.style_loss in _ADDITIVE:
        return Forecast(resident, pixel, 0, 0.0)
    smallest = scale_of(job._replace(memory_modes=(WHOLE,) * len(job.sizes)), 0)
    recipe = recipe_of(smallest)
    more = max(0.0, timed_step(recipe, key) - pixel * (scale_work(smallest) + FIXED_PIXELS))
    known = not job.terms and job.style_loss in losses.STYLE_LOSSES.values()
    if not known:
        state = jax.eval_shape(recipe.init, key)
        taken = program_bytes(recipe, state, key) - tree_bytes(job.variables)
    return Forecast(resident, pixel, 0 if known else max(0, taken - step_bytes(smallest)), more)


def scale_bytes(told: Forecast, scale: Scale) -> int:
    """Return the peak memory of a process at a scale; on an accelerator, of its arrays.

    Args:
        told: from `forecast`.
        scale: from `scale_of`.
    """
    job, size = scale.job, scale.size
    beyond = told.bytes_beyond * size[0] * size[1] / (job.sizes[0][0] * job.sizes[0][1])
    return told.resident + program_overhead(scale.index) + int(_SLACK * (step_bytes(scale) + beyond))


def step_seconds(told: Forecast, scale: Scale) -> float:
    """Return the seconds of a step.

    Args:
        told: from `forecast`.
        scale: from `scale_of`.
    """
    beyond = told.seconds_beyond
    if beyond:
        beyond *= term_work(scale.job, scale.size) / term_work(scale.job, scale.job.sizes[0])
    return told.pixel_seconds * (scale_work(scale) + FIXED_PIXELS) + beyond


def program_overhead(index: int) -> int:
    """Return what a process takes beside arrays when it comes to a scale; nothing on an accelerator, where only arrays count."""
    return PROCESS + index * PROGRAM if jax.devices()[0].platform == "cpu" else 0


def resident_bytes(job: Stylization) -> int:
    """Return what is there before a scale: of the process on a CPU, of the device elsewhere."""
    memory.release()
    return memory.resident() if jax.devices()[0].platform == "cpu" else tree_bytes(job.variables)


def program_bytes(recipe: Recipe, state: PyTree, key: Key) -> int:
    """Return what a compiled program takes on a device by its own account, its arguments included.

    Args:
        recipe: with arrays or shapes.
        state: or its shapes.
        key: typed key.
    """
    sizes: Any = compile_steps(recipe, key=key, state=state).memory_analysis()
    return sizes.argument_size_in_bytes + working_bytes(sizes)


def working_bytes(sizes: Any) -> int:
    """Return what a program takes beside its arguments.

    Args:
        sizes: its ``memory_analysis()``.
    """
    return sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes


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


def term_work(job: Stylization, size: tuple[int, int]) -> float:
    """Return how the work beside the network's grows with the picture, in any unit.

    Terms that add up over pixels grow with them, losses that sort with ``P log P``, patches with the pairs that are compared, up to their
    most; of other losses of whole feature maps nothing is known, and they are taken to compare all positions with all.

    Args:
        job: from `prepare`.
        size: (height, width) of the picture, pixels.
    """
    pixels = float(size[0] * size[1])
    if all(term.additive for term in objective_terms(job)):
        return pixels
    known = all(each.term.additive for each in job.terms)
    if known and job.style_loss is losses.PATCH:
        return sum(_pairs(pixels / vgg_stride(name) ** 2) * CHANNELS[vgg_block(name) - 1] for name in job.style_layers)
    if known and job.style_loss in _BY_SORTING:
        return pixels * math.log2(2 + pixels)
    return pixels**2


def _pairs(positions: float) -> float:
    queries = positions / 4 if positions > _MOST_PATCHES else positions
    return queries * min(positions, _MOST_PATCHES)


@functools.lru_cache(maxsize=8)
def _paces(winograd: bool, dtype: str, by_xla: bool) -> dict[bool, float]:
    """Return the seconds of a multiplication in layers of few channels (False) and of many (True), both directions averaged."""
    return {
        wide: _pace(*shape, winograd, jnp.dtype(dtype), wide and by_xla)
        for wide, shape in ((False, _SMALL), (True, _WIDE))
    }


def _pace(side: int, channels: int, winograd: bool, dtype: Any, ready: bool) -> float:
    kernel = jnp.full((3, 3, channels, channels), 0.01, dtype)
    transformed = transform_kernel(kernel) if ready else None
    images = jnp.ones((1, side, side, channels), dtype)

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def both(images: jax.Array, kernel: jax.Array, transformed: Any) -> tuple[jax.Array, Any]:
        y, back = jax.vjp(lambda x: conv2d(x, kernel, transformed=transformed, winograd=winograd), images)
        return y, back(y)

    times = []
    for _ in range(6):
        begin = time.perf_counter()
        jax.block_until_ready(both(images, kernel, transformed))
        times.append(time.perf_counter() - begin)
    return min(times) / (2 * 9 * channels**2 * side**2)
