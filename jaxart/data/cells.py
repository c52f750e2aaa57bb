"""What the cells of a table say: numbers and dates, as people write them, and where there is nothing."""

import datetime
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxart.arrays import check_choice

MISSING_WORDS = ("", "n/a", "na", "nan", "none", "null", "-", "--", "?", "unknown")  # in small letters

_NOTHING = (math.nan, math.nan)
_LONGEST = 60  # characters of a number or a date
_MONEY = (
    r"(?:US\$|HK\$|[AC]\$|[£$€¥₤₽₹ƒ]|livres|francs?|kr\.?|fr\.?|AUD|ATS|BEF|CAD|CHF|CNY|CZK|DEM|DKK|ESP|EUR|FRF|GBP|HKD|HUF|INR|ITL|JPY|NLG"
    r"|NOK|PLN|RUB|SEK|USD)"
)
_MONTHS = {
    name: number
    for line in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    )
    for number, name in enumerate(line.split(), 1)
} | {"sept": 9}


def are_missing(cells: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return whether each cell says nothing: it is empty, or one of "n/a", "na", "nan", "none", "null", "-", "--", "?", "unknown".

    Args:
        cells: text ``[N]``.

    Raises:
        ValueError: no text ``[N]``.

    >>> are_missing(["oil", "", "N/A"]).tolist()
    [False, True, True]
    """
    texts = _texts(cells)
    read = {text: text.strip().lower() in MISSING_WORDS for text in set(texts)}
    return np.array([read[text] for text in texts], bool)


def parse_numbers(cells: Sequence[str] | np.ndarray, *, decimal: str | None = None) -> np.ndarray:
    """Return the numbers of a column: "1,700.0", "1.700,50", "1 700,5", "1'700", "£1,200", "12 500 €", "(300)" for -300, "1e3".

    Whether a comma is decimal or groups digits is decided by the column: by the cells that can be read in one way only, such as "1,5". If
    there are none, the point is decimal, so "1,700" is 1700 and "1.700" is 1.7.

    Args:
        cells: text ``[N]``.
        decimal: "," or ".", which overrules; a cell that cannot be read so is NaN.

    Returns:
        float64 ``[N]``, NaN where there is no number ("45%", words, nothing).

    Raises:
        ValueError: no text ``[N]``, or an unknown `decimal`.

    >>> parse_numbers(["1,700", "£20", "unknown"]), parse_numbers(["1,700", "2,5"])
    (array([1700.,   20.,   nan]), array([1.7, 2.5]))
    """
    point, comma = _readings(cells, _number)
    if decimal is not None:
        return comma if check_choice("decimal", decimal, (".", ",")) == "," else point
    first, second = (comma, point) if _by_comma(point, comma) else (point, comma)
    return np.where(np.isnan(first), second, first)


def decimal_mark(cells: Sequence[str] | np.ndarray) -> str:
    """Return the decimal mark that `parse_numbers` finds in a column, "." or ",": to read other cells of such a column alike.

    Args:
        cells: text ``[N]``.

    Raises:
        ValueError: no text ``[N]``.

    >>> decimal_mark(["1,700", "2,5"]), decimal_mark(["1,700"])
    (',', '.')
    """
    return "," if _by_comma(*_readings(cells, _number)) else "."


def _by_comma(point: np.ndarray, comma: np.ndarray) -> bool:
    """Return whether more cells can be read with a decimal comma alone than with a point alone."""
    return int((np.isnan(point) & ~np.isnan(comma)).sum()) > int((np.isnan(comma) & ~np.isnan(point)).sum())


def number_share(cells: Sequence[str] | np.ndarray) -> float:
    """Return the share of numbers among the cells that say something, see `parse_numbers` and `are_missing`; 0 if none does.

    Args:
        cells: text ``[N]``.

    Raises:
        ValueError: no text ``[N]``.

    >>> number_share(["12", "n/a", "large", "3.5", "4"])
    0.75
    """
    return _share(parse_numbers(cells), cells)


def parse_dates(cells: Sequence[str] | np.ndarray, *, day_first: bool | None = None) -> np.ndarray:
    """Return the dates of a column as decimal years: 1764.0 for "1764", 1764.19 for "1764-03-12".

    Read are years, "1764-03-12", "1764-03", "12.03.1764", "12/03/1764", "March 12, 1764", "12 March 1764" (in English, German and French),
    "c. 1890", "1890s" and "1890-95" (their middle). A year or month stands for its beginning, and "1901-05" for May. Dots say that the
    day comes first; with strokes the column decides, by a number above 12 somewhere.

    Args:
        cells: text ``[N]``.
        day_first: whether "03/04/1900" is in April, which overrules; a cell that cannot be read so is NaN.

    Returns:
        float64 ``[N]``, NaN where there is no date.

    Raises:
        ValueError: no text ``[N]``, or dates of which nothing says whether the day comes first.

    >>> parse_dates(["1764", "c. 1890", "13/03/1764", "undated"]).round(2).tolist()
    [1764.0, 1890.0, 1764.2, nan]
    """
    by_day, by_month = _readings(cells, _date)
    if day_first is not None:
        return by_day if day_first else by_month
    open_ones = np.flatnonzero(~np.isnan(by_day) & ~np.isnan(by_month) & (by_day != by_month))
    days, months = _one_order(by_day, by_month)
    if len(open_ones) and days == months:
        cell = _texts(cells)[open_ones[0]]
        known = "other dates of the column begin with days and with months" if days else "no date of the column says"
        raise ValueError(
            f"dates: expected to know whether the day or the month comes first in {cell!r}, but {known}. Tell day_first=True or False."
        )
    first, second = (by_month, by_day) if months else (by_day, by_month)
    return np.where(np.isnan(first), second, first)


def days_come_first(cells: Sequence[str] | np.ndarray) -> bool | None:
    """Return whether days come before months in the dates of a column, by a number above 12 somewhere; None where nothing says so.

    Args:
        cells: text ``[N]``.

    Raises:
        ValueError: no text ``[N]``.

    >>> days_come_first(["13/03/1764", "01/02/1765"]), days_come_first(["01/02/1765"])
    (True, None)
    """
    days, months = _one_order(*_readings(cells, _date))
    return None if days == months else days


def _one_order(by_day: np.ndarray, by_month: np.ndarray) -> tuple[bool, bool]:
    """Return whether some dates can be read with the day first alone, and with the month first alone."""
    days, months = np.isnan(by_month) & ~np.isnan(by_day), np.isnan(by_day) & ~np.isnan(by_month)
    return bool(days.any()), bool(months.any())


def date_share(cells: Sequence[str] | np.ndarray) -> float:
    """Return the share of dates among the cells that say something, see `parse_dates` and `are_missing`; 0 if none does.

    Args:
        cells: text ``[N]``; whether days or months come first does not matter.

    Raises:
        ValueError: no text ``[N]``.

    >>> date_share(["c. 1890", "1764-03-12", "undated", ""]) > 0.6
    True
    """
    by_day, by_month = _readings(cells, _date)
    return _share(np.where(np.isnan(by_day), by_month, by_day), cells)


def _texts(cells: Sequence[str] | np.ndarray) -> list[str]:
    """Return cells as a list of texts."""
    if isinstance(cells, np.ndarray):
        if cells.ndim != 1 or cells.dtype.kind != "U":
            raise ValueError(f"cells: expected text [N], got {cells.dtype} {list(cells.shape)}.")
        return cells.tolist()
    texts = [cells] if isinstance(cells, str) else list(cells)
    wrong = [type(each).__name__ for each in texts if not isinstance(each, str)]
    if wrong or isinstance(cells, str):
        raise ValueError(f"cells: expected text [N], got {'a single text' if isinstance(cells, str) else wrong[0]}.")
    return texts


def _readings(
    cells: Sequence[str] | np.ndarray, read: Callable[[str], tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ways to read cells, each float64 ``[N]``; equal cells are read once."""
    texts = _texts(cells)
    known = {text: read(text) for text in set(texts)}
    pairs: Any = np.array([known[text] for text in texts], np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _share(values: np.ndarray, cells: Sequence[str] | np.ndarray) -> float:
    filled = int((~are_missing(cells)).sum())
    return float((~np.isnan(values)).sum() / filled) if filled else 0.0


def _written(decimal: str, grouping: str) -> Callable[[str], re.Match | None]:
    """Return the matcher of numbers: a sign, money, digits in groups or not, a power of ten, money; all in parentheses if negative."""
    groups = rf"[1-9][0-9]{{0,2}}(?P<mark>[{grouping} \u00a0\u2009\u202f'’])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*"
    digits = rf"(?:(?:{groups}|[0-9]+)(?:{decimal}[0-9]+)?|{decimal}[0-9]+)"
    signed = rf"(?P<sign>[-+−]\s*)?(?:{_MONEY}\s*)?(?P<inner>[-+−])?(?P<digits>{digits})(?P<power>e[-+]?[0-9]+)?"
    return re.compile(rf"(?P<open>\(\s*)?{signed}(?:\s*{_MONEY})?(?P<close>\s*\))?", re.IGNORECASE).fullmatch


_PLAIN = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)").fullmatch
_POINTS_GROUP = re.compile(r"[-+]?[1-9][0-9]{0,2}\.[0-9]{3}").fullmatch
_POINT, _COMMA = _written(r"\.", ","), _written(",", ".")
_NO_DIGIT = re.compile(r"[^0-9]*").fullmatch


def _number(text: str) -> tuple[float, float]:
    """Return a text as a number with a decimal point and with a decimal comma."""
    text = text.strip()
    if len(text) > _LONGEST:
        return _NOTHING
    if _PLAIN(text):
        value = float(text)
        if "." not in text:
            return value, value
        return value, float(text.replace(".", "")) if _POINTS_GROUP(text) else math.nan
    if _NO_DIGIT(text):
        return _NOTHING
    return _value(_POINT(text), "."), _value(_COMMA(text), ",")


def _value(match: re.Match | None, decimal: str) -> float:
    if match is None:
        return math.nan
    signs = [sign.strip() for sign in (match["sign"], match["inner"]) if sign]
    if bool(match["open"]) != bool(match["close"]) or len(signs) + bool(match["open"]) > 1:
        return math.nan
    whole, _, rest = match["digits"].partition(decimal)
    value = float(f"{re.sub('[^0-9]', '', whole) or 0}.{rest or 0}{match['power'] or ''}")
    negative = match["open"] or signs in (["-"], ["−"])
    return (-value if negative else value) if math.isfinite(value) else math.nan


_ABOUT = re.compile(r"(?:c\.?|ca\.?|circa|about|around|approx\.?|um|vers)\s*(?=[0-9])")
_YEAR = re.compile(r"[0-9]{3,4}(?:\.[0-9]+)?").fullmatch
_DECADE = re.compile(r"([0-9]{2,3}0)'?s").fullmatch
_SPAN = re.compile(r"([0-9]{3,4})(\s*[-–—/]\s*)([0-9]{2,4})").fullmatch
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?:[t ][0-9:.+z-]*)?").fullmatch
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])\s?([0-9]{1,2})\2\s?([0-9]{3,4})").fullmatch
_DAY_MONTH = re.compile(
    r"(?:([0-9]{1,2})(?:st|nd|rd|th|er|\.)?\s+(?:of\s+)?)?([^\W\d_]{3,9})\.?,?\s+([0-9]{3,4})"
).fullmatch
_MONTH_DAY = re.compile(r"([^\W\d_]{3,9})\.?\s+([0-9]{1,2})(?:st|nd|rd|th)?,?\s+([0-9]{3,4})").fullmatch


def _date(text: str) -> tuple[float, float]:
    """Return a text as a decimal year with the day first and with the month first."""
    if len(text) > _LONGEST or _NO_DIGIT(text):
        return _NOTHING
    text = _ABOUT.sub("", text.lower().strip("[]()? "), count=1)
    if match := _YEAR_LAST(text):
        day, mark, month, year = match.groups()
        by_day, by_month = _decimal_year(year, month, day), _decimal_year(year, day, month)
        dotted = by_month if math.isnan(by_day) else by_day
        return (dotted, dotted) if mark == "." else (by_day, by_month)
    value = _one_way(text)
    return value, value


def _one_way(text: str) -> float:
    """Return a date that can be read in one way only."""
    if _YEAR(text):
        return float(text)
    if match := _DECADE(text):
        return float(match[1]) + 5
    if match := _YEAR_FIRST(text):
        return _decimal_year(match[1], match[3], match[4])
    if match := _SPAN(text):
        start, mark, end = match.groups()
        if mark == "-" and len(end) == 2 and 1 <= int(end) <= 12:
            return _decimal_year(start, end, "1")
        last = int(end) if len(end) > 2 else int(start) // 100 * 100 + int(end)
        return (int(start) + last) / 2 if last > int(start) else math.nan
    if match := _DAY_MONTH(text):
        return _decimal_year(match[3], match[2], match[1] or "1")
    if match := _MONTH_DAY(text):
        return _decimal_year(match[3], match[1], match[2])
    return math.nan


def _decimal_year(year: str, month: str, day: str) -> float:
    number = int(month) if month.isdecimal() else _MONTHS.get(month, 0)
    try:
        date = datetime.date(int(year), number, int(day))
    except ValueError:
        return math.nan
    start = datetime.date(date.year, 1, 1)
    days = 366 if date.year % 4 == 0 and (date.year % 100 or date.year % 400 == 0) else 365
    return date.year + (date - start).days / days
