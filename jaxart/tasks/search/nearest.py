"""The works whose features are nearest: exact, by products of blocks of the mapped array."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_BLOCK = 4096
_QUERIES = 8  # at once: a program is compiled for this many


class Nearest(NamedTuple):
    """For each query the nearest rows ``[M, k]``, the nearest first, and their `similarity [M, k]`: the cosine of standardized features."""

    rows: np.ndarray
    similarity: np.ndarray


def nearest_rows(
    features: np.ndarray,
    queries: np.ndarray,
    *,
    k: int,
    scale: np.ndarray | None = None,
    norms: np.ndarray | None = None,
) -> Nearest:
    """Find the rows of largest cosine; of equal ones the first.

    Features are standardized by `scale` on both sides, without being written anew: ``((x - m) / s) . q = x . (q / s) - m . (q / s)``.

    Args:
        features: ``[N, D]``, float16 or float32, may be mapped from a file.
        queries: ``[M, D]``.
        k: how many; all where there are fewer.
        scale: ``[2, D]``: mean and deviation of the features; none for 0 and 1.
        norms: ``[N]``: of the standardized rows; none where all are 1.

    Raises:
        ValueError: `k` below 1, or queries of another dimension.

    >>> found = nearest_rows(np.eye(4, dtype=np.float32), np.array([[0.1, 0, 0.9, 0]]), k=2)
    >>> found.rows.tolist()
    [[2, 0]]
    """
    count, dimension = features.shape
    queries = np.asarray(queries, np.float32)
    if k < 1 or queries.ndim != 2 or queries.shape[1] != dimension:
        raise ValueError(
            f"nearest_rows: expected k of at least 1 and queries [M, {dimension}], got {k} and {queries.shape}."
        )
    mean, deviation = np.stack([np.zeros(dimension), np.ones(dimension)]).astype(np.float32) if scale is None else scale
    directions = (queries - mean) / deviation
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    weights = directions / deviation
    offsets = weights @ mean
    parts = [
        _best(features, weights[first : first + _QUERIES], offsets[first : first + _QUERIES], norms, min(k, count))
        for first in range(0, len(queries), _QUERIES)
    ]
    return Nearest(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _best(
    features: np.ndarray, weights: np.ndarray, offsets: np.ndarray, norms: np.ndarray | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best rows and similarities of up to eight queries."""
    filled = np.zeros((_QUERIES, weights.shape[1]), np.float32)
    filled[: len(weights)] = weights
    rows = np.zeros((len(weights), 0), np.int64)
    similarity = np.zeros((len(weights), 0), np.float32)
    for first, products in _products(features, filled):
        some = products[: len(weights)] - offsets[:, None]
        if norms is not None:
            some /= norms[first : first + some.shape[1]]
        if similarity.shape[1] == k and not (some > similarity[:, -1:]).any():
            continue
        rows, similarity = _merged(rows, similarity, first, some, k)
    return rows, similarity


def _products(features: np.ndarray, weights: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each block begins, and its products ``[8, rows]``; one block is computed while another is looked at."""
    on_device, waiting = jnp.asarray(weights), None
    for first in range(0, len(features), _BLOCK):
        block = features[first : first + _BLOCK]
        size = len(block)
        if size < _BLOCK:
            block = np.concatenate([block, np.zeros((_BLOCK - size, block.shape[1]), block.dtype)])
        made = first, size, _product(np.asarray(block), on_device)
        if waiting is not None:
            yield waiting[0], np.asarray(waiting[2])[:, : waiting[1]]
        waiting = made
    if waiting is not None:
        yield waiting[0], np.asarray(waiting[2])[:, : waiting[1]]


@functools.partial(jax.jit)
def _product(block: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.matmul(weights, block.astype(jnp.float32).T, precision=jax.lax.Precision.HIGHEST)


def _merged(
    rows: np.ndarray, similarity: np.ndarray, first: int, some: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best k of those so far and those of a block, the nearest first, of equal ones the earlier row."""
    best = (
        np.argpartition(-some, k - 1, axis=1)[:, :k]
        if k < some.shape[1]
        else np.arange(some.shape[1])[None].repeat(len(some), 0)
    )
    if k < some.shape[1]:  # of those that equal the last of them, the first rows
        best = np.stack([_first_of(each, chosen) for each, chosen in zip(some, best, strict=True)])
    rows = np.concatenate([rows, first + best], axis=1)
    similarity = np.concatenate([similarity, np.take_along_axis(some, best, axis=1)], axis=1)
    order = np.lexsort((rows, -similarity), axis=1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarity, order, axis=1)


def _first_of(similarity: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    last = similarity[chosen].min()
    above = np.flatnonzero(similarity > last)
    return np.concatenate([above, np.flatnonzero(similarity == last)[: len(chosen) - len(above)]])
