"""How often intervals hold their target and how wide they are, in all and by category, with the shares that chance allows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.metrics.conformal import check_level, coverage_band
from jaxart.metrics.estimate import Samples, check_column, rows_by_value


class IntervalCoverage(NamedTuple):
    """The share of intervals that hold the target, their widths, the 95 % band of shares that a promise kept gives by chance, and the
    number of independent rows that the band is for."""

    share: float
    mean_width: float
    median_width: float
    low: float
    high: float
    effective: int


class CategoryCoverage(NamedTuple):
    """Of one category: its name, number of rows, share of intervals that hold, median width, and the 95 % band of shares by chance."""

    name: str
    count: int
    share: float
    width: float
    low: float
    high: float


def effective_rows(groups: Samples | Sequence[Any], *, correlation: float = 1.0) -> float:
    """Return how many independent rows tell as much as rows that come in groups: ``n / (1 + (sum m^2 / n - 1) r)``, m the sizes of groups.

    At a correlation r of 1 within groups this is ``n^2 / sum m^2``: the number of groups where these are of one size, fewer else.

    Args:
        groups: which group each row belongs to, such as the lot or the artist: numbers or names ``[n]``.
        correlation: of what is measured, within groups, in [0, 1]; 1 is the careful one.

    Raises:
        ValueError: another rank, no rows, another correlation.

    >>> effective_rows(np.array([7, 7, 8, 8])), effective_rows(np.array([7, 7, 8, 8]), correlation=0.0)
    (2.0, 4.0)

    Reference: Kish, Survey Sampling, 1965, sections 5.4 and 8.2 (the effect of the design).
    """
    if np.ndim(groups) != 1 or not len(groups) or not 0 <= correlation <= 1:
        raise ValueError(
            f"effective_rows: expected groups [n], at least one row, and a correlation in [0, 1], got shape {np.shape(groups)} and "
            f"{correlation}."
        )
    sizes = np.unique(np.asarray(groups), return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() / (1 + (np.sum(sizes**2) / sizes.sum() - 1) * correlation))


def _check_bounds(low: Samples, high: Samples, targets: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return which intervals hold their target, and how wide they are."""
    truth = check_column("targets", targets)
    ends = [np.asarray(each, np.float64) for each in (low, high)]
    if any(each.shape != truth.shape for each in ends) or not (ends[0] <= ends[1]).all():
        raise ValueError(
            f"expected low and high [{len(truth)}], low at most high, got shapes {ends[0].shape} and {ends[1].shape}. Of several levels "
            "take one column."
        )
    held = (ends[0] <= truth) & (truth <= ends[1])
    return held, np.where(ends[0] < ends[1], ends[1], 0) - np.where(ends[0] < ends[1], ends[0], 0)


def interval_coverage(
    low: Samples,
    high: Samples,
    targets: Samples,
    level: float,
    *,
    calibration: int | None = None,
    groups: Samples | Sequence[Any] | None = None,
    correlation: float = 1.0,
) -> IntervalCoverage:
    """Return how often intervals hold the target, how wide they are, and between which shares the former would lie by chance.

    The band is that of `coverage`, of as many rows as `effective_rows` counts where rows come in groups.

    Args:
        low: ``[N]``, of one level.
        high: ``[N]``.
        targets: ``[N]``.
        level: promised, in (0, 1).
        calibration: rows that thresholds were found with; where these come in groups, give their effective number. Without it the
            probability is taken to be `level`.
        groups: which group each row belongs to ``[N]``, such as the lot; rows of one group are not independent. None if all are.
        correlation: within groups, of whether an interval holds.

    Raises:
        ValueError: shapes that do not fit, low above high, NaN, targets that are not finite, another level or correlation.

    >>> interval_coverage(np.zeros(4), np.full(4, 2.0), np.array([1.0, 1.0, 1.0, 3.0]), 0.8).share
    0.75
    """
    check_level(level)
    held, width = _check_bounds(low, high, targets)
    effective = _effective(groups, len(held), correlation)
    band = _checked_band(effective, level, calibration)
    return IntervalCoverage(float(held.mean()), float(width.mean()), float(np.median(width)), *band, effective)


def _effective(groups: Any, rows: int, correlation: float) -> int:
    if groups is None:
        return rows
    if len(groups) != rows:
        raise ValueError(f"groups: expected one per row, got {len(groups)} for {rows}.")
    return max(1, round(effective_rows(groups, correlation=correlation)))


def _checked_band(count: int, level: float, calibration: int | None) -> tuple[float, float]:
    if calibration is not None and calibration < 1:
        raise ValueError(f"calibration: expected at least one row, got {calibration}.")
    return coverage_band(count, level, calibration)


def coverage_by_category(
    low: Samples,
    high: Samples,
    targets: Samples,
    names: Samples | Sequence[Any],
    level: float,
    *,
    calibration: int | None = None,
    groups: Samples | Sequence[Any] | None = None,
    correlation: float = 1.0,
) -> tuple[CategoryCoverage, ...]:
    """Return a table of how often intervals hold in each category, in the order of their names.

    Of many categories one in twenty is outside of its band by chance. Without thresholds of its own nothing is promised to a category.

    Args:
        low: ``[N]``, of one level.
        high: ``[N]``.
        targets: ``[N]``.
        names: of the category of each row, or its number, ``[N]``.
        The others: as in `interval_coverage`.

    Raises:
        ValueError: as `interval_coverage`; not one name per row.

    >>> coverage_by_category(np.zeros(3), np.ones(3), np.array([0.5, 2.0, 0.5]), ["oil", "oil", "print"], 0.8)[0][:4]
    ('oil', 2, 0.5, 1.0)
    """
    check_level(level)
    held, width = _check_bounds(low, high, targets)
    if np.shape(names) != held.shape or (groups is not None and len(groups) != len(held)):
        raise ValueError(f"expected one name and one group per row, got {np.shape(names)} for {len(held)}.")
    together = None if groups is None else np.asarray(groups)
    return tuple(
        CategoryCoverage(
            str(np.asarray(names)[rows[0]]),
            len(rows),
            float(held[rows].mean()),
            float(np.median(width[rows])),
            *_checked_band(
                _effective(None if together is None else together[rows], len(rows), correlation), level, calibration
            ),
        )
        for rows in rows_by_value(np.asarray(names))
    )
