"""Color and light of a pasted object as those of the scene around its place: statistics of both, within soft masks."""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, check_choice
from jaxart.color import Colors, colors_of, lab_to_rgb, rgb_to_lab, transport_matrix

Matching = Literal["mean", "deviation", "transport"]
MATCHINGS: tuple[str, ...] = get_args(Matching)


def harmonize(
    scene: Array,
    other: Array,
    mask: Array,
    *,
    matching: Matching = "deviation",
    strength: Any = 0.75,
    reach: Any = 1.0,
) -> jax.Array:
    """Give the colors of an object the statistics of the scene around its place, in Lab.

    Args:
        scene: ``[H, W, C]``, sRGB in [0, 1]; C is 3, or 1, whose values are taken as they are.
        other: ``[H, W, C]``, laid over the scene.
        mask: ``[H, W]`` in [0, 1], how much of each pixel is the object.
        matching: "mean" shifts its colors; "deviation" scales lightness and both opponents too; "transport" matches covariances.
        strength: 0 leaves it as it is, 1 gives it the statistics.
        reach: how far around the place counts, in deviations of the mask's pixels from its middle; what is farther counts little.

    Returns:
        `other` recolored, ``[H, W, C]`` in [0, 1].

    Raises:
        ValueError: an unknown choice, or shapes that differ.

    The defaults are those that come nearest to the colors of regions that were recolored (benchmarks/harmonization.py).

    Reference: Reinhard, Ashikhmin, Gooch and Shirley, Color Transfer between Images, 2001 (mean and deviation; departure: CIELAB); Pitie
    and Kokaram, The Linear Monge-Kantorovitch Linear Color Mapping for Example-Based Color Transfer, 2007.
    """
    scene, other, mask = jnp.asarray(scene), jnp.asarray(other), jnp.asarray(mask)
    check_choice("matching", matching, MATCHINGS)
    if scene.ndim != 3 or other.shape != scene.shape or mask.shape != scene.shape[:2]:
        raise ValueError(
            f"harmonize: expected two pictures [H, W, C] of one size and a mask [H, W], got {scene.shape}, {other.shape} and {mask.shape}."
        )
    colored = scene.shape[-1] == 3
    there, here = (rgb_to_lab(each) if colored else each * 100 for each in (scene, other))
    source, target = colors_of(here, mask), colors_of(there, surroundings(mask, reach))
    moved = _matched(here, source, target, matching)
    moved = here + strength * (moved - here)
    return jnp.clip(lab_to_rgb(moved) if colored else moved / 100, 0, 1)


def _matched(pixels: jax.Array, source: Colors, target: Colors, matching: str) -> jax.Array:
    away = pixels - source.mean[None, None]
    if matching == "deviation":
        variances = [jnp.diagonal(each.covariance) + _LEAST for each in (source, target)]
        away = away * jnp.sqrt(variances[1] / variances[0])[None, None]
    if matching == "transport":
        away = jnp.matmul(away, transport_matrix(source, target, least=_LEAST), precision=jax.lax.Precision.HIGHEST)
    return away + target.mean[None, None]


_LEAST = 1.0  # variance that is added, in units of Lab: what has one color stays without texture
_FAR = 1e-3  # what a pixel of the scene counts however far it is, against one beside the object


def surroundings(mask: Array, reach: Any) -> jax.Array:
    """Return what each pixel counts where the scene around a mask is looked at: more the nearer, nothing where the object hides it.

    Args:
        mask: ``[H, W]`` in [0, 1].
        reach: of the bell around the mask's middle, in deviations of its own pixels.

    Returns:
        ``[H, W]``, for the weights of `color.colors_of`.
    """
    mask = jnp.asarray(mask)
    bells = []
    for axis, side in enumerate(mask.shape):
        count, place = jnp.sum(mask, axis=1 - axis), jnp.arange(side, dtype=mask.dtype)
        total = jnp.maximum(jnp.sum(count), 1e-12)
        middle = jnp.sum(count * place) / total
        variance = jnp.sum(count * (place - middle) ** 2) / total + 1
        bells.append(jnp.exp(-((place - middle) ** 2) / (2 * reach**2 * variance)))
    return (1 - mask) * (bells[0][:, None] * bells[1][None] + _FAR)
