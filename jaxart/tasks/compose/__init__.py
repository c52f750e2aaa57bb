"""Setting pictures into others: mattes, seams, blending, and colors and style of the scene."""

from jaxart.tasks.compose.blend import GRADIENTS, poisson_blend
from jaxart.tasks.compose.harmonize import MATCHINGS, harmonize, surroundings
from jaxart.tasks.compose.matte import MattingLaplacian, closed_form_matte, foreground, guided_filter
from jaxart.tasks.compose.paint import Painting, paint_like
from jaxart.tasks.compose.region import grown, shrunk, trimap
from jaxart.tasks.compose.seam import seam
from jaxart.tasks.compose.steps import BLENDS, Composed, Plan, set_into

__all__ = [
    "BLENDS",
    "GRADIENTS",
    "MATCHINGS",
    "Composed",
    "MattingLaplacian",
    "Painting",
    "Plan",
    "closed_form_matte",
    "foreground",
    "grown",
    "guided_filter",
    "harmonize",
    "paint_like",
    "poisson_blend",
    "seam",
    "set_into",
    "shrunk",
    "surroundings",
    "trimap",
]
