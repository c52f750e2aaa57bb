"""Gray morphology: minima and maxima over squares and lines, and what they make of pictures. Beyond the picture there is nothing."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array


def dilate(x: Array, side: int) -> jax.Array:
    """Return the largest value of the square around each pixel: ``[H, W] -> [H, W]``.

    Args:
        x: numbers or bool.
        side: of the square, odd.

    >>> dilate(jnp.array([[0.0, 1.0, 0.0, 0.0]]), 3).tolist()
    [[1.0, 1.0, 1.0, 0.0]]
    """
    return _over(x, side, largest=True)


def erode(x: Array, side: int) -> jax.Array:
    """Return the least value of the square around each pixel: ``[H, W] -> [H, W]``.

    Args:
        x: numbers or bool.
        side: of the square, odd.
    """
    return _over(x, side, largest=False)


def opened(x: Array, side: int) -> jax.Array:
    """Return a picture without what is lighter than its surroundings and narrower than a square: ``[H, W] -> [H, W]``.

    Args:
        x: numbers or bool.
        side: of the square, odd.
    """
    return dilate(erode(x, side), side)


def closed(x: Array, side: int) -> jax.Array:
    """Return a picture without what is darker than its surroundings and narrower than a square: ``[H, W] -> [H, W]``.

    Args:
        x: numbers or bool.
        side: of the square, odd.
    """
    return erode(dilate(x, side), side)


def line_offsets(length: int, angle: float) -> np.ndarray:
    """Return the pixels of a line through the middle, ``[length, 2]``: rows and columns from there.

    Args:
        length: pixels, odd.
        angle: from the row, in radians.

    >>> line_offsets(3, 0.0).tolist()
    [[0, -1], [0, 0], [0, 1]]
    """
    down, right = math.sin(angle), math.cos(angle)
    steps = np.arange(length) - length // 2
    scale = max(abs(down), abs(right))  # one pixel a step along the longer side
    return np.stack([np.rint(steps * down / scale), np.rint(steps * right / scale)], -1).astype(int)


def open_lines(x: Array, length: int, angles: int) -> jax.Array:
    """Return what of a picture lies on lines of some length: at each pixel, the lightest line through it, as light as its darkest pixel.

    Args:
        x: ``[H, W]``, float.
        length: of the lines, odd.
        angles: directions, spread evenly.

    Returns:
        ``[H, W]``, at most `x`.

    Reference: Soille and Talbot, Directional Morphological Filtering, 2001.
    """
    return _open_lines(jnp.asarray(x), length, angles)


@functools.partial(jax.jit, static_argnames=("length", "angles"))
def _open_lines(x: jax.Array, length: int, angles: int) -> jax.Array:
    def opened_along(offsets: jax.Array) -> jax.Array:
        least = _along(x, offsets, jnp.minimum, jnp.inf)
        return _along(least, -offsets, jnp.maximum, -jnp.inf)

    lines = _lines(length, angles)
    begun = jnp.full_like(x, -jnp.inf)
    return jax.lax.fori_loop(0, angles, lambda k, found: jnp.maximum(found, opened_along(lines[k])), begun)


def line_means(x: Array, length: int, angles: int) -> jax.Array:
    """Return the mean of the line through each pixel on which it is largest; what lies beyond the picture is 0.

    Args:
        x: ``[H, W]``, float.
        length: of the lines, odd.
        angles: directions, spread evenly.
    """
    return _line_means(jnp.asarray(x), length, angles)


@functools.partial(jax.jit, static_argnames=("length", "angles"))
def _line_means(x: jax.Array, length: int, angles: int) -> jax.Array:
    lines = _lines(length, angles)

    def larger(k: jax.Array, found: jax.Array) -> jax.Array:
        return jnp.maximum(found, _along(x, lines[k], jnp.add, 0.0) / length)

    return jax.lax.fori_loop(0, angles, larger, jnp.zeros_like(x))


def _lines(length: int, angles: int) -> jax.Array:
    return jnp.asarray(np.stack([line_offsets(length, math.pi * k / angles) for k in range(angles)]))


def _along(
    x: jax.Array, offsets: jax.Array, join: Callable[[jax.Array, jax.Array], jax.Array], beyond: float
) -> jax.Array:
    """Join the pixels at some offsets from each; slices at places that are known late, so that all directions are one loop."""
    reach = len(offsets) // 2
    padded = jnp.pad(x, reach, constant_values=beyond)

    def one(k: jax.Array, found: jax.Array) -> jax.Array:
        return join(found, jax.lax.dynamic_slice(padded, tuple(offsets[k] + reach), x.shape))

    return jax.lax.fori_loop(0, len(offsets), one, jnp.full_like(x, beyond))


def _over(x: Array, side: int, *, largest: bool) -> jax.Array:
    x = jnp.asarray(x)
    if x.dtype == bool:
        join, nothing = (jax.lax.bitwise_or, False) if largest else (jax.lax.bitwise_and, True)
    else:
        join, nothing = (jax.lax.max, -jnp.inf) if largest else (jax.lax.min, jnp.inf)
    window = functools.partial(jax.lax.reduce_window, init_value=nothing, computation=join, window_strides=(1, 1))
    for size in ((side, 1), (1, side)):
        x = window(x, window_dimensions=size, padding="SAME")
    return x


def box_sums(x: Array, side: int) -> jax.Array:
    """Return the sum of the square around each pixel, what lies beyond the picture being 0: ``[H, W] -> [H, W]``.

    Args:
        x: float.
        side: of the square, odd.

    >>> box_sums(jnp.array([[1.0, 2.0, 3.0, 4.0]]), 3).tolist()
    [[3.0, 6.0, 9.0, 7.0]]
    """
    x = jnp.asarray(x)
    for axis in (0, 1):
        pad = [(side // 2 + 1, side // 2) if axis == each else (0, 0) for each in (0, 1)]
        sums = jax.lax.optimization_barrier(jnp.cumsum(jnp.pad(x, pad), axis))
        x = jax.lax.slice_in_dim(sums, side, None, axis=axis) - jax.lax.slice_in_dim(sums, 0, -side, axis=axis)
    return x


def reconstruct(seeds: Array, within: Array) -> jax.Array:
    """Return the parts of a region that hold a seed: hysteresis, where seeds are what is sure and the region what may be.

    Args:
        seeds: bool ``[H, W]``.
        within: bool ``[H, W]``; pixels that touch at corners are of one part.
    """
    return _reconstruct(jnp.asarray(seeds), jnp.asarray(within))


@jax.jit
def _reconstruct(seeds: jax.Array, within: jax.Array) -> jax.Array:
    def going(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(carry[0] != carry[1])

    def grown(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return dilate(carry[0], 3) & within, carry[0]

    seeds = seeds & within
    return jax.lax.while_loop(going, grown, (seeds, jnp.zeros_like(seeds)))[0]
