"""Search by a random forest: it guesses the score of settings that were not tried, and says how far its trees disagree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxart.arrays import Key, key_words
from jaxart.training.space import Point, Space, coordinates, random_points

_CANDIDATES = 1000  # points among which the next one is chosen
_TREES = 100


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return by how much normal variables exceed the best, on average: ``(m - b) Phi(z) + s phi(z)``, z = (m - b) / s.

    Args:
        mean: m ``[P]``.
        deviation: s ``[P]``, at least 0.
        best: b.

    Reference: Jones, Schonlau and Welch, Efficient Global Optimization of Expensive Black-Box Functions, 1998, eq. 15.
    """
    from scipy.special import ndtr

    gain, safe = mean - best, np.where(deviation > 0, deviation, 1.0)
    z = gain / safe
    expected = gain * ndtr(z) + safe * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(deviation > 0, expected, np.maximum(gain, 0.0))


def forest_point(key: Key, space: Space, points: Sequence[Mapping[str, Any]], scores: Sequence[float]) -> Point:
    """Return the point of which a random forest expects the largest improvement, among 1000 random ones.

    Needs the package scikit-learn (``pip install 'jaxart[tune]'``).

    Args:
        key: typed key.
        space: as in `check_space`.
        points: that were tried, at least one.
        scores: theirs, higher is better.

    Reference: Hutter, Hoos and Leyton-Brown, Sequential Model-Based Optimization for General Algorithm Configuration, 2011, section 4.
    Departures: no local search, and the deviation is that of the trees' means alone, without the variance inside of leaves.
    """
    from sklearn.ensemble import RandomForestRegressor  # pyright: ignore[reportMissingImports]

    seed = key_words(key)[-1] % 2**32
    forest = RandomForestRegressor(_TREES, min_samples_split=3, max_features=5 / 6, random_state=seed, n_jobs=1)
    forest.fit(coordinates(space, points), np.asarray(scores, np.float64))
    candidates = random_points(key, space, _CANDIDATES)
    places = coordinates(space, candidates).astype(np.float32)  # what the trees compare
    guesses = np.stack([tree.predict(places) for tree in forest.estimators_])  # [trees, candidates]
    expected = expected_improvement(guesses.mean(axis=0), guesses.std(axis=0), max(scores))
    return candidates[int(np.argmax(expected))]
