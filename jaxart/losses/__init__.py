"""Losses: pure functions of arrays that return one number per example (the leading axes). They own no network and no weight."""

from jaxart.losses.pixel import content
from jaxart.losses.smoothness import total_variation, total_variation_nine_point
from jaxart.losses.style import (
    ADAIN,
    GRAM,
    WASSERSTEIN,
    WASSERSTEIN_CONVERGED,
    GaussianTarget,
    Moments,
    StyleLoss,
    adain,
    blend,
    gaussian_target,
    gram_gatys,
    gram_johnson,
    gram_matrix,
    moments,
    nearest_patches,
    self_similarity,
    wasserstein,
)

__all__ = [
    "ADAIN",
    "GRAM",
    "WASSERSTEIN",
    "WASSERSTEIN_CONVERGED",
    "GaussianTarget",
    "Moments",
    "StyleLoss",
    "adain",
    "blend",
    "content",
    "gaussian_target",
    "gram_gatys",
    "gram_johnson",
    "gram_matrix",
    "moments",
    "nearest_patches",
    "self_similarity",
    "total_variation",
    "total_variation_nine_point",
    "wasserstein",
]
