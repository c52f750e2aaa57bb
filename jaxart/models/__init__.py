"""Networks as pure-function Flax Linen modules. The only place that imports Flax."""

from jaxart.models.vgg import VGG, vgg_depth, vgg_reach, vgg_stride

__all__ = ["VGG", "vgg_depth", "vgg_reach", "vgg_stride"]
