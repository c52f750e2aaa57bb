"""How sure a classifier is: probabilities that mean what they say, sets that hold the truth as often as promised, and "none of these"."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart import metrics
from jaxart.tasks.classify.targets import Target

LEVEL = 0.9  # how often sets hold the true class
NOVEL = 0.01  # a picture is none of the classes if this share of known pictures, or less, is as strange
_QUANTILES = 1000  # of the strangeness of known pictures that are kept, at most


class Calibration(NamedTuple):
    """What is measured on examples that were not trained on.

    Fields:
        temperature: what outputs are divided by, so that probabilities are as often right as they say; 1 where outputs are of pairs.
        thresholds: of the sets, one for each class.
        level: how often sets hold the true class.
        strangeness: of known examples, ascending.
        examples: on how many it was measured.
        coverage: the share of them whose set, as it is shown, holds the true class: each half of them by the thresholds of the other. None
            where it was not measured.
    """

    temperature: float
    thresholds: tuple[float, ...]
    level: float
    strangeness: tuple[float, ...]
    examples: int
    coverage: float | None = None


class Answers(NamedTuple):
    """What a classifier says of examples.

    Fields:
        probabilities: ``[N, K]``, each row sums to 1.
        sets: bool ``[N, K]``: the classes that the true one is among, as often as the calibration's level says, no more and no less. So
            where the likeliest class is right more often than that, some are empty.
        familiarity: ``[N]``, in (0, 1]: the share of known examples that are as strange or stranger.
    """

    probabilities: np.ndarray
    sets: np.ndarray
    familiarity: np.ndarray

    @property
    def novel(self) -> np.ndarray:
        """Return which examples are like none of the classes: wrongly so for one in a hundred that are."""
        return self.familiarity <= NOVEL

    @property
    def shown(self) -> np.ndarray:
        """Return the sets as people are told them, bool ``[N, K]``: an empty one holds the likeliest class, unless the example is novel.

        They hold the true class more often than promised where classes are easily told apart; `Calibration.coverage` says how often.
        """
        found = self.sets.copy()
        empty = ~found.any(axis=1) & ~self.novel
        found[empty, self.probabilities[empty].argmax(axis=1)] = True
        return found


def calibrate(
    outputs: np.ndarray, labels: np.ndarray, target: Target, *, classes: int, level: float = LEVEL
) -> Calibration:
    """Measure how sure a classifier may be, on examples that it was not trained on.

    Args:
        outputs: ``[n, O]`` of the network.
        labels: ``[n]``, int32 below `classes`.
        target: of one class.
        classes: K.
        level: how often sets are to hold the true class; rare classes share the threshold of all.

    Raises:
        ValueError: no examples, or not one label for each.

    Reference: temperature: Guo et al., On Calibration of Modern Neural Networks, 2017; sets: Angelopoulos et al., Uncertainty Sets for
    Image Classifiers using Conformal Prediction, 2021.
    """
    found = _calibrated(outputs, labels, target, classes, level)
    halves = np.array_split(np.random.default_rng(0).permutation(len(outputs)), 2)
    held = [
        _shown_right(outputs, labels, target, _calibrated(outputs[one], labels[one], target, classes, level), other)
        for one, other in (halves, halves[::-1])
        if len(one)
    ]
    return found._replace(coverage=float(np.mean(np.concatenate(held))))


def _calibrated(outputs: np.ndarray, labels: np.ndarray, target: Target, classes: int, level: float) -> Calibration:
    temperature = metrics.fit_temperature(outputs, labels) if target.mixes else 1.0
    probabilities = _probabilities(outputs, target, temperature)
    scores = metrics.set_scores(probabilities, labels, key=jax.random.key(0))
    thresholds = metrics.class_thresholds(scores, labels, classes, level)
    strangeness = np.sort(_strangeness(outputs))
    places = np.linspace(0, len(strangeness) - 1, min(len(strangeness), _QUANTILES)).round().astype(int)
    known = tuple(float(each) for each in strangeness[places])
    return Calibration(temperature, tuple(float(each) for each in thresholds), level, known, len(outputs))


def _shown_right(
    outputs: np.ndarray, labels: np.ndarray, target: Target, calibration: Calibration, rows: np.ndarray
) -> np.ndarray:
    """Return whether the set that is shown holds the true class, of some examples."""
    return answers(outputs[rows], target, calibration).shown[np.arange(len(rows)), labels[rows]]


def answers(outputs: np.ndarray, target: Target, calibration: Calibration) -> Answers:
    """Return what outputs of a network say.

    Args:
        outputs: ``[N, O]``.
        target: of one class.
        calibration: from `calibrate`.
    """
    probabilities = _probabilities(outputs, target, calibration.temperature)
    thresholds = np.asarray(calibration.thresholds)
    sets = metrics.prediction_sets(probabilities, thresholds, key=jax.random.key(1), allow_empty=True)
    familiarity = metrics.novelty_p_value(_strangeness(outputs), np.asarray(calibration.strangeness))
    return Answers(probabilities, sets, familiarity)


def _probabilities(outputs: np.ndarray, target: Target, temperature: float) -> np.ndarray:
    scaled: Any = np.asarray(outputs, np.float32) / temperature
    found = np.asarray(target.answer(scaled), np.float64)
    return found / found.sum(axis=1, keepdims=True)


def _strangeness(outputs: Any) -> np.ndarray:
    return metrics.energy(outputs)
