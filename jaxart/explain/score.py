"""The score that is explained, the inputs it is taken of, and chunks of them, so that memory is bounded.

An input is an array or a tree of arrays ``[B, ...]``. What may change are its floating leaves; integers and flags, such as masks, stay as
they are. Variants of it are trees ``[M, B, ...]``, which a network gets as one batch of M B examples.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array, PyTree

Apply = Callable[[PyTree, PyTree], Array]  # (params, x) -> scores [B, C], one example's from that example alone


class Chunks(NamedTuple):
    """Numbers ``[n, m]`` from 0 to a count, cut in n pieces, and weights ``[n, m]``: 0 where the last is repeated to fill a piece."""

    numbers: np.ndarray
    weights: np.ndarray


class Input(NamedTuple):
    """The floating `leaves` of an input, each ``[B, ...]``, and `join`, which makes variants of it of others ``[M, B, ...]``."""

    leaves: list[jax.Array]
    join: Callable[[list[jax.Array]], PyTree]


def chunks(name: str, count: int, chunk: int) -> Chunks:
    """Cut `count` things into pieces of equal size, at most `chunk`, with as little left over as can be."""
    if count < 1 or chunk < 1:
        raise ValueError(f"{name}: expected a count and a chunk of at least 1, got {count} and {chunk}.")
    pieces = -(-count // chunk)
    numbers = np.arange(pieces * -(-count // pieces)).reshape(pieces, -1)
    return Chunks(np.minimum(numbers, count - 1), (numbers < count).astype(np.float32))


def split_input(name: str, x: PyTree) -> Input:
    """Separate the leaves that may change from those that may not; raise if there are none, or if they are not of the same examples."""
    leaves, structure = jax.tree.flatten(x)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    moving = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    if not any(moving):
        types = ", ".join(str(leaf.dtype) for leaf in leaves) or "nothing"
        raise ValueError(
            f"{name}: expected an array of floats in the input, got {types}. Turn bytes into floats with image.unit."
        )
    if len({leaf.shape[:1] for leaf in leaves}) > 1 or leaves[0].ndim < 1:
        raise ValueError(
            f"{name}: expected arrays [B, ...] of the same examples, got {[leaf.shape for leaf in leaves]}."
        )

    def join(points: list[jax.Array]) -> PyTree:
        of = iter(points)
        count = points[0].shape[0]
        filled = [
            next(of) if moves else jnp.broadcast_to(leaf[None], (count, *leaf.shape))
            for leaf, moves in zip(leaves, moving, strict=True)
        ]
        return jax.tree.unflatten(structure, filled)

    return Input([leaf for leaf, moves in zip(leaves, moving, strict=True) if moves], join)


def rejoined(x: PyTree, attributions: list[jax.Array]) -> PyTree:
    """Put attributions in the place of the floating leaves of an input; what may not change has zeros."""
    of = iter(attributions)
    return jax.tree.map(
        lambda leaf: next(of) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else jnp.zeros(jnp.shape(leaf)), x
    )


def broadcast(name: str, value: Array | float, like: jax.Array) -> jax.Array:
    """Return `value`, a baseline or what covers a picture, in the shape and type of an array; raise if it cannot be that."""
    value = jnp.asarray(value, like.dtype)
    shape, trailing = value.shape, like.shape[max(like.ndim - value.ndim, 0) :]
    if len(shape) > like.ndim or any(own not in (1, size) for own, size in zip(shape, trailing, strict=True)):
        raise ValueError(f"{name}: expected a baseline that can be broadcast to {like.shape}, got shape {shape}.")
    return jnp.broadcast_to(value, like.shape)


def target_score(name: str, scores: Array, target: Array | int, count: int, examples: int) -> jax.Array:
    """Take the score of each example's class: ``[M B, C]`` and classes ``[B]``, or one for all, give ``[M, B]``, float32 at least."""
    known = target if isinstance(target, jax.Array) else np.asarray(target)
    if scores.ndim != 2 or scores.shape[0] != count * examples:
        raise ValueError(
            f"{name}: expected scores [{count * examples}, C], a row for each example, got {scores.shape}."
        )
    if not jnp.issubdtype(known.dtype, jnp.integer) or known.shape not in ((), (examples,)):
        raise ValueError(
            f"{name}: expected an integer class for each of {examples} examples, or one for all, got {known.dtype} {known.shape}."
        )
    if not isinstance(known, Tracer) and not ((np.asarray(known) >= 0) & (np.asarray(known) < scores.shape[1])).all():
        raise ValueError(f"{name}: expected classes from 0 to {scores.shape[1] - 1}, got {known.tolist()}.")
    classes = jnp.broadcast_to(known, (count, examples))
    chosen = jnp.take_along_axis(scores.reshape(count, examples, -1), classes[..., None], axis=2)[..., 0]
    return chosen.astype(wide(chosen))


def variant_scores(name: str, apply: Apply, params: PyTree, variants: PyTree, target: Array | int) -> jax.Array:
    """Score variants ``[M, B, ...]`` of an input as one batch: ``[M, B]``."""
    count, examples = jax.tree.leaves(variants)[0].shape[:2]
    batch = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), variants)
    return target_score(name, apply(params, batch), target, count, examples)


def slopes(
    name: str, apply: Apply, params: PyTree, x: Input, points: list[jax.Array], target: Array | int
) -> list[jax.Array]:
    """Differentiate the score in the floating leaves at points ``[M, B, ...]`` of each: the same shapes, float32 at least."""

    def total(points: list[jax.Array]) -> jax.Array:
        return jnp.sum(variant_scores(name, apply, params, x.join(points), target))

    return [leaf.astype(wide(leaf)) for leaf in jax.grad(total)(points)]


def wide(leaf: Array) -> jnp.dtype:
    """Return the type in which attributions of a leaf are summed: its own, float32 at least."""
    return leaf.dtype if leaf.dtype.itemsize >= 4 else jnp.dtype(jnp.float32)
