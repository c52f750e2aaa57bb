"""Affine warps of pictures, one matrix for each, that can be differentiated any number of times."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, check_choice

BORDERS = ("reflect", "zero")
_LANCZOS = tuple(float(np.sinc(x) * np.sinc(x / 3)) for x in (0.5, 1.5, 2.5))
_HALFWAY = tuple(
    each / (2 * sum(_LANCZOS)) for each in _LANCZOS
)  # weights of the three pixels on either side of what lies between


def affine_warp(
    images: Array, matrices: Array, *, border: Literal["reflect", "zero"] = "reflect", sharp: bool = False
) -> jax.Array:
    """Look up every pixel of a batch of pictures where its matrix says, bilinearly.

    Positions are (row, column) in pixels, measured from the picture's middle. The pixel at p of the result is the input at
    ``matrix[:, :2] p + matrix[:, 2]``: a matrix says where pixels come from, so a factor of 2 shows the picture at half its size. The
    identity, flips, quarter turns of squares and shifts by whole pixels give the pixels themselves, bit for bit.

    It is linear in the pictures: four gathers, and one scatter where it is transposed. On a CPU that is 60 times faster than products with
    matrices of weights, and 15 times where it is transposed. On a GPU the sums of a scatter come in no fixed order unless XLA is told to
    (``--xla_gpu_exclude_nondeterministic_ops``).

    Args:
        images: ``[B, H, W, C]``, float.
        matrices: ``[B, 2, 3]``, float.
        border: what is seen beyond the pictures: "reflect", the picture mirrored at the middle of its outermost pixels, again and again; or
            "zero".
        sharp: look up in the picture at twice the size, whose new pixels are those of Lanczos's filter of six: of the power of the finest
            octave a turn then takes a fifth where it takes half.

    Returns:
        ``[B, H, W, C]``, of the type of `images`.

    Raises:
        ValueError: an unknown border, or shapes that do not go together.

    >>> shift = jnp.float32([[[1, 0, 0], [0, 1, -1]]])
    >>> affine_warp(jnp.float32([1, 2, 3]).reshape(1, 1, 3, 1), shift, border="zero").ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    check_choice("border", border, BORDERS)
    if images.ndim != 4 or matrices.shape != (len(images), 2, 3):
        raise ValueError(
            f"affine_warp: expected images [B, H, W, C] and matrices [B, 2, 3], got {images.shape} and {matrices.shape}."
        )
    batch, *sides, channels = images.shape
    shape = images.shape
    if sharp:
        images, matrices = _doubled(images, border), 2 * matrices
    height, width = images.shape[1:3]  # from 0 on, 2 H - 1 where the size is doubled
    places = _places(matrices, sides, (height, width))  # [B, 2, H W]
    low = jnp.floor(places)
    part = places - jax.lax.stop_gradient(low)
    flat = images.reshape(batch, height * width, channels)
    rows, columns = (_neighbors(low[:, axis], part[:, axis], size, border) for axis, size in enumerate((height, width)))
    corners = [(row, column) for row in rows for column in columns]
    indices = jnp.stack([row[0] * width + column[0] for row, column in corners], axis=1)  # [B, 4, H W]
    weights = jnp.stack([row[1] * column[1] for row, column in corners], axis=1).astype(images.dtype)
    return _read(flat, indices, weights).reshape(shape)


def _doubled(images: jax.Array, border: str) -> jax.Array:
    """Put a pixel between any two in rows and columns: N become 2 N - 1, and those that there were stay as they are."""
    rows, columns = (jnp.asarray(_doubling(size, border), images.dtype) for size in images.shape[1:3])
    planes = jnp.moveaxis(
        images, 3, 1
    )  # [B, C, H, W], so that both are plain products of matrices, and so their transposes
    wide = jnp.einsum("bchw,vw->bchv", planes, columns, precision="highest")
    return jnp.moveaxis(jnp.einsum("uh,bchv->bcuv", rows, wide, precision="highest"), 1, 3)


def _doubling(size: int, border: str) -> np.ndarray:
    """Return the matrix ``[2 N - 1, N]`` that puts a pixel between any two of N."""
    reach = len(_HALFWAY)
    padded = np.pad(
        np.eye(size), [(reach - 1, reach - 1), (0, 0)], mode="reflect" if border == "reflect" else "constant"
    )
    doubled = np.zeros((2 * size - 1, size))
    doubled[::2] = np.eye(size)
    for far, weight in enumerate(_HALFWAY):
        for start in (reach - 1 - far, reach + far):
            doubled[1::2] += weight * padded[start : start + size - 1]
    return doubled


@jax.custom_vjp
def _read(flat: jax.Array, indices: jax.Array, weights: jax.Array) -> jax.Array:
    """Sum weighted pixels: ``[B, N, C]``, ``[B, 4, P]`` -> ``[B, P, C]``."""
    corners = range(indices.shape[1])
    return sum(weights[:, corner, :, None] * _pixels(flat, indices[:, corner]) for corner in corners)  # pyright: ignore


def _read_forward(flat: jax.Array, indices: jax.Array, weights: jax.Array) -> tuple[jax.Array, tuple]:
    return _read(flat, indices, weights), (flat, indices, weights)


def _read_backward(kept: tuple, change: jax.Array) -> tuple:
    flat, indices, weights = kept
    return _spread(change, flat, indices, weights), None, _products(flat, change, indices)


@jax.custom_vjp
def _spread(change: jax.Array, like: jax.Array, indices: jax.Array, weights: jax.Array) -> jax.Array:
    """Transpose `_read` in one scatter, faster than four: ``[B, P, C]`` -> ``[B, N, C]``, of the shape of `like`."""
    spread = (weights[..., None] * change[:, None]).reshape(len(change), -1, change.shape[-1])  # [B, 4 P, C]

    def one(index: jax.Array, values: jax.Array) -> jax.Array:
        return jnp.zeros(like.shape[1:], like.dtype).at[index].add(values, mode="promise_in_bounds")

    return jax.vmap(one)(indices.reshape(len(change), -1), spread)


def _spread_forward(change: jax.Array, like: jax.Array, indices: jax.Array, weights: jax.Array) -> tuple:
    return _spread(change, like, indices, weights), (change, like, indices, weights)


def _spread_backward(kept: tuple, change: jax.Array) -> tuple:
    spread, like, indices, weights = kept
    return _read(change, indices, weights), jnp.zeros_like(like), None, _products(change, spread, indices)


_read.defvjp(_read_forward, _read_backward)
_spread.defvjp(_spread_forward, _spread_backward)


def _pixels(flat: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take_along_axis(flat, index[..., None], axis=1, mode="promise_in_bounds")


def _products(flat: jax.Array, other: jax.Array, indices: jax.Array) -> jax.Array:
    """Return the derivative in the weights: scalar products of the pixels at `indices` with `other`, ``[B, 4, P]``."""
    corners = range(indices.shape[1])
    return jnp.stack([jnp.sum(_pixels(flat, indices[:, corner]) * other, axis=-1) for corner in corners], axis=1)


def _places(matrices: Array, sides: Sequence[int], source: Sequence[int]) -> jax.Array:
    """Return where pixels come from, ``[B, 2, H W]``, from the source's first on; written out, as products of matrices round on a GPU."""
    middle = jnp.array([(size - 1) / 2 for size in source], matrices.dtype)
    rows, columns = (jnp.arange(size, dtype=matrices.dtype) - (size - 1) / 2 for size in sides)
    of_row = matrices[:, :, 0, None, None] * rows[None, None, :, None]  # [B, 2, H, 1]
    of_column = matrices[:, :, 1, None, None] * columns[None, None, None, :]  # [B, 2, 1, W]
    shift = (matrices[:, :, 2] + middle[None])[..., None, None]
    return (of_row + of_column + shift).reshape(len(matrices), 2, -1)


def _neighbors(low: jax.Array, part: jax.Array, size: int, border: str) -> list[tuple[jax.Array, jax.Array]]:
    """Return indices and weights of the pixels before and after each position along one axis."""
    before = low.astype(jnp.int32)
    return [_seen(index, weight, size, border) for index, weight in ((before, 1 - part), (before + 1, part))]


def _seen(index: jax.Array, weight: jax.Array, size: int, border: str) -> tuple[jax.Array, jax.Array]:
    """Bring indices into the picture; beyond it those of "zero" weigh nothing."""
    if border == "zero":
        inside = (index >= 0) & (index < size)
        return jnp.clip(index, 0, size - 1), weight * inside.astype(weight.dtype)
    period = max(2 * size - 2, 1)
    folded = jnp.mod(index, period)
    return jnp.minimum(folded, period - folded) if size > 1 else folded, weight
