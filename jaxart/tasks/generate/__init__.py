"""Generating pictures: adversarial networks, variational autoencoders, and what is done with a trained one."""

from jaxart.tasks.generate.adversarial import gan
from jaxart.tasks.generate.evaluate import (
    Examples,
    Judge,
    Setting,
    draw_examples,
    score_classes,
    score_features,
    score_pictures,
    vgg_judge,
)
from jaxart.tasks.generate.game import AdaptiveInfo, Info, State
from jaxart.tasks.generate.regularization import Adapt, Penalties, overfitting, path_penalty
from jaxart.tasks.generate.sample import (
    PLATFORMS,
    Generate,
    decoder_of,
    draw_latents,
    export,
    generator_of,
    pictures,
    slerp,
    walk,
)
from jaxart.tasks.generate.variational import VAEInfo, VAEState, evidence, pca_log_likelihood, vae

__all__ = [
    "PLATFORMS",
    "Adapt",
    "AdaptiveInfo",
    "Examples",
    "Generate",
    "Info",
    "Judge",
    "Penalties",
    "Setting",
    "State",
    "VAEInfo",
    "VAEState",
    "decoder_of",
    "draw_examples",
    "draw_latents",
    "evidence",
    "export",
    "gan",
    "generator_of",
    "overfitting",
    "path_penalty",
    "pca_log_likelihood",
    "pictures",
    "score_classes",
    "score_features",
    "score_pictures",
    "slerp",
    "vae",
    "vgg_judge",
    "walk",
]
