"""A plain judge of prices: a ridge hedonic of some lots with an encoder of its own, and bounds of what it says that hold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxart import data, metrics
from jaxart.tasks.appraise.encoder import Encoder, category_sizes, encode, learn_encoder
from jaxart.tasks.appraise.hedonic import design, fit_hedonic

FEWEST = 20  # lots to learn from
_FOLDS = 4


class Judge(NamedTuple):
    """What was learned of some lots.

    Fields:
        encoder: how tables are read.
        coefficients: of new lots, ``[D]``.
        own: log prices of the lots it learned from, each said without the lots of its fold, ``[N]``.
        log_prices: those they were sold at, ``[N]``.
    """

    encoder: Encoder
    coefficients: np.ndarray
    own: np.ndarray
    log_prices: np.ndarray


def fit_judge(
    records: Mapping[str, np.ndarray],
    columns: Sequence[data.Column],
    log_prices: np.ndarray,
    *,
    group: Sequence[str] = (),
    missing: str = "regress",
) -> Judge:
    """Regress log prices on all that is known of lots.

    Args:
        records: text ``[N]`` by name.
        columns: what they are, by `data.find_columns`.
        log_prices: ``[N]``, at least `FEWEST`.
        group: columns by which rows belong together; rows that are equal in all of them are in one fold.
        missing: as in `learn_encoder`.
    """
    encoder = learn_encoder(records, columns, np.arange(len(log_prices)), missing=missing)
    inputs, groups = _inputs(encoder, records), data.group_rows(records, group)
    folds = (groups if groups.max() else np.arange(len(groups))) % _FOLDS
    found = fit_hedonic(inputs, log_prices, folds)[:, -1]  # each without its fold
    own = np.einsum("nd,nd->n", inputs, found[folds])
    return Judge(encoder, found.mean(axis=0), own, log_prices)


def judged(judge: Judge, records: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the log prices of new lots, ``[N]``.

    Args:
        judge: from `fit_judge`.
        records: text ``[N]`` by name.
    """
    return _inputs(judge.encoder, records) @ judge.coefficients


def lower_bound(judge: Judge, log_values: np.ndarray, level: float) -> np.ndarray:
    """Return the lower ends of intervals around what the judge says, calibrated on its own lots; -inf where they are too few.

    Args:
        judge: from `fit_judge`.
        log_values: by `judged`, ``[N]``.
        level: share of prices that intervals hold.
    """
    calibration = metrics.calibrate_intervals(judge.log_prices, judge.own, (level,))
    return metrics.apply_intervals(calibration, log_values).low[:, 0]


def _inputs(encoder: Encoder, records: Mapping[str, np.ndarray]) -> np.ndarray:
    return design(encode(encoder, records), category_sizes(encoder), len(encoder.words))
