"""Missing numbers by chained equations: each column is a ridge regression on all others, and what is missing is guessed in turns.

Columns are standardized by what is known of them. Frequent categories count as columns of 0 and 1. What is learned is plain lists.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

_ROUNDS = 10
_SETTLED = 1e-3  # deviations: a change below this ends the rounds
_FREQUENT = 0.05  # the share of rows from which on a category tells something of the numbers
_FARTHEST = 1e6  # deviations: a known number beyond counts as this, so that nothing overflows


def fit_chained(numbers: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray], *, ridge: float) -> dict[str, list]:
    """Learn a regression of each column of numbers on all other columns, in rounds: missing cells begin as the mean, then are what the
    regressions of the round before say (van Buuren and Groothuis-Oudshoorn 2011, without the random draws).

    Args:
        numbers: float64 ``[N]`` by column, NaN where missing, each with at least two different values.
        words: text ``[N]`` by column, "" where missing.
        ridge: the penalty on squared weights, of standardized columns and squared errors summed over rows.

    Returns:
        What `apply_chained` needs. Lists follow "names", the columns in the order in which they are guessed: those with the fewest gaps
        first. The weights of a regression are for all names, then for all "levels" (column, category).
    """
    names = sorted(numbers, key=lambda name: int(np.isnan(numbers[name]).sum()))
    levels = [[name, word] for name, values in words.items() for word in _frequent(values)]
    raw = np.stack([numbers[name] for name in names], axis=1)  # [N, D]
    means, deviations = np.nanmean(raw, axis=0), np.nanstd(raw, axis=0)
    scaled = (raw - means) / deviations
    low, high = np.nanmin(scaled, axis=0), np.nanmax(scaled, axis=0)
    learned: dict[str, list] = {
        "names": names,
        "levels": levels,
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "low": (2 * low - high).tolist(),  # guesses stay within the known range and its width on either side
        "high": (2 * high - low).tolist(),
    }
    known, guessed = ~np.isnan(scaled), _with_levels(scaled, levels, words)
    for _ in range(_ROUNDS):
        before = guessed.copy()
        for place in np.flatnonzero(~known.all(axis=0)).tolist():
            weights, intercept = _regression(guessed, known[:, place], place, ridge)
            _guess(guessed, np.flatnonzero(~known[:, place]), place, weights, intercept, learned)
        if np.abs(guessed - before).max() < _SETTLED:
            break
    regressions = [_regression(guessed, known[:, place], place, ridge) for place in range(len(names))]
    return learned | {
        "weights": [weights.tolist() for weights, _ in regressions],
        "intercepts": [intercept for _, intercept in regressions],
    }


def apply_chained(
    learned: Mapping[str, list], numbers: Mapping[str, np.ndarray], words: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the columns that were learned with what is missing guessed; each row by itself, bit for bit.

    Args:
        learned: of `fit_chained`.
        numbers: float64 ``[N]`` by column, NaN where missing.
        words: text ``[N]`` by column, "" where missing.
    """
    means, deviations = np.array(learned["means"]), np.array(learned["deviations"])
    raw = np.stack([numbers[name] for name in learned["names"]], axis=1)  # [N, D]
    scaled = np.clip((raw - means) / deviations, -_FARTHEST, _FARTHEST)
    missing, guessed = np.isnan(raw), _with_levels(scaled, learned["levels"], words)
    weights = np.array(learned["weights"])
    moving = np.flatnonzero(missing.any(axis=1))
    for _ in range(_ROUNDS):
        before = guessed[moving]
        for place, intercept in enumerate(learned["intercepts"]):
            rows = moving[missing[moving, place]]
            _guess(guessed, rows, place, weights[place], intercept, learned)
        moving = moving[np.abs(guessed[moving] - before).max(axis=1, initial=0) >= _SETTLED]  # a row settles by itself
    filled = np.where(missing, means + deviations * guessed[:, : len(means)], raw)
    return {name: filled[:, place] for place, name in enumerate(learned["names"])}


def _frequent(values: np.ndarray) -> list[str]:
    found, counts = np.unique(values[values != ""], return_counts=True)
    return found[(counts >= _FREQUENT * len(values)) & (counts < len(values))].tolist()


def _with_levels(scaled: np.ndarray, levels: list, words: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the columns, 0 (the mean) where missing, and those of the categories: ``[N, D + L]``, row after row in memory."""
    ones = [(words[name] == word)[:, None] for name, word in levels]
    return np.concatenate([np.nan_to_num(scaled), *ones], axis=1, dtype=np.float64)


def _regression(inputs: np.ndarray, known: np.ndarray, place: int, ridge: float) -> tuple[np.ndarray, float]:
    """Return the weights of all inputs, 0 for the column itself, and the intercept, learned where the column is known."""
    rows: Any = inputs[known]
    means = rows.mean(axis=0)
    products = rows.T @ rows - len(rows) * np.outer(means, means)
    target = products[place].copy()
    products[place], products[:, place], target[place] = 0, 0, 0
    weights = np.linalg.lstsq(products + ridge * np.eye(len(means)), target, rcond=None)[0]
    weights[place] = 0
    return weights, float(means[place] - means @ weights)


def _guess(
    guessed: np.ndarray,
    rows: np.ndarray,
    place: int,
    weights: np.ndarray,
    intercept: float,
    learned: Mapping[str, list],
) -> None:
    """Write what a regression says into a column, for some rows. A matrix product would round one row otherwise than many."""
    values = (guessed[rows] * weights).sum(axis=1) + intercept
    guessed[rows, place] = np.clip(values, learned["low"][place], learned["high"][place])
