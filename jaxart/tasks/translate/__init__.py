"""Translating pictures from one set to another: by cycles, by contrast or from pairs, and what is done with a trained translator."""

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
from jaxart.tasks.translate.paired import PairInfo, pix2pix

__all__ = [
    "ADAM",
    "ContrastInfo",
    "CycleInfo",
    "CycleState",
    "PairInfo",
    "State",
    "Translation",
    "as_network",
    "contrast_layers",
    "cut",
    "cyclegan",
    "export_translation",
    "fitting_tile",
    "load_translation",
    "needed_memory",
    "params_toward",
    "pix2pix",
    "translate",
    "translate_batch",
]
