"""Runs: training that has a folder. The command line and Python share them; either carries on what the other began.

    run = runs.begin("gan", "drawings/", "run", steps=200)   # or runs.open_run("run")
    runs.train(run)
    pictures = runs.sample(run, 64)
    cards = runs.score(run, "others/")

Names load when they are used: the kinds and their options are light, the rest needs JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxart.runs.kind import KINDS, Facts, Generator, Kind, Trained
from jaxart.runs.options import GanOptions, GeneratorOptions, Option, RunOptions, VaeOptions

if TYPE_CHECKING:
    from jaxart.runs.folder import LockedError, Summary, find, saved_steps, summarize
    from jaxart.runs.verbs import (
        DryRun,
        Program,
        Run,
        begin,
        dry_run,
        export,
        generator,
        newest_state,
        open_run,
        prepare,
        sample,
        score,
        train,
        walk,
        with_data,
        write,
    )

__all__ = [
    "KINDS",
    "DryRun",
    "Facts",
    "GanOptions",
    "Generator",
    "GeneratorOptions",
    "Kind",
    "LockedError",
    "Option",
    "Program",
    "Run",
    "RunOptions",
    "Summary",
    "Trained",
    "VaeOptions",
    "begin",
    "dry_run",
    "export",
    "find",
    "generator",
    "newest_state",
    "open_run",
    "prepare",
    "sample",
    "saved_steps",
    "score",
    "summarize",
    "train",
    "walk",
    "with_data",
    "write",
]


_OF_FOLDERS = ("LockedError", "Summary", "find", "saved_steps", "summarize")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxart.runs' has no attribute {name!r}")
    module = "jaxart.runs.folder" if name in _OF_FOLDERS else "jaxart.runs.verbs"
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
