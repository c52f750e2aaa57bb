"""Attributions of a score to its inputs by gradients: pictures, embeddings of tokens, tables, or all of them in one tree.

``apply(params, x) -> scores [B, C]`` treats each example by itself. An attribution has the shape of the input; integers and flags in it
are held fixed and get zeros. Points are looked at a chunk at a time, summed as they come: memory is that of ``chunk`` batches. These are
pure functions, to be jitted by whoever calls them often.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key, PyTree
from jaxart.explain.score import (
    Apply,
    Input,
    broadcast,
    chunks,
    rejoined,
    slopes,
    split_input,
    variant_scores,
    wide,
)


def saliency(apply: Apply, params: PyTree, x: PyTree, target: Array | int) -> PyTree:
    """Return the slope of the score in the input, signed: ``dy/dx``.

    Args:
        apply: ``(params, x) -> [B, C]``, scores before the softmax.
        params: of `apply`.
        x: an array ``[B, ...]`` or a tree of them; floats are explained, other leaves are held fixed.
        target: class of each example ``[B]``, or one for all.

    Returns:
        a tree like x.

    Raises:
        ValueError: no floats in the input, arrays of different numbers of examples, scores or classes that do not fit.

    Reference: Simonyan et al., Deep Inside Convolutional Networks, 2014, sec. 3.
    """
    parts = split_input("saliency", x)
    found = slopes("saliency", apply, params, parts, [leaf[None] for leaf in parts.leaves], target)
    return rejoined(x, [leaf[0] for leaf in found])


def smooth_grad(
    key: Key,
    apply: Apply,
    params: PyTree,
    x: Array,
    target: Array | int,
    *,
    samples: int = 16,
    deviation: float = 0.1,
    chunk: int = 4,
    first: int = 0,
) -> jax.Array:
    """Average the slope of the score over noisy copies of the input.

    Each example draws with a key of its own, of its number and that of the copy, so that parts of a collection give what the whole does,
    in chunks of any size.

    Args:
        key: typed key.
        apply: as in `saliency`.
        params: of `apply`.
        x: floats ``[B, ...]``: pictures or embeddings.
        target: class of each example ``[B]``, or one for all.
        samples: noisy copies of each example.
        deviation: of the noise, as a share of the example's range (its largest value less its smallest).
        chunk: copies of each example that are looked at at once.
        first: number of the first example in the collection.

    Returns:
        ``[B, ...]``, signed.

    Raises:
        ValueError: as `saliency`, an input that is no single array, or no copies.

    Reference: Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, sec. 3.
    """
    parts = split_input("smooth_grad", x)
    if len(jax.tree.leaves(x)) > 1:
        raise ValueError("smooth_grad: expected one array [B, ...], got a tree: ranges of its leaves do not compare.")
    (leaf,) = parts.leaves
    axes = tuple(range(1, leaf.ndim))
    scale = deviation * (jnp.max(leaf, axis=axes, keepdims=True) - jnp.min(leaf, axis=axes, keepdims=True))
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(first + jnp.arange(leaf.shape[0]))

    def noisy(number: jax.Array) -> jax.Array:  # the copies with this number, [B, ...]
        draw = jax.vmap(lambda own: jax.random.normal(jax.random.fold_in(own, number), leaf.shape[1:], leaf.dtype))
        return leaf + scale * draw(keys)

    def slopes_at(numbers: jax.Array) -> list[jax.Array]:
        return slopes("smooth_grad", apply, params, parts, [jax.vmap(noisy)(numbers)], target)

    cut = chunks("smooth_grad", samples, chunk)
    return _weighted_sum(slopes_at, parts.leaves, cut.numbers, cut.weights / samples)[0]


def integrated_gradients(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    baseline: PyTree | Sequence[PyTree],
    target: Array | int,
    *,
    steps: int = 64,
    chunk: int = 8,
) -> PyTree:
    """Share the score's rise from a baseline out among the inputs: ``(x_i - b_i) mean over m of dy/dx_i at b + (m - 1/2) / M (x - b)``.

    The midpoint rule: one step is exact for a linear function; `completeness_gap` tells what is missing for others.

    Args:
        apply: as in `saliency`.
        params: of `apply`.
        x: an array ``[B, ...]`` or a tree of them, as in `saliency`: pictures, the columns of a table, a picture beside a table.
        baseline: a tree like x whose arrays are broadcast to those of x (`black`, `blurred`, a table's medians), or a sequence of such
            trees: their attributions are averaged. Leaves that are not floats are taken from x.
        target: class of each example ``[B]``, or one for all.
        steps: M.
        chunk: points of the path that are looked at at once, of each example.

    Returns:
        a tree like x, signed; over an example it adds up to ``y(x) - y(b)``.

    Raises:
        ValueError: as `saliency`, or a baseline that is not like the input.

    Reference: Sundararajan et al., Axiomatic Attribution for Deep Networks, 2017, eq. 3; averaged over baselines as in Sturmfels et al.,
    Visualizing the Impact of Feature Attribution Baselines, 2020.
    """
    parts = split_input("integrated_gradients", x)
    begins = _baselines("integrated_gradients", x, parts, baseline)
    cut = chunks("integrated_gradients", steps, chunk)
    alphas, weights = (cut.numbers + 0.5) / steps, cut.weights / steps

    def from_baseline(total: list[jax.Array], begin: list[jax.Array]) -> tuple[list[jax.Array], None]:
        ways = [leaf - low for leaf, low in zip(parts.leaves, begin, strict=True)]

        def slopes_at(alpha: jax.Array) -> list[jax.Array]:
            points = [low[None] + _column(alpha, way[None]) * way[None] for low, way in zip(begin, ways, strict=True)]
            return slopes("integrated_gradients", apply, params, parts, points, target)

        means = _weighted_sum(slopes_at, parts.leaves, alphas, weights)
        return [old + mean * way.astype(mean.dtype) for old, mean, way in zip(total, means, ways, strict=True)], None

    zeros = [jnp.zeros(leaf.shape, wide(leaf)) for leaf in parts.leaves]
    total, _ = jax.lax.scan(from_baseline, zeros, begins)
    return rejoined(x, [leaf / begins[0].shape[0] for leaf in total])


def integrated_gradients_of_tokens(
    embed: Callable[[PyTree, Array], Array],
    apply: Apply,
    params: PyTree,
    tokens: Array,
    padding: int,
    target: Array | int,
    *,
    steps: int = 64,
    chunk: int = 8,
) -> jax.Array:
    """Attribute a score to tokens: integrated gradients of their embeddings, from those of padding, summed over channels.

    Args:
        embed: ``(params, tokens) -> [B, T, D]``.
        apply: ``(params, embeddings) -> [B, C]``, the network behind its embeddings.
        params: of both.
        tokens: integers ``[B, T]``.
        padding: the token that stands for nothing.
        target: class of each example ``[B]``, or one for all.
        steps: as in `integrated_gradients`.
        chunk: as in `integrated_gradients`.

    Returns:
        ``[B, T]``, signed.

    Raises:
        ValueError: as `integrated_gradients`.
    """
    embedded, nothing = embed(params, tokens), embed(params, jnp.full_like(tokens, padding))
    found = integrated_gradients(apply, params, embedded, nothing, target, steps=steps, chunk=chunk)
    return jnp.sum(found, axis=-1)


def completeness_gap(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    baseline: PyTree | Sequence[PyTree],
    target: Array | int,
    attributions: PyTree,
) -> jax.Array:
    """Return how far attributions are from adding up to the score's rise: ``|sum_i a_i - (y(x) - y(b))| / |y(x) - y(b)|``.

    Args:
        apply: as in `saliency`.
        params: of `apply`.
        x: as in `integrated_gradients`.
        baseline: as in `integrated_gradients`; of several the mean score counts.
        target: class of each example ``[B]``, or one for all.
        attributions: a tree like x, from `integrated_gradients`.

    Returns:
        ``[B]``: 0 where nothing is missing, infinite where the score does not rise and the sum is not 0.

    Raises:
        ValueError: as `integrated_gradients`.
    """
    parts = split_input("completeness_gap", x)
    begins = _baselines("completeness_gap", x, parts, baseline)
    points = [jnp.concatenate([leaf[None], low]) for leaf, low in zip(parts.leaves, begins, strict=True)]
    scores = variant_scores("completeness_gap", apply, params, parts.join(points), target)  # [1 + J, B]
    rise = scores[0] - jnp.mean(scores[1:], axis=0)
    missing = jnp.abs(_sums(attributions).astype(rise.dtype) - rise)
    return jnp.where(missing > 0, missing / jnp.abs(rise), jnp.zeros_like(missing))


def shares(attributions: Mapping[str, PyTree]) -> dict[str, jax.Array]:
    """Return what each part of an input, such as the picture and the table, has in the score: ``|sum of its attributions| / total``.

    Args:
        attributions: from the name of a part to its attributions, a tree of ``[B, ...]``.

    Returns:
        from the name to ``[B]``; the shares of an example add up to 1, or are all 0.

    >>> each = shares({"picture": jnp.array([[3.0, -1.0]]), "year": jnp.array([-6.0])})
    >>> {name: share.tolist() for name, share in each.items()}
    {'picture': [0.25], 'year': [0.75]}
    """
    sums = {name: jnp.abs(_sums(part)) for name, part in attributions.items()}
    total = jnp.sum(jnp.stack(list(sums.values())), axis=0)
    return {name: each / jnp.where(total > 0, total, 1) for name, each in sums.items()}


def _sums(attributions: PyTree) -> jax.Array:
    """Add up all attributions of each example: ``[B]``."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(attributions)]
    return jnp.sum(jnp.stack([leaf.reshape(leaf.shape[0], -1).sum(axis=1) for leaf in leaves]), axis=0)


def _baselines(name: str, x: PyTree, parts: Input, baseline: PyTree | Sequence[PyTree]) -> list[jax.Array]:
    """Return the floating leaves of one baseline or several, ``[J, B, ...]`` each."""
    structure = jax.tree.structure(x)
    several = [baseline] if jax.tree.structure(baseline) == structure else baseline
    if not isinstance(several, Sequence) or not several or any(jax.tree.structure(b) != structure for b in several):
        raise ValueError(f"{name}: expected a baseline like the input, or a sequence of such, got {baseline!r:.200}.")
    moving = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(x)]
    rows = [[leaf for leaf, moves in zip(jax.tree.leaves(b), moving, strict=True) if moves] for b in several]
    return [jnp.stack([broadcast(name, row[i], leaf) for row in rows]) for i, leaf in enumerate(parts.leaves)]


def _weighted_sum(
    slopes_at: Callable[[jax.Array], list[jax.Array]], like: list[jax.Array], numbers: np.ndarray, weights: np.ndarray
) -> list[jax.Array]:
    """Sum weights times slopes ``[m, B, ...]`` at numbers ``[m]``, a chunk after the other; numbers and weights are ``[n, m]``."""

    def add(total: list[jax.Array], piece: tuple[jax.Array, jax.Array]) -> tuple[list[jax.Array], None]:
        numbers, weights = piece
        found = slopes_at(numbers)
        return [
            old + jnp.sum(_column(weights, each) * each, axis=0) for old, each in zip(total, found, strict=True)
        ], None

    zeros = [jnp.zeros(leaf.shape, wide(leaf)) for leaf in like]
    return jax.lax.scan(add, zeros, (jnp.asarray(numbers), jnp.asarray(weights)))[0]


def _column(values: jax.Array, like: jax.Array) -> jax.Array:
    """Return values ``[m]`` in the type of an array and as ``[m, 1, ...]``, to be multiplied with variants of its examples."""
    return values.astype(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
