"""Convolution with its own derivative, because XLA's is slow in loops on CPU (docs/performance.md)."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp

from jaxart.arrays import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def conv2d(
    images: Array,
    kernel: Array,
    *,
    stride: int = 1,
    padding: Literal["same", "valid"] | Pads = "same",
) -> jax.Array:
    """Correlate `images` with `kernel`: ``y[n,i,j,o] = sum_{a,b,c} x[n, s i + a, s j + b, c] k[a,b,c,o]``.

    Reverse mode works to any order, because each derivative is itself such a convolution or a matrix product: the input gradient is
    the convolution with the flipped, transposed kernel; the weight gradient one matrix product per tap. Forward mode
    (`jax.jvp`, `jax.linearize`) is refused by JAX with "can't apply forward-mode differentiation (jvp) to a custom_vjp function".

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C, O]``, of the same dtype.
        stride: step in both directions, at least 1.
        padding: "same" (zeros, output ``ceil(H / stride)``), "valid", or ((top, bottom), (left, right)) zeros.

    Returns:
        ``[N, H', W', O]``.

    Raises:
        ValueError: ranks or channels that do not fit, or an unknown padding.

    >>> conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5)), stride=2).shape
    (1, 2, 2, 5)
    """
    if images.ndim != 4 or kernel.ndim != 4 or images.shape[-1] != kernel.shape[2]:
        raise ValueError(f"conv2d: expected [N, H, W, C] and [kh, kw, C, O], got {images.shape} and {kernel.shape}.")
    pads = _pads(images.shape[1:3], kernel.shape[:2], stride, padding)
    return _convolve(images, kernel, (stride, stride), pads, (1, 1))


def _pads(size, taps, stride, padding) -> Pads:
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding == "same":
        totals = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, taps, strict=True)]
        top, left = totals[0] // 2, totals[1] // 2
        return ((top, totals[0] - top), (left, totals[1] - left))
    if isinstance(padding, str):
        raise ValueError(
            f"conv2d: expected padding 'same', 'valid' or ((top, bottom), (left, right)), got {padding!r}."
        )
    (top, bottom), (left, right) = padding
    return ((top, bottom), (left, right))


# One closed family: a convolution with stride, padding and input dilation; every derivative stays inside it.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(images: Array, kernel: Array, stride: Pair, pads: Pads, dilation: Pair) -> jax.Array:
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        stride,
        pads,
        lhs_dilation=dilation,
        dimension_numbers=_LAYOUT,
        precision=jax.lax.Precision.DEFAULT,
    )


def _forward(images, kernel, stride, pads, dilation):
    return _convolve(images, kernel, stride, pads, dilation), (images, kernel)


def _backward(stride, pads, dilation, residual, cotangent):
    images, kernel = residual
    return (
        _input_gradient(cotangent, kernel, images.shape[1:3], stride, pads, dilation),
        _kernel_gradient(images, cotangent, kernel.shape[:2], stride, pads, dilation),
    )


_convolve.defvjp(_forward, _backward)


def _input_gradient(cotangent, kernel, size, stride, pads, dilation):
    """Convolve the cotangent with the flipped kernel, its channel axes swapped; stride and dilation change places."""
    flipped = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    back = []
    for axis in (0, 1):
        taps = kernel.shape[axis]
        low = taps - 1 - pads[axis][0]
        spread_in = (size[axis] - 1) * dilation[axis] + 1
        spread_out = (cotangent.shape[1 + axis] - 1) * stride[axis] + 1
        back.append((low, spread_in + taps - 1 - spread_out - low))
    return _convolve(cotangent, flipped, dilation, (back[0], back[1]), stride)


def _kernel_gradient(images, cotangent, taps, stride, pads, dilation):
    """Multiply, for each tap, the pixels it met with the cotangents they met: [C, N H' W'] x [N H' W', O]."""
    (top, bottom), (left, right) = pads
    config = ((0, 0, 0), (top, bottom, dilation[0] - 1), (left, right, dilation[1] - 1), (0, 0, 0))
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), config)  # negative padding crops
    batch, height, width, _ = cotangent.shape
    rows = cotangent.reshape(-1, cotangent.shape[-1])

    def tap(a, b):
        end = (batch, a + (height - 1) * stride[0] + 1, b + (width - 1) * stride[1] + 1, padded.shape[3])
        window = jax.lax.slice(padded, (0, a, b, 0), end, (1, *stride, 1))
        return window.reshape(-1, padded.shape[3]).T @ rows

    return jnp.stack([jnp.stack([tap(a, b) for b in range(taps[1])]) for a in range(taps[0])])
