"""How well masks are met: confusion of classes, and what it says."""

import numpy as np


def confusion(truth: np.ndarray, found: np.ndarray, *, classes: int) -> np.ndarray:
    """Count pixels by their class and the class that was found: int64 ``[..., K, K]``, a matrix for each picture.

    Args:
        truth: uint8 ``[..., H, W]``; what is no class, such as 255, is not counted.
        found: uint8 ``[..., H, W]``, below `classes`.
        classes: K.
    """
    known = truth < classes
    pairs = np.where(known, truth.astype(np.int64) * classes + found, classes**2)
    shape = pairs.shape[:-2]
    counts = [
        np.bincount(each.reshape(-1), minlength=classes**2 + 1)[:-1] for each in pairs.reshape(-1, *pairs.shape[-2:])
    ]
    return np.stack(counts).reshape(*shape, classes, classes)


def intersection_over_union(matrix: np.ndarray) -> np.ndarray:
    """Return of each class its hits divided by the pixels that are of it or were found to be: ``[K]``, NaN where the truth has none.

    Args:
        matrix: from `confusion`, added up, ``[K, K]``.
    """
    hits, there, found = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore"):
        return np.where(there > 0, hits / (there + found - hits), np.nan)


def mean_iou(matrix: np.ndarray) -> float:
    """Return the mean of `intersection_over_union` over the classes that are there.

    Args:
        matrix: as there.
    """
    return float(np.nanmean(intersection_over_union(matrix)))


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Return the share of the pixels whose class was found.

    Args:
        matrix: as in `intersection_over_union`.
    """
    return float(np.trace(matrix) / max(matrix.sum(), 1))
