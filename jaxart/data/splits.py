"""Splits: which examples are for training, validation and testing, as index arrays for `take`.

All take `parts`: fractions that sum to 1, such as (0.8, 0.1, 0.1), or whole numbers of examples that sum to all of them. Groups and equal
times are never cut, so parts come as near to these sizes as that allows.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from jaxart.arrays import Key, key_words

_PRECISION = 1e-6  # to which fractions sum to 1


def split_randomly(key: Key, count: int, parts: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Split examples at random.

    The parts belong to rows: to keep examples where they are when rows are sorted otherwise, give their names to `split_by_group`.

    Args:
        key: typed key.
        count: the number of examples.
        parts: fractions or numbers of examples, see above.

    Returns:
        For each part the indices of its examples, ascending.

    Raises:
        ValueError: parts that do not sum up, or one that is left without examples.

    >>> import jax
    >>> train, test = split_randomly(jax.random.key(0), 10, (0.8, 0.2))
    >>> len(train), len(test)
    (8, 2)
    """
    words = key_words(key)
    drawn = np.argsort(np.random.PCG64([*words, *b"split"]).random_raw(count), kind="stable")
    return _cut(np.argsort(drawn, kind="stable"), parts)


def split_by_group(key: Key, groups: Sequence | np.ndarray, parts: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Split at random so that no group has examples in two parts: pictures of one artist, frames of one film.

    The order of the rows does not matter.

    Args:
        key: typed key.
        groups: ``[N]``, names or whole numbers.
        parts: fractions or numbers of examples, see above.

    Returns:
        For each part the indices of its examples, ascending.

    Raises:
        ValueError: groups of another type, parts that do not sum up, or one that is left without examples.
    """
    values = np.asarray(groups)
    if values.ndim != 1 or values.dtype.kind not in "biuU":
        raise ValueError(f"groups: expected names or whole numbers [N], got {values.dtype} {list(values.shape)}.")
    found, numbers = np.unique(values, return_inverse=True)
    words = key_words(key)
    drawn = [hashlib.sha256(repr((words, str(value))).encode()).digest() for value in found]
    ranks = np.empty(len(found), np.int64)
    ranks[sorted(range(len(found)), key=drawn.__getitem__)] = np.arange(len(found))
    return _cut(ranks[numbers], parts)


def split_by_label(
    key: Key, labels: Sequence | np.ndarray, parts: Sequence[float], *, groups: Sequence | np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Split each class at random in the same proportions, so that rare classes are in all parts; a class of fewer groups than parts
    gives to the first parts.

    Args:
        key: typed key.
        labels: ``[N]``, names or whole numbers.
        parts: fractions, see above.
        groups: ``[N]``, names or whole numbers: examples of one group stay together, with the class of the first of them. By default
            each example is its own.

    Returns:
        For each part the indices of its examples, ascending.

    Raises:
        ValueError: labels or groups of another type or number, parts that are no fractions or do not sum to 1, or one that is left without
            examples.

    >>> import jax
    >>> train, test = split_by_label(jax.random.key(0), ["rare"] * 4 + ["frequent"] * 8, (0.75, 0.25))
    >>> len(train), len(test), int(sum(test < 4))
    (9, 3, 1)
    """
    names = np.asarray(labels)
    kept = np.arange(len(names)) if groups is None else np.asarray(groups)
    for name, values in (("labels", names), ("groups", kept)):
        if values.ndim != 1 or values.dtype.kind not in "biuU" or len(values) != len(names) or not len(values):
            raise ValueError(f"{name}: expected names or whole numbers [N], got {values.dtype} {list(values.shape)}.")
    found, first, numbers = np.unique(kept, return_index=True, return_inverse=True)
    shares = np.asarray(parts)
    if shares.dtype.kind != "f":
        raise ValueError(f"parts: expected fractions, got {list(parts)}.")
    _ends(parts, len(names))
    words = key_words(key)
    drawn = np.array([hashlib.sha256(repr((words, str(value))).encode()).hexdigest() for value in found])
    part_of = np.empty(len(found), np.int64)
    for name in np.unique(names):
        own = np.flatnonzero(names[first] == name)
        own = own[np.argsort(drawn[own], kind="stable")]
        part_of[own] = _parts_of(shares, len(own))
    indices = tuple(np.flatnonzero(part_of[numbers] == part) for part in range(len(parts)))
    if not all(len(each) for each in indices):
        raise ValueError(f"parts: expected {list(parts)} with examples in each, got {[len(each) for each in indices]}.")
    return indices


def _parts_of(shares: np.ndarray, count: int) -> np.ndarray:
    """Return the part of each of `count` groups in order: as many as its share, rounded, and at least one where there are enough."""
    sizes = np.floor(shares * count).astype(int)
    order = np.argsort(sizes - shares * count, kind="stable")  # the largest remainders first
    sizes[order[: count - sizes.sum()]] += 1
    for empty in np.flatnonzero(sizes == 0) if count >= len(shares) else ():
        sizes[sizes.argmax()] -= 1
        sizes[empty] += 1
    return np.repeat(np.arange(len(shares)), sizes)


def split_by_time(times: Sequence | np.ndarray, parts: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Split into past and future: every example of a part is earlier than all of the next, and equal times stay together.

    The order of the rows does not matter.

    Args:
        times: ``[N]``, numbers or `numpy.datetime64`.
        parts: fractions or numbers of examples, the earliest first, see above.

    Returns:
        For each part the indices of its examples, ascending.

    Raises:
        ValueError: times of another type or not finite, parts that do not sum up, or one that is left without examples.
    """
    values = np.asarray(times)
    if values.ndim != 1 or values.dtype.kind not in "iufM":
        raise ValueError(f"times: expected numbers or datetime64 [N], got {values.dtype} {list(values.shape)}.")
    if not np.isfinite(values).all():
        raise ValueError(
            f"times: expected finite ones, got {values[~np.isfinite(values)][0]}. Leave those examples out."
        )
    return _cut(np.unique(values, return_inverse=True)[1], parts)


def _cut(ranks: np.ndarray, parts: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Cut units ranked 0, 1, ... where the number of examples is nearest to what `parts` say; `ranks` has each example's unit."""
    reached = np.concatenate([[0], np.cumsum(np.bincount(ranks))])  # examples in the first k units
    cuts = [np.argmin(np.abs(reached - wanted)) for wanted in _ends(parts, len(ranks))]
    numbers = np.searchsorted(cuts, ranks, side="right")
    indices = tuple(np.flatnonzero(numbers == part) for part in range(len(parts)))
    if not all(len(each) for each in indices):
        raise ValueError(
            f"parts: expected {list(parts)} with examples in each, got {[len(each) for each in indices]} of {len(ranks)} examples in "
            f"{len(reached) - 1} units that are not cut. Take fewer or other parts."
        )
    return indices


def _ends(parts: Sequence[float], count: int) -> np.ndarray:
    """Return how many examples stand before the end of each part but the last."""
    sizes = np.asarray(parts)
    whole = sizes.dtype.kind in "iu"
    total, said = (count, str(count)) if whole else (1.0, "1")
    if sizes.ndim != 1 or not sizes.size or sizes.dtype.kind not in "iuf" or not (sizes > 0).all():
        raise ValueError(f"parts: expected fractions or numbers of examples above 0, got {list(parts)}.")
    if abs(sizes.sum() - total) > (0 if whole else _PRECISION):
        kind = "numbers of examples" if whole else "fractions"
        raise ValueError(f"parts: expected {kind} that sum to {said}, got {list(parts)}, which sum to {sizes.sum():g}.")
    ends = np.cumsum(sizes)[:-1]
    return ends if whole else np.rint(ends * count)
