"""What appraisers learn from: a table of lots, what its columns are, which lots have a price, and which are kept back."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxart import data as shelf
from jaxart.arrays import check_choice
from jaxart.runs.lot_pictures import LotPictures, read_lot_pictures
from jaxart.runs.options import AppraiserOptions

PRICE, PICTURE, PICTURED, _CELLS = "log price", "picture", "pictured", "cell "
_SOLD_TOGETHER = re.compile(r"sale|auction|lot|vente|auktion", re.IGNORECASE).fullmatch
_ARTIST = re.compile(r"artist|author|painter|maker|k(ü|ue)nstler|auteur|peintre", re.IGNORECASE).search
_FEWEST = 20  # lots
_SHOWN = 3
_MOST_FAILURES = 10  # pictures that are named


def appraiser_table(
    options: AppraiserOptions, path: str | Path
) -> tuple[dict[str, np.ndarray], tuple[shelf.Column, ...], np.ndarray]:
    """Read a table of lots: (text ``[N]`` by name, what the columns are, prices ``[N]`` with NaN where there is none above 0).

    Args:
        options: of the run.
        path: as `data.read_records` takes it.

    Raises:
        ValueError: no table, or columns that are not there.
    """
    records = shelf.read_records(path, delimiter=options.delimiter, encoding=options.encoding)
    check_choice("target", options.target, records)
    columns = columns_of(options, records)
    prices = shelf.parse_numbers(records[options.target])
    return records, columns, np.where(prices > 0, prices, np.nan)


def columns_of(options: AppraiserOptions, records: Mapping[str, np.ndarray]) -> tuple[shelf.Column, ...]:
    """Return what the columns of a table are.

    Args:
        options: of the run, which overrule what is found.
        records: text ``[N]`` by name.

    Raises:
        ValueError: a column that is not there, or is told to be two things.
    """
    return shelf.find_columns(
        records,
        target=options.target,
        date=options.date,
        group=options.group,
        after_sale=options.after_sale,
        numbers=options.number,
        categories=options.category,
        texts=options.text,
        pictures=options.picture_column,
        leave_out=options.leave_out,
    )


def load(options: AppraiserOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the lots that have a price; what stands in the way of honest values is warned of.

    Args:
        options: of the run.
        source: there is one.
        path: of the table.

    Raises:
        ValueError: no table, columns that are not there, too few lots with a price, or prices that are all equal.
    """
    del source
    check_options(options)
    records, columns, prices = appraiser_table(options, path)
    sold = np.isfinite(prices)
    _check_prices(options, records, prices)
    if options.missing == "drop":
        sold &= _without_gaps(records, columns)
    rows = np.flatnonzero(sold)
    kept = {name: cells[rows] for name, cells in records.items()}
    _warn(options, kept, columns, np.log(prices[rows]))
    made = {f"{_CELLS}{name}": cells for name, cells in kept.items()} | {PRICE: np.log(prices[rows])}
    pictures = read_pictures(options, columns, kept, path.parent)
    failures = _left_out(options, records, prices, sold)
    if pictures is None:
        return shelf.Dataset(made, failures=failures)
    made |= {PICTURE: pictures.features, PICTURED: pictures.pictured}
    return shelf.Dataset(made, failures=(*failures, *_shortened(pictures.failures)))


def read_pictures(
    options: AppraiserOptions, columns: Sequence[shelf.Column], records: Mapping[str, np.ndarray], folder: Path
) -> LotPictures | None:
    """Return what is seen of the pictures of a table; None where it has no column of them.

    Args:
        options: of the run.
        columns: what the columns are; the first that is of pictures counts.
        records: text ``[N]`` by name.
        folder: of the table.
    """
    names = [each.name for each in columns if each.kind == "picture" and each.name in records]
    if not names:
        return None
    return read_lot_pictures(folder, records[names[0]], features=options.features, weights=options.weights)


def _shortened(failures: Sequence[str]) -> tuple[str, ...]:
    """Return the first reasons, and how many there are more."""
    more = len(failures) - _MOST_FAILURES
    return (*failures[:_MOST_FAILURES], *([f"{more} more pictures"] if more > 0 else []))


def records_of(dataset: shelf.Dataset) -> dict[str, np.ndarray]:
    """Return the table of a dataset, text ``[N]`` by name.

    Args:
        dataset: from `load`.
    """
    return {name.removeprefix(_CELLS): cells for name, cells in dataset.columns.items() if name.startswith(_CELLS)}


def dates_of(options: AppraiserOptions, records: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return decimal years, NaN where there is no date.

    Args:
        options: of the run.
        records: text ``[N]`` by name.
    """
    count = len(next(iter(records.values())))
    cells = records.get(options.date or "", np.full(count, ""))
    return shelf.column_values(cells, "date")


def artist_column(options: AppraiserOptions, columns: tuple[shelf.Column, ...]) -> str | None:
    """Return the column of artists: the one that was told, or the category with the most values among those whose names say so.

    Args:
        options: of the run.
        columns: of its table.
    """
    if options.artist is not None:
        return check_choice("artist", options.artist, [each.name for each in columns])
    named = [each for each in columns if each.kind == "category" and _ARTIST(each.name)]
    return max(named, key=lambda each: each.distinct).name if named else None


def parts(options: AppraiserOptions, dataset: shelf.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return which lots the networks that are checked learn from, and which are kept back for the test: none without one.

    Args:
        options: of the run.
        dataset: from `load`.

    Raises:
        ValueError: lots that cannot be divided so.
    """
    if not options.test:
        return np.arange(dataset.count), np.arange(0)
    shares, records = (1 - options.test, options.test), records_of(dataset)
    if split_of(options) == "time":
        dates = dates_of(options, records)
        known = dates[np.isfinite(dates)]
        if len(np.unique(known)) > 1:
            train, test = shelf.split_by_time(np.where(np.isfinite(dates), dates, known.min()), shares)
            return train, test
        raise ValueError(
            f"date: expected sales of two dates or more in column {options.date!r}, got {len(np.unique(known))}; split by group instead."
        )
    train, test = shelf.split_by_group(jax.random.key(options.seed), shelf.group_rows(records, options.group), shares)
    return train, test


def split_of(options: AppraiserOptions) -> str:
    """Return how the test is kept back: by time where there is a date.

    Args:
        options: of the run.
    """
    return options.split or ("group" if options.date is None else "time")


def check_options(options: AppraiserOptions) -> None:
    """Refuse options that exclude each other, before anything is read.

    Args:
        options: of the run.

    Raises:
        ValueError: such options.
    """
    if not 0 <= options.test < 1:
        raise ValueError(f"test: expected a share in [0, 1), got {options.test}.")
    if options.split == "time" and options.date is None:
        raise ValueError("split: time needs the column of dates (date).")
    if options.missing == "interpolate" and options.date is None:
        raise ValueError("missing: interpolate goes along the date; tell its column (date), or take another way.")
    if options.members < 2:
        raise ValueError(f"members: expected at least 2, each kept from a fold of its own, got {options.members}.")
    if not 0 < options.learning_rate < float("inf") or options.weight_decay < 0 or options.width < 1:
        raise ValueError(
            "learning_rate, weight_decay, width: expected a number above 0, one of at least 0 and a count, got "
            f"{options.learning_rate}, {options.weight_decay} and {options.width}."
        )


def _check_prices(options: AppraiserOptions, records: Mapping[str, np.ndarray], prices: np.ndarray) -> None:
    known = prices[np.isfinite(prices)]
    if not len(known):
        cells = ", ".join(map(repr, records[options.target][:_SHOWN].tolist()))
        raise ValueError(f"target: expected prices above 0 in column {options.target!r}, got {cells}, ...")
    if len(known) < _FEWEST:
        raise ValueError(
            f"target: expected at least {_FEWEST} lots with a price above 0 in column {options.target!r}, got {len(known)} of "
            f"{len(prices)} rows."
        )
    if len(np.unique(known)) == 1:
        raise ValueError(
            f"target: expected prices that differ in column {options.target!r}, got {known[0]:g} in all rows."
        )


def _left_out(
    options: AppraiserOptions, records: Mapping[str, np.ndarray], prices: np.ndarray, sold: np.ndarray
) -> tuple[str, ...]:
    """Return why rows are not learned from, a line for each reason."""
    cells = records[options.target]
    empty, unknown = shelf.are_missing(cells), ~np.isfinite(prices)
    numbers = np.isfinite(shelf.parse_numbers(cells))
    reasons = {
        "no price": unknown & empty,
        "a price that is not above 0": unknown & ~empty & numbers,
        "a price that is no number": unknown & ~empty & ~numbers,
        "gaps in numbers (missing: drop)": ~unknown & ~sold,
    }
    return tuple(_reason(name, np.flatnonzero(rows), cells) for name, rows in reasons.items() if rows.any())


def _reason(name: str, rows: np.ndarray, cells: np.ndarray) -> str:
    first = ", ".join(
        f"row {row + 1}" + (f": {str(cells[row])!r}" if cells[row] else "") for row in rows[:_SHOWN].tolist()
    )
    return f"{len(rows)} rows with {name} ({first}{', ...' if len(rows) > _SHOWN else ''})"


def _without_gaps(records: Mapping[str, np.ndarray], columns: tuple[shelf.Column, ...]) -> np.ndarray:
    """Return which rows have all numbers, of the columns that are not mostly gaps."""
    values = {
        each.name: shelf.column_values(records[each.name], each.kind)
        for each in columns
        if each.kind in ("number", "date")
    }
    if not values:
        return np.ones(len(next(iter(records.values()))), bool)
    kept = shelf.kept_rows(shelf.fit_filling(values, "drop"), values)
    return np.isin(np.arange(len(next(iter(values.values())))), kept)


def _warn(
    options: AppraiserOptions,
    records: Mapping[str, np.ndarray],
    columns: tuple[shelf.Column, ...],
    log_prices: np.ndarray,
) -> None:
    """Point out what makes values look better than they are."""
    groups = shelf.group_rows(records, options.group)
    for each in shelf.suspicious_columns(records, columns, log_prices, groups):
        warnings.warn(
            f"column {each.name!r} {each.why}. If it is known only after the sale, leave it out: --after-sale {each.name}.",
            stacklevel=4,
        )
    found = shelf.count_duplicates(records, target=options.target, group=options.group)
    if found.equal:
        warnings.warn(f"{found.equal} of {found.rows} rows equal an earlier one in all columns.", stacklevel=4)
    if found.one_price:
        warnings.warn(
            f"{found.shared} of {found.rows} rows share {' and '.join(options.group)} with another; in {found.one_price} of these "
            f"{found.groups} groups they share the price too. They are never on both sides of a split.",
            stacklevel=4,
        )
    together = [name for name in records if _SOLD_TOGETHER(name)]
    if not options.group and together:
        warnings.warn(
            f"rows that were sold together are taken for independent of each other; if {' and '.join(together)} say what was, tell it: "
            f"--group {' '.join(together)}.",
            stacklevel=4,
        )
