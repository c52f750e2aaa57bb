"""Classifying pictures: the recipe of a classifier, and what is done with a trained one."""

from jaxart.tasks.classify.certainty import Answers, Calibration, answers, calibrate
from jaxart.tasks.classify.features import (
    FEATURE_LAYERS,
    GRAM_LAYERS,
    feature_blocks,
    feature_statistics,
    picture_features,
)
from jaxart.tasks.classify.kernel import Known, block_scaling, kernel_classifier, known_examples
from jaxart.tasks.classify.narrowing import narrow
from jaxart.tasks.classify.plots import plot_confusion, plot_precision_recall, plot_reliability, plot_roc
from jaxart.tasks.classify.recipe import Scaling, State, classifier, classifier_of_features
from jaxart.tasks.classify.targets import SCHEMES, Info, NumbersInfo, Target, numbers, one_class, several_labels
from jaxart.tasks.classify.trained import Classifier, predict, train_classifier, train_small_classifier

__all__ = [
    "FEATURE_LAYERS",
    "GRAM_LAYERS",
    "SCHEMES",
    "Answers",
    "Calibration",
    "Classifier",
    "Info",
    "Known",
    "NumbersInfo",
    "Scaling",
    "State",
    "Target",
    "answers",
    "block_scaling",
    "calibrate",
    "classifier",
    "classifier_of_features",
    "feature_blocks",
    "feature_statistics",
    "kernel_classifier",
    "known_examples",
    "narrow",
    "numbers",
    "one_class",
    "picture_features",
    "plot_confusion",
    "plot_precision_recall",
    "plot_reliability",
    "plot_roc",
    "predict",
    "several_labels",
    "train_classifier",
    "train_small_classifier",
]
