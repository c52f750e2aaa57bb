"""The compiled convolution of CPUs (the folder cpu), direct and in Winograd's form: in use where a library for the processor is there."""

import contextlib
import functools
import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from jaxart.arrays import Array
from jaxart.ops.cpu import load
from jaxart.ops.winograd import Pads, Pair

LEAST = 16  # channels that fill the kernel's vectors; on both sides, those from which Winograd's form pays (as in winograd.h)
_environment = {"0": False, "1": True}.get(os.environ.get("JAXART_NATIVE", ""))
_asked = jax.make_user_context(default_value=_environment)


def use_native(on: bool = True) -> contextlib.AbstractContextManager:
    """Return a context in which convolutions on a CPU take the compiled kernel, or do not.

    Without it they do where the default backend is a CPU and a library was built with the package or can be compiled here. JAXART_NATIVE=0
    in the environment turns that off. The kernel is float32 only; wherever else it does not apply, XLA's convolutions do. Both agree to
    rounding. What `jax.export` serializes for a CPU is traced without the kernel, which the file could not hold.

    Args:
        on: False for XLA's convolution.

    >>> with use_native(False):
    ...     native_in_use()
    False
    """
    return _asked(on)


def native_in_use() -> bool:
    """Tell whether convolutions on a CPU take the compiled kernel; the first call loads it, or compiles it in some ten seconds."""
    asked = _asked.value
    return (jax.default_backend() == "cpu" if asked is None else asked) and load.kernel().level is not None


def convolution_path() -> str:
    """Return what computes convolutions here and why, in words, such as "compiled kernel, avx2 (from the package)"."""
    if native_in_use():
        level, why = load.kernel()
        return f"compiled kernel, {level} ({why})"
    if _asked.value is False:
        return "XLA (JAXART_NATIVE=0)" if _environment is False else "XLA (the kernel is turned off)"
    backend = jax.default_backend()
    return f"XLA ({backend})" if backend != "cpu" else f"XLA (no compiled kernel: {load.kernel().why})"


class _Call(NamedTuple):
    """What is known of a call when it is traced: the target, the result's size without the batch, the geometry."""

    target: str
    size: tuple[int, ...]
    stride: int
    pads: Pads
    winograd: bool

    @property
    def sums(self) -> bool:
        """Return whether the result is a sum over the batch."""
        return self.target == "jaxart_kernel_gradient"


def convolve(images: Array, kernel: Array, stride: int, pads: Pads, winograd: bool) -> jax.Array:
    """Correlate images with a kernel, as `ops.conv2d`, float32.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C, O]``.
        stride: step in both directions.
        pads: zeros around the images; negative ones crop.
        winograd: allow Winograd's form.

    Returns:
        ``[N, H', W', O]``.
    """
    height, width = ((images.shape[1 + a] + sum(pads[a]) - kernel.shape[a]) // stride + 1 for a in (0, 1))
    call = _Call("jaxart_convolve", (height, width, kernel.shape[3]), stride, pads, winograd)
    return _batched(images, kernel, call)


def suits(channels: int, dtype: Any) -> bool:
    """Tell whether the compiled convolution is in use and worth calling.

    Args:
        channels: of the side that fills the vectors.
        dtype: of the arrays.
    """
    return channels >= LEAST and dtype == jnp.float32 and native_in_use()


def suits_input_gradient(kernel: Array, stride: int) -> bool:
    """Tell whether `input_gradient` supports a kernel; it has Winograd's form only.

    Args:
        kernel: ``[kh, kw, C, O]``.
        stride: step in both directions.
    """
    return (*kernel.shape[:2], stride) in ((3, 3, 1), (4, 4, 2)) and min(kernel.shape[2:]) >= LEAST


def input_gradient(cotangent: Array, kernel: Array, size: Pair, stride: int, pads: Pads) -> jax.Array:
    """Return the gradient of `convolve` with respect to its images.

    Args:
        cotangent: ``[N, H', W', O]``.
        kernel: as in `convolve`.
        size: (H, W) of the images.
        stride: as in `convolve`.
        pads: as in `convolve`.

    Returns:
        ``[N, H, W, C]``.
    """
    return _batched(cotangent, kernel, _Call("jaxart_input_gradient", (*size, kernel.shape[2]), stride, pads, True))


def kernel_gradient(
    images: Array, cotangent: Array, kernel_size: Pair, stride: int, pads: Pads, winograd: bool
) -> jax.Array:
    """Return the gradient of `convolve` with respect to its kernel.

    Args:
        images: as in `convolve`.
        cotangent: ``[N, H', W', O]``.
        kernel_size: (kh, kw).
        stride: as in `convolve`.
        pads: as in `convolve`.
        winograd: as in `convolve`.

    Returns:
        ``[kh, kw, C, O]``.
    """
    size = (*kernel_size, images.shape[3], cotangent.shape[3])
    return _batched(images, cotangent, _Call("jaxart_kernel_gradient", size, stride, pads, winograd))


def _batched(left: Array, right: Array, call: _Call) -> jax.Array:
    """Call the kernel; under `vmap` over images alone, once for all of them."""

    @custom_vmap
    def run(left, right):
        return _partitioned(left, right, call)

    @run.def_vmap
    def rule(axis_size, in_batched, left, right):
        if in_batched == [True, False] and not call.sums:
            flat = run(left.reshape(-1, *left.shape[2:]), right)
            return flat.reshape(axis_size, -1, *flat.shape[1:]), True
        axes = tuple(0 if each else None for each in in_batched)
        one = functools.partial(_one_of, run, axes, (left, right))
        return jax.lax.map(one, jnp.arange(axis_size)), True

    return _varying_as(run(left, right), left, right)


def _varying_as(result: jax.Array, *operands: Array) -> jax.Array:
    """Tell `shard_map` that a result differs between devices where an operand does, by adding the sum of no numbers."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return result
    return functools.reduce(jnp.add, (jnp.sum(each[:0]) for each in operands), result)


def _one_of(run, axes, operands, index):
    return run(*(each if axis is None else each[index] for each, axis in zip(operands, axes, strict=True)))


@functools.partial(custom_partitioning, static_argnums=(2,))
def _partitioned(left: Array, right: Array, call: _Call) -> jax.Array:
    """Call the kernel on what each device has of the batch."""
    shape = call.size if call.sums else (left.shape[0], *call.size)
    run = jax.ffi.ffi_call(call.target, jax.ShapeDtypeStruct(shape, jnp.float32))
    geometry = {"stride": np.int64(call.stride), "top": np.int64(call.pads[0][0]), "left": np.int64(call.pads[1][0])}
    return run(left, right, **geometry, winograd=np.bool_(call.winograd))


def _partition(call: _Call, mesh: Any, operands: tuple, result: Any) -> tuple:
    """Divide a call along the batch, as its left operand is divided; all else is whole on each device."""
    del result
    sharding = operands[0].sharding
    axis = sharding.spec[0] if isinstance(sharding, NamedSharding) and sharding.spec else None
    rows, whole = NamedSharding(mesh, PartitionSpec(axis)), NamedSharding(mesh, PartitionSpec())

    def run(left, right):
        part = _partitioned.fun(left, right, call)
        return jax.lax.psum(part, axis) if call.sums and axis is not None else part

    return mesh, run, whole if call.sums else rows, (rows, rows if call.sums else whole)


def _sharding_rule(call: _Call, *_: Any) -> tuple[str, dict]:
    """Return how shardings pass through a call: only the batch's does. The sum over the batch is the call's own."""
    if call.sums:
        return "n h w c, n i j o -> a b p q", {"need_replication_factors": tuple("hwcijoabpq")}
    return "n h w c, a b d o -> n i j p", {"need_replication_factors": tuple("hwcabdoijp")}


_partitioned.def_partition(_partition, sharding_rule=_sharding_rule)
