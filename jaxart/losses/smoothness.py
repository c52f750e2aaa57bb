"""Penalties on the differences between neighboring pixels, ``[..., H, W, C]``."""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def total_variation(images: Array) -> jax.Array:
    """Sum the mean absolute differences to the pixel below and to the right: ``mean |dy| + mean |dx|``.

    The derivative at a zero difference is zero.

    Args:
        images: ``[..., H, W, C]``, at least 2 x 2 pixels.

    Returns:
        ``[...]``.

    Reference: Rudin, Osher and Fatemi 1992, in its anisotropic form.

    >>> float(total_variation(jnp.ones((4, 4, 3))))
    0.0
    """
    down = images[..., 1:, :, :] - images[..., :-1, :, :]
    right = images[..., :, 1:, :] - images[..., :, :-1, :]
    # d sign(d), because jnp.abs has derivative 1 at 0
    vertical, horizontal = (jnp.mean(d * jnp.sign(d), axis=(-3, -2, -1)) for d in (down, right))
    return vertical + horizontal


def nine_point_map(images: Array) -> jax.Array:
    """Penalize squared differences to right, lower and both diagonal neighbors, between all pixels of the picture padded by replication.

    Args:
        images: ``[..., H, W, C]``.

    Returns:
        ``[..., H + 1, W + 1]``: ``2 (dx^2 / 3 + dy^2 / 3 + d1^2 / 12 + d2^2 / 12)``, averaged over channels, of the four pixels around each
        corner of pixels; its mean is `total_variation_nine_point`.
    """
    rank = images.ndim
    padded = jnp.pad(images, [(0, 0)] * (rank - 3) + [(1, 1), (1, 1), (0, 0)], mode="edge")
    here, right = padded[..., :-1, :-1, :], padded[..., :-1, 1:, :]
    below, diagonal = padded[..., 1:, :-1, :], padded[..., 1:, 1:, :]
    straight = (right - here) ** 2 + (below - here) ** 2  # [..., H + 1, W + 1, C]
    return 2 * jnp.mean(straight / 3 + ((diagonal - here) ** 2 + (below - right) ** 2) / 12, axis=-1)


def total_variation_nine_point(images: Array) -> jax.Array:
    """Penalize squared differences to right, lower and both diagonal neighbors, with nearly the same weight in every direction.

    ``2 (mean dx^2 / 3 + mean dy^2 / 3 + mean d1^2 / 12 + mean d2^2 / 12)``, the picture padded by replication; the means are over all
    pixels of the padded differences, so that the border counts as zero difference along itself.

    Args:
        images: ``[..., H, W, C]``.

    Returns:
        ``[...]``.
    """
    return jnp.mean(nine_point_map(images), axis=(-2, -1))
