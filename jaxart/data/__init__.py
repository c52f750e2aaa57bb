"""Data: named columns from wherever they are kept, splits, batches in an order that can be resumed, augmentation on the device."""

from jaxart.data.adaptive import ADAPTIVE_GROUPS, Adaptive, adaptive_augment, start_adaptive, update_adaptive
from jaxart.data.augmentation import (
    AUGMENTATIONS,
    POLICIES,
    augment,
    brightness,
    contrast,
    crop,
    cutout,
    diff_augment,
    horizontal_flip,
    hue,
    noise,
    quarter_turn,
    rotate,
    saturation,
    translate,
    vertical_flip,
)
from jaxart.data.dataset import Batch, Dataset, as_classes, concatenate, digest, from_arrays, take, with_columns
from jaxart.data.samplers import Order, Sampler, balanced, mixture, shuffled, weighted
from jaxart.data.shape import Shape, shaped, with_channels
from jaxart.data.sources import load
from jaxart.data.splits import split_by_group, split_by_time, split_randomly
from jaxart.data.stream import batches
from jaxart.data.tables import load_table

__all__ = [
    "ADAPTIVE_GROUPS",
    "AUGMENTATIONS",
    "POLICIES",
    "Adaptive",
    "Batch",
    "Dataset",
    "Order",
    "Sampler",
    "Shape",
    "adaptive_augment",
    "as_classes",
    "augment",
    "balanced",
    "batches",
    "brightness",
    "concatenate",
    "contrast",
    "crop",
    "cutout",
    "diff_augment",
    "digest",
    "from_arrays",
    "horizontal_flip",
    "hue",
    "load",
    "load_table",
    "mixture",
    "noise",
    "quarter_turn",
    "rotate",
    "saturation",
    "shaped",
    "shuffled",
    "split_by_group",
    "split_by_time",
    "split_randomly",
    "start_adaptive",
    "take",
    "translate",
    "update_adaptive",
    "vertical_flip",
    "weighted",
    "with_channels",
    "with_columns",
]
