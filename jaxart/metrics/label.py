"""Scores of labels: given by a classifier, or by the nearest mode of a mixture."""

from typing import NamedTuple

import numpy as np

from jaxart.metrics.estimate import Samples, check_features, check_together


class ModeCoverage(NamedTuple):
    """Modes with at least 1 and with at least 20 high-quality samples, share of these, and how unevenly modes are hit."""

    modes: int
    modes_20: int
    high_quality: float
    reverse_kl: float


class ClassCoverage(NamedTuple):
    """Number of classes that occur, and how unevenly."""

    classes: int
    reverse_kl: float


def check_labels(labels: Samples, classes: int) -> np.ndarray:
    """Return labels as int64 ``[N]``; raise if they are not numbers of classes.

    Args:
        labels: integers ``[N]``.
        classes: how many.

    Raises:
        ValueError: another rank, no examples, not integers, or out of range.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"labels: expected integers [N], at least one, got {array.dtype} of shape {array.shape}.")
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(f"labels: expected numbers from 0 to {classes - 1}, got {array.min()} to {array.max()}.")
    return array.astype(np.int64)


def accuracy(logits: Samples, labels: Samples) -> float:
    """Return the share of examples whose largest logit is that of their label.

    Trained on fakes and tested on reals, a classifier's accuracy is the classification accuracy score of the generator.

    Args:
        logits: ``[N, K]``.
        labels: integers ``[N]`` in [0, K).

    Raises:
        ValueError: shapes that do not fit, labels out of range, logits that are not finite.

    Example:
        >>> accuracy(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
        0.5

    Reference: Ravuri and Vinyals, Classification Accuracy Score for Conditional Generative Models, 2019.
    """
    scores = check_features("logits", logits)
    expected = check_labels(labels, scores.shape[1])
    if len(expected) != len(scores):
        raise ValueError(f"accuracy: expected one label per row of logits, got {len(expected)} for {len(scores)}.")
    return float(np.mean(scores.argmax(axis=1) == expected))


def class_coverage(labels: Samples, classes: int, *, shares: Samples | None = None) -> ClassCoverage:
    """Return how many classes occur among predicted labels, and ``KL(q || p)`` of their frequencies q from the expected p.

    Args:
        labels: a classifier's, of fakes: integers ``[N]`` in [0, classes).
        classes: number of classes, 1000 for three stacked digits.
        shares: expected frequencies ``[classes]``, normalized here; all equal by default.

    Raises:
        ValueError: labels out of range, or shares that are not positive numbers ``[classes]``.

    Example:
        >>> class_coverage(np.array([0, 1, 2, 2, 1, 0]), 3)
        ClassCoverage(classes=3, reverse_kl=0.0)
    """
    counts = np.bincount(check_labels(labels, classes), minlength=classes)
    expected = np.ones(classes) if shares is None else np.asarray(shares, np.float64)
    if expected.shape != (classes,) or not (np.isfinite(expected) & (expected > 0)).all():
        raise ValueError(f"shares: expected {classes} positive numbers, got {expected}.")
    return ClassCoverage(int(np.sum(counts > 0)), _reverse_kl(counts, expected / expected.sum()))


def mode_coverage(samples: Samples, centers: Samples, std: float, *, radius: float = 3.0) -> ModeCoverage:
    """Return how a generator covers the modes of a mixture of equal, isotropic Gaussians.

    A sample is of high quality if it lies within ``radius std`` of a center; a perfect generator reaches ``1 - exp(-radius^2 / 2)`` in
    two dimensions, 0.989 at 3. The reverse divergence is ``KL(q || p)`` of the frequencies of the nearest modes, of all samples, from
    equal ones; what chance alone gives it is about ``(modes - 1) / (2 N)``.

    Args:
        samples: ``[N, D]``; 2500 in published tables.
        centers: ``[K, D]``.
        std: of a mode, > 0, in the unit of the samples.
        radius: in standard deviations.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, no samples, std or radius not positive.

    Reference: Srivastava et al., VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning, 2017, sec. 4;
    Lin et al., PacGAN: The Power of Two Samples in Generative Adversarial Networks, 2018, sec. 4.
    """
    samples, centers = check_together({"samples": samples, "centers": centers})
    if not (std > 0 and radius > 0):
        raise ValueError(f"mode_coverage: expected a positive std and radius, got {std} and {radius}.")
    distances = np.stack([np.linalg.norm(samples - center[None], axis=1) for center in centers], axis=1)
    nearest = distances.argmin(axis=1)
    good = distances.min(axis=1) <= radius * std
    hits = np.bincount(nearest[good], minlength=len(centers))
    uneven = _reverse_kl(np.bincount(nearest, minlength=len(centers)), np.full(len(centers), 1 / len(centers)))
    return ModeCoverage(int(np.sum(hits >= 1)), int(np.sum(hits >= 20)), float(good.mean()), uneven)


def _reverse_kl(counts: np.ndarray, expected: np.ndarray) -> float:
    """Return ``sum q log(q / p)``, q the frequencies of counts; what does not occur adds nothing."""
    seen = counts > 0
    frequencies = counts[seen] / counts.sum()
    return float(np.sum(frequencies * np.log(frequencies / expected[seen])))
