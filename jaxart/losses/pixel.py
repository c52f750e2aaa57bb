"""Errors summed over positions: of pixels or of feature maps, ``[..., H, W, C]``."""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.ops import similarity_maps


def content_map(features: Array, target: Array) -> jax.Array:
    """Return the squared error of features at each position: ``mean over c of (F - F_t)^2``.

    Args:
        features: ``[..., H, W, C]``, any float type.
        target: the same shape.

    Returns:
        ``[..., H, W]``, float32; its mean is `content`.
    """
    return jnp.mean((features.astype(jnp.float32) - target.astype(jnp.float32)) ** 2, axis=-1)


def content(features: Array, target: Array) -> jax.Array:
    """Return the mean squared error of features: ``mean over h, w, c of (F - F_t)^2``.

    Args:
        features: ``[..., H, W, C]``, any float type; the error is taken in float32.
        target: the same shape.

    Returns:
        ``[...]``, float32.

    Reference: Gatys et al., Image Style Transfer Using Convolutional Neural Networks, 2016, eq. 1. Departure: the mean instead of half
    the sum, so that the weight does not depend on the size of the picture.

    >>> float(content(jnp.ones((4, 4, 3)), jnp.zeros((4, 4, 3))))
    1.0
    """
    return jnp.mean(content_map(features, target), axis=(-2, -1))


def charbonnier(pictures: Array, targets: Array, *, epsilon: float = 1e-3) -> jax.Array:
    """Return the mean over h, w, c of ``sqrt(d^2 + epsilon^2)``: the absolute error, smooth around 0.

    Args:
        pictures: ``[..., H, W, C]``, any float type; the error is taken in float32.
        targets: the same shape.
        epsilon: more than 0; the loss of equal pictures, and how far around 0 it is like the squared error.

    Returns:
        ``[...]``, float32.

    Reference: Lai et al., Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution, 2017, section 3.3.

    >>> round(float(charbonnier(jnp.full((4, 4, 3), 0.5), jnp.zeros((4, 4, 3)))), 5)
    0.5
    """
    difference = pictures.astype(jnp.float32) - targets.astype(jnp.float32)
    return jnp.mean(jnp.sqrt(difference**2 + epsilon**2), axis=(-3, -2, -1))


def dissimilarity(pictures: Array, targets: Array, *, span: float = 1.0) -> jax.Array:
    """Return one less the mean structural similarity: 0 for equal pictures, at most 2.

    Args:
        pictures: ``[..., H, W, C]``, float, at least 11 pixels a side.
        targets: the same shape.
        span: see `ops.similarity_maps`.

    Returns:
        ``[...]``, float32.

    Raises:
        ValueError: as `ops.similarity_maps`.

    Reference: Zhao et al., Loss Functions for Image Restoration with Neural Networks, 2017, eq. 6; windows lie within the picture.
    """
    means, structure = similarity_maps(pictures, targets, span=span)
    return 1 - jnp.mean(means * structure, axis=(-3, -2, -1))
