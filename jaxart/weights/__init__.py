"""Pretrained weights: where they come from, their license and preprocessing, and readers that run no foreign code."""

from jaxart.weights.library import SETS, WeightSet, WeightsNotFound, at_hand, load, locate, provide
from jaxart.weights.networks import SHIPPED, Network, network_bytes, network_file, network_kind, read_network, shipped
from jaxart.weights.readers import WeightsError

__all__ = [
    "SETS",
    "SHIPPED",
    "Network",
    "WeightSet",
    "WeightsError",
    "WeightsNotFound",
    "at_hand",
    "load",
    "locate",
    "network_bytes",
    "network_file",
    "network_kind",
    "provide",
    "read_network",
    "shipped",
]
