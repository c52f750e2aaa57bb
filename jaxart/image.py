"""Geometry and range of pictures: sizes of a coarse-to-fine pyramid, resizing, bytes as floats. Arrays are ``[..., H, W, C]``."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array


def pyramid(largest: int, smallest: int, *, ratio: float = 2**0.5) -> tuple[int, ...]:
    """Return the long sides of a coarse-to-fine pyramid, ascending: ``round(largest / ratio**i)`` while >= smallest.

    Args:
        largest: long side of the last scale, pixels.
        smallest: no scale is smaller than this, except that `largest` itself is always there.
        ratio: factor between neighboring scales, above 1.

    Returns:
        Long sides in pixels.

    >>> pyramid(512, 128)
    (128, 181, 256, 362, 512)
    """
    sizes = [largest]
    while (size := round(largest / ratio ** len(sizes))) >= smallest:
        sizes.append(size)
    return tuple(reversed(sizes))


def fit_within(shape: Sequence[int], long_side: int) -> tuple[int, int]:
    """Return (height, width) of the same aspect ratio whose longer side is `long_side`, each at least one pixel.

    Args:
        shape: (height, width) of the picture, pixels.
        long_side: of the result, pixels.

    >>> fit_within((300, 451), 128)
    (85, 128)
    """
    height, width = shape
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


@functools.partial(jax.jit, static_argnames=("size", "method"))
def resize(images: Array, size: tuple[int, int], *, method: str = "bicubic") -> jax.Array:
    """Resample to `size`, antialiased when shrinking.

    Args:
        images: ``[..., H, W, C]``.
        size: (height, width) in pixels.
        method: "bicubic" (Keys, a = -0.5) or "bilinear". Bicubic overshoots: the caller clips.

    Returns:
        ``[..., height, width, C]``, the same dtype.
    """
    shape = (*images.shape[:-3], *size, images.shape[-1])  # [..., height, width, C]
    return jax.image.resize(jnp.asarray(images), shape, method=method)


@functools.partial(jax.jit, static_argnames=("size",))
def enlarge(images: Array, size: tuple[int, int]) -> jax.Array:
    """Resample to a larger `size` as `resize` does, by the four neighbors that count: a third of the time where it is a program of its own.

    `resize` multiplies by a matrix of all neighbors, which is slow on a CPU. Inside another program that one is the better: lookups are
    computed anew by all that use them, each with a rounding of its own.

    Args:
        images: ``[..., H, W, C]``, of floats.
        size: (height, width) in pixels, none below that of the images.

    Returns:
        ``[..., height, width, C]``, the same dtype. Bicubic overshoots: the caller clips.
    """
    images = jnp.asarray(images)
    for axis, new in zip((-3, -2), size, strict=True):
        images = _enlarged(images, axis, new)
    return images


@functools.partial(jax.jit, static_argnames=("factor",))
def shrink(images: Array, factor: int) -> jax.Array:
    """Resample to sides divided by a whole number as `resize` does, by the pixels that count: for large pictures, and fast to transpose.

    Args:
        images: ``[..., H, W, C]``, of floats; sides are multiples of `factor`.
        factor: at least 1.

    Returns:
        ``[..., H / factor, W / factor, C]``, the same dtype.

    Raises:
        ValueError: sides that are no multiples.
    """
    images = jnp.asarray(images)
    if images.shape[-3] % factor or images.shape[-2] % factor:
        raise ValueError(f"shrink: expected sides that are multiples of {factor}, got {images.shape}.")
    for axis in (-3, -2):
        images = _shrunk(images, axis, factor)
    return images


def _shrunk(x: jax.Array, axis: int, factor: int) -> jax.Array:
    """Return sums of every k-th pixel from the 4 k around each place; beyond the border there is none."""
    axis, length = x.ndim + axis, x.shape[axis]
    new, shape = length // factor, [1] * x.ndim
    shape[axis] = new
    middle = (factor - 1) / 2
    taps = np.arange(4 * factor) + int(np.ceil(middle - 2 * factor))
    weights = cubic(np.abs(middle - taps) / factor)
    there = taps[:, None] + factor * np.arange(new)
    shares = weights[:, None] * ((there >= 0) & (there < length))
    shares = (shares / shares.sum(axis=0)).astype(np.float32)
    margins = [(0, 0)] * x.ndim
    margins[axis] = (-int(taps[0]), int(taps[-1]) - factor + 1)
    padded = jax.lax.optimization_barrier(jnp.pad(x, margins))
    parts = [
        jax.lax.slice_in_dim(padded, number, number + factor * (new - 1) + 1, factor, axis=axis)
        * share.reshape(shape).astype(x.dtype)
        for number, share in enumerate(shares)
    ]
    return jax.lax.optimization_barrier(functools.reduce(operator.add, parts))


def _enlarged(x: jax.Array, axis: int, size: int) -> jax.Array:
    old, shape = x.shape[axis], [1] * x.ndim
    shape[axis] = size
    place = (np.arange(size) + 0.5) * (old / size) - 0.5
    taps = np.floor(place).astype(np.int64) + np.arange(-1, 3)[:, None]  # [4, size]
    weights = cubic(np.abs(place - taps)) * ((taps >= 0) & (taps < old))
    weights = (weights / weights.sum(axis=0)).astype(np.float32)
    parts = [
        jnp.take(x, np.clip(tap, 0, old - 1), axis=axis) * weight.reshape(shape).astype(x.dtype)
        for tap, weight in zip(taps, weights, strict=True)
    ]
    return functools.reduce(operator.add, parts)


def cubic(distance: np.ndarray) -> np.ndarray:
    """Return Keys' kernel, a = -0.5, at distances of at least 0."""
    near, far = (1.5 * distance - 2.5) * distance**2 + 1, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def unit(images: Array) -> jax.Array:
    """Map uint8 to [0, 1]; leave floats as they are.

    >>> unit(jnp.array([0, 255], jnp.uint8)).tolist()
    [0.0, 1.0]
    """
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else jnp.asarray(images)


def signed(images: Array) -> jax.Array:
    """Map uint8 to [-1, 1]; leave floats as they are.

    >>> signed(jnp.array([0, 255], jnp.uint8)).tolist()
    [-1.0, 1.0]
    """
    return images.astype(jnp.float32) / 127.5 - 1 if images.dtype == jnp.uint8 else jnp.asarray(images)
