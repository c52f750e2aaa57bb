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

# Every loop below stands between two barriers: fused into what follows it would be computed several times over. The matrix passes the first
# one together with the pixels, which makes it an operand of the loop instead of a constant inside: all three directions of all layers
# of a shape then have the same loops, and XLA compiles each once. The number of different loops is what compiling takes time for.
_apart = jax.lax.optimization_barrier


def tile_count(size: Sequence[int]) -> int:
    """Return how many tiles cover (height, width) results."""
    high, wide = _tiles(size)
    return high * wide


def _tiles(size: Sequence[int]) -> Pair:
    return -(-size[0] // OUT), -(-size[1] // OUT)


def transform_kernel(kernel: Array) -> jax.Array:
    """Transform a kernel ``[3, 3, C, O]`` to ``[36, C, O]``; for kernels that are not trained, do it once."""
    return (jnp.asarray(_KERNEL, kernel.dtype) @ kernel.reshape(9, -1)).reshape(IN * IN, *kernel.shape[2:])


def _plus(a: jax.Array, b: jax.Array) -> jax.Array:
    return a - (-b)  # a plain sum XLA leaves to a library (YNNPACK), which takes hundreds of times longer


def _product(matrix: jax.Array, array: jax.Array, axis: int, place: int) -> jax.Array:
    """Sum ``matrix[p, i] * array[..., i, ...]`` over the axis of i, with that of p put in before `place`: one fused loop."""
    shape = (*array.shape[:place], len(matrix), *array.shape[place:])
    summed = axis + (axis >= place)
    weights = jax.lax.broadcast_in_dim(matrix, shape, (place, summed))
    values = jax.lax.broadcast_in_dim(array, shape, [i for i in range(len(shape)) if i != place])
    return jax.lax.reduce(jax.lax.mul(weights, values), np.zeros((), array.dtype), _plus, (summed,))


def _windows_product(matrix: jax.Array, array: jax.Array) -> jax.Array:
    """Multiply `matrix` ``[6, 6]`` by every window of 6 at stride 4: ``[M, 4 k + 4, D]`` to ``[6, M, k, D]``, in one fused loop.

    A window is a block of 4 and the beginning of the next one.
    """
    matrix, array = _apart((matrix, array))
    m, size, depth = array.shape
    blocks = array.reshape(m, size // OUT, OUT, depth)
    first = jax.lax.slice_in_dim(blocks, 0, -1, axis=1)
    rest = jax.lax.slice(blocks, (0, 1, 0, 0), (m, size // OUT, IN - OUT, depth))
    left, right = (jax.lax.slice_in_dim(matrix, *ends, axis=1) for ends in ((0, OUT), (OUT, IN)))
    return _apart(jax.lax.add(_product(left, first, 2, 0), _product(right, rest, 2, 0)))


def _points_product(matrix: jax.Array, array: jax.Array) -> jax.Array:
    """Multiply `matrix` ``[4, 6]`` by the leading axis: ``[6, M, D]`` to ``[M, 4, D]``, in one fused loop."""
    matrix, array = _apart((matrix, array))
    return _apart(_product(matrix, array, 0, 2))


@jax.jit  # traced once for all matrices and layers of a shape, as the next
def _into_tiles(matrix: jax.Array, images: jax.Array) -> jax.Array:
    """Apply `matrix` ``[6, 6]`` along both axes of every 6 x 6 window of `_windows`: ``[36, N * tiles, C]``."""
    n, height, width, channels = images.shape
    rows = _windows_product(matrix, images.reshape(n, height, width * channels))  # [6, N, tiles, W C]
    both = _windows_product(matrix, rows.reshape(-1, width, channels))  # [6, 6 N tiles, tiles, C]
    return both.reshape(IN * IN, -1, channels)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _out_of_tiles(matrix: jax.Array, products: jax.Array, n: int, count: Pair) -> jax.Array:
    """Apply `matrix` ``[4, 6]`` along both axes of every tile and put the tiles together: ``[N, 4 rows, 4 columns, O]``."""
    (high, wide), channels = count, products.shape[-1]
    columns = _points_product(matrix, products.reshape(IN, IN * n * high * wide, channels))
    rows = _points_product(matrix, columns.reshape(IN, n * high, OUT * wide * channels))
    return _apart(rows.reshape(n, OUT * high, OUT * wide, channels))


def pad(images: Array, rows: Pair, columns: Pair, dilation: Pair = (1, 1)) -> jax.Array:
    """Put zeros around images, and between their pixels if they are dilated.

    Args:
        images: ``[N, H, W, C]``.
        rows: zeros (above, below); negative ones crop.
        columns: zeros (left, right).
        dilation: distance between pixels afterward, (rows, columns).

    Returns:
        ``[N, H', W', C]``.
    """
    config = ((0, 0, 0), (*rows, dilation[0] - 1), (*columns, dilation[1] - 1), (0, 0, 0))
    return jax.lax.pad(images, jnp.zeros((), images.dtype), config)


def _windows(images: Array, count: Pair, pads: Pads) -> jax.Array:
    """Pad on both sides, as far as the blocks of 4 that whole tiles touch."""
    rows, columns = ((pads[a][0], OUT * (count[a] + 1) - images.shape[1 + a] - pads[a][0]) for a in (0, 1))
    return _apart(pad(_apart(images), rows, columns))


def _filter(images: Array, transformed: Array, matrices: _Matrices, contract: int, pads: Pads) -> jax.Array:
    size = [n + sum(pad) - 2 for n, pad in zip(images.shape[1:3], pads, strict=True)]
    count = _tiles(size)
    pixels = _into_tiles(jnp.asarray(matrices.pixels, images.dtype), _windows(images, count, pads))
    products = jax.lax.dot_general(pixels, transformed, (((2,), (1 + contract,)), ((0,), (0,))))
    results = _out_of_tiles(jnp.asarray(matrices.results, images.dtype), _apart(products), images.shape[0], count)
    return results[:, : size[0], : size[1]]


def convolve(images: Array, transformed: Array, pads: Pads) -> jax.Array:
    """Correlate images with a transformed 3 x 3 kernel, stride 1.

    Args:
        images: ``[N, H, W, C]``.
        transformed: ``[36, C, O]`` from `transform_kernel`.
        pads: zeros around the images; negative ones crop.

    Returns:
        ``[N, H', W', O]``.
    """
    return _filter(images, transformed, _FORWARD, 0, pads)


def input_gradient(cotangent: Array, transformed: Array, size: Pair, pads: Pads) -> jax.Array:
    """Return the gradient of `convolve` with respect to its images: a convolution with the flipped kernel.

    Args:
        cotangent: ``[N, H', W', O]``.
        transformed: as in `convolve`.
        size: (H, W) of the images.
        pads: as in `convolve`.

    Returns:
        ``[N, H, W, C]``.
    """
    back = [(2 - pads[a][0], size[a] + pads[a][0] - cotangent.shape[1 + a]) for a in (0, 1)]
    return _filter(cotangent, transformed, _BACKWARD, 1, (back[0], back[1]))


def kernel_gradient(images: Array, cotangent: Array, pads: Pads) -> jax.Array:
    """Return the gradient of the convolution with respect to its kernel, which is not the transformed one.

    Args:
        images: as in `convolve`.
        cotangent: ``[N, H', W', O]``.
        pads: as in `convolve`.

    Returns:
        ``[3, 3, C, O]``.
    """
    count = _tiles(cotangent.shape[1:3])
    pixels = _into_tiles(jnp.asarray(_FORWARD.pixels, images.dtype), _windows(images, count, pads))
    errors = _into_tiles(jnp.asarray(_ERRORS, images.dtype), _windows(cotangent, count, ((1, 1), (1, 1))))
    products = _apart(jax.lax.dot_general(pixels, errors, (((1,), (1,)), ((0,), (0,)))))
    flat = jnp.asarray(_KERNEL.T, products.dtype) @ products.reshape(IN * IN, -1)
    return flat.reshape(3, 3, *products.shape[1:])
