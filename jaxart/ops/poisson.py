"""Poisson's equation on pictures: on rectangles exactly, on regions of any shape by conjugate gradients with multigrid.

The Laplacian here is that of the graph of pixels: the sum of a pixel's neighbors (above, below, left, right) less as many times the pixel.
What lies beyond the picture is nobody's neighbor, so that nothing flows over its border.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array

_COARSEST = 4  # pixels of the shorter side, from which on there is no coarser level
_DAMPED = 0.8  # of a sweep of Jacobi's
_SPREAD = (0.25, 0.75, 0.75, 0.25)  # of a pixel of a coarser level on those of the finer one
_SWEEPS = 8  # at the coarsest level
_PLAIN = 64  # turns without multigrid, each a tenth of one with it: enough for plates over scattered pixels and lines


class Grid(NamedTuple):
    """A level: weights of the links of each pixel to the right ``[H, W - 1]`` and below ``[H - 1, W]``, and to what is known ``[H, W]``."""

    right: jax.Array
    below: jax.Array
    known: jax.Array


def gradient(x: Array) -> tuple[jax.Array, jax.Array]:
    """Return differences of each pixel of pictures ``[..., H, W, C]`` to the next below ``[..., H - 1, W, C]``, and to the right.

    Args:
        x: pictures.
    """
    x = jnp.asarray(x)
    return jnp.diff(x, axis=-3), jnp.diff(x, axis=-2)


def divergence(below: Array, right: Array) -> jax.Array:
    """Return the sum of the differences of each pixel to all of its neighbors: ``divergence(*gradient(x))`` is the Laplacian.

    Args:
        below: differences to the next below, ``[..., H - 1, W, C]``.
        right: differences to the next on the right, ``[..., H, W - 1, C]``.
    """
    return _to_both(jnp.asarray(below), -3) + _to_both(jnp.asarray(right), -2)


def laplacian(x: Array) -> jax.Array:
    """Return the Laplacian of pictures ``[..., H, W, C]``.

    Args:
        x: pictures.

    >>> laplacian(jnp.float32([[1], [2], [4]])[None]).ravel().tolist()
    [1.0, 1.0, -2.0]
    """
    return divergence(*gradient(x))


def _to_both(difference: jax.Array, axis: int) -> jax.Array:
    before, after = ([(0, 0)] * difference.ndim for _ in range(2))
    before[axis], after[axis] = (1, 0), (0, 1)
    return jnp.pad(difference, after) - jnp.pad(difference, before)


def solve_rectangle(right: Array) -> jax.Array:
    """Return the pictures whose Laplacian is given, with zeros around them.

    Args:
        right: ``[..., H, W, C]``, float.

    Returns:
        ``[..., H, W, C]``; for each pixel, the sum of its four neighbors, zeros among them, less four times itself is `right`.

    Reference: Buzbee, Golub and Nielson, On Direct Methods for Solving Poisson's Equations, 1970; the sine transform diagonalizes it.
    """
    right = jnp.asarray(right)
    height, width = right.shape[-3:-1]
    waves = [
        2 * jnp.cos(jnp.pi * jnp.arange(1, side + 1, dtype=right.dtype) / (side + 1)) - 2 for side in (height, width)
    ]
    found = _sines(_sines(right, -3), -2)
    found = found / (waves[0][:, None, None] + waves[1][None, :, None])
    return _sines(_sines(found, -3), -2) * (4 / ((height + 1) * (width + 1)))


def _sines(x: jax.Array, axis: int) -> jax.Array:
    """Return ``sum_k x_k sin(pi (j + 1) (k + 1) / (n + 1))`` along an axis, by the transform of its odd continuation."""
    x = jnp.moveaxis(x, axis, -1)
    zero = jnp.zeros((*x.shape[:-1], 1), x.dtype)
    odd = jnp.concatenate([zero, x, zero, -x[..., ::-1]], axis=-1)
    found = -jnp.fft.rfft(odd, axis=-1).imag[..., 1 : x.shape[-1] + 1] / 2
    return jnp.moveaxis(found, -1, axis)


def solve_region(
    right: Array, region: Array, *, screen: float = 0.0, tolerance: float = 1e-6, most: int = 200
) -> jax.Array:
    """Return the picture that is zero outside of a region and whose Laplacian, less `screen` times itself, is given within it.

    It can be differentiated by `right`, and is the same for regions of several parts; a part without a known neighbor, such as the whole
    picture, has no one answer, and is left at what conjugate gradients from zero come to.

    Args:
        right: ``[H, W, C]``, float.
        region: bool ``[H, W]``.
        screen: at least 0; more keeps the picture nearer to zero.
        tolerance: of what is left, relative to what there was, at which it ends.
        most: turns at most.

    Returns:
        ``[H, W, C]``, of the type of `right`.

    Reference: Tatebe, The Multigrid Preconditioned Conjugate Gradient Method, 1993. Departure: coarser levels count the links of finer
    ones, half those between pixels and all those to known pixels, so that regions of any shape have them.
    """
    grids = _grids(jnp.asarray(region), screen, jnp.asarray(right).dtype)
    return _solved(
        functools.partial(_applied, grids[0]), functools.partial(_cycle, grids), -right, region, tolerance, most
    )


def solve_plate(right: Array, region: Array, *, tolerance: float = 1e-6, most: int = 500) -> jax.Array:
    """Return the picture that is zero outside of a region and the Laplacian of whose Laplacian is given within it.

    Args:
        right: ``[H, W, C]``, float.
        region: bool ``[H, W]``.
        tolerance: as in `solve_region`.
        most: turns at most.

    Returns:
        ``[H, W, C]``, of the type of `right`.
    """
    inside = jnp.asarray(region)[None]
    grids = _grids(jnp.asarray(region), 0.0, jnp.asarray(right).dtype)

    def applied(x: jax.Array) -> jax.Array:
        twice = laplacian(laplacian(jnp.moveaxis(x, 0, -1)))
        return jnp.where(inside, jnp.moveaxis(twice, -1, 0), 0)

    def near(x: jax.Array) -> jax.Array:  # a loop: half as much to compile
        return jax.lax.fori_loop(0, 2, lambda _, x: _cycle(grids, x), x)

    return _solved(applied, near, right, region, tolerance, most, plain=_PLAIN)


def _solved(
    applied: Any, near: Any, right: Array, region: Array, tolerance: float, most: int, *, plain: int = 0
) -> jax.Array:
    """Solve by conjugate gradients: `plain` turns at most without a preconditioner, and what is left with it."""
    inside = jnp.asarray(region)[None]

    def solve(applied: Any, given: jax.Array) -> jax.Array:  # what is outside counts neither here nor in the derivative
        given = jnp.where(inside, given, 0)
        turns = functools.partial(_conjugate_gradients, applied, limit=tolerance**2 * _dot(given, given))
        found, left = turns(given, near=lambda x: x, most=plain) if plain else (jnp.zeros_like(given), given)
        return found + turns(left, near=near, most=most)[0]

    found = jax.lax.custom_linear_solve(applied, jnp.moveaxis(jnp.asarray(right), -1, 0), solve, symmetric=True)
    return jnp.moveaxis(found, 0, -1)


def _grids(region: jax.Array, screen: float, dtype: Any) -> list[Grid]:
    """Return the levels, finest first."""
    inside = region.astype(dtype)
    count = functools.partial(jnp.pad, mode="constant")
    known = (1 - inside).astype(dtype)
    around = count(known[1:], ((0, 1), (0, 0))) + count(known[:-1], ((1, 0), (0, 0)))
    around += count(known[:, 1:], ((0, 0), (0, 1))) + count(known[:, :-1], ((0, 0), (1, 0)))
    grids = [Grid(inside[:, 1:] * inside[:, :-1], inside[1:] * inside[:-1], inside * (around + screen))]
    while min(grids[-1].known.shape) > _COARSEST:
        grids.append(_coarser(grids[-1]))
    return grids


def _coarser(grid: Grid) -> Grid:
    height, width = grid.known.shape
    right = jnp.pad(grid.right, ((0, height % 2), (0, 0)))[:, 1::2]  # links that cross from one square to the next
    below = jnp.pad(grid.below, ((0, 0), (0, width % 2)))[1::2]
    return Grid((right[::2] + right[1::2]) / 2, (below[:, ::2] + below[:, 1::2]) / 2, _summed(grid.known[None])[0])


def _summed(x: jax.Array) -> jax.Array:
    """Return the sums of squares of 2 x 2: ``[C, H, W] -> [C, (H + 1) // 2, (W + 1) // 2]``."""
    channels, height, width = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2)))
    return x.reshape(channels, (height + 1) // 2, 2, (width + 1) // 2, 2).sum((2, 4))


def _diagonal(grid: Grid) -> jax.Array:
    found = grid.known + jnp.pad(grid.right, ((0, 0), (0, 1))) + jnp.pad(grid.right, ((0, 0), (1, 0)))
    return found + jnp.pad(grid.below, ((0, 1), (0, 0))) + jnp.pad(grid.below, ((1, 0), (0, 0)))


def _applied(grid: Grid, x: jax.Array) -> jax.Array:
    """Return less the Laplacian within the region: ``[C, H, W] -> [C, H, W]``, symmetric and positive."""
    across = grid.right[None] * (x[:, :, 1:] - x[:, :, :-1])
    down = grid.below[None] * (x[:, 1:] - x[:, :-1])
    found = grid.known[None] * x
    found += jnp.pad(across, ((0, 0), (0, 0), (1, 0))) - jnp.pad(across, ((0, 0), (0, 0), (0, 1)))
    return found + jnp.pad(down, ((0, 0), (1, 0), (0, 0))) - jnp.pad(down, ((0, 0), (0, 1), (0, 0)))


def _cycle(grids: list[Grid], x: jax.Array) -> jax.Array:
    """Return about what solves the finest of some levels, by a V of them: a symmetric positive function of what is asked."""
    grid, *coarser = grids
    diagonal = _diagonal(grid)
    step = jnp.where(diagonal > 0, _DAMPED / jnp.where(diagonal > 0, diagonal, 1), 0)[None]
    found = step * x
    if not coarser:
        return functools.reduce(lambda found, _: found + step * (x - _applied(grid, found)), range(_SWEEPS), found)
    left = x - _applied(grid, found)
    change = _enlarged(_cycle(coarser, _shrunk(left)), grid.known.shape)
    found += jnp.where((diagonal > 0)[None], change, 0)
    return found + step * (x - _applied(grid, found))


def _shrunk(x: jax.Array) -> jax.Array:
    """Return sums of pixels to half the size, each weighed as it is enlarged from there; a convolution, for XLA fuses none.

    Chains of slices are fused whole, and each computed again for every neighbor of every level above it: 200 times as slow at 512 pixels.
    """
    height, width = x.shape[1:]
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2)))
    kernel = np.outer(_SPREAD, _SPREAD)[:, :, None, None].astype(x.dtype)
    return _convolved(jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge"), kernel, 2)[..., 0]


def _enlarged(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Return pixels at twice the size, bilinearly, and cut to a size; the transpose of `_shrunk`."""
    channels, height, width = x.shape
    taps = np.array(
        [[_SPREAD[3], _SPREAD[1], 0], [0, _SPREAD[2], _SPREAD[0]]]
    )  # of the first and the second pixel of two
    kernel = np.einsum("ai,bj->ijab", taps, taps).reshape(3, 3, 1, 4).astype(x.dtype)
    found = _convolved(jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge"), kernel, 1)
    found = found.reshape(channels, height, width, 2, 2).transpose(0, 1, 3, 2, 4)
    return found.reshape(channels, 2 * height, 2 * width)[:, : size[0], : size[1]]


def _convolved(x: jax.Array, kernel: np.ndarray, stride: int) -> jax.Array:
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x[..., None], jnp.asarray(kernel), (stride, stride), "VALID", dimension_numbers=order, precision="highest"
    )


class _Turn(NamedTuple):
    found: jax.Array
    left: jax.Array
    direction: jax.Array
    product: jax.Array  # of what is left and what a cycle makes of it, [C]
    count: jax.Array


def _conjugate_gradients(
    applied: Any, given: jax.Array, *, near: Any, limit: jax.Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """Solve for all channels at once, each with its own steps; return what was found, and what is left of what was asked.

    `near` is about the inverse, symmetric and positive; `limit` is the sum of squares of what may be left, ``[C]``.
    """

    def open_channels(turn: _Turn) -> jax.Array:
        return _dot(turn.left, turn.left) > limit

    def going(turn: _Turn) -> jax.Array:
        return jnp.any(open_channels(turn)) & (turn.count < most)

    def turned(turn: _Turn) -> _Turn:  # the one place where `near` is called: it is most of what there is to compile
        toward = near(turn.left)
        product = _dot(turn.left, toward)
        direction = toward + _share(product, turn.product) * turn.direction
        image = applied(direction)
        along = _share(product, _dot(direction, image)) * open_channels(turn)[:, None, None]
        return _Turn(turn.found + along * direction, turn.left - along * image, direction, product, turn.count + 1)

    nothing = jnp.zeros_like(given)
    begun = _Turn(nothing, given, nothing, jnp.zeros_like(given[:, 0, 0]), jnp.int32(0))
    ended = jax.lax.while_loop(going, turned, begun)
    return ended.found, ended.left


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(a * b, axis=(1, 2))


def _share(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)[:, None, None]
