"""`fit`: the only loop."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from threadpoolctl import threadpool_limits

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.ops import compiler_options
from jaxart.training.recipe import Recipe

_CALL_SECONDS = 0.5  # a call to the device runs about this long, so that hooks and interrupts are served


class NotFiniteError(ArithmeticError):
    """A step produced a value that is not finite. `state` is the last good one, `step` its count, `term` the first bad field of info."""

    def __init__(self, term: str, step: int, state: Any):
        super().__init__(
            f"{term} is not finite after step {step}; the state of step {step} is kept. Try a lower learning rate."
        )
        self.term, self.step, self.state = term, step, state


def _run(
    step: Callable, key: Key, state: Any, batch: PyTree, frozen: PyTree, until: jax.Array
) -> tuple[Any, Any, jax.Array]:
    """Step until ``state.step == until`` or something is not finite; then the state is the one before it.

    One program serves any number of steps, so that chunks of any length give the same bits.
    """
    step = jax.jit(step, inline=True)  # traced once, for its shapes and for the loop
    info = jax.eval_shape(step, key, state, batch, frozen)[1]
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), info)

    def unfinished(carry):
        return (carry[0].step < until) & carry[2]

    def body(carry):
        old, _, _ = carry
        new, info = step(jax.random.fold_in(key, old.step), old, batch, frozen)
        fine = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(info)]).all()
        return jax.tree.map(lambda n, o: jnp.where(fine, n, o), new, old), info, fine

    return jax.lax.while_loop(unfinished, body, (state, start, jnp.bool_(True)))


@functools.lru_cache(maxsize=64)
def _compiled(step: Callable, structure: Any, leaves: tuple) -> jax.stages.Compiled:
    key, state, batch, frozen = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    program = jax.jit(functools.partial(_run, step), donate_argnums=1)
    lowered = program.lower(key, state, batch, frozen, jax.ShapeDtypeStruct((), jnp.int32))
    compiled = lowered.compile(compiler_options=compiler_options())
    memory.release()
    return compiled


def compile_steps(recipe: Recipe, *, key: Key, state: Any, batch: PyTree = None) -> jax.stages.Compiled:
    """Compile, or find compiled, the program that `fit` runs for these shapes.

    Args:
        recipe: its `frozen` may hold arrays or `jax.ShapeDtypeStruct`.
        key: typed key, or its ShapeDtypeStruct.
        state: state or its `jax.eval_shape`.
        batch: one batch or its shapes.

    Returns:
        The compiled program, ``program(key, state, batch, frozen, until) -> (state, info, finite)``; its ``memory_analysis()`` tells what
        it needs.
    """
    leaves, structure = jax.tree.flatten((key, state, batch, recipe.frozen))
    arrays = (leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf) for leaf in leaves)
    return _compiled(recipe.step, structure, tuple((leaf.shape, leaf.dtype) for leaf in arrays))


def fit(
    recipe: Recipe,
    batches: Iterable[PyTree] | None = None,
    *,
    key: Key,
    steps: int,
    state: Any = None,
    every: int = 10,
    hooks: tuple[Callable[[Any, Any], Any], ...] = (),
    stop: Callable[[], bool] | None = None,
) -> tuple[Any, Any]:
    """Run a recipe until ``state.step == steps``.

    The program is compiled once, with the state donated; with no batches several steps run in one call, their number adapted to about half
    a second, which changes no bit of the result. Each step's key is ``fold_in(key, step)``, so a resumed run draws the same numbers.

    Args:
        recipe: what to run.
        batches: one batch a step (an iterator that is already at the position of `state`); None for recipes without data.
        key: typed key.
        steps: the count at which to stop, steps already in `state` included.
        state: where to carry on; copied, so the caller's stays usable. ``recipe.init(key)`` by default.
        every: calls end at every multiple of this count, so that hooks see those steps.
        hooks: called ``hook(state, info)`` after each call to the device. The state must not be kept: it is donated.
        stop: asked after each call; true ends the run early.

    Returns:
        (state, info) after the last step; info is None if no step was left to do.

    Raises:
        NotFiniteError: a value of info was not finite; it holds the last good state.
        ValueError: `steps` or `every` below one, or batches that end too early.
    """
    if steps < 1 or every < 1:
        raise ValueError(f"fit: expected steps and every of at least 1, got {steps} and {every}.")
    state = jax.tree.map(jnp.copy, recipe.init(key) if state is None else state)
    frozen = jax.tree.map(jnp.asarray, recipe.frozen)
    done, info, pace = int(state.step), None, 0.0
    stream = None if batches is None else iter(batches)
    with one_blas_thread():
        while done < steps and not (stop is not None and info is not None and stop()):
            batch = None if stream is None else _next(stream, done)
            program = compile_steps(recipe, key=key, state=state, batch=batch)
            count = 1 if stream is not None or not pace else max(1, int(_CALL_SECONDS / pace))
            until = min(steps, done + count, (done // every + 1) * every)
            begin = time.perf_counter()
            state, info, finite = program(key, state, batch, frozen, jnp.int32(until))
            if not bool(finite):
                raise NotFiniteError(_first_bad(info), int(state.step), state)
            pace = (time.perf_counter() - begin) / (until - done)
            done = until
            for hook in hooks:
                hook(state, info)
    return state, info


def one_blas_thread():
    """Keep LAPACK, whose eigenvalue solver runs beside XLA's own threads on a CPU, to one thread: a step is 1.5 times faster so."""
    return threadpool_limits(limits=1, user_api="blas")


def _next(stream: Iterator[PyTree], done: int) -> PyTree:
    try:
        return next(stream)
    except StopIteration:
        raise ValueError(
            f"fit: the batches ended after step {done}; hand in an endless stream or fewer steps."
        ) from None


def _first_bad(info: Any) -> str:
    for path, leaf in jax.tree_util.tree_leaves_with_path(info):
        if not bool(jnp.all(jnp.isfinite(leaf))):
            return jax.tree_util.keystr(path, simple=True, separator=".")
    return "info"
