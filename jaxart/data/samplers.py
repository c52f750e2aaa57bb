"""Samplers: which example stands where in the endless sequence that batches are cut from.

A sampler is ``sampler(key, count) -> order``, an order ``order(start, stop) -> indices [stop - start]``: the examples, of `count`, at the
positions from start to stop. It is a function of the key and the position alone and gives any position at once, so a run can be resumed
anywhere, and processes read parts of one sequence.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from jaxart.arrays import Key, key_words

Order = Callable[[int, int], np.ndarray]
Sampler = Callable[[Key, int], Order]


def shuffled(key: Key, count: int) -> Order:
    """Order examples epoch after epoch, each a permutation of its own.

    Args:
        key: typed key.
        count: the number of examples.

    >>> import jax
    >>> order = shuffled(jax.random.key(0), 6)
    >>> order(0, 6).tolist(), order(6, 9).tolist()
    ([3, 2, 1, 0, 4, 5], [4, 5, 3])
    """
    return _permutations(key_words(key), count)


def _permutations(words: list[int], count: int) -> Order:
    @functools.lru_cache(maxsize=2)
    def epoch(number: int) -> np.ndarray:
        # Raw bits are the same in every version of NumPy, its permutations need not be. (grain's shuffle takes milliseconds an example.)
        return np.argsort(np.random.PCG64([*words, number]).random_raw(count), kind="stable")

    def order(start: int, stop: int) -> np.ndarray:
        numbers = range(start // count, (stop - 1) // count + 1)
        return np.concatenate([epoch(n)[max(0, start - n * count) : stop - n * count] for n in numbers])

    return order


def _blocks(words: list[int], length: int) -> Order:
    """Like `_permutations`, for very many short ones: drawn together, and kept nowhere."""

    def order(start: int, stop: int) -> np.ndarray:
        first, last = start // length, (stop - 1) // length + 1
        bits = np.random.PCG64(words).advance(first * length).random_raw((last - first) * length)
        places = np.argsort(bits.reshape(-1, length), axis=1, kind="stable").ravel()  # [(last - first) * length]
        return places[start - first * length : stop - first * length]

    return order


def weighted(weights: Sequence[float] | np.ndarray) -> Sampler:
    """Draw each example independently, with replacement, with a probability in proportion to its weight.

    Args:
        weights: ``[N]``, 0 or more, not all zero, with a finite sum; an example of weight 0 never comes.

    Raises:
        ValueError: other weights; or, when batches begin, not one for each example.
    """
    values = np.asarray(weights, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    if values.ndim != 1 or (values < 0).any() or not 0 < total < np.inf:  # written so that NaN fails too
        told = f" from {values.min():g} to {values.max():g}, with the sum {total:g}" if values.size else ""
        raise ValueError(
            f"weights: expected finite numbers [N] of 0 or more, not all zero, with a finite sum, got shape "
            f"{list(values.shape)}{told}."
        )
    reached = np.cumsum(values)
    reached /= reached[-1]

    def sampler(key: Key, count: int) -> Order:
        _check_length("weights", len(values), count)
        words = key_words(key)

        def order(start: int, stop: int) -> np.ndarray:
            bits = np.random.PCG64(words).advance(start).random_raw(stop - start)
            return np.searchsorted(reached, (bits >> np.uint64(11)) * 2.0**-53, side="right")

        return order

    return sampler


def balanced(labels: Sequence | np.ndarray, *, classes: Sequence[str] = ()) -> Sampler:
    """Take classes equally often: of every C examples one from each of C classes, and within a class every example equally often.

    Args:
        labels: ``[N]``, whole numbers or names.
        classes: the names of the classes 0, 1, ..., each of which must have an example; by default the values that occur.

    Raises:
        ValueError: a class without examples, a number that is no class, or other labels; or, when batches begin, not one for each
            example.
    """
    values = np.asarray(labels)
    if not classes:
        if values.ndim != 1 or not values.size or values.dtype.kind not in "biuU":
            raise ValueError(f"labels: expected whole numbers or names [N], got {values.dtype} {list(values.shape)}.")
        found, values = np.unique(values, return_inverse=True)
        classes = [str(value) for value in found]
    return _mixture("labels", values, [1] * len(classes), classes)


def mixture(groups: Sequence[int] | np.ndarray, shares: Sequence[int]) -> Sampler:
    """Mix sources at given rates: of every ``sum(shares)`` examples, ``shares[g]`` are from group g, in random order.

    Within a group every example comes equally often, in an order that changes with each of its epochs.

    Args:
        groups: ``[N]``, the number of each example's group, such as the column "source" of `concatenate`.
        shares: ``[G]``, whole numbers, 0 leaves a group out: (3, 1) takes three examples of group 0 for one of group 1.

    Raises:
        ValueError: shares that are not whole or all zero, a group with a share and without examples, a number that is no group;
            or, when batches begin, not one group for each example.
    """
    return _mixture("groups", np.asarray(groups), shares, [str(number) for number in range(len(shares))])


def within(rows: Sequence[int] | np.ndarray, sampler: Sampler = shuffled) -> Sampler:
    """Take some of the examples alone, such as one part of a split, in the order of a sampler of that many.

    Args:
        rows: ``[M]``, their numbers.
        sampler: of M examples.

    Raises:
        ValueError: no rows; or, when batches begin, a number that is no example.

    >>> import jax
    >>> sorted(within([2, 5, 7])(jax.random.key(0), 8)(0, 3).tolist())
    [2, 5, 7]
    """
    chosen = np.asarray(rows)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise ValueError(f"rows: expected whole numbers [M], at least one, got {chosen.dtype} {list(chosen.shape)}.")

    def made(key: Key, count: int) -> Order:
        if chosen.min() < 0 or chosen.max() >= count:
            raise ValueError(f"rows: expected numbers from 0 to {count - 1}, got {chosen.min()} to {chosen.max()}.")
        order = sampler(key, len(chosen))
        return lambda start, stop: chosen[order(start, stop)]

    return made


def _mixture(name: str, groups: np.ndarray, shares: Sequence[int], names: Sequence[str]) -> Sampler:
    members, parts = _members(name, groups, shares, names)
    slots = np.repeat(np.arange(len(parts)), parts)  # the group of each place in a block
    ranks = np.concatenate([np.arange(part) for part in parts])  # how many of its group stand before it

    def sampler(key: Key, count: int) -> Order:
        _check_length(name, len(groups), count)
        words = key_words(key)
        arrange = _blocks([*words, 0], len(slots))
        orders = [_permutations([*words, 1 + number], len(each)) for number, each in enumerate(members)]

        def order(start: int, stop: int) -> np.ndarray:
            places, blocks = arrange(start, stop), np.arange(start, stop) // len(slots)
            chosen = slots[places]
            turns = blocks * parts[chosen] + ranks[places]  # how many of its group came before
            indices = np.empty(stop - start, np.int64)
            for number in np.unique(chosen):
                here = chosen == number
                first, last = int(turns[here].min()), int(turns[here].max())
                indices[here] = members[number][orders[number](first, last + 1)[turns[here] - first]]
            return indices

        return order

    return sampler


def _members(
    name: str, groups: np.ndarray, shares: Sequence[int], names: Sequence[str]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the examples of each group, and the shares without a common divisor."""
    parts = np.asarray(shares)
    if parts.ndim != 1 or parts.dtype.kind not in "iu" or (parts < 0).any() or not parts.sum():
        raise ValueError(f"shares: expected whole numbers of 0 or more, not all zero, got {list(shares)}.")
    if groups.ndim != 1 or groups.dtype.kind not in "biu":
        raise ValueError(f"{name}: expected whole numbers [N], got {groups.dtype} {list(groups.shape)}.")
    wrong = groups[(groups < 0) | (groups >= len(parts))]
    if wrong.size:
        raise ValueError(f"{name}: expected numbers from 0 to {len(parts) - 1}, got {wrong[0]}.")
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups, minlength=len(parts)))[:-1])
    empty = [names[number] for number, each in enumerate(members) if parts[number] and not len(each)]
    if empty:
        raise ValueError(
            f"{name}: expected examples of all, got none of {', '.join(empty)}. Leave them out or add some."
        )
    return members, parts.astype(np.int64) // math.gcd(*parts.tolist())


def _check_length(name: str, length: int, count: int) -> None:
    if length != count:
        raise ValueError(f"{name}: expected one for each of {count} examples, got {length}.")
