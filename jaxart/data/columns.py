"""What the columns of a table are: numbers, categories, texts, dates, pictures, or nothing to learn from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.arrays import check_choice
from jaxart.data.cells import are_missing, date_share, number_share, parse_dates, parse_numbers
from jaxart.io import READABLE

COLUMN_KINDS = ("number", "category", "text", "date", "picture", "left out")

_MOSTLY = 0.9  # of the cells that say something: numbers, dates or pictures
_ALL = 0.95  # of them are different: a name
_ENOUGH = 20  # rows, to tell names and counters from categories and numbers


class Column(NamedTuple):
    """What a column of a table is.

    Fields:
        name: of the column.
        kind: one of `COLUMN_KINDS`.
        why: a short phrase for people, such as "numbers in 92 % of the rows" or "one value only".
        distinct: the number of different cells, without those that say nothing.
        missing: the share of cells that say nothing, see `are_missing`.
    """

    name: str
    kind: str
    why: str
    distinct: int
    missing: float


class Duplicates(NamedTuple):
    """How often rows repeat each other.

    Fields:
        rows: all of them.
        equal: rows that equal an earlier one in all columns.
        shared: rows that share their group with another one.
        groups: groups of more than one row.
        one_price: those of them in which all rows have one price.
    """

    rows: int
    equal: int
    shared: int
    groups: int
    one_price: int


def find_columns(
    records: Mapping[str, np.ndarray],
    *,
    target: str,
    date: str | None = None,
    group: Sequence[str] = (),
    after_sale: Sequence[str] = (),
    numbers: Sequence[str] = (),
    categories: Sequence[str] = (),
    texts: Sequence[str] = (),
    pictures: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    most_missing: float = 0.98,
) -> tuple[Column, ...]:
    """Return what each column of a table is: as told, or else by what its cells say.

    Numbers and dates are columns that have them in nine of ten cells that say something; texts have several words and are mostly different;
    the rest are categories. Left out by themselves are columns with one value only, with hardly any value, and with a name or a running
    number of each row.

    Args:
        records: text ``[N]`` by name, as `read_records` returns it.
        target: the column of prices, which is left out as the others are that an estimate must not see.
        date: the column of dates.
        group: columns that say together which rows belong together, such as sale and lot: left out unless they are told to be something.
        after_sale: columns that are known only after the sale: left out.
        numbers, categories, texts, pictures, leave_out: columns that are so, whatever their cells say.
        most_missing: columns that say nothing in this share of the rows are left out.

    Returns:
        One `Column` each, in the order of the table.

    Raises:
        ValueError: no rows; a column that is not there, is told to be two things, or is told to hold numbers or dates and holds none; a
            share outside of 0 to 1.

    >>> table = {"price": np.array(["12", "7", "9"]), "support": np.array(["oil", "oil", ""]), "width": np.array(["30", "41", "12"])}
    >>> [(column.name, column.kind, column.why) for column in find_columns(table, target="price")]
    [('price', 'left out', 'the target'), ('support', 'category', '1 value'), ('width', 'number', 'numbers in 100 % of the rows')]
    """
    _check_records(records)
    if not 0 < most_missing <= 1:
        raise ValueError(f"most_missing: expected more than 0 and at most 1, got {most_missing}.")
    told: dict[str, tuple[str, str]] = {}
    for argument, names, kind, why in (
        ("target", target, "left out", "the target"),
        ("date", date or (), "date", "the date"),
        ("after_sale", after_sale, "left out", "known only after the sale"),
        ("numbers", numbers, "number", "as told"),
        ("categories", categories, "category", "as told"),
        ("texts", texts, "text", "as told"),
        ("pictures", pictures, "picture", "as told"),
        ("leave_out", leave_out, "left out", "as told"),
    ):
        for name in dict.fromkeys(_names(names)):
            check_choice(argument, name, records)
            if name in told:
                raise ValueError(f"{argument}: expected column {name!r} to be told once, got two things that it is.")
            told[name] = kind, why
    for name in _names(group):
        told.setdefault(check_choice("group", name, records), ("left out", "groups rows"))
    return tuple(_column(name, cells, told.get(name), most_missing) for name, cells in records.items())


def group_rows(records: Mapping[str, np.ndarray], group: Sequence[str]) -> np.ndarray:
    """Return the number of each row's group: rows that are equal in some columns are one, numbered as they first appear.

    Args:
        records: text ``[N]`` by name.
        group: names of columns, such as sale and lot. A row that says nothing in all of them is a group of its own; without names, each is.

    Returns:
        int64 ``[N]``.

    Raises:
        ValueError: no rows, or a column that is not there.

    >>> group_rows({"sale": np.array(["L1764", "L1764", ""]), "lot": np.array(["5", "5", ""])}, ["sale", "lot"]).tolist()
    [0, 0, 1]
    """
    count = _check_records(records)
    names = [check_choice("group", name, records) for name in _names(group)]
    if not names:
        return np.arange(count)
    known: dict[Any, int] = {}
    return np.array(
        [known.setdefault(key or row, len(known)) for row, key in enumerate(group_names(records, names))], np.int64
    )


def group_names(records: Mapping[str, np.ndarray], group: Sequence[str]) -> list[str]:
    """Return what groups are known by: what the columns say, joined by tabs; "" for a row that says nothing in all of them.

    Args:
        records: text ``[N]`` by name.
        group: names of columns, at least one.

    Raises:
        ValueError: no rows, or a column that is not there.

    >>> group_names({"sale": np.array(["L1764", "n/a"]), "lot": np.array(["5", ""])}, ["sale", "lot"])
    ['L1764\\t5', '']
    """
    _check_records(records)
    names = [check_choice("group", name, records) for name in _names(group)]
    cells = [np.where(are_missing(records[name]), "", records[name]).tolist() for name in names]
    return ["\t".join(key) if any(key) else "" for key in zip(*cells, strict=True)]


def count_duplicates(records: Mapping[str, np.ndarray], *, target: str, group: Sequence[str] = ()) -> Duplicates:
    """Count rows that repeat others, and groups of rows with one price: parts of a lot, whose prices are no separate observations.

    Args:
        records: text ``[N]`` by name.
        target: the column of prices.
        group: columns that say together which rows belong together, such as sale and lot.

    Returns:
        The counts.

    Raises:
        ValueError: no rows, or a column that is not there.

    >>> table = {"lot": np.array(["5", "5", "6"]), "price": np.array(["6", "6.0", "9"])}
    >>> count_duplicates(table, target="price", group=["lot"])
    Duplicates(rows=3, equal=0, shared=2, groups=1, one_price=1)
    """
    prices = parse_numbers(records[check_choice("target", target, records)]).tolist()
    groups = group_rows(records, group)
    own: dict[int, list[float]] = {}
    for number, price in zip(groups.tolist(), prices, strict=True):
        own.setdefault(number, []).append(price)
    several = [found for found in own.values() if len(found) > 1]
    different = len(set(zip(*(cells.tolist() for cells in records.values()), strict=True)))
    return Duplicates(
        rows=len(prices),
        equal=len(prices) - different,
        shared=sum(map(len, several)),
        groups=len(several),
        one_price=sum(len(set(found)) == 1 and found[0] == found[0] for found in several),  # not NaN
    )


def _names(names: Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_records(records: Mapping[str, np.ndarray]) -> int:
    """Return the number of rows."""
    lengths = {len(cells) for cells in records.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"records: expected columns of one length and rows in them, got lengths {sorted(lengths)}.")
    return lengths.pop()


def _column(name: str, cells: np.ndarray, told: tuple[str, str] | None, most_missing: float) -> Column:
    counts = Counter(cells.tolist())
    gone = are_missing(list(counts))
    filled = {text: count for (text, count), nothing in zip(counts.items(), gone, strict=True) if not nothing}
    missing = 1 - sum(filled.values()) / len(cells)
    if told is None:
        kind, why = _kind_and_why(cells, filled, missing, most_missing)
    else:
        kind, why = told
        _check_told(name, kind, list(filled))
    return Column(name, kind, why, len(filled), missing)


def _check_told(name: str, kind: str, texts: list[str]) -> None:
    share = {"number": number_share, "date": date_share}.get(kind)
    if share is not None and not share(texts):
        known = f", got {', '.join(map(repr, texts[:3]))}" if texts else ", got empty cells"
        raise ValueError(f"column {name!r}: expected {kind}s{known}. Tell another column, or leave it out.")


def _kind_and_why(cells: np.ndarray, filled: dict[str, int], missing: float, most_missing: float) -> tuple[str, str]:
    """Return the kind of a column by what its cells say, and why."""
    if not filled:
        return "left out", "empty in all rows"
    if missing >= most_missing:
        return "left out", f"empty in {_percent(missing)} of the rows"
    if len(filled) == 1 and not missing:
        return "left out", "one value only"
    texts = [cell for cell in cells.tolist() if cell in filled]
    numbers, dates = number_share(texts), date_share(texts)
    if max(numbers, dates) >= _MOSTLY:
        if dates > numbers:
            return "date", f"dates in {_percent(dates * (1 - missing))} of the rows"
        if not missing and _counts_rows(parse_numbers(texts)):
            return "left out", "one value a row: a running number"
        return "number", f"numbers in {_percent(numbers * (1 - missing))} of the rows"
    if sum(count for text, count in filled.items() if text.lower().endswith(READABLE)) >= _MOSTLY * len(texts):
        return "picture", "names of pictures"
    return _words(filled, len(texts))


def _words(filled: dict[str, int], count: int) -> tuple[str, str]:
    """Tell names, texts and categories from each other."""
    different = len(filled) / count
    words = sum(len(text.split()) * times for text, times in filled.items()) / count
    if different >= _ALL and words < 1.05 and count >= _ENOUGH:
        return "left out", "one value a row: a name"
    if (words >= 2 and different >= 0.5 and count >= _ENOUGH) or (words >= 5 and different >= 0.2):
        return "text", f"{len(filled):,} different texts of {words:.1f} words"
    return "category", "1 value" if len(filled) == 1 else f"{len(filled):,} values"


def _counts_rows(values: np.ndarray) -> bool:
    """Tell whether numbers are a running number: whole, all different, one after the other in any order."""
    if len(values) < _ENOUGH or np.isnan(values).any():
        return False
    return bool((np.diff(np.sort(values)) == 1).all())


def _percent(share: float) -> str:
    """Return a share in percent; not 100 or 0 if it is not quite."""
    rounded = round(100 * share)
    return (
        "over 99 %" if rounded == 100 and share < 1 else "under 1 %" if rounded == 0 and share > 0 else f"{rounded} %"
    )


def column_values(cells: np.ndarray, kind: str) -> np.ndarray:
    """Return the numbers or decimal years of a column, NaN where there are none.

    Args:
        cells: text ``[N]``.
        kind: "number" or "date"; a date of which nothing says whether its day comes first is read day first.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: another kind.
    """
    if check_choice("kind", kind, ("number", "date")) == "number":
        return parse_numbers(cells)
    try:
        return parse_dates(cells)
    except ValueError:
        return parse_dates(cells, day_first=True)
