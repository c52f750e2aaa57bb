"""2 x 2 pooling as the maximum or mean of four strided slices, whose gradient is much cheaper on CPU than that of XLA's window form."""

import functools

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def _corners(images: Array) -> list[jax.Array]:
    """Return the four pixels of every whole 2 x 2 block; an odd last row or column is dropped (floor)."""
    height, width = images.shape[1] // 2 * 2, images.shape[2] // 2 * 2
    return [images[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]


@jax.custom_jvp
def max_pool(images: Array) -> jax.Array:
    """Take the maximum of each 2 x 2 block, stride 2, floor: ``[N, H, W, C]`` -> ``[N, H // 2, W // 2, C]``.

    Where pixels tie, the gradient is shared between them.
    """
    return functools.reduce(jnp.maximum, _corners(images))


@max_pool.defjvp
def _max_pool_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Find the maximum's place by comparing with the result, so that no maximum of a part of the block is stored."""
    most = jax.lax.optimization_barrier(max_pool(*primals))
    hits = [(corner == most).astype(most.dtype) for corner in _corners(*primals)]
    change = functools.reduce(jnp.add, [hit * corner for hit, corner in zip(hits, _corners(*tangents), strict=True)])
    return most, change / functools.reduce(jnp.add, hits)


def avg_pool(images: Array) -> jax.Array:
    """Take the mean of each 2 x 2 block, stride 2, floor: ``[N, H, W, C]`` -> ``[N, H // 2, W // 2, C]``."""
    return functools.reduce(jnp.add, _corners(images)) / 4
