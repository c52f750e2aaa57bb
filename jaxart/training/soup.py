"""Averaging the params of several trainings that began with the same weights, into one network of the same size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxart.arrays import PyTree


class Soup(NamedTuple):
    """An average that was chosen by its score.

    Fields:
        params: the mean of the members.
        members: their numbers, in the order in which they came in.
        score: of the mean.
        scores: of each of the params alone.
    """

    params: PyTree
    members: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def uniform_soup(trees: Sequence[PyTree]) -> PyTree:
    """Return the mean of params.

    It is a good network only where the params lie in one valley, as those of fine-tunings of the same weights do. Sums are float64.

    Args:
        trees: params of the same network, at least one; floating-point arrays.

    Returns:
        NumPy arrays of the same dtypes.

    Raises:
        ValueError: none, or trees that differ in their arrays, shapes or dtypes.

    Reference: Wortsman et al., Model Soups, 2022, section 2.
    """
    _check(trees)
    return jax.tree.map(_mean, *trees)


def greedy_soup(trees: Sequence[PyTree], validate: Callable[[PyTree], float]) -> Soup:
    """Average those params of which the mean is no worse than the best.

    From the best on downward each one is added, and stays if the score of the mean does not fall.

    Args:
        trees: as in `uniform_soup`.
        validate: ``params -> score`` on held-out data, higher is better.

    Raises:
        ValueError: as `uniform_soup`, or a score that is not finite for all.

    Reference: Wortsman et al. 2022, recipe 1.
    """
    _check(trees)
    scores = [float(validate(tree)) for tree in trees]
    order = sorted(range(len(trees)), key=lambda number: (-_rank(scores[number]), number))
    if not np.isfinite(scores[order[0]]):
        raise ValueError(f"greedy_soup: expected a finite score of at least one of the params, got {scores}.")
    members, best, score = [order[0]], trees[order[0]], scores[order[0]]
    for number in order[1:]:
        mixed = jax.tree.map(_mean, *(trees[each] for each in (*members, number)))
        mixed_score = float(validate(mixed))
        if mixed_score >= score:
            members, best, score = [*members, number], mixed, mixed_score
    return Soup(best, tuple(members), score, tuple(scores))


def _rank(score: float) -> float:
    return score if np.isfinite(score) else -np.inf


def _mean(*leaves: np.ndarray) -> np.ndarray:
    total = np.zeros(np.shape(leaves[0]), np.float64)
    for leaf in leaves:
        total += np.asarray(leaf, np.float64)
    return (total / len(leaves)).astype(leaves[0].dtype)


def _check(trees: Sequence[PyTree]) -> None:
    if not trees:
        raise ValueError("soup: expected the params of at least one training, got none.")
    first = _described(trees[0])
    for path, (_, dtype) in first.items():
        if not jax.numpy.issubdtype(dtype, jax.numpy.floating):
            raise ValueError(f"soup: expected floating-point arrays, got {path} of {dtype}. Hand in the params alone.")
    for number, tree in enumerate(trees[1:], 1):
        other = _described(tree)
        differing = sorted(first.keys() ^ other.keys())
        if differing or jax.tree.structure(tree) != jax.tree.structure(trees[0]):
            names = f": {', '.join(differing[:3])} is in one alone" if differing else ""
            raise ValueError(f"soup: params 0 and {number} are not of the same network{names}.")
        for path, description in first.items():
            if other[path] != description:
                raise ValueError(
                    f"soup: {path} is {_words(description)} in params 0 and {_words(other[path])} in {number}."
                )


def _described(tree: PyTree) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = ((jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves)
    return {path: (np.shape(leaf), np.asarray(leaf).dtype) for path, leaf in named}


def _words(description: tuple[tuple[int, ...], np.dtype]) -> str:
    shape, dtype = description
    return f"{dtype} {list(shape)}"
