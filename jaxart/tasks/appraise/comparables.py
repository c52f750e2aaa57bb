"""Which sold lots are like a lot, and what speaks against trusting its value.

Two lots are as alike as the Gaussian process thinks their prices to be, whatever groups they are sold in: correlation by numbers, pictures,
categories and words. Its linear effects are left out, in which all lots on one side are the more alike the further out they are.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.tasks.appraise.covariances import LotFeatures, covariance, lot_features, word_weights
from jaxart.tasks.appraise.encoder import Encoder, category_sizes, cell_numbers
from jaxart.tasks.appraise.lots import Lots, rows_of
from jaxart.tasks.appraise.recipe import with_told
from jaxart.tasks.appraise.statistics import price_statistics
from jaxart.tasks.appraise.trained import Appraiser, encode_lots

_CHUNK = 256  # lots that are compared at once
_FAR = 0.01  # share of the lots of the training part that are as far from all others
_NEVER = -np.inf  # as likely as nothing: the softplus of it is 0


def nearest_sold(
    trained: Appraiser,
    records: Mapping[str, np.ndarray],
    count: int = 5,
    *,
    picture: Any = None,
    pictured: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sold lots that are most like new ones, of each finest group (such as the parts of one lot) the most similar only.

    Args:
        trained: from `train_appraiser`.
        records: text ``[N]`` by name.
        count: how many; fewer where the training part has fewer groups.
        picture: features of the pictures, ``[N, P]``, as in `encode`.
        pictured: which lots have one, bool ``[N]``.

    Returns:
        Rows of the training part, the most similar first, ``[N, count]``, and how similar they are, in [0, 1], where 1 is equal in all
        that is known of both.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}.")
    lots = encode_lots(trained, records, picture=picture, pictured=pictured)
    known = rows_of(trained.known.lots, trained.compared)
    groups = _finest(known)
    take = min(len(groups), (count - 1) * int(np.bincount(groups).max()) + 1)
    count = min(count, int(groups.max()) + 1)
    found = []
    for similar in _similarities(trained, lots, known):
        order = np.argsort(-similar, axis=1, kind="stable")[:, :take]
        for row, each in enumerate(order):
            first = np.sort(np.unique(groups[each], return_index=True)[1])[:count]
            found.append((trained.compared[each[first]], similar[row, each[first]]))
    rows, similarity = zip(*found, strict=True)
    return np.stack(rows), np.stack(similarity)


def flags_of(
    trained: Appraiser, records: Mapping[str, np.ndarray], *, picture: Any = None, pictured: Any = None
) -> list[tuple[str, ...]]:
    """Return what speaks against trusting the values of lots, as short texts.

    They are: a value of a category with many values, such as an artist, that training has not seen or too seldom; a lot less like its
    nearest than 99 of 100 lots of the training part are; fields that are missing and mostly are not in the training part.

    Args:
        trained: from `train_appraiser`.
        records: text ``[N]`` by name.
        picture: features of the pictures, ``[N, P]``, as in `encode`.
        pictured: which lots have one, bool ``[N]``.
    """
    encoder = Encoder(*trained.encoder)
    lots = encode_lots(trained, records, picture=picture, pictured=pictured)
    known = rows_of(trained.known.lots, trained.compared)
    nearest = np.concatenate([each.max(axis=1) for each in _similarities(trained, lots, known)])
    far = nearest < _usual_similarity(trained, known)
    gone = _missing(trained, encoder, records, lots)
    return [
        (*_unknown(trained, encoder, records, lots, row), *(["unlike anything known"] if far[row] else []), *gone[row])
        for row in range(len(far))
    ]


def _similarities(trained: Appraiser, lots: Lots, known: Lots) -> Any:
    """Yield how similar some lots after others are to the known ones, ``[n, M]``."""
    new, old = (_features(trained, each) for each in (lots, known))
    params = {**trained.process, "slopes": jnp.full_like(trained.process["slopes"], _NEVER)}
    count = len(lots.numbers)
    for begin in range(0, count, _CHUNK):
        rows = np.minimum(np.arange(begin, begin + _CHUNK), count - 1)
        yield np.asarray(_correlation(params, rows_of(new, rows), old))[: count - begin]


@jax.jit
def _correlation(params: dict[str, jax.Array], one: LotFeatures, other: LotFeatures) -> jax.Array:
    own, others = (jnp.sqrt(_variance(params, each)) for each in (one, other))
    return jnp.clip(covariance(params, one, other) / (own[:, None] * others[None]), 0, 1)


def _variance(params: dict[str, jax.Array], lots: LotFeatures) -> jax.Array:
    """Return the variances ``[N]`` by what is known of each lot alone."""
    alone = lambda lot: covariance(params, *(jax.tree.map(lambda leaf: leaf[None], lot),) * 2)[0, 0]  # noqa: E731
    return jax.vmap(alone)(lots)


def _features(trained: Appraiser, lots: Lots) -> LotFeatures:
    """Return what covariances are functions of, of lots that are each told of as if they were sold alone."""
    encoder = Encoder(*trained.encoder)
    lots = lots._replace(groups=np.zeros_like(np.asarray(lots.groups)))
    told = price_statistics(trained.statistics, lots, sizes=category_sizes(encoder), words=len(encoder.words))
    weights = word_weights(trained.known.lots.tokens, len(encoder.words) + 2)
    features = lot_features(with_told(jax.tree.map(jnp.asarray, lots), told.mean(axis=0)), weights)
    return features._replace(groups=features.groups[:, :0])


def _finest(lots: Lots) -> np.ndarray:
    """Return numbers of the finest groups; a lot that is of none is one."""
    groups = np.asarray(lots.groups)
    codes = groups[:, -1] if groups.shape[1] else np.zeros(len(groups), np.int32)
    return np.unique(np.where(codes == 0, -1 - np.arange(len(codes)), codes), return_inverse=True)[1].reshape(-1)


def _usual_similarity(trained: Appraiser, known: Lots) -> float:
    """Return below which similarity to the nearest lot of another group few lots of the training part are."""
    groups, nearest = _finest(known), []
    for similar in _similarities(trained, known, known):
        begin = sum(map(len, nearest))
        other = groups[begin : begin + len(similar), None] != groups[None]
        nearest.append(np.where(other, similar, 0).max(axis=1))
    return float(np.quantile(np.concatenate(nearest), _FAR))


def _unknown(
    trained: Appraiser, encoder: Encoder, records: Mapping[str, np.ndarray], lots: Lots, row: int
) -> list[str]:
    names = [name for place, name in enumerate(encoder.categories) if place in trained.statistics.sums]
    places = {name: place for place, name in enumerate(encoder.categories)}
    return [
        f"{name} unknown to the model: {str(records[name][row]).strip()}"
        for name in names
        if lots.categories[row, places[name]] == 1
    ]


def _missing(trained: Appraiser, encoder: Encoder, records: Mapping[str, np.ndarray], lots: Lots) -> list[list[str]]:
    """Return which fields of each lot are missing that most lots of the training part have."""
    known = trained.known.lots
    cells = {name: np.asarray(each) for name, each in records.items()}
    numbers = cell_numbers(cells, encoder.marks)
    rare = dict(zip(encoder.flagged, np.asarray(known.missing).mean(axis=0) < 0.5, strict=True))
    gone = {name: np.isnan(numbers[name]) for name in encoder.numbers if rare.get(name, True)}
    often = (np.asarray(known.categories) > 0).mean(axis=0) > 0.5
    gone |= {name: lots.categories[:, place] == 0 for place, name in enumerate(encoder.categories) if often[place]}
    if _mostly((np.asarray(known.tokens) > 0).any(axis=1)):
        gone["text"] = ~(lots.tokens > 0).any(axis=1)
    if _mostly(known.pictured):
        gone["picture"] = ~np.asarray(lots.pictured)
    fields = [[name for name, each in gone.items() if each[row]] for row in range(len(lots.numbers))]
    return [[f"missing: {', '.join(each)}"] if each else [] for each in fields]


def _mostly(there: Any) -> bool:
    return float(np.mean(np.asarray(there))) > 0.5
