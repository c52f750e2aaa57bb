"""How good an appraiser is: what its networks say of lots that they never saw, and ranges that hold as often as they say."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import metrics
from jaxart.runs import appraiser as kind
from jaxart.runs import lot_table
from jaxart.runs.kind import Trained
from jaxart.tasks import appraise as task

LEVELS = (0.8, 0.9)
_LEAST = 30  # lots of sales that are new, to measure ranges of such lots with


class Judged(NamedTuple):
    """M lots, valued by networks that never saw them.

    Fields:
        targets: log prices.
        predicted: values and what ranges are made of, as `task.Worth`.
        new: 1 where the sale was new to the networks, else 0.
        units: by which they are divided: numbers of sales, or of what was sold together.
    """

    targets: np.ndarray
    predicted: task.Worth
    new: np.ndarray
    units: np.ndarray


def calibration(trained: Trained) -> dict[str, Any]:
    """Return what is measured once training has ended, and what answers need beside the networks.

    The process of each part is found here, for it takes seconds. Ranges of lots of known sales are measured with all lots, each valued by
    the member that is kept from it; those of lots of new sales, which are harder, with the lots of new sales in the test.

    Args:
        trained: with its data.
    """
    dataset = trained.data["lots"]
    key = jax.random.fold_in(jax.random.key(trained.options.seed), 2)
    process = {
        part: task.fit_process(key, kind.lesson_of(trained.options, dataset, part)) for part in trained.facts["parts"]
    }
    judged = {part: _own(trained, part, process[part]) for part in process}
    final = judged[kind.FINAL]
    if kind.CHECKED in process:
        test = _test(trained, process[kind.CHECKED])
        told = _measured(trained, judged[kind.CHECKED], test, lot_table.parts(trained.options, dataset)[1])
        final = _joined(final, _of_new_sales(test))
    else:
        told = _measured(trained, None, final, np.arange(dataset.count))
    calibrated = _calibrated(trained.options.intervals, final)
    told["process"] = {
        part: {name: np.asarray(value).tolist() for name, value in found.items()} for part, found in process.items()
    }
    return {"intervals": metrics.interval_record(calibrated), **told}


def told(measured: dict[str, Any]) -> list[str]:
    """Return in words how good values are, and how often ranges held.

    Args:
        measured: from `calibration`.
    """
    report = measured["report"]
    lines = [
        f"Of {report['count']:,} lots that the networks never saw: R2 of log prices {report['r_squared']:.3f}, half of the values within "
        f"{100 * report['median_percentage_error']:.0f} % of the price."
    ]
    for level, held in zip(LEVELS, measured["coverage"], strict=True):
        lines.append(
            f"Ranges that promise {100 * level:.0f} % held {100 * held['share']:.1f} %; a promise kept gives {100 * held['low']:.1f} to "
            f"{100 * held['high']:.1f} % by chance. From end to end they span a factor of {np.exp(held['median_width']):.3g} in the median."
        )
    return lines


def _own(trained: Trained, part: str, process: dict[str, Any]) -> Judged:
    """Judge the lots that a part learned from, each by the member that was kept from it."""
    found = kind.appraiser_of(trained, part, process)
    targets = found.center + found.deviation * np.asarray(found.known.targets, np.float64)
    return Judged(targets, task.value_own_lots(found), np.zeros(len(targets), np.int64), np.asarray(found.known.folds))


def _test(trained: Trained, process: dict[str, Any]) -> Judged:
    """Judge the lots that were kept back."""
    dataset, found = trained.data["lots"], kind.appraiser_of(trained, kind.CHECKED, process)
    rows = lot_table.parts(trained.options, dataset)[1]
    records = {name: cells[rows] for name, cells in lot_table.records_of(dataset).items()}
    pictures = kind.pictures_of(trained.options, dataset, kind.CHECKED, rows)
    worth = task.value_lots(found, records, **pictures)
    return Judged(dataset.column(lot_table.PRICE)[rows], worth, of_new_sales(found, records), _units(trained, records))


def of_new_sales(trained: task.Appraiser, records: dict[str, np.ndarray]) -> np.ndarray:
    """Return which lots are of a sale that an appraiser does not know, 1 or 0 ``[N]``; 0 where there are no sales.

    Args:
        trained: the appraiser.
        records: text ``[N]`` by name.
    """
    groups = task.encode_lots(trained, records).groups
    return (np.asarray(groups)[:, 0] <= 0).astype(np.int64) if groups.shape[1] else np.zeros(len(groups), np.int64)


def _units(trained: Trained, records: dict[str, np.ndarray]) -> np.ndarray:
    """Return by what lots are divided in two: sales if there are several, else what was sold together."""
    sales = shelf.group_rows(records, trained.options.group[:1])
    return sales if sales.max() > 0 else shelf.group_rows(records, trained.options.group)


def _of_new_sales(judged: Judged) -> Judged:
    return _rows(judged, np.flatnonzero(judged.new))


def _rows(judged: Judged, rows: np.ndarray) -> Judged:
    return jax.tree.map(lambda array: array[rows], judged)


def _joined(one: Judged, other: Judged) -> Judged:
    return jax.tree.map(lambda first, second: np.concatenate([first, second]), one, other)


def _calibrated(method: Any, judged: Judged) -> metrics.IntervalCalibration:
    predicted = task.predicted_of(judged.predicted, method, LEVELS)
    categories = judged.new if judged.new.any() else None
    return metrics.calibrate_intervals(
        judged.targets, predicted, LEVELS, method=method, categories=categories, least=_LEAST
    )


def bounds_of(calibration: metrics.IntervalCalibration, worth: task.Worth, new: np.ndarray) -> metrics.Bounds:
    """Return ranges of lots.

    Args:
        calibration: of a run.
        worth: of the lots.
        new: 1 where the sale is new to the networks, else 0.
    """
    predicted = task.predicted_of(worth, calibration.method, LEVELS)
    categories = new if len(calibration.rows) > 1 else None
    return metrics.apply_intervals(calibration, predicted, categories=categories)


def _measured(trained: Trained, own: Judged | None, judged: Judged, rows: np.ndarray) -> dict[str, Any]:
    """Return scores of lots that were valued by networks that never saw them, with ranges that were measured without them.

    Ranges of a half of the sales are measured with the other half, and with the lots that the networks learned from.
    """
    bounds = np.zeros((2, len(rows), len(LEVELS)))
    halves = judged.units % 2
    for half in np.unique(halves):
        inside, outside = np.flatnonzero(halves == half), np.flatnonzero(halves != half)
        others = _rows(judged, outside)
        pool = others if own is None else _joined(own, _of_new_sales(others))
        calibrated = _calibrated(trained.options.intervals, pool)
        found = bounds_of(calibrated, _rows(judged, inside).predicted, judged.new[inside])
        bounds[0, inside], bounds[1, inside] = found.low, found.high
    records = lot_table.records_of(trained.data["lots"])
    groups = shelf.group_rows(records, trained.options.group)[rows]
    held = [
        metrics.interval_coverage(bounds[0, :, place], bounds[1, :, place], judged.targets, level, groups=groups)
        for place, level in enumerate(LEVELS)
    ]
    report = metrics.regression_report(judged.targets, judged.predicted.mean)
    return {
        "validation": {"R2": report.r_squared},
        "report": report._asdict(),
        "coverage": [each._asdict() for each in held],
        "test": {
            "rows": rows.tolist(),
            "values": judged.predicted.mean.tolist(),
            "low": bounds[0].tolist(),
            "high": bounds[1].tolist(),
            "new": judged.new.tolist(),
        },
    }
