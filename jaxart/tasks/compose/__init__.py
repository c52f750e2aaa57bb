"""Setting pictures into others."""

from jaxart.tasks.compose.blend import GRADIENTS, poisson_blend

__all__ = ["GRADIENTS", "poisson_blend"]
