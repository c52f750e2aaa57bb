"""Why a lot is worth what it is: what its value is above that of a lot of which nothing is known, divided among all that is known of it.

Integrated gradients of the whole value, a mean of networks and processes, through all that they are told: what a word does by the network
that reads, by the kernel of words, by the hedonic regression and by the count of words is one amount.

Reference: Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, section 3. Departures: nodes of Gauss and Legendre instead of
equal steps; that there is a text at all is an amount of its own, which no word of it can be thanked for.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data
from jaxart.tasks.appraise.covariances import lot_features, word_weights
from jaxart.tasks.appraise.encoder import Encoder, category_sizes, cell_words, encode
from jaxart.tasks.appraise.lots import Lots, rows_of
from jaxart.tasks.appraise.process import condition
from jaxart.tasks.appraise.recipe import with_told
from jaxart.tasks.appraise.soft import Common, Layout, Member, Others, Shares, Told, all_shares, soft_value
from jaxart.tasks.appraise.statistics import Statistics, categories_told, groups_of_others
from jaxart.tasks.appraise.trained import Appraiser, encode_lots

MODALITIES = ("text", "table", "picture")
_STEPS = 256
_PART = 128  # nodes that are looked at at once
_CLOSE, _TINY = 0.008, 1e-3  # share of value less base, and deviations of log prices, up to which a gap is small
_FINER = 8  # times as many nodes where it is not


class Contribution(NamedTuple):
    """What one thing that is known of a lot adds to its log price.

    Fields:
        modality: of `MODALITIES`.
        name: for people, such as "artist = Boucher" or '"venus" (word 3)'.
        amount: in units of log prices.
    """

    modality: str
    name: str
    amount: float


class Reasons(NamedTuple):
    """Why N lots are worth what they are: base, contributions and gap add up to the value.

    Fields:
        base: log price of a lot of which nothing is known, ``[N]``.
        value: log prices, as `value_lots` says, ``[N]``.
        gap: what the contributions miss, ``[N]``.
        contributions: of each lot, text, table and picture in their order; what adds nothing is left out.
    """

    base: np.ndarray
    value: np.ndarray
    gap: np.ndarray
    contributions: tuple[tuple[Contribution, ...], ...]


def explain_lots(
    trained: Appraiser,
    records: Mapping[str, np.ndarray],
    *,
    rows: Sequence[int] | None = None,
    steps: int = _STEPS,
    report: Callable[[int, int], None] | None = None,
    picture: Any = None,
    pictured: Any = None,
) -> Reasons:
    """Return why lots are worth what they are.

    Args:
        trained: from `train_appraiser`.
        records: text ``[N]`` by name, as for `value_lots`: lots that are valued together are explained together.
        rows: the lots to explain, indices; by default all.
        steps: nodes on the way from nothing to the lot; eight times as many where they leave a gap of almost a percent.
        report: called ``report(done, total)`` after each lot.
        picture: features of the pictures, ``[N, P]``, as in `encode`.
        pictured: which lots have one, bool ``[N]``.

    Returns:
        `Reasons` of the rows, in their order.

    Raises:
        ValueError: no lots, or no steps.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}.")
    encoder = Encoder(*trained.encoder)
    lots = encode_lots(trained, records, picture=picture, pictured=pictured)
    layout, common = _layout(encoder), _common(trained, encoder, lots.picture.shape[1])
    members, others = _members(trained, encoder, common), _others(trained, encoder, lots)
    values, found = [], []
    chosen = range(len(lots.numbers)) if rows is None else list(rows)
    for row in chosen:
        own = slice(row, row + 1)
        given = (layout, common, members, rows_of(lots, own), Others(others.sums[:, own], others.counts[:, own]))
        value, amounts = _along(trained.network, given, steps)
        if _gap(value, amounts) > max(_CLOSE * abs(value[1] - value[0]), _TINY):
            value, amounts = _along(trained.network, given, _FINER * steps)
        values.append(value)
        found.append(jax.tree.map(lambda leaf: trained.deviation * leaf, amounts))
        if report is not None:
            report(len(found), len(chosen))
    base, value = trained.center + trained.deviation * np.array(values).T
    total = np.array([sum(float(leaf.sum()) for leaf in amounts) for amounts in found])
    few = {name: np.asarray(cells)[list(chosen)] for name, cells in records.items()}
    return Reasons(
        base, value, value - base - total, _contributions(encoder, few, rows_of(lots, np.array(chosen)), found)
    )


def largest_reasons(reasons: Reasons, most: int = 12) -> list[tuple[tuple[str, float], ...]]:
    """Return names and amounts for `Valued.reasons`: the largest first, and a rest so that they add up to value less base.

    Args:
        reasons: from `explain_lots`.
        most: how many have a name of their own.
    """
    found = []
    for base, value, each in zip(reasons.base, reasons.value, reasons.contributions, strict=True):
        order = sorted(each, key=lambda one: -abs(one.amount))[:most]
        rest = float(value - base) - sum(one.amount for one in order)
        found.append((*((one.name, one.amount) for one in order), ("all else", rest)))
    return found


def modality_shares(reasons: Reasons) -> list[dict[str, float]]:
    """Return for `Valued.shares` how much of the absolute contributions comes from text, table and picture.

    Args:
        reasons: from `explain_lots`.
    """
    found = []
    for each in reasons.contributions:
        sums = {name: sum(abs(one.amount) for one in each if one.modality == name) for name in MODALITIES}
        total = sum(sums.values())
        found.append({name: size / total for name, size in sums.items()} if total else {})
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _explain(
    network: Any, layout: Layout, common: Common, members: Member, lot: Lots, others: Others, ends: Any, nodes: Any
) -> tuple[jax.Array, Shares]:
    """Return the values at both ends of the way, and what each share adds, one member after the other so that memory stays small."""

    def of_member(given: tuple[Member, Others]) -> tuple[jax.Array, Shares]:
        value = functools.partial(soft_value, network, layout, common, given[0], lot, given[1])
        slopes = jax.grad(lambda shares: jnp.sum(value(shares)))(all_shares(lot, layout, nodes[0]))
        return value(all_shares(lot, layout, ends)), jax.tree.map(
            lambda slope: jnp.tensordot(nodes[1], slope, 1), slopes
        )

    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.lax.map(of_member, (members, others)))


def _along(network: Any, given: tuple[Layout, Common, Member, Lots, Others], steps: int) -> tuple[np.ndarray, Shares]:
    """Return the values at both ends of the way and what each share adds, summed over parts of it."""
    parts = -(-steps // _PART)
    at, weights = np.polynomial.legendre.leggauss(-(-steps // parts))
    value, total = np.zeros(2), None
    for part in range(parts):
        nodes = np.stack([(part + (at + 1) / 2) / parts, weights / (2 * parts)]).astype(np.float32)
        value, amounts = _explain(network, *given, np.array([0, 1], np.float32), nodes)
        amounts = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), amounts)
        total = amounts if total is None else jax.tree.map(np.add, total, amounts)
    return np.asarray(value, np.float64), total  # pyright: ignore[reportReturnType]


def _gap(value: np.ndarray, amounts: Shares) -> float:
    return abs(float(value[1] - value[0]) - sum(float(leaf.sum()) for leaf in amounts))


def _layout(encoder: Encoder) -> Layout:
    """Return what arrays of lots do not tell; areas and shapes have no gaps of their own."""
    skewed, center, deviation = encoder.scales[-1] if encoder.scales else (False, 0.0, 1.0)
    counted = (bool(skewed), float(center), float(deviation)) if encoder.texts and encoder.words else None
    return Layout(tuple(encoder.numbers.index(name) for name in encoder.flagged), counted)


def _common(trained: Appraiser, encoder: Encoder, pictures: int) -> Common:
    known = trained.known
    nothing = encode(encoder, {"": np.array([""])}, picture=np.zeros((1, pictures)), pictured=[False])
    weights = word_weights(known.lots.tokens, len(encoder.words) + 2)
    return Common(nothing, trained.process, lot_features(rows_of(known.lots, trained.compared), weights), weights)


def _members(trained: Appraiser, encoder: Encoder, common: Common) -> Member:
    """Return what each member values by, ``[K, ...]``: its process is conditioned once for all lots."""
    known, rows = trained.known, trained.compared
    lots = rows_of(known.lots, rows)
    numbers, coefficients = _conditioned(
        trained.process, lots, known.told[:, rows], known.targets[rows], known.folds[rows], common.weights
    )
    params = jax.tree.map(lambda leaf: leaf[:, None], trained.params)
    return Member(params, _told(trained.statistics, encoder, lots), numbers, coefficients)


@jax.jit
def _conditioned(
    process: dict[str, jax.Array], lots: Lots, told: Any, targets: Any, folds: Any, weights: Any
) -> tuple[jax.Array, jax.Array]:
    """Return each member's numbers of the lots that its process knows, ``[K, M, D]``, and their coefficients, ``[K, M]``."""

    def of_member(given: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
        features = lot_features(with_told(lots, given[0]), weights)
        kept = (folds != given[1]).astype(jnp.float32)
        return features.numbers, condition(process, features, targets, weights=kept).coefficients

    return jax.lax.map(of_member, (told, jnp.arange(len(told))))


def _told(found: Statistics, encoder: Encoder, lots: Lots) -> Told:
    """Return what prices say, by the coefficients for new rows, ``[K, ...]``."""
    sizes, words = category_sizes(encoder), len(encoder.words)
    widths = [lots.numbers.shape[1], lots.missing.shape[1], lots.picture.shape[1], *(size - 2 for size in sizes), words]
    parts: list[Any] = np.split(found.coefficients[:, -1], np.cumsum(widths), axis=1)
    numbers, missing, picture, *values, of_words, constant = parts
    padded: list[Any] = [np.pad(each, ((0, 0), (2, 0))) for each in (*values, of_words)]
    categories: Any = categories_told(found)
    mean: Any = found.values.mean(axis=1)
    told = Told(numbers, missing, picture, tuple(padded[:-1]), padded[-1], constant[:, 0], categories, mean)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), told)


def _others(trained: Appraiser, encoder: Encoder, lots: Lots) -> Others:
    sums, counts = groups_of_others(trained.statistics, lots, sizes=category_sizes(encoder), words=len(encoder.words))
    return Others(jnp.asarray(sums, jnp.float32), jnp.asarray(np.stack([counts] * len(sums)), jnp.float32))


def _contributions(
    encoder: Encoder, records: Mapping[str, np.ndarray], lots: Lots, found: Sequence[Shares]
) -> tuple[tuple[Contribution, ...], ...]:
    words = cell_words({name: np.asarray(cells) for name, cells in records.items()}, encoder.texts)
    cells = {
        name: _cells(records, name, len(found)) for name in (*encoder.numbers, *encoder.categories, *encoder.groups)
    }
    made = []
    for row, amounts in enumerate(found):
        at = lambda name, row=row: f"{name} = {cells[name][row]}"  # noqa: E731
        sides = " x ".join(encoder.sides)
        derived = (f"area ({sides})", f"shape ({sides})") if encoder.sides else ()
        named = {
            "numbers": [*map(at, encoder.numbers), *derived, "count of words"],
            "categories": [*map(at, encoder.categories)],
            "words": [f'"{word}" (word {place + 1})' for place, word in enumerate(words[row])],
            "text": ["that there is a text"],
            "picture": ["picture"],
            "groups": [*map(at, encoder.groups)],
        }
        made.append(tuple(_named(named, amounts)))
    return tuple(made)


def _named(names: Mapping[str, Sequence[str]], amounts: Shares) -> list[Contribution]:
    kinds = dict.fromkeys(Shares._fields, "table") | {"words": "text", "text": "text", "picture": "picture"}
    found = []
    for field in ("words", "text", "numbers", "categories", "groups", "picture"):
        for name, amount in zip(names[field], np.atleast_1d(getattr(amounts, field)).tolist(), strict=False):
            if amount:
                found.append(Contribution(kinds[field], name, amount))
    return found


def _cells(records: Mapping[str, np.ndarray], name: str, count: int) -> list[str]:
    """Return a column as it is written, and "missing" where nothing is."""
    if name not in records:
        return ["missing"] * count
    cells = np.asarray(records[name])
    return [
        "missing" if gone else " ".join(str(cell).split())
        for cell, gone in zip(cells.tolist(), data.are_missing(cells), strict=True)
    ]
