"""Mending pictures: what is damaged is made anew, and what is not stays as it is, bit for bit."""

from jaxart.tasks.restore.denoise import DENOISERS, denoise_nonlocal_means, denoise_total_variation
from jaxart.tasks.restore.fill import FILLS, fill_biharmonic, fill_harmonic, fill_total_variation
from jaxart.tasks.restore.grain import keep_grain
from jaxart.tasks.restore.noise import estimate_noise
from jaxart.tasks.restore.self_supervised import denoise_self_supervised

__all__ = [
    "DENOISERS",
    "FILLS",
    "denoise_nonlocal_means",
    "denoise_self_supervised",
    "denoise_total_variation",
    "estimate_noise",
    "fill_biharmonic",
    "fill_harmonic",
    "fill_total_variation",
    "keep_grain",
]
