"""What the rest of the shelf works on: examples, labels, names of classes."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Examples in a fixed order: ``images [N, ...]``, ``labels [N]``, the names of classes, and what could not be read."""

    images: np.ndarray  # uint8 [N, H, W, C], mapped from the cache if it comes from there; or float32 [N, ...]
    labels: np.ndarray  # int32 [N], zeros where there are no classes
    classes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()  # "file: reason", a line each
    digest: str = ""  # sha256 of images, labels and classes: equal for equal pixels, wherever they came from


def from_arrays(images: np.ndarray, labels: Sequence | np.ndarray | None = None) -> Dataset:
    """Make a dataset of arrays in memory.

    Args:
        images: ``[N, ...]``, uint8 or float32, kept as they are: pictures ``[N, H, W, C]``, or points of any dimension.
        labels: optional ``[N]``, numbers or names. The classes are the values that occur: names by the alphabet, whole numbers by value.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: no examples, another type, or another number of labels.

    >>> from_arrays(np.zeros((3, 8, 8, 1), np.uint8), ["10", "9", "10"])[1:3]
    (array([1, 0, 1], dtype=int32), ('9', '10'))
    """
    images = np.asarray(images)
    if images.ndim < 2 or len(images) == 0 or images.dtype not in (np.uint8, np.float32):
        raise ValueError(
            f"images: expected uint8 or float32 [N, ...] with N of at least 1, got {images.dtype} {list(images.shape)}."
        )
    numbers, classes = (np.zeros(len(images), np.int32), ()) if labels is None else _numbered(labels)
    if numbers.shape != (len(images),):
        raise ValueError(f"labels: expected one for each of {len(images)} images, got shape {list(numbers.shape)}.")
    return Dataset(images, numbers, classes, (), _digest(images, numbers, classes))


def _numbered(labels: Sequence | np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    values = np.asarray(labels)
    found, numbers = np.unique(values, return_inverse=True)
    if values.dtype.kind == "U" and all(str(name).isdecimal() for name in found):
        found, numbers = np.unique(values.astype(np.int64), return_inverse=True)
    return numbers.astype(np.int32), tuple(str(name) for name in found)


def _digest(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> str:
    content = hashlib.sha256(repr((images.dtype.name, images.shape, classes)).encode())
    for array in (images, labels):
        content.update(np.ascontiguousarray(array).data.cast("B"))
    return content.hexdigest()
