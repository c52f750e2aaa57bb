"""A study of Optuna's, in which a search keeps its trials: begun, carried on and shared by many machines.

What the next point is depends on the key and the trials before that were not lost, so a search that is resumed goes on as it would have.
"""

import contextlib
import json
import math
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.arrays import Key, check_choice, key_words
from jaxart.training.forest import forest_point
from jaxart.training.space import Point, Space, Span, check_point, check_space, grid, random_points

_ATTEMPTS = 8  # to open a storage that others open too
SEARCHES = ("bayes", "forest", "random", "grid")


class Trial(NamedTuple):
    """One trial.

    Fields:
        number: from 0.
        point: the settings.
        score: None if there is none.
        state: "complete", "pruned" (ended early; the score is the last that was reported), "failed" (its score was not finite), "lost" (it
            was interrupted, and does not count) or "running" (on another machine; its point may not be complete yet).
        reports: scores along the way by their steps.
        seconds: it took; None while it runs.
    """

    number: int
    point: Point
    score: float | None
    state: str
    reports: dict[int, float]
    seconds: float | None


class Tuned(NamedTuple):
    """What a search found.

    Fields:
        trials: all of the study, in their order.
        best: that with the best score, the earliest of equals; None if none is complete.
        default: the trial of the default settings, to compare it with.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    default: Trial | None


class Search(NamedTuple):
    """What a study is searched for and how."""

    space: Space
    default: Point
    key: Key
    search: str
    higher: bool
    at_random: int
    listed: list[Point]  # of a grid


def load_optuna(search: str) -> Any:
    """Return the package Optuna, if what a search needs is installed."""
    check_choice("search", search, SEARCHES)
    try:
        import optuna  # pyright: ignore[reportMissingImports]

        if search == "forest":
            import sklearn.ensemble  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"tuning needs Optuna and scikit-learn: pip install 'jaxart[tune]' ({error}).") from error
    return optuna


def search_of(
    space: Space, default: Point, key: Key, search: str, higher: bool, at_random: int, points: int, force: bool
) -> Search:
    """Return what to search, checked."""
    check_space(space)
    listed = grid(space, points=points, force=force) if search == "grid" else []
    default = check_point(space, default)
    listed = [point for point in listed if point != default]
    return Search(space, default, key, search, higher, at_random, listed)


@contextlib.contextmanager
def open_study(optuna: Any, how: Search, storage: str | Path | None, name: str) -> Iterator[Any]:
    """Open a study, or begin it, quietly; trials that a process of this machine left behind when it was killed are lost."""
    opened, before = _storage(optuna, storage), optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=opened,
            study_name=name,
            sampler=_sampler(optuna, how),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
            direction="maximize" if how.higher else "minimize",
            load_if_exists=True,
        )
        _check_same(study, how, name)
        _lose_killed(study)
        yield study
    finally:
        optuna.logging.set_verbosity(before)
        if storage is not None:
            opened.remove_session()
            opened.engine.dispose()


def _storage(optuna: Any, storage: str | Path | None) -> Any:
    if storage is None:
        return None
    if "://" not in str(storage) and not Path(storage).absolute().parent.is_dir():
        raise ValueError(f"storage: expected a file in a folder that is there, got {storage}.")
    url = str(storage) if "://" in str(storage) else f"sqlite:///{Path(storage).absolute()}"
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}  # other processes write too
    return _begun_once(lambda: optuna.storages.RDBStorage(url, engine_kwargs=patience))


def _begun_once(storage: Callable[[], Any]) -> Any:
    """Open a storage, again where another process is just making its tables."""
    from sqlalchemy.exc import DBAPIError  # pyright: ignore[reportMissingImports]

    for attempt in range(_ATTEMPTS):
        try:
            return storage()
        except DBAPIError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError(_ATTEMPTS)


def _check_same(study: Any, how: Search, name: str) -> None:
    """Raise if a study was begun for something else; note what it is for if it is new."""
    space = {key: [*values] for key, values in how.space.items()}
    described = json.dumps({"space": space, "higher": how.higher}, sort_keys=True)
    found = study.user_attrs.get("of")
    if found is None:
        study.set_user_attr("of", described)
    elif found != described:
        raise ValueError(f"the study {name!r} was begun with another space or direction: name another. It has {found}.")


def _sampler(optuna: Any, how: Search) -> Any:
    """Return a sampler of Optuna that takes its points from `_proposed`."""
    distributions = _distributions(optuna, how.space)

    class Sampler(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return distributions

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Point:
            return _proposed(optuna, study, trial, how, distributions)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            raise AssertionError(param_name)  # all are proposed together

    return Sampler()


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    kinds = optuna.distributions
    return {
        name: kinds.CategoricalDistribution(values)
        if not isinstance(values, Span)
        else kinds.IntDistribution(int(values.low), int(values.high), log=values.log)
        if values.whole
        else kinds.FloatDistribution(float(values.low), float(values.high), log=values.log)
        for name, values in space.items()
    }


def _proposed(optuna: Any, study: Any, trial: Any, how: Search, distributions: dict[str, Any]) -> Point:
    """Return the point of a trial that begins."""
    others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number and not _is_lost(each)]
    number = sum(each.number < trial.number for each in others)
    beginning = any(len(each.params) < len(how.space) for each in others)  # on another machine, just now
    if number == 0 or not (beginning or any(each.params == how.default for each in others)):
        return how.default
    if how.search == "grid":
        tried = [each.params for each in others]
        listed = how.listed[number - 1 :] + how.listed[: number - 1]  # machines that ask at once take different ones
        return next((point for point in listed if point not in tried), how.default)
    scored = [each for each in others if each.value is not None and math.isfinite(each.value)]
    if how.search == "random" or number < how.at_random or len(scored) < 2:
        return random_points(how.key, how.space, 1, first=number)[0]
    key = jax.random.fold_in(how.key, number)
    if how.search == "forest":
        sign = 1 if how.higher else -1
        return forest_point(key, how.space, [each.params for each in scored], [sign * each.value for each in scored])
    return _by_estimators(optuna, study, trial, key, distributions)


def _by_estimators(optuna: Any, study: Any, trial: Any, key: Key, distributions: dict[str, Any]) -> Point:
    seed = key_words(key)[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=0, seed=seed)
        return sampler.sample_relative(study, trial, distributions)


def left_to_begin(study: Any, how: Search, trials: int, stop: Callable[[], bool] | None) -> int:
    """Return how many trials are left to begin."""
    if stop is not None and stop():
        return 0
    begun = [each for each in study.get_trials(deepcopy=False) if not _is_lost(each)]
    most = min(trials, len(how.listed) + 1) if how.search == "grid" else trials
    return max(0, most - len(begun))


def ask(study: Any, how: Search) -> tuple[Any, Point]:
    """Begin a trial."""
    trial = study.ask(study.sampler.infer_relative_search_space(study, None))
    trial.set_user_attr("process", [socket.gethostname(), os.getpid()])
    return trial, {name: trial.params[name] for name in how.space}


@contextlib.contextmanager
def lost_if_interrupted(study: Any, trials: Sequence[Any]) -> Iterator[None]:
    """Note that trials are lost if they end by an error or a key press."""
    try:
        yield
    except BaseException:
        for trial in trials:
            _lose(study, trial.number, trial._trial_id)
        raise


def _lose(study: Any, number: int, identity: int) -> None:
    study._storage.set_trial_user_attr(identity, "lost", True)
    study.tell(number, state=_state("FAIL"))


def _lose_killed(study: Any) -> None:
    for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
        host, process = trial.user_attrs.get("process", ("", 0))
        if host == socket.gethostname() and not _is_alive(process):
            _lose(study, trial.number, trial._trial_id)


def _state(name: str) -> Any:
    from optuna.trial import TrialState  # pyright: ignore[reportMissingImports]

    return TrialState[name]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_lost(trial: Any) -> bool:
    return bool(trial.user_attrs.get("lost"))


def trial_of(found: Any) -> Trial:
    """Return a trial of Optuna as one of ours."""
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running", "WAITING": "running"}
    state = "lost" if _is_lost(found) else states.get(found.state.name, "failed")
    score = None if found.value is None or not np.isfinite(found.value) else float(found.value)
    seconds = None if found.duration is None else found.duration.total_seconds()
    return Trial(found.number, dict(found.params), score, state, dict(found.intermediate_values), seconds)


def result(study: Any, how: Search) -> Tuned:
    """Return what a study has found."""
    trials = tuple(trial_of(each) for each in study.trials)
    complete = [trial for trial in trials if trial.state == "complete" and trial.score is not None]
    sign = 1 if how.higher else -1
    best = max(complete, key=lambda trial: (sign * (trial.score or 0.0), -trial.number), default=None)
    default = next((trial for trial in trials if trial.point == how.default and trial.state != "lost"), None)
    return Tuned(trials, best, default)
