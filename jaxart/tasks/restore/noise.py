"""How much noise there is in a picture, and what is meant by a level of noise."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array

_SIDE = 5  # pixels of a patch
_PATCHES = 200_000  # that are looked at, about
_ROUNDS = 4
_FEWEST = 4  # flat patches for each of a patch's pixels
_SPREAD = 3.0  # deviations of the energy of slopes of pure noise, up to which a patch counts as flat


def estimate_noise(picture: Array) -> jax.Array:
    """Return the standard deviation of the white noise in each channel of one picture: ``[C]``, in the units of the picture.

    Flat patches of 5 x 5 pixels are those whose slopes are no more than noise would have. Of their covariance, the smaller half of the
    eigenvalues is the noise's variance, for what remains of the picture in them lies in a few directions. Which patches are flat depends
    on the level, so the two are found in turns. Where texture is everywhere, the least eigenvalue of all patches counts.

    Args:
        picture: ``[H, W, C]``, float, not clipped to where the noise would be cut off. Where the shorter side has fewer than 2 pixels,
            nothing can be told, and 0 is returned.

    Raises:
        ValueError: another rank, or no pixels.

    Reference: flat patches and eigenvalues in turns: Liu, Tanaka and Okutomi, Single-Image Noise Level Estimation for Blind Denoising,
    2013; several of the eigenvalues: Chen, Zhu and Heng, An Efficient Statistical Method for Image Noise Level Estimation, 2015.
    """
    picture = checked(picture)
    side = min(_SIDE, *picture.shape[:2])
    if side < 2:
        return jnp.zeros(picture.shape[-1])
    return jax.vmap(lambda channel: _deviation(channel, side), in_axes=-1)(picture)


def _deviation(channel: jax.Array, side: int) -> jax.Array:
    patches = _patches(channel - jnp.mean(channel), side)  # [N, side^2]
    square = patches.reshape(-1, side, side)
    slopes = sum(jnp.sum(jnp.diff(square, axis=axis) ** 2, axis=(1, 2)) for axis in (1, 2))
    count = 2 * side * (side - 1)  # of slopes in a patch, each of twice the noise's variance
    most = 2 * count * (1 + _SPREAD * np.sqrt(3.5 / count))
    first = jnp.maximum(_eigenvalues(patches, jnp.ones_like(slopes, bool))[0], 0)

    def turn(_: jax.Array, variance: jax.Array) -> jax.Array:
        flat = slopes <= most * variance
        found = jnp.maximum(jnp.mean(_eigenvalues(patches, flat)[: side**2 // 2]), 0)
        return jnp.where(jnp.sum(flat) < _FEWEST * side**2, variance, found)

    return jnp.sqrt(jax.lax.fori_loop(0, _ROUNDS, turn, first))


def _patches(channel: jax.Array, side: int) -> jax.Array:
    """Return patches as rows; of large pictures those at every second, third ... row and column."""
    height, width = (length - side + 1 for length in channel.shape)
    step = max(1, round(np.sqrt(height * width / _PATCHES)))
    parts = [channel[y : y + height : step, x : x + width : step].ravel() for y in range(side) for x in range(side)]
    return jnp.stack(parts, axis=-1)


def _eigenvalues(patches: jax.Array, flat: jax.Array) -> jax.Array:
    """Return the eigenvalues of the covariance of those patches that are flat, ascending."""
    weight = flat.astype(patches.dtype) / jnp.maximum(jnp.sum(flat), 1)
    away = patches - (weight @ patches)[None]
    return jnp.linalg.eigvalsh((away * weight[:, None]).T @ away)


def checked(picture: Array) -> jax.Array:
    """Return a picture ``[H, W, C]`` as an array.

    Args:
        picture: float.

    Raises:
        ValueError: another rank, integers, or no pixels.
    """
    picture = jnp.asarray(picture)
    if picture.ndim != 3 or 0 in picture.shape or not jnp.issubdtype(picture.dtype, jnp.floating):
        raise ValueError(
            f"expected a picture [H, W, C] of floats, got {picture.dtype}{list(picture.shape)}. Divide 8-bit values by 255."
        )
    return picture


def levels(noise: Array | float, picture: jax.Array) -> jax.Array:
    """Return standard deviations of the noise of a picture ``[H, W, C]``, ``[H or 1, W or 1, C or 1]``.

    Args:
        noise: one number, one for each channel ``[C]`` as `estimate_noise` has it, or one for each pixel ``[H, W]``.
        picture: ``[H, W, C]``.

    Raises:
        ValueError: another shape, or negative numbers or such that are not finite.
    """
    noise = jnp.asarray(noise, picture.dtype)
    shapes = {0: (), 1: picture.shape[-1:], 2: picture.shape[:2]}
    if shapes.get(noise.ndim) != noise.shape:
        raise ValueError(
            f"noise: expected one number, or {shapes[1]} by channel, or {shapes[2]} by pixel, got shape {noise.shape}."
        )
    if not isinstance(noise, Tracer):
        least, most = float(noise.min()), float(noise.max())
        if not (least >= 0 and np.isfinite(most)):
            raise ValueError(
                f"noise: expected standard deviations of 0 or more in the units of the picture, got {least:g} to {most:g}."
            )
    return noise[..., None] if noise.ndim == 2 else noise.reshape(1, 1, -1)
