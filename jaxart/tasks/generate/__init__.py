"""Generating pictures: adversarial networks, flows, variational autoencoders, and what is done with a trained one."""

from jaxart.tasks.generate.adversarial import gan
from jaxart.tasks.generate.distill import StudentInfo, student
from jaxart.tasks.generate.evaluate import (
    VGG_LAYERS,
    Examples,
    Judge,
    Setting,
    draw_examples,
    score_classes,
    score_features,
    score_pictures,
    score_spectrum,
    vgg_judge,
)
from jaxart.tasks.generate.flow_file import FlowModel, as_network, load_flow
from jaxart.tasks.generate.flow_matching import FlowInfo, FlowState, between, flow
from jaxart.tasks.generate.game import AdaptiveInfo, Info, State, StyledInfo
from jaxart.tasks.generate.guide import TowardStyle, keep_outside
from jaxart.tasks.generate.integrate import Adjust, Solver, flow_of
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
from jaxart.tasks.generate.styled import (
    AdaptedInfo,
    AdaptedState,
    StyleTerm,
    adapted_generator,
    style_arrays,
    style_distance,
)
from jaxart.tasks.generate.variational import StyledVAEInfo, VAEInfo, VAEState, evidence, pca_log_likelihood, vae

__all__ = [
    "PLATFORMS",
    "VGG_LAYERS",
    "Adapt",
    "AdaptedInfo",
    "AdaptedState",
    "AdaptiveInfo",
    "Adjust",
    "Examples",
    "FlowInfo",
    "FlowModel",
    "FlowState",
    "Generate",
    "Info",
    "Judge",
    "Penalties",
    "Setting",
    "Solver",
    "State",
    "StudentInfo",
    "StyleTerm",
    "StyledInfo",
    "StyledVAEInfo",
    "TowardStyle",
    "VAEInfo",
    "VAEState",
    "adapted_generator",
    "as_network",
    "between",
    "decoder_of",
    "draw_examples",
    "draw_latents",
    "evidence",
    "export",
    "flow",
    "flow_of",
    "gan",
    "generator_of",
    "keep_outside",
    "load_flow",
    "overfitting",
    "path_penalty",
    "pca_log_likelihood",
    "pictures",
    "score_classes",
    "score_features",
    "score_pictures",
    "score_spectrum",
    "slerp",
    "student",
    "style_arrays",
    "style_distance",
    "vae",
    "vgg_judge",
    "walk",
]
