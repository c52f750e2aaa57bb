"""How prices of lots vary together: what the covariances of a Gaussian process are functions of, and its params.

Reference: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: chapter 4; random effects as covariances: section 2.7.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.tasks.appraise.lots import Lots

NOISE_FLOOR = 0.02  # of the variance of targets, at least their noise's: so float32 is enough
_TINY = 1e-10
_BEGIN = {
    "similar": 0.3,
    "scales": 0.1,
    "picture": 0.1,
    "slopes": 0.1,
    "categories": 0.03,
    "crossed": 0.015,
    "crossed_scales": 0.1,
    "words": 0.1,
    "groups": 0.1,
    "noise": 0.1,
}


class LotFeatures(NamedTuple):
    """N lots as what their covariances are functions of.

    Fields:
        numbers: numbers, flags of missing ones, whether there is a picture, ``[N, D]``.
        picture: ``[N, P]``, divided by the root of P, and 0 where there is none.
        categories: codes ``[N, C]`` int32, or shares of each code ``[N, C, K]`` float32: a soft lot between others.
        words: a bag of words of length 1, weighed, ``[N, V]``; 0 where there are no words.
        groups: codes, ``[N, G]`` int32, or shares of each code ``[N, G, K]`` as of categories.
    """

    numbers: Array
    picture: Array
    categories: Array
    words: Array
    groups: Array


_AXES: Any = (0, None, None, None, None)
BY_MEMBER: Any = LotFeatures(*_AXES)  # axes of `jax.vmap` for `member_features`


def word_weights(tokens: Array, size: int) -> jax.Array:
    """Return how much each word says, ``log(N / (1 + lots with the word))`` and at least 0: ``[size]``, 0 for codes 0 and 1.

    Args:
        tokens: of the N lots that prices are learned from, ``[N, L]`` int32.
        size: V, above the largest code.
    """
    lots_with = jnp.sum(_presence(tokens, size), axis=0)
    weights = jnp.log(len(tokens) / (1 + lots_with))
    return jnp.maximum(weights, 0).at[:2].set(0)


def lot_features(lots: Lots, weights: Array) -> LotFeatures:
    """Return what covariances are functions of.

    A prediction has slopes in all of it but `groups`. A path from a baseline to a lot goes through `numbers`, `picture` and `words` as they
    are, and through `categories` as shares of the codes, ``jax.nn.one_hot(categories, K)``; known lots keep their codes.

    Args:
        lots: encoded.
        weights: of words, ``[V]``, from `word_weights` of the lots that prices are learned from.
    """
    pictured = jnp.asarray(lots.pictured, jnp.float32)[:, None]
    bags = _presence(lots.tokens, len(weights)) * weights[None]  # [N, V]
    words = bags / jnp.maximum(jnp.linalg.norm(bags, axis=1, keepdims=True), 1e-6)
    picture = jnp.where(pictured > 0, lots.picture, 0) / max(lots.picture.shape[1], 1) ** 0.5
    numbers = jnp.concatenate([lots.numbers, lots.missing, pictured], axis=1)
    return LotFeatures(numbers, picture, jnp.asarray(lots.categories), words, jnp.asarray(lots.groups))


@jax.jit
def member_features(lots: Lots, told: Array, weights: Array) -> LotFeatures:
    """Return features of lots of which each member of an ensemble is told something else: `numbers` ``[K, N, D]``, the others are shared.

    Args:
        lots: encoded, ``[N, ...]``.
        told: what stands beside the numbers for each member, ``[K, N, S]``.
        weights: of words, as in `lot_features`.
    """

    def of_member(told: Array) -> LotFeatures:
        return lot_features(lots._replace(numbers=jnp.concatenate([lots.numbers, told], axis=1)), weights)

    return jax.vmap(of_member, out_axes=BY_MEMBER)(told)


def process_params(features: LotFeatures) -> dict[str, jax.Array]:
    """Return params to begin with: variances, scales and slopes by the softplus of what stands here.

    They are "similar" (the variance of what is alike in numbers and picture), "scales" ``[D]`` (how fast likeness falls with each of the
    numbers), "picture" (with the picture), "slopes" ``[D]`` (of linear effects), "categories" ``[C]``, "crossed" ``[C]`` (effects of a
    category that depend on the numbers) with "crossed_scales" ``[D]``, "words", "groups" ``[G]`` and "noise" (above `NOISE_FLOOR`).
    """
    numbers, categories = features.numbers.shape[1], features.categories.shape[1]
    lengths = {"categories": categories, "crossed": categories, "groups": features.groups.shape[1]}
    lengths |= dict.fromkeys(("scales", "slopes", "crossed_scales"), numbers)
    return {
        name: jnp.full(lengths.get(name, ()), np.log(np.expm1(value)), jnp.float32) for name, value in _BEGIN.items()
    }


def covariance(params: dict[str, Array], one: LotFeatures, other: LotFeatures) -> jax.Array:
    """Return the covariances of the prices of N lots with those of M others, ``[N, M]``, noise left out.

        similar (1 + r) exp(-r)                         r: distance of numbers and picture, scaled (Matern, 3/2)
        + slopes^2 x x'                                 linear
        + sum_c [same c] (categories_c + crossed_c exp(-s^2))      s: distance of numbers, scaled otherwise
        + words cos(bag, bag')
        + sum_g [same g] groups_g

    What numbers have no part in is summed apart, so that with an axis of `jax.vmap` in the numbers alone it is computed once.

    Args:
        params: from `process_params`.
        one: N lots; their categories and groups may be shares.
        other: M lots.
    """
    at = positive_params(params)

    def numbers_apart(scales: jax.Array) -> jax.Array:
        return _squares(one.numbers * scales[None], other.numbers * scales[None])

    apart = numbers_apart(at["scales"]) + at["picture"] ** 2 * _squares(one.picture, other.picture)
    distance = jnp.sqrt(jnp.maximum(apart, _TINY))
    always = at["words"] * row_products(one.words, other.words)
    for level in range(other.groups.shape[1]):
        always += at["groups"][level] * _same(one.groups[:, level], other.groups[:, level], 1)
    if_near = jnp.zeros_like(always)
    for column in range(other.categories.shape[1]):
        same = _same(one.categories[:, column], other.categories[:, column], 2)
        always += at["categories"][column] * same
        if_near += at["crossed"][column] * same
    linear = row_products(one.numbers * at["slopes"][None], other.numbers * at["slopes"][None])
    near = jnp.exp(-numbers_apart(at["crossed_scales"]))
    return at["similar"] * (1 + distance) * jnp.exp(-distance) + linear + always + if_near * near


def variance_alone(params: dict[str, Array], lots: LotFeatures) -> jax.Array:
    """Return the variances of N prices where no other is known, ``[N]``, noise left out.

    Args:
        params: from `process_params`.
        lots: the N lots.
    """
    at = positive_params(params)
    same = sum(jnp.sum(at[name]) for name in ("similar", "words", "categories", "crossed", "groups"))
    return same + jnp.sum((lots.numbers * at["slopes"][None]) ** 2, axis=1)


def noise_variance(params: dict[str, Array]) -> jax.Array:
    """Return the variance of the noise of prices, a scalar.

    Args:
        params: from `process_params`.
    """
    return jax.nn.softplus(params["noise"]) + NOISE_FLOOR


def positive_params(params: dict[str, Array]) -> dict[str, jax.Array]:
    """Return variances, scales and slopes from what stands for them."""
    return {name: jax.nn.softplus(value) for name, value in params.items()}


def row_products(one: Array, other: Array) -> jax.Array:
    """Return the products of rows ``[N, D]`` with rows ``[M, D]``, ``[N, M]``, in full float32 on every device."""
    return jnp.matmul(one, other.T, precision=jax.lax.Precision.HIGHEST)


def _squares(one: Array, other: Array) -> jax.Array:
    """Return the squares of the distances of rows, ``[N, M]``."""
    return jnp.sum(one**2, axis=1)[:, None] + jnp.sum(other**2, axis=1)[None] - 2 * row_products(one, other)


def _same(one: Array, other: Array, least: int) -> jax.Array:
    """Return whether codes ``[N]`` (or the shares ``[N, K]`` of them) equal codes ``[M]`` and are known, ``[N, M]``."""
    known = (other >= least)[None]
    if one.ndim == 1:
        return ((one[:, None] == other[None]) & known).astype(jnp.float32)
    return jnp.where(known, jnp.take(one, other, axis=1, mode="fill", fill_value=0), 0)


def _presence(tokens: Array, size: int) -> jax.Array:
    """Return which words each lot has, ``[N, V]``."""
    tokens = jnp.asarray(tokens)
    return jnp.zeros((len(tokens), size)).at[jnp.arange(len(tokens))[:, None], tokens].set(1.0)
