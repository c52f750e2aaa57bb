"""Errors summed over positions: of pixels or of feature maps, ``[..., H, W, C]``."""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def content(features: Array, target: Array) -> jax.Array:
    """Measure how far features are from those of the content: ``mean over h, w, c of (F - F_t)^2``.

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
    difference = features.astype(jnp.float32) - target.astype(jnp.float32)
    return jnp.mean(difference**2, axis=(-3, -2, -1))
