"""`fit`: the only loop."""

import contextlib
import functools
import gc
import itertools
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from threadpoolctl import threadpool_limits

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.ops import compiler_options
from jaxart.training.checkpoint import Checkpoints, DifferentRunError
from jaxart.training.recipe import Recipe, Step
from jaxart.training.sharding import Hook, any_process, batch_sharding, replicate, replicated, shard_batch

_CALL_SECONDS = 0.5  # a call to the device runs about this long, so that hooks and interrupts are served
_ROLLBACKS = 3  # so often a run goes back to its last checkpoint before it gives up


class NotFiniteError(ArithmeticError):
    """A step produced a value that is not finite. `state` is the last good one, `step` its count, `term` the first bad field of info."""

    def __init__(self, term: str, step: int, state: Any):
        super().__init__(
            f"{term} is not finite after step {step}: an update was too large, or a value outside the range of its dtype; "
            f"the state of step {step} is kept."
        )
        self.term, self.step, self.state = term, step, state


class Limits(NamedTuple):
    """What a call of the program is told, int32 scalars.

    Fields:
        until: the count of steps at which to end.
        left: how many steps that are not finite may still be skipped.
        max_nonfinite_steps: what `left` goes back to after a finite step.
    """

    until: Any
    left: Any = np.int32(0)
    max_nonfinite_steps: Any = np.int32(0)


def _run(
    step: Step, key: Key, state: Any, batches: PyTree, frozen: PyTree, limits: Limits
) -> tuple[Any, Any, jax.Array]:
    """Step until ``state.step == limits.until``; a step that is not finite leaves the state as it was, and one too many ends the call.

    One program serves any number of steps, so that chunks of any length give the same bits.
    """
    first, step = state.step, jax.jit(step, inline=True)  # traced once, for its shapes and for the loop

    def batch_of(done):
        return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, done - first, keepdims=False), batches)

    info = jax.eval_shape(step, key, state, batch_of(first), frozen)[1]
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), info)

    def unfinished(carry):
        return (carry[0].step < limits.until) & (carry[2] >= 0)

    def body(carry):
        old, _, left = carry
        new, info = step(jax.random.fold_in(key, old.step), old, batch_of(old.step), frozen)
        fine = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(info)]).all()
        left = jnp.where(fine, limits.max_nonfinite_steps, left - 1)
        new = jax.tree.map(lambda n, o: jnp.where(fine, n, o), new, old)
        return new._replace(step=old.step + (left >= 0)), info, left

    return jax.lax.while_loop(unfinished, body, (state, start, limits.left))


@functools.lru_cache(maxsize=64)
def _compiled(step: Step, structure: Any, leaves: tuple, mesh: Mesh | None, short_run: bool) -> jax.stages.Compiled:
    shapes = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape, dtype, sharding in leaves]
    key, state, batches, frozen = jax.tree.unflatten(structure, shapes)
    options: dict[str, Any] = {"out_shardings": (jax.tree.map(lambda leaf: leaf.sharding, state), None, None)}
    if mesh is not None:
        whole = replicated(mesh)
        options = {
            "in_shardings": (whole, whole, batch_sharding(mesh, axis=1), whole, whole),
            "out_shardings": whole,
        }
    program = jax.jit(functools.partial(_run, step), donate_argnums=1, **options)
    with _uncollected(), contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
        lowered = program.lower(key, state, batches, frozen, Limits(*[jax.ShapeDtypeStruct((), jnp.int32)] * 3))
    compiled = lowered.compile(compiler_options=_options(short_run))
    memory.release()
    return compiled


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Put Python's garbage collection off: tracing makes very many objects: it takes a fifth of the time, and finds nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _options(short_run: bool) -> dict[str, Any]:
    """Return options with which a program needs less memory on a CPU: when it runs, and if it is brief when it is compiled."""
    options: dict[str, Any] = compiler_options()
    if jax.default_backend() != "cpu":
        return options
    options["xla_cpu_scheduler_type"] = "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
    if short_run:  # constants as large as the picture are not kept from step to step
        passes = [*filter(None, [options.get("xla_disable_hlo_passes")]), "while-loop-invariant-code-motion"]
        options["xla_disable_hlo_passes"] = ",".join(passes)
    if short_run and jax.__version_info__ < (0, 11):  # later versions removed the option
        options["xla_cpu_use_fusion_emitters"] = False
    return options


def compile_steps(
    recipe: Recipe, *, key: Key, state: Any, batches: PyTree = None, mesh: Mesh | None = None, step: Step | None = None
) -> jax.stages.Compiled:
    """Compile, or find compiled, the program that `fit` runs for these shapes.

    Args:
        recipe: its `frozen` may hold arrays or `jax.ShapeDtypeStruct`. What is split over devices stays so.
        key: typed key, or its ShapeDtypeStruct.
        state: state or its `jax.eval_shape`.
        batches: the batches of one call ``[K, B, ...]``, or their shapes.
        mesh: as in `fit`.
        step: one of the recipe's lazy steps; by default the usual one.

    Returns:
        The compiled program, ``program(key, state, batches, frozen, Limits(until, left, max_nonfinite_steps)) -> (state, info, left)``; its
        ``memory_analysis()`` tells what it needs.
    """
    leaves, structure = jax.tree.flatten((key, state, batches, recipe.frozen))
    arrays = (leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf) for leaf in leaves)
    described = tuple((leaf.shape, leaf.dtype, _split(leaf) if mesh is None else None) for leaf in arrays)
    return _compiled(step or recipe.step, structure, described, mesh, recipe.short_run)


def _split(leaf: Any) -> NamedSharding | None:
    sharding = getattr(leaf, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None


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

    The program is compiled once, with the state donated, and takes several steps a call: as many as last half a second, or, with batches,
    `batches_per_call`. That changes no bit of the result. Each step's key is ``fold_in(key, step)``: a resumed run draws the same.

    Args:
        recipe: what to run.
        batches: from a count of steps to the batches from there on, one a step; None for recipes without data.
        key: typed key.
        steps: the count at which to stop, steps already in `state` included.
        state: where to carry on; copied, so the caller's stays usable. By default the newest of `checkpoints`, else ``recipe.init(key)``.
        donate: use up the buffers of `state` instead of copying them: for states that fill the memory. They must be JAX's own.
        mesh: from `data_mesh`: the state is replicated over its devices, each batch is split among them. By default all stays
            where it is: on one device, or split as the state and `frozen` came.
        batches_per_call: how many batches go to the device at once; more is faster where a step is short.
        every: calls end at every multiple of this count, so that hooks see those steps.
        hooks: called ``hook(state, info)`` after each call to the device, with the info of its last step. The state must not be kept: it
            is donated.
        stop: asked after each call; true ends the run early.
        max_nonfinite_steps: how many steps in a row may be skipped because a value of info is not finite; the
            state stays as it was but for its count.
        checkpoints: where the state is saved at every multiple of `save_every` and at the end. After `max_nonfinite_steps` skipped
            steps in a row the run goes back to the last of them, and on with other random numbers; at most three times.
        save_every: steps between checkpoints.
        score: of a state, higher is better, taken when it is saved; see `Checkpoints`.

    Returns:
        (state, info) after the last step; info is None if no step was left to do.

    Raises:
        NotFiniteError: a value of info was not finite, too often; it holds the last good state.
        ValueError: a number below its least, batches that end too early or do not divide among the devices, checkpoints of another run.
    """
    _check_numbers(steps=steps, every=every, batches_per_call=batches_per_call, save_every=save_every)
    state, rollbacks = _beginning(recipe, key, state, donate, mesh, checkpoints)
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
            begin = time.perf_counter()
            state, info, left = program(
                _drawn_from(key, rollbacks, mesh),
                state,
                stack,
                frozen,
                Limits(*map(np.int32, (until, left, max_nonfinite_steps))),
            )
            if int(left) < 0:
                error = NotFiniteError(_first_bad(info), int(state.step), state)
                state, rollbacks = _rolled_back(error, recipe, key, mesh, checkpoints, rollbacks)
                done, left = int(state.step), max_nonfinite_steps
                stream = _stream(batches, done)
                continue
            pace = (time.perf_counter() - begin) / (until - done)
            done = until
            for hook in hooks:
                hook(state, info)
            if checkpoints is not None and (done % save_every == 0 or done == steps):
                _save(checkpoints, state, key, rollbacks, score)
    if checkpoints is not None and done not in checkpoints.steps():
        _save(checkpoints, state, key, rollbacks, score)
    return state, info


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"fit: expected {name} of at least 1, got {value}.")


def _next_multiple(done: int, every: int) -> int:
    return (done // every + 1) * every


def _beginning(
    recipe: Recipe, key: Key, state: Any, donate: bool, mesh: Mesh | None, checkpoints: Checkpoints | None
) -> tuple[Any, int]:
    """Return the state to start from, in buffers of its own, and how often the run has been rolled back."""
    if state is None and checkpoints is not None and checkpoints.steps():
        return _restored(recipe, key, mesh, checkpoints)
    state = jax.jit(recipe.init)(key) if state is None else state
    if donate and mesh is None:
        return state, 0
    return jax.tree.map(jnp.copy, state if mesh is None else replicate(state, mesh)), 0


def _restored(recipe: Recipe, key: Key, mesh: Mesh | None, checkpoints: Checkpoints) -> tuple[Any, int]:
    mark = _mark(key)

    def like(notes: dict[str, Any]) -> Any:
        if notes["key"] != mark:
            raise DifferentRunError(
                "resume: the checkpoints are of a run with another key. Use the same, or start anew."
            )
        return jax.eval_shape(recipe.init, key)

    state, notes = checkpoints.newest(like, sharding=None if mesh is None else replicated(mesh))
    return state, notes["rollbacks"]


def _rolled_back(
    error: NotFiniteError, recipe: Recipe, key: Key, mesh: Mesh | None, checkpoints: Checkpoints | None, rollbacks: int
) -> tuple[Any, int]:
    """Return the last good checkpoint, or give up."""
    if checkpoints is None or not checkpoints.steps() or rollbacks >= _ROLLBACKS:
        raise error
    state, _ = _restored(recipe, key, mesh, checkpoints)
    warnings.warn(f"{error.term} was not finite at step {error.step}: back to step {int(state.step)}.", stacklevel=3)
    return state, rollbacks + 1


def _drawn_from(key: Key, rollbacks: int, mesh: Mesh | None) -> Key:
    """Return the key of the run, another one after each rollback."""
    key = jax.random.fold_in(key, np.uint32(2**32 - rollbacks)) if rollbacks else key
    return key if mesh is None else jax.random.wrap_key_data(replicate(jax.random.key_data(key), mesh))


def _save(checkpoints: Checkpoints, state: Any, key: Key, rollbacks: int, score: Callable | None) -> None:
    notes = {"key": _mark(key), "rollbacks": rollbacks}
    checkpoints.save(int(state.step), state, notes, score=None if score is None else float(score(state)))


def _mark(key: Key) -> list[int]:
    return np.asarray(jax.random.key_data(key)).ravel().tolist()


def one_blas_thread():
    """Keep LAPACK, whose eigenvalue solver runs beside XLA's own threads on a CPU, to one thread: a step is 1.5 times faster so.

    Its last bits depend on the number of threads: what must be exact is computed to its end (`jax.block_until_ready`) inside.
    """
    import scipy.linalg  # noqa: F401  only a library that is loaded is limited, and JAX loads this one at its first `eigh`

    return threadpool_limits(limits=1, user_api="blas")


def _stream(batches: Callable[[int], Iterable[PyTree]] | None, done: int) -> Iterator[PyTree] | None:
    return None if batches is None else iter(batches(done))


def _stacked(stream: Iterator[PyTree] | None, done: int, until: int, size: int, mesh: Mesh | None) -> PyTree:
    """Return the batches of the steps from `done` to `until` as one array ``[size, B, ...]``; the rest of it is not read."""
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
