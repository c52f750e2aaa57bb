"""Missing values of tables: found, learned from the training part alone, filled in any rows.

A table is a dict of columns ``[N]``: numbers with NaN where one is missing, categories as text with "" where one is missing. What was
learned is plain values, lists and dicts, so that it can be kept as JSON beside what was trained with it:
``Filling(*json.loads(json.dumps(filling)))`` equals the filling.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.arrays import Key, check_choice, key_words
from jaxart.data.chained import apply_chained, fit_chained
from jaxart.data.interpolation import interpolate, known_points

FILLING_METHODS = ("drop", "mean", "median", "frequent", "own", "interpolate", "regress")
CATEGORIES = ("frequent", "own")
_OWN = "missing"  # the category of what is missing
_MOST_DROPPED = 0.5  # the share from which on "drop" gives up a column rather than rows
_LARGEST = 1e100  # numbers beyond have squares that overflow


class Filling(NamedTuple):
    """What `fit_filling` learned of a training part.

    Fields:
        method: one of FILLING_METHODS.
        columns: the columns that stay, in order.
        values: of each of them what stands for a missing value where the method knows nothing better: a number, or a category as text.
        shares: of all columns, those that leave too, the share of training rows in which they are missing.
        date, group: columns along and within which "interpolate" works.
        points: of "interpolate", by column and group the known [dates, values]; those of all rows under "".
        regressions: of "regress", see `fit_chained` in chained.py; empty where no column of numbers varies.
    """

    method: str
    columns: list[str]
    values: dict[str, float | str]
    shares: dict[str, float]
    date: str | None = None
    group: str | None = None
    points: dict[str, dict[str, list[list[float]]]] = {}  # noqa: RUF012  never written to
    regressions: dict[str, list] = {}  # noqa: RUF012

    @property
    def empty(self) -> list[str]:
        """The columns of which the training part knew no value; where they stay, they are filled with 0 or "missing"."""
        return [name for name, share in self.shares.items() if share == 1]

    @property
    def dropped(self) -> list[str]:
        """The columns that leave because too much of them is missing."""
        return [name for name in self.shares if name not in self.columns]


def missing_flags(
    columns: Mapping[str, Sequence | np.ndarray], *, names: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Tell which values of a table are missing: bool ``[N]`` by column, which a model may be given as inputs of their own.

    Args:
        columns: a table, see above.
        names: the columns to answer for; one that the table lacks is missing in all rows. By default those of the table.

    Raises:
        ValueError: not a table, see `fit_filling`.

    >>> missing_flags({"width": [40.5, float("nan")], "artist": ["", "Klee"]})
    {'width': array([False,  True]), 'artist': array([ True, False])}
    """
    table = _checked(columns)
    flags = {name: _missing(values) for name, values in table.items()}
    absent = np.ones(_count(table), bool)
    return {name: flags.get(name, absent) for name in (flags if names is None else names)}


def fit_filling(
    columns: Mapping[str, Sequence | np.ndarray],
    method: str,
    *,
    rows: Sequence[int] | np.ndarray | None = None,
    categories: str | None = None,
    max_missing: float | None = None,
    date: str | None = None,
    group: str | None = None,
    ridge: float = 1.0,
) -> Filling:
    """Learn from the training part how to fill what is missing.

    Numbers are filled with the mean ("mean", and where "regress" begins), the most frequent value ("frequent", the least of equals) or the
    median (all others); "interpolate" and "regress" know better where they can:

    - interpolate: linear along the date between the known values of the row's group, beyond them the nearest. Of a group without any,
      between those of all rows. A row without a date has the median.
    - regress: each column of numbers on all others and on frequent categories, a ridge regression, guessed in up to 10 rounds.
    - drop: rows with gaps leave the training part, see `kept_rows`. A new row that must be answered all the same has the median.

    A column of which nothing is known is 0 or "missing" (`Filling.empty`).

    Args:
        columns: a table, see above.
        method: one of FILLING_METHODS.
        rows: ``[M]``, those of the training part, such as one part of a split; the others are only checked. By default all.
        categories: what a missing category becomes: the most "frequent" one (the first in the alphabet of equals) or one of its "own",
            called "missing". By default "own" for the method of that name and else "frequent".
        max_missing: a column that is missing in a larger share of the training rows leaves, whatever the method; date and group
            stay. By default 0.5 for "drop" and else 1, so that none leaves.
        date: of "interpolate", a column of numbers such as the year.
        group: of "interpolate", a column of categories such as the artist. By default all rows are one group.
        ridge: of "regress", the penalty on squared weights, above 0, as if that many rows spoke for weights of 0.

    Raises:
        ValueError: no table or no rows, another method, numbers that are infinite or beyond 1e100, text among numbers, dates or groups that
            are no such column or that the method has no use for, or nothing that stays.

    >>> filling = fit_filling({"width": [40.0, 60.0, float("nan")], "artist": ["Klee", "Klee", ""]}, "mean")
    >>> apply_filling(filling, {"width": [float("nan")], "artist": [""]})
    {'width': array([50.]), 'artist': array(['Klee'], dtype='<U4')}
    """
    check_choice("method", method, FILLING_METHODS)
    by_method = "own" if method == "own" else "frequent"
    wanted = by_method if categories is None else check_choice("categories", categories, CATEGORIES)
    by_default = _MOST_DROPPED if method == "drop" else 1.0
    most = by_default if max_missing is None else _checked_share("max_missing", max_missing)
    if not 0 < ridge < np.inf:
        raise ValueError(f"ridge: expected a number above 0, got {ridge}.")
    table = _training_part(_checked(columns), rows)
    _check_dates(method, table, date, group)
    shares = {name: float(_missing(values).mean()) for name, values in table.items()}
    stay = {name: values for name, values in table.items() if shares[name] <= most or name in (date, group)}
    if not stay or (method == "drop" and not _complete(stay).any()):
        raise ValueError(
            f"columns: expected {'rows without a gap' if stay else f'a column missing in at most {most:g} of the rows'}, got none of "
            f"{_count(table)} rows. Take another max_missing or another method than {method!r}."
        )
    values = {name: _stand_in(column, method, wanted) for name, column in stay.items()}
    filling = Filling(method, list(stay), values, shares, date, group)
    numbers, words = _by_kind(stay)
    if method == "interpolate":
        others = {name: column for name, column in numbers.items() if name != date}
        return filling._replace(points=known_points(others, *_along(filling, stay)))
    varying = {name: column for name, column in numbers.items() if _varies(column)}
    if method == "regress" and varying:
        return filling._replace(regressions=fit_chained(varying, words, ridge=ridge))
    return filling


def apply_filling(filling: Filling, columns: Mapping[str, Sequence | np.ndarray]) -> dict[str, np.ndarray]:
    """Fill what is missing, in as many rows as came: each row by itself, so that one alone gets what it gets among others.

    Args:
        filling: of `fit_filling`.
        columns: a table. A column that it lacks counts as missing in all rows.

    Returns:
        The columns that stay: float64 and text, without NaN and "". Known values are as they were.

    Raises:
        ValueError: a column that was not in the training part, text where numbers were or numbers where text was, or what `fit_filling`
            refuses.
    """
    table = _like_training(filling, columns)
    numbers, words = _by_kind(table)
    better: dict[str, np.ndarray] = {}
    if filling.method == "interpolate":
        dates, groups = _along(filling, table)
        better = {name: interpolate(points, dates, groups) for name, points in filling.points.items()}
    elif filling.regressions:
        better = apply_chained(filling.regressions, numbers, words)
    return {name: _filled(values, better.get(name), filling.values[name]) for name, values in table.items()}


def kept_rows(filling: Filling, columns: Mapping[str, Sequence | np.ndarray]) -> np.ndarray:
    """Return which rows to train on: of "drop" those without a gap in the columns that stay, else all.

    Args:
        filling: of `fit_filling`.
        columns: a table.

    Returns:
        Indices, ascending. Targets have to be taken with them.

    Raises:
        ValueError: see `apply_filling`.
    """
    table = _like_training(filling, columns)
    return np.flatnonzero(_complete(table)) if filling.method == "drop" else np.arange(_count(table))


def delete_at_random(key: Key, columns: Mapping[str, Sequence | np.ndarray], share: float) -> dict[str, np.ndarray]:
    """Take known values of a table away at random, to find out how much it costs.

    Args:
        key: typed key. What is drawn for a column depends on its name, not on its place.
        columns: a table, see above.
        share: of the known values of all columns together, rounded to a whole number of them.

    Raises:
        ValueError: not a table, see `fit_filling`, or a share outside [0, 1].

    >>> import jax
    >>> delete_at_random(jax.random.key(0), {"year": [1901, 1905], "artist": ["Klee", "Macke"]}, 0.25)["artist"]
    array(['Klee', ''], dtype='<U5')
    """
    table, words = _checked(columns), key_words(key)
    drawn = np.stack(
        [np.random.PCG64([*words, *b"delete", *name.encode()]).random_raw(len(table[name])) for name in table]
    )
    known = np.stack([~_missing(values) for values in table.values()])  # [C, N]
    places = np.flatnonzero(known)
    chosen = places[np.argsort(drawn.reshape(-1)[places], kind="stable")]
    gone = np.zeros(known.size, bool)
    gone[chosen[: round(_checked_share("share", share) * len(chosen))]] = True
    return {
        name: np.where(gone.reshape(known.shape)[place], _nothing(values), values)
        for place, (name, values) in enumerate(table.items())
    }


def _checked(columns: Mapping[str, Sequence | np.ndarray]) -> dict[str, np.ndarray]:
    """Return a table as float64 and text; raise if it cannot be that."""
    table = {name: _checked_column(name, values) for name, values in columns.items()}
    if len({len(values) for values in table.values()}) != 1:
        raise ValueError(
            f"columns: expected at least one, all as long, got { ({n: len(v) for n, v in table.items()}) }."
        )
    return table


def _checked_column(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise ValueError(
            f"column {name!r}: expected numbers or text [N], got {array.dtype} {list(array.shape)}. Numbers have NaN where one is missing "
            'and text has ""; dates are numbers, such as the year.'
        )
    if array.dtype.kind == "U":
        return array
    array = array.astype(np.float64)
    wrong = np.flatnonzero(np.abs(array) > _LARGEST)
    if len(wrong):
        raise ValueError(
            f"column {name!r}: expected numbers up to {_LARGEST:g} in size and NaN where one is missing, got {array[wrong[0]]:g} in row "
            f"{wrong[0]}. Correct it, or make it NaN."
        )
    return array


def _checked_share(name: str, share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"{name}: expected a share from 0 to 1, got {share}.")
    return share


def _training_part(table: dict[str, np.ndarray], rows: Sequence[int] | np.ndarray | None) -> dict[str, np.ndarray]:
    count = _count(table)
    chosen = np.arange(count) if rows is None else np.asarray(rows)
    whole = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
    if not whole or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(
            f"rows: expected whole numbers [M] from 0 to {count - 1}, got {chosen.dtype} {list(chosen.shape)}"
            f"{f' from {chosen.min()} to {chosen.max()}' if whole else ''}."
        )
    return {name: values[chosen] for name, values in table.items()}


def _check_dates(method: str, table: dict[str, np.ndarray], date: str | None, group: str | None) -> None:
    """Raise if "interpolate" has no date, if these are no such columns, or if another method is given them."""
    if (date is None) == (method == "interpolate") or (group is not None and date is None):
        raise ValueError(
            f"date: expected a column of numbers for the method 'interpolate' and for that one only, got method {method!r}, date {date!r} "
            f"and group {group!r}."
        )
    numbers, words = _by_kind(table)
    for name, column, choices in (("date", date, numbers), ("group", group, words)):
        if column is not None:
            check_choice(f"{name} (a column of {'numbers' if choices is numbers else 'text'})", column, choices)


def _like_training(filling: Filling, columns: Mapping[str, Sequence | np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns that stay, in order and of the types that were learned; one that is lacking, or that has no value, is missing."""
    table = _checked(columns)
    for name in table:
        check_choice("column", name, filling.shares)
    absent = np.full(_count(table), np.nan)
    return {name: _of_kind(name, table.get(name, absent), filling.values[name]) for name in filling.columns}


def _of_kind(name: str, values: np.ndarray, learned: float | str) -> np.ndarray:
    text, missing = isinstance(learned, str), _missing(values)
    if (values.dtype.kind == "U") == text:
        return values
    if not missing.all():
        expected, nothing = ("text", '""') if text else ("numbers", "NaN")
        raise ValueError(
            f"column {name!r}: expected {expected} as in the training part, got {values[~missing][0].item()!r}. Where one is missing "
            f"there is {nothing}."
        )
    return np.full(len(values), "" if text else np.nan)


def _by_kind(table: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the columns of numbers and those of text."""
    words = {name: values for name, values in table.items() if values.dtype.kind == "U"}
    return {name: values for name, values in table.items() if name not in words}, words


def _along(filling: Filling, table: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the dates and the groups, if there are any."""
    return table[str(filling.date)], None if filling.group is None else table[filling.group]


def _count(table: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(table.values())))


def _nothing(values: np.ndarray) -> Any:
    return "" if values.dtype.kind == "U" else np.nan


def _missing(values: np.ndarray) -> Any:
    return values == "" if values.dtype.kind == "U" else np.isnan(values)


def _complete(table: Mapping[str, np.ndarray]) -> Any:
    return ~np.any([_missing(values) for values in table.values()], axis=0)


def _varies(values: np.ndarray) -> bool:
    """Tell whether a column of numbers has two different values that standardizing can tell apart."""
    known: Any = values[~np.isnan(values)]
    return len(known) > 1 and known.min() < known.max() and known.std() > 0


def _most_frequent(known: np.ndarray) -> Any:
    found, counts = np.unique(known, return_counts=True)
    return found[counts.argmax()]


_CENTERS: dict[str, Callable[[np.ndarray], Any]] = {"mean": np.mean, "regress": np.mean, "frequent": _most_frequent}


def _stand_in(values: np.ndarray, method: str, categories: str) -> float | str:
    known = values[~_missing(values)]
    if values.dtype.kind != "U":
        return float(_CENTERS.get(method, np.median)(known)) if len(known) else 0.0
    return str(_most_frequent(known)) if len(known) and categories == "frequent" else _OWN


def _filled(values: np.ndarray, better: np.ndarray | None, value: float | str) -> np.ndarray:
    guess = value if better is None else np.where(np.isfinite(better), better, value)
    return np.where(_missing(values), guess, values)
