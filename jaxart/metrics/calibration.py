"""Whether probabilities mean what they say: reliability, calibration error, proper scores, and the temperature that corrects logits.

Probabilities are of classes, ``[N, K]`` with rows that sum to 1 and labels ``[N]``, or of one label, ``[N]`` with labels 0 and 1.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from jaxart.arrays import check_choice
from jaxart.metrics.classification import check_indicators
from jaxart.metrics.estimate import Samples, check_features
from jaxart.metrics.label import check_labels

BINNINGS = ("width", "mass")
_HOTTEST = 100.0  # largest temperature, and one over the smallest


class Reliability(NamedTuple):
    """Bins of confidence ``(edges[b], edges[b + 1]]``: the mean confidence in each, the share that is right, the number of examples.

    Fields:
        confidence: ``[bins]``, NaN in an empty bin.
        accuracy: ``[bins]``, NaN in an empty bin.
        count: ``[bins]``.
        edges: ``[bins + 1]``.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    edges: np.ndarray


def check_probabilities(probabilities: Any) -> np.ndarray:
    """Return probabilities of classes as float64 ``[N, K]`` with rows that sum to 1; raise if they are not that.

    Args:
        probabilities: ``[N, K]``, with sums that are 1 to a thousandth.

    Raises:
        ValueError: another rank, values outside [0, 1] or not finite, other sums.
    """
    array = check_features("probabilities", probabilities)
    sums = array.sum(axis=1)
    if array.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        raise ValueError(
            f"probabilities: expected rows of numbers from 0 to 1 that sum to 1, got {array.min():g} to {array.max():g} and sums from "
            f"{sums.min():g} to {sums.max():g}. class_probabilities makes them of logits."
        )
    return array / sums[:, None]


def _with_labels(name: str, rows: np.ndarray, labels: Samples) -> np.ndarray:
    expected = check_labels(labels, rows.shape[1])
    if len(expected) != len(rows):
        raise ValueError(f"{name}: expected one label per row, got {len(expected)} for {len(rows)}.")
    return expected


def class_probabilities(logits: Samples, *, temperature: float = 1.0) -> np.ndarray:
    """Return ``softmax(logits / temperature)``.

    Args:
        logits: ``[N, K]``.
        temperature: above 0, such as `fit_temperature` finds.

    Returns:
        float64 ``[N, K]``.

    Raises:
        ValueError: another rank, logits that are not finite, no positive temperature.

    >>> class_probabilities(np.array([[0.0, np.log(3.0)]])).round(2).tolist()
    [[0.25, 0.75]]
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}.")
    return np.exp(_log_softmax(check_features("logits", logits) / temperature))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def reliability(
    probabilities: Samples, labels: Samples, *, bins: int = 15, equal: Literal["width", "mass"] = "width"
) -> Reliability:
    """Put examples into bins by confidence, and compare it with the share that is right: the numbers of a reliability diagram.

    Of classes the confidence is the largest probability, and right is where its class is the label; of one label the confidence is its
    probability, and "right" means that it is 1.

    Args:
        probabilities: ``[N, K]`` with rows that sum to 1, or ``[N]`` in [0, 1].
        labels: integers ``[N]`` in [0, K), or 0 and 1 ``[N]``.
        bins: how many.
        equal: bins of equal "width" in [0, 1], or of about equal "mass", whose edges are quantiles of the confidence.

    Raises:
        ValueError: shapes that do not fit, values out of range, no bins, an unknown kind of bins.

    Reference: Guo et al., On Calibration of Modern Neural Networks, 2017, section 2; Nixon et al., Measuring Calibration in Deep Learning,
    2019, section 3.3, for bins of equal mass.
    """
    confidence, right = _confidence(probabilities, labels)
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, got {bins}.")
    edges = np.linspace(0, 1, bins + 1)
    if check_choice("equal", equal, BINNINGS) == "mass":
        edges = np.quantile(confidence, edges)
    place = np.searchsorted(edges[1:-1], confidence)  # the upper edge belongs to a bin
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=each, minlength=bins) for each in (confidence, right)]
    means = [np.divide(each, count, out=np.full(bins, np.nan), where=count > 0) for each in sums]
    return Reliability(means[0], means[1], count, edges)


def _confidence(probabilities: Samples, labels: Samples) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(probabilities) == 1:
        return _one_label(probabilities, labels)
    rows = check_probabilities(probabilities)
    expected = _with_labels("reliability", rows, labels)
    return rows.max(axis=1), (rows.argmax(axis=1) == expected).astype(np.float64)


def _one_label(probabilities: Samples, labels: Samples) -> tuple[np.ndarray, np.ndarray]:
    values = check_features("probabilities", np.asarray(probabilities)[:, None])[:, 0]
    if np.shape(labels) != values.shape or values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"expected probabilities in [0, 1] and labels 0 and 1 of one shape [N], got {values.shape} from {values.min():g} to "
            f"{values.max():g} and {np.shape(labels)}."
        )
    return values, check_indicators("labels", np.asarray(labels)[:, None])[:, 0].astype(np.float64)


def calibration_error(
    probabilities: Samples, labels: Samples, *, bins: int = 15, equal: Literal["width", "mass"] = "width"
) -> float:
    """Return how far confidence is from accuracy: ``sum_b (n_b / N) |accuracy_b - confidence_b|`` over bins of confidence.

    Chance alone makes it positive, the more so the more bins there are to the number of examples: compare at equal N and bins.

    Args:
        probabilities: ``[N, K]`` with rows that sum to 1, or ``[N]`` in [0, 1].
        labels: integers ``[N]`` in [0, K), or 0 and 1 ``[N]``.
        bins: how many.
        equal: "width" or "mass", as in `reliability`.

    Raises:
        ValueError: as `reliability`.

    >>> round(calibration_error(np.array([0.8, 0.8, 0.8, 0.8]), np.array([1, 1, 0, 0])), 3)
    0.3

    Reference: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, 2015.
    """
    found = reliability(probabilities, labels, bins=bins, equal=equal)
    some = found.count > 0
    gaps = np.abs(found.accuracy[some] - found.confidence[some])
    return float(np.sum(found.count[some] * gaps) / found.count.sum())


def negative_log_likelihood(logits: Samples, labels: Samples) -> float:
    """Return the mean of ``-log softmax(logits)[label]``, in nats; it is least for the true probabilities.

    Args:
        logits: ``[N, K]``, or the logarithms of probabilities.
        labels: integers ``[N]`` in [0, K).

    Raises:
        ValueError: shapes that do not fit, labels out of range, logits that are not finite.

    >>> round(negative_log_likelihood(np.zeros((3, 4)), np.array([0, 1, 2])), 4)
    1.3863
    """
    rows = _log_softmax(check_features("logits", logits))
    expected = _with_labels("negative_log_likelihood", rows, labels)
    return float(-rows[np.arange(len(rows)), expected].mean())


def brier_score(probabilities: Samples, labels: Samples) -> float:
    """Return the mean squared error of probabilities; it is least for the true ones.

    Of classes summed over them, ``sum_k (p_k - [k = label])^2``, from 0 to 2; of one label ``(p - label)^2``.

    Args:
        probabilities: ``[N, K]`` with rows that sum to 1, or ``[N]`` in [0, 1].
        labels: integers ``[N]`` in [0, K), or 0 and 1 ``[N]``.

    Raises:
        ValueError: shapes that do not fit, values out of range.

    >>> brier_score(np.array([[0.5, 0.5]]), np.array([0])), brier_score(np.array([0.5]), np.array([1]))
    (0.5, 0.25)

    Reference: Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.
    """
    if np.ndim(probabilities) == 1:
        values, truth = _one_label(probabilities, labels)
        return float(np.mean((values - truth) ** 2))
    rows = check_probabilities(probabilities)
    expected = _with_labels("brier_score", rows, labels)
    hit = expected[:, None] == np.arange(rows.shape[1])[None]
    return float(np.mean(np.sum((rows - hit) ** 2, axis=1)))


def fit_temperature(logits: Samples, labels: Samples) -> float:
    """Return the temperature T at which ``softmax(logits / T)`` gives labels the largest likelihood, between 0.01 and 100.

    The likelihood is concave in 1 / T, so Newton's steps on that, held between the points where its slope is known to have either sign,
    find the one maximum. Predictions stay as they are. Where all predictions are right, colder is always better, and T is 0.01.

    Args:
        logits: of examples that were not trained on, ``[N, K]``.
        labels: integers ``[N]`` in [0, K).

    Raises:
        ValueError: shapes that do not fit, labels out of range, logits that are not finite.

    >>> logits = np.array([[np.log(9.0), 0.0]] * 4)  # says 0.9, is 0.75
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 6)
    2.0

    Reference: Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2.
    """
    rows = check_features("logits", logits)
    expected = _with_labels("fit_temperature", rows, labels)
    own = rows[np.arange(len(rows)), expected].mean()
    low, high, inverse = 1 / _HOTTEST, _HOTTEST, 1.0
    for _ in range(100):
        slope, curvature = _slope(rows, own, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / max(curvature, 1e-300)
        following = step if low < step < high else float(np.sqrt(low * high))
        if abs(following - inverse) <= 1e-12 * inverse:
            break
        inverse = following
    return float(1 / inverse)


def _slope(rows: np.ndarray, own: float, inverse: float) -> tuple[float, float]:
    """Return the first two derivatives of the mean negative log-likelihood in 1 / T: mean and variance of logits, less the labels' own."""
    shares = np.exp(_log_softmax(rows * inverse))
    means = np.sum(shares * rows, axis=1, keepdims=True)
    return float(means.mean() - own), float(np.sum(shares * (rows - means) ** 2) / len(rows))
