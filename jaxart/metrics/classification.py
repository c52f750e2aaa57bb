"""Scores of a classifier's decisions: confusions, precision, recall and F1, recall by the size of classes, and the interval of a share.

Labels are classes, integers ``[N]``, or several at once, ``[N, K]`` of 0 and 1. The standard error of a score that is no share comes from
`jackknife`: ``jackknife(key, lambda pair: f1_score(*pair), (labels, predicted))``.
"""

import math
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxart.arrays import check_choice
from jaxart.metrics.estimate import Samples, check_features
from jaxart.metrics.label import check_labels

Average = Literal["macro", "micro", "weighted"]
AVERAGES = ("macro", "micro", "weighted")


class ClassReport(NamedTuple):
    """Precision, recall and F1 of each class and the number of its examples, all ``[K]``; what is 0 / 0 is 0."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


class RecallBySize(NamedTuple):
    """Mean recall of the rarest third of the classes, of the middle and of the most frequent third; NaN of a third without examples."""

    rare: float
    middle: float
    frequent: float


class Interval(NamedTuple):
    """A value and the ends of its interval; numbers, or arrays of one shape."""

    value: Any
    low: Any
    high: Any


class _Counts(NamedTuple):
    """For each class ``[K]``: examples found, examples predicted, examples there are."""

    hits: np.ndarray
    predicted: np.ndarray
    support: np.ndarray


def check_indicators(name: str, labels: Any) -> np.ndarray:
    """Return several labels at once as bool ``[N, K]``; raise if they are not zeros and ones.

    Args:
        name: what the labels are called in the message.
        labels: ``[N, K]``, bool or numbers.

    Raises:
        ValueError: another rank, nothing in it, or other values.
    """
    array = np.asarray(labels)
    if array.ndim != 2 or array.size == 0 or not ((array == 0) | (array == 1)).all():
        raise ValueError(
            f"{name}: expected 0 and 1 for each of several labels [N, K], got {array.dtype} of shape {array.shape}."
        )
    return array.astype(bool)


def _counts(labels: Samples, predicted: Samples, classes: int | None = None) -> _Counts:
    """Count by class; the number of classes is that of the columns, or one more than the largest number, if not given."""
    if np.shape(labels) != np.shape(predicted):
        raise ValueError(
            f"expected one prediction per label, got labels of shape {np.shape(labels)} and predictions {np.shape(predicted)}."
        )
    if np.ndim(labels) == 2:
        truth, guess = check_indicators("labels", labels), check_indicators("predicted", predicted)
        if classes not in (None, truth.shape[1]):
            raise ValueError(f"labels: expected {classes} columns, one for each label, got {truth.shape[1]}.")
        return _Counts((truth & guess).sum(axis=0), guess.sum(axis=0), truth.sum(axis=0))
    known = int(max(np.max(labels, initial=0), np.max(predicted, initial=0))) + 1 if classes is None else classes
    truth, guess = check_labels(labels, known), check_labels(predicted, known)
    return _Counts(*(np.bincount(each, minlength=known) for each in (truth[truth == guess], guess, truth)))


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Return ``over / under``, 0 where both are 0."""
    return np.divide(over, under, out=np.zeros(len(over)), where=under > 0)


def confusion_matrix(labels: Samples, predicted: Samples, classes: int) -> np.ndarray:
    """Count examples by label (rows) and prediction (columns).

    Args:
        labels: integers ``[N]`` in [0, classes).
        predicted: as `labels`.
        classes: K.

    Returns:
        int64 ``[K, K]``.

    Raises:
        ValueError: numbers out of range, or not one prediction per label.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    truth, guess = check_labels(labels, classes), check_labels(predicted, classes)
    if len(truth) != len(guess):
        raise ValueError(f"expected one prediction per label, got {len(guess)} for {len(truth)}.")
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)


def class_report(labels: Samples, predicted: Samples, classes: int) -> ClassReport:
    """Return precision ``hits / predicted``, recall ``hits / support`` and F1 ``2 hits / (predicted + support)`` of each class.

    Args:
        labels: integers ``[N]`` in [0, classes), or 0 and 1 ``[N, classes]``.
        predicted: as `labels`.
        classes: K.

    Raises:
        ValueError: numbers out of range, shapes that differ, or another number of columns.

    >>> class_report(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).recall.tolist()
    [0.5, 1.0]
    """
    counts = _counts(labels, predicted, classes)
    return ClassReport(
        _ratio(counts.hits, counts.predicted),
        _ratio(counts.hits, counts.support),
        _ratio(2 * counts.hits, counts.predicted + counts.support),
        counts.support,
    )


def f1_score(labels: Samples, predicted: Samples, *, average: Average = "macro") -> float:
    """Return the harmonic mean of precision and recall, over classes.

    The macro average counts every class that occurs among labels or predictions alike (of several labels at once every column, 0 where
    one neither occurs nor is predicted), the weighted one by its examples; the micro average is of hits and misses of all classes
    together, for one label per example the accuracy.

    Args:
        labels: integers ``[N]``, or 0 and 1 ``[N, K]``.
        predicted: as `labels`.
        average: "macro", "micro" or "weighted".

    Raises:
        ValueError: shapes that differ, negative numbers, or another average.

    >>> f1_score(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), average="micro")
    0.75

    Reference: Opitz and Burst, Macro F1 and Macro F1, 2019 (the mean of F1, which is here, is not the F1 of means).
    """
    counts = _counts(labels, predicted)
    both = counts.predicted + counts.support
    if check_choice("average", average, AVERAGES) == "micro":
        return float(2 * counts.hits.sum() / max(both.sum(), 1))
    several = np.ndim(labels) == 2
    weights = counts.support if average == "weighted" else np.ones(len(both)) if several else both > 0
    return float(np.sum(weights * _ratio(2 * counts.hits, both)) / max(np.sum(weights), 1))


def balanced_accuracy(labels: Samples, predicted: Samples) -> float:
    """Return the mean recall of the classes that occur among the labels.

    Args:
        labels: integers ``[N]``, 0 or more.
        predicted: as `labels`.

    Raises:
        ValueError: shapes that differ, other ranks or negative numbers.

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5

    Reference: Brodersen et al., The Balanced Accuracy and Its Posterior Distribution, 2010.
    """
    if np.ndim(labels) != 1:
        raise ValueError(f"labels: expected integers [N], got shape {np.shape(labels)}.")
    counts = _counts(labels, predicted)
    there = counts.support > 0
    return float(np.mean(counts.hits[there] / counts.support[there]))


def top_k_accuracy(logits: Samples, labels: Samples, k: int) -> float:
    """Return the share of examples whose label is among the k largest logits; of equal ones the first counts as the larger.

    Args:
        logits: ``[N, K]``.
        labels: integers ``[N]`` in [0, K).
        k: from 1 to K; 1 gives `accuracy`.

    Raises:
        ValueError: shapes that do not fit, labels out of range, another k.

    >>> top_k_accuracy(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([1, 2]), 2)
    0.5
    """
    scores = check_features("logits", logits)
    expected = check_labels(labels, scores.shape[1])
    if len(expected) != len(scores) or not 1 <= k <= scores.shape[1]:
        raise ValueError(
            f"top_k_accuracy: expected one label per row of logits and k from 1 to {scores.shape[1]}, got {len(expected)} for "
            f"{len(scores)} and {k}."
        )
    own = np.take_along_axis(scores, expected[:, None], axis=1)
    earlier = np.arange(scores.shape[1])[None] < expected[:, None]
    return float(np.mean(np.sum((scores > own) | ((scores == own) & earlier), axis=1) < k))


def size_thirds(counts: Samples) -> np.ndarray:
    """Divide classes by size: 0 for the rarest third, 1 for the middle, 2 for the most frequent third.

    The outer thirds are rounded to whole classes, at least one each; of equal sizes the first counts as the smaller.

    Args:
        counts: ``[K]``, examples of each class where the classifier was trained; at least two classes.

    Returns:
        ``[K]`` of 0, 1 and 2.

    Raises:
        ValueError: another rank, or fewer than two classes.

    >>> size_thirds(np.array([50, 3, 20])).tolist()
    [2, 0, 1]
    """
    sizes = np.asarray(counts)
    if sizes.ndim != 1 or len(sizes) < 2:
        raise ValueError(f"counts: expected those of at least two classes [K], got shape {sizes.shape}.")
    third = max(1, round(len(sizes) / 3))
    place = np.empty(len(sizes), np.int64)
    place[np.argsort(sizes, kind="stable")] = np.arange(len(sizes))
    return (place >= third).astype(np.int64) + (place >= len(sizes) - third)


def recall_by_size(labels: Samples, predicted: Samples, counts: Samples) -> RecallBySize:
    """Return the mean recall of rare, middling and frequent classes, of those that occur among the labels.

    Args:
        labels: integers ``[N]`` in [0, K).
        predicted: as `labels`.
        counts: ``[K]``, examples of each class where the classifier was trained, divided as by `size_thirds`.

    Raises:
        ValueError: numbers out of range, not one prediction per label, or fewer than two classes.

    >>> recall_by_size(np.array([0, 1, 2]), np.array([0, 0, 2]), np.array([50, 3, 20]))
    RecallBySize(rare=0.0, middle=1.0, frequent=1.0)
    """
    thirds = size_thirds(counts)
    report = class_report(labels, predicted, len(thirds))
    rows = [(thirds == third) & (report.support > 0) for third in range(3)]
    return RecallBySize(*(float(report.recall[row].mean()) if row.any() else math.nan for row in rows))


def wilson(successes: Any, trials: Any, *, confidence: float = 0.95) -> Interval:
    """Return shares and their score intervals, which hold for few trials and near 0 and 1.

    ``(s + z^2 / 2 +- z sqrt(s (n - s) / n + z^2 / 4)) / (n + z^2)``, z the normal quantile.

    Args:
        successes: s, a number or array, from 0 to n.
        trials: n, of the same shape; without trials the share is NaN and its interval [0, 1].
        confidence: in (0, 1).

    Raises:
        ValueError: numbers out of these ranges.

    >>> [round(float(each), 3) for each in wilson(9, 10)]
    [0.9, 0.596, 0.982]

    Reference: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927; Brown, Cai and DasGupta, Interval
    Estimation for a Binomial Proportion, 2001.
    """
    hits, count = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    if not (0 < confidence < 1 and hits.shape == count.shape and (hits >= 0).all() and (hits <= count).all()):
        raise ValueError(
            f"wilson: expected successes from 0 to trials and a confidence in (0, 1), got {successes} of {trials}, {confidence}."
        )
    square = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    some = np.maximum(count, 1)
    half = np.sqrt(square * (hits * (count - hits) / some + square / 4))
    low, high = (hits + square / 2 - half) / (count + square), (hits + square / 2 + half) / (count + square)
    return Interval(np.where(count > 0, hits / some, math.nan)[()], np.maximum(low, 0), np.minimum(high, 1))
