"""Search for good settings: trials of an objective, kept by Optuna where many machines can share them and a killed search goes on.

Needs the extra: ``pip install 'jaxart[tune]'``.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from jaxart.arrays import Key
from jaxart.training.loop import NotFiniteError
from jaxart.training.space import Point, Space
from jaxart.training.study import (
    Search,
    Trial,
    Tuned,
    ask,
    left_to_begin,
    load_optuna,
    lost_if_interrupted,
    open_study,
    result,
    search_of,
    trial_of,
)

Report = Callable[[int, float], None]  # (step, score so far)
Objective = Callable[[Point, Report], float]


def tune_settings(
    objective: Objective,
    space: Space,
    *,
    default: Point,
    key: Key,
    trials: int,
    search: Literal["bayes", "forest", "random", "grid"] = "bayes",
    higher: bool = True,
    storage: str | Path | None = None,
    name: str = "tune",
    prune: bool = True,
    at_random: int = 10,
    points: int = 3,
    force: bool = False,
    clear: bool = False,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[Trial], None] | None = None,
) -> Tuned:
    """Try settings one after another, the default ones first.

    The default settings are never pruned. An objective that raises `NotFiniteError` or returns what is not finite has failed, and the
    search goes on; with other errors it ends.

    Args:
        objective: ``(point, report) -> score`` on held-out data. ``report(step, score)`` along the way lets trials end that are worse than
            the median of those before at the same step: it raises then, which the objective must let pass.
        space: by the name of a setting a `Span`, or a tuple of choices.
        default: the settings of trial 0, within the space.
        key: typed key.
        trials: how many the study should have in the end, those before and of other machines included.
        search: "bayes": a tree of Parzen estimators of all settings together; "forest": expected improvement by a random forest; "random";
            "grid", which ends after its last point.
        higher: whether higher scores are better.
        storage: file of a SQLite database, or any URL of Optuna's; None keeps the study in memory. A study that is there is carried on.
        name: of the study in the storage.
        prune: end trials early; "bayes" and "forest" learn from them too.
        at_random: the number of trials, from the first on, of which "bayes" and "forest" draw at random.
        points: of each span in a grid.
        force: allow a grid of more than 500 points.
        clear: forget compiled programs after each trial, for settings that change shapes: they would fill the memory.
        stop: asked before each trial; true ends the search.
        tell: called with each trial that ends.

    Returns:
        All trials, the best and that of the default.

    Raises:
        ImportError: Optuna, or for "forest" scikit-learn, is not installed.
        ValueError: a space or default that cannot be, a grid that is too large, or a study that was begun with others.

    Reference: Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011, section 4; pruning: Golovin et al., Google Vizier, 2017,
    section 3.2.1.
    """
    optuna = load_optuna(search)
    how = search_of(space, default, key, search, higher, at_random, points, force)
    with open_study(optuna, how, storage, name) as study:
        while left_to_begin(study, how, trials, stop):
            trial, point = ask(study, how)
            _run_one(optuna, study, trial, lambda report, point=point: objective(point, report), point, how, prune)
            _after(study, trial, clear, tell)
        return result(study, how)


def tune_together(
    objective: Callable[[Sequence[Point]], Sequence[float]],
    space: Space,
    *,
    default: Point,
    key: Key,
    trials: int,
    at_once: int = 8,
    search: Literal["bayes", "forest", "random", "grid"] = "bayes",
    higher: bool = True,
    storage: str | Path | None = None,
    name: str = "tune",
    at_random: int = 10,
    points: int = 3,
    force: bool = False,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[Trial], None] | None = None,
) -> Tuned:
    """Try several settings at a time, such as those that `trials_together` trains as one program; none of them is pruned.

    Args:
        objective: ``points -> scores``; a score that is not finite has failed.
        at_once: how many points it is handed, the last time fewer.
        The others: as in `tune_settings`.

    Raises:
        ImportError: as `tune_settings`.
        ValueError: as `tune_settings`, or a number of scores other than that of the points.
    """
    optuna = load_optuna(search)
    how = search_of(space, default, key, search, higher, at_random, points, force)
    with open_study(optuna, how, storage, name) as study:
        while count := min(at_once, left_to_begin(study, how, trials, stop)):
            asked = [ask(study, how) for _ in range(count)]
            with lost_if_interrupted(study, [trial for trial, _ in asked]):
                scores = list(objective([point for _, point in asked]))
                if len(scores) != count:
                    raise ValueError(f"tune_together: expected {count} scores, got {len(scores)}.")
            for (trial, _), score in zip(asked, scores, strict=True):
                _finish(optuna, study, trial, float(score))
                _after(study, trial, False, tell)
        return result(study, how)


def trials_csv(trials: Sequence[Trial]) -> str:
    """Return trials as the content of a CSV file: number, state, score, seconds and a column for each setting."""
    settings = sorted({name for trial in trials for name in trial.point})
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["number", "state", "score", "seconds", *settings])
    for trial in trials:
        seconds = None if trial.seconds is None else round(trial.seconds, 3)
        values = (trial.point.get(name) for name in settings)
        rows.writerow([trial.number, trial.state, trial.score, seconds, *values])
    return text.getvalue()


def _run_one(optuna: Any, study: Any, trial: Any, objective: Any, point: Point, how: Search, prune: bool) -> None:
    def report(step: int, score: float) -> None:
        if math.isfinite(score):
            trial.report(float(score), int(step))
        if prune and point != how.default and trial.should_prune():
            raise optuna.TrialPruned

    with lost_if_interrupted(study, [trial]):
        try:
            score = float(objective(report))
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return
        except NotFiniteError as error:
            trial.set_user_attr("error", str(error))
            score = math.nan
    _finish(optuna, study, trial, score)


def _finish(optuna: Any, study: Any, trial: Any, score: float) -> None:
    if math.isfinite(score):
        study.tell(trial, score)
    else:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _after(study: Any, trial: Any, clear: bool, tell: Callable[[Trial], None] | None) -> None:
    if clear:
        from jaxart.training import compile as programs

        programs._compiled.cache_clear()
        jax.clear_caches()
    if tell is not None:
        tell(trial_of(study.trials[trial.number]))
