"""How good a classifier is, as pictures: confusion matrix, curves over thresholds, reliability diagram.

All need matplotlib (``pip install 'jaxart[plots]'``) and write a PNG file atomically. Matplotlib's global state, such as the current figure
and the backend, is left alone.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxart import io
from jaxart.metrics import PrecisionRecallCurve, Reliability, RocCurve

_DPI = 120
_LEGIBLE = 60  # classes whose names, and 25 whose numbers, find room


def _draw(path: str | Path, size: tuple[float, float], draw: Callable[[Any, Any], None]) -> Path:
    """Write what ``draw(figure, axes)`` draws on a new figure of a size in inches."""
    path = io.check_writable(path, suffixes=(".png",))
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError("plots: matplotlib is not installed: pip install 'jaxart[plots]'.") from error
    figure = module.Figure(figsize=size, dpi=_DPI, layout="constrained")
    draw(figure, figure.add_subplot())
    with io.replacing(path) as partial:  # without the version, so that equal plots are equal files
        figure.savefig(partial, format="png", metadata={"Software": None})
    return path


def plot_confusion(path: str | Path, matrix: np.ndarray, *, names: Sequence[str] = ()) -> Path:
    """Draw a confusion matrix: rows are labels, shades the share of the row, numbers the counts.

    Args:
        path: .png.
        matrix: ``[K, K]`` counts, by `metrics.confusion_matrix`.
        names: of the classes; their numbers by default.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
        ValueError: a matrix that is not square, not one name per class, or matplotlib is not installed.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(names) not in (0, len(counts)):
        raise ValueError(
            f"plot_confusion: expected a matrix [K, K] and K names or none, got {counts.shape} and {len(names)}."
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 2.5 + 0.35 * len(counts)) if len(counts) <= _LEGIBLE else 8.0  # inches

    def draw(figure: Any, axes: Any) -> None:
        shades = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        figure.colorbar(shades, ax=axes, label="share of the label", shrink=0.8)
        axes.set(xlabel="predicted", ylabel="label")
        if len(counts) <= _LEGIBLE:
            ticks = names or [str(each) for each in range(len(counts))]
            axes.set_xticks(range(len(counts)), ticks, rotation=90 if max(map(len, ticks)) > 2 else 0)
            axes.set_yticks(range(len(counts)), ticks)
        if len(counts) <= 25:
            _write_counts(axes, counts, shares)

    return _draw(path, (side + 1, side), draw)


def _write_counts(axes: Any, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.argwhere(counts > 0):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)


def plot_roc(path: str | Path, curves: Mapping[str, RocCurve]) -> Path:
    """Draw ROC curves with their areas, and the diagonal of chance.

    Args:
        path: .png.
        curves: by name, of `metrics.roc_curve`.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
        ValueError: matplotlib is not installed.
    """

    def draw(figure: Any, axes: Any) -> None:
        axes.plot((0, 1), (0, 1), color="0.7", linestyle="--", linewidth=1)
        for name, curve in curves.items():
            area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
            axes.plot(curve.false_positive_rate, curve.true_positive_rate, label=f"{name} ({area:.3f})")
        _unit_axes(axes, "false positive rate", "true positive rate", len(curves))

    return _draw(path, (5, 5), draw)


def plot_precision_recall(path: str | Path, curves: Mapping[str, PrecisionRecallCurve]) -> Path:
    """Draw curves of precision over recall, as steps, with their average precision.

    Args:
        path: .png.
        curves: by name, of `metrics.precision_recall_curve`.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
        ValueError: matplotlib is not installed.
    """

    def draw(figure: Any, axes: Any) -> None:
        for name, curve in curves.items():
            area = np.sum(np.diff(curve.recall) * curve.precision[1:])
            axes.step(curve.recall, curve.precision, where="pre", label=f"{name} ({area:.3f})")
        _unit_axes(axes, "recall", "precision", len(curves))

    return _draw(path, (5, 5), draw)


def _unit_axes(axes: Any, x: str, y: str, legend: int) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    if 0 < legend <= 20:
        axes.legend(fontsize=8)


def plot_reliability(path: str | Path, found: Reliability) -> Path:
    """Draw a reliability diagram: the share that is right in each bin of confidence, its distance from the diagonal, and a histogram.

    Args:
        path: .png.
        found: by `metrics.reliability`.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
        ValueError: matplotlib is not installed.
    """
    some = found.count > 0
    left, width = found.edges[:-1][some], np.diff(found.edges)[some]
    shares = found.count[some] / max(found.count.sum(), 1)
    error = np.sum(shares * np.abs(found.accuracy[some] - found.confidence[some]))

    def draw(figure: Any, axes: Any) -> None:
        axes.bar(left, shares, width, align="edge", color="0.85", label="share of examples")
        axes.bar(left, found.accuracy[some], width, align="edge", fill=False, edgecolor="tab:blue", label="right")
        axes.vlines(found.confidence[some], found.accuracy[some], found.confidence[some], color="tab:red", label="gap")
        axes.plot((0, 1), (0, 1), color="0.5", linestyle="--", linewidth=1)
        axes.set_title(f"calibration error {error:.3f}", fontsize=10)
        _unit_axes(axes, "confidence", "accuracy", 3)

    return _draw(path, (5, 5), draw)
