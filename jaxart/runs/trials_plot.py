"""The trials of a search as a plot: scores in their order, and over the values of each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxart import io
from jaxart.training import Span, Trial

_COLORS = {"complete": "tab:blue", "pruned": "0.7"}
_COLUMNS, _SIDE, _DPI = 3, 3.2, 120  # panels in a row, inches of one


def plot_trials(
    path: str | Path, trials: Sequence[Trial], space: Mapping[str, Span | tuple], *, measure: str, higher: bool = True
) -> Path:
    """Draw trials: their scores and the best so far, then the scores over each setting; those that were pruned are gray.

    Args:
        path: .png.
        trials: of a study; those without a score are left out.
        space: that was searched.
        measure: name of the score.
        higher: whether more of it is better.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    path = io.check_writable(path, suffixes=(".png",))
    known = [trial for trial in trials if trial.score is not None and trial.state in _COLORS]
    rows, columns = -(-(len(space) + 1) // _COLUMNS), min(len(space) + 1, _COLUMNS)
    figure = Figure(figsize=(_SIDE * columns, _SIDE * rows), dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    _scatter(panels[0], known, [trial.number for trial in known])
    done = [trial for trial in known if trial.state == "complete"]
    reached: Any = [trial.score for trial in done] or [np.nan]
    best = (np.maximum if higher else np.minimum).accumulate(reached)
    panels[0].step([trial.number for trial in done] or [0], best, where="post", color="tab:orange")
    panels[0].set(xlabel="trial", ylabel=measure)
    for panel, (name, values) in zip(panels[1:], space.items(), strict=False):
        _scatter(panel, known, [_place(values, trial.point[name]) for trial in known])
        panel.set(xlabel=name)
        if isinstance(values, Span):
            panel.set_xscale("log" if values.log else "linear")
        else:
            panel.set_xticks(range(len(values)), [str(each) for each in values])
    for panel in panels[len(space) + 1 :]:
        panel.set_axis_off()
    with io.replacing(path) as partial:  # without the version, so that equal plots are equal files
        figure.savefig(partial, format="png", metadata={"Software": None})
    return path


def _scatter(panel: Any, trials: Sequence[Trial], places: Sequence[float]) -> None:
    colors = [_COLORS[trial.state] for trial in trials]
    panel.scatter(places, [trial.score for trial in trials], c=colors, s=14)


def _place(values: Span | tuple, value: Any) -> float:
    return value if isinstance(values, Span) else values.index(value)
