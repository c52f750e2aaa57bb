"""Color: luminance and chroma (YIQ), and matching the colors of one picture to another's.

Images are ``[..., H, W, 3]``, sRGB-encoded, in [0, 1]; results are not clipped unless said.
Reference: Gatys et al., Preserving Color in Neural Artistic Style Transfer, 2016 (arXiv:1606.05897).
"""

import functools

import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.ops.symmetric import spectral_map

_RGB_TO_YIQ = (
    (0.299, 0.587, 0.114),
    (0.595716, -0.274453, -0.321263),
    (0.211456, -0.522591, 0.311135),
)
_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)  # else GPUs round colors to 10 bits


def rgb_to_yiq(images: Array) -> jax.Array:
    """Return luminance Y and chroma I, Q (weights of the NTSC 1953 primaries) of RGB pixels ``[..., 3]``, in the last axis."""
    return _matmul(images, jnp.asarray(_RGB_TO_YIQ, jnp.float32).T)


def yiq_to_rgb(images: Array) -> jax.Array:
    """Invert `rgb_to_yiq`, ``[..., 3]``."""
    return _matmul(images, jnp.linalg.inv(jnp.asarray(_RGB_TO_YIQ, jnp.float32)).T)


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


def _mean_covariance(images: Array) -> tuple[jax.Array, jax.Array]:
    pixels = jnp.asarray(images).reshape(-1, images.shape[-1])  # [H W, C]
    mean = jnp.mean(pixels, axis=0, keepdims=True)
    centered = pixels - mean
    return mean[None], _matmul(centered.T, centered) / pixels.shape[0]


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

    The linear optimal transport between Gaussians (Monge map):
    ``x -> A (x - m_s) + m_t``, ``A = S^(-1/2) (S^(1/2) T S^(1/2))^(1/2) S^(-1/2)``.

    Args:
        images: ``[H, W, C]`` in [0, 1], with covariance S.
        target: ``[h, w, C]`` in [0, 1], with covariance T.

    Returns:
        ``[H, W, C]``.
    """
    (mean, source), (mean_target, covariance) = _mean_covariance(images), _mean_covariance(target)
    eye = 1e-5 * jnp.eye(source.shape[0], dtype=source.dtype)
    root = spectral_map(jnp.sqrt, source + eye)
    inverse = spectral_map(lambda values: 1 / jnp.sqrt(values), source + eye)
    middle = spectral_map(jnp.sqrt, _matmul(_matmul(root, covariance + eye), root))
    transport = _matmul(_matmul(inverse, middle), inverse)
    return jnp.clip(_matmul(images - mean, transport) + mean_target, 0, 1)
