"""What a mask says of a picture: where it has holes, and how much of what is mended is to be seen there."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array


class Holes(NamedTuple):
    """Holes of a picture: bool ``missing [H, W]``, ``share [H, W]`` in [0, 1] of what is mended, and a `notice` on the mask, or ""."""

    missing: np.ndarray
    share: np.ndarray
    notice: str


def holes_of(mask: Any, size: tuple[int, int]) -> Holes:
    """Return the holes that a mask stands for: wherever it is above 0, its values being shares.

    Args:
        mask: ``[H, W]`` or ``[H, W, C]`` with equal colors (a last channel that is 1 everywhere is alpha); bool, integers, whose largest
            number is 1, or float in [0, 1].
        size: height and width of the picture.

    Returns:
        The holes, with a sentence where the mask is not black and white alone.

    Raises:
        ValueError: another size; colors; values that are not in [0, 1]; nothing or everything missing.
    """
    values = _shares(mask)
    if values.shape != tuple(size):
        raise ValueError(
            f"mask: has {_pixels(values.shape)}, the picture {_pixels(size)}. A mask needs the picture's size; resizing it "
            "would move its edges, so it is left to you."
        )
    missing = values > 0
    if not missing.any():
        raise ValueError("mask: is black everywhere, so nothing is missing. Paint what is to be mended white.")
    if missing.all():
        raise ValueError(
            "mask: is nowhere black, so nothing of the picture is known. Paint what is to be kept black; if what is to be mended "
            "is black, invert it."
        )
    return Holes(missing, values, _notice(values))


def blend_holes(picture: Array, mended: Array, share: Array) -> jax.Array:
    """Return a picture with as much of what was mended as a mask says; where that is nothing, the picture bit for bit.

    Args:
        picture: ``[H, W, C]``; what it holds where the share is 1 is not looked at.
        mended: the same shape.
        share: ``[H, W]`` in [0, 1].

    Raises:
        ValueError: shapes that differ.
    """
    picture, mended, share = jnp.asarray(picture), jnp.asarray(mended), jnp.asarray(share)
    if picture.shape != mended.shape or share.shape != picture.shape[:2]:
        raise ValueError(
            f"expected two pictures [H, W, C] and shares [H, W], got {picture.shape}, {mended.shape} and {share.shape}."
        )
    share = share[..., None]
    between = share.astype(picture.dtype) * mended + (1 - share).astype(picture.dtype) * picture
    return jnp.where(share <= 0, picture, jnp.where(share >= 1, mended, between))


def _shares(mask: Any) -> np.ndarray:
    values = np.asarray(mask)
    if values.dtype != bool and np.issubdtype(values.dtype, np.integer):
        values = values.astype(np.float32) / np.iinfo(values.dtype).max
    values = values.astype(np.float32)
    if not (values.min(initial=0) >= 0 and values.max(initial=0) <= 1):  # written so that NaN fails too
        raise ValueError(f"mask: expected values in [0, 1], got {values.min():g} to {values.max():g}.")
    if values.ndim == 3:
        colors = values[..., :-1] if values.shape[-1] in (2, 4) and (values[..., -1] == 1).all() else values
        if (colors != colors[..., :1]).any():
            raise ValueError("mask: has colors; expected black for what is kept and white for what is missing.")
        values = colors[..., 0]
    if values.ndim != 2:
        raise ValueError(f"mask: expected [H, W] or [H, W, C], got shape {values.shape}.")
    return values


def _notice(values: np.ndarray) -> str:
    between = ((values > 0) & (values < 1)).mean()
    if not between:
        return ""
    return (
        f"The mask is not black and white: {between:.1%} of its pixels lie between ({values[values > 0].min():.0%} at least). "
        "All that is not black is mended, and blended with the picture by the mask's values."
    )


def _pixels(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
