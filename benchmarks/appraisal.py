"""Question: how well are works of art valued by their description, and how often do intervals of prices hold what they promise? Rivals: the
mean, a ridge hedonic, scikit-learn's boosted trees after a search, RealMLP where pytabkit is installed.

    pip install scikit-learn pandas 'pytabkit[models]'
    python benchmarks/appraisal.py [TABLE] [--only grouped|time|missing|leak] [--models NAME ...]

TABLE is the CSV of paintings sold at auction in Paris, 1764 to 1778. What is predicted is the logarithm of the price; columns known only
after the sale are left out. Two protocols: "grouped", five folds by lot (all rows of a lot have one price), whose predictions are put
together; "time", trained on sales until 1776 and tested on those of 1777 and 1778.

R2, errors and seconds (of the processor, a split, choice of settings included) are those of a model trained on all training rows. For
intervals and the CRPS the training rows are divided by lot: three quarters to train on, one to calibrate with, the same for all; settings
are searched for in the three quarters. Intervals are the mean and its absolute error, of models that give quantiles also these,
conformalized; the CRPS is that of ten quantiles, before calibration, or of the mean plus those of the errors of calibration. The band is
where 95 % of shares would lie by chance if the promise is kept and the outcomes of a lot are one, for one calibration.

"missing": R2 over the grouped folds with some of all known numbers, categories and texts taken away, in training and test, by way of
filling; a text that is gone has no words. "leak": what columns known only after the sale seem to bring, and which of them are noticed.
Models with "context" are also told what the other rows of the sale and the lot say (`appraisal_rivals.context`).
"""

import argparse
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import numpy as np
from appraisal_rivals import (
    CRPS_QUANTILES,
    LEVELS,
    QUANTILES,
    Fit,
    Guess,
    Rival,
    Table,
    default_trees,
    folds_of,
    ridge,
    rivals,
)

from jaxart import data, metrics
from jaxart.tasks import appraise

AFTER_SALE = ("winningbidder", "winningbiddertype", "endbuyer", "Interm", "type_intermed")
TABLE = Path(__file__).parent.parent.parent / "shared/data/auction/paris_paintings.csv"

_FOLDS, _LAST_YEAR, _CALIBRATION = 5, 1776, 4  # a quarter
_SHARES = (0.0, 0.1, 0.3, 0.5)


class Split(NamedTuple):
    """Rows to train on, of which `proper` and `calibration` are parts, and rows to value."""

    train: np.ndarray
    proper: np.ndarray
    calibration: np.ndarray
    test: np.ndarray


class Valued(NamedTuple):
    """What a model says of the test rows of all splits, put together: means, seconds a split, ends of intervals ``[N, L]`` by name of what
    they are made of, and the CRPS of each row."""

    rows: np.ndarray
    mean: np.ndarray
    seconds: float
    bounds: dict[str, metrics.Bounds]
    crps: np.ndarray


def read(path: Path, *, leak: bool = False) -> Table:
    """Read the table of lots."""
    records = data.read_records(path)
    columns = data.find_columns(
        records,
        target="price",
        date="year",
        group=("sale", "lot"),
        after_sale=() if leak else AFTER_SALE,
        leave_out=("logprice",),
    )
    numbers = {each.name: data.parse_numbers(records[each.name]) for each in columns if each.kind == "number"}
    categories = {
        each.name: np.where(data.are_missing(records[each.name]), "", records[each.name])
        for each in columns
        if each.kind == "category"
    }
    year = data.parse_numbers(records["year"])
    return Table(
        {**numbers, "year": year},
        categories,
        records["subject"],
        data.group_rows(records, ["sale"]),
        data.group_rows(records, ["sale", "lot"]),
        year,
        np.log(data.parse_numbers(records["price"])),
    )


def splits(table: Table, protocol: str) -> Iterator[Split]:
    """Yield the splits of a protocol, the same for all models."""
    folds = folds_of(table.lot, _FOLDS, 0) if protocol == "grouped" else (table.year > _LAST_YEAR).astype(int) - 1
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        held = folds_of(table.lot[train], _CALIBRATION, 4) == 0
        yield Split(train, train[~held], train[held], test)


def ours(table: Table, proper: np.ndarray) -> Fit:
    """Return our own model with its defaults; it is told of the other rows of the sale and the lot, as those with "context"."""
    del proper
    columns = [data.Column(name, "number", "", 0, 0.0) for name in table.numbers]
    columns += [data.Column(name, "category", "", 0, 0.0) for name in table.categories]
    columns.append(data.Column("text", "text", "", 0, 0.0))
    numbers = {name: np.where(np.isnan(values), "", values.astype(str)) for name, values in table.numbers.items()}
    groups = {"sale": table.sale.astype(str), "lot": table.lot.astype(str)}
    records = {**numbers, **table.categories, "text": table.text, **groups}

    def fit(train: np.ndarray, rows: np.ndarray, quantiles: bool) -> Guess:
        known, new = ({name: cells[part] for name, cells in records.items()} for part in (train, rows))
        trained = appraise.train_appraiser(
            jax.random.key(0), known, columns, table.target[train], group=("sale", "lot")
        )
        worth = appraise.value_lots(trained, new)
        own, asked = ([NormalDist().inv_cdf(level) for level in levels] for levels in (appraise.QUANTILES, QUANTILES))
        between = np.stack([np.interp(asked, own, each) for each in worth.quantiles])
        return Guess(worth.mean, between if quantiles else None)

    return fit


def intervals(table: Table, split: Split, guess: Guess) -> tuple[dict[str, metrics.Bounds], np.ndarray]:
    """Return intervals of the test rows by what they are made of, and the CRPS, from what is said of calibration and test rows."""
    count = len(split.calibration)
    truth, errors = table.target[split.calibration], table.target[split.calibration] - guess.mean[:count]
    found = {"mean": _calibrated(truth, guess.mean, "absolute")}
    spread = guess.mean[count:, None] + np.quantile(errors, CRPS_QUANTILES)
    if guess.quantiles is not None:
        ends = [[QUANTILES.index(round(side, 3)) for side in _sides(level)] for level in LEVELS]
        low, high = (guess.quantiles[:, list(side)] for side in zip(*ends, strict=True))
        found["quantiles"] = _calibrated(truth, (low, high), "quantile")
        spread = guess.quantiles[count:][:, [QUANTILES.index(level) for level in CRPS_QUANTILES]]
    return found, metrics.crps_quantiles(table.target[split.test], spread, CRPS_QUANTILES)


def _sides(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _calibrated(truth: np.ndarray, predicted: Any, method: Any) -> metrics.Bounds:
    """Return intervals of the rows after those of calibration."""

    def part(rows: slice) -> Any:
        return tuple(each[rows] for each in predicted) if isinstance(predicted, tuple) else predicted[rows]

    count = len(truth)
    found = metrics.calibrate_intervals(truth, part(slice(count)), LEVELS, method=method)
    return metrics.apply_intervals(found, part(slice(count, None)))


def value(table: Table, rival: Rival, protocol: str) -> Valued:
    """Train and value over all splits."""
    parts: list[Any] = []
    for split in splits(table, protocol):
        begin = time.process_time()
        fit = rival(table, split.proper)
        mean = fit(split.train, split.test, False).mean
        seconds = time.process_time() - begin
        guess = fit(split.proper, np.concatenate([split.calibration, split.test]), True)
        parts.append((split.test, mean, seconds, *intervals(table, split, guess)))
    rows, mean, seconds, bounds, crps = zip(*parts, strict=True)
    joined = {
        name: metrics.Bounds(*(np.concatenate(side) for side in zip(*(each[name] for each in bounds), strict=True)))
        for name in bounds[0]
    }
    seconds = float(np.mean(seconds))
    return Valued(np.concatenate(rows), np.concatenate(mean), seconds, joined, np.concatenate(crps))


def compare(table: Table, protocol: str, models: dict[str, Rival]) -> None:
    """Print the scores of models, then their intervals."""
    split = next(splits(table, protocol))
    calibration = max(1, round(metrics.effective_rows(table.lot[split.calibration])))
    print(f"\n| {protocol} | R2 | MAE | median error of prices | CRPS | s |\n|---|---|---|---|---|---|")
    told: dict[str, Valued] = {}
    for name, rival in models.items():
        told[name] = found = value(table, rival, protocol)
        truth = table.target[found.rows]
        numbers = [
            f"{metrics.r_squared(truth, found.mean):.3f}",
            f"{metrics.mean_absolute_error(truth, found.mean):.3f}",
            f"{100 * metrics.median_percentage_error(truth, found.mean):.1f} %",
            f"{found.crps.mean():.3f}",
            f"{found.seconds:.1f}",
        ]
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)
    heads = " | ".join(f"{100 * level:.0f} %: coverage | band | width" for level in LEVELS)
    print(f"\n| {protocol} | around | {heads} |\n|---|---|{'---|' * 3 * len(LEVELS)}")
    for name, found in told.items():
        for around, bounds in found.bounds.items():
            cells = []
            for column, level in enumerate(LEVELS):
                held = metrics.interval_coverage(
                    bounds.low[:, column],
                    bounds.high[:, column],
                    table.target[found.rows],
                    level,
                    calibration=calibration,
                    groups=table.lot[found.rows],
                )
                cells += [f"{held.share:.3f}", f"{held.low:.3f} to {held.high:.3f}", f"{held.mean_width:.2f}"]
            print(f"| {name} | {around} | {' | '.join(cells)} |", flush=True)


def over_folds(table: Table, rival: Callable[..., Any], change: Any = None, protocol: str = "grouped") -> float:
    """Return R2 over the splits of a protocol, each on a table that was changed for its training rows."""
    truth, guesses = [], []
    for split in splits(table, protocol):
        changed, train = (table, split.train) if change is None else change(split.train)
        guesses.append(rival(changed, train)(train, split.test, False).mean)
        truth.append(table.target[split.test])
    return metrics.r_squared(np.concatenate(truth), np.concatenate(guesses))


def filled(table: Table, method: str, train: np.ndarray) -> tuple[Table, np.ndarray]:
    """Return a table whose gaps are filled by what the training rows teach, and those of them that stay."""
    fields, date = {**table.numbers, **table.categories}, "year" if method == "interpolate" else None
    learned = data.fit_filling(fields, method, rows=train, date=date)
    columns, kept = data.apply_filling(learned, fields), data.kept_rows(learned, fields)
    numbers = {name: columns[name] for name in table.numbers if name in columns}
    categories = {name: columns[name] for name in table.categories if name in columns}
    return table._replace(numbers=numbers, categories=categories), np.intersect1d(train, kept)


def with_gaps(table: Table, share: float) -> Table:
    """Return a table without a share of all its numbers, categories and texts; years, prices, sales and lots stay."""
    fields = {name: values for name, values in table.numbers.items() if name != "year"}
    left = data.delete_at_random(jax.random.key(0), {**fields, **table.categories, "text": table.text}, share)
    numbers = {name: left.get(name, values) for name, values in table.numbers.items()}
    return table._replace(
        numbers=numbers, categories={name: left[name] for name in table.categories}, text=left["text"]
    )


def missing(table: Table, models: dict[str, Rival]) -> None:
    """Print R2 by way of filling and share of fields taken away."""
    heads = " | ".join(f"{name}, {share:.0%} gone" for name in models for share in _SHARES)
    print(f"\n| filling | {heads} |\n|---|{'---|' * len(models) * len(_SHARES)}")
    gaps = [with_gaps(table, share) for share in _SHARES]
    for method in ("as they are", *data.FILLING_METHODS):
        cells = []
        for rival in models.values():
            for gappy in gaps:
                change = functools.partial(filled, gappy, method) if method in data.FILLING_METHODS else None
                try:
                    cells.append(f"{over_folds(gappy, rival, change):.3f}")
                except ValueError as error:  # "drop" has no row left
                    if "without a gap" not in str(error):
                        raise
                    cells.append("-")
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def leak(path: Path, models: dict[str, Rival]) -> None:
    """Print R2 with and without columns that are known only after the sale, and which columns are called suspicious."""
    without, with_them = read(path), read(path, leak=True)
    print("\n| | grouped | with what is known after the sale | time | with what is known after the sale |")
    print("|---|---|---|---|---|")
    for name, rival in models.items():
        cells = [
            over_folds(table, rival, protocol=protocol)
            for protocol in ("grouped", "time")
            for table in (without, with_them)
        ]
        print(f"| {name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)
    records = data.read_records(path)
    columns = data.find_columns(records, target="price", date="year", group=("sale", "lot"))
    print("\n| suspicious column | R2 alone | why |\n|---|---|---|")
    for each in data.suspicious_columns(records, columns, without.target, without.lot):
        print(f"| {each.name} | {each.r2:.3f} | {each.why} |")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, default=TABLE, metavar="TABLE")
    parser.add_argument("--only", choices=("grouped", "time", "missing", "leak"), help="one part; by default all")
    parser.add_argument("--models", nargs="*", help="names of models in the tables of protocols; by default all")
    asked = parser.parse_args()
    every = {**rivals(), "ours, context": ours}
    if unknown := set(asked.models or ()) - set(every):
        parser.error(
            f"--models: expected some of {', '.join(map(repr, every))}, got {', '.join(map(repr, sorted(unknown)))}."
        )
    table, models = read(asked.table), {name: every[name] for name in asked.models or every}
    simple: dict[str, Rival] = {"ridge hedonic": ridge, "default trees": default_trees, "ours, context": ours}
    print(f"{len(table.target)} rows, {table.lot.max() + 1} lots, {table.sale.max() + 1} sales")
    for protocol in ("grouped", "time"):
        if asked.only in (None, protocol):
            compare(table, protocol, models)
    if asked.only in (None, "missing"):
        missing(table, simple)
    if asked.only in (None, "leak"):
        leak(asked.table, simple)


if __name__ == "__main__":
    main()
