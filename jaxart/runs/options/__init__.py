"""What a user may choose of a run. Plain frozen dataclasses: the command line makes flags of them, a run's manifest keeps them.

Each field is ``Annotated[type, Option(help, group)]``. Importing this imports nothing heavy, so that help appears at once.
"""

from jaxart.runs.options.base import DATA, NETWORK, TRAINING, Option, RunOptions
from jaxart.runs.options.generators import (
    AdaptOptions,
    FlowOptions,
    GanOptions,
    GeneratorOptions,
    StudentOptions,
    TranslateOptions,
    VaeOptions,
)
from jaxart.runs.options.painters import AnyStyleOptions, StyleOptions
from jaxart.runs.options.restoring import RestorerOptions
from jaxart.runs.options.understanding import ClassifierOptions, SegmenterOptions
from jaxart.runs.options.valuing import AppraiserOptions

__all__ = [
    "DATA",
    "NETWORK",
    "TRAINING",
    "AdaptOptions",
    "AnyStyleOptions",
    "AppraiserOptions",
    "ClassifierOptions",
    "FlowOptions",
    "GanOptions",
    "GeneratorOptions",
    "Option",
    "RestorerOptions",
    "RunOptions",
    "SegmenterOptions",
    "StudentOptions",
    "StyleOptions",
    "TranslateOptions",
    "VaeOptions",
]
