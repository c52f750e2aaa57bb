"""Sets of classes instead of guesses, which hold the true class as often as promised, and "none of these".

The one assumption: the examples that thresholds are found with and those that sets are made for are exchangeable, such as parts of one
random split by work, and none of them was trained on. The promise is about the mean over both.

A set holds the classes whose score is at most a threshold. With ``p_(1) >= p_(2) >= ...`` the probabilities of an example in order, the
score of the class at rank r is ``p_(1) + ... + p_(r-1) + u p_(r) + penalty max(0, r - free)``. Where a key is given u is a uniform number,
one for each example, and sets hold the true class exactly as often as promised; without one it is 1, and they do so at least as often.

Reference: Romano, Sesia and Candès, Classification with Valid and Adaptive Coverage, 2020, section 2 (APS, penalty 0); Angelopoulos et
al., Uncertainty Sets for Image Classifiers using Conformal Prediction, 2021, algorithm 2 and 3 (RAPS).
"""

import math
from typing import NamedTuple

import numpy as np

from jaxart.arrays import Key
from jaxart.metrics.calibration import check_probabilities
from jaxart.metrics.estimate import Samples, check_column, check_features, generator
from jaxart.metrics.label import check_labels


class Coverage(NamedTuple):
    """The share of sets that hold the label, the mean size of sets, and the 95 % band of shares that a promise kept gives by chance."""

    share: float
    size: float
    low: float
    high: float


def _all_scores(probabilities: Samples, key: Key | None, penalty: float, free: int) -> np.ndarray:
    """Return the score of every class ``[N, K]``; of equal probabilities the first class comes first."""
    if not penalty >= 0 or free < 0:
        raise ValueError(f"expected a penalty and free ranks of 0 or more, got {penalty} and {free}.")
    rows = check_probabilities(probabilities)
    order = np.argsort(-rows, axis=1, kind="stable")
    falling = np.take_along_axis(rows, order, axis=1)
    part = 1.0 if key is None else generator(key).random(len(rows))[:, None]
    ranks = np.arange(1, rows.shape[1] + 1)[None]
    sums = np.cumsum(falling, axis=1) - (1 - part) * falling + penalty * np.maximum(0, ranks - free)
    scores = np.empty_like(rows)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


def check_level(level: float) -> None:
    """Raise unless `level` is a share that can be promised.

    Raises:
        ValueError: not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share in (0, 1), such as 0.9, got {level}.")


def set_scores(
    probabilities: Samples, labels: Samples, *, key: Key | None = None, penalty: float = 0.01, free: int = 5
) -> np.ndarray:
    """Return the score of the true class of each example, of which thresholds are made.

    Args:
        probabilities: of examples that were not trained on, ``[N, K]`` with rows that sum to 1.
        labels: integers ``[N]`` in [0, K).
        key: typed key of the random part; without one scores are larger, and sets too.
        penalty: of each rank after the free ones, 0 or more.
        free: ranks without a penalty.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: shapes that do not fit, values out of range.

    >>> set_scores(np.array([[0.7, 0.2, 0.1]]), np.array([1])).round(6).tolist()
    [0.9]
    """
    scores = _all_scores(probabilities, key, penalty, free)
    expected = check_labels(labels, scores.shape[1])
    if len(expected) != len(scores):
        raise ValueError(f"set_scores: expected one label per row, got {len(expected)} for {len(scores)}.")
    return scores[np.arange(len(scores)), expected]


def threshold_rank(count: int, level: float) -> int:
    """Return ``ceil((n + 1) level)``, rounding errors of the product aside: which of n rising scores is the threshold.

    Args:
        count: n; a rank above it means an infinite threshold.
        level: in (0, 1).
    """
    return math.ceil((count + 1) * level - 1e-9)


def conformal_threshold(scores: Samples, level: float) -> float:
    """Return the ``ceil((n + 1) level)``-th smallest of n scores, infinity where there are not as many.

    A new exchangeable score is at most this with a probability from `level` to ``level + 1 / (n + 1)``, the latter if no scores are equal.

    Args:
        scores: ``[n]`` of examples that were not trained on.
        level: the share to be covered, in (0, 1).

    Raises:
        ValueError: another rank, no scores or some that are not finite, another level.

    >>> conformal_threshold(np.arange(1, 10), 0.9), conformal_threshold(np.arange(1, 9), 0.9)
    (9.0, inf)

    Reference: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et al., Distribution-Free Predictive Inference
    for Regression, 2018, theorem 2.2.
    """
    check_level(level)
    values = check_column("scores", scores)
    rank = threshold_rank(len(values), level)
    return float(np.partition(values, rank - 1)[rank - 1]) if rank <= len(values) else math.inf


def class_thresholds(scores: Samples, labels: Samples, classes: int, level: float, *, least: int = 20) -> np.ndarray:
    """Return a threshold for each class, so that sets hold the examples of each class as often as promised.

    A class with fewer than `least` examples, or so few that its own threshold were infinite, gets that of all examples together.

    Args:
        scores: of the true classes ``[n]``, by `set_scores`.
        labels: integers ``[n]`` in [0, classes).
        classes: K.
        level: the share to be covered, in (0, 1).
        least: examples for a threshold of its own.

    Returns:
        float64 ``[K]``.

    Raises:
        ValueError: shapes that differ, labels out of range, scores that are not finite, another level.

    Reference: Vovk, Conditional Validity of Inductive Conformal Predictors, 2012, section 3 (label-conditional).
    """
    values, expected = check_column("scores", scores), check_labels(labels, classes)
    if len(values) != len(expected):
        raise ValueError(f"class_thresholds: expected one label per score, got {len(expected)} for {len(values)}.")
    thresholds = np.full(classes, conformal_threshold(values, level))
    for each, count in enumerate(np.bincount(expected, minlength=classes)):
        if count >= max(least, 1) and threshold_rank(int(count), level) <= count:
            thresholds[each] = conformal_threshold(values[expected == each], level)
    return thresholds


def prediction_sets(
    probabilities: Samples,
    thresholds: Samples | float,
    *,
    key: Key | None = None,
    penalty: float = 0.01,
    free: int = 5,
    allow_empty: bool = False,
) -> np.ndarray:
    """Return which classes the set of each example holds: those whose score is at most the threshold.

    Args:
        probabilities: ``[N, K]`` with rows that sum to 1.
        thresholds: of all classes, or ``[K]``, one for each; made of scores with the same `penalty`, `free`, and a key or none as here.
        key: typed key of the random part, another than that of the scores.
        penalty: of each rank after the free ones, 0 or more.
        free: ranks without a penalty.
        allow_empty: else a set that were empty holds the class with the smallest score, which covers a little more than promised.

    Returns:
        bool ``[N, K]``.

    Raises:
        ValueError: shapes that do not fit, values out of range, thresholds that are NaN.

    >>> prediction_sets(np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]]), 0.9).tolist()
    [[True, True, False], [True, True, False]]
    """
    scores = _all_scores(probabilities, key, penalty, free)
    limits = np.asarray(thresholds, np.float64)
    if limits.shape not in ((), scores.shape[1:]) or np.isnan(limits).any():
        raise ValueError(f"thresholds: expected one or {scores.shape[1]} numbers, got shape {limits.shape}.")
    sets = scores <= np.broadcast_to(limits, scores.shape) + 1e-12  # the sums of equal scores may differ by rounding
    if not allow_empty:
        sets[np.arange(len(sets)), scores.argmin(axis=1)] |= ~sets.any(axis=1)
    return sets


def coverage(sets: Samples, labels: Samples, level: float, *, calibration: int | None = None) -> Coverage:
    """Return how often sets hold the label, how large they are, and between which shares that would lie by chance.

    The number of n examples that are covered is binomial, of a probability that depends on the m examples which the threshold was found
    with: Beta distributed with ``k = ceil((m + 1) level)`` and ``m + 1 - k``. The band is the middle 95 % of that beta-binomial.

    Args:
        sets: bool ``[N, K]``, by `prediction_sets`.
        labels: integers ``[N]`` in [0, K).
        level: promised, in (0, 1).
        calibration: m; without it the probability is taken to be `level`, and the band is binomial.

    Returns:
        `Coverage`. Sets without a key, or that may not be empty, may cover more than the band.

    Raises:
        ValueError: shapes that do not fit, labels out of range, another level, or no examples.

    Reference: Angelopoulos and Bates, A Gentle Introduction to Conformal Prediction and Distribution-Free Uncertainty Quantification, 2021,
    appendix C.

    >>> coverage(np.array([[True, False], [True, True]]), np.array([0, 1]), 0.9)
    Coverage(share=1.0, size=1.5, low=0.5, high=1.0)
    """
    check_level(level)
    held = np.asarray(sets)
    if held.ndim != 2 or held.dtype != bool or (calibration is not None and calibration < 1):
        raise ValueError(
            f"coverage: expected sets, bool [N, K], and at least one example of calibration, got {held.dtype} {held.shape} and "
            f"{calibration}."
        )
    expected = check_labels(labels, held.shape[1])
    if len(expected) != len(held):
        raise ValueError(f"coverage: expected one label per set, got {len(expected)} for {len(held)}.")
    low, high = coverage_band(len(held), level, calibration)
    covered = held[np.arange(len(held)), expected]
    return Coverage(float(covered.mean()), float(held.sum(axis=1).mean()), low, high)


def coverage_band(count: int, level: float, calibration: int | None) -> tuple[float, float]:
    """Return the 2.5 and 97.5 % quantiles of the share covered of n examples, as `coverage` says.

    Args:
        count: n, at least 1.
        level: promised, in (0, 1).
        calibration: examples that the threshold was found with; None for a binomial band.
    """
    hits = np.arange(count + 1)
    if calibration is None:
        logs = _log_choose(count) + hits * math.log(level) + (count - hits) * math.log1p(-level)
    else:
        rank = threshold_rank(calibration, level)
        if rank > calibration:  # an infinite threshold
            return 1.0, 1.0
        a, b = rank, calibration + 1 - rank
        logs = _log_choose(count) + _log_gamma(hits + a) + _log_gamma(count - hits + b)
    reached = np.cumsum(np.exp(logs - logs.max()))
    low, high = (int(np.searchsorted(reached, share * reached[-1])) for share in (0.025, 0.975))
    return low / count, high / count


def _log_gamma(values: np.ndarray) -> np.ndarray:
    return np.array([math.lgamma(value) for value in values.tolist()])


def _log_choose(count: int) -> np.ndarray:
    """Return ``log (n over k)`` for k from 0 to n."""
    factorials = _log_gamma(np.arange(1, count + 2))
    return factorials[-1] - factorials - factorials[::-1]


def energy(logits: Samples, *, temperature: float = 1.0) -> np.ndarray:
    """Return ``-T log sum_k exp(logit_k / T)``: the larger, the less any class speaks for the example.

    Args:
        logits: ``[N, K]``.
        temperature: T, above 0.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: another rank, logits that are not finite, no positive temperature.

    Reference: Liu et al., Energy-based Out-of-distribution Detection, 2020, eq. 4.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}.")
    rows = check_features("logits", logits) / temperature
    most = rows.max(axis=1)
    return -temperature * (most + np.log(np.exp(rows - most[:, None]).sum(axis=1)))


def novelty_p_value(scores: Samples, calibration: Samples) -> np.ndarray:
    """Return for each example the share of known ones that are as strange or stranger: ``(1 + #{c >= s}) / (n + 1)``.

    Calling "none of these" what has a p-value of at most a does so wrongly for a share of a, at most, of examples like the known ones.

    Args:
        scores: ``[M]``, larger for what is stranger, such as distances to the nearest training example or `energy`.
        calibration: ``[n]``, the same of examples of the known classes that were not trained on.

    Returns:
        float64 ``[M]`` in (0, 1].

    Raises:
        ValueError: another rank, no numbers or some that are not finite.

    >>> novelty_p_value(np.array([0.5, 9.0]), np.array([0.1, 0.4, 0.6])).tolist()
    [0.5, 0.25]

    Reference: Bates et al., Testing for Outliers with Conformal p-values, 2023, section 2.
    """
    known = np.sort(check_column("calibration", calibration))
    stranger = len(known) - np.searchsorted(known, check_column("scores", scores))
    return (1 + stranger) / (len(known) + 1)
