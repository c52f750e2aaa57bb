"""The loop that runs every recipe, and what it keeps on disk."""

from jaxart.training.average import debias, exponential_average
from jaxart.training.checkpoint import Checkpoints
from jaxart.training.loop import NotFiniteError, compile_steps, fit, one_blas_thread
from jaxart.training.recipe import Recipe

__all__ = [
    "Checkpoints",
    "NotFiniteError",
    "Recipe",
    "compile_steps",
    "debias",
    "exponential_average",
    "fit",
    "one_blas_thread",
]
