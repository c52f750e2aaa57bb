"""Convolution of 3 x 3 kernels, stride 1, by Winograd's minimal filtering F(4 x 4, 3 x 3): a quarter of the multiplications.

The algorithms that `ops.convolution` takes on a CPU; nothing else imports this module but for `transform_kernel`. A tile of 4 x 4
results is made from 6 x 6 pixels: ``y = A^T [(G k G^T) * (B^T x B)] A``, where * is a product per tile position and a matrix product over
channels.

The points of evaluation are 0, 3/2, -3/2, 2/3, -2/3 and infinity. They round four times less than the usual 0, 1, -1, 2, -2
(docs/performance.md), and as their inverses are among them, a flipped kernel is transformed into the same numbers in another order: one
transformed kernel serves the convolution and its input gradient. In float32 results are within 5e-5 of the direct form, relative to the
largest.

Reference: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016, section 4.3.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array

OUT, IN = 4, 6  # results and pixels of a tile, along each axis
_POINTS = np.array([0, 3 / 2, -3 / 2, 2 / 3, -2 / 3])  # and infinity
_FLIPPED = [5, 3, 4, 1, 2, 0]  # which point is the inverse of each

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


class _Matrices(NamedTuple):
    pixels: np.ndarray  # B^T [6, 6]
    results: np.ndarray  # A^T [4, 6]


def _toom_cook() -> tuple[_Matrices, np.ndarray, np.ndarray]:
    """Return the matrices of the convolution, G ``[6, 3]``, and what a point's basis polynomial was divided by."""
    others = [np.delete(_POINTS, i) for i in range(IN - 1)]
    norms = np.array([np.prod(p - rest) for p, rest in zip(_POINTS, others, strict=True)])
    kernel = np.vstack([_POINTS[:, None] ** np.arange(3) / norms[:, None], [0, 0, 1]])
    pixels = np.vstack([*(np.append(np.poly(rest)[::-1], 0) for rest in others), np.poly(_POINTS)[::-1]])
    results = np.column_stack([_POINTS ** np.arange(OUT)[:, None], [0, 0, 0, 1]])
    return _Matrices(pixels, results), kernel, norms


def _mirrored(matrices: _Matrices, norms: np.ndarray) -> _Matrices:
    """Return the matrices with which the transformed kernel acts as if it were flipped along the axis."""
    scale = np.zeros(IN)  # of each point's transformed kernel
    scale[[0, -1]] = norms[0], 1 / norms[0]
    for i in range(1, IN - 1):
        scale[_FLIPPED[i]] = _POINTS[i] ** 2 * norms[_FLIPPED[i]] / norms[i]
    return _Matrices(matrices.pixels[_FLIPPED], matrices.results[:, _FLIPPED] * scale)


_FORWARD, _G, _NORMS = _toom_cook()
_BACKWARD = _mirrored(_FORWARD, _NORMS)
_KERNEL = np.einsum("pb,qa->pqab", _G, _G).reshape(IN * IN, 9)  # to (column, row) of points from (row, column) of taps
_ERRORS = np.pad(_FORWARD.results.T, ((0, 0), (1, 1)))  # over windows that begin one before each tile

_apart = jax.lax.optimization_barrier  # XLA's fusion of strided slices into what follows costs more than it saves


def tile_count(size: Sequence[int]) -> int:
    """Return how many tiles cover (height, width) results."""
    high, wide = _tiles(size)
    return high * wide


def _tiles(size: Sequence[int]) -> tuple[int, int]:
    return -(-size[0] // OUT), -(-size[1] // OUT)


def transform_kernel(kernel: Array) -> jax.Array:
    """Transform ``[3, 3, C, O]`` to ``[36, C, O]``: once, for kernels that are not trained."""
    return (jnp.asarray(_KERNEL, kernel.dtype) @ kernel.reshape(9, -1)).reshape(IN * IN, *kernel.shape[2:])


def _mixed(matrix: np.ndarray, array: jax.Array, windows: Sequence[tuple[slice, ...]], axis: int) -> jax.Array:
    """Return `matrix` times the parts of `array` that the windows show, its rows as a new axis: one fused loop.

    The matrix is an operand of the loop, not a constant in it, and comes out of one barrier with the array: so the loops of all matrices
    are the same to XLA, which then compiles them once for a shape.
    """
    operand, array = _apart((jnp.asarray(matrix, array.dtype), array))
    parts = [array[window] for window in windows]
    shape = (*parts[0].shape[:axis], len(matrix), *parts[0].shape[axis:])
    others = [i for i in range(len(shape)) if i != axis]
    total = None
    for i, part in enumerate(parts):
        weights = jax.lax.broadcast_in_dim(jax.lax.index_in_dim(operand, i, 1, keepdims=False), shape, (axis,))
        term = weights * jax.lax.broadcast_in_dim(part, shape, others)
        total = term if total is None else total + term
    return _apart(total)


def _into_tiles(matrix: np.ndarray, images: jax.Array, count: tuple[int, int]) -> jax.Array:
    """Apply `matrix` ``[6, 6]`` along both axes of every 6 x 6 window at stride 4: ``[36, N * tiles, C]``."""
    n, _, width, channels = images.shape
    rows, columns = ([np.s_[:, i : i + OUT * (c - 1) + 1 : OUT] for i in range(IN)] for c in count)
    by_row = _mixed(matrix, images, rows, 0).reshape(IN * n * count[0], width, channels)
    return _mixed(matrix, by_row, columns, 0).reshape(IN * IN, n * count[0] * count[1], channels)


def _out_of_tiles(matrix: np.ndarray, products: jax.Array, n: int, count: tuple[int, int]) -> jax.Array:
    """Apply `matrix` ``[4, 6]`` along both axes of every tile and put the tiles together: ``[N, 4 rows, 4 columns, O]``."""
    (high, wide), channels = count, products.shape[-1]
    by_column = _mixed(matrix, products.reshape(IN, IN * n * high, wide, channels), range(IN), 2)
    return _mixed(matrix, by_column.reshape(IN, n * high, OUT * wide * channels), range(IN), 1).reshape(
        n, OUT * high, OUT * wide, channels
    )


def pad(images: Array, rows: Pair, columns: Pair, dilation: Pair = (1, 1)) -> jax.Array:
    """Put zeros around ``[N, H, W, C]``, and between its pixels where they are spread; negative padding crops."""
    config = ((0, 0, 0), (*rows, dilation[0] - 1), (*columns, dilation[1] - 1), (0, 0, 0))
    return jax.lax.pad(images, jnp.zeros((), images.dtype), config)


def _windows(images: Array, count: tuple[int, int], pads: Pads) -> jax.Array:
    """Pad on both sides, as far as whole tiles reach."""
    rows, columns = ((pads[a][0], OUT * count[a] + 2 - images.shape[1 + a] - pads[a][0]) for a in (0, 1))
    return _apart(pad(_apart(images), rows, columns))


def _filter(images: Array, transformed: Array, matrices: _Matrices, contract: int, pads: Pads) -> jax.Array:
    size = [n + sum(pad) - 2 for n, pad in zip(images.shape[1:3], pads, strict=True)]
    count = _tiles(size)
    pixels = _into_tiles(matrices.pixels, _windows(images, count, pads), count)
    products = jax.lax.dot_general(pixels, transformed, (((2,), (1 + contract,)), ((0,), (0,))))
    results = _out_of_tiles(matrices.results, _apart(products), images.shape[0], count)
    return results[:, : size[0], : size[1]]


@functools.partial(jax.jit, static_argnums=2)
def convolve(images: Array, transformed: Array, pads: Pads) -> jax.Array:
    """Correlate ``[N, H, W, C]`` with a kernel from `transform_kernel`: ``[N, H', W', O]``."""
    return _filter(images, transformed, _FORWARD, 0, pads)


@functools.partial(jax.jit, static_argnums=(2, 3))
def input_gradient(cotangent: Array, transformed: Array, size: Pair, pads: Pads) -> jax.Array:
    """Return the gradient of `convolve` in its images of `size`: a convolution with the flipped kernel."""
    back = [(2 - pads[a][0], size[a] + pads[a][0] - cotangent.shape[1 + a]) for a in (0, 1)]
    return _filter(cotangent, transformed, _BACKWARD, 1, (back[0], back[1]))


@functools.partial(jax.jit, static_argnums=2)
def kernel_gradient(images: Array, cotangent: Array, pads: Pads) -> jax.Array:
    """Return the gradient of the convolution in its kernel: ``[3, 3, C, O]``."""
    count = _tiles(cotangent.shape[1:3])
    pixels = _into_tiles(_FORWARD.pixels, _windows(images, count, pads), count)
    errors = _into_tiles(_ERRORS, _windows(cotangent, count, ((1, 1), (1, 1))), count)
    products = _apart(jnp.einsum("ptc,pto->pco", pixels, errors))
    flat = jnp.asarray(_KERNEL.T, products.dtype) @ products.reshape(IN * IN, -1)
    return flat.reshape(3, 3, *products.shape[1:])
