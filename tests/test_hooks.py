"""Evaluation while training: at the steps that were asked for, once each, and without a trace in the result."""

import json
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.training import Recipe, evaluate, fit, log_jsonl, periodically

KEY = jax.random.key(1)


class State(NamedTuple):
    step: jax.Array
    place: jax.Array


class Info(NamedTuple):
    length: jax.Array


def wander(key, state, batch, frozen):
    del batch, frozen
    place = state.place * 0.99 + jax.random.normal(key, state.place.shape)
    return State(state.step + 1, place), Info(jnp.linalg.norm(place))


def walk():
    return Recipe(lambda key: State(jnp.int32(0), jax.random.normal(key, (4,))), wander)


def measure(state):
    return {"far": jnp.max(state.place), "steps": int(state.step), "undefined": np.float64("nan")}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scores_come_at_their_steps_and_change_nothing(tmp_path):
    path, heard = tmp_path / "scores.jsonl", []
    hook = evaluate(measure, log_jsonl(path), lambda state, scores: heard.append(scores["steps"]))
    state, info = fit(walk(), key=KEY, steps=14, every=2, hooks=(periodically(4, hook, last=14),))
    alone, info_alone = fit(walk(), key=KEY, steps=14, every=2)
    np.testing.assert_array_equal(state.place, alone.place)
    np.testing.assert_array_equal(info.length, info_alone.length)
    assert heard == [4, 8, 12, 14]
    told = rows(path)
    assert [row["step"] for row in told] == heard
    assert told[-1]["far"] == float(state.place.max())
    assert told[0]["undefined"] is None


def test_a_resumed_run_has_every_score_once_and_the_same(tmp_path):
    def scored(name, steps, **options):
        hook = periodically(2, evaluate(measure, log_jsonl(tmp_path / name)))
        return fit(walk(), key=KEY, steps=steps, every=1, hooks=(hook,), **options)[0]

    half = scored("parts", 5)
    scored("parts", 9)  # one that was killed after step 9, with its last checkpoint at step 5
    scored("parts", 14, state=half)
    scored("whole", 14)
    parts, whole = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows(tmp_path / name)]
        for name in ("parts", "whole")
    )
    assert parts == whole
    assert [row["step"] for row in whole] == [2, 4, 6, 8, 10, 12, 14]


def test_a_run_that_goes_back_to_a_checkpoint_logs_every_step_once(tmp_path):
    path, state = tmp_path / "log.jsonl", walk().init(KEY)
    log = log_jsonl(path)
    for step in (2, 4, 6, 4, 6, 8):  # step 8 was not finite once
        log(state._replace(step=jnp.int32(step)), Info(jnp.float32(step)))
    assert [row["step"] for row in rows(path)] == [2, 4, 6, 8]


def test_a_log_that_is_shortened_is_whole_at_any_time(tmp_path, monkeypatch):
    path, state = tmp_path / "log.jsonl", walk().init(KEY)
    lines = ['{"step": 2}', "[1]", "7", "{}", '{"step": null}', '{"step": 4}', '{"ste']
    path.write_text("\n".join(lines))

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            log_jsonl(path)(state._replace(step=jnp.int32(4)), Info(jnp.float32(1)))
    assert path.read_text().splitlines() == lines
    log_jsonl(path)(state._replace(step=jnp.int32(4)), Info(jnp.float32(1)))
    assert [row["step"] for row in rows(path)] == [2, 4]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("every", [0, -2])
def test_a_period_below_one_is_refused(every):
    with pytest.raises(ValueError, match=f"every of at least 1 step, got {every}"):
        periodically(every, print)


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (lambda state: state.place, "expected a dict of scalars by name, got ArrayImpl"),
        (lambda state: {"place": state.place}, r"expected scalars, got 'place' of shape \[4\]"),
    ],
)
def test_what_is_no_score_is_refused(measured, message):
    with pytest.raises(ValueError, match=message):
        fit(walk(), key=KEY, steps=2, hooks=(evaluate(measured),))
