"""Searching for the settings of a kind of run. A study is a folder, and each trial a run in it.

tune.json     what is tuned: kind, options of trial 0, digests of the data
study.db      the trials, kept by Optuna
trial-0003/   a run; one that was interrupted is carried on
trials.csv    all trials
trials.png    the same as a plot, where matplotlib is installed
"""

import dataclasses
import functools
import importlib.util
import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxart import data as shelf
from jaxart import io, training
from jaxart.arrays import check_choice
from jaxart.runs import folder as files
from jaxart.runs.kind import KINDS, Trained, Tuning
from jaxart.runs.options import RunOptions
from jaxart.runs.run import Paths, Run, by_source, manifest_of, prepare, with_options, write
from jaxart.runs.spaces import Values, space_of
from jaxart.runs.together import numbers_of, shared_recipe, train_together
from jaxart.runs.trainer import train
from jaxart.runs.trials_plot import plot_trials
from jaxart.training import Hook, Span, Trial, Tuned

STUDY = "tune.json"
PLOT = "trials.png"
_PREFIX = "trial-"
_ALL = 10**9  # examples to score


class Study(NamedTuple):
    """What a search has found.

    Fields:
        folder: of the study.
        measure: name of the score.
        higher: whether more of it is better.
        space: that was searched.
        tuned: the trials, the best and that of the default settings.
        runs: folders of the trials that are here, by their number.
        options: of the best; None if no trial is complete.
        finished: whether all trials are done.
    """

    folder: Path
    measure: str
    higher: bool
    space: Mapping[str, Span | tuple]
    tuned: Tuned
    runs: dict[int, Path]
    options: Any
    finished: bool


class _Search(NamedTuple):
    """What all trials share."""

    base: Run  # of trial 0, with the data
    tuning: Tuning
    held_out: dict[str, shelf.Dataset] | None
    mesh: Mesh | None
    hooks: Callable[[Run], tuple[Hook, ...]]
    stop: Callable[[], bool]


def tune(
    kind: str,
    data: Paths,
    folder: str | Path,
    *,
    options: RunOptions | None = None,
    space: Mapping[str, Values] | None = None,
    search: Literal["bayes", "forest", "random", "grid"] = "bayes",
    trials: int = 20,
    together: int = 1,
    points: int = 3,
    prune: bool = True,
    held_out: Paths | None = None,
    storage: str | None = None,
    mesh: Mesh | None = None,
    hooks: Callable[[Run], tuple[Hook, ...]] | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[Trial], None] | None = None,
) -> Study:
    """Try settings of a kind, the given ones first: each trial is a run in the study's folder.

    A study that is there is carried on, and so is a trial that was interrupted, however it was. Trials that diverge have failed, and so
    have those whose settings exclude each other.

    Args:
        kind: name in `KINDS`, of a kind with `Kind.tuning`.
        data: as in `begin`.
        folder: of the study.
        options: of trial 0, and of all others but for what is searched.
        space: what is searched, see `space_of`; by default what the kind suggests.
        search: as in `training.tune_settings`.
        trials: how many the study should have in the end, those before included.
        together: how many are trained at a time, as one program, where they differ in numbers of the optimizer alone (learning_rate and
            weight_decay); on a CPU one after the other in it. Trials that were interrupted begin anew, and none ends early.
        points: of each span in a grid.
        prune: end trials early that are worse than the median of those before, by what runs write on what they keep back.
        held_out: data on which trials are scored; by default what runs keep back.
        storage: URL of a database of Optuna's that many machines share, instead of study.db in the folder.
        mesh: devices, as in `train`.
        hooks: ``run -> hooks`` of a trial.
        stop: asked after each call to the device; true saves and ends, to be carried on.
        tell: called with each trial that ends.

    Returns:
        A `Study`.

    Raises:
        ValueError: as `prepare` and `space_of`; a kind that cannot be tuned or keeps nothing back, settings that cannot be searched
            together, a folder of another study, or Optuna is not installed.

    Example:
        ``study = tune("classifier", "paintings/", "study", space={"learning_rate": "1e-4:1e-2:log"}, trials=10)``
    """
    _check_kind(kind)
    base = prepare(kind, data, Path(folder) / f"{_PREFIX}0000", options=options)
    if together < 1:
        raise ValueError(f"together: expected at least 1 trial at a time, got {together}.")
    tuning, searched, base = _searched(base, space, together)
    shared = _Search(base, tuning, _held_out(base, tuning, held_out), mesh, hooks or (lambda run: ()), stop or _never)
    settings = {name: getattr(base.options, name) for name in searched}
    asked: dict[str, Any] = {
        "default": settings,
        "key": jax.random.key(base.options.seed),
        "search": search,
        "higher": tuning.higher,
        "storage": storage or Path(folder) / "study.db",
        "name": kind,
        "points": points,
    }
    training.check_point(searched, settings)
    _check_values(base, searched)
    _begin(Path(folder), shared)
    how: dict[str, Any] = {"trials": trials, "stop": stop, "tell": tell, **asked}
    try:
        if together > 1:
            training.tune_together(functools.partial(_scores, shared), searched, at_once=together, **how)
        else:
            training.tune_settings(functools.partial(_score, shared), searched, prune=prune, clear=True, **how)
        finished = stop is None or not stop()
    except ImportError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        if stop is None or not stop():
            raise
        finished = False
    tuned = training.tune_settings(_no_trial, searched, trials=0, **asked)
    study = _study(Path(folder), shared, searched, tuned, finished)
    _write(study)
    return study


def _check_kind(kind: str) -> None:
    check_choice("kind", kind, KINDS)
    known = [name for name, each in KINDS.items() if each.tuning is not None]
    if kind not in known:
        raise ValueError(f"tune: a run of the kind {kind} measures nothing to be tuned by; {', '.join(known)} do.")


def _searched(
    base: Run, space: Mapping[str, Values] | None, together: int
) -> tuple[Tuning, dict[str, Span | tuple], Run]:
    """Return how to tune, the space, and trial 0 with numbers in the place of what stands for them."""
    ask: Any = KINDS[base.kind].tuning
    tuning = ask(base.options, base.facts)
    if together > 1:
        may = numbers_of(shared_recipe(base.kind, base.options, base.facts))
        space = {name: words for name, words in tuning.space.items() if name in may} if space is None else space
        others = [name for name in space if name.replace("-", "_") not in may]
        if others:
            raise ValueError(
                f"together: {', '.join(may)} may differ between trials that are one program, not {', '.join(others)}. Leave together out."
            )
    found = space_of(type(base.options), tuning, tuning.space if space is None else space)
    unsaid = {name: value for name, value in tuning.values.items() if getattr(base.options, name) is None}
    chosen = {name: value for name, value in unsaid.items() if name in found}
    return tuning, found, base._replace(options=dataclasses.replace(base.options, **chosen))


def _held_out(base: Run, tuning: Tuning, data: Paths | None) -> dict[str, shelf.Dataset] | None:
    kind = KINDS[base.kind]
    if data is None:
        if not tuning.keeps_back:
            raise ValueError(
                f"tune: a run of the kind {base.kind} keeps nothing back: hand in data to score it on (held_out)."
            )
        return None
    found = {name: kind.load(base.options, name, path) for name, path in by_source(base.kind, kind, data).items()}
    for name, dataset in found.items():
        if shelf.digest(dataset) == base.sources[name].digest:
            raise ValueError(f"held_out: expected {name} that trials do not learn from, got theirs.")
    return found


def _check_values(base: Run, space: Mapping[str, Span | tuple]) -> None:
    """Refuse values with which no run could begin, before the first trial."""
    for name, values in space.items():
        for value in (values.low, values.high) if isinstance(values, Span) else values:
            kind = type(getattr(base.options, name))
            try:
                _trial_of(base, {name: kind(value) if kind in (int, float) else value})
            except ValueError as error:
                raise ValueError(f"space: {name} cannot be {value}: {error}") from error


def _trial_of(base: Run, point: Mapping[str, Any]) -> Run:
    """Return the run of a trial, of which nothing is written.

    Raises:
        ValueError: settings that exclude each other.
    """
    options = dataclasses.replace(base.options, **point)
    ask: Any = KINDS[base.kind].tuning
    ask(options, base.facts)
    return with_options(base, base.folder, options)


def _begin(folder: Path, shared: _Search) -> None:
    """Make the study's folder, or check that it is this study's."""
    manifest = manifest_of(shared.base)
    held = shared.held_out or {}
    told = {
        "kind": manifest.kind,
        "options": manifest.options,
        "data": {name: source.digest for name, source in manifest.sources.items()},
        "held_out": {name: shelf.digest(dataset) for name, dataset in held.items()},
    }
    path = folder / STUDY
    if not path.is_file():
        if (folder / files.MANIFEST).exists():
            raise ValueError(f"{folder} holds a run; choose another folder for the study.")
        folder.mkdir(parents=True, exist_ok=True)
        with io.replacing(path) as partial:
            partial.write_text(json.dumps(told, indent=1), encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != told:
        options = [each for each in told["options"] if found["options"].get(each, ...) != told["options"][each]]
        what = options or [each for each in told if found[each] != told[each]]
        raise ValueError(
            f"{folder} holds a study that was begun otherwise ({', '.join(what)} differs). Give the same, or choose another folder."
        )


def _score(shared: _Search, point: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
    """Return the score of a trial: train its run, or carry it on."""
    try:
        run = _placed(_trial_of(shared.base, point))
    except ValueError:  # settings that exclude each other
        return math.nan
    seen: set[Path] = set()

    def asked() -> bool:
        if shared.held_out is None:
            for step, value in _new_reports(run.folder, shared.tuning.measure, seen):
                report(step, value)
        return shared.stop()

    state = train(run, mesh=shared.mesh, hooks=shared.hooks(run), stop=asked)
    if int(state.step) < run.options.steps:
        raise KeyboardInterrupt
    return _measured(shared, run, state)


def _scores(shared: _Search, points: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the scores of trials that are trained as one program."""
    begun = [_placed(_trial_of(shared.base, point)) for point in points]
    states = train_together(begun, points, mesh=shared.mesh, hooks=shared.hooks(begun[0]), stop=shared.stop)
    return [
        math.nan if state is None else _measured(shared, run, state) for run, state in zip(begun, states, strict=True)
    ]


def _placed(run: Run) -> Run:
    """Return the run in a folder of its own: that of a trial that began with these options, or a new one, which appears whole."""
    study, wanted = run.folder.parent, manifest_of(run).options
    for folder in trial_folders(study):
        if files.read_manifest(folder).options == wanted and not files.is_locked(folder):
            return run._replace(folder=folder)
    draft = write(run._replace(folder=study / f".trial-{uuid.uuid4().hex}")).folder
    while True:
        number = max((int(each.name.removeprefix(_PREFIX)) for each in trial_folders(study)), default=-1) + 1
        place = study / f"{_PREFIX}{number:04d}"
        try:
            draft.rename(place)
        except OSError:
            if not place.exists():  # another process did not take it
                raise
        else:
            return run._replace(folder=place)


def trial_folders(study: Path) -> list[Path]:
    """Return the folders of the trials of a study that are here, in the order in which they began.

    Args:
        study: its folder.
    """
    return sorted(path.parent for path in study.glob(f"{_PREFIX}*/{files.MANIFEST}"))


def _new_reports(folder: Path, measure: str, seen: set[Path]) -> Iterator[tuple[int, float]]:
    """Return steps and scores of what a run has written on what it keeps back since this was asked last."""
    for path in sorted((folder / "samples").glob("step*.json")):
        if path in seen:
            continue
        seen.add(path)
        told = json.loads(path.read_text(encoding="utf-8"))
        value = told.get("validation", {}).get(measure)
        if value is not None:
            yield told["step"], value


def _measured(shared: _Search, run: Run, state: Any) -> float:
    measure = shared.tuning.measure
    if shared.held_out is None:
        told = json.loads((run.folder / files.CALIBRATION).read_text(encoding="utf-8"))
        found = told["validation"][measure]
        return math.nan if found is None else float(found)
    trained, judge = Trained(run.options, run.facts, jax.tree.map(np.asarray, state)), KINDS[run.kind].score
    cards = judge(trained, run.data, shared.held_out, _ALL, 0) if judge is not None else []
    return next(float(card.value) for card in cards if card.score == measure)


def _study(folder: Path, shared: _Search, space: Mapping[str, Span | tuple], tuned: Tuned, finished: bool) -> Study:
    begun = [(each, files.read_manifest(each).options) for each in trial_folders(folder)]
    found = {
        trial.number: next((each for each, told in begun if {**told, **trial.point} == told), None)
        for trial in tuned.trials
    }
    best = None if tuned.best is None else dataclasses.replace(shared.base.options, **tuned.best.point)
    runs = {number: place for number, place in found.items() if place is not None}
    return Study(folder, shared.tuning.measure, shared.tuning.higher, space, tuned, runs, best, finished)


def _write(study: Study) -> None:
    with io.replacing(study.folder / "trials.csv") as partial:
        partial.write_text(training.trials_csv(study.tuned.trials), encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is not None:
        plot_trials(study.folder / PLOT, study.tuned.trials, study.space, measure=study.measure, higher=study.higher)


def _never() -> bool:
    return False


def _no_trial(point: Mapping[str, Any], report: Callable[[int, float], None]) -> float:
    raise AssertionError((point, report))
