"""Scores of nearest neighbors among features ``[N, D]``: is a generator faithful, diverse, and does it copy?

Distances come from matrix products, in float64, some rows at a time: the work is N^2 D, the memory ``chunk`` times N.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxart.arrays import Key
from jaxart.metrics.estimate import Samples, check_together, generator

_RANKED = 50  # neighbors remembered per fake: one of either kind is among them but for less than 1 in 2000 at 60 000 to 10 000


class PrecisionRecall(NamedTuple):
    """Four shares: of fakes that look real, of reals that could be faked; fakes per real ball, and real balls that hold a fake."""

    precision: float
    recall: float
    density: float
    coverage: float


class Originality(NamedTuple):
    """``ratio [M]`` of distances to the nearest training and held-out example; `close`, a share, and `p_value`: see `originality`."""

    ratio: np.ndarray
    close: float
    p_value: float


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return ``|x_i - y_j|^2 [N, M]``, exactly zero where it is below the precision of float32 features."""
    scale = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1)[None]
    squared = scale - 2 * (x @ y.T)
    return np.where(squared > 1e-13 * scale, squared, 0.0)


def _chunks(count: int, chunk: int) -> Iterator[slice]:
    if chunk < 1:
        raise ValueError(f"expected a chunk of at least one row, got {chunk}.")
    return (slice(start, start + chunk) for start in range(0, count, chunk))


def _squared_radii(features: np.ndarray, neighbors: int, chunk: int) -> np.ndarray:
    """Return the squared distance of each example to its k-th neighbor, itself not counted.

    A billionth wider, so that a copy of that neighbor lies inside in whatever order its distance was summed.
    """
    rows = [
        np.partition(_squared_distances(features[each], features), neighbors, axis=1)[:, neighbors]
        for each in _chunks(len(features), chunk)
    ]
    return np.concatenate(rows) * (1 + 1e-9)


def precision_recall(real: Samples, fake: Samples, *, neighbors: int = 5, chunk: int = 512) -> PrecisionRecall:
    """Return precision, recall, density and coverage, from balls around examples that reach to their k-th neighbor.

    Precision is the share of fakes in at least one ball of a real; recall the share of reals in at least one ball of a fake; density
    the number of real balls that a fake is in, over k, on average (may pass 1); coverage the share of real balls that hold a fake.
    For two sets from one distribution density is 1 and coverage ``1 - 1/2^k`` in the mean. Compare at equal numbers of examples.

    Args:
        real: features ``[N, D]``, N > neighbors.
        fake: features ``[M, D]`` of the same network, M > neighbors.
        neighbors: k.
        chunk: rows of distances worked on at once.

    Returns:
        `PrecisionRecall`.

    Raises:
        ValueError: not more examples than neighbors, features of other shapes or not finite.

    Reference: Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019, eq. 1-2 (closed balls);
    Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020, sec. 3.
    """
    if neighbors < 1:
        raise ValueError(f"expected at least one neighbor, got {neighbors}.")
    real, fake = check_together({"real": real, "fake": fake}, least=neighbors + 1)
    real_radii, fake_radii = (_squared_radii(each, neighbors, chunk) for each in (real, fake))
    faithful = dense = 0
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in _chunks(len(fake), chunk):
        squared = _squared_distances(fake[rows], real)
        inside = squared <= real_radii[None]
        faithful += inside.any(axis=1).sum()
        dense += inside.sum()
        covered |= inside.any(axis=0)
        recalled |= (squared <= fake_radii[rows, None]).any(axis=0)
    shares = (faithful / len(fake), recalled.mean(), dense / (neighbors * len(fake)), covered.mean())
    return PrecisionRecall(*map(float, shares))


def originality(
    key: Key, fake: Samples, train: Samples, held_out: Samples, *, permutations: int = 999, chunk: int = 512
) -> Originality:
    """Ask whether fakes lie nearer to the training examples than to others like them: whether the generator copies.

    `ratio` below one means nearer to a training example (with more training than held-out examples this is so by chance, too); a lower
    tail far below one is copying. `close` is the share of fakes whose nearest training example is as near as in the nearest 1 % of
    the held-out examples: about 0.01 if fakes are like new examples. `p_value` is of the hypothesis that the generator does not know
    which of the examples it was trained on: how often, when the names "training" and "held out" are randomly reassigned, the fakes lean
    to the "training" ones as much as they do. They lean by the mean of ``(t - h) / (t + h)``, t and h their distances to the nearest
    of either. The test is exact for any number of examples and any generator: a poor or uniform one is not accused.

    Args:
        key: typed key, draws the permutations.
        fake: features ``[M, D]``.
        train: features ``[N, D]`` of everything the generator was trained on.
        held_out: features ``[H, D]`` of examples set aside at random; 100 or more for `close` to mean something.
        permutations: the smallest p-value is ``1 / (permutations + 1)``.
        chunk: rows of distances worked on at once.

    Returns:
        `Originality`; a ratio is 1 where both distances are zero, inf where only the held-out one is.

    Raises:
        ValueError: no examples, fewer than 19 permutations, features of other shapes or not finite.

    Reference: Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, 2020 (fakes, training and held-out
    examples). Departure: that test ranks distances to the training set, of fakes against held-out examples, and so calls a generator
    that keeps to the dense regions a copier; permuting the names tests the copying alone.
    """
    if permutations < 19:
        raise ValueError(f"expected at least 19 permutations, for a p-value of 0.05, got {permutations}.")
    fake, train, held_out = check_together({"fake": fake, "train": train, "held_out": held_out})
    distances, order = _ranked(fake, np.concatenate([train, held_out]), chunk)
    trained = np.arange(len(train) + len(held_out)) < len(train)
    draw = generator(key)
    leaning = _leaning(distances, trained[order])
    chance = [_leaning(distances, draw.permutation(trained)[order]) for _ in range(permutations)]
    to_train = _nearest(fake, train, chunk)
    threshold = np.quantile(_nearest(held_out, train, chunk), 0.01)
    return Originality(
        _ratio(to_train, _nearest(fake, held_out, chunk)),
        float(np.mean(to_train <= threshold)),
        float((1 + np.sum(np.array(chance) <= leaning)) / (1 + permutations)),
    )


def _nearest(queries: np.ndarray, examples: np.ndarray, chunk: int) -> np.ndarray:
    """Return the distance of each query to the nearest example."""
    rows = (_squared_distances(queries[each], examples).min(axis=1) for each in _chunks(len(queries), chunk))
    return np.sqrt(np.concatenate(list(rows)))


def _ranked(queries: np.ndarray, examples: np.ndarray, chunk: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices of the nearest examples of each query, the nearest first, ``[M, K]``."""
    distances, order = [], []
    for each in _chunks(len(queries), chunk):
        squared = _squared_distances(queries[each], examples)
        some = np.argpartition(squared, min(_RANKED, len(examples)) - 1, axis=1)[:, :_RANKED]
        near = np.take_along_axis(squared, some, axis=1)
        sort = np.argsort(near, axis=1, kind="stable")
        distances.append(np.sqrt(np.take_along_axis(near, sort, axis=1)))
        order.append(np.take_along_axis(some, sort, axis=1))
    return np.concatenate(distances), np.concatenate(order)


def _leaning(distances: np.ndarray, trained: np.ndarray) -> float:
    """Return the mean of ``(t - h) / (t + h)`` over fakes, of their ranked neighbors' distances and names ``[M, K]``.

    The nearest neighbor is of one kind; the first of the other kind has the other distance (that of the last, if all are of one kind).
    """
    other = trained != trained[:, :1]
    column = np.where(other.any(axis=1), other.argmax(axis=1), -1)[:, None]
    near, far = distances[:, 0], np.take_along_axis(distances, column, axis=1)[:, 0]
    gap = np.divide(far - near, far + near, out=np.zeros_like(far), where=far > 0)
    return float(np.mean(np.where(trained[:, 0], -gap, gap)))


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    equal = np.where(over > 0, np.inf, 1.0)
    return np.divide(over, under, out=equal, where=under > 0)
