"""Classifying pictures: the recipe of a classifier, and what is done with a trained one."""

from jaxart.tasks.classify.recipe import Info, State, classifier
from jaxart.tasks.classify.trained import Classifier, predict, train_classifier, train_small_classifier

__all__ = [
    "Classifier",
    "Info",
    "State",
    "classifier",
    "predict",
    "train_classifier",
    "train_small_classifier",
]
