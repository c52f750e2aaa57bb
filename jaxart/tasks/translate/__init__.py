"""Translating pictures from one set to another, by cycles, contrast, a latent space of both or pairs, and using what was trained."""

from jaxart.tasks.translate.adversary import ADAM, State
from jaxart.tasks.translate.apply import (
    Translation,
    as_network,
    export_translation,
    fitting_tile,
    load_translation,
    needed_memory,
    params_toward,
    translate,
    translate_batch,
)
from jaxart.tasks.translate.contrastive import ContrastInfo, contrast_layers, cut
from jaxart.tasks.translate.cycle import CycleInfo, CycleState, cyclegan
from jaxart.tasks.translate.latent import CyclicInfo, cyclic_vae
from jaxart.tasks.translate.paired import PairInfo, pix2pix

__all__ = [
    "ADAM",
    "ContrastInfo",
    "CycleInfo",
    "CycleState",
    "CyclicInfo",
    "PairInfo",
    "State",
    "Translation",
    "as_network",
    "contrast_layers",
    "cut",
    "cyclegan",
    "cyclic_vae",
    "export_translation",
    "fitting_tile",
    "load_translation",
    "needed_memory",
    "params_toward",
    "pix2pix",
    "translate",
    "translate_batch",
]
