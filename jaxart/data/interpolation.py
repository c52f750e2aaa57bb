"""Missing numbers along a date: linear between the known values of a group."""

from collections.abc import Mapping
from typing import Any

import numpy as np

ALL = ""  # the group of all rows: a group has a name


def known_points(
    numbers: Mapping[str, np.ndarray], dates: np.ndarray, groups: np.ndarray | None
) -> dict[str, dict[str, list[list[float]]]]:
    """Return by column and group what is known: [dates, values], ascending, of equal dates the mean of the values.

    Args:
        numbers: float64 ``[N]`` by column, NaN where missing.
        dates: float64 ``[N]``, NaN where missing.
        groups: text ``[N]``, "" where missing; none where all rows are one group. The points of all rows are under "" in either case.
    """
    parts = ({} if groups is None else _rows_by(groups)) | {ALL: np.arange(len(dates))}
    found = {
        name: {group: _points(dates[rows], values[rows]) for group, rows in parts.items()}
        for name, values in numbers.items()
    }
    return {name: {group: points for group, points in of.items() if points[0]} for name, of in found.items()}


def interpolate(points: Mapping[str, list[list[float]]], dates: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return a column ``[N]`` at dates: between the points of the row's group, of a group without any between those of all rows, beyond the
    ends the nearest; NaN where there is no date or no point.

    Args:
        points: by group, of `known_points`.
        dates: float64 ``[N]``, NaN where missing.
        groups: text ``[N]``, or none.
    """
    result = _between(points[ALL], dates) if ALL in points else np.full(len(dates), np.nan)
    for group, rows in ({} if groups is None else _rows_by(groups)).items():
        if group in points:
            result[rows] = _between(points[group], dates[rows])
    return result


def _between(points: list[list[float]], dates: np.ndarray) -> Any:
    known, values = points
    return np.where(
        np.isnan(dates), np.nan, np.interp(dates, known, values)
    )  # of one point interp says it without a date too


def _rows_by(words: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of each word."""
    found, counts = np.unique(words, return_counts=True)
    parts = np.split(np.argsort(words, kind="stable"), np.cumsum(counts)[:-1])
    return dict(zip(found.tolist(), parts, strict=False))  # of no words there is one empty part


def _points(dates: np.ndarray, values: np.ndarray) -> list[list[float]]:
    known = ~(np.isnan(dates) | np.isnan(values))
    found, places = np.unique(dates[known], return_inverse=True)
    return [found.tolist(), (np.bincount(places, values[known]) / np.bincount(places)).tolist()]
