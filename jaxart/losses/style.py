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
_NARROW = 256  # channels: the most whose covariances `WASSERSTEIN_NARROW` compares
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
    """A distance between the statistics of a layer, or between whole feature maps.

    Fields:
        target: ``target(moments) -> target`` prepares the style's, once. If not `additive`, it takes features ``[h, w, C]``.
        distance: ``distance(moments, target) -> scalar`` is the loss. If not `additive`, it takes features ``[H, W, C]``.
        additive: whether it is a function of `Moments`, which add up over tiles, devices and masks.
        name: its identity in checkpoints: name and settings, such as "wasserstein(steps=12)"; different losses need different names.
    """

    target: Callable[[Any], Any]
    distance: Callable[[Any, Any], jax.Array]
    additive: bool = True
    name: str | None = None


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

    Args:
        statistics: of the picture, ``[..., C]`` and ``[..., C, C]``.
        target: of the style, the same shapes.

    Reference: Gatys et al. 2016, eq. 4, where G = F^T F and the sum is divided by 4 C^2 N^2. Departure: each picture is divided by its
    own number of pixels, so that content and style may differ in size.
    """
    channels = statistics.mean.shape[-1]
    return jnp.sum((statistics.second - target.second) ** 2, axis=(-2, -1)) / (4 * channels**2)


def gram_johnson(statistics: Moments, target: Moments) -> jax.Array:
    """Compare Gram matrices as Johnson does: ``sum (G - G_t)^2``, G = F^T F / (C N).

    Args:
        statistics: of the picture, ``[..., C]`` and ``[..., C, C]``.
        target: of the style, the same shapes.

    Reference: Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, eq. 3-4.
    """
    channels = statistics.mean.shape[-1]
    return jnp.sum(((statistics.second - target.second) / channels) ** 2, axis=(-2, -1))


def _deviation(statistics: Moments) -> jax.Array:
    variance = jnp.diagonal(statistics.second, axis1=-2, axis2=-1) - statistics.mean**2
    return jnp.sqrt(jnp.maximum(variance, 0) + 1e-5)


def adain(statistics: Moments, target: Moments) -> jax.Array:
    """Compare means and standard deviations per channel: ``mean_c (mu - mu_t)^2 + mean_c (sigma - sigma_t)^2``.

    Args:
        statistics: of the picture, ``[..., C]`` and ``[..., C, C]``.
        target: of the style, the same shapes.

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


def _narrow_target(statistics: Moments) -> GaussianTarget | Moments:
    return statistics if statistics.mean.shape[-1] > _NARROW else gaussian_target(statistics)


def _narrow(statistics: Moments, target: Any) -> jax.Array:
    """Return `wasserstein`; above 256 channels that of the variances alone, which `adain` is: without the eigenvalues, which are slow."""
    return adain(statistics, target) if statistics.mean.shape[-1] > _NARROW else wasserstein(statistics, target)


def _same(statistics: Moments) -> Moments:
    return statistics


WASSERSTEIN = StyleLoss(gaussian_target, wasserstein, name="wasserstein(steps=12)")
WASSERSTEIN_CONVERGED = StyleLoss(
    gaussian_target, functools.partial(wasserstein, steps=None), name="wasserstein(steps=None)"
)
WASSERSTEIN_NARROW = StyleLoss(_narrow_target, _narrow, name=f"wasserstein(steps=12, covariances up to {_NARROW})")
GRAM = StyleLoss(_same, gram_gatys, name="gram")
ADAIN = StyleLoss(_same, adain, name="adain")
