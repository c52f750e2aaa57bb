"""What the pieces are for: each task reads as a story and never imports another."""

from jaxart.tasks import stylize

__all__ = ["stylize"]
