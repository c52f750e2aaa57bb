"""Color: luminance and chroma (YIQ), linear light, Lab, and matching the colors of one picture to another's.

Images are ``[..., H, W, 3]``, sRGB-encoded, in [0, 1]; results are not clipped unless said.
Reference: Gatys et al., Preserving Color in Neural Artistic Style Transfer, 2016 (arXiv:1606.05897).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.ops.symmetric import symmetric_sqrt

_RGB_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.595716, -0.274453, -0.321263),
    (0.211456, -0.522591, 0.311135),
)
LINEAR_TO_XYZ = (  # IEC 61966-2-1
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)  # else GPUs round colors to 10 bits


def rgb_to_yiq(images: Array) -> jax.Array:
    """Return luminance Y and chroma I, Q (weights of the NTSC 1953 primaries) of RGB pixels ``[..., 3]``, in the last axis."""
    return _matmul(images, jnp.asarray(_RGB_TO_YIQ, jnp.float32).T)


def yiq_to_rgb(images: Array) -> jax.Array:
    """Invert `rgb_to_yiq`, ``[..., 3]``."""
    return _matmul(images, jnp.linalg.inv(jnp.asarray(_RGB_TO_YIQ, jnp.float32)).T)


def srgb_to_linear(images: Array) -> jax.Array:
    """Return light, of which sums and ratios are physical, of sRGB-encoded values of any shape; 0 and 1 stay.

    Negative values, which computing in linear light can give, are mirrored, so that `linear_to_srgb` is the inverse everywhere.

    Reference: IEC 61966-2-1.
    """
    images = jnp.asarray(images, jnp.float32)
    size = jnp.abs(images)
    curved = ((jnp.maximum(size, 0.04045) + 0.055) / 1.055) ** 2.4
    return jnp.sign(images) * jnp.where(size <= 0.04045, size / 12.92, curved)


def linear_to_srgb(images: Array) -> jax.Array:
    """Invert `srgb_to_linear`."""
    images = jnp.asarray(images, jnp.float32)
    size = jnp.abs(images)
    curved = 1.055 * jnp.maximum(size, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.sign(images) * jnp.where(size <= 0.0031308, size * 12.92, curved)


def rgb_to_lab(images: Array) -> jax.Array:
    """Return CIE 1976 L*, a*, b* (white D65) of sRGB-encoded pixels ``[..., 3]``: distances are differences as seen.

    >>> rgb_to_lab(jnp.ones((1, 1, 3))).round(2) + 0.0
    Array([[[100.,   0.,   0.]]], dtype=float32)
    """
    matrix = jnp.asarray(LINEAR_TO_XYZ, jnp.float32)
    ratios = _matmul(srgb_to_linear(images), (matrix / matrix.sum(axis=1, keepdims=True)).T)
    edge = (6 / 29) ** 3
    roots = jnp.where(ratios > edge, jnp.cbrt(jnp.maximum(ratios, edge)), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = (roots[..., i] for i in range(3))
    return jnp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_rgb(images: Array) -> jax.Array:
    """Invert `rgb_to_lab`, ``[..., 3]``; colors that no screen has come out below 0 or above 1."""
    lightness, a, b = (images[..., i] for i in range(3))
    y = (lightness + 16) / 116
    roots = jnp.stack([y + a / 500, y, y - b / 200], axis=-1)
    ratios = jnp.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    matrix = np.array(LINEAR_TO_XYZ)
    inverse = np.linalg.inv(matrix / matrix.sum(axis=1, keepdims=True))
    return linear_to_srgb(_matmul(ratios, jnp.asarray(inverse, jnp.float32).T))


def luminance(images: Array) -> jax.Array:
    """Return a gray picture ``[..., H, W, 3]``: the luminance in all three channels."""
    gray = rgb_to_yiq(images)[..., :1]  # [..., H, W, 1]
    return jnp.broadcast_to(gray, (*gray.shape[:-1], 3))


def with_chroma_of(images: Array, reference: Array) -> jax.Array:
    """Combine the luminance of `images` with the chroma of `reference`; clipped to [0, 1].

    Args:
        images: ``[..., H, W, 3]`` in [0, 1].
        reference: the same shape.

    Returns:
        ``[..., H, W, 3]``.
    """
    luma, chroma = rgb_to_yiq(images)[..., :1], rgb_to_yiq(reference)[..., 1:]
    return jnp.clip(yiq_to_rgb(jnp.concatenate([luma, chroma], axis=-1)), 0, 1)


class Colors(NamedTuple):
    """Mean ``[C]`` and covariance ``[C, C]`` of the colors of a picture or of a part of it."""

    mean: jax.Array
    covariance: jax.Array


def colors_of(images: Array, weights: Array | None = None) -> Colors:
    """Return the mean and the covariance of pixels.

    Args:
        images: ``[H, W, C]``, of any color space.
        weights: ``[H, W]``, not negative, what each pixel counts: a soft mask.
    """
    pixels = jnp.asarray(images).reshape(-1, images.shape[-1])  # [H W, C]
    if weights is None:
        mean = jnp.mean(pixels, axis=0)
        centered = pixels - mean[None]
        return Colors(mean, _matmul(centered.T, centered) / pixels.shape[0])
    shares = jnp.asarray(weights).reshape(-1, 1) / jnp.maximum(jnp.sum(weights), 1e-12)
    mean = jnp.sum(shares * pixels, axis=0)
    centered = pixels - mean[None]
    return Colors(mean, _matmul((shares * centered).T, centered))


def transport_matrix(source: Colors, target: Colors, *, least: float = 1e-5) -> jax.Array:
    """Return the linear optimal transport between Gaussians (Monge map), ``[C, C]``, symmetric: ``x -> A (x - m_s) + m_t``.

    ``A = S^(-1/2) (S^(1/2) T S^(1/2))^(1/2) S^(-1/2)``.

    Args:
        source: with covariance S.
        target: with covariance T.
        least: added to the diagonals of both.
    """
    eye = least * jnp.eye(source.mean.shape[0], dtype=source.mean.dtype)
    root = symmetric_sqrt(source.covariance + eye)
    inverse = jnp.linalg.inv(root)
    middle = symmetric_sqrt(_matmul(_matmul(root, target.covariance + eye), root))
    return _matmul(_matmul(inverse, middle), inverse)


def match_mean_deviation(images: Array, target: Array) -> jax.Array:
    """Shift and scale each channel of `images` to the mean and standard deviation of `target`; clipped to [0, 1].

    Args:
        images: ``[H, W, C]`` in [0, 1].
        target: ``[h, w, C]`` in [0, 1].

    Returns:
        ``[H, W, C]``.
    """
    (mean, std), (target_mean, target_std) = (
        (jnp.mean(each, (0, 1), keepdims=True), jnp.std(each, (0, 1), keepdims=True)) for each in (images, target)
    )
    return jnp.clip((images - mean) * (target_std / jnp.maximum(std, 1e-5)) + target_mean, 0, 1)


def match_mean_covariance(images: Array, target: Array) -> jax.Array:
    """Transport the colors of `images` to the mean and covariance of `target`; clipped to [0, 1].

    The linear optimal transport between Gaussians, see `transport_matrix`.

    Args:
        images: ``[H, W, C]`` in [0, 1], with covariance S.
        target: ``[h, w, C]`` in [0, 1], with covariance T.

    Returns:
        ``[H, W, C]``.
    """
    source, colors = colors_of(images), colors_of(target)
    moved = _matmul(images - source.mean[None, None], transport_matrix(source, colors))
    return jnp.clip(moved + colors.mean[None, None], 0, 1)
