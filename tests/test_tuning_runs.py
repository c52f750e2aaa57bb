"""Searching for the settings of runs: a study is a folder that goes on."""

import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tunable_kind
from helpers import environment

from jaxart import runs, training
from jaxart.cli import app
from jaxart.runs import classifier, segmenter
from jaxart.training import Span

pytest.importorskip("optuna")
OPTIONS = tunable_kind.Options(batch=8, steps=6, save_every=2, sample_every=2)
WORDS = ["--batch", "8", "--steps", "6", "--save-every", "2", "--sample-every", "2"]
SPACE = ["--space", "learning_rate=0.001:0.1:log", "decay=0:0.5", "curve=tanh,sine", "--search", "random"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("table") / "table.npz", np.random.default_rng(0)
    x = rng.standard_normal((48, 6)).astype(np.float32)
    np.savez(path, x=x, y=np.tanh(x[:, :1] * x[:, 1:2]))
    return path


def tune(table, folder, **more):
    return runs.tune("tunable", table, folder, options=OPTIONS, **{"search": "random", **more})


def scores(study):
    return {str(trial.point): trial.score for trial in study.tuned.trials if trial.state == "complete"}


def test_trials_are_runs_and_the_first_has_the_given_settings(table, tmp_path, capsys):
    words = ["tune", "tunable", str(table), "-o", str(tmp_path / "study"), "--trials", "3", *SPACE, *WORDS]
    assert app()(words, exit_on_error=False) == 0
    told = capsys.readouterr()
    folders = runs.trial_folders(tmp_path / "study")
    assert [each.name for each in folders] == ["trial-0000", "trial-0001", "trial-0002"]
    first = runs.open_run(folders[0]).options
    assert first == tunable_kind.Options(batch=8, steps=6, save_every=2, sample_every=2, decay=0.1)
    rows = (tmp_path / "study" / "trials.csv").read_text().splitlines()
    assert rows[0] == "number,state,score,seconds,curve,decay,learning_rate"
    kept = [json.loads((each / "calibration.json").read_text())["validation"]["error"] for each in folders]
    assert [float(row.split(",")[2]) for row in rows[1:]] == kept
    assert f"error {min(kept):.4f}" in told.err  # the least is the best
    (command,) = (line for line in told.out.splitlines() if line.startswith("jaxart train"))
    best = runs.open_run(folders[int(np.argmin(kept))]).options
    given = iter(shlex.split(command)[3:])
    assert next(given) == str(table)
    flags = {word: next(given) for word in given}
    assert float(flags.get("--learning-rate", 0.01)) == best.learning_rate
    assert flags.get("--curve", "tanh") == best.curve
    assert float(flags["--decay"]) == best.decay
    assert flags["-o"] == str(tmp_path / "study" / "best")


def test_a_study_that_was_killed_goes_on_as_it_would_have(table, tmp_path):
    whole = tune(table, tmp_path / "whole", trials=3)
    words = ["tune", "tunable", str(table), "-o", str(tmp_path / "cut"), "--search", "random", "--trials", "3", *WORDS]
    program = [sys.executable, str(Path(tunable_kind.__file__)), *words]
    for kill in ("trial-0001/samples/step0000004", "trial-0002/samples/step0000006"):
        done = subprocess.run(program, env=environment(KILL=kill), capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    cut = tune(table, tmp_path / "cut", trials=3)
    assert scores(cut) == scores(whole)
    assert [trial.state for trial in cut.tuned.trials] == ["complete", "lost", "complete", "lost", "complete"]
    assert [each.name for each in runs.trial_folders(tmp_path / "cut")] == ["trial-0000", "trial-0001", "trial-0002"]
    assert {each.name for each in cut.runs.values()} == {"trial-0000", "trial-0001", "trial-0002"}
    more = tune(table, tmp_path / "cut", trials=4)  # all of them count
    assert len(scores(more)) == 4
    assert scores(more).items() >= scores(whole).items()


def test_a_study_that_was_stopped_is_saved_within_a_trial(table, tmp_path):
    asked = iter([False] * 2 + [True] * 99)
    study = tune(table, tmp_path / "study", trials=2, stop=lambda: next(asked))
    assert not study.finished
    assert [trial.state for trial in study.tuned.trials] == ["lost"]
    assert study.options is None
    begun = runs.trial_folders(tmp_path / "study")
    assert 0 < max(runs.saved_steps(begun[0])) < 6
    study = tune(table, tmp_path / "study", trials=2)
    assert study.finished
    assert len(runs.trial_folders(tmp_path / "study")) == 2
    assert scores(study) == scores(tune(table, tmp_path / "whole", trials=2))


TOGETHER = {"learning_rate": Span(0.001, 0.1, log=True), "decay": Span(0.0, 0.5)}


def test_trials_that_are_one_program_are_the_runs_that_they_would_be_alone(table, tmp_path):
    alone = tune(table, tmp_path / "alone", trials=4, space=TOGETHER, prune=False)
    study = tune(table, tmp_path / "study", trials=4, space=TOGETHER, together=3)
    assert scores(study).keys() == scores(alone).keys()
    for number, score in scores(alone).items():
        assert scores(study)[number] == pytest.approx(score, rel=1e-4)
    run, same = (runs.open_run(each.runs[3]) for each in (study, alone))
    assert run.options == same.options
    assert [json.loads(line)["step"] for line in (run.folder / "log.jsonl").read_text().splitlines()] == [6]
    for longer, expected in zip(*(jax.tree.leaves(runs.train(each, steps=8)) for each in (run, same)), strict=True):
        np.testing.assert_allclose(longer, expected, rtol=1e-4, atol=1e-5)


def test_trials_that_were_one_program_begin_anew_when_they_were_stopped(table, tmp_path):
    stopped = tune(table, tmp_path / "study", trials=2, space=TOGETHER, together=2, stop=lambda: True)
    assert not stopped.finished
    study = tune(table, tmp_path / "study", trials=3, space=TOGETHER, together=2)
    assert [trial.state for trial in study.tuned.trials] == ["complete"] * 3
    assert len(runs.trial_folders(tmp_path / "study")) == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"space": {"curve": ("tanh", "sine")}}, "decay, learning_rate may differ between trials.*not curve"),
        ({"options": dataclasses.replace(OPTIONS, curve="sine")}, "sines are trained one by one"),
        ({"together": 0}, "at least 1 trial at a time"),
    ],
)
def test_what_cannot_be_one_program_is_refused(table, tmp_path, more, message):
    given = {"options": OPTIONS, "together": 2, **more}
    with pytest.raises(ValueError, match=message):
        runs.tune("tunable", table, tmp_path / "study", trials=2, **given)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (classifier, runs.ClassifierOptions(steps=40, balance="deferred")),
        (segmenter, runs.SegmenterOptions(steps=40)),
    ],
)
def test_an_optimizer_with_its_numbers_in_the_state_is_the_usual_one(kind, options, rng):
    params = {"kernel": rng.standard_normal((3, 2), np.float32), "bias": rng.standard_normal(2).astype(np.float32)}
    varied = kind.varied_optimizer(options)
    state = varied.init(params)
    state = optax.tree.set(state, learning_rate=jnp.float32(0.02), weight_decay=jnp.float32(0.3))
    usual = kind.usual_optimizer(dataclasses.replace(options, learning_rate=0.02, weight_decay=0.3))
    expected = usual.init(params)
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(expected)
    mine, theirs = params, params
    for _ in range(36):
        gradient = {name: rng.standard_normal(leaf.shape).astype(np.float32) for name, leaf in params.items()}
        change, state = jax.jit(varied.update)(gradient, state, mine)
        other, expected = jax.jit(usual.update)(gradient, expected, theirs)
        mine, theirs = optax.apply_updates(mine, change), optax.apply_updates(theirs, other)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), mine, theirs)


def test_reports_along_the_way_end_trials_that_do_badly(table, tmp_path):
    heard = []
    study = tune(
        table, tmp_path / "study", trials=9, space={"learning_rate": Span(1e-7, 0.01, log=True)}, tell=heard.append
    )
    assert [trial.number for trial in heard] == [*range(9)]
    assert list(study.tuned.trials[0].reports) == [2, 4]
    pruned = [trial for trial in study.tuned.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert max(runs.saved_steps(study.runs[trial.number]), default=0) < 6
    assert study.tuned.best.score == min(scores(study).values())
    plain = tune(table, tmp_path / "study", trials=9, space={"learning_rate": Span(1e-7, 0.01, log=True)}, prune=False)
    assert plain.tuned.trials == study.tuned.trials  # all were there


def test_settings_that_exclude_each_other_have_failed(table, tmp_path):
    space = {"learning_rate": (0.01, 0.9), "curve": "tanh,sine"}
    study = tune(table, tmp_path / "study", trials=9, space=space, search="grid")
    states = {(trial.point["learning_rate"], trial.point["curve"]): trial.state for trial in study.tuned.trials}
    assert states == {
        (0.01, "tanh"): "complete",
        (0.9, "tanh"): "complete",
        (0.01, "sine"): "complete",
        (0.9, "sine"): "failed",
    }


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learning_rat": "1:2"}, r"no setting 'learning_rat' \(did you mean learning_rate\?\)"),
        ({"kept": "1:2"}, "kept changes the data"),
        ({"seed": "1:2"}, "seed is the same in all trials"),
        ({"learning_rate": "fast,slow"}, "expected numbers, got 'fast'"),
        ({"learning_rate": "1:2:square"}, "expected LOW:HIGH or LOW:HIGH:log"),
        ({"curve": "tanh,bell"}, "expected of tanh, sine, got 'bell'"),
        ({"learning_rate": "0.1:0.2"}, "learning_rate: 0.01 lies outside of the space"),
        ({"batch": "0:8"}, "batch cannot be 0: batch: expected at least 1"),
    ],
)
def test_spaces_that_cannot_be_are_refused_before_anything_is_written(table, tmp_path, space, message):
    with pytest.raises(ValueError, match=message):
        tune(table, tmp_path / "study", space=space)
    assert not (tmp_path / "study").exists()


def test_a_study_is_of_one_kind_with_the_same_options(table, tmp_path):
    study = tune(table, tmp_path / "study", trials=1)
    with pytest.raises(ValueError, match=r"begun otherwise \(steps differs\)"):
        runs.tune("tunable", table, study.folder, options=dataclasses.replace(OPTIONS, steps=7))
    with pytest.raises(ValueError, match="holds a run"):
        tune(table, study.runs[0])
    with pytest.raises(ValueError, match="a run of the kind gan measures nothing to be tuned by"):
        runs.tune("gan", [Path(runs.__file__).parent], tmp_path / "other")


def test_a_space_in_words_is_that_of_the_types_of_the_options():
    tuning = runs.KINDS["classifier"].tuning(runs.ClassifierOptions(), {"train": 60})
    space = runs.space_of(
        runs.ClassifierOptions,
        tuning,
        {"hidden": "8:64:log", "model": "vit,rows", "learning-rate": "1e-4:1", "width": "8,16"},
    )
    assert space == {
        "hidden": Span(8, 64, True, True),
        "model": ("vit", "rows"),
        "learning_rate": Span(1e-4, 1.0),
        "width": (8, 16),
    }
    with pytest.raises(ValueError, match="augment is several words"):
        runs.space_of(runs.ClassifierOptions, tuning, {"augment": "crop"})
    with pytest.raises(ValueError, match="features changes the data"):
        runs.space_of(runs.ClassifierOptions, tuning, {"features": "none,vgg16"})


def test_what_a_classifier_searches_takes_in_what_was_given():
    tuning = runs.KINDS["classifier"].tuning(runs.ClassifierOptions(learning_rate=0.05, dropout=0.9), {"train": 60})
    assert runs.space_of(runs.ClassifierOptions, tuning, tuning.space) == {
        "learning_rate": Span(1e-4, 0.05, log=True),
        "weight_decay": Span(0.0, 2.0),
        "dropout": Span(0.0, 0.9),
        "smoothing": Span(0.0, 0.4),
    }
    assert tuning.values == {"weight_decay": 0.05, "dropout": 0.9, "smoothing": 0.0}
    numbers = runs.KINDS["classifier"].tuning(runs.ClassifierOptions(task="numbers", model="rows"), {"train": 60})
    assert set(numbers.space) == {"learning_rate", "weight_decay"}
    assert numbers.measure == "R2"


def test_words_of_options_are_the_flags_that_give_them():
    options = runs.ClassifierOptions(augment=("crop", "rotate"), size=32, learning_rate=0.02, labels=Path("a b.csv"))
    words = ["--size", "32", "--labels", "a b.csv", "--augment", "crop", "rotate", "--learning-rate", "0.02"]
    assert runs.words_of(options) == words
    assert runs.words_of(runs.GanOptions(smooth=False, conditional=True)) == ["--conditional", "--no-smooth"]


def test_trials_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    space = {"rate": Span(0.01, 1.0, log=True), "model": ("a", "b"), "width": Span(1, 4, whole=True)}
    points = [{"rate": 0.1, "model": "b", "width": 2}, {"rate": 1.0, "model": "a", "width": 3}]
    trials = [
        training.Trial(0, points[0], 0.5, "complete", {}, 1.0),
        training.Trial(1, points[1], None, "failed", {}, 1.0),
        training.Trial(2, points[1], 0.2, "pruned", {}, 1.0),
    ]
    path = runs.plot_trials(tmp_path / "trials.png", trials, space, measure="macro F1")
    again = runs.plot_trials(tmp_path / "again.png", trials, space, measure="macro F1")
    assert path.read_bytes() == again.read_bytes()
    assert path.read_bytes()[:4] == b"\x89PNG"
