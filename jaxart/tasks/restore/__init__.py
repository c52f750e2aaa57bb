"""Mending pictures: what is damaged is made anew, and what is not stays as it is, bit for bit. Corrections of color can be taken back."""

from jaxart.tasks.restore.fill import FILLS, fill_biharmonic, fill_harmonic, fill_total_variation
from jaxart.tasks.restore.perception import lpips_of
from jaxart.tasks.restore.tone import (
    ADAPTATIONS,
    Fading,
    Varnish,
    WhiteBalance,
    apply_tone,
    balance_white,
    invert_tone,
    read_tone,
    restore_fading,
    tone_record,
)
from jaxart.tasks.restore.varnish import (
    Region,
    estimate_varnish,
    remove_varnish,
    varnish_of_cleaned,
    varnish_of_white,
)

__all__ = [
    "ADAPTATIONS",
    "FILLS",
    "Fading",
    "Region",
    "Varnish",
    "WhiteBalance",
    "apply_tone",
    "balance_white",
    "estimate_varnish",
    "fill_biharmonic",
    "fill_harmonic",
    "fill_total_variation",
    "invert_tone",
    "lpips_of",
    "read_tone",
    "remove_varnish",
    "restore_fading",
    "tone_record",
    "varnish_of_cleaned",
    "varnish_of_white",
]
