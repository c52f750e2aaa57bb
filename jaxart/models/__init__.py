"""Networks as pure-function Flax Linen modules. The only place that imports Flax."""

from jaxart.models.anystylenet import AnyStyleNet
from jaxart.models.blocks import Convolution, depth_to_space
from jaxart.models.classifier import SmallClassifier
from jaxart.models.decoder import NoiseDecoder
from jaxart.models.denoiser import SmallDenoiser
from jaxart.models.gan import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    SNGANDiscriminator,
    SNGANGenerator,
)
from jaxart.models.head import FeatureHead, KernelHead, gaussian_kernel
from jaxart.models.lots import LotNet, LotShares
from jaxart.models.r3gan import R3GANDiscriminator, R3GANGenerator
from jaxart.models.residual import ResidualClassifier
from jaxart.models.restorer import Restorer
from jaxart.models.rows import RowRecurrent
from jaxart.models.segmenter import FeatureSegmenter, Segmenter
from jaxart.models.stylegan import StyleGANDiscriminator, StyleGANGenerator, truncated
from jaxart.models.stylenet import ManyStyleNet
from jaxart.models.translator import PatchDiscriminator, PatchHeads, Translator
from jaxart.models.unet import UNet, VelocityNet, linear_velocity
from jaxart.models.vae import VAEDecoder, VAEEncoder
from jaxart.models.vgg import VGG, vgg_depth, vgg_halo, vgg_stride
from jaxart.models.vit import VisionTransformer

__all__ = [
    "VGG",
    "AnyStyleNet",
    "Convolution",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "FeatureHead",
    "FeatureSegmenter",
    "KernelHead",
    "LotNet",
    "LotShares",
    "MLPDiscriminator",
    "MLPGenerator",
    "ManyStyleNet",
    "NoiseDecoder",
    "PatchDiscriminator",
    "PatchHeads",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "ResidualClassifier",
    "Restorer",
    "RowRecurrent",
    "SNGANDiscriminator",
    "SNGANGenerator",
    "Segmenter",
    "SmallClassifier",
    "SmallDenoiser",
    "StyleGANDiscriminator",
    "StyleGANGenerator",
    "Translator",
    "UNet",
    "VAEDecoder",
    "VAEEncoder",
    "VelocityNet",
    "VisionTransformer",
    "depth_to_space",
    "gaussian_kernel",
    "linear_velocity",
    "truncated",
    "vgg_depth",
    "vgg_halo",
    "vgg_stride",
]
