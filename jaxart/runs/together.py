"""Runs that differ in numbers of the optimizer alone, trained as one program. Each becomes a run as any other, which can be resumed."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxart import training
from jaxart.arrays import PyTree, key_words
from jaxart.runs import folder as files
from jaxart.runs.kind import KINDS, Facts
from jaxart.runs.run import Run, checkpoints_of, keys_of
from jaxart.runs.trainer import BATCHES_PER_CALL, REPORT_EVERY, calibrate
from jaxart.training import Hook, Recipe


def shared_recipe(kind: str, options: Any, facts: Facts) -> Recipe:
    """Return the recipe of runs that are trained together, whose optimizer has what they differ in as hyper-parameters in its state.

    Args:
        kind: name in `KINDS`.
        options: that they share.
        facts: of their data.

    Raises:
        ValueError: such runs cannot be trained together.
    """
    vary: Any = KINDS[kind].varied
    if vary is None:
        raise ValueError(f"together: runs of the kind {kind} are trained one by one; leave it out.")
    if getattr(options, "patience", 0):
        raise ValueError("together: runs that end by patience are trained one by one; leave one of the two out.")
    return vary(options, facts)


def numbers_of(recipe: Recipe) -> list[str]:
    """Return the options in which runs may differ that are trained together.

    Args:
        recipe: from `shared_recipe`.
    """
    return sorted(jax.eval_shape(recipe.init, jax.random.key(0)).opt_state.hyperparams)


def train_together(
    runs: Sequence[Run],
    points: Sequence[Mapping[str, Any]],
    *,
    mesh: Mesh | None = None,
    hooks: Iterable[Hook] = (),
    stop: Callable[[], bool] | None = None,
) -> list[Any]:
    """Train runs as one program, to rounding as each would be alone; their folders get logs, last checkpoints and what is measured of them.

    Args:
        runs: with folders and data, equal but for what is in `points`.
        points: what they differ in: numbers by names of `numbers_of`.
        mesh: devices, as in `train`.
        hooks: called with the mean of the infos.
        stop: asked after each call to the device; true ends, and nothing but the logs is kept.

    Returns:
        The states, None of those whose values were not finite.

    Raises:
        KeyboardInterrupt: it was stopped.
        LockedError: another process trains one of the runs.
    """
    first, kind = runs[0], KINDS[runs[0].kind]
    (order, key), steps = keys_of(first), first.options.steps
    recipe = shared_recipe(first.kind, first.options, first.facts)
    if kind.frozen is not None:
        recipe = recipe._replace(frozen=kind.frozen(first.options, first.data))
    several = training.trials_together(functools.partial(training.with_hyperparameters, recipe), points)
    logs = [_of_trial(number, training.log_jsonl(run.folder / "log.jsonl")) for number, run in enumerate(runs)]
    told = [training.periodically(REPORT_EVERY, log, last=steps) for log in logs] + [_of_mean(hook) for hook in hooks]
    with contextlib.ExitStack() as stack:
        for folder in {run.folder for run in runs}:
            stack.enter_context(files.locked(folder))
        state, _ = training.fit(
            several,
            lambda done: kind.batches(order, first.options, first.data, done, training.this_process()),
            key=key,
            steps=steps,
            mesh=mesh,
            batches_per_call=BATCHES_PER_CALL,
            every=REPORT_EVERY,
            hooks=tuple(training.on_first_process(hook) for hook in told),
            stop=stop,
        )
        if int(state.step) < steps:
            raise KeyboardInterrupt
        return [_finished(run, state, number) for number, run in enumerate(runs)]


def _finished(run: Run, together: training.TogetherState, number: int) -> Any:
    """Save the state of one of the runs, as it would have been trained alone, and measure it."""
    if not bool(together.alive[number]):
        return None
    state = training.trial_state(together, number)
    state = state._replace(opt_state=state.opt_state.inner_state)
    saved = checkpoints_of(run)
    saved.save(run.options.steps, state, {"key": key_words(keys_of(run)[1]), "rollbacks": 0})
    saved.close()
    if training.this_process()[0] == 0:
        calibrate(run, state)
    return state


def _of_trial(number: int, hook: Hook) -> Hook:
    def call(state: Any, info: PyTree) -> None:
        hook(state, jax.tree.map(lambda leaf: leaf[number], info))

    return call


def _of_mean(hook: Hook) -> Hook:
    return lambda state, info: hook(state, jax.tree.map(jnp.mean, info))
