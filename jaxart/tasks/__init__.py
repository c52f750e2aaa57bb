"""What the pieces are for: each task reads as a story and never imports another. They load when used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxart.tasks import appraise, classify, compose, generate, restore, search, segment, stylize, translate

__all__ = ["appraise", "classify", "compose", "generate", "restore", "search", "segment", "stylize", "translate"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"jaxart.tasks.{name}")
    raise AttributeError(f"module 'jaxart.tasks' has no attribute {name!r}; known: {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted(__all__)
