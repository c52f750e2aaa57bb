"""Several trainings that differ in numbers alone, such as learning rates and seeds: as one program."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.training.hooks import Hook
from jaxart.training.recipe import Recipe

RecipeOf = Callable[[dict[str, Array]], Recipe]  # {name: number} -> recipe


class TogetherState(NamedTuple):
    """What one step hands to the next.

    Fields:
        step: steps done.
        states: of the trainings, ``[T, ...]`` in each leaf.
        alive: bool ``[T]``: which trainings go on. One that made a value that is not finite keeps the state before that.
    """

    step: jax.Array
    states: PyTree
    alive: jax.Array


class _Frozen(NamedTuple):
    points: dict[str, Any]  # numbers [T] by name
    shared: PyTree  # what the recipe freezes


def trials_together(recipe_of: RecipeOf, points: Sequence[Mapping[str, float]]) -> Recipe:
    """Return a recipe that trains once for each point, all in one program.

    ``fit(trials_together(recipe_of, points), batches, key=key, steps=n)`` does what a `fit` of each ``recipe_of(point)`` with the same key
    and batches would do, to rounding; `trial_state` takes one of the states out. Other points of the same number compile nothing. Numbers
    may go wherever a recipe computes with arrays; what sets shapes or chooses functions may not.

    They are trained side by side, under `jax.vmap`, but on a CPU one after the other.
    The infos of the trainings stand beside each other, ``[T]`` in each field; those of a training that has ended are 0. See `by_trial`.

    Args:
        recipe_of: ``{name: number} -> recipe``, such as ``lambda point: with_hyperparameters(recipe, point)``. It is called while a program
            is traced, with arrays for numbers. Hand in the same function each time, for the program is found by it.
        points: the numbers of each training, all with the same names; integers stay integers.

    Raises:
        ValueError: no point, other names, what is no number, or a recipe with lazy steps or a beginning outside of the program.
    """
    stacked = _stacked(points)
    example = recipe_of({name: values[0] for name, values in stacked.items()})
    if example.lazy or example.begin is not None:
        raise ValueError("trials_together: expected a recipe without lazy steps and without begin=. Train these apart.")

    def init(key: Key) -> TogetherState:
        states = jax.vmap(lambda point: recipe_of(point).init(key))(stacked)
        return TogetherState(jnp.int32(0), states, jnp.ones(len(points), bool))

    return Recipe(init, _step_of(recipe_of), _Frozen(stacked, example.frozen))


@functools.lru_cache(maxsize=8)
def _step_of(recipe_of: RecipeOf) -> Callable:
    def step(key: Key, state: TogetherState, batch: PyTree, frozen: _Frozen) -> tuple[TogetherState, Any]:
        def one(point: dict[str, Array], before: Any, alive: Array) -> tuple[Any, Any, jax.Array]:
            after, info = recipe_of(point).step(key, before, batch, frozen.shared)
            alive = alive & jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(info)]).all()
            after = jax.tree.map(lambda new, old: jnp.where(alive, new, old), after, before)
            return after, jax.tree.map(lambda leaf: jnp.where(alive, leaf, jnp.zeros_like(leaf)), info), alive

        states, infos, alive = _of_each(one, frozen.points, state.states, state.alive)
        return TogetherState(state.step + 1, states, alive), infos

    return step


def _of_each(function: Callable, *arguments: PyTree) -> Any:
    """Map a function by `jax.vmap`; on a CPU one after the other, for its batched products take longer than as many single ones."""
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda each: function(*each), arguments)
    return jax.vmap(function)(*arguments)


def _stacked(points: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    if not points:
        raise ValueError("trials_together: expected at least one point, got none.")
    stacked = {}
    for name in points[0]:
        if any(point.keys() != points[0].keys() for point in points):
            raise ValueError("trials_together: expected points with the same names.")
        values = np.asarray([point[name] for point in points])
        if values.dtype.kind not in "fiu":
            raise ValueError(
                f"trials_together: expected numbers for {name}, got {points[0][name]!r}. Train these apart."
            )
        stacked[name] = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
    return stacked


def trial_state(state: TogetherState, number: int) -> Any:
    """Return the state of one training.

    Args:
        state: of `trials_together`.
        number: of the point.
    """
    return jax.tree.map(lambda leaf: leaf[number], state.states)


def by_trial(hook: Hook) -> Hook:
    """Give a hook such as `log_jsonl` the infos of trainings that run together: "loss.0", "loss.1" and so on."""

    def call(state: Any, info: Any) -> None:
        fields = {name: np.asarray(values) for name, values in info._asdict().items()}
        hook(state, {f"{name}.{n}": value for name, values in fields.items() for n, value in enumerate(values)})

    return call


def with_hyperparameters(recipe: Recipe, point: Mapping[str, Any]) -> Recipe:
    """Return a recipe whose optimizer begins with other hyper-parameters, which stand in its state and so compile nothing new.

    Args:
        recipe: with an optimizer of `optax.inject_hyperparams`, which stands in the state wherever it likes.
        point: numbers by the names of arguments of that optimizer, such as "learning_rate".

    Raises:
        ValueError: from ``init``: a name that no optimizer has.
    """

    def init(key: Key) -> Any:
        state = recipe.init(key)
        for name, value in point.items():
            found = optax.tree.get_all_with_path(state, name, filtering=_is_hyperparameter)
            if not found:
                raise ValueError(f"with_hyperparameters: no optimizer of optax.inject_hyperparams has {name!r}.")
            dtype = jnp.result_type(found[0][1])
            state = optax.tree.set(state, _is_hyperparameter, **{name: jnp.asarray(value, dtype)})
        return state

    return recipe._replace(init=init)


def _is_hyperparameter(path: Any, value: Any) -> bool:
    del value
    return any(getattr(entry, "name", None) == "hyperparams" for entry in path)


def seeded(recipe: Recipe, seed: int | Array) -> Recipe:
    """Return a recipe that draws other numbers: the key of everything is folded with a seed, which may be an array.

    Args:
        recipe: whose init and step draw.
        seed: an integer; each one is another program for `fit`, but not in `trials_together`.
    """

    def init(key: Key) -> Any:
        return recipe.init(jax.random.fold_in(key, seed))

    def step(key: Key, state: Any, batch: PyTree, frozen: PyTree) -> tuple[Any, Any]:
        return recipe.step(jax.random.fold_in(key, seed), state, batch, frozen)

    lazy = tuple((every, _folded(each, seed)) for every, each in recipe.lazy)
    return recipe._replace(init=init, step=step, lazy=lazy)


def _folded(step: Callable, seed: int | Array) -> Callable:
    return lambda key, state, batch, frozen: step(jax.random.fold_in(key, seed), state, batch, frozen)
