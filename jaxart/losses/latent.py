"""The terms of a variational autoencoder's evidence bound, ``log p(x) >= log p(x | z) - KL``, in nats and summed over an example.

Reference: Kingma and Welling, Auto-Encoding Variational Bayes, 2014, eq. 3 and appendices B and C.
"""

import math

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def _total(values: Array) -> jax.Array:
    return jnp.sum(values.reshape(values.shape[0], -1), axis=-1)


def kl_to_standard_normal(mean: Array, log_variance: Array) -> jax.Array:
    """Return ``KL(N(mean, e^log_variance) || N(0, 1)) = sum (mean^2 + e^l - 1 - l) / 2`` of each example.

    Args:
        mean: ``[B, ...]``.
        log_variance: as `mean`.

    Returns:
        ``[B]``, nats.

    >>> kl_to_standard_normal(jnp.ones((1, 4)), jnp.zeros((1, 4))).tolist()
    [2.0]
    """
    return _total(mean**2 + jnp.expm1(log_variance) - log_variance) / 2


def gaussian_log_likelihood(x: Array, mean: Array, log_variance: Array | float) -> jax.Array:
    """Return ``log N(x; mean, e^l) = -sum ((x - mean)^2 e^-l + l + log 2 pi) / 2`` of each example.

    Args:
        x: ``[B, ...]``.
        mean: as `x`.
        log_variance: a number, or an array of the rank of `x` that broadcasts to it.

    Returns:
        ``[B]``, nats.
    """
    squares = (x - mean) ** 2 * jnp.exp(-jnp.asarray(log_variance, x.dtype))
    return -_total(squares + log_variance + math.log(2 * math.pi)) / 2


def bernoulli_log_likelihood(x: Array, logits: Array) -> jax.Array:
    """Return ``sum x log p + (1 - x) log(1 - p)``, p = sigmoid(logits), of each example.

    Args:
        x: ``[B, ...]`` in [0, 1]. Values in between give a cross-entropy, which is no likelihood: bounds are then comparable only among
            themselves (Loaiza-Ganem and Cunningham, The Continuous Bernoulli, 2019).
        logits: as `x`.

    Returns:
        ``[B]``, nats.
    """
    return _total(x * logits - jax.nn.softplus(logits))
