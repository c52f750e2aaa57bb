"""What a valuation answers: prices with ranges, reasons and comparable lots, as values and as columns of a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.metrics import IntervalCoverage, RegressionReport

Records = Mapping[str, Any]  # columns [N] by name, text or numbers

_REASONS = 5  # in a cell
_LONGEST = 80  # characters of a comparable lot's text in a cell
_UNSEEN = dict.fromkeys([*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


class Comparable(NamedTuple):
    """A sold lot that is like the one that is valued.

    Fields:
        row: in the table that the model was trained on.
        price: money.
        date: of the sale, decimal year; NaN where it is not known.
        similarity: in [0, 1]; 1 is equal, NaN where nobody measured it.
        text: a short description.
    """

    row: int
    price: float
    date: float
    similarity: float
    text: str


class Valued(NamedTuple):
    """Valuations of N lots, in the order of their table.

    Fields:
        value: money, float64 ``[N]``; NaN for a lot that cannot be valued.
        levels: L shares of lots whose price a range promises to hold, such as ``(0.8, 0.9)``.
        low: lower ends of ranges, money, ``[N, L]``; 0 where there is none.
        high: upper ends ``[N, L]``; infinite where there is none.
        flags: by lot, what speaks against trusting the value, as short texts.
        reasons: by lot, names and logarithms of factors, the largest first, with a rest so that base and logarithms add up to ln(value).
        base: log price from which reasons begin, one or ``[N]``.
        shares: by lot, how much of the value comes from "text", "table" and "picture"; they add up to 1, and may be missing.
        comparables: by lot, the most similar first.
    """

    value: np.ndarray
    levels: tuple[float, ...]
    low: np.ndarray
    high: np.ndarray
    flags: Sequence[tuple[str, ...]]
    reasons: Sequence[tuple[tuple[str, float], ...]]
    base: np.ndarray | float
    shares: Sequence[Mapping[str, float]]
    comparables: Sequence[tuple[Comparable, ...]]


class Checked(NamedTuple):
    """What was measured on M lots that the model had not seen.

    Fields:
        targets: log prices ``[M]``.
        predictions: log prices ``[M]``.
        low: lower ends of ranges of log prices, ``[M, L]``.
        high: upper ends.
        levels: L, as promised.
        dates: decimal years ``[M]``, NaN where one is not known; None if none is.
        artists: M names, "" where one is not known, or None.
        groups: M names of what coverage is looked at by, such as the technique or the decade, or None.
        report: scores.
        coverage: of each level.
    """

    targets: np.ndarray
    predictions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    levels: tuple[float, ...]
    dates: np.ndarray | None
    artists: Sequence[str] | np.ndarray | None
    groups: Sequence[str] | np.ndarray | None
    report: RegressionReport
    coverage: tuple[IntervalCoverage, ...]


def check_valued(valued: Valued, records: Records) -> int:
    """Return the number of lots; raise unless all parts are of that number."""
    value = np.asarray(valued.value)
    rows, levels = value.size, len(valued.levels)
    ends = [np.shape(valued.low), np.shape(valued.high)]
    if value.ndim != 1 or not rows or any(shape != (rows, levels) for shape in ends):
        raise ValueError(
            f"valued: expected value [N], at least one lot, with low and high [N, {levels}], got {value.shape}, {ends[0]} and {ends[1]}."
        )
    parts = {name: getattr(valued, name) for name in ("flags", "reasons", "shares", "comparables")}
    lengths = {name: len(values) for name, values in {**records, **parts}.items()}
    if wrong := {name: length for name, length in lengths.items() if length != rows}:
        raise ValueError(f"expected {rows} rows, one for each value, got {wrong}.")
    if np.shape(valued.base) not in ((), (rows,)):
        raise ValueError(f"base: expected a log price, or one for each of {rows} lots, got {np.shape(valued.base)}.")
    return rows


def level_text(level: float) -> str:
    """Return a promised share as percent: "80", "97.5"."""
    return f"{round(100 * level, 6):g}"


def price_text(price: float, *, separator: str = "") -> str:
    """Return a price with three significant digits, as plain digits, such as "12300"; "" for NaN."""
    if not math.isfinite(price):
        return "" if math.isnan(price) else "unlimited"
    rounded = float(f"{price:.3g}")
    return f"{rounded:,.0f}".replace(",", separator) if abs(rounded) >= 100 or not rounded % 1 else f"{rounded:g}"


def factor_text(logarithm: float, *, sign: str = "x") -> str:
    """Return the factor of a logarithm with two significant digits, such as "x1.8"."""
    factor = float(f"{math.exp(min(logarithm, 60.0)):.2g}")
    return f"{sign}{factor:.0f}" if factor >= 10 else f"{sign}{factor:#.2g}"


def cut(text: str, longest: int) -> str:
    """Return a text in one line, with an ellipsis if it is cut, without characters that are not seen or turn the direction of writing."""
    line = " ".join(str(text).split()).translate(_UNSEEN)
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def valued_columns(valued: Valued, records: Records) -> dict[str, np.ndarray]:
    """Return a table with its valuations, for `jaxart.data.write_table`.

    Args:
        valued: the valuations.
        records: the table's own columns ``[N]`` by name, which come first, as they are.

    Returns:
        By name, also value, low_80 and high_80 for each level, flags, reasons (five at most) and comparables. A name that is there
        already gets a number, as in value_2. Prices have three significant digits, for none deserves more.

    Raises:
        ValueError: parts that are not of one length.
    """
    check_valued(valued, records)
    columns = {name: np.asarray(values) for name, values in records.items()}
    for name, values in _answers(valued).items():
        columns[_free(name, columns)] = values
    return columns


def _answers(valued: Valued) -> dict[str, np.ndarray]:
    ranges = {}
    for place, level in enumerate(valued.levels):
        for name, ends in (("low", valued.low), ("high", valued.high)):
            ranges[f"{name}_{level_text(level)}"] = _rounded(np.asarray(ends)[:, place])
    reasons = [[f"{cut(name, _LONGEST)} {factor_text(size)}" for name, size in each] for each in valued.reasons]
    return {
        "value": _rounded(valued.value),
        **ranges,
        "flags": _joined(valued.flags),
        "reasons": _joined([each[:_REASONS] for each in reasons]),
        "comparables": _joined([[_sold(lot) for lot in each] for each in valued.comparables]),
    }


def _rounded(prices: np.ndarray) -> np.ndarray:
    return np.array([float(f"{price:.3g}") for price in np.asarray(prices).tolist()], np.float64)


def _joined(texts: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array(["; ".join(each) for each in texts], np.str_)


def _sold(lot: Comparable) -> str:
    year = f" ({year_text(lot.date)})" if math.isfinite(lot.date) else ""
    return f"{price_text(lot.price)}{year} {cut(lot.text, _LONGEST)}".rstrip()


def year_text(date: float) -> str:
    """Return the year of a date; "" for NaN."""
    return str(math.floor(date)) if math.isfinite(date) else ""


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    chosen = name
    while chosen in taken:
        chosen, number = f"{name}_{number}", number + 1
    return chosen
