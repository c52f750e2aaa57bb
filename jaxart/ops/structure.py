"""How alike the structure of two pictures is around each pixel."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array

WINDOW = 11  # pixels
_DEVIATION = 1.5
_K1, _K2 = 0.01, 0.03


def similarity_maps(one: Array, other: Array, *, span: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Return two maps whose product is the structural similarity: of means, and of contrast and structure.

    A window is 11 x 11 pixels, weighed by a Gaussian with a deviation of 1.5, and lies within the picture.

    Args:
        one: ``[..., H, W, C]``, float, with sides of at least 11 pixels.
        other: the same shape.
        span: of the values, L in the paper: 1 for [0, 1].

    Returns:
        ``[..., H - 10, W - 10, C]`` each, float32.

    Raises:
        ValueError: shapes that differ, or smaller pictures.

    Reference: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004, section 3.
    """
    one, other = jnp.asarray(one, jnp.float32), jnp.asarray(other, jnp.float32)
    if one.shape != other.shape or one.ndim < 3 or min(one.shape[-3:-1]) < WINDOW:
        raise ValueError(
            f"expected two pictures [..., H, W, C] of one size with sides of at least {WINDOW} pixels, got {one.shape} and {other.shape}."
        )
    middle = jnp.mean(one, axis=(-3, -2), keepdims=True)  # taken away, so that squares round less
    a, b = one - middle, other - middle
    means = [_windowed(each) for each in (a, b)]
    squares = [_windowed(each) for each in (a * a, b * b, a * b)]
    variances = squares[0] - means[0] ** 2 + squares[1] - means[1] ** 2
    covariance = squares[2] - means[0] * means[1]
    x, y = (each + middle for each in means)
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    return (2 * x * y + c1) / (x**2 + y**2 + c1), (2 * covariance + c2) / (variances + c2)


def _windowed(x: jax.Array) -> jax.Array:
    """Return the weighed mean of each window, along one axis after the other, as sums of shifted pictures."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * _DEVIATION**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (-3, -2):
        length = x.shape[axis] - WINDOW + 1
        x = sum(
            (float(w) * jax.lax.slice_in_dim(x, k, k + length, axis=x.ndim + axis) for k, w in enumerate(weights)),
            jnp.float32(0),
        )
    return x
