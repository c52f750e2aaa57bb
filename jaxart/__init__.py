"""Deep learning for art in JAX: pure functions to import, one command to run. Importing executes nothing; names load when used."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxart.version import __version__ as __version__

_NAMESPACES = (
    "arrays",
    "color",
    "data",
    "explain",
    "image",
    "io",
    "losses",
    "memory",
    "metrics",
    "models",
    "ops",
    "runs",
    "tasks",
    "training",
    "weights",
)
_VERBS = {"read": "jaxart.io", "write": "jaxart.io", "stylize": "jaxart.tasks.stylize"}

if TYPE_CHECKING:
    from jaxart import (
        arrays,
        color,
        data,
        explain,
        image,
        io,
        losses,
        memory,
        metrics,
        models,
        ops,
        runs,
        tasks,
        training,
        weights,
    )
    from jaxart.io import read, write
    from jaxart.tasks.stylize import stylize

__all__ = [
    "arrays",
    "color",
    "data",
    "explain",
    "image",
    "io",
    "losses",
    "memory",
    "metrics",
    "models",
    "ops",
    "read",
    "runs",
    "stylize",
    "tasks",
    "training",
    "weights",
    "write",
]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(importlib.import_module(_VERBS[name]), name)
    if name in _NAMESPACES:
        return importlib.import_module(f"jaxart.{name}")
    raise AttributeError(f"module 'jaxart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
