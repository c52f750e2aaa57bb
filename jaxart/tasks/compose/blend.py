"""Poisson blending: a part of a picture is set into another by its differences from pixel to pixel, and takes its tones from around it."""

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array, check_choice
from jaxart.color import luminance
from jaxart.ops import divergence, gradient, laplacian, solve_rectangle, solve_region

Gradients = Literal["import", "mixed", "monochrome"]
GRADIENTS: tuple[str, ...] = get_args(Gradients)
_STEP = 64  # pixels: sizes of windows are multiples of it


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
    border, where the region may reach. A region that is known, not traced, is solved in a window around it, and without turns if it is a
    rectangle that leaves the picture's border and has no screen: time goes by the region, not the scene.

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
    if isinstance(region, Tracer):
        return _blended(scene, other, region, screen, tolerance, mixed=gradients == "mixed")
    window, whole = _window(np.asarray(region))
    near = (scene[window], other[window])
    if whole and not isinstance(screen, Tracer) and screen == 0:
        made = _blended_rectangle(*near, mixed=gradients == "mixed")
    else:
        made = _blended(*near, region[window], screen, tolerance, mixed=gradients == "mixed")
    return scene.at[window].set(made)


def _window(region: np.ndarray) -> tuple[tuple[slice, slice], bool]:
    """Return where the region is, and a pixel around it, and whether it is all that is inside of these.

    Windows of other regions are as large as multiples of a number of pixels where the picture allows it, so that few programs are compiled.
    """
    ends = [np.flatnonzero(region.any(axis=1 - axis))[[0, -1]] + (-1, 2) for axis in (0, 1)]
    exact = slice(*ends[0]), slice(*ends[1])
    free = all(end[0] >= 0 and end[1] <= side for end, side in zip(ends, region.shape, strict=True))
    if free and region[exact][1:-1, 1:-1].all():
        return exact, True
    rounded = [_rounded(int(end[0]), int(end[1]), side) for end, side in zip(ends, region.shape, strict=True)]
    return (rounded[0], rounded[1]), False


def _rounded(begin: int, end: int, side: int) -> slice:
    """Return a part of a side that holds another, whose length is a multiple of `_STEP` or the whole."""
    length = min(-(-(end - begin) // _STEP) * _STEP, side)
    begin = max(0, min(begin, side - length))
    return slice(begin, begin + length)


@functools.partial(jax.jit, static_argnames="mixed")
def _blended(scene: Array, other: Array, region: Array, screen: Any, tolerance: Any, *, mixed: bool) -> jax.Array:
    inside = region[..., None]
    change = solve_region(_wanted(scene, other, inside, mixed=mixed), region, screen=screen, tolerance=tolerance)
    return jnp.where(inside, other + change, scene)


@functools.partial(jax.jit, static_argnames="mixed")
def _blended_rectangle(scene: Array, other: Array, *, mixed: bool) -> jax.Array:
    """Blend all but the outermost pixels, exactly."""
    inside = jnp.pad(jnp.ones((scene.shape[0] - 2, scene.shape[1] - 2, 1), bool), ((1, 1), (1, 1), (0, 0)))
    wanted = _wanted(scene, other, inside, mixed=mixed)[1:-1, 1:-1]
    change = solve_rectangle(wanted)
    change += solve_rectangle(
        wanted - laplacian(jnp.pad(change, ((1, 1), (1, 1), (0, 0))))[1:-1, 1:-1]
    )  # what rounding left
    return scene.at[1:-1, 1:-1].set(other[1:-1, 1:-1] + change)


def _wanted(scene: Array, other: Array, inside: Array, *, mixed: bool) -> jax.Array:
    """Return the Laplacian of the correction of the other picture."""
    wanted = -laplacian(jnp.where(inside, 0, scene - other))
    return wanted + divergence(*map(_greater, gradient(scene), gradient(other))) if mixed else wanted


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
