"""Generating pictures: adversarial networks, variational autoencoders, and what is done with a trained one."""

from jaxart.tasks.generate.gan import Info, Penalties, State, gan, signed
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
from jaxart.tasks.generate.score import Setting, apply_in_batches, classifier, score_features, train_classifier
from jaxart.tasks.generate.vae import VAEInfo, VAEState, evidence, pca_log_likelihood, vae

__all__ = [
    "PLATFORMS",
    "Generate",
    "Info",
    "Penalties",
    "Setting",
    "State",
    "VAEInfo",
    "VAEState",
    "apply_in_batches",
    "classifier",
    "decoder_of",
    "draw_latents",
    "evidence",
    "export",
    "gan",
    "generator_of",
    "pca_log_likelihood",
    "pictures",
    "score_features",
    "signed",
    "slerp",
    "train_classifier",
    "vae",
    "walk",
]
