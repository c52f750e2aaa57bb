"""What all scores share: checked features, random numbers from a key, and an estimate with its standard error."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.arrays import Key, PyTree

Samples = jax.Array | np.ndarray  # features [N, D] or labels [N], one row per example


class Estimate(NamedTuple):
    """A score and the standard error that the choice of examples gives it; ``low`` and ``high`` are its 95 % interval."""

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        """Return ``value - 1.96 standard_error``."""
        return self.value - 1.96 * self.standard_error

    @property
    def high(self) -> float:
        """Return ``value + 1.96 standard_error``."""
        return self.value + 1.96 * self.standard_error


class FewExamplesWarning(UserWarning):
    """A score of so few examples that its bias is large."""


def check_features(name: str, features: Any, *, least: int = 1) -> np.ndarray:
    """Return features as float64 ``[N, D]``; raise if they cannot be that.

    Args:
        name: what the features are called in the message.
        features: one row per example.
        least: the number of examples needed.

    Raises:
        ValueError: another rank, too few examples, or values that are not finite.
    """
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{name}: expected features [N, D], one row per example, got shape {array.shape}. Average or flatten others."
        )
    if len(array) < least:
        raise ValueError(f"{name}: expected at least {least} examples, got {len(array)}.")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}: {len(bad)} of {len(array)} examples hold values that are not finite, the first is number {bad[0]}."
        )
    return array


def check_column(name: str, values: Any) -> np.ndarray:
    """Return numbers as float64 ``[N]``; raise if they cannot be that.

    Args:
        name: what they are called in the message.
        values: one per example.

    Raises:
        ValueError: another rank, no examples, or values that are not finite.
    """
    if np.ndim(values) != 1:
        raise ValueError(f"{name}: expected numbers [N], got shape {np.shape(values)}.")
    return check_features(name, np.asarray(values)[:, None])[:, 0]


def check_together(features: Mapping[str, Any], *, least: int = 1) -> list[np.ndarray]:
    """Return several named sets of features as float64, in order, if they all have the same length D.

    Args:
        features: from a name for messages to features ``[N, D]``.
        least: the number of examples that each set needs.

    Raises:
        ValueError: as `check_features`, or lengths that differ.
    """
    arrays = [check_features(name, each, least=least) for name, each in features.items()]
    if len({array.shape[1] for array in arrays}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(features, arrays, strict=True))
        raise ValueError(f"expected features of one network, all of the same length D, got {shapes}.")
    return arrays


def rows_by_value(values: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the rows that have each different value, in the order of values.

    >>> [rows.tolist() for rows in rows_by_value(np.array([7, 5, 7]))]
    [[1], [0, 2]]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.split(np.argsort(place, kind="stable"), np.cumsum(counts)[:-1])


def generator(key: Key) -> np.random.Generator:
    """Return NumPy's generator seeded by a key; the same key draws the same numbers."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def jackknife(key: Key, score: Callable[..., PyTree], *samples: PyTree, resamples: int = 100) -> PyTree:
    """Score samples, with standard errors from halves drawn at random: the delete-half jackknife.

    A half drawn without replacement differs from its whole as the whole differs from the population, so the standard deviation over
    halves is the standard error. The bootstrap draws with replacement instead: the examples it repeats are neighbors at distance zero,
    which breaks every score of neighbors. A Frechet distance is larger on halves, its bias being of order 1/N: the halves' spread
    is used and never their level. So the interval is about the score expected at this N, bias included; compare at equal N. It is
    too wide, by up to 1.7 times, where the score is a distance and the distributions are nearly equal.

    Args:
        key: typed key.
        score: ``score(*samples)`` returns a number, or a tree of numbers such as `PrecisionRecall`.
        samples: independent sets of examples, ``[N, ...]``; a tuple of arrays (features and labels) is halved together.
        resamples: number of halves; the standard error itself is known to ``1 / sqrt(2 resamples)``.

    Returns:
        `Estimate`, or the tree with an `Estimate` for each number.

    Raises:
        ValueError: fewer than 4 examples or 2 resamples.

    Example:
        >>> share = jackknife(jax.random.key(0), np.mean, np.arange(400) % 4 == 0)
        >>> float(share.value), round(share.standard_error, 2)
        (0.25, 0.02)

    Reference: Shao and Wu, A General Theory for Jackknife Variance Estimation, 1989, with d = N / 2.
    """
    sizes = [len(jax.tree.leaves(sample)[0]) for sample in samples]
    if min(sizes) < 4 or resamples < 2:
        raise ValueError(f"jackknife: expected at least 4 examples and 2 resamples, got {sizes} and {resamples}.")
    whole, draw = score(*samples), generator(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewExamplesWarning)  # said of the whole, if it holds there
        halves = [score(*(_half(draw, *each) for each in zip(samples, sizes, strict=True))) for _ in range(resamples)]
    return jax.tree.map(lambda value, *others: Estimate(float(value), float(np.std(others, ddof=1))), whole, *halves)


def _half(draw: np.random.Generator, sample: PyTree, size: int) -> PyTree:
    rows = draw.choice(size, size // 2, replace=False, shuffle=False)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], sample)
