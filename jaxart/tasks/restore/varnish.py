"""How yellow a varnish is: estimated of the picture alone, of places that should be white, or of how a cleaned part looks.

What is estimated is a `Varnish`, which `apply_tone` takes off.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxart.arrays import Array
from jaxart.color import rgb_to_lab, srgb_to_linear
from jaxart.image import fit_within, resize
from jaxart.tasks.restore.tone import Color, Rows, Varnish, apply_tone, checked_picture

# Aged natural resins absorb the more the shorter the wave, exponentially: R, G and B of 610, 540 and 460 nm, falling by e each 75 nm.
ABSORPTION = tuple(math.exp((460 - wave) / 75) for wave in (610, 540, 460))
# Of 301 paintings as they are and under layers of a density of 0 to 1.5 in B with a veil of up to 0.05 (benchmarks/varnish.py --fit): the
# regression of the density on log(G / B) of the edges, the deviation of what is left, and the darkest light of three quarters of them.
SLOPE, OFFSET, DEVIATION, DARKEST = 1.06, 0.17, 0.28, 0.005
_VISIBLE = 0.2  # a density
_SIDE = 256  # pixels, at which edges are looked at
_NEUTRAL = 5.0  # of chroma in Lab
_GRID = 8  # points a side


class Region(NamedTuple):
    """A rectangle of a picture, in pixels.

    Fields:
        x: its left side.
        y: its top.
        width: at least 1.
        height: at least 1.
    """

    x: int
    y: int
    width: int
    height: int


def remove_varnish(
    picture: Array, *, white: Sequence[Region] = (), cleaned: Array | None = None, region: Region | None = None
) -> tuple[jax.Array, Varnish]:
    """Take a yellowed varnish off: by places that should be white, by how a cleaned part looks, else by the picture alone.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        white: see `varnish_of_white`.
        cleaned: see `varnish_of_cleaned`.
        region: see `varnish_of_cleaned`.

    Returns:
        The picture, in [0, 1], and the varnish that was taken off.

    Raises:
        ValueError: as the functions that estimate, or both `white` and `cleaned`.
    """
    if white and cleaned is not None:
        raise ValueError("remove_varnish: expected white or cleaned, got both.")
    if white:
        varnish = varnish_of_white(picture, white)
    elif cleaned is not None:
        varnish = varnish_of_cleaned(picture, cleaned, region=region)
    else:
        varnish = estimate_varnish(picture)
    return apply_tone(varnish, picture), varnish


def estimate_varnish(picture: Array) -> Varnish:
    """Estimate a varnish of a picture alone, cautiously: a painting may be as yellow as that by itself.

    The colors of edges are on average gray, whatever the colors of surfaces; a layer that absorbs tints them, and one that scatters leaves
    them as they are. The density is that of a regression over paintings, less what cannot be told from none.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.

    Returns:
        The varnish; its confidence is the probability that there is a visible one, of a density above 0.2 in blue.

    Raises:
        ValueError: another shape.

    Reference: van de Weijer, Gevers and Gijsenij, Edge-Based Color Constancy, 2007.
    """
    light = srgb_to_linear(checked_picture(picture))
    if max(light.shape[:2]) > _SIDE:
        light = resize(light, fit_within(light.shape[:2], _SIDE), method="bilinear")
    seen = np.asarray(light, np.float64)
    edges = edge_light(seen)
    if not (edges > 0).all():
        return Varnish((0.0, 0.0, 0.0), confidence=0.0)
    likely = SLOPE * math.log(edges[1] / edges[2]) - OFFSET
    density = max(0.0, likely - DEVIATION / 2) * np.asarray(ABSORPTION)
    veil = _veil(seen)
    varnish = Varnish(_color(density), (veil, veil, veil), confidence=_normal((likely - _VISIBLE) / DEVIATION))
    return _unclipped(varnish, (seen - veil) * np.exp(density))


def varnish_of_white(picture: Array, regions: Sequence[Region]) -> Varnish:
    """Estimate a varnish of places that should be white or gray; of several, how its thickness varies from place to place.

    How much of the channel that passes best is absorbed cannot be seen; it is that of aged resins, by the others.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        regions: rectangles, of one gray or of several; at least one.

    Returns:
        The varnish; its confidence is the share of their pixels that are nearly neutral without it, with a chroma of at most 5 in Lab.

    Raises:
        ValueError: no regions, one that is not within the picture, or one that is black.
    """
    picture = checked_picture(picture)
    if not regions:
        raise ValueError(
            "regions: expected at least one rectangle (x, y, width, height) that should be white, got none."
        )
    light = srgb_to_linear(picture)
    veil, parts = _veil(np.asarray(light)), [_part(light, Region(*region)) for region in regions]
    whites = [np.median(np.asarray(part, np.float64).reshape(-1, 3), axis=0) - veil for part in parts]
    for region, seen in zip(regions, whites, strict=True):
        if not (seen > 1e-4).all():
            raise ValueError(
                f"regions: {tuple(region)} is black in a channel, so it tells no color; choose a lighter one."
            )
    densities = np.stack([np.log(seen.max() / seen) for seen in whites])
    densities += densities.max(axis=1, keepdims=True) * min(ABSORPTION) / (1 - min(ABSORPTION))
    density = densities.mean(axis=0)
    thickness = densities @ density / max(float(density @ density), 1e-12)
    centers = np.asarray([(each.y + each.height / 2, each.x + each.width / 2) for each in map(Region._make, regions)])
    grid = _spread(centers / picture.shape[:2], thickness) if len(regions) > 1 else ((1.0,),)
    varnish = Varnish(_color(density), (veil, veil, veil), thickness=grid)
    found = apply_tone(varnish, picture, clip=False)
    varnish = _unclipped(varnish, np.asarray(srgb_to_linear(found)))
    chroma = [np.linalg.norm(rgb_to_lab(_part(found, Region(*each)))[..., 1:], axis=-1).ravel() for each in regions]
    return varnish._replace(confidence=float(np.mean(np.concatenate(chroma) <= _NEUTRAL)))


def varnish_of_cleaned(picture: Array, cleaned: Array, *, region: Region | None = None) -> Varnish:
    """Estimate a varnish of a picture of a cleaned part: of each channel, the line that its tones under the varnish lie on.

    Both are compared by the order of their tones, so they need not lie over each other; but they must show the same.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        cleaned: ``[h, w, 3]``, how the part looks without the varnish, in the same light.
        region: of `picture`, which `cleaned` shows; all of it if not given.

    Returns:
        The varnish; its confidence is the share of the variance of light that the lines explain.

    Raises:
        ValueError: another shape, a region that is not within the picture, or a part without differences.
    """
    picture, cleaned = checked_picture(picture), checked_picture(cleaned)
    part = picture if region is None else _part(picture, Region(*region))
    shares = np.linspace(0.02, 0.98, 49)
    under, bare = (np.quantile(np.asarray(srgb_to_linear(x), np.float64), shares, axis=(0, 1)) for x in (part, cleaned))
    spread = np.ptp(bare, axis=0) * np.ptp(under, axis=0)
    if not (spread > 1e-8).all():
        raise ValueError("cleaned: expected a part with light and dark in all channels, got one of a single tone.")
    slope = (((bare - bare.mean(0)) * (under - under.mean(0))).sum(0)) / ((bare - bare.mean(0)) ** 2).sum(0)
    veil = under.mean(0) - slope * bare.mean(0)
    through_zero = (bare * under).sum(0) / (bare**2).sum(0)
    slope, veil = np.where(veil < 0, through_zero, slope), np.maximum(veil, 0)
    left = ((under - slope * bare - veil) ** 2).sum() / ((under - under.mean(0)) ** 2).sum()
    return Varnish(_color(-np.log(slope)), _color(veil), confidence=float(max(0, 1 - left)))


def edge_light(light: np.ndarray) -> np.ndarray:
    """Return by how much light differs from pixel to pixel, down and across, summed: of ``[H, W, 3]`` three numbers."""
    down, across = (np.abs(np.diff(light, axis=axis)).sum(axis=(0, 1)) for axis in (0, 1))
    return down + across


def _veil(light: np.ndarray) -> float:
    """Return by how much the darkest light of a picture is lighter than that of most paintings."""
    return max(0.0, float(np.quantile(light, 0.005, axis=(0, 1)).min()) - DARKEST)


def _unclipped(varnish: Varnish, painting: np.ndarray) -> Varnish:
    """Return a varnish with an exposure that keeps nearly all light of the painting, ``[H, W, 3]``, below 1."""
    exposure = max(1.0, float(np.quantile(painting, 0.999, axis=(0, 1)).max()))
    return varnish._replace(exposure=exposure, veil=_color(np.asarray(varnish.veil) / exposure))


def _part(picture: jax.Array, region: Region) -> jax.Array:
    height, width = picture.shape[:2]
    x, y, across, down = region
    if min(x, y) < 0 or min(across, down) < 1 or x + across > width or y + down > height:
        raise ValueError(
            f"region: expected x, y, width and height within {width} x {height} pixels, got {x},{y},{across},{down}."
        )
    return picture[y : y + down, x : x + across]


def _spread(places: np.ndarray, values: np.ndarray) -> Rows:
    """Return values at the points of a grid over the picture: of each, those of given places, weighed by the inverse squared distance."""
    steps = np.linspace(0, 1, _GRID)
    points = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)  # [8, 8, 2]
    weights = 1 / (((points[:, :, None] - places[None, None]) ** 2).sum(axis=-1) + 1e-3)  # [8, 8, N]
    found = (weights * values).sum(axis=-1) / weights.sum(axis=-1)
    return tuple(tuple(float(each) for each in row) for row in found)


def _color(values: np.ndarray) -> Color:
    red, green, blue = (float(each) for each in values)
    return red, green, blue


def _normal(x: float) -> float:
    """Return the share of a normal distribution below x."""
    return (1 + math.erf(x / math.sqrt(2))) / 2
