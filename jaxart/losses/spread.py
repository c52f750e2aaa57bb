"""Losses of predicted numbers that say how far off they may be, by a variance or by quantiles; one number per example, float32."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxart.arrays import Array

LOG_VARIANCES = (-5.0, 5.0)


def gaussian_nll(mean: Array, log_variance: Array, target: Array) -> jax.Array:
    """Return ``((t - mean)^2 e^-l + l + log 2 pi) / 2``, how unlikely the target is for a normal distribution.

    l is the log variance clipped to [-5, 5]: no single example that happens to be hit makes the loss fall without end, and where the log
    variance is clipped it has no gradient. For targets of a variance of about 1.

    Args:
        mean: ``[...]``.
        log_variance: l, as `mean`.
        target: t, as `mean`.

    Returns:
        ``[...]``, nats.

    Reference: Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994. Departure: the clipping.

    >>> round(float(gaussian_nll(jnp.zeros(1), jnp.zeros(1), jnp.ones(1))[0]), 4)
    1.4189
    """
    mean, target = jnp.asarray(mean, jnp.float32), jnp.asarray(target, jnp.float32)
    clipped = jnp.clip(jnp.asarray(log_variance, jnp.float32), *LOG_VARIANCES)
    return ((target - mean) ** 2 * jnp.exp(-clipped) + clipped + math.log(2 * math.pi)) / 2


def pinball(quantiles: Array, levels: Array | Sequence[float], target: Array) -> jax.Array:
    """Return the mean over levels of ``max(a (t - q), (a - 1) (t - q))``, which the quantile q of level a minimizes.

    Args:
        quantiles: q, ``[..., Q]``.
        levels: a, Q numbers in (0, 1).
        target: t, ``[...]``.

    Returns:
        ``[...]``.

    Raises:
        ValueError: there are not as many levels as quantiles.

    Reference: Koenker and Bassett, Regression Quantiles, 1978. `metrics.pinball_loss` is the same of each level, in NumPy.

    >>> pinball(jnp.array([[0.0, 2.0]]), (0.25, 0.75), jnp.array([1.0])).tolist()
    [0.25]
    """
    quantiles, shares = jnp.asarray(quantiles, jnp.float32), jnp.asarray(levels, jnp.float32)
    if shares.shape != quantiles.shape[-1:]:
        raise ValueError(
            f"pinball: expected a level for each of {quantiles.shape[-1]} quantiles, got shape {shares.shape}."
        )
    away = jnp.asarray(target, jnp.float32)[..., None] - quantiles  # [..., Q]
    shares = jnp.broadcast_to(shares, away.shape)
    return jnp.mean(jnp.maximum(shares * away, (shares - 1) * away), axis=-1)


def rising_quantiles(raw: Array, *, center: int) -> jax.Array:
    """Make quantiles that cannot cross of any numbers: ``[..., Q] -> [..., Q]``.

    The number at `center` is that quantile. From there the others are steps, up and down, of ``softplus(raw)``, each added to those nearer
    to the center: what is added to ``raw[..., center]`` alone moves all of them alike.

    Args:
        raw: such as outputs of a network.
        center: index of the quantile from which steps are taken, such as the median's, from 0 to Q - 1.

    Raises:
        ValueError: no quantile has that index.

    >>> rising_quantiles(jnp.array([-100.0, 5.0, 100.0]), center=1).tolist()
    [5.0, 5.0, 105.0]
    """
    raw = jnp.asarray(raw, jnp.float32)
    if not 0 <= center < raw.shape[-1]:
        raise ValueError(f"rising_quantiles: expected a center from 0 to {raw.shape[-1] - 1}, got {center}.")
    middle, steps = raw[..., center : center + 1], jax.nn.softplus(raw)
    below = middle - jnp.cumsum(steps[..., :center][..., ::-1], axis=-1)[..., ::-1]
    above = middle + jnp.cumsum(steps[..., center + 1 :], axis=-1)
    return jnp.concatenate([below, middle, above], axis=-1)
