"""Training a run, and what that would take."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxart import data as shelf
from jaxart import io, training
from jaxart.ops import compiler_options
from jaxart.runs import folder as files
from jaxart.runs.kind import KINDS, Kind, Trained
from jaxart.runs.patience import patience_of, refuse_longer
from jaxart.runs.run import Paths, Run, checkpoints_of, keys_of, manifest_of, open_run, whole_recipe_of, with_data
from jaxart.training import Hook

BATCHES_PER_CALL = 4
REPORT_EVERY = 100  # steps between lines of the log, at most


class Program(NamedTuple):
    """A compiled step: what it is, its floating point operations, the bytes of its arguments and temporaries."""

    name: str
    operations: float
    bytes: int


class DryRun(NamedTuple):
    """What a run would take.

    Fields:
        parameters: numbers of them by network.
        programs: the step, and what is added to it now and then.
        batch: the first batch.
    """

    parameters: dict[str, int]
    programs: list[Program]
    batch: shelf.Batch


def train(
    run: Run,
    *,
    steps: int | None = None,
    data: Paths | None = None,
    mesh: Mesh | None = None,
    hooks: tuple[Hook, ...] = (),
    stop: Callable[[], bool] | None = None,
) -> Any:
    """Train a run to its end: from its newest intact checkpoint, or from the beginning. Both give the same bits.

    Args:
        run: from `begin` or `open_run`.
        steps: a new count at which to end, kept in the manifest.
        data: where the data is now, if it moved; its content must be the same.
        mesh: devices, see `training.data_mesh`; by default one. May differ from that of the run so far.
        hooks: called ``hook(state, info)`` on the first process, beside what is logged and sampled into the folder.
        stop: asked after each call to the device; true saves and ends.

    Returns:
        The state; ``state.step`` is below the run's steps if it was stopped.

    Raises:
        LockedError: another process trains the run.
        training.NotFiniteError: a value was not finite too often.
        ValueError: the folder holds another run, or none; fewer steps than are done; the data is gone or has changed; checkpoints that
            cannot be read or written.
    """
    there = open_run(run.folder)
    if _identity(there) != _identity(run):
        raise ValueError(f"{run.folder} holds another run than the one that was handed in; open it anew.")
    done = max(files.saved_steps(run.folder), default=0)
    if steps is not None and steps < max(1, done):
        raise ValueError(f"steps: expected at least {max(1, done)}, as {done} are done, got {steps}.")
    refuse_longer(there, steps, done)
    options = there.options if steps is None else dataclasses.replace(there.options, steps=steps)
    run = with_data(run._replace(options=options), data)
    with contextlib.ExitStack() as stack:
        _lock(run, stack)
        if training.this_process()[0] == 0 and files.read_manifest(run.folder) != manifest_of(run):
            files.write_manifest(run.folder, manifest_of(run))
        return _train(run, mesh, hooks, stop)


def _identity(run: Run) -> tuple:
    """Return what of a run never changes."""
    manifest = manifest_of(run)
    digests = {name: source.digest for name, source in run.sources.items()}
    return manifest.kind, manifest.options | {"steps": 0}, manifest.facts, digests


def _lock(run: Run, stack: contextlib.ExitStack) -> None:
    """Hold the run's lock on the first process; where that is refused, all processes raise."""
    refused = None
    if training.this_process()[0] == 0:
        try:
            stack.enter_context(files.locked(run.folder))
        except files.LockedError as error:
            refused = error
    if training.any_process(refused is not None):
        raise refused or files.LockedError(run.folder)


def dry_run(run: Run) -> DryRun:
    """Compile what a run would do, and do none of it.

    Args:
        run: from `prepare`, `begin` or `open_run`.
    """
    run = with_data(run)
    kind, recipe, (order, key) = KINDS[run.kind], whole_recipe_of(run), keys_of(run)
    state = jax.eval_shape(recipe.init, key)
    batch = next(iter(kind.batches(order, run.options, run.data, 0, (0, 1))))
    stack = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((BATCHES_PER_CALL, *leaf.shape), leaf.dtype), batch)
    programs = []
    for name, step in (("a step", recipe.step), *((f"every {k} steps", lazy) for k, lazy in recipe.lazy)):
        single = jax.jit(step).lower(key, state, batch, recipe.frozen).compile(compiler_options=compiler_options())
        facts: Any = single.cost_analysis()
        memory: Any = training.compile_steps(recipe, key=key, state=state, batches=stack, step=step).memory_analysis()
        programs.append(
            Program(name, float(facts.get("flops", 0)), memory.temp_size_in_bytes + memory.argument_size_in_bytes)
        )
    return DryRun({name: _size(params) for name, params in kind.parameters(state).items()}, programs, batch)


def _train(run: Run, mesh: Mesh | None, hooks: tuple[Hook, ...], stop: Callable[[], bool] | None) -> Any:
    options, (order, key) = run.options, keys_of(run)
    every = int(np.gcd(np.gcd(options.save_every, options.sample_every), REPORT_EVERY))
    batches = functools.partial(_batches, KINDS[run.kind], order, options, run.data)
    saved, patience = checkpoints_of(run), patience_of(run)
    told = tuple(training.on_first_process(hook) for hook in (*hooks, *_hooks(run, every)))
    steps, done = options.steps, max(files.saved_steps(run.folder), default=0)
    if patience is not None:
        told, stop = (*told, patience.hook), _either(stop, patience.stop)
        steps = done if done and patience.out(done) else steps  # killed between its last step and its end
    try:
        state, _ = training.fit(
            whole_recipe_of(run),
            batches,
            key=key,
            steps=steps,
            mesh=mesh,
            batches_per_call=BATCHES_PER_CALL,
            every=every,
            hooks=told,
            stop=stop,
            max_nonfinite_steps=options.max_nonfinite_steps,
            checkpoints=saved,
            save_every=options.save_every,
        )
        if patience is not None and (int(state.step) == options.steps or patience.out(int(state.step))):
            state = patience.finish(state, saved)
    finally:
        saved.close()
    if int(state.step) >= options.steps and training.this_process()[0] == 0:
        calibrate(run, state)
    return state


def _either(first: Callable[[], bool] | None, second: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: second() or (first is not None and first())


def calibrate(run: Run, state: Any) -> None:
    """Write RUN/calibration.json, for kinds that have one: what is measured on data that was kept back.

    Args:
        run: with its data.
        state: that it ended with.
    """
    measure = KINDS[run.kind].calibration
    if measure is not None:
        local = jax.tree.map(np.asarray, state)
        found = {"step": int(state.step), **measure(Trained(run.options, run.facts, local, run.data))}
        with io.replacing(run.folder / files.CALIBRATION) as partial:
            partial.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _batches(kind: Kind, key: jax.Array, options: Any, data: dict[str, shelf.Dataset], first: int) -> Any:
    return kind.batches(key, options, data, first, training.this_process())


def _hooks(run: Run, every: int) -> list[Hook]:
    write, last = KINDS[run.kind].sample, run.options.steps
    logs = [training.log_jsonl(run.folder / "log.jsonl")]
    if run.options.tensorboard:
        logs.append(training.log_tensorboard(run.folder / "tensorboard"))
    found = [training.periodically(every, log, last=last) for log in logs]
    if write is None:
        return found

    def write_sample(state: Any, info: Any) -> None:
        del info
        (run.folder / "samples").mkdir(exist_ok=True)
        local = jax.tree.map(np.asarray, state)
        write(Trained(run.options, run.facts, local, run.data), run.folder / "samples" / f"step{int(state.step):07d}")

    return [*found, training.periodically(run.options.sample_every, write_sample, last=last)]


def _size(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
