"""The program that `fit` runs, how it is compiled, and the cache of those that were."""

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from threadpoolctl import threadpool_limits

from jaxart import memory
from jaxart.arrays import Key, PyTree
from jaxart.ops import compiler_options
from jaxart.training.recipe import Recipe, Step
from jaxart.training.sharding import batch_sharding, replicated


class Limits(NamedTuple):
    """The limits of one call of the program, int32 scalars.

    Fields:
        until: the step number at which to end.
        left: how many steps that are not finite may still be skipped.
        max_nonfinite_steps: what `left` goes back to after a finite step.
    """

    until: Any
    left: Any = np.int32(0)
    max_nonfinite_steps: Any = np.int32(0)


def compile_steps(
    recipe: Recipe, *, key: Key, state: Any, batches: PyTree = None, mesh: Mesh | None = None, step: Step | None = None
) -> jax.stages.Compiled:
    """Return the compiled program that `fit` runs for these shapes, from the cache if it was compiled before.

    Args:
        recipe: its `frozen` may hold arrays or `jax.ShapeDtypeStruct`. Arrays that are split over devices stay split.
        key: typed key, or its ShapeDtypeStruct.
        state: state or its `jax.eval_shape`.
        batches: the batches of one call, ``[K, B, ...]`` in each leaf, or their shapes.
        mesh: as in `fit`.
        step: one of the recipe's lazy steps; ``recipe.step`` by default.

    Returns:
        The compiled program, ``program(key, state, batches, frozen, Limits(until, left, max_nonfinite_steps)) -> (state, info, left)``; its
        ``memory_analysis()`` says how much memory it needs.
    """
    leaves, structure = jax.tree.flatten((key, state, batches, recipe.frozen))
    arrays = (leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf) for leaf in leaves)
    described = tuple((leaf.shape, leaf.dtype, _split(leaf) if mesh is None else None) for leaf in arrays)
    return _compiled(step or recipe.step, structure, described, mesh, recipe.short_run)


def _split(leaf: Any) -> NamedSharding | None:
    sharding = getattr(leaf, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) else None


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
    """Pause Python's garbage collection: while a program is traced it takes a fifth of the time and frees nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _options(short_run: bool) -> dict[str, Any]:
    """Return options with which a program needs less memory on a CPU: when it runs, and for a short run also when it is compiled."""
    options: dict[str, Any] = compiler_options()
    if jax.default_backend() != "cpu":
        return options
    options["xla_cpu_scheduler_type"] = "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"
    if short_run:  # constants as large as the picture are not stored between steps
        passes = [*filter(None, [options.get("xla_disable_hlo_passes")]), "while-loop-invariant-code-motion"]
        options["xla_disable_hlo_passes"] = ",".join(passes)
    if short_run and jax.__version_info__ < (0, 11):  # later versions removed the option
        options["xla_cpu_use_fusion_emitters"] = False
    return options


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


def one_blas_thread():
    """Return a context manager that limits LAPACK, whose eigenvalue solver competes with XLA's threads on a CPU, to one thread.

    A step is 1.5 times faster with it. The last bits of an eigenvalue depend on the number of threads: for exact results wait for them
    (`jax.block_until_ready`) inside the context.
    """
    import scipy.linalg  # noqa: F401  threadpoolctl limits only libraries that are loaded; JAX loads this one at its first `eigh`

    return threadpool_limits(limits=1, user_api="blas")
