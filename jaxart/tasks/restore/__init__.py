"""Mending pictures: what is damaged is made anew, and what is not stays as it is, bit for bit."""

from jaxart.tasks.restore.fill import FILLS, fill_biharmonic, fill_harmonic, fill_total_variation

__all__ = ["FILLS", "fill_biharmonic", "fill_harmonic", "fill_total_variation"]
