"""Filling holes smoothly, by what is around them. Nothing is learned; all can be differentiated by the picture."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array
from jaxart.ops import divergence, gradient, laplacian, solve_plate, solve_region, upsample_low_pass


def fill_harmonic(picture: Array, holes: Array, *, tolerance: float = 1e-6) -> jax.Array:
    """Fill holes by the mean of what is around each pixel: as a membrane that is fixed at their rims.

    Args:
        picture: ``[H, W, C]``, float; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``; some pixel must be known.
        tolerance: see `ops.solve_region`.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit.

    Raises:
        ValueError: shapes that differ, holes that are not true and false, or everything.
    """
    picture, holes = checked(picture, holes)
    known = jnp.where(holes[..., None], 0, picture)
    return jnp.where(holes[..., None], solve_region(-laplacian(known), holes, tolerance=tolerance), picture)


def fill_biharmonic(picture: Array, holes: Array, *, tolerance: float = 1e-5) -> jax.Array:
    """Fill holes as a thin plate that is clamped at their rims: slopes go on, not values alone. The best of these for small holes.

    Args:
        picture: as in `fill_harmonic`.
        holes: as in `fill_harmonic`.
        tolerance: see `ops.solve_plate`.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit; a plate overshoots, so values are held to the range of what is known.

    Raises:
        ValueError: as `fill_harmonic`.

    Reference: Damelin and Hoang, On Surface Completion and Image Inpainting by Biharmonic Functions: Numerical Aspects, 2018. Departure:
    held to the range of each channel, as scikit-image does.
    """
    picture, holes = checked(picture, holes)
    known = jnp.where(holes[..., None], 0, picture)
    found = solve_plate(-laplacian(laplacian(known)), holes, tolerance=tolerance)
    return jnp.where(holes[..., None], held(found, picture, holes), picture)


def held(found: Array, picture: Array, holes: Array) -> jax.Array:
    """Return values held to the range of what is known, channel by channel: ``[H, W, C]``.

    Args:
        found: ``[H, W, C]``.
        picture: ``[H, W, C]``.
        holes: bool ``[H, W]``.
    """
    low = jnp.min(picture, axis=(0, 1), keepdims=True, where=~holes[..., None], initial=jnp.inf)
    high = jnp.max(picture, axis=(0, 1), keepdims=True, where=~holes[..., None], initial=-jnp.inf)
    return jnp.clip(found, low, high)


def fill_total_variation(picture: Array, holes: Array, *, steps: int = 500) -> jax.Array:
    """Fill holes so that the sum of the lengths of all differences is least: edges go on straight, and stay sharp.

    Args:
        picture: as in `fill_harmonic`.
        holes: as in `fill_harmonic`.
        steps: of the iteration, which begins with the membrane.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit.

    Raises:
        ValueError: as `fill_harmonic`.

    Reference: Chambolle and Pock, A First-Order Primal-Dual Algorithm for Convex Problems with Applications to Imaging, 2011, section 6.2;
    colors are taken together.
    """
    begun = fill_harmonic(picture, holes)
    inside, size = (
        jnp.asarray(holes)[..., None],
        1 / np.sqrt(8),
    )  # the steps of both sides, at most 1 / the norm of the gradient

    def step(_: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        found, ahead, below, right = carry
        below, right = (flow + size * more for flow, more in zip((below, right), gradient(ahead), strict=True))
        length = jnp.maximum(1, lengths(below, right))
        below, right = below / length[:-1], right / length[:, :-1]
        new = jnp.where(inside, found + size * divergence(below, right), found)
        return new, 2 * new - found, below, right

    flows = tuple(map(jnp.zeros_like, gradient(begun)))
    return jax.lax.fori_loop(0, steps, step, (begun, begun, *flows))[0]


def fill_pyramid(picture: Array, known: Array) -> jax.Array:
    """Fill holes by means of what is around them, taken at smaller and smaller sizes until there is something: the fastest of these.

    Args:
        picture: ``[H, W, C]``, float; finite.
        known: how much of each pixel is known, ``[H, W]`` in [0, 1].

    Returns:
        ``[H, W, C]``; what is wholly known is the picture, what is known in part is mixed.

    Reference: Gortler et al., The Lumigraph, 1996, section 3.4.1 (pull-push).
    """
    values, weights = jnp.asarray(picture)[None], jnp.asarray(known, jnp.float32)[None, ..., None]
    return _pulled(values * weights, weights)[0]


def _pulled(sums: jax.Array, weights: jax.Array) -> jax.Array:
    """Return means of what is known, where it is little those of twice the size; `sums` are values times weights."""
    full = jnp.minimum(weights, 1)
    means = sums / jnp.maximum(weights, 1e-6)
    height, width = sums.shape[1:3]
    if max(height, width) == 1:
        return means
    even = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
    coarse = [
        jnp.pad(each, even).reshape(1, -(-height // 2), 2, -(-width // 2), 2, each.shape[-1]).sum((2, 4))
        for each in (sums, weights)
    ]
    around = upsample_low_pass(_pulled(*coarse))[:, :height, :width]
    return jnp.where(full >= 1, means, full * means + (1 - full) * around)


def lengths(below: jax.Array, right: jax.Array) -> jax.Array:
    """Return the length of the differences of each pixel, over all colors: ``[H, W, 1]``."""
    squares = jnp.pad(below**2, ((0, 1), (0, 0), (0, 0))) + jnp.pad(right**2, ((0, 0), (0, 1), (0, 0)))
    return jnp.sqrt(jnp.sum(squares, axis=-1, keepdims=True))


def checked(picture: Array, holes: Array) -> tuple[jax.Array, jax.Array]:
    picture, holes = jnp.asarray(picture), jnp.asarray(holes)
    if picture.ndim != 3 or holes.shape != picture.shape[:2]:
        raise ValueError(
            f"expected a picture [H, W, C] and holes [H, W] of its size, got {picture.shape} and {holes.shape}."
        )
    if holes.dtype != bool:
        raise ValueError(f"holes: expected true and false, got {holes.dtype}; compare soft masks with 0.5.")
    if not isinstance(holes, Tracer) and np.asarray(holes).all():
        raise ValueError("holes: everything is missing, so there is nothing to go on from.")
    return picture, holes


SMOOTH_FILLS: dict[str, Callable[..., jax.Array]] = {
    "harmonic": fill_harmonic,
    "biharmonic": fill_biharmonic,
    "total-variation": fill_total_variation,
}
