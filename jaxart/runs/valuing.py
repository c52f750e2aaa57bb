"""What a trained appraiser says of lots: values, ranges, what speaks against them, reasons, comparable lots; and how far to trust it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxart import data as shelf
from jaxart import metrics
from jaxart.runs import appraiser as kind
from jaxart.runs import lot_table
from jaxart.runs.appraiser_scores import LEVELS, bounds_of, of_new_sales
from jaxart.runs.kind import Facts
from jaxart.runs.options import AppraiserOptions
from jaxart.runs.results import measured_of
from jaxart.runs.run import Run, with_data
from jaxart.tasks import appraise as task

_LEARNED = "the model has learned from this lot and its price"
_NAMED = 5  # columns that messages name
_COLUMNS, _GAPPY = 8, 0.5  # columns that describe a lot, and the share of gaps from which on they do not


class LotAppraiser(NamedTuple):
    """A trained appraiser with all that its answers need.

    Fields:
        options: of the run.
        facts: of its data.
        networks: those that learned from all lots.
        intervals: what makes ranges of what they say.
        lots: those that they learned from.
        records: the table of these lots, text ``[M]`` by name.
        prices: of these lots, ``[M]``.
        measured: what was measured when training ended.
    """

    options: AppraiserOptions
    facts: Facts
    networks: task.Appraiser
    intervals: metrics.IntervalCalibration
    lots: shelf.Dataset
    records: dict[str, np.ndarray]
    prices: np.ndarray
    measured: dict[str, Any]

    @property
    def described_by(self) -> list[str]:
        """The columns that describe a lot: text, artist, date, what was sold together, then others with something in them."""
        return _described_by(self, self.records)


def lot_appraiser(run: Run | LotAppraiser) -> LotAppraiser:
    """Return a trained appraiser; functions that answer take it too, and then read nothing again.

    Args:
        run: of the kind appraiser.

    Raises:
        ValueError: a run of another kind, one that has no checkpoint, or a copy of its data that is damaged.
    """
    if isinstance(run, LotAppraiser):
        return run
    if run.kind != "appraiser":
        raise ValueError(
            f"{run.folder}: a run of the kind {run.kind}, which values no lots; expected one of `jaxart train appraiser`."
        )
    run = with_data(run)
    trained = measured_of(run)._replace(data=run.data)
    dataset, measured = run.data["lots"], trained.measured
    process = {name: np.asarray(value, np.float32) for name, value in measured["process"][kind.FINAL].items()}
    return LotAppraiser(
        run.options,
        run.facts,
        kind.appraiser_of(trained, kind.FINAL, process),
        metrics.read_intervals(measured["intervals"]),
        dataset,
        lot_table.records_of(dataset),
        np.exp(dataset.column(lot_table.PRICE)),
        measured,
    )


def columns_told(found: LotAppraiser) -> tuple[shelf.Column, ...]:
    """Return what the columns of the table are that an appraiser learned from."""
    return tuple(shelf.Column(*column) for column in found.facts["columns"])


def checked_of(found: LotAppraiser) -> task.Checked:
    """Return what was measured of lots by networks that never saw them.

    Args:
        found: the appraiser.
    """
    test = found.measured["test"]
    rows = np.array(test["rows"], int)
    dates = lot_table.dates_of(found.options, found.records)[rows]
    name = found.facts["artist"]
    artists = None if name is None else _said(found.records[name])[rows]
    report = metrics.RegressionReport(**found.measured["report"])
    held = tuple(metrics.IntervalCoverage(**each) for each in found.measured["coverage"])
    low, high = (np.array(test[side], np.float64) for side in ("low", "high"))
    return task.Checked(
        np.log(found.prices[rows]),
        np.array(test["values"]),
        low,
        high,
        LEVELS,
        dates if np.isfinite(dates).any() else None,
        artists,
        _groups(found, dates, rows, np.array(test["new"])),
        report,
        held,
    )


def _groups(found: LotAppraiser, dates: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray | None:
    """Return by what coverage is looked at: whether the sale was new, or years, or the category with the fewest values."""
    if 0 < new.sum() < len(new):
        return np.where(new > 0, "sales that were new", "sales that were known")
    if len(np.unique(np.floor(dates))) > 1:
        return np.where(np.isfinite(dates), np.floor(np.nan_to_num(dates)).astype(int).astype(str), "")
    few = [each for each in columns_told(found) if each.kind == "category" and each.distinct > 1]
    return _said(found.records[min(few, key=lambda each: each.distinct).name])[rows] if few else None


def _said(cells: np.ndarray) -> np.ndarray:
    return np.where(shelf.are_missing(cells), "", cells)


def read_lots(found: LotAppraiser, path: str | Path) -> dict[str, np.ndarray]:
    """Read lots to be valued, text ``[N]`` by name.

    Args:
        found: the appraiser.
        path: of a table, written as the one that it learned from, or otherwise.

    Raises:
        ValueError: no table, or one with hardly any of the columns that values are made of.
    """
    records = shelf.read_records(path)
    used = [each.name for each in columns_told(found) if each.kind != "left out"]
    known = [name for name in used if name in records]
    if not known:
        raise ValueError(
            f"{path}: expected columns that the appraiser learned from ({', '.join(used[:_NAMED])}, ...), got "
            f"{', '.join(list(records)[:_NAMED])}."
        )
    gone = [name for name in used if name not in records]
    if gone:
        warnings.warn(
            f"{path}: {len(gone)} of {len(used)} columns that the appraiser learned from are not there and count as missing: "
            f"{', '.join(gone[:_NAMED])}{', ...' if len(gone) > _NAMED else ''}.",
            stacklevel=2,
        )
    return records


def appraise_lots(
    found: LotAppraiser,
    records: Mapping[str, np.ndarray],
    *,
    folder: str | Path = ".",
    reasons: int = 0,
    report: Callable[[int, int], None] | None = None,
) -> task.Valued:
    """Value lots, with their flags, comparable lots and reasons.

    Args:
        found: the appraiser.
        records: text ``[N]`` by name.
        folder: in which pictures are looked for.
        reasons: for how many lots, from the first on, there are to be reasons.
        report: called ``report(done, total)`` as reasons are found.
    """
    pictures = _pictures(found, records, folder)
    worth = task.value_lots(found.networks, records, **pictures)
    bounds = bounds_of(found.intervals, worth, of_new_sales(found.networks, dict(records)))
    told = _reasons(found, records, pictures, reasons, report)
    return task.Valued(
        value=np.exp(worth.mean),
        levels=LEVELS,
        low=np.exp(bounds.low),
        high=np.exp(bounds.high),
        flags=_flags(found, records, pictures),
        comparables=_comparables(found, records, pictures),
        **told,
    )


def explain_lot(
    found: LotAppraiser, records: Mapping[str, np.ndarray], row: int, *, folder: str | Path = "."
) -> task.Reasons:
    """Return why a lot is worth what it is: what each word, each cell and the picture add to its log price.

    Args:
        found: the appraiser.
        records: text ``[N]`` by name.
        row: of the lot, from 0 on.
        folder: in which pictures are looked for.

    Raises:
        ValueError: no such row.
    """
    count = len(next(iter(records.values())))
    if not 0 <= row < count:
        raise ValueError(f"row: expected 1 to {count}, the rows of the table, got {row + 1}.")
    return task.explain_lots(found.networks, records, rows=[row], **_pictures(found, records, folder))


def _pictures(found: LotAppraiser, records: Mapping[str, np.ndarray], folder: str | Path) -> dict[str, Any]:
    """Return what is seen of the pictures of lots, on the scale that the appraiser learned."""
    if not found.networks.known.lots.picture.shape[1]:
        return {}
    made = lot_table.read_pictures(found.options, columns_told(found), records, Path(folder))
    if made is None:
        return {}
    for reason in made.failures[:_NAMED]:
        warnings.warn(f"no picture: {reason}", stacklevel=3)
    return kind.scaled_pictures(found.options, found.lots, kind.FINAL, made.features, made.pictured)


def _reasons(
    found: LotAppraiser,
    records: Mapping[str, np.ndarray],
    pictures: Mapping[str, Any],
    count: int,
    report: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Return reasons, base and shares of the first lots; of the others there are none."""
    every = len(next(iter(records.values())))
    rows = range(min(count, every))
    if not len(rows):
        return {"reasons": [()] * every, "base": np.nan, "shares": [{}] * every}
    told = task.explain_lots(found.networks, records, rows=rows, report=report, **pictures)
    more = every - len(rows)
    base = np.concatenate([told.base, np.full(more, np.nan)])
    reasons = [*task.largest_reasons(told), *[()] * more]
    return {"reasons": reasons, "base": base, "shares": [*map(_nonzero, task.modality_shares(told)), *[{}] * more]}


def _flags(
    found: LotAppraiser, records: Mapping[str, np.ndarray], pictures: Mapping[str, Any]
) -> list[tuple[str, ...]]:
    """Return what speaks against trusting values: beside what the networks tell, that they have learned from a lot."""
    names = [name for name in found.records if name in records]
    known = set(_rows(found.records, names))
    told = task.flags_of(found.networks, records, **pictures)
    return [
        (_LEARNED, *flags) if row in known else flags for flags, row in zip(told, _rows(records, names), strict=True)
    ]


def _rows(records: Mapping[str, np.ndarray], names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(records[name].tolist() for name in names), strict=True))


def _nonzero(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: share for name, share in shares.items() if share}


def _comparables(
    found: LotAppraiser, records: Mapping[str, np.ndarray], pictures: Mapping[str, Any]
) -> list[tuple[task.Comparable, ...]]:
    rows, similarity = task.nearest_sold(found.networks, records, **pictures)
    dates = lot_table.dates_of(found.options, found.records)
    texts = _described_by(found, found.records)[:2]

    def sold(row: int, alike: float) -> task.Comparable:
        text = ", ".join(str(found.records[name][row]) for name in texts)
        return task.Comparable(row, float(found.prices[row]), float(dates[row]), alike, text)

    return [tuple(map(sold, some, alike)) for some, alike in zip(rows.tolist(), similarity.tolist(), strict=True)]


def write_valuation(
    path: str | Path,
    found: LotAppraiser,
    valued: task.Valued,
    records: Mapping[str, np.ndarray],
    *,
    folder: str | Path = ".",
    title: str,
    unit: str = "",
) -> Path:
    """Write lots and what they are worth as one HTML file, with how far to trust it.

    Args:
        path: .html, in an existing folder.
        found: the appraiser.
        valued: from `appraise_lots`.
        records: text ``[N]`` by name.
        folder: in which pictures are looked for.
        title: of the page.
        unit: of money, such as "EUR".

    Returns:
        The path.

    Raises:
        jaxart.io.ImageError: another extension, or no such folder.
    """
    page = task.appraisal_report(
        valued,
        checked_of(found),
        records,
        title=title,
        columns=_described_by(found, records),
        notes=_notes(found),
        unit=unit,
    )
    return task.write_appraisal(path, page)


def _described_by(found: LotAppraiser, records: Mapping[str, np.ndarray]) -> list[str]:
    """Return the columns that describe a lot: text, artist, date, what was sold together, then others with something in them."""
    columns = columns_told(found)
    first = [
        *found.options.text,
        *(each.name for each in columns if each.kind == "text"),
        found.facts["artist"],
        found.options.date,
    ]
    others = [
        each.name
        for each in columns
        if each.kind in ("category", "number") and each.distinct > 2 and each.missing < _GAPPY
    ]
    names = [name for name in dict.fromkeys([*first, *found.options.group, *others]) if name in records]
    return names[:_COLUMNS] or list(records)[:_COLUMNS]


def _notes(found: LotAppraiser) -> list[str]:
    """Return what a page says of how it was made."""
    parts, options = found.facts["parts"], found.options
    learned = f"The values are the mean of {options.members} networks and a Gaussian process that learned from {parts[kind.FINAL]:,} lots."
    if kind.CHECKED in parts:
        kept = found.facts["lots"] - parts[kind.CHECKED]
        how = (
            "the newest sales"
            if lot_table.split_of(options) == "time"
            else "chosen at random, all that was sold together"
        )
        checked = (
            f"How far they are off was measured with networks that learned from {parts[kind.CHECKED]:,} of these lots, on the other "
            f"{kept:,}: {how}."
        )
    else:
        checked = (
            "How far they are off was measured on the same lots, each valued by the network that was kept from it."
        )
    left = [each.name for each in columns_told(found) if each.kind == "left out"]
    return [learned, checked, f"Not looked at: {', '.join(left)}." if left else ""]
