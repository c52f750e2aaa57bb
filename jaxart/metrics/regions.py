"""Scores of a segmentation: pixels counted inside a program, and intersection over union and Dice of the counts."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


class RegionCounts(NamedTuple):
    """For each class ``[..., K]`` the number of pixels that are it in labels and prediction, and in either; those of pictures add up."""

    intersection: jax.Array
    union: jax.Array


def region_counts(labels: Array, predicted: Array, classes: int) -> RegionCounts:
    """Count pixels by class, of each picture.

    Args:
        labels: integers ``[..., H, W]``; pixels that are not from 0 to K - 1 are left out.
        predicted: integers of the same shape, from 0 to K - 1 where pixels count.
        classes: K, a number that is known when the program is compiled.

    Returns:
        `RegionCounts`, int32 ``[..., K]``: of fewer than 2^31 pixels in a picture.

    Raises:
        ValueError: shapes that differ.

    >>> counts = region_counts(jnp.array([[0, 0], [1, -1]]), jnp.array([[0, 1], [1, 1]]), 2)
    >>> counts.intersection.tolist(), counts.union.tolist()
    ([1, 1], [2, 2])
    """
    if labels.shape != predicted.shape:
        raise ValueError(f"region_counts: expected one shape, got {labels.shape} and {predicted.shape}.")
    pictures, pixels = labels.shape[:-2], math.prod(labels.shape[-2:])
    truth, guess = (each.reshape(-1, pixels).astype(jnp.int32) for each in (labels, predicted))
    known = (truth >= 0) & (truth < classes)

    def count(values: Array, counted: Array) -> jax.Array:
        of_one = functools.partial(jnp.bincount, length=classes + 1)
        return jax.vmap(of_one)(jnp.where(counted, values, classes))[:, :classes]

    hits = count(truth, known & (truth == guess))
    either = count(truth, known) + count(guess, known) - hits
    return RegionCounts(hits.reshape(*pictures, classes), either.reshape(*pictures, classes))


def iou_by_class(counts: RegionCounts) -> jax.Array:
    """Return ``intersection / union`` of each class, NaN of one that is nowhere.

    Args:
        counts: of all pictures together, or ``[..., K]``, of each.

    Returns:
        float32 ``[..., K]``.
    """
    intersection, union = (each.astype(jnp.float32) for each in counts)
    return jnp.where(union > 0, intersection / jnp.maximum(union, 1), jnp.nan)


def mean_iou(counts: RegionCounts) -> jax.Array:
    """Return the mean of ``intersection / union`` over classes that are present in labels or prediction.

    Args:
        counts: of all pictures together, or ``[..., K]``, of each.

    Returns:
        float32 ``[...]``, NaN where no pixel counts.

    >>> float(mean_iou(RegionCounts(jnp.array([1, 1, 0]), jnp.array([2, 4, 0]))))
    0.375
    """
    return _over_present(iou_by_class(counts))


def dice(counts: RegionCounts) -> jax.Array:
    """Return the mean of ``2 intersection / (labels + predicted)`` over classes that are present in either: F1 of pixels.

    Args:
        counts: of all pictures together, or ``[..., K]``, of each.

    Returns:
        float32 ``[...]``, NaN where no pixel counts.

    >>> round(float(dice(RegionCounts(jnp.array([1, 1, 0]), jnp.array([2, 4, 0])))), 4)
    0.5333
    """
    overlap = iou_by_class(counts)
    return _over_present(2 * overlap / (1 + overlap))  # |A| + |B| = union + intersection


def pixel_accuracy(counts: RegionCounts) -> jax.Array:
    """Return the share of the pixels whose class was predicted.

    Args:
        counts: of all pictures together, or ``[..., K]``, of each.

    Returns:
        float32 ``[...]``, NaN where no pixel counts.

    >>> float(pixel_accuracy(RegionCounts(jnp.array([1, 2, 0]), jnp.array([2, 3, 0]))))
    0.75
    """
    intersection, union = (jnp.asarray(each, jnp.float32).sum(-1) for each in counts)
    both = intersection + union  # twice the pixels: each is one of a class in the labels and in the prediction
    return jnp.where(both > 0, 2 * intersection / jnp.maximum(both, 1), jnp.nan)


def _over_present(values: Array) -> jax.Array:
    return jnp.nanmean(values, axis=-1)
