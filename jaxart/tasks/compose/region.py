"""Regions of pictures: growing, shrinking, and the band around a rim."""

import functools

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


@functools.partial(jax.jit, static_argnames="radius")
def grown(region: Array, radius: int) -> jax.Array:
    """Return the pixels that are at most so far from a region.

    Args:
        region: bool ``[H, W]``.
        radius: pixels, from middle to middle.

    Returns:
        bool ``[H, W]``.

    >>> grown(jnp.eye(3, dtype=bool), 1).sum().item()
    7
    """
    region = jnp.asarray(region)
    squares = jnp.where(region, 0.0, jnp.inf)
    for axis in (0, 1):
        squares = _nearest(squares, axis, radius)
    return squares <= radius**2


def _nearest(squares: jax.Array, axis: int, radius: int) -> jax.Array:
    """Return the least sum of a square of the same row or column and that of its distance, up to some distance."""
    margin = [(0, 0), (0, 0)]
    margin[axis] = (radius, radius)
    padded = jnp.pad(squares, margin, constant_values=jnp.inf)

    def nearer(shift: jax.Array, found: jax.Array) -> jax.Array:
        there = jax.lax.dynamic_slice_in_dim(padded, shift, squares.shape[axis], axis)
        return jnp.minimum(found, there + jnp.square(shift - radius).astype(squares.dtype))

    return jax.lax.fori_loop(0, 2 * radius + 1, nearer, squares)


def shrunk(region: Array, radius: int) -> jax.Array:
    """Return the pixels of a region that are farther than so far from all that are not; what lies beyond the picture does not count.

    Args:
        region: bool ``[H, W]``.
        radius: pixels.
    """
    return ~grown(~jnp.asarray(region), radius)


def trimap(mask: Array, inner: int, outer: int) -> jax.Array:
    """Return what is known of a matte by a rough mask: 1 well inside, 0 well outside, one half within a band around the rim.

    Args:
        mask: ``[H, W]`` in [0, 1]; what is above one half is inside.
        inner: pixels of the band within the mask.
        outer: pixels of the band around it.
    """
    inside = jnp.asarray(mask) > 0.5
    return jnp.where(shrunk(inside, inner), 1.0, jnp.where(grown(inside, outer), 0.5, 0.0)).astype(jnp.float32)
