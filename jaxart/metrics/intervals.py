"""Intervals of numbers, such as log prices, that hold as often as promised: conformal prediction for regression.

What a network predicts, `predicted`, depends on the method; of targets t a row's score is how far t lies outside:

- "absolute": means m ``[N]``; score ``|t - m|``, interval ``m +- q``.
- "normalized": means and spreads, a pair of ``[N]``; score ``|t - m| / max(s, floor)``, interval ``m +- q max(s, floor)``, where the floor
  is the 5th percentile of the spreads of calibration.
- "quantile": lower and upper quantiles l and h, a pair of ``[N]``, or of ``[N, L]`` with those of each level; score ``max(l - t, t - h)``,
  interval ``[l - q, h + q]``.
- "asymmetric": the same with a threshold for each side, each of which is left by half of what may be missed.

A threshold q is the ``ceil((n + 1) level)``-th smallest of n scores. The one assumption, but for `adaptive_intervals`: rows of calibration
and new ones are exchangeable, and none of them was trained on. Prices of later years are not; the promise is about the mean over both.

Intervals of several levels are nested: a wider one is joined with the narrower ones, which can only cover more. Ends that cross are both
moved to their middle.

Reference: Lei et al., Distribution-Free Predictive Inference for Regression, 2018, sections 2.2 and 5.2; Romano, Patterson and Candès,
Conformalized Quantile Regression, 2019, algorithm 1 and theorem 2.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxart.arrays import check_choice
from jaxart.metrics.conformal import check_level, class_thresholds, conformal_threshold, threshold_rank
from jaxart.metrics.estimate import Samples, check_column, check_features, rows_by_value
from jaxart.metrics.label import check_labels

Method = Literal["absolute", "normalized", "quantile", "asymmetric"]
METHODS = ("absolute", "normalized", "quantile", "asymmetric")
Predicted = Samples | tuple[Samples, Samples]
_MOST_CATEGORIES = 10**6
_ENTRIES = 2**22  # of the largest array that cross_intervals makes


class Bounds(NamedTuple):
    """The ends of intervals, ``[N, L]`` with a column for each level."""

    low: np.ndarray
    high: np.ndarray


class IntervalCalibration(NamedTuple):
    """What turns predictions into intervals: a threshold for each side and level, of all rows and of each category.

    Fields:
        method: one of ``METHODS``.
        levels: L shares to be covered, rising.
        below: C + 1 rows of L thresholds of the lower end: the first is that of all rows, row c + 1 that of category c.
        above: the same of the upper end.
        floor: the least spread; 0 unless the method is "normalized".
        rows: C + 1 numbers of rows that the thresholds were found with.
    """

    method: str
    levels: tuple[float, ...]
    below: tuple[tuple[float, ...], ...]
    above: tuple[tuple[float, ...], ...]
    floor: float
    rows: tuple[int, ...]


class AdaptiveIntervals(NamedTuple):
    """The intervals of rows as they were given in time, and what the next step in time begins with.

    Fields:
        low: ``[N, L]``.
        high: ``[N, L]``.
        misses: ``[T + 1, L]``, a_t, the share that each step was set to miss; the last is the next step's.
        calibration: of the next step, for `apply_intervals`.
    """

    low: np.ndarray
    high: np.ndarray
    misses: np.ndarray
    calibration: IntervalCalibration


class _Guess(NamedTuple):
    """What all methods come to: an interval from low to high, moved by thresholds times scale; ``[N, L]`` or ``[N, 1]``."""

    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray


def _check_levels(levels: Sequence[float] | float) -> tuple[float, ...]:
    rising = tuple(float(level) for level in np.atleast_1d(np.asarray(levels, np.float64)).tolist())
    if not rising or any(after <= before for before, after in itertools.pairwise(rising)):
        raise ValueError(f"levels: expected rising shares, such as (0.8, 0.9), got {levels}.")
    for level in rising:
        check_level(level)
    return rising


def _pair(method: str, predicted: Any) -> tuple[Any, Any]:
    if not isinstance(predicted, (tuple, list)) or len(predicted) != 2:
        names = "(means, spreads)" if method == "normalized" else "(lower quantiles, upper quantiles)"
        raise ValueError(
            f"predicted: expected a pair {names} for the method {method!r}, got {type(predicted).__name__}."
        )
    return predicted[0], predicted[1]


def _check_spreads(spreads: Any) -> np.ndarray:
    checked = check_column("spreads", spreads)
    if checked.min() < 0:
        raise ValueError(
            f"spreads: expected numbers of 0 or more, got {checked.min():g}. Take exp of their logarithms."
        )
    return checked


def _floor(method: str, predicted: Any) -> float:
    """Return the 5th percentile of the spreads of calibration, 0 where a method has none."""
    if method != "normalized":
        return 0.0
    floor = float(np.quantile(_check_spreads(_pair(method, predicted)[1]), 0.05))
    if floor <= 0:
        raise ValueError('spreads: expected more than 95 % above 0, got fewer. Use the method "absolute".')
    return floor


def _guess(method: str, predicted: Any, levels: int, floor: float) -> _Guess:
    """Check what was predicted and bring it into one form."""
    if method == "absolute":
        means = check_column("predicted", predicted)[:, None]
        return _Guess(means, means, np.ones_like(means))
    first, second = _pair(method, predicted)
    if np.shape(first) != np.shape(second):
        raise ValueError(f"predicted: expected a pair of one shape, got {np.shape(first)} and {np.shape(second)}.")
    if method == "normalized":
        means = check_column("means", first)[:, None]
        return _Guess(means, means, np.maximum(_check_spreads(second), floor)[:, None])
    low, high = (_check_quantiles(name, each, levels) for name, each in (("lower", first), ("upper", second)))
    return _Guess(low, high, np.ones((len(low), 1)))


def _check_quantiles(name: str, values: Any, levels: int) -> np.ndarray:
    if np.ndim(values) == 1:
        return check_column(name, values)[:, None]
    array = check_features(name, values)
    if array.shape[1] != levels:
        raise ValueError(
            f"{name}: expected quantiles [N] or, with those of each level, [N, {levels}], got {array.shape}."
        )
    return array


def _scores(method: str, targets: Samples, guess: _Guess) -> list[np.ndarray]:
    """Return scores ``[N, L]`` or ``[N, 1]``: one array for both sides, or one for each."""
    truth = check_column("targets", targets)[:, None]
    if len(truth) != len(guess.low):
        raise ValueError(f"expected one target per row that is predicted, got {len(truth)} for {len(guess.low)}.")
    below, above = (guess.low - truth) / guess.scale, (truth - guess.high) / guess.scale
    return [below, above] if method == "asymmetric" else [np.maximum(below, above)]


def _side_level(method: str, level: float) -> float:
    """Return the level of one side's threshold."""
    return (1 + level) / 2 if method == "asymmetric" else level


def _bounds(guess: _Guess, below: np.ndarray, above: np.ndarray) -> Bounds:
    """Return nested intervals for thresholds ``[N, L]`` or ``[L]``."""
    low, high = guess.low - below * guess.scale, guess.high + above * guess.scale
    crossed = low > high  # only of finite ends
    middle = (np.where(crossed, low, 0) + np.where(crossed, high, 0)) / 2
    low, high = np.where(crossed, middle, low), np.where(crossed, middle, high)
    return Bounds(np.minimum.accumulate(low, axis=1), np.maximum.accumulate(high, axis=1))


def calibrate_intervals(
    targets: Samples,
    predicted: Predicted,
    levels: Sequence[float] | float,
    *,
    method: Method = "absolute",
    categories: Samples | None = None,
    least: int = 100,
) -> IntervalCalibration:
    """Find the thresholds with which intervals hold a new target as often as promised: split conformal prediction.

    A new exchangeable target is in its interval with a probability from the level to ``level + 1 / (n + 1)``, the latter if no scores are
    equal and no end is moved, and in each category that has thresholds of its own. With spreads the floor is taken from the same rows,
    which changes this by the order of 1/n.

    Args:
        targets: of rows that were not trained on, ``[n]``.
        predicted: for these rows, in the form that the method has: ``[n]`` or a pair.
        levels: rising shares in (0, 1), such as (0.8, 0.9), or one.
        method: one of ``METHODS``.
        categories: integers ``[n]``, numbered from 0 on, such as of techniques, each of which gets thresholds of its own; None for none.
        least: rows that a category needs for them, else it gets those of all rows, as where its own were infinite.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, other levels, an unknown method, spreads below 0 or mostly 0.

    >>> calibration = calibrate_intervals(np.arange(9.0), np.zeros(9), (0.5, 0.9))
    >>> calibration.above
    ((4.0, 8.0),)

    Reference: Vovk, Conditional Validity of Inductive Conformal Predictors, 2012, section 3 (Mondrian, for categories).
    """
    shares, floor = _check_levels(levels), _floor(check_choice("method", method, METHODS), predicted)
    scores = _scores(method, targets, _guess(method, predicted, len(shares), floor))
    kinds, count = _check_categories(categories, len(scores[0]))
    found = []
    for side in scores:
        columns = np.broadcast_to(side, (len(side), len(shares))).T
        pairs = [(column, _side_level(method, level)) for column, level in zip(columns, shares, strict=True)]
        table = np.array([[conformal_threshold(column, level)] for column, level in pairs])
        if count:
            own = [class_thresholds(column, kinds, count, level, least=least) for column, level in pairs]
            table = np.concatenate([table, np.array(own)], axis=1)
        found.append(table.T)
    rows = (len(scores[0]), *(np.bincount(kinds, minlength=count).tolist() if count else ()))
    return IntervalCalibration(method, shares, _plain(found[0]), _plain(found[-1]), floor, rows)


def _plain(table: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in table.tolist())


def _check_categories(categories: Any, rows: int) -> tuple[np.ndarray, int]:
    """Return the category of each row and how many there are, 0 for none."""
    if categories is None:
        return np.zeros(rows, np.int64), 0
    kinds = check_labels(categories, _MOST_CATEGORIES)
    if len(kinds) != rows:
        raise ValueError(f"categories: expected one per row, got {len(kinds)} for {rows}.")
    return kinds, int(kinds.max()) + 1


def apply_intervals(
    calibration: IntervalCalibration, predicted: Predicted, *, categories: Samples | None = None
) -> Bounds:
    """Return the intervals of what was predicted, nested: that of a higher level holds those of lower ones.

    Args:
        calibration: by `calibrate_intervals`, or the one that `adaptive_intervals` ends with.
        predicted: ``[N]`` or a pair, in the form that the thresholds were found with.
        categories: integers ``[N]``; needed where there are thresholds of categories, and only there. One that calibration did not have,
            and -1, gets those of all rows.

    Returns:
        `Bounds` ``[N, L]``; infinite where calibration had too few rows for the level.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, categories where there are none, or none where there are.

    >>> calibration = calibrate_intervals(np.arange(9.0), np.zeros(9), (0.5, 0.9))
    >>> apply_intervals(calibration, np.array([10.0])).low.tolist()
    [[6.0, 2.0]]
    """
    guess = _guess(calibration.method, predicted, len(calibration.levels), calibration.floor)
    below, above, known = np.array(calibration.below), np.array(calibration.above), len(calibration.below) - 1
    if (categories is not None) != (known > 0):
        raise ValueError(
            f"categories: the thresholds are of {known} categories, so expected {'one per row' if known else 'none'}, got "
            f"{'none' if categories is None else 'some'}."
        )
    place = np.zeros(len(guess.low), np.int64)
    if categories is not None:
        kinds = np.asarray(categories)
        if kinds.shape != place.shape or not np.issubdtype(kinds.dtype, np.integer):
            raise ValueError(f"categories: expected integers [{len(place)}], got {kinds.dtype} of shape {kinds.shape}.")
        place = np.where((kinds >= 0) & (kinds < known), kinds + 1, 0)
    return _bounds(guess, below[place], above[place])


def interval_record(calibration: IntervalCalibration) -> dict[str, Any]:
    """Return a calibration as what JSON can hold; an infinite threshold becomes None.

    >>> interval_record(calibrate_intervals(np.arange(3.0), np.zeros(3), (0.5, 0.9)))["above"]
    [[1.0, None]]
    """
    sides = {
        name: [[value if math.isfinite(value) else None for value in row] for row in table]
        for name, table in (("below", calibration.below), ("above", calibration.above))
    }
    return {**calibration._asdict(), "levels": list(calibration.levels), "rows": list(calibration.rows), **sides}


def read_intervals(record: Mapping[str, Any]) -> IntervalCalibration:
    """Return the calibration that `interval_record` wrote.

    Raises:
        ValueError: other fields, an unknown method, or numbers that cannot be its.
    """
    if set(record) != set(IntervalCalibration._fields):
        raise ValueError(
            f"expected the fields {', '.join(IntervalCalibration._fields)}, got {', '.join(map(str, record))}."
        )
    try:
        return _read(**record)
    except TypeError as error:
        raise ValueError(f"expected what interval_record returns, got values of other types: {error}.") from error


def _read(method: str, levels: Any, below: Any, above: Any, floor: float, rows: Any) -> IntervalCalibration:
    shares, counts = _check_levels(levels), tuple(rows)
    tables = [_read_table(*each, (len(counts), len(shares))) for each in (("below", below), ("above", above))]
    needed = check_choice("method", method, METHODS) == "normalized"
    if not all(type(count) is int and count >= 0 for count in counts) or not (
        0 < floor < math.inf if needed else floor == 0
    ):
        raise ValueError(
            f"expected numbers of rows, and a floor above 0 if normalized, else 0, got {counts} and {floor}."
        )
    return IntervalCalibration(method, shares, tables[0], tables[1], float(floor), counts)


def _read_table(name: str, table: Any, shape: tuple[int, int]) -> tuple[tuple[float, ...], ...]:
    values = np.array([[math.inf if value is None else value for value in row] for row in table])
    if values.shape != shape or not np.issubdtype(values.dtype, np.number) or not (values > -math.inf).all():
        raise ValueError(
            f"{name}: expected {shape[0]} rows of {shape[1]} thresholds, got {values.dtype} {values.shape}."
        )
    return _plain(values.astype(np.float64))


def adaptive_intervals(
    targets: Samples,
    predicted: Predicted,
    steps: Samples,
    levels: Sequence[float] | float,
    *,
    known: tuple[Samples, Predicted],
    method: Method = "absolute",
    rate: float = 0.02,
    window: int | None = None,
) -> AdaptiveIntervals:
    """Go through time and give each row an interval from what was known before, so that over many steps a promise holds under drift too.

    The thresholds of step t are those of level ``1 - a_t``; then ``a_(t+1) = a_t + rate (1 - level - m_t)``, with m_t the mean of the
    step's rows that were missed. Whatever happens, the mean of m over T steps is within ``(1 + rate) / (T rate)`` of what was promised,
    but for this: where a_t reaches 1 the interval is that of the smallest score, not empty.

    Args:
        targets: ``[N]``, in any order.
        predicted: ``[N]`` or a pair, in the form that the method has.
        steps: integers or dates ``[N]``; rows of one step are decided together.
        levels: rising shares in (0, 1), or one.
        known: targets and predictions of rows before the first step, of which the first thresholds are made.
        method: one of ``METHODS``.
        rate: how fast to follow, in (0, 1); larger ones follow faster and make widths jump more.
        window: the number of latest scores that thresholds are made of, those of `known` at first; None for those of `known` forever.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, other levels, an unknown method, another rate or window.

    >>> found = adaptive_intervals(np.array([9.0, 0.0]), np.zeros(2), np.array([1, 2]), 0.5, known=(np.arange(5.0), np.zeros(5)), rate=0.2)
    >>> found.misses.round(2).tolist(), found.high.tolist()
    ([[0.5], [0.4], [0.5]], [[2.0], [3.0]])

    Reference: Gibbs and Candès, Adaptive Conformal Inference Under Distribution Shift, 2021, eq. 2 and proposition 4.1.
    """
    shares, floor = _check_levels(levels), _floor(check_choice("method", method, METHODS), known[1])
    if not 0 < rate < 1 or (window is not None and window < 1):
        raise ValueError(f"expected a rate in (0, 1) and a window of at least one row, got {rate} and {window}.")
    pool = _scores(method, known[0], _guess(method, known[1], len(shares), floor))
    guess = _guess(method, predicted, len(shares), floor)
    scores, truth = _scores(method, targets, guess), np.asarray(targets, np.float64)[:, None]
    if np.shape(steps) != (len(truth),):
        raise ValueError(f"steps: expected one per row [{len(truth)}], got shape {np.shape(steps)}.")
    low, high = np.empty((2, len(truth), len(shares)))
    misses = [1 - np.array(shares)]
    for rows in rows_by_value(np.asarray(steps)):
        pool = [side if window is None else side[-window:] for side in pool]
        ends = _bounds(_Guess(*(each[rows] for each in guess)), *_at(method, pool, misses[-1]))
        missed = (truth[rows] < ends.low) | (truth[rows] > ends.high)
        low[rows], high[rows] = ends
        misses.append(misses[-1] + rate * (1 - np.array(shares) - missed.mean(axis=0)))
        if window is not None:
            pool = [np.concatenate([side, new[rows]]) for side, new in zip(pool, scores, strict=True)]
    pool = [side if window is None else side[-window:] for side in pool]
    below, above = (_plain(side[None]) for side in _at(method, pool, misses[-1]))
    last = IntervalCalibration(method, shares, below, above, floor, (len(pool[0]),))
    return AdaptiveIntervals(low, high, np.array(misses), last)


def _at(method: str, pool: list[np.ndarray], misses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thresholds ``[L]`` of both sides for shares to be missed that may leave (0, 1)."""
    levels = [_side_level(method, 1 - float(miss)) for miss in misses]
    sides = []
    for side in pool:
        columns = np.broadcast_to(side, (len(side), len(levels))).T
        sides.append(np.array([_threshold(*each) for each in zip(columns, levels, strict=True)]))
    return sides[0], sides[-1]


def _threshold(scores: np.ndarray, level: float) -> float:
    return math.inf if level >= 1 else conformal_threshold(scores, max(level, 1 / (len(scores) + 1)))


def cross_intervals(
    targets: Samples,
    predicted: Predicted,
    folds: Samples,
    new: Predicted,
    levels: Sequence[float] | float,
    *,
    method: Literal["absolute", "normalized"] = "absolute",
) -> Bounds:
    """Return intervals from networks that were each trained without one fold, for few rows: all of them calibrate (CV+).

    With the score r_i of row i by the network that did not see it, and m_i and s_i what that network predicts for the new row, the upper
    end is the ``ceil((n + 1) level)``-th smallest of ``m_i + r_i s_i`` over all i, the lower end likewise from above. A new
    exchangeable target is in it with a probability of at least ``1 - 2 (1 - level)``, but for the order of ``1 / sqrt(n)``, and in
    practice of about the level.

    Args:
        targets: ``[n]``.
        predicted: of each row by the network that was trained without its fold, ``[n]``, or a pair of means and spreads.
        folds: integers ``[n]`` in [0, K); what belongs together, such as the prints of one plate, in one fold.
        new: of M new rows by each network ``[K, M]``, or a pair.
        levels: rising shares in (0, 1), or one.
        method: "absolute" or "normalized".

    Returns:
        `Bounds` ``[M, L]``.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, other levels, an unknown method.

    >>> cross_intervals(np.arange(9.0), np.zeros(9), np.arange(9) % 3, np.array([[1.0], [2.0], [3.0]]), 0.8).high.tolist()
    [[9.0]]

    Reference: Barber et al., Predictive Inference with the Jackknife+, 2021, section 3.
    """
    shares, floor = _check_levels(levels), _floor(check_choice("method", method, METHODS[:2]), predicted)
    scores = _scores(method, targets, _guess(method, predicted, 1, floor))[0]
    parts = (new, None) if method == "absolute" else _pair(method, new)
    means = check_features("new", parts[0])
    scales = np.ones_like(means) if parts[1] is None else np.maximum(check_features("new spreads", parts[1]), floor)
    own = check_labels(folds, len(means))
    if len(own) != len(scores) or scales.shape != means.shape:
        raise ValueError(
            f"cross_intervals: expected one fold per row and new means and spreads of one shape, got {len(own)} for {len(scores)}, "
            f"{means.shape} and {scales.shape}."
        )
    size = max(1, _ENTRIES // len(scores))
    parts = [slice(start, start + size) for start in range(0, means.shape[1], size)]
    ends = [_cross(means[own, part], scores * scales[own, part], shares) for part in parts]
    return Bounds(*(np.concatenate(side) for side in zip(*ends, strict=True)))


def _cross(means: np.ndarray, reach: np.ndarray, levels: tuple[float, ...]) -> Bounds:
    """Return the ends for means and scaled scores ``[n, M]``."""
    count = len(means)
    lows, highs = -np.sort(reach - means, axis=0), np.sort(means + reach, axis=0)  # the lows fall
    low, high = np.full((means.shape[1], len(levels)), -np.inf), np.full((means.shape[1], len(levels)), np.inf)
    for column, level in enumerate(levels):
        rank = threshold_rank(count, level)
        if rank <= count:
            low[:, column], high[:, column] = lows[max(rank, 1) - 1], highs[max(rank, 1) - 1]
    zero = np.zeros(len(levels))
    return _bounds(_Guess(low, high, np.ones((len(low), 1))), zero, zero)
