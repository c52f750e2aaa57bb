"""What stands for "nothing to see" in pictures ``[B, H, W, C]``: where attributions begin, and what covers parts of them."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array


def black(images: Array) -> jax.Array:
    """Return black pictures of the same shape ``[..., H, W, C]``."""
    return jnp.zeros_like(images)


def gray(images: Array) -> jax.Array:
    """Return pictures of medium gray, 0.5, of the same shape ``[..., H, W, C]``."""
    return jnp.full_like(images, 0.5)


def mean_color(images: Array, *, of: Array | None = None) -> jax.Array:
    """Return pictures of one color, the mean: of each picture itself, or of a collection.

    Args:
        images: ``[..., H, W, C]`` of floats.
        of: a collection ``[N, h, w, C]`` whose mean over all pixels is taken instead.

    Returns:
        the shape of `images`.

    >>> mean_color(jnp.arange(4.0).reshape(1, 2, 2, 1)).ravel().tolist()
    [1.5, 1.5, 1.5, 1.5]
    """
    own = jnp.mean(images, axis=(-3, -2), keepdims=True)
    return jnp.broadcast_to(own if of is None else jnp.mean(of, axis=(0, 1, 2)).astype(images.dtype), images.shape)


def blurred(images: Array, *, sigma: float = 8.0) -> jax.Array:
    """Blur pictures with a Gaussian: colors stay, what is drawn goes.

    At the border the weights of the pixels that are there are divided by their sum, so that a picture of one color stays as it is.

    Args:
        images: ``[..., H, W, C]`` of floats.
        sigma: standard deviation in pixels, above 0.

    Returns:
        the shape of `images`.

    Raises:
        ValueError: a sigma that is not above 0.
    """
    if not sigma > 0:
        raise ValueError(f"blurred: expected a sigma above 0 pixels, got {sigma}.")
    rows, columns = (jnp.asarray(_weights(size, sigma), images.dtype) for size in images.shape[-3:-1])
    precision = jax.lax.Precision.HIGHEST
    return jnp.einsum("...hwc,ih,jw->...ijc", images, rows, columns, precision=precision)


def _weights(size: int, sigma: float) -> np.ndarray:
    """Return a matrix ``[size, size]`` that blurs one axis; each row adds up to 1."""
    distance = np.arange(size)[:, None] - np.arange(size)[None]
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)
