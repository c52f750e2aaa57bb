"""What a denoiser took that was no noise: canvas, paper, the grain of a print."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.tasks.restore.noise import checked, levels

_BLOCK = 32  # pixels
_CERTAIN = 4.0  # deviations of a spectrum of pure noise, from which on it is none


def keep_grain(picture: Array, denoised: Array, noise: Array | float) -> jax.Array:
    """Give back what was taken from a picture and is not white noise, such as the weave of a canvas.

    The spectrum of white noise is flat, that of a weave has peaks, and these are the same all over the picture: so of the spectra of
    overlapping blocks of what was taken, the median is compared with that of noise. What is above it by more than chance is given back,
    by ``1 - noise / found`` of a frequency; edges that a denoiser blurred are in few blocks and do not count.

    Args:
        picture: ``[H, W, C]``, float, with its noise.
        denoised: of its shape.
        noise: a number, ``[C]`` or ``[H, W]``, as the denoiser was given it.

    Returns:
        ``[H, W, C]``; of pictures of few blocks (32 x 32 pixels, each half over the next) little can be told, and little comes back.

    Raises:
        ValueError: shapes that differ, integers, or noise of another shape or negative.

    Reference: Wiener's filter by blocks as in Lim and Oppenheim, Enhancement and Bandwidth Compression of Noisy Speech, 1979, here with
    one gain for all blocks, of what is left over.
    """
    picture, denoised = checked(picture), checked(denoised)
    if picture.shape != denoised.shape:
        raise ValueError(f"expected two pictures of one shape, got {picture.shape} and {denoised.shape}.")
    scale = jnp.maximum(levels(noise, picture), 1e-6)
    spectra = _spectra((picture - denoised) / scale)  # [N, 32, 17, C], of white noise 1 on average
    power = jnp.median(jnp.abs(spectra) ** 2, axis=0) / np.log(
        2
    )  # the median of a square of such numbers is log 2 of its mean
    chance = 1 + _CERTAIN * np.sqrt(2.0 / len(spectra))
    gain = jnp.where(power > chance, 1 - 1 / jnp.maximum(power, 1), 0)
    given = _joined(spectra * gain[None], picture.shape) * scale
    return jnp.where(levels(noise, picture) > 0, denoised + given, denoised)


def _window() -> np.ndarray:
    """Return the root of a Hann window, whose squares add up to 1 over blocks that lie half over the next: ``[1, 32, 1, 32, 1]``."""
    line = np.sin(np.pi * (np.arange(_BLOCK) + 0.5) / _BLOCK).astype(np.float32)
    return line.reshape(1, -1, 1, 1, 1) * line.reshape(1, 1, 1, -1, 1)


def _counts(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many blocks stand below and beside each other, with half a block around the picture."""
    return -(-shape[0] // _BLOCK) + 1, -(-shape[1] // _BLOCK) + 1


def _spectra(x: jax.Array) -> jax.Array:
    """Return spectra of all blocks, ``[N, 32, 17, C]``, divided by what white noise of deviation 1 has."""
    half, (rows, columns) = _BLOCK // 2, _counts(x.shape)
    pads = [(half, n * _BLOCK - length + half) for n, length in zip((rows, columns), x.shape[:2], strict=True)]
    x = jnp.pad(x, (*pads, (0, 0)), mode="symmetric")
    found = []
    for top in (0, half):
        for left in (0, half):
            part = x[top : top + rows * _BLOCK, left : left + columns * _BLOCK]
            blocks = part.reshape(rows, _BLOCK, columns, _BLOCK, -1) * _window()
            blocks = blocks.transpose(0, 2, 1, 3, 4).reshape(rows * columns, _BLOCK, _BLOCK, -1)
            found.append(jnp.fft.rfft2(blocks, axes=(1, 2)) * (2 / _BLOCK))
    return jnp.concatenate(found)


def _joined(spectra: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the picture of spectra: the inverse of `_spectra`."""
    half, (rows, columns) = _BLOCK // 2, _counts(shape)
    whole = jnp.zeros(((rows + 1) * _BLOCK, (columns + 1) * _BLOCK, shape[-1]), jnp.float32)
    places = [(top, left) for top in (0, half) for left in (0, half)]
    for (top, left), part in zip(places, jnp.split(spectra, 4), strict=True):
        blocks = jnp.fft.irfft2(part * (_BLOCK / 2), s=(_BLOCK, _BLOCK), axes=(1, 2))
        blocks = blocks.reshape(rows, columns, _BLOCK, _BLOCK, -1).transpose(0, 2, 1, 3, 4) * _window()
        part = blocks.reshape(rows * _BLOCK, columns * _BLOCK, -1)
        whole = whole.at[top : top + rows * _BLOCK, left : left + columns * _BLOCK].add(part)
    return whole[half : half + shape[0], half : half + shape[1]]
