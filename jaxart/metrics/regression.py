"""How good predicted numbers are, and predicted distributions of them; with what is asked of prices, whose logarithms are predicted.

A continuous ranked probability score (CRPS) is, in the unit of the targets, the absolute error of a distribution: ``E|X - t| -
E|X - X'| / 2`` with X and X' drawn from it. It is lowest for the true one, and the absolute error where the distribution is a point.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart.metrics.conformal import check_level
from jaxart.metrics.estimate import Samples, check_column, check_features, rows_by_value
from jaxart.metrics.ranking import mean_ranks


class RankAgreement(NamedTuple):
    """The mean of Spearman's correlation over groups, NaN without any; how many groups were counted, and how many rows they hold."""

    mean: float
    groups: int
    rows: int


class RegressionReport(NamedTuple):
    """Scores of predicted logarithms of prices.

    Fields:
        count: of rows.
        r_squared: against the mean of the targets, or the given baseline.
        mean_absolute_error: of logarithms.
        median_percentage_error: of prices, as a share: 0.25 is 25 %.
        within_25: the share of prices that are predicted to 25 %.
        within_50: the same to 50 %.
        rank_correlation: Spearman's, of all rows.
        crps: the mean, of normal distributions; None without spreads.
        within_groups: Spearman's correlation inside of groups; None without groups.
    """

    count: int
    r_squared: float
    mean_absolute_error: float
    median_percentage_error: float
    within_25: float
    within_50: float
    rank_correlation: float
    crps: float | None
    within_groups: RankAgreement | None


def _two(targets: Samples, predictions: Samples) -> tuple[np.ndarray, np.ndarray]:
    truth, guess = check_column("targets", targets), check_column("predictions", predictions)
    if len(truth) != len(guess):
        raise ValueError(f"expected one prediction per target, got {len(guess)} for {len(truth)}.")
    return truth, guess


def r_squared(targets: Samples, predictions: Samples, *, baseline: float | None = None) -> float:
    """Return the share of the variance that predictions explain: ``1 - sum (t - p)^2 / sum (t - b)^2``.

    Args:
        targets: ``[N]``.
        predictions: ``[N]``.
        baseline: b, such as the mean of the targets of training; without one it is the mean of these targets, which nobody could know
            beforehand, so the score is the lower one.

    Returns:
        At most 1; NaN where all targets equal b.

    Raises:
        ValueError: shapes that differ, numbers that are not finite.

    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    0.5
    """
    truth, guess = _two(targets, predictions)
    middle = truth.mean() if baseline is None else baseline
    if not math.isfinite(middle):
        raise ValueError(f"baseline: expected a finite number, got {baseline}.")
    spread = float(np.sum((truth - middle) ** 2))
    if spread == 0 or (baseline is None and np.ptp(truth) == 0):  # the mean of equal numbers may be rounded
        return math.nan
    return 1 - float(np.sum((truth - guess) ** 2)) / spread


def mean_absolute_error(targets: Samples, predictions: Samples) -> float:
    """Return the mean of ``|t - p|``.

    Args:
        targets: ``[N]``.
        predictions: ``[N]``.

    Raises:
        ValueError: shapes that differ, numbers that are not finite.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    0.5
    """
    truth, guess = _two(targets, predictions)
    return float(np.mean(np.abs(truth - guess)))


def percentage_errors(targets: Samples, predictions: Samples, *, base: float = math.e) -> np.ndarray:
    """Return how far predicted prices are off, as a share of the true ones: ``|base^(p - t) - 1|``.

    Args:
        targets: logarithms of prices ``[N]``.
        predictions: ``[N]``.
        base: of the logarithms, above 1.

    Returns:
        float64 ``[N]``; 0.25 is 25 %. A price that is too low is off by less than 1, one that is too high by anything.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, another base.

    >>> percentage_errors(np.log([100.0, 100.0]), np.log([150.0, 50.0])).round(6).tolist()
    [0.5, 0.5]
    """
    truth, guess = _two(targets, predictions)
    if not 1 < base < math.inf:
        raise ValueError(f"base: expected a number above 1, such as 10 for log10, got {base}.")
    with np.errstate(over="ignore"):  # infinitely far off is an answer
        return np.abs(np.expm1((guess - truth) * math.log(base)))


def median_percentage_error(targets: Samples, predictions: Samples, *, base: float = math.e) -> float:
    """Return the median of `percentage_errors`.

    Args:
        targets: logarithms of prices ``[N]``.
        predictions: ``[N]``.
        base: of the logarithms, above 1.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, another base.
    """
    return float(np.median(percentage_errors(targets, predictions, base=base)))


def share_within(targets: Samples, predictions: Samples, tolerance: float, *, base: float = math.e) -> float:
    """Return the share of prices that are predicted to a tolerance: whose `percentage_errors` are at most that.

    Args:
        targets: logarithms of prices ``[N]``.
        predictions: ``[N]``.
        tolerance: 0 or more; 0.25 is 25 % above or below the true price.
        base: of the logarithms, above 1.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, another base or tolerance.

    >>> share_within(np.log([100.0, 100.0]), np.log([120.0, 70.0]), 0.25)
    0.5
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected 0 or more, such as 0.25, got {tolerance}.")
    return float(np.mean(percentage_errors(targets, predictions, base=base) <= tolerance + 1e-12))


def crps_normal(targets: Samples, means: Samples, spreads: Samples) -> np.ndarray:
    """Return the CRPS of normal distributions: ``s (z (2 F(z) - 1) + 2 f(z) - 1 / sqrt(pi))`` with ``z = (t - m) / s``.

    F and f are the distribution and the density of the standard normal one.

    Args:
        targets: ``[N]``.
        means: m ``[N]``.
        spreads: standard deviations s ``[N]``, 0 or more.

    Returns:
        float64 ``[N]``; lower is better.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, spreads below 0.

    >>> crps_normal(np.array([0.0, 1.0]), np.zeros(2), np.array([1.0, 0.0])).round(4).tolist()
    [0.2337, 1.0]

    Reference: Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007, section 4.2.
    """
    truth, middle = _two(targets, means)
    spread = check_column("spreads", spreads)
    if len(spread) != len(truth) or spread.min() < 0:
        raise ValueError(
            f"spreads: expected {len(truth)} numbers of 0 or more, got {len(spread)} from {spread.min():g} on."
        )
    error = np.abs(truth - middle)
    point = spread <= 1e-12 * error  # which is a point for the numbers of a computer
    some = np.where(point, 1, spread)
    away = np.where(point, 0, error / some)
    inner = np.array([math.erf(value) for value in (away / math.sqrt(2)).tolist()])  # 2 F(z) - 1
    density = np.exp(-(np.minimum(away, 40.0) ** 2) / 2) / math.sqrt(2 * math.pi)
    return np.where(point, error, some * (away * inner + 2 * density - 1 / math.sqrt(math.pi)))


def pinball_loss(targets: Samples, quantiles: Samples, levels: Sequence[float] | Samples | float) -> np.ndarray:
    """Return the loss that a quantile minimizes: ``max(a (t - q), (a - 1) (t - q))`` at the level a.

    Args:
        targets: ``[N]``.
        quantiles: ``[N]`` of one level, or ``[N, Q]``.
        levels: one in (0, 1), or Q.

    Returns:
        float64 of the shape of `quantiles`.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, levels outside (0, 1).

    >>> pinball_loss(np.array([1.0, 1.0]), np.array([0.0, 2.0]), 0.75).tolist()
    [0.75, 0.25]

    Reference: Koenker and Bassett, Regression Quantiles, 1978.
    """
    truth, shares = check_column("targets", targets), np.asarray(levels, np.float64)
    single = np.ndim(quantiles) == 1
    values = check_features("quantiles", np.asarray(quantiles)[:, None] if single else quantiles)
    if len(values) != len(truth) or shares.shape != (() if single else values.shape[1:]):
        raise ValueError(
            f"pinball_loss: expected quantiles [N] with one level, or [N, Q] with Q, N the number of targets, got {np.shape(quantiles)}, "
            f"levels of shape {shares.shape} and {len(truth)} targets."
        )
    for share in np.atleast_1d(shares).tolist():
        check_level(share)
    away = truth[:, None] - values
    return np.maximum(shares * away, (shares - 1) * away).reshape(np.shape(quantiles))


def crps_quantiles(targets: Samples, quantiles: Samples, levels: Sequence[float] | Samples) -> np.ndarray:
    """Return the CRPS of distributions that are known by quantiles: twice the mean of `pinball_loss` over levels.

    Args:
        targets: ``[N]``.
        quantiles: ``[N, Q]``.
        levels: Q in (0, 1), which should fill it evenly: ``(i - 1/2) / Q``. With others the score compares predictions of the same levels
            only; the tails beyond them do not count.

    Returns:
        float64 ``[N]``; lower is better.

    Raises:
        ValueError: as `pinball_loss`.

    >>> crps_quantiles(np.array([1.0]), np.array([[0.0, 2.0]]), (0.25, 0.75)).tolist()
    [0.5]

    Reference: Laio and Tamea, Verification Tools for Probabilistic Forecasts of Continuous Hydrological Variables, 2007.
    """
    if np.ndim(quantiles) != 2:
        raise ValueError(f"quantiles: expected numbers [N, Q], got shape {np.shape(quantiles)}.")
    return 2 * pinball_loss(targets, quantiles, levels).mean(axis=1)


def crps_ensemble(targets: Samples, members: Samples, *, fair: bool = False) -> np.ndarray:
    """Return the CRPS of ensembles: ``mean |x_i - t| - sum |x_i - x_j| / (2 M^2)``.

    Args:
        targets: ``[N]``.
        members: draws or networks of an ensemble, x ``[N, M]``.
        fair: divide by ``2 M (M - 1)``, which expects the score of the distribution that members are drawn from, whatever M.

    Returns:
        float64 ``[N]``; lower is better.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite, a fair score of one member.

    >>> crps_ensemble(np.array([1.0]), np.array([[0.0, 2.0]])).tolist()
    [0.5]

    Reference: Gneiting and Raftery 2007, eq. 20 and 21; Ferro, Fair Scores for Ensemble Forecasts, 2014.
    """
    truth, values = check_column("targets", targets), np.sort(check_features("members", members), axis=1)
    count = values.shape[1]
    if len(values) != len(truth) or (fair and count < 2):
        raise ValueError(
            f"crps_ensemble: expected one row of members per target, at least two for a fair score, got {values.shape} for {len(truth)}."
        )
    weights = (
        2 * np.arange(1, count + 1) - count - 1
    )  # sum over i < j of x_j - x_i, sorted, is sum over i of (2 i - M - 1) x_i
    apart = np.sum(values * weights, axis=1) / (count * (count - 1 if fair else count))
    return np.abs(values - truth[:, None]).mean(axis=1) - apart


def spearman(targets: Samples, predictions: Samples) -> float:
    """Return Spearman's correlation, that of ranks; equal values share the mean of their ranks.

    Args:
        targets: ``[N]``.
        predictions: ``[N]``.

    Returns:
        In [-1, 1]; NaN where one of both is constant.

    Raises:
        ValueError: shapes that differ, numbers that are not finite.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0]))
    0.5
    """
    return _correlation(*_two(targets, predictions))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    x, y = (mean_ranks(each) - (len(each) + 1) / 2 for each in (first, second))
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 0 else math.nan


def spearman_within(
    targets: Samples, predictions: Samples, groups: Samples | Sequence[Any], *, least: int = 3
) -> RankAgreement:
    """Return how well predictions rank inside of groups, such as works of one artist: the mean of Spearman's correlation over groups.

    Groups count equally. One in which targets or predictions are all equal has no correlation and is left out.

    Args:
        targets: ``[N]``.
        predictions: ``[N]``.
        groups: numbers or names ``[N]``.
        least: rows that a group needs, at least 2.

    Raises:
        ValueError: shapes that differ, numbers that are not finite, another least number.

    >>> spearman_within(np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 3.0, 0.0]), ["a", "a", "a", "b"])
    RankAgreement(mean=1.0, groups=1, rows=3)
    """
    truth, guess = _two(targets, predictions)
    if np.shape(groups) != truth.shape or least < 2:
        raise ValueError(
            f"spearman_within: expected one group per target and at least 2 rows in one, got shape {np.shape(groups)} for {len(truth)} and "
            f"{least}."
        )
    parts = [rows for rows in rows_by_value(np.asarray(groups)) if len(rows) >= least]
    found = [(_correlation(truth[rows], guess[rows]), len(rows)) for rows in parts]
    known = [(value, rows) for value, rows in found if not math.isnan(value)]
    mean = math.fsum(value for value, _ in known) / len(known) if known else math.nan
    return RankAgreement(mean, len(known), sum(rows for _, rows in known))


def regression_report(
    targets: Samples,
    predictions: Samples,
    *,
    spreads: Samples | None = None,
    groups: Samples | Sequence[Any] | None = None,
    baseline: float | None = None,
    base: float = math.e,
) -> RegressionReport:
    """Return the scores of predicted logarithms of prices.

    Args:
        targets: ``[N]``.
        predictions: ``[N]``.
        spreads: standard deviations ``[N]`` of normal distributions around predictions, for the CRPS.
        groups: numbers or names ``[N]``, for the correlation inside of groups.
        baseline: what R2 compares with, as in `r_squared`.
        base: of the logarithms, above 1.

    Raises:
        ValueError: shapes that differ, numbers that are not finite or out of range.

    >>> regression_report(np.log([100.0, 200.0]), np.log([110.0, 320.0])).within_25
    0.5
    """
    truth, guess = _two(targets, predictions)
    return RegressionReport(
        count=len(truth),
        r_squared=r_squared(truth, guess, baseline=baseline),
        mean_absolute_error=mean_absolute_error(truth, guess),
        median_percentage_error=median_percentage_error(truth, guess, base=base),
        within_25=share_within(truth, guess, 0.25, base=base),
        within_50=share_within(truth, guess, 0.5, base=base),
        rank_correlation=spearman(truth, guess),
        crps=None if spreads is None else float(crps_normal(truth, guess, spreads).mean()),
        within_groups=None if groups is None else spearman_within(truth, guess, groups),
    )
