"""`fit`: the only loop."""

import itertools
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxart.arrays import Key, PyTree, key_words
from jaxart.training.checkpoint import Checkpoints, DifferentRunError
from jaxart.training.compile import Limits, compile_steps, one_blas_thread
from jaxart.training.hooks import Hook
from jaxart.training.recipe import Recipe
from jaxart.training.sharding import any_process, replicate, replicated, shard_batch

_CALL_SECONDS = 0.5  # how long a call to the device takes, about, so that hooks and interrupts are served in between
_ROLLBACKS = 3  # how many times a run goes back to its last checkpoint before it gives up


class NotFiniteError(ArithmeticError):
    """A step produced a value that is not finite. `state` is the last good one, `step` its count, `term` the first bad field of info."""

    def __init__(self, term: str, step: int, state: Any):
        super().__init__(
            f"{term} is not finite after step {step}: an update was too large, or a value outside the range of its dtype; "
            f"the state of step {step} is kept."
        )
        self.term, self.step, self.state = term, step, state


def fit(
    recipe: Recipe,
    batches: Callable[[int], Iterable[PyTree]] | None = None,
    *,
    key: Key,
    steps: int,
    state: Any = None,
    donate: bool = False,
    mesh: Mesh | None = None,
    batches_per_call: int = 1,
    every: int = 10,
    hooks: tuple[Hook, ...] = (),
    stop: Callable[[], bool] | None = None,
    max_nonfinite_steps: int = 0,
    checkpoints: Checkpoints | None = None,
    save_every: int = 1000,
    score: Callable[[Any], float] | None = None,
) -> tuple[Any, Any]:
    """Run a recipe until ``state.step == steps``.

    The program is compiled once, with the state donated, and takes several steps per call: as many as fit in half a second, or, with
    batches, `batches_per_call`. The result does not depend on it, bit for bit. Each step's key is ``fold_in(key, step)``, so a resumed
    run draws the same numbers.

    Args:
        recipe: what to run.
        batches: function from a number of steps done to the batches of the steps after it, one per step; None for recipes without data.
        key: typed key.
        steps: the step number at which to stop, steps already in `state` included, at least 1.
        state: state to continue from; it is copied and stays usable. By default the newest of `checkpoints`, else ``recipe.init(key)``.
        donate: donate the buffers of `state` instead of copying them, for states that fill the memory. They must be JAX arrays.
        mesh: from `data_mesh`: the state is replicated over its devices, each batch is split among them. By default arrays stay where they
            are: on one device, or split as the state and `frozen` are.
        batches_per_call: number of batches transferred to the device at once; more is faster where a step is short.
        every: calls end at every multiple of this number of steps, so that hooks see those steps.
        hooks: called ``hook(state, info)`` after each call to the device, with the info of its last step. The state must not be kept: it
            is donated.
        stop: called after each call to the device; if it returns true, the run ends.
        max_nonfinite_steps: how many steps in a row may be skipped because a value of info is not finite; a skipped step changes only the
            step number.
        checkpoints: where the state is saved at every multiple of `save_every` and at the end. After `max_nonfinite_steps` skipped
            steps in a row the run returns to the last of them and continues with other random numbers; at most three times.
        save_every: steps between checkpoints.
        score: of a state, higher is better, taken when it is saved; see `Checkpoints`.

    Returns:
        (state, info) after the last step; info is None if no step was left to do.

    Raises:
        NotFiniteError: a value of info was not finite too often; the error holds the last good state.
        ValueError: a number below its least, batches that end too early or do not divide among the devices, checkpoints of another run.
    """
    _check_numbers(steps=steps, every=every, batches_per_call=batches_per_call, save_every=save_every)
    run = _Run(recipe, key, mesh, checkpoints, score)
    state, rollbacks = _beginning(run, state, donate)
    frozen = jax.tree.map(jnp.asarray, recipe.frozen) if mesh is None else replicate(recipe.frozen, mesh)
    done, info, pace, left = int(state.step), None, 0.0, max_nonfinite_steps
    stream = _stream(batches, done)
    with one_blas_thread():
        while done < steps and not (stop is not None and info is not None and any_process(stop())):
            step, border = recipe.step_at(done)
            count = batches_per_call if batches else max(1, int(_CALL_SECONDS / pace)) if pace else 1
            until = min(steps, border, done + count, _next_multiple(done, every), _next_multiple(done, save_every))
            stack = _stacked(stream, done, until, batches_per_call, mesh)
            program = compile_steps(recipe, key=key, state=state, batches=stack, mesh=mesh, step=step)
            limits = Limits(*map(np.int32, (until, left, max_nonfinite_steps)))
            begin = time.perf_counter()
            state, info, left = program(_drawn_from(key, rollbacks, mesh), state, stack, frozen, limits)
            if int(left) < 0:
                state, rollbacks = _rolled_back(
                    run, rollbacks, NotFiniteError(_first_bad(info), int(state.step), state)
                )
                done, left = int(state.step), max_nonfinite_steps
                stream = _stream(batches, done)
                continue
            pace, done = (time.perf_counter() - begin) / (until - done), until
            for hook in hooks:
                hook(state, info)
            if done % save_every == 0 or done == steps:
                _save(run, state, rollbacks)
    if checkpoints is not None and done not in checkpoints.steps():
        _save(run, state, rollbacks)
    return state, info


class _Run(NamedTuple):
    """What stays the same while `fit` runs, as far as saving and restoring need it."""

    recipe: Recipe
    key: Key
    mesh: Mesh | None
    checkpoints: Checkpoints | None
    score: Callable[[Any], float] | None


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"fit: expected {name} of at least 1, got {value}.")


def _next_multiple(done: int, every: int) -> int:
    return (done // every + 1) * every


def _beginning(run: _Run, state: Any, donate: bool) -> tuple[Any, int]:
    """Return the state to start from, in buffers of its own, and how often the run has been rolled back."""
    if state is None and run.checkpoints is not None and run.checkpoints.steps():
        return _restored(run, run.checkpoints)
    state = _first(run.recipe, run.key) if state is None else state
    if donate and run.mesh is None:
        return state, 0
    return jax.tree.map(jnp.copy, state if run.mesh is None else replicate(state, run.mesh)), 0


def _first(recipe: Recipe, key: Key) -> Any:
    state = jax.jit(recipe.init)(key)
    return state if recipe.begin is None else recipe.begin(state)


def _restored(run: _Run, checkpoints: Checkpoints) -> tuple[Any, int]:
    """Return the state of the newest intact checkpoint, and how often the run had been rolled back."""

    def like(notes: dict[str, Any]) -> Any:
        if notes["key"] != key_words(run.key):
            raise DifferentRunError(
                "resume: the checkpoints are of a run with another key. Use the same, or start anew."
            )
        return jax.eval_shape(run.recipe.init, run.key)

    state, notes = checkpoints.newest(like, sharding=None if run.mesh is None else replicated(run.mesh))
    return state, notes["rollbacks"]


def _rolled_back(run: _Run, rollbacks: int, error: NotFiniteError) -> tuple[Any, int]:
    """Return the state of the last good checkpoint and the new number of rollbacks, or raise the error."""
    if run.checkpoints is None or not run.checkpoints.steps() or rollbacks >= _ROLLBACKS:
        raise error
    state, _ = _restored(run, run.checkpoints)
    warnings.warn(f"{error.term} was not finite at step {error.step}: back to step {int(state.step)}.", stacklevel=3)
    return state, rollbacks + 1


def _save(run: _Run, state: Any, rollbacks: int) -> None:
    if run.checkpoints is None:
        return
    notes = {"key": key_words(run.key), "rollbacks": rollbacks}
    score = None if run.score is None else float(run.score(state))
    run.checkpoints.save(int(state.step), state, notes, score=score)


def _drawn_from(key: Key, rollbacks: int, mesh: Mesh | None) -> Key:
    """Return the key of the run, another one after each rollback."""
    key = jax.random.fold_in(key, np.uint32(2**32 - rollbacks)) if rollbacks else key
    return key if mesh is None else jax.random.wrap_key_data(replicate(jax.random.key_data(key), mesh))


def _stream(batches: Callable[[int], Iterable[PyTree]] | None, done: int) -> Iterator[PyTree] | None:
    return None if batches is None else iter(batches(done))


def _stacked(stream: Iterator[PyTree] | None, done: int, until: int, size: int, mesh: Mesh | None) -> PyTree:
    """Return the batches of the steps from `done` to `until` as arrays ``[size, B, ...]``, filled up by repeating the last."""
    if stream is None:
        return None
    taken = list(itertools.islice(stream, until - done))
    if len(taken) < until - done:
        raise ValueError(
            f"fit: the batches ended after step {done + len(taken)}; hand in an endless stream or fewer steps."
        )
    taken += [taken[-1]] * (size - len(taken))
    stack = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *taken)
    return stack if mesh is None else shard_batch(stack, mesh, axis=1)


def _first_bad(info: Any) -> str:
    for path, leaf in jax.tree_util.tree_leaves_with_path(info):
        if not bool(jnp.all(jnp.isfinite(leaf))):
            return jax.tree_util.keystr(path, simple=True, separator=".")
    return "info"
