"""Finding the regions of pictures: the recipe of a segmenter, and what is done with a trained one."""

from jaxart.tasks.segment.apply import (
    TILE,
    Segmentation,
    as_network,
    export_segmentation,
    load_segmentation,
    numbered,
    overlay,
    segment,
    segment_batch,
    segment_logits,
    shares,
)
from jaxart.tasks.segment.recipe import Info, State, segmenter

__all__ = [
    "TILE",
    "Info",
    "Segmentation",
    "State",
    "as_network",
    "export_segmentation",
    "load_segmentation",
    "numbered",
    "overlay",
    "segment",
    "segment_batch",
    "segment_logits",
    "segmenter",
    "shares",
]
