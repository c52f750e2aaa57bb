"""Poisson blending: a part of a picture is set into another by its differences from pixel to pixel, and takes its tones from around it."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array, check_choice
from jaxart.color import luminance
from jaxart.ops import divergence, gradient, laplacian, solve_region

Gradients = Literal["import", "mixed", "monochrome"]
GRADIENTS: tuple[str, ...] = get_args(Gradients)


def poisson_blend(
    scene: Array,
    other: Array,
    region: Array,
    *,
    gradients: Gradients = "import",
    screen: float = 0.0,
    tolerance: float = 1e-6,
) -> jax.Array:
    """Set a region of another picture into a scene, without a seam.

    Outside of the region the result is the scene, bit for bit; within, it is the other picture and a correction, whose differences are as
    small as they can be, so that a picture set into itself is what it was, bit for bit. Nothing is asked of what lies beyond the picture's
    border, where the region may reach.

    Args:
        scene: ``[H, W, C]``, float, of any tone scale; blending in linear light keeps lights lighter.
        other: ``[H, W, C]``, laid over the scene.
        region: bool ``[H, W]``, of one or several parts; some pixel must stay out.
        gradients: "import", those of the other picture; "mixed", of each difference the greater one, for what is transparent or has holes;
            "monochrome", those of its luminance, for texture without color.
        screen: at least 0; how much the result is held to the other picture's own tones, against the scene's: by the square of its pixels
            against that of differences.
        tolerance: see `ops.solve_region`.

    Returns:
        ``[H, W, C]``; values may lie outside of those of both pictures.

    Raises:
        ValueError: shapes that differ, an unknown choice, a region that is empty or everything, or a negative screen.

    Reference: Perez, Gangnet and Blake, Poisson Image Editing, 2003, sections 2 and 3; screened: Bhat et al., Fourier Analysis of the 2D
    Screened Poisson Equation for Gradient Domain Problems, 2008.
    """
    scene, other, region = jnp.asarray(scene), jnp.asarray(other), jnp.asarray(region)
    _check(scene, other, region, gradients, screen)
    if gradients == "monochrome":
        other = luminance(other)
    inside = region[..., None]
    around = jnp.where(inside, 0, scene - other)
    wanted = -laplacian(around)
    if gradients == "mixed":
        wanted += divergence(*map(_greater, gradient(scene), gradient(other)))
    return jnp.where(inside, other + solve_region(wanted, region, screen=screen, tolerance=tolerance), scene)


def _greater(scene: jax.Array, other: jax.Array) -> jax.Array:
    """Return what is added to differences of one picture so that they are those of the other where these are greater."""
    return jnp.where(jnp.abs(scene) > jnp.abs(other), scene - other, 0)


def _check(scene: jax.Array, other: jax.Array, region: jax.Array, gradients: str, screen: Any) -> None:
    check_choice("gradients", gradients, GRADIENTS)
    if scene.ndim != 3 or other.shape != scene.shape or region.shape != scene.shape[:2]:
        raise ValueError(
            f"poisson_blend: expected two pictures [H, W, C] of one size and a region [H, W], got {scene.shape}, {other.shape} and "
            f"{region.shape}."
        )
    if region.dtype != bool:
        raise ValueError(f"region: expected true and false, got {region.dtype}; compare soft masks with 0.5.")
    if not screen >= 0:
        raise ValueError(f"screen: expected at least 0, got {screen}.")
    if not isinstance(region, Tracer) and np.asarray(region).mean() in (0, 1):
        raise ValueError("region: expected some pixels inside and some outside, got all of one kind.")
