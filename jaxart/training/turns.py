"""Two recipes, one after the other, as one."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Key, PyTree
from jaxart.training.recipe import Recipe, Step


class InTurn(NamedTuple):
    """The states of two recipes, and how many steps both have done."""

    step: jax.Array
    first: Any
    second: Any


def in_turn(first: Recipe, second: Recipe, *, until: int) -> Recipe:
    """Return the recipe of two that are trained one after the other, so that both are resumed as one run.

    Args:
        first: trained up to step `until`; neither may have lazy steps, and the info of both is of one type.
        second: trained from there on. It is handed the same batches, so rows are to be those of whichever has its turn.
        until: steps of the first.

    Returns:
        A recipe whose `frozen` is the pair of theirs, and whose states are `InTurn`.

    Raises:
        ValueError: lazy steps or a beginning of their own.
    """
    if first.lazy or second.lazy or first.begin or second.begin:
        raise ValueError("expected recipes without lazy steps and without a beginning of their own.")
    return Recipe(
        functools.partial(_init, first.init, second.init),
        _make_step(first.step, second.step, until),
        (first.frozen, second.frozen),
        short_run=first.short_run and second.short_run,
    )


def _init(first: Callable[[Key], Any], second: Callable[[Key], Any], key: Key) -> InTurn:
    one, other = jax.random.split(key)
    return InTurn(jnp.int32(0), first(one), second(other))


@functools.lru_cache(maxsize=32)
def _make_step(first: Step, second: Step, until: int) -> Step:
    def step(key: Key, state: InTurn, batch: PyTree, frozen: PyTree) -> tuple[InTurn, Any]:
        def train_first() -> tuple[Any, Any, Any]:
            done, info = first(key, state.first, batch, frozen[0])
            return done, state.second, info

        def train_second() -> tuple[Any, Any, Any]:
            done, info = second(key, state.second, batch, frozen[1])
            return state.first, done, info

        one, other, info = jax.lax.cond(state.step < until, train_first, train_second)
        return InTurn(state.step + 1, one, other), info

    return step
