"""Mending pictures: what is damaged is made anew, and what is not stays as it is, bit for bit."""

from jaxart.tasks.restore.damage import Damage, Example, cracked, noisy, small, torn, torn_by
from jaxart.tasks.restore.enlarge import KERNELS, back_project, interpolate
from jaxart.tasks.restore.fill import FILLS, fill_biharmonic, fill_harmonic, fill_pyramid, fill_total_variation
from jaxart.tasks.restore.network import (
    KIND,
    TASKS,
    Restoration,
    apply_restorer,
    as_network,
    denoise,
    export_restoration,
    find_damage,
    inpaint,
    load_restoration,
    outputs_of,
    upscale,
)
from jaxart.tasks.restore.recipe import Info, Loss, State, damage_loss, pixel_loss, restored, restorer

__all__ = [
    "FILLS",
    "KERNELS",
    "KIND",
    "TASKS",
    "Damage",
    "Example",
    "Info",
    "Loss",
    "Restoration",
    "State",
    "apply_restorer",
    "as_network",
    "back_project",
    "cracked",
    "damage_loss",
    "denoise",
    "export_restoration",
    "fill_biharmonic",
    "fill_harmonic",
    "fill_pyramid",
    "fill_total_variation",
    "find_damage",
    "inpaint",
    "interpolate",
    "load_restoration",
    "noisy",
    "outputs_of",
    "pixel_loss",
    "restored",
    "restorer",
    "small",
    "torn",
    "torn_by",
    "upscale",
]
