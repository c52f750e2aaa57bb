"""The contract of everything that iterates."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxart.arrays import Key, PyTree

Step = Callable[[Key, Any, PyTree, PyTree], tuple[Any, Any]]


class Recipe(NamedTuple):
    """An iteration as pure functions.

    Fields:
        init: ``init(key) -> state``. A state is a NamedTuple with a field ``step`` (int32 scalar, the steps done) and all that the next
            step needs.
        step: ``step(key, state, batch, frozen) -> (state, info)``. The new state has the same tree, shapes and dtypes and ``step`` one
            higher; info is a NamedTuple of float32 scalars to report. `fit` calls it with ``fold_in(key, state.step)``. Recipes that differ
            only in arrays should share one function: the compiled program is found by it.
        frozen: arrays that are used but never trained, as an argument: jit would compile those of a closure into the program as constants.
        lazy: pairs (k, step): that step runs instead as every k-th one, the one that makes the count a multiple of k; the first pair that
            applies wins. So a term that acts every k-th step costs nothing in between: each is a separate program, chosen on the host.
        short_run: whether its programs run only a few hundred steps: on a CPU they are then compiled in less time and memory, and a step
            takes a few percent longer.
        begin: ``state -> state``, of the first state of a run alone, on the host and outside of compiled programs: what begins with arrays
            that are read from a file puts them in there. Shapes of a state can be had without it.
    """

    init: Callable[[Key], Any]
    step: Step
    frozen: PyTree = None
    lazy: tuple[tuple[int, Step], ...] = ()
    short_run: bool = False
    begin: Callable[[Any], Any] | None = None

    def step_at(self, done: int) -> tuple[Step, int]:
        """Return the step to run after `done` steps, and the count up to which it is the one to run."""
        for number, (every, step) in enumerate(self.lazy):
            if (done + 1) % every == 0:
                return step, done + 1 if every > 1 else _until_next(done, self.lazy[:number])
        return self.step, _until_next(done, self.lazy)


def _until_next(done: int, lazy: tuple[tuple[int, Step], ...]) -> int:
    """Return the count before which none of the steps runs again."""
    return min(((done // every + 1) * every - 1 for every, _ in lazy), default=_FAR)


_FAR = 2**31 - 1  # the largest count of steps
