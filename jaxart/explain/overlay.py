"""Attributions as pictures ``[..., H, W, 3]``: maps in [0, 1], their colors, maps over what they explain, and sheets."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.color import luminance
from jaxart.explain.score import wide
from jaxart.image import resize

_ANCHORS = np.array(  # equal steps of lightness, 6 to 95, the hue turning from violet over red to yellow
    [
        (0.08, 0.02, 0.26),
        (0.30, 0.05, 0.41),
        (0.56, 0.12, 0.44),
        (0.79, 0.26, 0.39),
        (0.97, 0.46, 0.29),
        (0.98, 0.73, 0.47),
        (0.99, 0.95, 0.78),
    ],
    np.float32,
)


def pixel_map(attributions: Array, *, positive: bool = False, percentile: float = 99.0) -> jax.Array:
    """Make a map in [0, 1] of attributions: summed over channels, in size or what is positive, the few largest cut off.

    Args:
        attributions: ``[B, H, W, C]``, signed.
        positive: show only what speaks for the class; by default what speaks against it too.
        percentile: of an example's values, that becomes 1.

    Returns:
        ``[B, H, W]``; zeros where that percentile is 0 and nothing is above it.

    Raises:
        ValueError: arrays of another rank, or a percentile outside (0, 100].
    """
    attributions = jnp.asarray(attributions)
    if attributions.ndim != 4 or not 0 < percentile <= 100:
        raise ValueError(
            f"pixel_map: expected attributions [B, H, W, C] and a percentile in (0, 100], got {attributions.shape} and {percentile}."
        )
    total = jnp.sum(attributions, axis=-1)
    total = jax.nn.relu(total) if positive else jnp.abs(total)
    most = jnp.max(total, axis=(1, 2), keepdims=True)
    top = jnp.percentile(total, percentile, axis=(1, 2), keepdims=True).astype(total.dtype)
    top = jnp.where(top > 0, top, most)  # of few pixels that are not 0, all count
    return jnp.clip(total / jnp.where(top > 0, top, 1), 0, 1)


def map_colors(values: Array) -> jax.Array:
    """Color values in [0, 1], from dark violet over red to pale yellow: as light as they are large, in gray and to color-blind eyes too.

    Args:
        values: ``[...]``; what lies outside is cut off.

    Returns:
        ``[..., 3]``, sRGB in [0, 1].
    """
    values = jnp.asarray(values)
    values = values.astype(wide(values))
    position = jnp.clip(values, 0, 1) * (len(_ANCHORS) - 1)
    near = 1 - jnp.abs(
        position[..., None] - jnp.arange(len(_ANCHORS), dtype=values.dtype).reshape(*[1] * values.ndim, -1)
    )
    return jnp.matmul(jax.nn.relu(near), jnp.asarray(_ANCHORS, values.dtype), precision=jax.lax.Precision.HIGHEST)


def overlay(images: Array, maps: Array, *, opacity: float = 0.6) -> jax.Array:
    """Lay the colors of maps over pictures, which turn gray beneath, so that all color is the map's.

    Args:
        images: ``[..., H, W, 3]`` in [0, 1].
        maps: ``[..., h, w]`` in [0, 1]; resampled to the picture, bilinear, where their size is another.
        opacity: of the map, from 0 to 1.

    Returns:
        ``[..., H, W, 3]`` in [0, 1].

    Raises:
        ValueError: shapes that do not fit, or an opacity outside [0, 1].
    """
    images, maps = jnp.asarray(images), jnp.asarray(maps)
    if images.ndim < 3 or images.shape[-1] != 3 or images.shape[:-3] != maps.shape[:-2] or not 0 <= opacity <= 1:
        raise ValueError(
            f"overlay: expected pictures [..., H, W, 3], maps [..., h, w] and an opacity in [0, 1], got {images.shape}, {maps.shape} "
            f"and {opacity}."
        )
    colors = map_colors(_sized(maps, images.shape[-3:-1]))
    return jnp.clip((1 - opacity) * luminance(images.astype(colors.dtype)) + opacity * colors, 0, 1)


def sheet(images: Array, maps: Sequence[Array], *, opacity: float = 0.6, gap: int = 4) -> jax.Array:
    """Lay out a row for each picture: the picture, and for each kind of map the map and its overlay.

    The cell in row i and column j begins ``i (H + gap)`` pixels down and ``j (W + gap)`` to the right; labels are the caller's.

    Args:
        images: ``[B, H, W, 3]`` in [0, 1].
        maps: of each kind ``[B, h, w]`` in [0, 1], such as those of `grad_cam` and of `pixel_map`.
        opacity: as in `overlay`.
        gap: white pixels between cells.

    Returns:
        ``[B (H + gap) - gap, (1 + 2 K) (W + gap) - gap, 3]`` for K kinds.

    Raises:
        ValueError: pictures of another rank, a negative gap, or as `overlay`.
    """
    images = jnp.asarray(images)
    if images.ndim != 4 or gap < 0:
        raise ValueError(
            f"sheet: expected pictures [B, H, W, 3] and a gap of at least 0, got {images.shape} and {gap}."
        )
    columns = [images]
    for each in maps:
        columns += [map_colors(_sized(jnp.asarray(each), images.shape[1:3])), overlay(images, each, opacity=opacity)]
    cells = jnp.stack([column.astype(jnp.float32) for column in columns], axis=1)  # [B, columns, H, W, 3]
    cells = jnp.pad(cells, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1)
    rows, number, height, width, _ = cells.shape
    whole = cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, number * width, 3)
    return whole[: rows * height - gap, : number * width - gap]


def _sized(maps: jax.Array, size: tuple[int, ...]) -> jax.Array:
    """Resample maps ``[..., h, w]`` to a size, where theirs is another."""
    return maps if maps.shape[-2:] == size else resize(maps[..., None], (size[0], size[1]), method="bilinear")[..., 0]
