"""How good a classifier is on pictures held out, as plots: confusion matrix, reliability diagram, curves over thresholds."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxart import data as shelf
from jaxart import metrics
from jaxart.runs import classifier as kind
from jaxart.runs import labels
from jaxart.runs.kind import Trained
from jaxart.tasks import classify as task

_CURVES = 20  # classes with curves, the largest of them


def plots(trained: Trained, held_out: dict[str, shelf.Dataset], folder: Path) -> list[Path]:
    """Write plots as PNG files: of classes all four, of several labels at once the curves.

    Args:
        trained: with what was measured.
        held_out: by source.
        folder: that is there.

    Returns:
        The paths.

    Raises:
        ValueError: a run of the task numbers, classes that the run does not know, or matplotlib is not installed.
    """
    options, facts = trained.options, trained.facts
    if options.task == "numbers":
        raise ValueError("plots: are of classes and labels; a run of the task numbers has none.")
    dataset = held_out["data"]
    target = labels.known_target(options, facts, dataset)
    outputs: Any = kind.outputs_of(trained, dataset.column("image"))
    asked, names = kind.target_of(options, facts), facts["classes"]
    if options.task == "labels":
        return _curves(folder, target > 0.5, np.asarray(asked.answer(outputs)), names)
    calibration = task.Calibration(**trained.measured["calibration"])
    found = task.answers(outputs, asked, calibration).probabilities
    matrix = metrics.confusion_matrix(target, found.argmax(1), len(names))
    held = np.arange(len(names)) == target[:, None]  # [N, K]
    return [
        task.plot_confusion(folder / "confusion.png", matrix, names=names),
        task.plot_reliability(folder / "reliability.png", metrics.reliability(found, target)),
        *_curves(folder, held, found, names),
    ]


def _curves(folder: Path, held: np.ndarray, found: np.ndarray, names: list[str]) -> list[Path]:
    """Draw the curves of each class against the rest, where both occur."""
    counts = held.sum(axis=0)
    chosen = [number for number in np.argsort(-counts, kind="stable") if 0 < counts[number] < len(held)][:_CURVES]
    pairs = {names[number]: (held[:, number].astype(int), found[:, number]) for number in sorted(chosen)}
    roc = {name: metrics.roc_curve(*pair) for name, pair in pairs.items()}
    precision = {name: metrics.precision_recall_curve(*pair) for name, pair in pairs.items()}
    return [
        task.plot_roc(folder / "roc.png", roc),
        task.plot_precision_recall(folder / "precision-recall.png", precision),
    ]
