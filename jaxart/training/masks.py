"""Masks of weights that are pruned: which arrays they may be of, and which weights are the smallest."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, PyTree, check_choice

CAP = 0.98  # the largest share of one array that is pruned
SCOPES = ("tensor", "global")
FIRST_AND_LAST = ("stem", "conv_in", "first", "conv_out", "head", "last", "logits", "output", "to_rgb")
_INFINITY = 0x7F800000  # its bits
_PICTURE_CHANNELS = 4  # a kernel with as few inputs or outputs is the first or the last
Prunable = Callable[[str, Array], bool]  # (path such as "block1/conv1/kernel", array)


def inner_kernels(path: str, leaf: Array) -> bool:
    """Tell whether an array is a kernel within a network: no bias, normalization, embedding, first or last layer.

    Args:
        path: such as "block1/conv1/kernel". The array's own name must be "kernel", no other name hold "norm" or "embed" or be among
            `FIRST_AND_LAST`.
        leaf: ``[..., I, O]``; with at most four inputs or outputs it counts as the first or last.
    """
    *layers, name = path.lower().split("/")
    inside = not any("norm" in layer or "embed" in layer or layer in FIRST_AND_LAST for layer in layers)
    return name == "kernel" and inside and leaf.ndim > 1 and min(leaf.shape[-2:]) > _PICTURE_CHANNELS


def magnitude_masks(
    params: PyTree,
    sparsity: float,
    *,
    prunable: Prunable = inner_kernels,
    scope: Literal["tensor", "global"] = "tensor",
    pattern: tuple[int, int] | None = None,
) -> PyTree:
    """Return the masks that prune a share of trained weights at once.

    Args:
        params: of a network.
        sparsity: share of zeros, in [0, 0.98].
        prunable: as in `magnitude_pruning`.
        scope: as in `magnitude_pruning`.
        pattern: as in `magnitude_pruning`; `sparsity` must be ``1 - n / m``.

    Returns:
        As in `PruningState`; for `apply_masks`.

    Raises:
        ValueError: as `magnitude_pruning`.
    """
    check_pruning(0.0, sparsity, scope, pattern)
    return further_masks(params, whole_masks(params, prunable, pattern), np.array([sparsity]), 0, scope, pattern)


def apply_masks(tree: PyTree, masks: PyTree) -> PyTree:
    """Set to zero what is pruned.

    Args:
        tree: params, their average or their gradient.
        masks: as in `PruningState`.
    """
    return jax.tree.map(
        lambda leaf, mask: jnp.where(mask, leaf, jnp.zeros_like(leaf)) if mask.ndim else leaf, tree, masks
    )


def sparsity(params: PyTree, *, prunable: Prunable = inner_kernels) -> float:
    """Return the share of zeros among the weights that can be pruned; 0 where none can.

    Args:
        params: of a network.
        prunable: as in `magnitude_pruning`.
    """
    named = named_leaves(params)
    chosen = [np.asarray(leaf) for path, leaf in named if prunable("/".join(path), leaf)]
    return sum(int((leaf == 0).sum()) for leaf in chosen) / max(1, sum(leaf.size for leaf in chosen))


def check_pruning(initial: float, final: float, scope: str, pattern: tuple[int, int] | None) -> None:
    """Raise unless shares, scope and pattern go together.

    Args:
        initial: share of zeros at the beginning.
        final: and at the end.
        scope: as in `magnitude_pruning`.
        pattern: as in `magnitude_pruning`.

    Raises:
        ValueError: they do not.
    """
    check_choice("scope", scope, SCOPES)
    if not 0 <= initial <= final <= CAP:
        raise ValueError(f"sparsity: expected 0 <= initial <= final <= {CAP}, got {initial:g} and {final:g}.")
    if pattern is None:
        return
    if not 1 <= pattern[0] < pattern[1]:
        raise ValueError(f"pattern: expected (n, m) with 1 <= n < m, got {pattern}.")
    share = 1 - pattern[0] / pattern[1]
    if abs(final - share) > 1e-6:
        raise ValueError(f"pattern {pattern}: expected a sparsity that ends at {share:g}, got {final:g}.")


def named_leaves(tree: PyTree) -> list[tuple[tuple[str, ...], Any]]:
    """Return the leaves of a tree, each with the names on the way to it."""

    def names(path: Any) -> tuple[str, ...]:
        return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)

    return [(names(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def whole_masks(params: PyTree, prunable: Prunable, pattern: tuple[int, int] | None) -> PyTree:
    """Return the masks of a network of which nothing is pruned."""
    masks = []
    for path, leaf in named_leaves(params):
        chosen = jnp.ndim(leaf) > 0 and prunable("/".join(path), leaf)
        if chosen and pattern is not None and (leaf.ndim < 2 or leaf.shape[-2] % pattern[1]):
            raise ValueError(
                f"pattern {pattern}: expected inputs, along the last axis but one, in multiples of {pattern[1]}, got "
                f"{'/'.join(path)} of shape {list(leaf.shape)}. Leave it out through prunable=."
            )
        masks.append(jnp.ones(leaf.shape if chosen else (), bool))
    if not any(mask.ndim for mask in masks):
        raise ValueError("prunable: expected it to choose at least one array of the params, got none.")
    return jax.tree.unflatten(jax.tree.structure(params), masks)


def further_masks(params: PyTree, masks: PyTree, shares: np.ndarray, index: Any, scope: str, pattern: Any) -> PyTree:
    """Return masks with another share of zeros: those before, and the smallest of what is left.

    Args:
        params: of a network.
        masks: before.
        shares: of zeros, float64 on the host, where they become numbers of weights without rounding twice.
        index: which of them; may be an array.
        scope: as in `magnitude_pruning`.
        pattern: as in `magnitude_pruning`.
    """
    leaves, whole = jax.tree.leaves(params), jax.tree.leaves(masks)
    chosen = [number for number, mask in enumerate(whole) if mask.ndim]
    scores = [_scores(leaves[n], whole[n], scope, pattern).reshape(-1) for n in chosen]
    limits = [_most(leaves[n].size, pattern) for n in chosen]
    if scope == "global":
        count = _counts(shares, sum(map(len, scores)), sum(limits))[index]
        gone = jnp.split(smallest(jnp.concatenate(scores), count), np.cumsum([len(each) for each in scores])[:-1])
    else:
        counts = (_counts(shares, len(each), limit)[index] for each, limit in zip(scores, limits, strict=True))
        gone = [smallest(each, count) for each, count in zip(scores, counts, strict=True)]
    for number, mask in zip(chosen, gone, strict=True):
        whole[number] = ~mask.reshape(leaves[number].shape)
    return jax.tree.unflatten(jax.tree.structure(masks), whole)


def _most(size: int, pattern: tuple[int, int] | None) -> int:
    """Return how many of so many weights may be pruned."""
    return int(CAP * size) if pattern is None else size * (pattern[1] - pattern[0]) // pattern[1]


def _counts(shares: np.ndarray, size: int, most: int) -> jax.Array:
    """Return how many of so many weights each share is, int32."""
    return jnp.asarray(np.minimum(np.rint(shares * size), most), jnp.int32)


def _scores(leaf: Array, mask: Array, scope: str, pattern: tuple[int, int] | None) -> jax.Array:
    """Return magnitudes; -1 where pruned before, infinity where never to be pruned."""
    scores = jnp.where(mask, jnp.abs(leaf).astype(jnp.float32), -1.0)
    if pattern is not None:
        return jnp.where(_smallest_of_neighbors(scores, pattern), scores, jnp.inf)
    return jnp.where(smallest(scores, _most(leaf.size, None)), scores, jnp.inf) if scope == "global" else scores


def _smallest_of_neighbors(scores: jax.Array, pattern: tuple[int, int]) -> jax.Array:
    """Tell of each score whether it is among the m - n smallest of its m neighbors along the last axis but one."""
    largest, size = pattern
    grouped = scores.reshape(*scores.shape[:-2], -1, size, scores.shape[-1])  # [..., I / m, m, O]
    mine, other = grouped[..., :, None, :], grouped[..., None, :, :]
    earlier = jnp.arange(size)[None, :] < jnp.arange(size)[:, None]
    earlier = earlier.reshape(*[1] * (grouped.ndim - 2), size, size, 1)
    rank = jnp.sum((other < mine) | ((other == mine) & earlier), axis=-2)
    return (rank < size - largest).reshape(scores.shape)


def smallest(scores: Array, count: int | Array) -> jax.Array:
    """Tell of each score whether it is among the `count` smallest; of equal ones the first are.

    The largest of them is found by halving the range of floating-point numbers: their bits are in the order of the numbers where these are
    not negative. A sort of half a million takes 25 times as long on a CPU.

    Args:
        scores: float32, of any shape: at least 0, or -1 for the smallest of all.
        count: how many.

    Returns:
        bool, exactly `count` of them True.
    """
    bits = jax.lax.bitcast_convert_type(jnp.asarray(scores, jnp.float32), jnp.int32)
    bits = jnp.where(scores < 0, -1, bits).reshape(-1)

    def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = low + (high - low) // 2
        enough = jnp.sum(bits <= middle, dtype=jnp.int32) >= count
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    last, _ = jax.lax.fori_loop(0, 32, halve, (jnp.int32(-1), jnp.int32(_INFINITY)))
    below, equal = bits < last, bits == last
    left = count - jnp.sum(below, dtype=jnp.int32)
    return (below | (equal & (jnp.cumsum(equal, dtype=jnp.int32) <= left))).reshape(scores.shape)
