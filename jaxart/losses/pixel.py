"""Errors summed over positions: of pixels or of feature maps, ``[..., H, W, C]``."""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


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
