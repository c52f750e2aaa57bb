"""Runs: training that has a folder. The command line and Python share them; either carries on what the other began.

    run = runs.begin("gan", "drawings/", "run", options=runs.GanOptions(steps=200))  # or runs.open_run("run")
    runs.train(run)
    pictures = runs.sample(run, 64)
    cards = runs.score(run, "others/")

Names load when they are used: the kinds and their options are light, the rest needs JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxart.runs.kind import KINDS, Facts, Generator, Guidance, Kind, Trained, Tuning
from jaxart.runs.options import (
    AdaptOptions,
    AnyStyleOptions,
    AppraiserOptions,
    ClassifierOptions,
    FlowOptions,
    GanOptions,
    GeneratorOptions,
    Option,
    RestorerOptions,
    RunOptions,
    SegmenterOptions,
    StudentOptions,
    StyleOptions,
    TranslateOptions,
    VaeOptions,
)

if TYPE_CHECKING:
    from jaxart.runs.answers import METHODS, Answer, Reasons, classifier_of, classify, explain, reasons_sheet
    from jaxart.runs.classifier_file import read_classifier
    from jaxart.runs.compressing import Compressed, FineTuning, Measured, Pruning, compress
    from jaxart.runs.film import FILMS, check_film, write_film
    from jaxart.runs.folder import LockedError, Summary, find, saved_steps, summarize
    from jaxart.runs.latents import read_latent, write_latent
    from jaxart.runs.lot_pictures import PICTURE_FEATURES, LotPictures, read_lot_pictures
    from jaxart.runs.origins import known_pictures, nearest_sheet, write_origins
    from jaxart.runs.patience import best_step
    from jaxart.runs.points import Steered, steered_of
    from jaxart.runs.projection import Projected, project
    from jaxart.runs.results import export, export_network, generator, newest_state, sample, score
    from jaxart.runs.run import Run, begin, open_run, opened, prepare, with_data, write
    from jaxart.runs.spaces import space_of, words_of
    from jaxart.runs.steer import directions, edit, labeled_direction, latent_of_seed, mix, paint, walk
    from jaxart.runs.trainer import DryRun, Program, dry_run, train
    from jaxart.runs.trials_plot import plot_trials
    from jaxart.runs.tuning import Study, trial_folders, tune
    from jaxart.runs.valuing import (
        LotAppraiser,
        appraise_lots,
        checked_of,
        explain_lot,
        lot_appraiser,
        read_lots,
        write_valuation,
    )

__all__ = [
    "FILMS",
    "KINDS",
    "METHODS",
    "PICTURE_FEATURES",
    "AdaptOptions",
    "Answer",
    "AnyStyleOptions",
    "AppraiserOptions",
    "ClassifierOptions",
    "Compressed",
    "DryRun",
    "Facts",
    "FineTuning",
    "FlowOptions",
    "GanOptions",
    "Generator",
    "GeneratorOptions",
    "Guidance",
    "Kind",
    "LockedError",
    "LotAppraiser",
    "LotPictures",
    "Measured",
    "Option",
    "Program",
    "Projected",
    "Pruning",
    "Reasons",
    "RestorerOptions",
    "Run",
    "RunOptions",
    "SegmenterOptions",
    "Steered",
    "StudentOptions",
    "Study",
    "StyleOptions",
    "Summary",
    "Trained",
    "TranslateOptions",
    "Tuning",
    "VaeOptions",
    "appraise_lots",
    "begin",
    "best_step",
    "check_film",
    "checked_of",
    "classifier_of",
    "classify",
    "compress",
    "directions",
    "dry_run",
    "edit",
    "explain",
    "explain_lot",
    "export",
    "export_network",
    "find",
    "generator",
    "known_pictures",
    "labeled_direction",
    "latent_of_seed",
    "lot_appraiser",
    "mix",
    "nearest_sheet",
    "newest_state",
    "open_run",
    "opened",
    "paint",
    "plot_trials",
    "prepare",
    "project",
    "read_classifier",
    "read_latent",
    "read_lot_pictures",
    "read_lots",
    "reasons_sheet",
    "sample",
    "saved_steps",
    "score",
    "space_of",
    "steered_of",
    "summarize",
    "train",
    "trial_folders",
    "tune",
    "walk",
    "with_data",
    "words_of",
    "write",
    "write_film",
    "write_latent",
    "write_origins",
    "write_valuation",
]


_HOMES = {
    "answers": ("METHODS", "Answer", "Reasons", "classifier_of", "classify", "explain", "reasons_sheet"),
    "classifier_file": ("read_classifier",),
    "compressing": ("Compressed", "FineTuning", "Measured", "Pruning", "compress"),
    "film": ("FILMS", "check_film", "write_film"),
    "folder": ("LockedError", "Summary", "find", "saved_steps", "summarize"),
    "latents": ("read_latent", "write_latent"),
    "lot_pictures": ("PICTURE_FEATURES", "LotPictures", "read_lot_pictures"),
    "origins": ("known_pictures", "nearest_sheet", "write_origins"),
    "patience": ("best_step",),
    "points": ("Steered", "steered_of"),
    "projection": ("Projected", "project"),
    "results": ("export", "export_network", "generator", "newest_state", "sample", "score"),
    "run": ("Run", "begin", "open_run", "opened", "prepare", "with_data", "write"),
    "steer": (
        "directions",
        "edit",
        "labeled_direction",
        "latent_of_seed",
        "mix",
        "paint",
        "walk",
    ),
    "spaces": ("space_of", "words_of"),
    "trainer": ("DryRun", "Program", "dry_run", "train"),
    "trials_plot": ("plot_trials",),
    "tuning": ("Study", "trial_folders", "tune"),
    "valuing": (
        "LotAppraiser",
        "appraise_lots",
        "checked_of",
        "explain_lot",
        "lot_appraiser",
        "read_lots",
        "write_valuation",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"jaxart.runs.{module}"), name)
    raise AttributeError(f"module 'jaxart.runs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
