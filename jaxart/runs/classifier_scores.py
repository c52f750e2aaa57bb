"""How good a classifier is on pictures that it has not seen: reports, calibration, scores."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics
from jaxart.runs import classifier as kind
from jaxart.runs import labels
from jaxart.runs.kind import Trained
from jaxart.tasks import classify as task

_WATCHED = {"label": "macro F1", "labels": "macro F1", "numbers": "R2"}  # by --patience

_MEASURES = {
    "label": {
        "accuracy": lambda answer, target: float(np.mean(answer.argmax(1) == target)),
        "macro F1": lambda answer, target: metrics.f1_score(target, answer.argmax(1)),
        "balanced accuracy": lambda answer, target: metrics.balanced_accuracy(target, answer.argmax(1)),
        "negative log-likelihood": lambda answer, target: metrics.negative_log_likelihood(
            np.log(np.maximum(answer, 1e-12)), target
        ),
    },
    "labels": {
        "macro F1": lambda answer, target: metrics.f1_score(target.astype(int), (answer > 0.5).astype(int)),
        "share of labels right": lambda answer, target: float(np.mean((answer > 0.5) == (target > 0.5))),
    },
    "numbers": {
        "mean absolute error": lambda answer, target: float(np.mean(np.abs(answer - target))),
        "R2": lambda answer, target: float(
            1 - np.sum((answer - target) ** 2) / np.maximum(np.sum((target - target.mean(0)) ** 2), 1e-12)
        ),
    },
}


def sample(trained: Trained, path: Path) -> None:
    """Write a report on the pictures that are kept back, as JSON.

    Args:
        trained: with its data.
        path: without a suffix.
    """
    report = {"step": int(trained.state.step), **_report(trained)}
    report["watched"] = report["validation"][_WATCHED[trained.options.task]]
    with io.replacing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(report, indent=1), encoding="utf-8")


def calibration(trained: Trained) -> dict[str, Any]:
    """Return what is measured on the pictures that are kept back, once training has ended: the report, and how sure answers may be.

    Args:
        trained: with its data.
    """
    report = _report(trained)
    if trained.options.task != "label":
        return report
    outputs, label = _kept_back(trained)
    found = task.calibrate(
        outputs, label, kind.target_of(trained.options, trained.facts), classes=len(trained.facts["classes"])
    )
    return {**report, "calibration": found._asdict()}


def score(
    trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Score answers on pictures that were not seen.

    Args: see `Kind`.

    Raises:
        ValueError: classes or columns that the run does not know.
    """
    dataset = held_out["data"]
    if seen:
        labels.tell_of_seen(seen["data"], dataset)
    images, target = (
        dataset.column("image")[:count],
        labels.known_target(trained.options, trained.facts, dataset)[:count],
    )
    outputs: Any = kind.outputs_of(trained, images)
    about = {
        "n_real": len(images),
        "n_fake": len(images),
        "features": trained.options.features,
        "features_hash": metrics.content_hash(trained.state.average),
        "data_hash": shelf.digest(dataset),
        "resize": "as loaded",
        "seed": seed,
    }
    key = jax.random.key(seed)
    measures = _MEASURES[trained.options.task]
    answer = np.asarray(kind.target_of(trained.options, trained.facts).answer(outputs))
    cards = []
    for name, measure in measures.items():
        value = metrics.jackknife(key, lambda pair, measure=measure: measure(*pair), (answer, target))
        cards.append(metrics.score_card(name, value, **about))
    return cards


def _kept_back(trained: Trained) -> tuple[Any, np.ndarray]:
    """Return outputs and targets of the pictures that are kept back."""
    dataset = trained.data["data"]
    _, kept = labels.parts(trained.options, dataset)
    images, target = dataset.column("image"), dataset.column("target")[kept]
    if trained.options.features == "none":
        return kind.outputs_of(trained, images[kept]), target
    known = shelf.digest(dataset)  # features that it trains on
    features = kind.features_of(trained.options, images, known=known, encoder=kind.own_encoder(trained))
    return kind.outputs_of_features(trained, features[kept]), target


def _report(trained: Trained) -> dict[str, Any]:
    outputs, target = _kept_back(trained)
    answer = np.asarray(kind.target_of(trained.options, trained.facts).answer(outputs))
    measured = {name: float(measure(answer, target)) for name, measure in _MEASURES[trained.options.task].items()}
    if trained.options.task == "label":
        by_size = metrics.recall_by_size(target, answer.argmax(1), np.asarray(trained.facts["counts"]))
        measured |= {f"recall of {name} classes": value for name, value in by_size._asdict().items()}
    return {
        "validation": {name: value if np.isfinite(value) else None for name, value in measured.items()},
        "examples": len(target),
    }
