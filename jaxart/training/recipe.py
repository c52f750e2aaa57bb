"""The contract of everything that iterates."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxart.arrays import Key, PyTree


class Recipe(NamedTuple):
    """An iteration as pure functions.

    Fields:
        init: ``init(key) -> state``. A state is a NamedTuple with a field ``step`` (int32 scalar, the steps done) and all that the next
            step needs.
        step: ``step(key, state, batch, frozen) -> (state, info)``. The new state has the same tree, shapes and dtypes and ``step`` one
            higher; info is a NamedTuple of float32 scalars for people. `fit` hands in ``fold_in(key, state.step)``. Recipes that differ
            only in arrays should share one function: the compiled program is found by it.
        frozen: what is used but never trained, as an argument and not a closure, which jit would bake into the program.
    """

    init: Callable[[Key], Any]
    step: Callable[[Key, Any, PyTree, PyTree], tuple[Any, Any]]
    frozen: PyTree = None
