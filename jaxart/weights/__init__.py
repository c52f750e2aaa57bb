"""Pretrained weights: where they come from, their license and preprocessing, and readers that run no foreign code."""

from jaxart.weights.library import SETS, WeightSet, WeightsNotFound, load, locate, provide
from jaxart.weights.readers import WeightsError

__all__ = ["SETS", "WeightSet", "WeightsError", "WeightsNotFound", "load", "locate", "provide"]
