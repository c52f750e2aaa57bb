"""Pretrained weights: where they come from, their license and preprocessing, and readers that run no foreign code."""

from jaxart.weights.compressed import ArrayReport, compressed_bytes, compression
from jaxart.weights.library import SETS, WeightSet, WeightsNotFound, at_hand, load, locate, provide
from jaxart.weights.networks import SHIPPED, Network, network_bytes, network_file, network_kind, read_network, shipped
from jaxart.weights.perceptual import lpips_weights
from jaxart.weights.quantized import (
    COMPRESSIONS,
    Float,
    Int8,
    Shared,
    book_gradient,
    compress,
    is_kernel,
    quantize,
    restore,
    restored,
    share,
)
from jaxart.weights.readers import WeightsError

__all__ = [
    "COMPRESSIONS",
    "SETS",
    "SHIPPED",
    "ArrayReport",
    "Float",
    "Int8",
    "Network",
    "Shared",
    "WeightSet",
    "WeightsError",
    "WeightsNotFound",
    "at_hand",
    "book_gradient",
    "compress",
    "compressed_bytes",
    "compression",
    "is_kernel",
    "load",
    "locate",
    "lpips_weights",
    "network_bytes",
    "network_file",
    "network_kind",
    "provide",
    "quantize",
    "read_network",
    "restore",
    "restored",
    "share",
    "shipped",
]
