"""Style: distances between the statistics of two sets of features.

Every global statistic is a `Moments`, a mean over pixels of f and of f f^T, so it can be summed over tiles and devices and
averaged over styles. Features are ``[..., H, W, C]``; statistics and distances are float32.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.ops.symmetric import spectral_map, trace_sqrt

_HIGHEST = jax.lax.Precision.HIGHEST
_EPSILON = 1e-4  # added to the diagonal of covariances; on the scale of torchvision's VGG activations


class Moments(NamedTuple):
    """First and second raw moments of features: ``mean [..., C]``, ``second [..., C, C]``."""

    mean: jax.Array
    second: jax.Array


class GaussianTarget(NamedTuple):
    """What `wasserstein` needs of a target: ``mean [..., C]``, ``root [..., C, C]`` = Sigma_t^(1/2), ``trace [...]`` = tr Sigma_t."""

    mean: jax.Array
    root: jax.Array
    trace: jax.Array


class StyleLoss(NamedTuple):
    """A distance between statistics: `target(moments)` prepares the style's once, `distance(moments, target)` is the loss."""

    target: Callable[[Moments], Any]
    distance: Callable[[Moments, Any], jax.Array]


def moment_sums(features: Array, weights: Array | None = None) -> Moments:
    """Sum f and f f^T over the pixels, in float32: what `moments` divides by the number of pixels. Sums of parts of a picture add up.

    Args:
        features: ``[..., H, W, C]``, any float type.
        weights: as in `moments`.

    Returns:
        `Moments` with ``[..., C]`` and ``[..., C, C]``.
    """
    pixels = features.reshape(*features.shape[:-3], -1, features.shape[-1])
    weighted = pixels
    if weights is not None:
        weighted = pixels * weights.reshape(*weights.shape[:-2], -1, 1).astype(pixels.dtype)
    second = jnp.matmul(jnp.swapaxes(weighted, -1, -2), pixels, precision=_HIGHEST, preferred_element_type=jnp.float32)
    return Moments(jnp.sum(weighted.astype(jnp.float32), axis=-2), second)


def divide_moments(sums: Moments, total: Array | float) -> Moments:
    """Make means of sums.

    Args:
        sums: from `moment_sums`.
        total: ``[...]``, the number of pixels or the sum of their weights.
    """
    total = jnp.maximum(jnp.asarray(total, jnp.float32), 1e-6)
    return Moments(sums.mean / total[..., None], sums.second / total[..., None, None])


def moments(features: Array, weights: Array | None = None) -> Moments:
    """Average f and f f^T over the pixels, in float32.

    Args:
        features: ``[..., H, W, C]``, any float type.
        weights: optional ``[..., H, W]``, not negative: a soft mask. The average is weighted by it.

    Returns:
        `Moments` with ``[..., C]`` and ``[..., C, C]``.

    >>> moments(jnp.ones((8, 8, 3))).second.shape
    (3, 3)
    """
    if weights is None:
        total = jnp.full(features.shape[:-3], features.shape[-3] * features.shape[-2], jnp.float32)
    else:
        total = jnp.sum(weights.astype(features.dtype).astype(jnp.float32), axis=(-2, -1))
    return divide_moments(moment_sums(features, weights), total)


def blend(several: list[Moments], weights: Array) -> Moments:
    """Average the raw moments of several styles; their differing means add to the covariance of the blend.

    Args:
        several: one `Moments` a style.
        weights: ``[S]``, normalized here to a sum of one.
    """
    shares = jnp.asarray(weights, jnp.float32) / jnp.sum(jnp.asarray(weights, jnp.float32))
    return jax.tree.map(lambda *leaves: jnp.tensordot(shares, jnp.stack(leaves), 1), *several)


def gram_matrix(features: Array) -> jax.Array:
    """Return ``F^T F / N`` of features ``[..., H, W, C]`` with N = H W pixels: ``[..., C, C]``."""
    return moments(features).second


def gram_gatys(statistics: Moments, target: Moments) -> jax.Array:
    """Compare Gram matrices as Gatys does: ``sum (G - G_t)^2 / (4 C^2)``, G = F^T F / N.

    Reference: Gatys et al. 2016, eq. 4, where G = F^T F and the sum is divided by 4 C^2 N^2. Departure: each picture is divided by its
    own number of pixels, so that content and style may differ in size.
    """
    channels = statistics.mean.shape[-1]
    return jnp.sum((statistics.second - target.second) ** 2, axis=(-2, -1)) / (4 * channels**2)


def gram_johnson(statistics: Moments, target: Moments) -> jax.Array:
    """Compare Gram matrices as Johnson does: ``sum (G - G_t)^2``, G = F^T F / (C N).

    Reference: Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, eq. 3-4.
    """
    channels = statistics.mean.shape[-1]
    return jnp.sum(((statistics.second - target.second) / channels) ** 2, axis=(-2, -1))


def _deviation(statistics: Moments) -> jax.Array:
    variance = jnp.diagonal(statistics.second, axis1=-2, axis2=-1) - statistics.mean**2
    return jnp.sqrt(jnp.maximum(variance, 0) + 1e-5)


def adain(statistics: Moments, target: Moments) -> jax.Array:
    """Compare means and standard deviations per channel: ``mean_c (mu - mu_t)^2 + mean_c (sigma - sigma_t)^2``.

    Reference: Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017, eq. 13.
    Departure: biased variance (a mean over pixels) + 1e-5.
    """
    deviations = (_deviation(statistics) - _deviation(target)) ** 2
    return jnp.mean((statistics.mean - target.mean) ** 2 + deviations, axis=-1)


def _covariance(statistics: Moments) -> jax.Array:
    outer = statistics.mean[..., :, None] * statistics.mean[..., None, :]
    return (
        statistics.second
        - outer
        + jnp.broadcast_to(_EPSILON * jnp.eye(outer.shape[-1], dtype=outer.dtype), outer.shape)
    )


def gaussian_target(statistics: Moments) -> GaussianTarget:
    """Prepare a style for `wasserstein`: the root of its covariance is taken once."""
    covariance = _covariance(statistics)
    return GaussianTarget(
        statistics.mean, spectral_map(jnp.sqrt, covariance), jnp.trace(covariance, axis1=-2, axis2=-1)
    )


def wasserstein(statistics: Moments, target: GaussianTarget, *, steps: int | None = 12) -> jax.Array:
    """Return the squared Wasserstein-2 distance of two Gaussians fitted to features, per channel.

    ``mean_c (mu - mu_t)^2 + tr(Sigma_t + Sigma - 2 (Sigma_t^(1/2) Sigma Sigma_t^(1/2))^(1/2)) / C``, with 1e-4 on the diagonal of both
    covariances. Its derivative in Sigma is ``(I - Sigma_t^(1/2) f'(A) Sigma_t^(1/2)) / C``, finite everywhere (`ops.trace_sqrt`).

    Args:
        statistics: of the picture, ``[C]`` and ``[C, C]`` (leading axes through `jax.vmap`).
        target: from `gaussian_target`.
        steps: 12 truncates the matrix root after 12 Newton-Schulz steps, which regularizes directions in which the features hardly
            vary; None is the true distance.

    Returns:
        A scalar.

    Reference: Dowson and Landau, The Frechet distance between multivariate normal distributions, 1982; as a style loss with
    12 steps: the program style-transfer-pytorch. Departure: the derivative is that of the 12 steps themselves, as automatic
    differentiation through them would give it; that program solves the converged root's Lyapunov equation by 12 more steps.
    """
    channels = statistics.mean.shape[-1]
    covariance = _covariance(statistics)
    times = functools.partial(jnp.matmul, precision=_HIGHEST)
    cross: jax.Array = trace_sqrt(times(target.root, times(covariance, target.root)), steps)
    means = jnp.mean((statistics.mean - target.mean) ** 2, axis=-1)
    return means + (target.trace + jnp.trace(covariance, axis1=-2, axis2=-1) - 2 * cross) / channels


def _same(statistics: Moments) -> Moments:
    return statistics


WASSERSTEIN = StyleLoss(gaussian_target, wasserstein)
WASSERSTEIN_CONVERGED = StyleLoss(gaussian_target, functools.partial(wasserstein, steps=None))
GRAM = StyleLoss(_same, gram_gatys)
ADAIN = StyleLoss(_same, adain)


def _unit(vectors: jax.Array) -> jax.Array:
    """Divide vectors by their length; a zero vector stays zero and has a finite derivative."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors**2, axis=-1, keepdims=True) + 1e-12)


def _patches(features: jax.Array, size: int) -> jax.Array:
    """Return all size x size patches as rows, ``[P, size size C]``."""
    height, width, _ = features.shape
    rows, columns = height - size + 1, width - size + 1
    if rows < 1 or columns < 1:
        raise ValueError(f"nearest_patches: expected features of at least {size} x {size}, got {height} x {width}.")
    windows = [features[i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    return jnp.concatenate(windows, axis=-1).reshape(rows * columns, -1)


def nearest_patches(features: Array, style: Array, *, size: int = 3, chunk: int = 1024) -> jax.Array:
    """Compare each patch with the style patch nearest in cosine distance: ``mean_i min_j (1 - cos(p_i, s_j))``.

    Features are centered on the style's mean first. The choice of the nearest is not differentiated. Rows are worked on in chunks, so
    that memory is ``chunk x P_style``, not ``P x P_style``.

    Args:
        features: ``[H, W, C]``.
        style: ``[h, w, C]``.
        size: side of a patch; 1 compares single feature vectors.
        chunk: patches compared at once.

    Returns:
        A scalar.

    Reference: Li and Wand, Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis, 2016 (patches);
    Kolkin et al., Neural Neighbor Style Transfer, 2022 (centered cosine distance).
    """
    center = jnp.mean(style, axis=(0, 1), keepdims=True)
    candidates = _unit(_patches(style - center, size))
    queries = _patches(features - center, size)

    def nearest(query):
        similarity = jnp.matmul(_unit(query)[None], candidates.T, precision=_HIGHEST)[0]
        return jax.lax.stop_gradient(jnp.argmax(similarity))

    frozen = jax.lax.stop_gradient(queries)
    chosen = candidates[jax.lax.map(nearest, frozen, batch_size=min(chunk, queries.shape[0]))]
    return jnp.mean(1 - jnp.sum(_unit(queries) * chosen, axis=-1))


def _distances(features: jax.Array) -> jax.Array:
    pixels = _unit(features.reshape(*features.shape[:-3], -1, features.shape[-1]))
    distance = 1 - jnp.matmul(pixels, jnp.swapaxes(pixels, -1, -2), precision=_HIGHEST)
    return distance / (jnp.sum(distance, axis=-2, keepdims=True) + 1e-6)


def self_similarity(features: Array, target: Array) -> jax.Array:
    """Compare how pixels resemble each other within two pictures: ``mean |D - D_t| P``.

    D holds the cosine distances between all P pixels, each column divided by its sum. Color and texture may change freely; only the
    layout is held. The matrix is P x P: sample or shrink large feature maps first.

    Args:
        features: ``[..., H, W, C]``.
        target: ``[..., H, W, c]``, the same H and W.

    Returns:
        ``[...]``.

    Reference: Kolkin et al., Style Transfer by Relaxed Optimal Transport and Self-Similarity, 2019, eq. 7. Departure: times P, so that
    the value does not depend on the number of pixels.
    """
    count = features.shape[-3] * features.shape[-2]
    difference = _distances(features) - _distances(target)
    return jnp.mean(difference * jnp.sign(difference), axis=(-2, -1)) * count  # jnp.abs has derivative 1 at 0
