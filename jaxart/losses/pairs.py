"""One-vs-one: a binary problem for every pair of classes, all trained together, and the ways from pairs back to classes.

With K classes there are ``P = K (K - 1) / 2`` pairs, in the order of `class_pairs`; the logit of a pair is positive where its first class
is the likelier of the two. A pair is trained by the examples of its two classes only.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.losses.label import label_shares

_SURE = 1e-6  # probabilities of pairs are kept this far from 0 and 1


def class_pairs(classes: int) -> np.ndarray:
    """Return the pairs ``[P, 2]`` of class numbers: (0, 1), (0, 2), ..., (1, 2), ...

    Args:
        classes: K, at least 2.

    Raises:
        ValueError: fewer than 2 classes.

    >>> class_pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    if classes < 2:
        raise ValueError(f"class_pairs: expected at least 2 classes, got {classes}.")
    return np.stack(np.triu_indices(classes, 1), axis=1)


def _pairs_of(name: str, logits: Array) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of classes, and the first and the second class of each pair."""
    count = logits.shape[-1] if logits.ndim else 0
    classes = (1 + math.isqrt(1 + 8 * count)) // 2
    if classes < 2 or classes * (classes - 1) // 2 != count:
        raise ValueError(f"{name}: expected a logit for each of K (K - 1) / 2 pairs, 1, 3, 6, 10, ..., got {count}.")
    first, second = class_pairs(classes).T
    return classes, first, second


def one_vs_one(logits: Array, labels: Array, *, weights: Array | None = None) -> jax.Array:
    """Return the mean binary cross-entropy of the ``K - 1`` pairs that the label takes part in; the others get no gradient.

    Args:
        logits: of pairs, ``[..., P]``, any float type.
        labels: integers ``[...]``, of which those outside 0 to K - 1 count for nothing, or shares ``[..., K]``.
        weights: ``[K]``, of classes; 1 by default.

    Returns:
        ``[...]``, nats.

    Raises:
        ValueError: a number of logits that no K has, or labels or weights that do not fit it.

    Reference: Knerr, Personnaz and Dreyfus, Single-Layer Learning Revisited: A Stepwise Procedure for Building and Training a Neural
    Network, 1990.

    >>> round(float(one_vs_one(jnp.zeros((1, 3)), jnp.array([2]))[0]), 4)
    0.6931
    """
    classes, first, second = _pairs_of("one_vs_one", logits)
    shares = label_shares("one_vs_one", labels, classes, logits.shape[:-1])
    if weights is not None:
        row = jnp.asarray(weights, jnp.float32)
        if row.shape != (classes,):
            raise ValueError(f"weights: expected {classes} numbers, one for each class, got shape {row.shape}.")
        shares = shares * jnp.broadcast_to(row, shares.shape)
    z = logits.astype(jnp.float32)
    of_pairs = shares[..., first] * jax.nn.softplus(-z) + shares[..., second] * jax.nn.softplus(z)
    return jnp.sum(of_pairs, axis=-1) / (classes - 1)


def votes(logits: Array) -> jax.Array:
    """Return for each class how many of its pairs it wins, and a part of +-1/3 for how clearly: the largest is predicted.

    The part is ``s / (3 (|s| + 1))``, s the sum of the class's logits in its pairs; it orders classes with equally many votes. A logit of 0
    is a vote for the second class.

    Args:
        logits: of pairs, ``[..., P]``, any float type.

    Returns:
        float32 ``[..., K]``.

    Raises:
        ValueError: a number of logits that no K has.

    >>> jnp.argmax(votes(jnp.array([[-1.0, 2.0, 1.0]])), axis=-1).tolist()  # 1 over 0, 0 over 2, 1 over 2
    [1]
    """
    classes, first, second = _pairs_of("votes", logits)
    z = logits.astype(jnp.float32)
    won = (z > 0).astype(jnp.float32)
    firsts, seconds = (jax.nn.one_hot(each, classes, dtype=jnp.float32) for each in (first, second))  # [P, K]
    exact = jax.lax.Precision.HIGHEST
    count = jnp.matmul(won, firsts, precision=exact) + jnp.matmul(1 - won, seconds, precision=exact)
    clear = class_margins(z)
    return count + clear / (3 * (jnp.abs(clear) + 1))


def class_margins(logits: Array) -> jax.Array:
    """Return for each class the sum of its logits in its pairs: what speaks for it, as a linear function of the pairs.

    Args:
        logits: of pairs, ``[..., P]``, any float type.

    Returns:
        float32 ``[..., K]``, sum 0.

    Raises:
        ValueError: a number of logits that no K has.

    >>> class_margins(jnp.array([[-1.0, 2.0, 1.0]])).tolist()
    [[1.0, 2.0, -3.0]]
    """
    classes, first, second = _pairs_of("class_margins", logits)
    firsts, seconds = (jax.nn.one_hot(each, classes, dtype=jnp.float32) for each in (first, second))  # [P, K]
    return jnp.matmul(logits.astype(jnp.float32), firsts - seconds, precision=jax.lax.Precision.HIGHEST)


def coupled_probabilities(logits: Array) -> jax.Array:
    """Return the probabilities p of classes that agree best with those of pairs.

    With ``r_ij`` the probability of i where it is i or j, the sigmoid of the pair's logit, p minimizes ``sum_ij (r_ji p_i - r_ij p_j)^2``
    with sum 1: one linear system ``[[Q, 1], [1, 0]] (p, b) = (0, 1)``, ``Q_ii = sum_j r_ji^2``, ``Q_ij = -r_ji r_ij``. Where pairs
    agree, ``r_ij = p_i / (p_i + p_j)``, p is exactly that.

    Args:
        logits: of pairs, ``[..., P]``, any float type; the memory is that of ``[..., K + 1, K + 1]``.

    Returns:
        float32 ``[..., K]``, 0 or more, sum 1.

    Raises:
        ValueError: a number of logits that no K has.

    Reference: Wu, Lin and Weng, Probability Estimates for Multi-class Classification by Pairwise Coupling, 2004, their second
    method; after Hastie and Tibshirani, Classification by Pairwise Coupling, 1998. Departure: the system is solved, not iterated.

    >>> pairs = jnp.log(jnp.array([[0.5 / 0.3, 0.5 / 0.2, 0.3 / 0.2]]))
    >>> [round(each, 3) for each in coupled_probabilities(pairs)[0].tolist()]
    [0.5, 0.3, 0.2]
    """
    classes, first, second = _pairs_of("coupled_probabilities", logits)
    chance = jnp.clip(jax.nn.sigmoid(logits.astype(jnp.float32)), _SURE, 1 - _SURE)  # [..., P]
    lost = jnp.zeros((*logits.shape[:-1], classes, classes))  # [i, j]: r_ji
    lost = lost.at[..., second, first].set(chance).at[..., first, second].set(1 - chance)
    inner = -lost * jnp.swapaxes(lost, -1, -2)
    inner = inner + jnp.sum(lost**2, axis=-1)[..., None] * jnp.broadcast_to(jnp.eye(classes), inner.shape)
    system = jnp.pad(inner, [(0, 0)] * (inner.ndim - 2) + [(0, 1), (0, 1)], constant_values=1.0)
    system = system.at[..., -1, -1].set(0.0)
    target = jnp.zeros((*logits.shape[:-1], classes + 1, 1)).at[..., -1, :].set(1.0)
    found = jnp.maximum(jnp.linalg.solve(system, target)[..., :-1, 0], 0)
    return found / jnp.sum(found, axis=-1, keepdims=True)
