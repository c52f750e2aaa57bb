"""The value of a lot of which each thing counts by a share, from 0 (it is missing) to 1 (it is as it is): attributions walk along these.

At 0 and 1 it is what is said of the lot without it and with it, so what happens between them is a matter of choice, and as even as it can
be: numbers move on a line, a category is a mean of its vector and that of a missing one, a word moves the state that reads as far as it
counts, the means of the other lots of a sale count as fewer lots.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, PyTree
from jaxart.models import LotShares
from jaxart.tasks.appraise.covariances import LotFeatures, covariance, row_products
from jaxart.tasks.appraise.encoder import scaled_number
from jaxart.tasks.appraise.hedonic import WORDS
from jaxart.tasks.appraise.lots import Lots
from jaxart.tasks.appraise.process import PROCESS_SHARE
from jaxart.tasks.appraise.recipe import guess, with_told
from jaxart.tasks.appraise.statistics import drawn_means

_LARGE = 1e12


class Shares(NamedTuple):
    """How much of what is known of S lots counts, each ``[S, ...]`` float32 in [0, 1].

    Fields:
        numbers: and the gaps of these, of areas and shapes too, ``[S, F]``; the count of words follows from `words`.
        categories: ``[S, C]``.
        words: by position, ``[S, L]``.
        text: whether there is a text, whatever its words, ``[S]``.
        picture: ``[S]``.
        groups: ``[S, G]``.
    """

    numbers: Array
    categories: Array
    words: Array
    text: Array
    picture: Array
    groups: Array


class Layout(NamedTuple):
    """What arrays of lots do not tell: which numbers have a mark of gaps, and the scale of the count of words, if that is the last."""

    flagged: tuple[int, ...]
    counted: tuple[bool, float, float] | None


class Told(NamedTuple):
    """What prices say, for one member.

    Fields:
        numbers, missing, picture: coefficients of the hedonic regression, ``[F]``, ``[M]`` and ``[P]``.
        values: those of each category by code, 0 where it is not known, ``[codes]`` each.
        words: by code, ``[V]``.
        constant: a scalar.
        categories: what is told of each code, ``[codes, 2]``, by the place of the category.
        mean: to which groups are drawn, ``[2]``.
    """

    numbers: Array
    missing: Array
    picture: Array
    values: tuple[Array, ...]
    words: Array
    constant: Array
    categories: dict[int, Array]
    mean: Array


class Others(NamedTuple):
    """The other lots of the groups of N lots: sums of what is averaged, for one member, ``[N, G, 2]``, and how many, ``[N, G]``."""

    sums: Array
    counts: Array


class Member(NamedTuple):
    """What one member values by.

    Fields:
        params: of its network, with an axis ``[1]`` before.
        told: what prices say.
        numbers: of the M lots that its process knows, ``[M, D]``.
        coefficients: of covariances with these, ``[M]``.
    """

    params: PyTree
    told: Told
    numbers: Array
    coefficients: Array


class Common(NamedTuple):
    """What all members value by: a lot of which nothing is known, the params of the process, the lots that it knows (whose numbers each
    member has its own of), and how much words weigh."""

    nothing: Lots
    process: dict[str, Array]
    known: LotFeatures
    weights: Array


def all_shares(lots: Lots, layout: Layout, share: Array) -> Shares:
    """Return equal shares of all that is known.

    Args:
        lots: of which the shapes are taken.
        layout: of these.
        share: ``[S]``.
    """
    numbers = lots.numbers.shape[1] - (layout.counted is not None)
    of = lambda width: jnp.broadcast_to(share[:, None], (len(share), width))  # noqa: E731
    return Shares(
        of(numbers), of(lots.categories.shape[1]), of(lots.tokens.shape[1]), share, share, of(lots.groups.shape[1])
    )


def partly_known(nothing: Lots, lots: Lots, shares: Shares, layout: Layout) -> Lots:
    """Return lots whose numbers and gaps are between those of nothing and their own.

    Args:
        nothing: one lot of which nothing is known.
        lots: ``[S, ...]``.
        shares: of what counts.
        layout: of lots.
    """
    gaps = shares.numbers[:, jnp.array(layout.flagged, jnp.int32)]
    missing = nothing.missing + gaps * (lots.missing - nothing.missing)
    known = shares.numbers.shape[1]
    numbers = nothing.numbers[:, :known] + shares.numbers * (lots.numbers - nothing.numbers)[:, :known]
    if layout.counted is not None:
        count = scaled_number(_log_count(lots, shares), *layout.counted, library=jnp)
        numbers = jnp.concatenate([numbers, count[:, None]], axis=1)
    return lots._replace(numbers=numbers, missing=missing)


def soft_statistics(told: Told, others: Others, lots: Lots, shares: Shares) -> jax.Array:
    """Return what a member is told of lots, as `price_statistics` does, ``[S, T]``.

    Args:
        told: what prices say.
        others: of the lots' groups.
        lots: from `partly_known`.
        shares: of what counts.
    """
    hedonic = _hedonic(told, lots, shares)
    columns = [hedonic[:, None]]
    for place, table in told.categories.items():
        share = shares.categories[:, place, None]
        columns.append(share * table[lots.categories[:, place]] + (1 - share) * table[:1])
    values = jnp.stack([hedonic, _log_count(lots, shares)], axis=1)
    levels = shares.groups.shape[1]
    for level in range(levels):
        share, many = shares.groups[:, level, None], others.counts[:, level, None]
        log_count = share * jnp.log1p(many)
        beside = jnp.expm1(log_count)  # as many of the others count
        mean = others.sums[:, level] / jnp.maximum(many, 1)
        columns.append(drawn_means(values + beside * mean, 1 + beside, told.mean[None]))
        columns += [log_count] if level == levels - 1 else []
    return jnp.concatenate(columns, axis=1)


def soft_value(
    network: Any, layout: Layout, common: Common, member: Member, lot: Lots, others: Others, shares: Shares
) -> jax.Array:
    """Return what a member says of one lot by S shares of what is known of it, in units of the targets, ``[S]``.

    Args:
        network: the module.
        layout: of lots.
        common: what all members value by.
        member: what this one values by.
        lot: one, ``[1, ...]``.
        others: of its groups, ``[1, ...]``.
        shares: of what counts.
    """
    count = len(shares.text)
    lots, others = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape[1:])), (lot, others))
    lots = partly_known(common.nothing, lots, shares, layout)
    told = soft_statistics(member.told, others, lots, shares)
    group = shares.groups[:, 0] if shares.groups.shape[1] else shares.text
    of_network = LotShares(shares.categories, shares.words, shares.text, shares.picture, group)
    network_mean = guess(network, member.params, lots, told[None], shares=of_network).mean[0]
    one, known = _compared(common, member, lot, with_told(lots, told), shares)
    process_mean = row_products(covariance(common.process, one, known), member.coefficients[None])[:, 0]
    return (1 - PROCESS_SHARE) * network_mean + PROCESS_SHARE * process_mean


def _log_count(lots: Lots, shares: Shares) -> jax.Array:
    return jnp.log1p(jnp.sum(jnp.where(lots.tokens > 0, shares.words, 0), axis=1))


def _first(tokens: Array) -> jax.Array:
    """Return whether a word stands at its first place in its text, ``[S, L]``."""
    same = tokens[:, :, None] == tokens[:, None, :]
    return (jnp.argmax(same, axis=2) == jnp.arange(tokens.shape[1])[None]) & (tokens > 0)


def _bag(tokens: Array, words: Array) -> jax.Array:
    """Return how much each word of a text counts, once: at its first place the largest share of all its places, else 0, ``[S, L]``."""
    if not tokens.shape[1]:
        return words
    same = tokens[:, :, None] == tokens[:, None, :]
    largest = jnp.max(jnp.where(same, words[:, None, :], 0), axis=2)
    return jnp.where(_first(tokens), largest, 0)


def _hedonic(told: Told, lots: Lots, shares: Shares) -> jax.Array:
    picture = jnp.where(lots.pictured[:, None], lots.picture, 0) / max(lots.picture.shape[1], 1) ** 0.5
    value = told.constant + lots.numbers @ told.numbers + lots.missing @ told.missing
    value += shares.picture * (picture @ told.picture)
    for place, table in enumerate(told.values):
        value += shares.categories[:, place] * table[lots.categories[:, place]]
    return value + WORDS * jnp.sum(_bag(lots.tokens, shares.words) * told.words[lots.tokens], axis=1)


def _compared(common: Common, member: Member, lot: Lots, lots: Lots, shares: Shares) -> tuple[LotFeatures, LotFeatures]:
    """Return the lot by its shares and the known lots as what covariances are functions of.

    Of the words only those of the lot are compared, in their order; of the categories and groups only whether they are those of the lot.
    """
    known = common.known
    pictured = shares.picture * jnp.where(lots.pictured, 1.0, 0.0)
    picture = jnp.where(lots.pictured[:, None], lots.picture, 0) / max(lots.picture.shape[1], 1) ** 0.5
    one = LotFeatures(
        jnp.concatenate([lots.numbers, lots.missing, pictured[:, None]], axis=1),
        shares.picture[:, None] * picture,
        shares.categories[:, :, None] * jnp.array([0.0, 0.0, 1.0])[None, None],
        _soft_words(lots.tokens, shares.words, common.weights),
        shares.groups[:, :, None] * jnp.array([0.0, 1.0])[None, None],
    )
    same_kind = (known.categories == lot.categories) & (lot.categories >= 2)
    same_group = (known.groups == lot.groups) & (lot.groups >= 1)
    other = LotFeatures(
        member.numbers,
        known.picture,
        jnp.where(same_kind, 2, 0),
        known.words[:, lot.tokens[0]],
        jnp.where(same_group, 1, 0),
    )
    return one, other


def _soft_words(tokens: Array, words: Array, weights: Array) -> jax.Array:
    """Return a bag of words of length 1, ``[S, L]``; shorter than 1 where less than the word that says least counts.

    The square of the length is linear in the shares, so that no word jumps in as soon as it counts at all.
    """
    if not tokens.shape[1]:
        return words
    said = weights[tokens]
    squares = jnp.where(_first(tokens), said**2, 0)
    least = jnp.min(jnp.where(squares > 0, squares, _LARGE), axis=1)
    bag = _bag(tokens, words)
    length = jnp.sqrt(jnp.maximum(jnp.sum(bag * squares, axis=1), least))
    return bag * said / length[:, None]
