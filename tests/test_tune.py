"""Searching for settings: spaces, studies that go on, trainings as one program, and ending in time."""

import json
import os
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart import training
from jaxart.training import Recipe, Span, fit, random_points, tune_settings
from jaxart.training.forest import expected_improvement
from jaxart.training.space import coordinates
from jaxart.training.study import load_optuna, open_study, search_of

KEY = jax.random.key(7)
SPACE = {
    "rate": Span(1e-4, 1.0, log=True),
    "decay": Span(0.0, 0.5),
    "width": Span(4, 64, log=True, whole=True),
    "norm": ("a", "b"),
}
DEFAULT = {"rate": 0.9, "decay": 0.4, "width": 5, "norm": "b"}


# Spaces


def test_a_grid_is_every_combination_once():
    points = training.grid(
        {"rate": Span(0.01, 1.0, log=True), "count": Span(1, 2, whole=True), "norm": ("a", None)}, points=3
    )
    assert len(points) == 3 * 2 * 2
    assert [point["rate"] for point in points[::4]] == pytest.approx([0.01, 0.1, 1.0])
    assert {(point["count"], point["norm"]) for point in points} == {(1, "a"), (1, None), (2, "a"), (2, None)}
    large = {name: Span(0, 1) for name in "abc"}
    with pytest.raises(ValueError, match=r"729 combinations \(9 x 9 x 9\) are more than 500"):
        training.grid(large, points=9)
    assert len(training.grid(large, points=9, force=True)) == 729


def test_random_points_are_uniform_and_a_function_of_their_number():
    points = random_points(KEY, SPACE, 600)
    assert points[7:9] == random_points(KEY, SPACE, 2, first=7)
    assert points[0] != random_points(jax.random.key(8), SPACE, 1)[0]
    shares = {
        "rate": [(np.log10(point["rate"]) + 4) / 4 for point in points],
        "decay": [2 * point["decay"] for point in points],
        "norm": [0.25 + 0.5 * (point["norm"] == "b") for point in points],
    }
    for name, share in shares.items():
        counts, _ = np.histogram(share, 2, (0, 1))
        assert 0.42 < counts[0] / 600 < 0.58, name
    assert np.quantile(shares["rate"], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.05)
    widths = {point["width"] for point in points}
    assert all(type(width) is int for width in widths)
    assert min(widths) == 4
    assert 60 <= max(widths) <= 64


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1.001, 1e3), st.booleans(), st.integers(0, 2**31 - 1))
def test_values_stay_within_their_space(low, factor, log, first):
    space = {"x": Span(low, low * factor, log=log), "n": Span(1, 3, whole=True)}
    for point in [*random_points(KEY, space, 2, first=first), *training.grid(space, points=4)]:
        assert training.check_point(space, point) == point
        assert ((coordinates(space, [point]) >= -1e-9) & (coordinates(space, [point]) <= 1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one setting"),
        ({"a": Span(1.0, 1.0)}, "a: expected a span from a lower to a higher"),
        ({"a": Span(0.0, 1.0, log=True)}, "a: expected a logarithmic span to begin above 0"),
        ({"a": Span(0.5, 3, whole=True)}, "a: expected a span of whole numbers"),
        ({"a": (1, 1)}, "a: expected different choices"),
        ({"a": [1, 2]}, "a: expected a Span or a tuple"),
        ({"a": (np.ones(2),)}, "a: expected a Span or a tuple"),
    ],
)
def test_spaces_that_are_none_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        random_points(KEY, space, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 2.0}, r"rate: 2\.0 lies outside of the space \(0\.0001 to 1\.0\)"),
        ({"norm": "c"}, r"norm: 'c' lies outside of the space \('a', 'b'\)"),
        ({"width": 4.5}, "width: 4.5 lies outside"),
        ({"decay": True}, "decay: True lies outside"),
    ],
)
def test_points_outside_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        training.check_point(SPACE, DEFAULT | change)
    with pytest.raises(ValueError, match="decay: expected a value for each setting"):
        training.check_point(SPACE, {"rate": 0.1})
    assert training.check_point(SPACE, DEFAULT | {"other": 3}) == DEFAULT


# Studies


def valley(point, report=None):
    """Return a score whose best is 0, at rate 0.01, decay 0.1, width 16, norm "a"."""
    far = (np.log10(point["rate"]) + 2) ** 2 + (4 * (point["decay"] - 0.1)) ** 2 + np.log2(point["width"] / 16) ** 2
    return -float(far) - (point["norm"] == "b")


def points_of(tuned):
    return [trial.point for trial in tuned.trials]


@pytest.mark.parametrize("search", training.SEARCHES)
def test_the_default_comes_first_and_searches_find_better(search):
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    heard = []
    space = {"decay": SPACE["decay"], "norm": SPACE["norm"]}
    default, trials = {"decay": 0.5, "norm": "b"}, 16

    def objective(point, report):
        return valley({"rate": 0.01, "width": 16} | point)

    tuned = tune_settings(
        objective, space, default=default, key=KEY, trials=trials, search=search, points=6, tell=heard.append
    )
    assert tuned.trials[0].point == default == tuned.default.point
    assert tuned.default.number == 0
    assert tuned.best.score == max(trial.score for trial in tuned.trials) > tuned.default.score
    assert heard == list(tuned.trials)
    if search == "grid":
        assert len(tuned.trials) == 12  # the default is one of them
        assert sorted(map(str, points_of(tuned))) == sorted(map(str, training.grid(space, points=6)))
    else:
        assert len(tuned.trials) == trials
        assert points_of(tuned)[1:3] == random_points(KEY, space, 2, first=1)
        assert len({str(point) for point in points_of(tuned)}) == trials
    if search in ("bayes", "forest"):  # what is learned from the first ten is used by those after
        late = [trial.score for trial in tuned.trials[10:]]
        assert np.median(late) > np.median(
            [valley({"rate": 0.01, "width": 16} | p) for p in random_points(KEY, space, 99)]
        )


def test_a_search_is_a_function_of_its_key():
    pytest.importorskip("optuna")
    run = {"default": DEFAULT, "trials": 13, "at_random": 3}
    first, same = (tune_settings(valley, SPACE, key=KEY, **run) for _ in range(2))
    assert points_of(first) == points_of(same)
    losses = tune_settings(lambda point, report: -valley(point), SPACE, key=KEY, higher=False, **run)
    assert points_of(first) == points_of(losses)
    assert losses.best.score == -first.best.score


def test_a_search_that_was_interrupted_goes_on_as_it_would_have(tmp_path):
    pytest.importorskip("optuna")
    run = {"default": DEFAULT, "key": KEY, "at_random": 3}
    whole, calls = tune_settings(valley, SPACE, trials=7, **run), []

    def broken(point, report):
        calls.append(point)
        if len(calls) in (1, 5):
            raise KeyboardInterrupt
        return valley(point)

    for expected in (["lost"], ["lost", *["complete"] * 3, "lost"]):
        with pytest.raises(KeyboardInterrupt):
            tune_settings(broken, SPACE, trials=7, storage=tmp_path / "study.db", **run)
        kept = tune_settings(broken, SPACE, trials=0, storage=tmp_path / "study.db", **run)
        assert [trial.state for trial in kept.trials] == expected
    how = search_of(SPACE, DEFAULT, KEY, "bayes", True, 3, 3, False)
    with open_study(load_optuna("bayes"), how, tmp_path / "study.db", "tune") as study:
        killed = study.ask(study.sampler.infer_relative_search_space(study, None))
        killed.set_user_attr("process", [os.uname().nodename, 2**22 + 1])  # above the largest number of a process
    resumed = tune_settings(valley, SPACE, trials=7, storage=tmp_path / "study.db", **run)
    assert [trial.number for trial in resumed.trials if trial.state == "lost"] == [0, 4, 5]
    assert [t.point for t in resumed.trials if t.state == "complete"] == points_of(whole)
    assert resumed.default.score == whole.default.score
    assert resumed.best.point == whole.best.point
    with pytest.raises(ValueError, match="a file in a folder that is there"):
        tune_settings(valley, SPACE, trials=8, storage=tmp_path / "none" / "study.db", **run)
    with pytest.raises(ValueError, match="'tune' was begun with another space or direction"):
        tune_settings(valley, SPACE | {"decay": Span(0, 1)}, trials=8, storage=tmp_path / "study.db", **run)


def test_trials_that_are_worse_than_the_median_end_early():
    pytest.importorskip("optuna")
    told = []

    def objective(point, report):
        for step in range(3):
            report(step, point["x"] + step)
            told.append((point["x"], step))
        return point["x"] + 3

    run = {"default": {"x": 0.0}, "key": KEY, "trials": 15, "search": "random"}
    tuned = tune_settings(objective, {"x": Span(0.0, 1.0)}, **run)
    states = [trial.state for trial in tuned.trials]
    assert set(states) == {"complete", "pruned"}
    assert tuned.default.state == "complete"  # though it is the worst of all
    for number, trial in enumerate(tuned.trials):
        before = [each.point["x"] for each in tuned.trials[:number] if each.state == "complete"]
        pruned = len(before) >= 5 and trial.point["x"] < np.median([each.point["x"] for each in tuned.trials[:number]])
        assert (trial.state == "pruned") == pruned
        assert trial.reports == {step: trial.point["x"] + step for step in range(1 if pruned else 3)}
        assert trial.score == trial.point["x"] + (0 if pruned else 3)
    plain = tune_settings(objective, {"x": Span(0.0, 1.0)}, prune=False, **run)
    assert {trial.state for trial in plain.trials} == {"complete"}


def test_what_diverges_has_failed_and_other_errors_end_the_search():
    pytest.importorskip("optuna")

    def objective(point, report):
        if point["x"] > 0.5:
            raise training.NotFiniteError("loss", 3, None)
        return np.nan if point["x"] < 0.2 else point["x"]

    tuned = tune_settings(
        objective, {"x": Span(0.0, 1.0)}, default={"x": 1.0}, key=KEY, trials=8, search="random", clear=False
    )
    for trial in tuned.trials:
        assert trial.state == ("complete" if 0.2 <= trial.point["x"] <= 0.5 else "failed")
    assert tuned.default.state == "failed"
    assert tuned.best.score == max(trial.score for trial in tuned.trials if trial.score is not None)
    text = training.trials_csv(tuned.trials)
    assert text.splitlines()[0] == "number,state,score,seconds,x"
    assert text.splitlines()[1].startswith("0,failed,,")
    assert len(text.splitlines()) == 9
    with pytest.raises(ZeroDivisionError):  # an arithmetic error of Python's own is a mistake
        tune_settings(lambda point, report: 1 / 0, {"x": Span(0.0, 1.0)}, default={"x": 1.0}, key=KEY, trials=2)


def test_several_points_can_be_tried_at_once():
    pytest.importorskip("optuna")
    sizes = []

    def objective(points):
        sizes.append(len(points))
        return [valley(point) for point in points]

    tuned = training.tune_together(objective, SPACE, default=DEFAULT, key=KEY, trials=10, at_once=4, at_random=4)
    assert sizes == [4, 4, 2]
    assert points_of(tuned)[:4] == [DEFAULT, *random_points(KEY, SPACE, 3, first=1)]
    assert tuned.best.score == max(map(valley, points_of(tuned)))
    with pytest.raises(ValueError, match="expected 3 scores, got 1"):
        training.tune_together(lambda points: [0.0], SPACE, default=DEFAULT, key=KEY, trials=3)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxart\[tune\]'"):
        tune_settings(valley, SPACE, default=DEFAULT, key=KEY, trials=1)


def test_expected_improvement_is_the_mean_of_what_is_above():
    mean, deviation = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 0.5, 0.0, 0.0])
    z = np.linspace(-9, 9, 20_001)[:, None]
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    expected = (np.maximum(mean + deviation * z - 2.5, 0) * density).sum(0)
    np.testing.assert_allclose(expected_improvement(mean, deviation, 2.5), expected, rtol=1e-5)


# Trainings together


class State(NamedTuple):
    step: jax.Array
    params: dict
    opt_state: NamedTuple


class Info(NamedTuple):
    loss: jax.Array


TRACES = []
RULE = optax.inject_hyperparams(optax.adamw)(learning_rate=1e-3, weight_decay=1e-4)


def net(dropout):
    """Return the recipe of a network of two layers, with dropout between them."""

    def init(key):
        first, second = jax.random.split(key)
        params = {"a": 0.5 * jax.random.normal(first, (6, 16)), "b": 0.5 * jax.random.normal(second, (16, 1))}
        return State(jnp.int32(0), params, RULE.init(params))

    def step(key, state, batch, frozen):
        TRACES.append(1)
        keep = jax.random.uniform(key, (8, 16)) >= dropout

        def objective(params):
            hidden = jnp.tanh(batch["x"] @ params["a"]) * keep / (1 - dropout)
            return jnp.mean((hidden @ params["b"] - batch["y"]) ** 2) + frozen["nothing"], None

        done = training.gradient_update(objective, RULE, state.params, state.opt_state)
        return State(state.step + 1, done.params, done.opt_state), Info(done.loss)

    return Recipe(init, step, {"nothing": jnp.float32(0)})


def recipe_of(point):
    recipe = training.seeded(net(point["dropout"]), point["seed"])
    return training.with_hyperparameters(recipe, {name: point[name] for name in ("learning_rate", "weight_decay")})


def batches(first):
    while True:
        x = np.random.default_rng(first).standard_normal((8, 6)).astype(np.float32)
        yield {"x": x, "y": x[:, :1] * x[:, 1:2]}
        first += 1


POINTS = [{"learning_rate": 0.1 / 4**n, "weight_decay": 0.01 * n, "dropout": 0.1 * n, "seed": n} for n in range(4)]


def test_trainings_together_are_those_apart_to_rounding_in_one_program(tmp_path):
    recipe, log = training.trials_together(recipe_of, POINTS), tmp_path / "log.jsonl"
    hook = training.by_trial(training.log_jsonl(log))
    state, info = fit(recipe, batches, key=KEY, steps=20, hooks=(training.periodically(20, hook),), every=20)
    traced = len(TRACES)
    other = training.trials_together(recipe_of, [point | {"learning_rate": 0.03, "seed": 9} for point in POINTS])
    fit(other, batches, key=KEY, steps=3)
    assert len(TRACES) == traced  # other numbers, the same program
    assert state.alive.all()
    (row,) = map(json.loads, log.read_text().splitlines())
    for number, point in enumerate(POINTS[:2]):
        alone, alone_info = fit(recipe_of(point), batches, key=KEY, steps=20)
        mine = training.trial_state(state, number)
        assert int(mine.step) == 20
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), mine.params, alone.params)
        np.testing.assert_allclose(info.loss[number], alone_info.loss, rtol=2e-5)
        assert row[f"loss.{number}"] == float(info.loss[number])
    assert len({float(loss) for loss in info.loss}) == 4


def test_one_that_diverges_leaves_the_others_alone():
    points = [point | {"dropout": 0.0} for point in POINTS]
    wild = [*points[:3], points[3] | {"learning_rate": 1e30}]
    calm, _ = fit(training.trials_together(recipe_of, points), batches, key=KEY, steps=6)
    state, info = fit(training.trials_together(recipe_of, wild), batches, key=KEY, steps=6)
    assert state.alive.tolist() == [True, True, True, False]
    for number in range(3):
        jax.tree.map(
            np.testing.assert_array_equal, training.trial_state(state, number), training.trial_state(calm, number)
        )
    assert int(state.states.step[3]) < 6
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.states.params))
    assert info.loss[3] == 0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "at least one point"),
        ([{"a": 1.0}, {"b": 1.0}], "the same names"),
        ([{"a": "group"}], "expected numbers for a, got 'group'"),
    ],
)
def test_points_that_cannot_go_together_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        training.trials_together(recipe_of, points)


def test_recipes_that_cannot_go_together_are_refused():
    def lazy(point):
        return net(0.0)._replace(lazy=((2, net(0.0).step),))

    with pytest.raises(ValueError, match="without lazy steps"):
        training.trials_together(lazy, [{"a": 1.0}])
    with pytest.raises(ValueError, match="has 'learning_speed'"):
        training.with_hyperparameters(net(0.0), {"learning_speed": 1.0}).init(KEY)


# Ending in time


def course(scores, log=None, start=0):
    """Train for as many steps as there are scores, and return the steps at which it was scored."""
    seen = []

    def measure(state):
        seen.append(int(state.step))
        return {"accuracy": scores[int(state.step) // 2 - 1]}

    early = training.stop_early(2, "accuracy", log=log)
    hooks = () if log is None else (training.log_jsonl(log),)
    hook = training.periodically(2, training.evaluate(measure, early.hook, *hooks))
    count = Recipe(lambda key: Counted(jnp.int32(0)), count_step)
    state = Counted(jnp.int32(start))
    state, _ = fit(count, key=KEY, steps=2 * len(scores), state=state, every=1, hooks=(hook,), stop=early.stop)
    assert int(state.step) == seen[-1]
    return seen


class Counted(NamedTuple):
    step: jax.Array


def count_step(key, state, batch, frozen):
    return Counted(state.step + 1), Info(jnp.float32(0))


def test_a_training_ends_when_its_score_no_longer_improves(tmp_path):
    scores = [0.5, 0.4, 0.6, 0.6, float("nan"), 0.9]
    assert course(scores) == [2, 4, 6, 8, 10]
    assert course([*range(6)]) == [2, 4, 6, 8, 10, 12]
    log = tmp_path / "scores.jsonl"
    course(scores[:4], log)  # a part of the run, killed at step 8 with its last checkpoint at step 5
    assert course(scores, log, start=5) == [6, 8, 10]
    course([*scores[:3], 0.7], log)  # in another life the score of step 8, which is repeated, was better
    assert course(scores, log, start=5) == [6, 8, 10]


def test_patience_counts_what_is_no_better_by_a_margin():
    assert training.out_of_patience([1, 1.05, 1.09], 2, margin=0.1)
    assert not training.out_of_patience([1, 1.05, 1.11], 2, margin=0.1)
    assert not training.out_of_patience([3.0, 2.0, 2.5], 2, higher=False)
    assert training.out_of_patience([3.0, 2.0, 2.5, 2.0], 2, higher=False)
    assert not training.out_of_patience([], 1)
    with pytest.raises(ValueError, match="at least 1 evaluation, got 0"):
        training.stop_early(0, "accuracy")
    with pytest.raises(ValueError, match="expected a score 'accuracy', got loss"):
        training.stop_early(1, "accuracy").hook(Counted(jnp.int32(1)), {"loss": 1.0})
