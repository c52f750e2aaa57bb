"""What prices of the training part say of a lot: of its artist, of such lots, of the sale it is in.

Members of an ensemble are each kept from one fold of the training part. What member k is told of a lot of fold j comes from neither fold:
so it learns to use what it will be told of lots that are new to it, and its own fold can be valued as if it were new.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.tasks.appraise.hedonic import design, fit_hedonic
from jaxart.tasks.appraise.lots import Lots

_MANY = 20  # values of a category from which on the mean price of each is told
_SHRUNK = 10.0  # lots of an average price that are counted into each such mean
_PRIOR = 3.0  # lots of an average kind that are counted into each group


class Statistics(NamedTuple):
    """What `learn_statistics` found.

    Fields:
        coefficients: of the hedonic regression, ``[K, K + 1, D]``.
        sums: of the targets, ``[K, codes]`` for each category with many values.
        counts: of the lots, as `sums`.
        groups: the codes of the groups of the training part, ``[N, G]``.
        values: what groups are averaged of, ``[K, N, 2]``: the hedonic value and the logarithm of the words.
    """

    coefficients: np.ndarray
    sums: dict[int, np.ndarray]
    counts: dict[int, np.ndarray]
    groups: np.ndarray
    values: np.ndarray


def learn_statistics(
    lots: Lots, targets: np.ndarray, folds: np.ndarray, *, sizes: Sequence[int], words: int
) -> tuple[Statistics, np.ndarray]:
    """Return the statistics of the training part, and what is told of its own lots, ``[K, N, S]``.

    Args:
        lots: the training part, encoded.
        targets: ``[N]``, of mean 0 and deviation 1.
        folds: ``[N]``, numbers from 0 to K - 1; lots that are sold together in one.
        sizes: how many codes each category has.
        words: how many words have a code.
    """
    inputs, count = design(lots, sizes, words), int(folds.max()) + 1
    coefficients = fit_hedonic(inputs, targets, folds)
    sums, counts = {}, {}
    for place, size in enumerate(sizes):
        if size - 2 >= _MANY:
            codes = np.asarray(lots.categories)[:, place]
            counts[place] = np.stack(
                [np.bincount(codes[folds == fold], minlength=size) for fold in range(count)]
            ).astype(np.float64)
            sums[place] = np.stack(
                [np.bincount(codes[folds == fold], targets[folds == fold], size) for fold in range(count)]
            )
    found = Statistics(
        coefficients, sums, counts, np.asarray(lots.groups), _averaged(lots, inputs, coefficients[:, -1])
    )
    told = [_told(found, lots, _averaged(lots, inputs, coefficients[:, fold]), folds) for fold in range(count)]
    return found, np.stack(told)[folds, :, np.arange(len(folds))].swapaxes(0, 1)


def price_statistics(found: Statistics, lots: Lots, *, sizes: Sequence[int], words: int) -> np.ndarray:
    """Return what members are told of new lots, ``[K, N, S]``; of groups that training knows, its lots are counted in.

    Args:
        found: from `learn_statistics`.
        lots: encoded.
        sizes: how many codes each category has.
        words: how many words have a code.
    """
    return _told(found, lots, _averaged(lots, design(lots, sizes, words), found.coefficients[:, -1]), None)


def _averaged(lots: Lots, inputs: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return the hedonic value by the coefficients of each member and the logarithm of the words, ``[K, N, 2]``."""
    hedonic, words = coefficients @ inputs.T, np.log1p((np.asarray(lots.tokens) > 0).sum(axis=1))
    return np.stack([hedonic, np.broadcast_to(words, hedonic.shape)], axis=-1)


def _told(found: Statistics, lots: Lots, values: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
    """Return the hedonic value, the means of each category with many values and how many lots they are of, and what the groups are like."""
    columns = [values[:, :, :1]]
    for place in found.sums:
        columns.append(_category(found.sums[place], found.counts[place], np.asarray(lots.categories)[:, place], folds))
    groups = np.asarray(lots.groups)
    for level in range(groups.shape[1]):
        known = None if folds is not None else (found.values, found.groups[:, level])
        means, counts = group_means(values, groups[:, level], known=known)
        columns += [means, counts] if level == groups.shape[1] - 1 else [means]
    return np.concatenate(columns, axis=-1).astype(np.float32)


def categories_told(found: Statistics) -> dict[int, np.ndarray]:
    """Return what members are told of each value of a category, ``[K, codes, 2]`` by the category's place."""
    return {
        place: _category(sums, found.counts[place], np.arange(sums.shape[1]), None)
        for place, sums in found.sums.items()
    }


def groups_of_others(
    found: Statistics, lots: Lots, *, sizes: Sequence[int], words: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the others of the groups of each lot add to their means: sums ``[K, N, G, 2]``, and how many they are, ``[N, G]``."""
    values = _averaged(lots, design(lots, sizes, words), found.coefficients[:, -1])
    groups = np.asarray(lots.groups)
    sums, counts = np.zeros((*values.shape[:2], groups.shape[1], 2)), np.zeros(groups.shape)
    for level in range(groups.shape[1]):
        of, many = _group_sums(values, groups[:, level], (found.values, found.groups[:, level]))
        sums[:, :, level], counts[:, level] = of - values, many - 1
    return sums, counts


def drawn_means(sums: Any, counts: Any, mean: Any) -> Any:
    """Return the means of groups, drawn a little to the mean of all: what counts are few says little."""
    return (sums + _PRIOR * mean) / (counts + _PRIOR)


def _category(sums: np.ndarray, counts: np.ndarray, codes: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
    """Return shrunk means of the targets and the logarithms of the counts behind them, ``[K, N, 2]``."""
    found = []
    for member in range(len(sums)):
        of, many = (each.sum(0)[codes] - each[member, codes] for each in (sums, counts))
        total, number = (each.sum() - each[member].sum() for each in (sums, counts))
        if folds is not None:
            other = folds != member
            of, many = of - other * sums[folds, codes], many - other * counts[folds, codes]
            total, number = total - other * sums.sum(1)[folds], number - other * counts.sum(1)[folds]
        base = total / np.maximum(number, 1)
        found.append(np.stack([(of + _SHRUNK * base) / (many + _SHRUNK), np.log1p(many)], axis=-1))
    return np.stack(found)


def group_means(
    values: np.ndarray, codes: np.ndarray, *, known: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of values over each row's group, drawn a little to those over all rows, and the logarithm of the rows of a group.

    Args:
        values: ``[K, N, V]``.
        codes: of the groups, ``[N]``; a row with 0 is a group of its own.
        known: values ``[K, M, V]`` and codes ``[M]`` of lots of the training part, which are counted in.

    Returns:
        ``[K, N, V]`` and ``[K, N, 1]``.
    """
    sums, counts = _group_sums(values, codes, known)
    base = (values if known is None else known[0]).mean(axis=1, keepdims=True)
    means = drawn_means(sums, counts[None, :, None], base)
    return means, np.broadcast_to(np.log(counts)[None, :, None], (*values.shape[:2], 1))


def _group_sums(
    values: np.ndarray, codes: np.ndarray, known: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of values over each row's group, ``[K, N, V]``, and how many rows it has, ``[N]``."""
    joined = values if known is None else np.concatenate([values, known[0]], axis=1)
    joined_codes: Any = codes if known is None else np.concatenate([codes, known[1]])
    alone = np.where(joined_codes == 0, np.arange(len(joined_codes)), -1)
    _, numbers = np.unique(np.stack([joined_codes, alone], axis=1), axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)
    counts = np.bincount(numbers).astype(np.float64)
    sums = np.zeros((joined.shape[0], len(counts), joined.shape[2]))
    rows: Any = (slice(None), numbers)
    np.add.at(sums, rows, joined)
    own = numbers[: values.shape[1]]
    return sums[:, own], counts[own]
