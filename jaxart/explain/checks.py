"""Do attributions say what the network does? Curves of deletion and insertion, and what is left of a map when parameters are random.

Attributions are arguments of a program that is compiled, not constants in it: XLA sorts constants while it compiles, in half a minute.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key, PyTree, check_choice
from jaxart.explain.score import Apply, broadcast, chunks, variant_scores


class Curve(NamedTuple):
    """Scores ``[B, steps + 1]`` at `fractions` ``[steps + 1]`` of positions replaced, and the `area` ``[B]`` under them by trapezoids."""

    fractions: jax.Array
    scores: jax.Array
    area: jax.Array


class AreaComparison(NamedTuple):
    """The `area` ``[B]`` of an attribution's curve, and the mean area of `random` orders ``[B]``."""

    area: jax.Array
    random: jax.Array


def deletion_curve(
    apply: Apply,
    params: PyTree,
    x: Array,
    target: Array | int,
    attribution: Array,
    baseline: Array,
    *,
    steps: int = 20,
    chunk: int = 7,
) -> Curve:
    """Replace positions by the baseline, the most attributed first, and score what is left: a good map makes the score fall early.

    Published areas are of probabilities: hand in an `apply` that ends in a softmax.

    Args:
        apply: ``(params, x) -> [B, C]``, one example's scores from that example alone.
        params: of `apply`.
        x: floats ``[B, positions..., C]``: pictures ``[B, H, W, C]`` or embeddings ``[B, T, D]``.
        target: class of each example ``[B]``, or one for all.
        attribution: ``[B, positions...]``; of equal ones the first in reading order goes first.
        baseline: broadcast to x, such as `gray` or `blurred`.
        steps: equal parts in which positions are replaced.
        chunk: steps looked at at once, of each example.

    Returns:
        `Curve`, from the whole input to the baseline.

    Raises:
        ValueError: shapes that do not fit, no steps, scores or classes that do not fit.

    Reference: Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018, sec. 4.2.
    """
    x, baseline = _pair("deletion_curve", x, attribution, baseline)
    return _curve("deletion_curve", apply, params, x, baseline, target, attribution, steps, chunk)


def insertion_curve(
    apply: Apply,
    params: PyTree,
    x: Array,
    target: Array | int,
    attribution: Array,
    baseline: Array,
    *,
    steps: int = 20,
    chunk: int = 7,
) -> Curve:
    """Put positions into the baseline, the most attributed first, and score what is there: a good map makes the score rise early.

    Args:
        apply: as in `deletion_curve`.
        The others: as in `deletion_curve`.

    Returns:
        `Curve`, from the baseline to the whole input.

    Raises:
        ValueError: as `deletion_curve`.

    Reference: Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018, sec. 4.2.
    """
    x, baseline = _pair("insertion_curve", x, attribution, baseline)
    return _curve("insertion_curve", apply, params, baseline, x, target, attribution, steps, chunk)


def compare_with_random(
    key: Key,
    curve: Callable[..., Curve],
    apply: Apply,
    params: PyTree,
    x: Array,
    target: Array | int,
    attribution: Array,
    baseline: Array,
    *,
    orders: int = 4,
    steps: int = 20,
    chunk: int = 7,
    first: int = 0,
) -> AreaComparison:
    """Compare the area under an attribution's curve with that of random orders.

    Args:
        key: typed key; each example draws with a key of its own, of its number and that of the order.
        curve: `deletion_curve`, where a good map has the smaller area, or `insertion_curve`, where it has the larger.
        orders: random ones.
        first: number of the first example in the collection.
        The others: as in `deletion_curve`.

    Returns:
        `AreaComparison`.

    Raises:
        ValueError: as `deletion_curve`, or no orders.
    """
    if orders < 1:
        raise ValueError(f"compare_with_random: expected at least 1 random order, got {orders}.")
    shape = jnp.shape(attribution)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(first + jnp.arange(shape[0]))

    def order(number: jax.Array) -> jax.Array:
        return jax.vmap(lambda own: jax.random.uniform(jax.random.fold_in(own, number), shape[1:]))(keys)

    def area(attribution: Array) -> jax.Array:
        return curve(apply, params, x, target, attribution, baseline, steps=steps, chunk=chunk).area

    random = jax.vmap(order)(jnp.arange(orders))  # [orders, B, positions...]
    areas = jax.lax.map(area, jnp.concatenate([jnp.asarray(attribution, random.dtype)[None], random]))
    return AreaComparison(areas[0], jnp.mean(areas[1:], axis=0))


def randomized_parameters(key: Key, params: PyTree, *, layers: Sequence[str]) -> list[PyTree]:
    """Randomize parameters layer after layer: the k-th tree has the first k layers random and the others as they were.

    Each array of a layer is drawn from a normal distribution with its own mean and deviation, so that the network works on with numbers
    of the same size, and knows nothing. Arrays of equal numbers, such as biases that are 0, stay as they are.

    Args:
        key: typed key; what an array becomes does not depend on the order of the layers.
        params: a tree of arrays.
        layers: names of parts of the tree, such as "logits" or "block/conv", from the output to the input.

    Returns:
        as many trees as layers; what is not randomized is shared, not copied.

    Raises:
        ValueError: a layer without parameters, or no layers.

    Reference: Adebayo et al., Sanity Checks for Saliency Maps, 2018, sec. 3 (cascading randomization). Departure: they initialize anew;
    a tree of parameters does not know how it was initialized, so each array keeps its mean and deviation.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(params)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]
    known = sorted({part for name in names for part in name.split("/")})
    if not layers:
        raise ValueError(f"layers: expected at least one, of {', '.join(known)}.")
    leaves, stages = [leaf for _, leaf in paths], []
    for layer in layers:
        hits = [f"/{layer}/" in f"/{name}/" for name in names]
        if not any(hits):
            check_choice("layers", layer, known)
        leaves = [
            _random_like(jax.random.fold_in(key, number), leaf) if hit else leaf
            for number, (leaf, hit) in enumerate(zip(leaves, hits, strict=True))
        ]
        stages.append(jax.tree.unflatten(structure, leaves))
    return stages


def randomization_curve(
    key: Key, explain: Callable[[PyTree], Array], params: PyTree, *, layers: Sequence[str]
) -> jax.Array:
    """Return how like the map of random parameters is to that of the parameters: a map that stays does not show what the network learned.

    Args:
        key: typed key.
        explain: from parameters to maps ``[B, ...]``.
        params: a tree of arrays.
        layers: as in `randomized_parameters`.

    Returns:
        ``[layers, B]``: `rank_correlation` with the first layer random, the first two, and so on.

    Raises:
        ValueError: as `randomized_parameters`.
    """
    whole = explain(params)
    stages = randomized_parameters(key, params, layers=layers)
    return jnp.stack([rank_correlation(whole, explain(stage)) for stage in stages])


def rank_correlation(first: Array, second: Array) -> jax.Array:
    """Return Spearman's correlation of two sets of maps; equal values share the mean of their ranks.

    Args:
        first: ``[B, ...]``.
        second: the same shape.

    Returns:
        ``[B]`` in [-1, 1]; 0 where one of the maps is constant.

    Raises:
        ValueError: shapes that differ.

    >>> rank_correlation(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[10.0, 20.0, 100.0]])).round(6).tolist()
    [1.0]
    """
    first, second = jnp.asarray(first), jnp.asarray(second)
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(f"rank_correlation: expected two sets of maps [B, ...], got {first.shape} and {second.shape}.")
    x, y = (_centered_ranks(each.reshape(each.shape[0], -1)) for each in (first, second))
    spread = jnp.sqrt(jnp.sum(x**2, axis=1) * jnp.sum(y**2, axis=1))
    return jnp.sum(x * y, axis=1) / jnp.where(spread > 0, spread, 1)


def _centered_ranks(values: jax.Array) -> jax.Array:
    """Return ranks in (-1/2, 1/2) that have the mean 0; of values ``[B, N]``."""
    count = values.shape[1]

    def ranks(row: jax.Array) -> jax.Array:
        ordered = jnp.sort(row)
        below, upto = (jnp.searchsorted(ordered, row, side=side) for side in ("left", "right"))
        return (below + upto - count).astype(jnp.float32) / (2 * count)

    return jax.vmap(ranks)(values)


def _random_like(key: Key, leaf: Array) -> jax.Array:
    leaf = jnp.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    return jnp.mean(leaf) + jnp.std(leaf) * jax.random.normal(key, leaf.shape, leaf.dtype)


def _pair(name: str, x: Array, attribution: Array, baseline: Array) -> tuple[jax.Array, jax.Array]:
    """Return the input and the baseline in the same shape and type."""
    x = jnp.asarray(x)
    if x.ndim < 3 or not jnp.issubdtype(x.dtype, jnp.floating) or x.shape[:-1] != jnp.shape(attribution):
        raise ValueError(
            f"{name}: expected floats [B, positions..., C] and an attribution [B, positions...], got {x.dtype} {x.shape} and "
            f"{jnp.shape(attribution)}. Sum attributions over channels."
        )
    return x, broadcast(name, baseline, x)


def _curve(
    name: str,
    apply: Apply,
    params: PyTree,
    begin: jax.Array,
    end: jax.Array,
    target: Array | int,
    attribution: Array,
    steps: int,
    chunk: int,
) -> Curve:
    """Score what lies between `begin` and `end`, both ``[B, positions..., C]``, the most attributed positions replaced first."""
    if steps < 1:
        raise ValueError(f"{name}: expected at least 1 step, got {steps}.")
    cut = chunks(name, steps + 1, chunk)
    flat = jnp.asarray(attribution).reshape(begin.shape[0], -1)  # [B, N]
    place = jnp.argsort(jnp.argsort(-flat, axis=1, stable=True), axis=1).reshape(*begin.shape[:-1], 1)
    counts = cut.numbers * flat.shape[1] // steps

    def scores_at(replaced: jax.Array) -> jax.Array:  # [m] -> [m, B]
        taken = place[None] < replaced.reshape(-1, *[1] * place.ndim)
        return variant_scores(name, apply, params, jnp.where(taken, end[None], begin[None]), target)

    scores = jax.lax.map(scores_at, jnp.asarray(counts))  # [n, m, B]
    scores = scores.reshape(-1, begin.shape[0])[: steps + 1].T
    area = (jnp.sum(scores, axis=1) - (scores[:, 0] + scores[:, -1]) / 2) / steps
    return Curve(jnp.linspace(0, 1, steps + 1), scores, area)
