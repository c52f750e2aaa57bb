"""How near a picture is to the one it should be. Which channel, border and rounding is part of the number: `Protocol` names them."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, check_choice
from jaxart.ops import avg_pool, similarity_maps
from jaxart.ops.structure import WINDOW

Channel = Literal["rgb", "y"]
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, from the finest


class Protocol(NamedTuple):
    """What of two pictures is compared.

    Fields:
        channel: "rgb", all channels; "y", the luma of BT.601 in [16, 235] / 255, as papers on super-resolution report.
        border: pixels left out on each side; there, usually the scale.
        rounded: whether both are rounded to 8 bits first, as they would be in a file.
    """

    channel: Channel = "rgb"
    border: int = 0
    rounded: bool = False


PLAIN = Protocol()


def compared(picture: Array, protocol: Protocol) -> jax.Array:
    """Return what a protocol compares of pictures.

    Args:
        picture: ``[..., H, W, C]`` in [0, 1]; gray pictures have one channel.
        protocol: of the comparison.

    Returns:
        float32 ``[..., H - 2 border, W - 2 border, C or 1]``.

    Raises:
        ValueError: an unknown channel, or a border that leaves nothing.
    """
    check_choice("channel", protocol.channel, get_args(Channel))
    picture = jnp.asarray(picture, jnp.float32)
    if protocol.border < 0 or 2 * protocol.border >= min(picture.shape[-3:-1]):
        raise ValueError(
            f"border: expected 0 or more pixels that leave some, got {protocol.border} of {picture.shape}."
        )
    if protocol.rounded:
        picture = jnp.round(jnp.clip(picture, 0, 1) * 255) / 255
    if protocol.channel == "y" and picture.shape[-1] == 3:
        luma = picture @ jnp.float32([65.481, 128.553, 24.966])[:, None] + 16
        picture = luma / 255
    height, width = picture.shape[-3:-1]
    return picture[..., protocol.border : height - protocol.border, protocol.border : width - protocol.border, :]


def psnr(picture: Array, truth: Array, *, protocol: Protocol = PLAIN) -> jax.Array:
    """Return the peak signal-to-noise ratio in decibels, ``10 log10 (1 / mean squared error)``: ``[...]``; equal pictures have infinity.

    Args:
        picture: ``[..., H, W, C]`` in [0, 1].
        truth: the same shape.
        protocol: what is compared.

    Raises:
        ValueError: as `compared`, or shapes that differ.

    >>> round(float(psnr(jnp.full((4, 4, 3), 0.6), jnp.full((4, 4, 3), 0.5))), 3)
    20.0
    """
    one, other = _pair(picture, truth, protocol)
    return -10 * jnp.log10(jnp.mean((one - other) ** 2, axis=(-3, -2, -1)))


def ssim(picture: Array, truth: Array, *, protocol: Protocol = PLAIN) -> jax.Array:
    """Return the mean structural similarity, at most 1: ``[...]``; the mean of that of the channels.

    Args:
        picture: ``[..., H, W, C]`` in [0, 1], at least 11 pixels a side.
        truth: the same shape.
        protocol: what is compared.

    Raises:
        ValueError: as `compared` and `ops.similarity_maps`.

    Reference: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004; windows as in its section 3.C.
    """
    luminance, structure = similarity_maps(*_pair(picture, truth, protocol))
    return jnp.mean(luminance * structure, axis=(-3, -2, -1))


def ms_ssim(picture: Array, truth: Array, *, protocol: Protocol = PLAIN) -> jax.Array:
    """Return the structural similarity over five scales, each half the one before, at most 1: ``[...]``.

    Args:
        picture: ``[..., H, W, C]`` in [0, 1], at least 176 pixels a side.
        truth: the same shape.
        protocol: what is compared.

    Raises:
        ValueError: as `compared`, or pictures too small for the coarsest scale.

    Reference: Wang, Simoncelli and Bovik, Multi-Scale Structural Similarity for Image Quality Assessment, 2003. Departure: a negative mean
    at a scale, which has no root, counts as 0.
    """
    one, other = _pair(picture, truth, protocol)
    least = WINDOW << (len(_SCALES) - 1)
    if min(one.shape[-3:-1]) < least:
        raise ValueError(f"ms_ssim: expected sides of at least {least} pixels, got {one.shape}.")
    shape = one.shape
    one, other = (each.reshape(-1, *shape[-3:]) for each in (one, other))
    found = jnp.ones((len(one), shape[-1]))
    for number, weight in enumerate(_SCALES):
        luminance, structure = similarity_maps(one, other)
        last = number == len(_SCALES) - 1
        mean = jnp.mean(luminance * structure if last else structure, axis=(1, 2))  # [N, C]
        found *= jnp.maximum(mean, 0) ** weight
        if not last:
            one, other = avg_pool(one), avg_pool(other)
    return jnp.mean(found, axis=-1).reshape(shape[:-3])


def _pair(picture: Array, truth: Array, protocol: Protocol) -> tuple[jax.Array, jax.Array]:
    one, other = jnp.asarray(picture), jnp.asarray(truth)
    if one.shape != other.shape or one.ndim < 3:
        raise ValueError(f"expected two pictures [..., H, W, C] of one size, got {one.shape} and {other.shape}.")
    return compared(one, protocol), compared(other, protocol)
