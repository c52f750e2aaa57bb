"""Reasons: attributions of a score to its input, and their checks, as pure functions of (apply, params, input). They own no network.

``apply(params, x)`` returns the scores before the softmax, ``[B, C]``, each example's from that example alone.
"""

from jaxart.explain.activation import grad_cam, hires_cam, layer_cam
from jaxart.explain.baselines import black, blurred, gray, mean_color
from jaxart.explain.checks import (
    AreaComparison,
    Curve,
    compare_with_random,
    deletion_curve,
    insertion_curve,
    randomization_curve,
    randomized_parameters,
    rank_correlation,
)
from jaxart.explain.examples import Examples, nearest_examples
from jaxart.explain.gradients import (
    completeness_gap,
    integrated_gradients,
    integrated_gradients_of_tokens,
    saliency,
    shares,
    smooth_grad,
)
from jaxart.explain.occlusion import occlusion
from jaxart.explain.overlay import map_colors, overlay, pixel_map, sheet

__all__ = [
    "AreaComparison",
    "Curve",
    "Examples",
    "black",
    "blurred",
    "compare_with_random",
    "completeness_gap",
    "deletion_curve",
    "grad_cam",
    "gray",
    "hires_cam",
    "insertion_curve",
    "integrated_gradients",
    "integrated_gradients_of_tokens",
    "layer_cam",
    "map_colors",
    "mean_color",
    "nearest_examples",
    "occlusion",
    "overlay",
    "pixel_map",
    "randomization_curve",
    "randomized_parameters",
    "rank_correlation",
    "saliency",
    "shares",
    "sheet",
    "smooth_grad",
]
