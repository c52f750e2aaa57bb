"""Data: pictures and labels from wherever they are kept, batches in an order that can be resumed, augmentation on the device."""

from jaxart.data.augment import (
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
from jaxart.data.batches import Batch, batches
from jaxart.data.dataset import Dataset, from_arrays
from jaxart.data.shape import with_channels
from jaxart.data.sources import load

__all__ = [
    "AUGMENTATIONS",
    "POLICIES",
    "Batch",
    "Dataset",
    "augment",
    "batches",
    "brightness",
    "contrast",
    "crop",
    "cutout",
    "diff_augment",
    "from_arrays",
    "horizontal_flip",
    "hue",
    "load",
    "noise",
    "quarter_turn",
    "rotate",
    "saturation",
    "translate",
    "vertical_flip",
    "with_channels",
]
