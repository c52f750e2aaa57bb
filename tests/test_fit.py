"""The loop: exact under any chunking and resume, guarded against NaN, and without recompilation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.training import Checkpoints, NotFiniteError, Recipe, compile_steps, debias, exponential_average, fit
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
    taken = (jnp.full(4, float(i)) for i in range(100))
    state, _ = fit(walk(), taken, key=KEY, steps=6)
    assert int(state.step) == 6
    assert float(next(taken)[0]) == 6
    with pytest.raises(ValueError, match="ended after step 3"):
        fit(walk(), iter([jnp.zeros(4)] * 3), key=KEY, steps=6)


def test_not_finite_names_the_term_and_keeps_the_last_good_state():
    with pytest.raises(NotFiniteError, match="length is not finite after step 7") as caught:
        fit(walk(7), key=KEY, steps=20)
    expected, _ = fit(walk(), key=KEY, steps=7)
    assert caught.value.step == 7
    np.testing.assert_array_equal(caught.value.state.place, expected.place)


def test_second_run_and_other_numbers_compile_nothing():
    fit(walk(), key=KEY, steps=3)
    before = loop_module._compiled.cache_info().misses
    fit(walk(99), key=jax.random.key(8), steps=12)
    assert loop_module._compiled.cache_info().misses == before


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


def test_a_damaged_checkpoint_is_noticed(tmp_path):
    kept = Checkpoints(tmp_path / "run")
    kept.save(1, {"a": jnp.asarray(np.random.default_rng(0).random(4096, np.float32))}, {})
    kept.close()
    largest = max(
        (path for path in (tmp_path / "run").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(Exception, match=r"."):
        Checkpoints(tmp_path / "run").restore(1, {"a": jax.ShapeDtypeStruct((4096,), jnp.float32)})
