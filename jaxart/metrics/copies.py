"""Which of the known pictures a made one is nearest to, and whether it is a copy of it; no network is asked."""

from typing import Literal, NamedTuple

import numpy as np

_SIDE = 16  # of the gray pictures that are compared
_NEXT = 50
_COPY, _NEAR = 0.2, 0.5

Verdict = Literal["copy", "near", "original"]


class Nearest(NamedTuple):
    """For each made picture `index [M]` of the nearest known one, and `ratio [M]`: its distance, over that of the next ones.

    Fields:
        index: of the known pictures.
        ratio: 0 for the same picture, near 1 where the nearest is no nearer than others are.
    """

    index: np.ndarray
    ratio: np.ndarray

    def verdicts(self) -> list[Verdict]:
        """Return what each is: a copy below a ratio of 0.2, near to a known picture below 0.5, else original."""
        return ["copy" if each < _COPY else "near" if each < _NEAR else "original" for each in self.ratio]


def nearest_pictures(made: np.ndarray, known: np.ndarray, *, chunk: int = 4096) -> Nearest:
    """Find the known picture that each made one is most like, mirrored or turned by quarters as well.

    Pictures are compared in gray, as the means of 16 x 16 parts, so that JPEG, a change of colors and a little noise hide nothing. A crop
    does: what features of a network find, `originality` tells of sets.

    Args:
        made: ``[M, S, S, C]``, uint8 or in [0, 1].
        known: ``[N, S, S, C]``, N of at least 2, such as what a generator was trained on.
        chunk: known pictures that are looked at at once.

    Raises:
        ValueError: pictures of other shapes, not square, or too few.

    >>> pictures = np.random.default_rng(0).random((40, 16, 16, 3))
    >>> found = nearest_pictures(pictures[7:8, ::-1], pictures)
    >>> int(found.index[0]), found.verdicts()
    (7, ['copy'])
    """
    shape = np.shape(known)[1:]
    if len(shape) != 3 or shape[0] != shape[1] or np.shape(made)[1:] != shape or len(known) < 2 or len(made) < 1:
        raise ValueError(
            f"nearest_pictures: expected made and at least 2 known pictures [N, S, S, C] of one size, got {np.shape(made)} and "
            f"{np.shape(known)}."
        )
    views = _views(_thumbnails(made, chunk))
    thumbnails = _thumbnails(known, chunk).reshape(len(known), -1)
    squared = np.full((len(made), len(known)), np.inf, np.float32)
    sizes = np.sum(thumbnails**2, axis=1)
    for view in views:
        distance = np.sum(view**2, axis=1)[:, None] + sizes[None] - 2 * view @ thumbnails.T
        squared = np.minimum(squared, distance)
    most = min(_NEXT + 1, len(known))
    order = np.argpartition(squared, most - 1, axis=1)[:, :most] if most < len(known) else np.argsort(squared, axis=1)
    near = np.sqrt(np.maximum(np.sort(np.take_along_axis(squared, order, axis=1), axis=1), 0))
    following = np.mean(near[:, 1:], axis=1)
    ratio = np.divide(near[:, 0], following, out=np.zeros(len(made)), where=following > 0)
    return Nearest(np.argmin(squared, axis=1), ratio)


def duplicate_groups(pictures: np.ndarray, *, chunk: int = 1024) -> np.ndarray:
    """Put pictures of one work together: those whose nearest other picture is a copy of it by the measure of `nearest_pictures`.

    A split by these groups keeps copies of a picture from being on both sides. Details of a work are not found.

    Args:
        pictures: ``[N, S, S, C]``, uint8 or in [0, 1].
        chunk: pictures that are compared with all at once.

    Returns:
        int32 ``[N]``: the number of the group of each picture, that of its first one.

    >>> pictures = np.random.default_rng(0).random((40, 16, 16, 3))
    >>> duplicate_groups(np.concatenate([pictures, pictures[5:6, :, ::-1]]))[[4, 5, 40]].tolist()
    [4, 5, 5]
    """
    count = len(pictures)
    groups = np.arange(count, dtype=np.int32)
    thumbnails = _thumbnails(pictures, chunk)
    flat = thumbnails.reshape(count, -1)
    sizes, most = np.sum(flat**2, axis=1), min(_NEXT + 1, count - 1)
    for start in range(0, count if count > 2 else 0, chunk):
        some = thumbnails[start : start + chunk]
        views = _views(some)
        squared = np.min([sizes[None] - 2 * view @ flat.T for view in views], axis=0)
        squared = np.maximum(squared + sizes[start : start + len(some), None], 0)
        squared[np.arange(len(some)), start + np.arange(len(some))] = np.inf
        nearest = np.argmin(squared, axis=1)
        near = np.sqrt(np.sort(np.partition(squared, most - 1, axis=1)[:, :most], axis=1))
        following = np.mean(near[:, 1:], axis=1)
        for row in np.flatnonzero(near[:, 0] < _COPY * following + 1e-4):
            _join(groups, start + int(row), int(nearest[row]))
    return np.array([_first(groups, each) for each in range(count)], np.int32)


def _first(groups: np.ndarray, each: int) -> int:
    while groups[each] != each:
        each = groups[each]
    return int(each)


def _join(groups: np.ndarray, one: int, other: int) -> None:
    first, second = sorted((_first(groups, one), _first(groups, other)))
    groups[second] = first


def _thumbnails(pictures: np.ndarray, chunk: int) -> np.ndarray:
    """Return the gray means of 16 x 16 parts, ``[N, 16, 16]`` in [0, 1]."""
    parts = _parts(np.shape(pictures)[1])
    found = []
    for start in range(0, len(pictures), chunk):
        some = np.asarray(pictures[start : start + chunk])
        gray = np.mean(some, axis=-1, dtype=np.float32) / (255 if some.dtype == np.uint8 else 1)
        found.append(parts @ gray @ parts.T)
    return np.concatenate(found)


def _parts(size: int) -> np.ndarray:
    """Return the matrix ``[16, size]`` that takes means of equal parts, which may end within a pixel."""
    borders = np.arange(_SIDE + 1) * size / _SIDE
    pixels = np.arange(size)
    overlap = np.minimum(borders[1:, None], pixels + 1) - np.maximum(borders[:-1, None], pixels)
    return (np.maximum(overlap, 0) * _SIDE / size).astype(np.float32)


def _views(thumbnails: np.ndarray) -> list[np.ndarray]:
    """Return the pictures in all eight orientations, each ``[M, 256]``."""
    turned = [
        np.rot90(each, quarter, axes=(1, 2)) for each in (thumbnails, thumbnails[:, :, ::-1]) for quarter in range(4)
    ]
    return [each.reshape(len(thumbnails), -1) for each in turned]
