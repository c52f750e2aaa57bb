"""Where to cut: the rim of what is pasted goes where both pictures differ least, around what must not be cut."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array
from jaxart.ops import divergence, gradient

_STEP = 8**-0.5  # of both sides: at most 1 / the norm of the gradient


class _Flow(NamedTuple):
    inside: jax.Array
    ahead: jax.Array
    below: jax.Array
    right: jax.Array


def seam(
    scene: Array, other: Array, core: Array, outer: Array, *, length: float = 0.1, rounds: int = 3, steps: int = 400
) -> jax.Array:
    """Choose the region to be pasted, between what must be in it and what may be, so that its rim costs least.

    A rim costs, for each pair of neighbors that it parts, how far the pictures differ there from what they differ by on the whole rim: a
    difference that is everywhere the same is no seam after Poisson blending. It is the minimal cut of the graph of pixels.

    Args:
        scene: ``[H, W, C]``, float.
        other: ``[H, W, C]``, laid over the scene.
        core: bool ``[H, W]``, what must not be cut.
        outer: bool ``[H, W]``, what may be pasted; the core is always part of it.
        length: what a pair costs anyway, relative to the mean: more makes shorter rims.
        rounds: how often the difference along the rim is taken anew.
        steps: of the iteration in each round.

    Returns:
        bool ``[H, W]``, for `poisson_blend`.

    Raises:
        ValueError: shapes that differ, regions that are not true and false, or no core.

    Reference: Jia, Sun, Tang and Shum, Drag-and-Drop Pasting, 2006, section 3. Departures: the cut is found by the primal-dual method of
    Chambolle and Pock, 2011, not by shortest paths, so that cores of any shape and number have one; squares of differences.
    """
    scene, other, core, outer = (jnp.asarray(each) for each in (scene, other, core, outer))
    _check(scene, other, core, outer)
    outer = outer | core
    apart = scene - other

    def turn(_: jax.Array, region: jax.Array) -> jax.Array:
        return _cut(apart, _mean_on_rim(apart, region), core, outer, length, steps)

    return jax.lax.fori_loop(0, rounds, turn, outer)


def _mean_on_rim(apart: jax.Array, region: jax.Array) -> jax.Array:
    """Return the mean difference ``[C]`` of pairs of pixels that a rim parts."""
    total, count = jnp.zeros(apart.shape[-1], apart.dtype), jnp.zeros((), apart.dtype)
    for parted, (one, two) in zip(_parted(region), _pairs(apart), strict=True):
        total += jnp.sum((one + two) / 2 * parted, axis=(0, 1))
        count += jnp.sum(parted)
    return total / jnp.maximum(count, 1)


def _parted(region: jax.Array) -> list[jax.Array]:
    return [jnp.abs(each) for each in gradient(region[..., None].astype(jnp.float32))]


def _pairs(x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    return (x[:-1], x[1:]), (x[:, :-1], x[:, 1:])


def _cut(apart: jax.Array, mean: jax.Array, core: jax.Array, outer: jax.Array, length: float, steps: int) -> jax.Array:
    """Return the region of least cost for a mean difference."""
    squares = jnp.mean((apart - mean[None, None]) ** 2, axis=-1, keepdims=True)  # [H, W, 1]
    band = (outer & ~core)[..., None]
    scale = jnp.sum(squares * band) / jnp.maximum(jnp.sum(band), 1)
    below, right = ((one + two) / 2 / jnp.maximum(scale, 1e-12) + length for one, two in _pairs(squares))
    low, high = (each[..., None].astype(squares.dtype) for each in (core, outer))

    def step(_: jax.Array, flow: _Flow) -> _Flow:
        rises = gradient(flow.ahead)
        down = jnp.clip(flow.below + _STEP * rises[0], -below, below)
        across = jnp.clip(flow.right + _STEP * rises[1], -right, right)
        inside = jnp.clip(flow.inside + _STEP * divergence(down, across), low, high)
        return _Flow(inside, 2 * inside - flow.inside, down, across)

    begun = _Flow(high, high, *map(jnp.zeros_like, gradient(high)))
    found = jax.lax.fori_loop(0, steps, step, begun)
    return (found.inside[..., 0] > 0.5) | core


def _check(scene: jax.Array, other: jax.Array, core: jax.Array, outer: jax.Array) -> None:
    if scene.ndim != 3 or other.shape != scene.shape or not core.shape == outer.shape == scene.shape[:2]:
        raise ValueError(
            f"seam: expected two pictures [H, W, C] of one size and two regions [H, W], got {scene.shape}, {other.shape}, {core.shape} and "
            f"{outer.shape}."
        )
    if core.dtype != bool or outer.dtype != bool:
        raise ValueError(f"seam: expected regions of true and false, got {core.dtype} and {outer.dtype}.")
    if not isinstance(core, Tracer) and not np.asarray(core).any():
        raise ValueError("core: expected some pixels that must not be cut, got none.")
