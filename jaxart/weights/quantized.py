"""Weights as whole numbers or as a few shared values.

How an array is kept is a value: `Float`, `Int8` or `Shared`, chosen for each by `compress`.
`weights.compressed_bytes` makes a file of them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import PyTree, check_choice
from jaxart.weights.readers import WeightsError

Array = jax.Array | np.ndarray
COMPRESSIONS = ("int8", "codebook", "float")
_LARGEST = 127  # of an int8 weight; -128 is left out, so that the numbers are symmetric
_RATIOS = np.linspace(1.0, 0.5, 20)  # of the largest magnitude: what the search tries


class Float(NamedTuple):
    """An array kept as it is: values, float32."""

    values: np.ndarray


class Int8(NamedTuple):
    """An array as whole numbers: weights are ``values * scale`` along the last axis.

    Fields:
        values: int8 ``[..., O]``, from -127 to 127.
        scale: float32 ``[O]``.
    """

    values: np.ndarray
    scale: np.ndarray


class Shared(NamedTuple):
    """An array of few different values: weights are ``book[values]``.

    Fields:
        values: uint8, of the shape of the array: numbers of values in the book. Where there are zeros, they are number 0.
        book: float32 ``[k]``, k at most 256.
    """

    values: np.ndarray
    book: np.ndarray


Kept = Float | Int8 | Shared


def quantize(weights: Array, *, search: bool = False) -> Int8:
    """Round weights to whole multiples of a scale for each channel: ``q = round(w / s)``, s = max|w| / 127.

    Each weight moves by at most ``s / 2`` (to the rounding of float32: 1.00002 of it), and zero stays zero.

    Args:
        weights: finite ``[..., O]``; each of the last axis has a scale of its own.
        search: take, of 20 scales from the whole to half of that, the one with the least squared error. Larger weights are then cut off,
            and the bound above does not hold. It gains where a channel has some thousand weights and few of them are large.

    Raises:
        ValueError: no axis.

    Reference: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, 2018, section 3:
    symmetric, for weights alone.
    """
    wide = np.asarray(weights, np.float64)
    if not wide.ndim:
        raise ValueError("quantize: expected weights [..., O], got a single number.")
    largest = np.abs(wide).max(axis=tuple(range(wide.ndim - 1)), initial=0.0)  # [O]
    best, error = _scale(largest), np.full(largest.shape, np.inf)
    for ratio in _RATIOS if search else ():
        scale = _scale(largest * ratio)
        squares = ((_rounded(wide, scale) * scale.astype(np.float64) - wide) ** 2).sum(axis=tuple(range(wide.ndim - 1)))
        best, error = np.where(squares < error, scale, best), np.minimum(squares, error)
    return Int8(_rounded(wide, best), best)


def _scale(largest: np.ndarray) -> np.ndarray:
    """Return scales, float32: 0 only where all weights are, and never so small that they have few bits."""
    least = np.where(largest > 0, np.finfo(np.float32).tiny, 0)
    return np.maximum((largest / _LARGEST).astype(np.float32), least).astype(np.float32)


def _rounded(wide: np.ndarray, scale: np.ndarray) -> np.ndarray:
    divisor = np.where(scale > 0, scale.astype(np.float64), 1.0)
    return np.clip(np.rint(wide / divisor), -_LARGEST, _LARGEST).astype(np.int8)


def share(weights: Array, *, values: int = 64, steps: int = 20) -> Shared:
    """Replace weights by a few shared values: k-means of the weights that are not zero.

    It begins with evenly spaced values from the least to the largest. Zeros stay zero and take one of the values. Weights that have no more
    different values already are kept exactly.

    Args:
        weights: finite, of any shape.
        values: k, from 2 to 256.
        steps: of Lloyd's algorithm.

    Raises:
        ValueError: k outside of 2 to 256.

    Reference: Han et al., Deep Compression, 2016, section 3.
    """
    if not 2 <= values <= 256:
        raise ValueError(f"share: expected 2 to 256 values, got {values}.")
    flat = np.asarray(weights, np.float32).reshape(-1)
    moving = np.sort(flat[flat != 0])
    zero = int(len(moving) < len(flat))
    book = _centers(moving, values - zero, steps)
    codes = np.zeros(flat.shape, np.uint8)
    codes[flat != 0] = _nearest(book, flat[flat != 0]) + zero
    book = np.concatenate([np.zeros(zero, np.float32), book])
    return Shared(codes.reshape(np.shape(weights)), book)


def _centers(ordered: np.ndarray, count: int, steps: int) -> np.ndarray:
    """Return the values that k-means finds for ordered numbers, float32, ascending."""
    different = np.unique(ordered)
    if len(different) <= count:
        return different
    centers = np.linspace(ordered[0], ordered[-1], count, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    for _ in range(steps):
        ends = np.searchsorted(ordered, (centers[1:] + centers[:-1]) / 2)
        borders = np.concatenate([[0], ends, [len(ordered)]])
        sizes, totals = np.diff(borders), np.diff(sums[borders])
        centers = np.where(sizes > 0, totals / np.maximum(sizes, 1), centers)
    return centers.astype(np.float32)


def _nearest(book: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the number of the nearest value of an ascending book."""
    wide = book.astype(np.float64)
    return np.searchsorted((wide[1:] + wide[:-1]) / 2, weights).astype(np.uint8)


def restore(kept: Kept) -> np.ndarray:
    """Return the array that was kept, float32."""
    if isinstance(kept, Int8):
        with np.errstate(over="ignore"):
            return (kept.values * kept.scale.astype(np.float64)).astype(np.float32)
    return kept.book[kept.values] if isinstance(kept, Shared) else kept.values


def book_gradient(kept: Shared, gradient: Array) -> jax.Array:
    """Return the gradient of a book: the sum of the gradients of the weights that share a value; that of zero is 0.

    ``Shared(values, book - rate * book_gradient(...))`` is a step of fine-tuning.

    Args:
        kept: from `share`.
        gradient: of the array.

    Returns:
        ``[k]``, float32.
    """
    sums = jnp.zeros(len(kept.book), jnp.float32).at[kept.values.reshape(-1)].add(gradient.reshape(-1))
    return jnp.where(kept.book == 0, 0.0, sums)


def is_kernel(name: str, leaf: Array) -> bool:
    """Tell whether an array is a matrix or a stack of them, and not of a normalization: what is worth making smaller.

    Args:
        name: such as "conv1.kernel".
        leaf: the array.
    """
    return leaf.ndim > 1 and leaf.size >= 64 and not any("norm" in part for part in name.lower().split("."))


def compress(
    params: PyTree,
    *,
    method: Literal["int8", "codebook", "float"] = "int8",
    chosen: Callable[[str, Array], bool] = is_kernel,
    search: bool = False,
    values: int = 64,
) -> dict[str, Kept]:
    """Make the kernels of a network smaller; biases and normalizations stay float32.

    Args:
        params: dicts in dicts, finite numbers.
        method: "int8", as `quantize`; "codebook", as `share`; "float" leaves out zeros alone, which is something for pruned networks.
        chosen: ``(name, array) -> bool``: which arrays.
        search: as in `quantize`.
        values: as in `share`.

    Returns:
        How each array is kept, by its name, such as "conv1.kernel".

    Raises:
        WeightsError: a number that is not finite.
    """
    check_choice("method", method, COMPRESSIONS)
    kept: dict[str, Kept] = {}
    for name, leaf in flat_arrays(params).items():
        array = np.asarray(leaf, np.float32)
        if not np.isfinite(array).all():
            raise WeightsError(f"{name}: expected finite numbers.")
        if method == "float" or not chosen(name, array):
            kept[name] = Float(array)
        else:
            kept[name] = quantize(array, search=search) if method == "int8" else share(array, values=values)
    return kept


def restored(kept: Mapping[str, Kept]) -> PyTree:
    """Return params, float32, as a file of what `compress` made would load them."""
    tree: dict[str, Any] = {}
    for name, each in kept.items():
        *branches, last = name.split(".")
        place = tree
        for branch in branches:
            place = place.setdefault(branch, {})
        place[last] = restore(each)
    return tree


def flat_arrays(tree: PyTree, prefix: str = "") -> dict[str, Any]:
    """Return the arrays of a network by their names, such as "conv1.kernel".

    Args:
        tree: dicts in dicts.
        prefix: of the names.
    """
    if not isinstance(tree, dict):
        return {prefix[:-1]: tree}
    return {name: leaf for key, branch in tree.items() for name, leaf in flat_arrays(branch, f"{prefix}{key}.").items()}
