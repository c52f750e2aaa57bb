"""A classifier as a recipe."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.training import Recipe, gradient_update


class State(NamedTuple):
    """What one step hands to the next."""

    step: jax.Array
    params: PyTree
    opt_state: Any


class Info(NamedTuple):
    """Mean cross-entropy in nats and accuracy on the batch."""

    cross_entropy: jax.Array
    accuracy: jax.Array


def classifier(network: Any, *, shape: Sequence[int], optimizer: optax.GradientTransformation) -> Recipe:
    """Return the recipe of a classifier trained by cross-entropy.

    A batch is a dict of ``image [B, *shape]``, uint8 or in [0, 1], and ``label [B]``, int32.

    Args:
        network: module, pictures in [0, 1] -> (logits ``[B, classes]``, features ``[B, F]``).
        shape: of one picture, such as (32, 32, 3).
        optimizer: any Optax transformation.
    """

    def init(key: Key) -> State:
        params = network.init(key, jnp.zeros((2, *shape)))["params"]
        return State(jnp.int32(0), params, optimizer.init(params))

    return Recipe(init, _make_step(network, optimizer))


@functools.lru_cache(maxsize=8)
def _make_step(network: Any, optimizer: optax.GradientTransformation) -> Callable:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: None) -> tuple[State, Info]:
        del key, frozen

        def objective(params):
            logits, _ = network.apply({"params": params}, unit(batch["image"]))
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
            return jnp.mean(losses), jnp.mean(jnp.argmax(logits, -1) == batch["label"])

        done = gradient_update(objective, optimizer, state.params, state.opt_state)
        state = State(state.step + 1, done.params, done.opt_state)
        return state, Info(done.loss, done.aux.astype(jnp.float32))

    return step
