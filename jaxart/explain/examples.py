"""Explanation by example: what of a collection is most like what is asked about, to the features of a network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.explain.score import wide


class Examples(NamedTuple):
    """Of each query `indices` ``[Q, K]`` in the collection, the most similar first, and `similarities` ``[Q, K]`` in [-1, 1]."""

    indices: jax.Array
    similarities: jax.Array


def nearest_examples(queries: Array, collection: Array, *, count: int = 5, chunk: int = 4096) -> Examples:
    """Find the examples whose features have the largest cosine with those of each query: ``q . f / (|q| |f|)``.

    The collection is looked at a chunk at a time and not copied; of equal similarities the smaller index comes first.

    Args:
        queries: features ``[Q, D]``.
        collection: features ``[N, D]`` of the same network.
        count: K, at most N.
        chunk: examples compared at once, with all queries.

    Returns:
        `Examples`; features that are all zero are similar to nothing, 0.

    Raises:
        ValueError: features of other shapes, or a count or chunk that does not fit.

    >>> found = nearest_examples(jnp.eye(2), jnp.array([[0.0, 2.0], [3.0, 3.0], [5.0, 0.0]]), count=2)
    >>> found.indices.tolist()
    [[2, 1], [0, 1]]
    """
    queries, collection = jnp.asarray(queries), jnp.asarray(collection)
    if queries.ndim != 2 or collection.ndim != 2 or queries.shape[1] != collection.shape[1]:
        raise ValueError(
            f"nearest_examples: expected features [Q, D] and [N, D], got {queries.shape} and {collection.shape}."
        )
    total = len(collection)
    if not 1 <= count <= total or chunk < 1:
        raise ValueError(
            f"nearest_examples: expected a count from 1 to {total} and a chunk of at least 1, got {count} and {chunk}."
        )
    unit, size = _unit(queries), min(chunk, total)

    def look(best: Examples, number: jax.Array) -> tuple[Examples, None]:
        begin = jnp.minimum(number * size, total - size)  # the last chunk goes back, over some that were seen
        part = _unit(jax.lax.dynamic_slice_in_dim(collection, begin, size))
        similar = jnp.matmul(unit, part.T, precision=jax.lax.Precision.HIGHEST)  # [Q, size]
        indices = jnp.broadcast_to(begin + jnp.arange(size)[None], similar.shape)
        similar = jnp.where(indices >= number * size, similar, -jnp.inf)
        return _best(best, Examples(indices, similar), count), None

    shape = (len(queries), count)
    begin = Examples(jnp.zeros(shape, jnp.int32), jnp.full(shape, -jnp.inf, unit.dtype))
    return jax.lax.scan(look, begin, jnp.arange(-(-total // size)))[0]


def _best(best: Examples, more: Examples, count: int) -> Examples:
    """Return the most similar of two sets; of equals those of the first set, then those that come first."""
    indices, similar = (jnp.concatenate(pair, axis=1) for pair in zip(best, more, strict=True))
    values, places = jax.lax.top_k(similar, count)
    return Examples(jnp.take_along_axis(indices, places, axis=1), values)


def _unit(features: jax.Array) -> jax.Array:
    """Divide features ``[N, D]`` by their length, in float32 at least."""
    features = features.astype(wide(features))
    length = jnp.linalg.norm(features, axis=1, keepdims=True)
    return features / jnp.where(length > 0, length, 1)
