"""The loop: exact under any chunking and resume, guarded against NaN, and without recompilation."""

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.training import (
    Checkpoints,
    DifferentRunError,
    NotFiniteError,
    Recipe,
    compile_steps,
    debias,
    exponential_average,
    fit,
    half_life_decay,
    log_jsonl,
    periodically,
)
from jaxart.training import compile as compile_module
from jaxart.training import loop as loop_module


class Walk(NamedTuple):
    step: jax.Array
    place: jax.Array


class Seen(NamedTuple):
    length: jax.Array
    limit: jax.Array


def walk_step(key, state, batch, frozen):
    """A random walk; the term "length" becomes infinite when the walk has gone `frozen` steps."""
    place = state.place * 0.99 + jax.random.normal(key, state.place.shape) + (0 if batch is None else batch)
    limit = jnp.where(state.step >= frozen, jnp.inf, 1.0)
    return Walk(state.step + 1, place), Seen(jnp.linalg.norm(place) * limit, jnp.float32(1))


def walk(limit: int = 10**6) -> Recipe:
    return Recipe(lambda key: Walk(jnp.int32(0), jax.random.normal(key, (4,))), walk_step, jnp.int32(limit))


KEY = jax.random.key(3)


def test_fit_counts_steps_and_calls_hooks_at_every_border():
    seen = []
    state, info = fit(walk(), key=KEY, steps=25, every=10, hooks=(lambda state, info: seen.append(int(state.step)),))
    assert int(state.step) == 25
    assert np.isfinite(info.length)
    assert {10, 20, 25} <= set(seen)
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_any_chunking_gives_the_same_bits(monkeypatch, seconds):
    expected, _ = fit(walk(), key=KEY, steps=23, every=23)
    monkeypatch.setattr(loop_module, "_CALL_SECONDS", seconds)
    state, _ = fit(walk(), key=KEY, steps=23, every=7)
    np.testing.assert_array_equal(state.place, expected.place)


def test_resumed_equals_uninterrupted_and_the_given_state_survives():
    expected, _ = fit(walk(), key=KEY, steps=20)
    half, _ = fit(walk(), key=KEY, steps=9)
    for _ in range(2):  # the second time shows that the first did not eat the state
        state, _ = fit(walk(), key=KEY, steps=20, state=half)
        np.testing.assert_array_equal(state.place, expected.place)


def test_fit_agrees_with_the_step_called_by_hand():
    recipe = walk()
    state = recipe.init(KEY)
    for step in range(5):
        state, _ = recipe.step(jax.random.fold_in(KEY, step), state, None, recipe.frozen)
    np.testing.assert_allclose(fit(recipe, key=KEY, steps=5)[0].place, state.place, rtol=1e-5)


def test_batches_are_taken_one_a_step():
    taken = numbers(0)
    state, _ = fit(walk(), lambda first: taken, key=KEY, steps=6)
    assert int(state.step) == 6
    assert float(next(taken)[0]) == 6
    with pytest.raises(ValueError, match="ended after step 3"):
        fit(walk(), lambda first: [jnp.zeros(4)] * (3 - first), key=KEY, steps=6)


def numbers(first: int):
    """Yield batches that tell their number."""
    return (np.full(4, float(i), np.float32) for i in itertools.count(first))


@pytest.mark.parametrize("count", [1, 3, 8])
def test_batches_of_any_number_a_call_give_the_same_bits(count):
    expected, _ = fit(walk(), numbers, key=KEY, steps=20, batches_per_call=5)
    state, _ = fit(walk(), numbers, key=KEY, steps=11, batches_per_call=count, every=4)
    state, _ = fit(walk(), numbers, key=KEY, steps=20, state=state, batches_per_call=count)
    np.testing.assert_array_equal(state.place, expected.place)


def stand(key, state, batch, frozen):
    return Walk(state.step + 1, state.place), Seen(jnp.float32(1), jnp.float32(1))


def count_up(key, state, batch, frozen):
    return Walk(state.step + 1, state.place + 1), Seen(jnp.float32(1), jnp.float32(1))


@pytest.mark.parametrize(("every", "times"), [(4, 2), (1, 10), (20, 0)])
def test_lazy_steps_run_at_multiples_only(every, times):
    recipe, start = walk()._replace(step=stand, lazy=((every, count_up),)), Walk(jnp.int32(0), jnp.zeros(4))
    state, _ = fit(recipe, numbers, key=KEY, steps=10, state=start, batches_per_call=3)
    assert float(state.place[0]) == times


def stumble(at: tuple[int, ...]):
    """Return a recipe whose term is not finite in the steps `at`, whatever the key."""

    def step(key, state, batch, frozen):
        bad = jnp.isin(state.step, jnp.asarray(at))
        place = state.place + jax.random.normal(key, (4,))
        return Walk(state.step + 1, jnp.where(bad, jnp.nan, place)), Seen(jnp.where(bad, jnp.nan, 1.0), jnp.float32(1))

    return walk()._replace(step=step)


def test_steps_that_are_not_finite_are_skipped_and_counted():
    state, _ = fit(stumble((3, 4)), key=KEY, steps=8, max_nonfinite_steps=2)
    expected = walk().init(KEY).place + sum(
        jax.random.normal(jax.random.fold_in(KEY, i), (4,)) for i in (0, 1, 2, 5, 6, 7)
    )
    assert int(state.step) == 8
    np.testing.assert_allclose(state.place, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(NotFiniteError, match="length is not finite after step 4") as caught:
        fit(stumble((3, 4)), key=KEY, steps=8, max_nonfinite_steps=1)
    assert np.isfinite(caught.value.state.place).all()


def test_a_run_goes_back_to_its_last_checkpoint_and_draws_other_numbers(tmp_path):
    def step(key, state, batch, frozen):  # bad luck: with this key only
        place = state.place + jax.random.normal(key, (4,))
        bad = jnp.all(jax.random.key_data(key) == unlucky)
        return Walk(state.step + 1, place), Seen(jnp.where(bad, jnp.nan, 1.0), jnp.float32(1))

    unlucky = jax.random.key_data(jax.random.fold_in(KEY, 7))
    kept, seen = Checkpoints(tmp_path / "run"), []
    with pytest.warns(UserWarning, match="length was not finite at step 7: back to step 5"):
        state, _ = fit(
            walk()._replace(step=step), key=KEY, steps=12, checkpoints=kept, save_every=5, every=1,
            hooks=(lambda state, info: seen.append(int(state.step)),),
        )  # fmt: skip
    assert int(state.step) == 12
    assert seen == [*range(1, 8), *range(6, 13)]
    again, info = fit(walk()._replace(step=step), key=KEY, steps=12, checkpoints=kept)
    assert info is None
    np.testing.assert_array_equal(again.place, state.place)
    assert kept.notes(12)["rollbacks"] == 1
    kept.close()


def test_a_run_that_fails_again_and_again_gives_up(tmp_path):
    kept = Checkpoints(tmp_path / "run")
    with pytest.warns(UserWarning, match="back to step 5"), pytest.raises(NotFiniteError):
        fit(stumble((7,)), key=KEY, steps=12, checkpoints=kept, save_every=5)
    assert kept.steps() == [5]
    kept.close()


def test_checkpoints_carry_a_run_on_bit_for_bit(tmp_path):
    expected, _ = fit(walk(), numbers, key=KEY, steps=20)
    kept = Checkpoints(tmp_path / "run")
    fit(walk(), numbers, key=KEY, steps=13, checkpoints=kept, save_every=5)
    assert kept.steps() == [13, 10]
    state, _ = fit(walk(), numbers, key=KEY, steps=20, checkpoints=kept, save_every=5)
    np.testing.assert_array_equal(state.place, expected.place)
    with pytest.raises(DifferentRunError, match="another key"):
        fit(walk(), numbers, key=jax.random.key(4), steps=30, checkpoints=kept)
    kept.close()


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path):
    kept = Checkpoints(tmp_path / "run")
    wide = walk()._replace(init=lambda key: Walk(jnp.int32(0), jax.random.normal(key, (4096,))))
    stretched = lambda first: (np.repeat(batch, 1024) for batch in numbers(first))  # noqa: E731
    expected, _ = fit(wide, stretched, key=KEY, steps=20, checkpoints=kept, save_every=10)
    kept.close()
    flip_a_byte(tmp_path / "run" / "20")
    kept = Checkpoints(tmp_path / "run")
    with pytest.warns(UserWarning, match="checkpoint of step 20 cannot be read"):
        state, _ = fit(wide, stretched, key=KEY, steps=20, checkpoints=kept, save_every=10)
    np.testing.assert_array_equal(state.place, expected.place)
    kept.close()


def test_the_best_checkpoint_outlives_the_latest(tmp_path):
    kept = Checkpoints(tmp_path / "run", keep=1, best=1)
    scores = {2: 1.0, 4: 9.0, 6: 3.0, 8: 2.0}
    fit(walk(), key=KEY, steps=8, checkpoints=kept, save_every=2, score=lambda state: scores[int(state.step)])
    assert kept.steps() == [8, 4]
    kept.close()


def test_the_log_of_a_resumed_run_has_every_step_once(tmp_path):
    path = tmp_path / "log.jsonl"
    half, _ = fit(walk(), key=KEY, steps=4, every=1, hooks=(log_jsonl(path),))
    fit(walk(), key=KEY, steps=7, every=1, hooks=(log_jsonl(path),), state=half)
    with path.open("a") as stream:
        stream.write('{"step": 8, "leng')  # killed while writing
    fit(
        stumble((8,)),
        key=KEY,
        steps=10,
        every=1,
        hooks=(periodically(2, log_jsonl(path)),),
        state=half,
        max_nonfinite_steps=1,
    )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 8, 10]
    assert all(np.isfinite(row["length"]) for row in rows)


def test_not_finite_names_the_term_and_keeps_the_last_good_state():
    with pytest.raises(NotFiniteError, match="length is not finite after step 7") as caught:
        fit(walk(7), key=KEY, steps=20)
    expected, _ = fit(walk(), key=KEY, steps=7)
    assert caught.value.step == 7
    np.testing.assert_array_equal(caught.value.state.place, expected.place)


def test_second_run_and_other_numbers_compile_nothing():
    fit(walk(), key=KEY, steps=3)
    before = compile_module._compiled.cache_info().misses
    fit(walk(99), key=jax.random.key(8), steps=12)
    assert compile_module._compiled.cache_info().misses == before


def test_compile_from_shapes_is_the_program_that_fit_runs():
    recipe = walk()
    state = jax.eval_shape(recipe.init, KEY)
    program = compile_steps(recipe, key=KEY, state=state)
    assert program is compile_steps(recipe, key=KEY, state=recipe.init(KEY))
    assert program.memory_analysis().argument_size_in_bytes > 0


def test_stop_ends_early():
    state, _ = fit(walk(), key=KEY, steps=50, every=5, stop=lambda: True)
    assert 1 <= int(state.step) <= 5


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"steps": 5, "every": 0}])
def test_bad_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        fit(walk(), key=KEY, **arguments)


def test_the_half_life_ramps_up_with_the_images_seen():
    assert float(half_life_decay(100, jnp.float32(1e9), half_life=100)) == 0.5
    assert float(half_life_decay(100, jnp.float32(2000), half_life=1e6)) == 0.5
    assert float(half_life_decay(100, jnp.float32(0), half_life=1e6)) == 0.0


def test_average_is_the_weighted_mean():
    values, average = [1.0, 5.0, 2.0], 0.0
    for value in values:
        average = exponential_average(average, value, decay=0.9)
    weights = np.array([0.81, 0.9, 1.0])
    np.testing.assert_allclose(debias(average, decay=0.9, count=3), np.average(values, weights=weights), rtol=1e-6)


def tree() -> Any:
    return {"a": jnp.arange(5.0), "b": (jnp.int32(3), jnp.ones((2, 2), jnp.bfloat16))}


def test_checkpoints_keep_two_and_restore_bits(tmp_path):
    kept = Checkpoints(tmp_path / "run")
    assert kept.steps() == []
    for step in (1, 2, 3):
        kept.save(step, jax.tree.map(lambda x: x * step, tree()), {"step": step})  # noqa: B023
    assert kept.steps() == [3, 2]
    assert kept.notes(2)["step"] == 2
    state = kept.restore(2, jax.eval_shape(tree))
    for mine, expected in zip(jax.tree.leaves(state), jax.tree.leaves(tree()), strict=True):
        assert mine.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(mine, np.float32), np.asarray(expected, np.float32) * 2)
    kept.save(2, tree(), {"step": "again"})  # a run resumed from before replaces what came later
    assert kept.steps() == [2]
    assert kept.notes(2)["step"] == "again"
    kept.close()


def refuse(*arguments, **options):
    raise OSError("no space left")


def test_a_write_that_fails_costs_no_other_checkpoint(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path / "run", keep=3)
    for step in (1, 2, 3):
        kept.save(step, jax.tree.map(lambda x: x * step, tree()), {})  # noqa: B023
    with monkeypatch.context() as broken:
        broken.setattr(type(kept._open()), "save", refuse)
        for step in (0, 4):
            with pytest.raises(OSError, match=f"checkpoint of step {step} cannot be written .* before it are intact"):
                kept.save(step, tree(), {})
        assert kept.steps() == [3, 2, 1]
    kept.save(2, tree(), {})
    assert kept.steps() == [2, 1]
    kept.close()


def test_what_is_dropped_later_does_not_count_among_the_latest(tmp_path):
    kept = Checkpoints(tmp_path / "run", keep=2)
    for step, left in ((2, [2]), (6, [6, 2]), (8, [8, 6]), (7, [7, 6]), (6, [6]), (1, [1])):
        kept.save(step, tree(), {"again": step == 6 and 7 in kept.steps()})
        assert kept.steps() == left
    kept.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_step_that_is_there_already_is_not_written_again(tmp_path, monkeypatch, reopened):
    kept = Checkpoints(tmp_path / "run")
    kept.save(1, tree(), {"modes": ("a",)})
    if reopened:
        kept.close()
        kept = Checkpoints(tmp_path / "run")
        kept.restore(1, jax.eval_shape(tree))
    before = (tmp_path / "run" / "1").stat()
    kept.save(2, tree(), {"modes": ("a",)})
    kept.save(1, tree(), {"modes": ("a",)})
    assert kept.steps() == [1]
    assert (tmp_path / "run" / "1").stat().st_ino == before.st_ino
    assert (tmp_path / "run" / "1").stat().st_mtime_ns == before.st_mtime_ns
    kept.save(1, tree(), {"modes": ("b",)})
    assert kept.notes(1)["modes"] == ["b"]
    kept.close()


def test_a_damaged_checkpoint_is_noticed(tmp_path):
    kept = Checkpoints(tmp_path / "run")
    kept.save(1, {"a": jnp.asarray(np.random.default_rng(0).random(4096, np.float32))}, {})
    kept.close()
    like = {"a": jax.ShapeDtypeStruct((4096,), jnp.float32)}
    assert Checkpoints(tmp_path / "run").restore(1, like)["a"].shape == (4096,)
    flip_a_byte(tmp_path / "run")
    with pytest.raises(ValueError, match="checkpoint of step 1 in run is damaged: its checksums do not match"):
        Checkpoints(tmp_path / "run").restore(1, like)


def flip_a_byte(folder: Path) -> None:
    """Damage the largest file in a folder."""
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
