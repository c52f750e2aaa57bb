"""Mending pictures: what is damaged is made anew, and what is not stays as it is, bit for bit."""

from jaxart.tasks.restore.choose import FILLS_BY_NAME, Part, choose_fill, fill_parts, parts_of
from jaxart.tasks.restore.detect import damage_mask, detect_cracks, detect_dust, detect_scratches
from jaxart.tasks.restore.exemplar import fill_exemplar
from jaxart.tasks.restore.fill import FILLS, fill_biharmonic, fill_harmonic, fill_total_variation
from jaxart.tasks.restore.mask import Holes, blend_holes, holes_of
from jaxart.tasks.restore.prior import fill_prior

__all__ = [
    "FILLS",
    "FILLS_BY_NAME",
    "Holes",
    "Part",
    "blend_holes",
    "choose_fill",
    "damage_mask",
    "detect_cracks",
    "detect_dust",
    "detect_scratches",
    "fill_biharmonic",
    "fill_exemplar",
    "fill_harmonic",
    "fill_parts",
    "fill_prior",
    "fill_total_variation",
    "holes_of",
    "parts_of",
]
