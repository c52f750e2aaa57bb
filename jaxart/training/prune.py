"""Magnitude pruning while a network trains: an Optax transformation around any optimizer.

Weights of small magnitude are set to zero, ever more of them, and stay zero. An update of a pruned weight is the negative of the weight, so
`optax.apply_updates` adds ``w + (-w)``, which is exactly 0.0; its gradient and the optimizer's moments of it are zero too.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, PyTree
from jaxart.training.masks import (
    Prunable,
    apply_masks,
    check_pruning,
    further_masks,
    inner_kernels,
    named_leaves,
    whole_masks,
)


class CubicSchedule(NamedTuple):
    """When weights are pruned, and which share of them.

    Update number ``t = begin + i every`` leaves the share ``final + (initial - final) (1 - i / count)^3`` at zero, i from 0 to `count`.

    Fields:
        begin: number of updates before the first pruning.
        every: updates from one pruning to the next, at least 1.
        count: prunings after the first, at least 1.
        final: share of zeros at the end, in [0, 0.98].
        initial: share of zeros at `begin`.

    Reference: Zhu and Gupta, To Prune, or Not to Prune, 2017, eq. 1.
    """

    begin: int
    every: int
    count: int
    final: float = 0.8
    initial: float = 0.0


class PruningState(NamedTuple):
    """What one update hands to the next.

    Fields:
        count: updates done.
        masks: a tree like the params: bool arrays of their shapes, False where a weight is pruned; the scalar True where nothing ever is.
        inner: state of the optimizer.
    """

    count: jax.Array
    masks: PyTree
    inner: Any


def schedule_for(
    steps: int, *, final: float = 0.8, begin: float = 0.15, end: float = 0.75, updates: int = 50
) -> CubicSchedule:
    """Return the schedule of a training of so many steps: dense at first, about `updates` prunings, then fine-tuning.

    Args:
        steps: of the training.
        final: share of zeros at the end.
        begin: share of the steps before the first pruning.
        end: share of the steps before the last.
        updates: about how many prunings.

    Raises:
        ValueError: no step to begin or end with.

    >>> schedule_for(1000)
    CubicSchedule(begin=150, every=12, count=50, final=0.8, initial=0.0)
    """
    if steps < 4 or not 0 <= begin < end <= 1 or updates < 1:
        raise ValueError(
            "schedule_for: expected at least 4 steps, 0 <= begin < end <= 1 and at least one update, got "
            f"{steps}, {begin}, {end} and {updates}."
        )
    first, span = round(begin * steps), round((end - begin) * steps)
    every = max(1, round(span / updates))
    return CubicSchedule(first, every, max(1, span // every), final)


def sparsity_at(schedule: CubicSchedule, step: int) -> float:
    """Return the share of weights that are zero after update number `step`, counted from 0.

    Args:
        schedule: when which share is pruned.
        step: number of updates before it.

    >>> [round(sparsity_at(CubicSchedule(2, 3, 2), step), 3) for step in (0, 2, 4, 5, 8, 99)]
    [0.0, 0.0, 0.0, 0.7, 0.8, 0.8]
    """
    if step < schedule.begin:
        return 0.0
    return float(_shares(schedule)[min((step - schedule.begin) // schedule.every, schedule.count)])


def _shares(schedule: CubicSchedule) -> np.ndarray:
    """Return the share at each pruning, float64 ``[count + 1]``."""
    left = 1 - np.arange(schedule.count + 1) / schedule.count
    return schedule.final + (schedule.initial - schedule.final) * left**3


def magnitude_pruning(
    optimizer: optax.GradientTransformation,
    schedule: CubicSchedule | None,
    *,
    prunable: Prunable = inner_kernels,
    scope: Literal["tensor", "global"] = "tensor",
    pattern: tuple[int, int] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Prune the weights that an optimizer trains.

    Update number t of the schedule, counted from 0, looks at the params before it and sets the smallest to zero: ``round(s_t N)`` of N
    weights, exactly. Weights once pruned stay so. Masks depend on params alone, which all devices hold, so devices agree.
    Averages of the params that somebody else keeps are not pruned: see `masks_in` and `apply_masks`.

    Args:
        optimizer: any Optax transformation.
        schedule: when which share is pruned; None prunes nothing more and keeps at zero what is zero at the beginning.
        prunable: ``(path, array) -> bool``: which arrays are.
        scope: "tensor" prunes the same share of each array, "global" the smallest of all arrays together, of each at most 98 %.
        pattern: (n, m): leave the n largest of each m neighbors along the input axis, the last but one. The schedule must end at
            ``1 - n / m``; before its end groups of m may have more than n.

    Raises:
        ValueError: a schedule that cannot be, or, from ``init``, an array that the pattern does not divide or nothing to prune.

    Reference: Zhu and Gupta 2017; N:M: Zhou et al., Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch, 2021.
    Departures: gradients of pruned weights are zero, so none comes back.
    """
    if schedule is not None:
        _check(schedule)
        check_pruning(schedule.initial, schedule.final, scope, pattern)
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> PruningState:
        masks = whole_masks(params, prunable, pattern)
        if schedule is None:
            masks = jax.tree.map(lambda m, p: p != 0 if m.ndim else m, masks, params)
        return PruningState(jnp.zeros((), jnp.int32), masks, inner.init(params))

    def update(updates: PyTree, state: Any, params: PyTree = None, **extra: Any) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("magnitude_pruning: update needs the params: update(gradients, state, params).")
        masks = state.masks if schedule is None else _scheduled(schedule, state, params, scope, pattern)
        gradients, kept = apply_masks(updates, masks), apply_masks(params, masks)
        updates, after = inner.update(gradients, state.inner, kept, **extra)
        updates = jax.tree.map(_to_zero, updates, params, masks)
        return updates, PruningState(state.count + 1, masks, _masked_moments(after, params, masks))

    return optax.GradientTransformationExtraArgs(init, update)


def masks_in(opt_state: Any) -> PyTree:
    """Return the masks in an optimizer's state, wherever in it `magnitude_pruning` stands.

    Raises:
        ValueError: there are none.
    """
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, PruningState)):
        if isinstance(node, PruningState):
            return node.masks
    raise ValueError("masks_in: expected the state of an optimizer in magnitude_pruning, found no masks.")


def _check(schedule: CubicSchedule) -> None:
    if schedule.begin < 0 or schedule.every < 1 or schedule.count < 1:
        raise ValueError(f"schedule: expected begin >= 0, every >= 1 and count >= 1, got {schedule}.")


def _scheduled(schedule: CubicSchedule, state: PruningState, params: PyTree, scope: str, pattern: Any) -> PyTree:
    """Return the masks of this update."""
    done = state.count - schedule.begin
    number = done // schedule.every
    now = (done >= 0) & (done % schedule.every == 0) & (number <= schedule.count)
    index, shares = jnp.clip(number, 0, schedule.count), _shares(schedule)
    return jax.lax.cond(
        now, lambda: further_masks(params, state.masks, shares, index, scope, pattern), lambda: state.masks
    )


def _to_zero(update: Array, leaf: Array, mask: Array) -> Array:
    """Replace the updates of pruned weights by what takes them to zero."""
    if not mask.ndim:
        return update
    dtype = jnp.promote_types(update.dtype, leaf.dtype)  # or a rounded -w would not cancel w
    return jnp.where(mask, update.astype(dtype), (-leaf).astype(dtype))


def _masked_moments(state: Any, params: PyTree, masks: PyTree) -> Any:
    """Set to zero what an optimizer's state holds of pruned weights: arrays whose names end like a param's and whose shape is its."""
    pruned = {
        path: mask for (path, _), mask in zip(named_leaves(params), jax.tree.leaves(masks), strict=True) if mask.ndim
    }

    def masked(path: tuple[str, ...], leaf: Any) -> Any:
        ends = (path[start:] for start in range(len(path) + 1))  # the longest first
        mask = next((pruned[end] for end in ends if end in pruned and pruned[end].shape == jnp.shape(leaf)), None)
        return leaf if mask is None else jnp.where(mask, leaf, jnp.zeros_like(leaf))

    leaves = [masked(path, leaf) for path, leaf in named_leaves(state)]
    return jax.tree.unflatten(jax.tree.structure(state), leaves)
