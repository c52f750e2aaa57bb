"""How well scores rank: curves over all thresholds and the areas under them, and the threshold of each label that gives the best F1.

Labels are 0 and 1 with one score each, ``[N]``; classes ``[N]`` with scores ``[N, K]``, each class against the rest; or several labels
at once, 0 and 1 ``[N, K]``, with scores ``[N, K]``.
"""

from typing import NamedTuple

import numpy as np

from jaxart.metrics.classification import check_indicators
from jaxart.metrics.estimate import Samples, check_features
from jaxart.metrics.label import check_labels


class RocCurve(NamedTuple):
    """Rates of false and of true positives where scores of at least a threshold are called positive; thresholds fall from infinity."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall where scores of at least a threshold are called positive; thresholds fall from infinity, where it is 1."""

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray


def _one(labels: Samples, scores: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return one column of labels as bool ``[N]`` and of scores as float64 ``[N]``."""
    if np.ndim(labels) != 1 or np.shape(labels) != np.shape(scores):
        raise ValueError(
            f"expected labels 0 and 1 and scores of one shape [N], got {np.shape(labels)} and {np.shape(scores)}."
        )
    truth, values = _columns(labels, scores)
    return truth[:, 0], values[:, 0]


def _columns(labels: Samples, scores: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as bool ``[N, K]``, a column for each class, and scores as float64 ``[N, K]``."""
    truth, single = np.asarray(labels), np.ndim(scores) == 1
    values = check_features("scores", np.asarray(scores)[:, None] if single else scores)
    if len(truth) != len(values):
        raise ValueError(f"expected one label per row of scores, got {len(truth)} for {len(values)}.")
    if truth.ndim == 1 and not single:
        return check_labels(truth, values.shape[1])[:, None] == np.arange(values.shape[1])[None], values
    truth = check_indicators("labels", truth[:, None] if single else truth)
    if truth.shape != values.shape:
        raise ValueError(f"expected labels and scores of one shape, got {truth.shape} and {values.shape}.")
    return truth, values


def _above(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different scores, falling, and how many positives and how many examples have at least each of them."""
    values, place = np.unique(-scores, return_inverse=True)
    counts = np.bincount(place, minlength=len(values))
    positives = np.bincount(place, weights=truth, minlength=len(values))
    return -values, np.cumsum(positives), np.cumsum(counts)


def roc_curve(labels: Samples, scores: Samples) -> RocCurve:
    """Return the rates of false and of true positives at every threshold.

    Args:
        labels: 0 and 1 ``[N]``, both of which occur.
        scores: ``[N]``, larger for 1.

    Returns:
        `RocCurve` of arrays ``[T + 1]``, T the number of different scores.

    Raises:
        ValueError: shapes that differ, labels of one kind, scores that are not finite.

    >>> roc_curve(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.8])).true_positive_rate.tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    truth, values = _one(labels, scores)
    if truth.all() or not truth.any():
        raise ValueError(f"roc_curve: expected labels of both kinds, got {len(truth)} times {int(truth[0])}.")
    thresholds, positives, counts = _above(truth, values)
    false = (counts - positives) / np.sum(~truth)
    true = positives / np.sum(truth)
    return RocCurve(np.append(0, false), np.append(0, true), np.append(np.inf, thresholds))


def precision_recall_curve(labels: Samples, scores: Samples) -> PrecisionRecallCurve:
    """Return precision and recall at every threshold.

    Args:
        labels: 0 and 1 ``[N]``, at least one 1.
        scores: ``[N]``, larger for 1.

    Returns:
        `PrecisionRecallCurve` of arrays ``[T + 1]``, T the number of different scores.

    Raises:
        ValueError: shapes that differ, no positive, scores that are not finite.

    >>> precision_recall_curve(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.8])).recall.tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    truth, values = _one(labels, scores)
    if not truth.any():
        raise ValueError("precision_recall_curve: expected at least one label 1, got none.")
    thresholds, positives, counts = _above(truth, values)
    precision, recall = positives / counts, positives / truth.sum()
    return PrecisionRecallCurve(np.append(1, precision), np.append(0, recall), np.append(np.inf, thresholds))


def roc_auc_by_class(labels: Samples, scores: Samples) -> np.ndarray:
    """Return, for each class, the chance that a positive has a larger score than a negative; equal scores count half.

    From ranks: ``(R - P (P + 1) / 2) / (P Q)``, R the sum of the ranks of the P positives among all, Q the number of negatives, equal
    scores sharing their mean rank.

    Args:
        labels: classes ``[N]``, or 0 and 1 ``[N, K]``.
        scores: ``[N, K]``.

    Returns:
        ``[K]``, NaN where a class has no positive or no negative.

    Raises:
        ValueError: shapes that do not fit, labels out of range, scores that are not finite.

    >>> roc_auc_by_class(np.array([0, 1, 1]), np.array([[3.0, 0.0], [1.0, 1.0], [1.0, 0.0]])).tolist()
    [1.0, 0.75]

    Reference: Hanley and McNeil, The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve, 1982.
    """
    truth, values = _columns(labels, scores)
    return np.array([_rank_area(*pair) for pair in zip(truth.T, values.T, strict=True)])


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of numbers ``[N]`` from 1; equal ones share their mean rank.

    >>> mean_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _rank_area(truth: np.ndarray, scores: np.ndarray) -> float:
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return float("nan")
    return float((mean_ranks(scores)[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def roc_auc(labels: Samples, scores: Samples) -> float:
    """Return the area under the ROC curve; of several columns the mean over those that have positives and negatives.

    Args:
        labels: 0 and 1 ``[N]``, classes ``[N]`` or 0 and 1 ``[N, K]``.
        scores: ``[N]``, ``[N, K]`` or ``[N, K]``; of classes each against the rest.

    Raises:
        ValueError: shapes that do not fit, no class with positives and negatives, scores that are not finite.

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    truth, values = _columns(labels, scores)
    return _mean_known("roc_auc", roc_auc_by_class(truth, values), "labels of both kinds")


def _mean_known(name: str, areas: np.ndarray, needed: str) -> float:
    known = areas[~np.isnan(areas)]
    if not len(known):
        raise ValueError(f"{name}: expected {needed}, at least for one class, got none.")
    return float(known.mean())


def average_precision_by_class(labels: Samples, scores: Samples) -> np.ndarray:
    """Return, for each class, precision averaged over the steps of recall: ``sum (R_t - R_(t-1)) P_t``.

    Args:
        labels: classes ``[N]``, or 0 and 1 ``[N, K]``.
        scores: ``[N, K]``.

    Returns:
        ``[K]``, NaN where a class has no positive.

    Raises:
        ValueError: shapes that do not fit, labels out of range, scores that are not finite.
    """
    truth, values = _columns(labels, scores)
    return np.array([_average_precision(*pair) for pair in zip(truth.T, values.T, strict=True)])


def _average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    if not truth.any():
        return float("nan")
    _, positives, counts = _above(truth, scores)
    return float(np.sum(np.diff(positives, prepend=0) * positives / counts) / truth.sum())


def average_precision(labels: Samples, scores: Samples) -> float:
    """Return the average precision; of several columns the mean over those that have positives.

    Args:
        labels: 0 and 1 ``[N]``, classes ``[N]`` or 0 and 1 ``[N, K]``.
        scores: ``[N]``, ``[N, K]`` or ``[N, K]``; of classes each against the rest.

    Raises:
        ValueError: shapes that do not fit, no positive at all, scores that are not finite.

    >>> round(average_precision(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    truth, values = _columns(labels, scores)
    return _mean_known("average_precision", average_precision_by_class(truth, values), "a label 1")


def best_thresholds(labels: Samples, probabilities: Samples, *, quantiles: int = 100, enough: int = 20) -> np.ndarray:
    """Return for each of several labels the probability from which on it is given: that of the largest F1 among its quantiles.

    Where a label has P positives, fewer than `enough`, its threshold is ``w t + (1 - w) / 2``, ``w = P / enough``: few examples tell
    little. Of equally good ones the nearest to one half is taken.

    Args:
        labels: of examples that were not trained on, 0 and 1 ``[N, K]``.
        probabilities: ``[N, K]`` in [0, 1].
        quantiles: tried, at equal distances from the smallest to the largest probability.
        enough: positives.

    Returns:
        ``[K]``; a label is given where its probability is at least this.

    Raises:
        ValueError: shapes that differ, labels other than 0 and 1, probabilities outside [0, 1].

    Reference: Lipton, Elkan and Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, 2014. Departure: shrinking, as
    the best threshold of few positives is mostly chance.

    >>> best_thresholds(np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.2], [0.3], [0.4]]), enough=1).round(1).tolist()
    [0.3]
    """
    truth, values = check_indicators("labels", labels), check_features("probabilities", probabilities)
    if truth.shape != values.shape or values.min() < 0 or values.max() > 1 or quantiles < 2 or enough < 1:
        raise ValueError(
            f"best_thresholds: expected labels and probabilities in [0, 1] of one shape [N, K], and quantiles of at least 2, got "
            f"{truth.shape}, {values.shape} from {values.min():g} to {values.max():g}, and {quantiles}."
        )
    found = np.array([_best_threshold(*pair, quantiles) for pair in zip(truth.T, values.T, strict=True)])
    trust = np.minimum(truth.sum(axis=0) / enough, 1)
    return trust * found + (1 - trust) * 0.5


def _best_threshold(truth: np.ndarray, values: np.ndarray, quantiles: int) -> float:
    tried = np.quantile(values, np.linspace(0, 1, quantiles))
    tried = tried[np.argsort(np.abs(tried - 0.5), kind="stable")]
    given = len(values) - np.searchsorted(np.sort(values), tried)
    hits = truth.sum() - np.searchsorted(np.sort(values[truth]), tried)
    return float(tried[np.argmax(2 * hits / np.maximum(given + truth.sum(), 1))])
