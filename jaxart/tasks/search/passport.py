"""Is a picture a copy? Its nearest works, and how often an original of the same collection comes as near to another work."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxart import io, metrics
from jaxart.tasks.search.collection import SIDE, read_square
from jaxart.tasks.search.describe import Features
from jaxart.tasks.search.index import Index, check_features
from jaxart.tasks.search.match import Match, match
from jaxart.tasks.search.nearest import nearest_rows
from jaxart.tasks.search.originals import Originals, near_by_features, originals_among
from jaxart.tasks.search.rows import Rows, rows_of

COPY_RATE, NEAR_RATE = 0.001, 0.01  # at which originals are given these verdicts, or worse
_NEXT = 20  # works to whose distance that of the nearest is compared

Verdict = Literal["copy", "near", "original"]
OnProgress = Callable[[int, int], Any] | None


class Work(NamedTuple):
    """A work of the collection beside a picture.

    Fields:
        file: its name in the collection.
        similarity: of the thumbnails laid over each other, 1 for the same (see `metrics.align`); of `search`, the features' cosine.
        bits: in how many of 64 bits the perceptual hashes differ, over orientations and crops.
        gray: root mean square difference of the normalized gray thumbnails, over orientations.
        features: cosine of the standardized features; None without a network.
    """

    file: str
    similarity: float
    bits: int
    gray: float
    features: float | None


class Passport(NamedTuple):
    """What is known of a picture's originality.

    Fields:
        verdict: "copy": nearer to a work than 999 of 1000 originals are; "near": than 99 of 100; else "original".
        false_alarms: the share of originals that get this verdict or a worse one.
        p_value: the share of originals that come as near to a work or nearer, (1 + those) / (1 + all).
        score: the share of originals that come nearer to a work than the picture, 0 to 100: 0 for a copy.
        ratio: distance to the nearest work over the mean of the next 20, each 1 - similarity.
        nearest: works, the nearest first.
    """

    verdict: Verdict
    false_alarms: float
    p_value: float
    score: float
    ratio: float
    nearest: list[Work]


class Pair(NamedTuple):
    """A picture of a test set that is nearly one of a training set: their rows, and the `similarity` of `metrics.align`."""

    test: int
    train: int
    similarity: float


def passports(
    index: Index,
    squares: np.ndarray,
    originals: Originals,
    *,
    features: Features | None = None,
    k: int = 3,
    on_progress: OnProgress = None,
) -> list[Passport]:
    """Tell of pictures whether they are copies of works in a collection.

    The limits are those of the collection: what its own works, each compared with all others, pass at a rate of 0.01 and 0.001.

    Args:
        index: opened.
        squares: uint8 ``[M, 128, 128, 3]``, from `read_square`.
        originals: from `originals_of`.
        features: those that the index was made with.
        k: works to name.
        on_progress: called ``on_progress(done, total)``.

    Raises:
        ValueError: other features than the index's, or `k` below 1.
    """
    check_features(index, features)
    _check_count(k)
    asked = rows_of(squares, features)
    more, found = near_by_features(index, asked.features), []
    for number in range(len(squares)):
        near = match(index.rows, asked.thumbnails[number], more=more[number], count=max(k, _NEXT + 1))
        found.append(_passport(originals, near, _works(index, near, asked.features[number])[:k]))
        if on_progress is not None:
            on_progress(number + 1, len(squares))
    return found


def _check_count(k: int) -> None:
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}.")


def _passport(originals: Originals, near: Match, works: list[Work]) -> Passport:
    similarity = float(near.similarity[0])
    verdict, rate = verdict_of(originals, similarity)
    distance, following = 1 - similarity, 1 - near.similarity[1:]
    ratio = distance / max(float(following.mean()), 1e-6) if len(following) else 1.0
    nearer = len(originals.similarity) - np.searchsorted(originals.similarity, similarity, side="right")
    score = 100 * float(nearer) / max(len(originals.similarity), 1)
    return Passport(verdict, rate, originals.p_value(similarity), score, ratio, works)


def verdict_of(originals: Originals, similarity: float) -> tuple[Verdict, float]:
    """Return a verdict, and the share of originals that get it or a worse one.

    Args:
        originals: of the collection.
        similarity: to the nearest work.
    """
    if similarity > originals.limit(COPY_RATE):
        return "copy", COPY_RATE
    if similarity > originals.limit(NEAR_RATE):
        return "near", NEAR_RATE
    return "original", 1.0


def _works(index: Index, near: Match, features: np.ndarray) -> list[Work]:
    cosines = _cosines(index, near.rows, features)
    return [
        Work(index.files[row].name, float(similarity), int(bits), float(gray), cosine)
        for row, similarity, bits, gray, cosine in zip(*near, cosines, strict=True)
    ]


def _cosines(index: Index, rows: np.ndarray, features: np.ndarray) -> list[float | None]:
    if index.features[2] == 0:
        return [None] * len(rows)
    chosen = np.concatenate([index.rows.features[rows], features[None]]).astype(np.float32)
    standardized = (chosen - index.scale[0]) / index.scale[1]
    standardized /= np.maximum(np.linalg.norm(standardized, axis=1, keepdims=True), 1e-6)
    return (standardized[:-1] @ standardized[-1]).tolist()


def search(index: Index, squares: np.ndarray, *, features: Features | None = None, k: int = 5) -> list[list[Work]]:
    """Return the works that are most like each picture: by features, in an index without any by thumbnails.

    Args:
        index: opened.
        squares: uint8 ``[M, 128, 128, 3]``, from `read_square`.
        features: those that the index was made with.
        k: works for each.

    Returns:
        For each picture works, the nearest first; their `similarity` is that by which they were found.

    Raises:
        ValueError: other features than the index's, or `k` below 1.
    """
    check_features(index, features)
    _check_count(k)
    asked = rows_of(squares, features)
    if features is None:
        near = [match(index.rows, each, count=k) for each in asked.thumbnails]
        return [_works(index, each, asked.features[0]) for each in near]
    found = nearest_rows(index.rows.features, asked.features, k=k, scale=index.scale, norms=index.norms)
    return [
        _described(index, rows, similarity, thumbnails)
        for rows, similarity, thumbnails in zip(found.rows, found.similarity, asked.thumbnails, strict=True)
    ]


def _described(index: Index, rows: np.ndarray, similarity: np.ndarray, thumbnails: np.ndarray) -> list[Work]:
    """Return works that features found, with the distances of hashes and thumbnails."""
    chosen = Rows(*(each[rows] for each in index.rows))
    views = metrics.orientations(thumbnails[0].astype(np.float32))
    bits = metrics.hamming(metrics.perceptual_hash(views)[None], chosen.hashes)[0]
    gray = metrics.gray_distance(views, chosen.thumbnails[:, 0])
    return [
        Work(index.files[row].name, float(each), int(some), float(other), float(each))
        for row, each, some, other in zip(rows, similarity, bits, gray, strict=True)
    ]


def near_duplicates(train: np.ndarray, test: np.ndarray, *, on_progress: OnProgress = None) -> list[Pair]:
    """Return the pictures of a test set that are copies of one in a training set, to be told before training.

    The test is that of `passports`, with the training set as the collection: mirrored, cropped, recolored and compressed copies too.

    Args:
        train: uint8 ``[N, S, S, C]``, C of 1 or 3.
        test: uint8 ``[M, S, S, C]``.
        on_progress: called ``on_progress(done, total)``.

    Raises:
        ValueError: pictures of another type or shape.
    """
    known, asked = (rows_of(_squares(each)) for each in (train, test))
    total = min(len(train), 1000) + len(test)
    originals = originals_among(
        known, on_progress=None if on_progress is None else lambda done, _: on_progress(done, total)
    )
    limit, found = originals.limit(COPY_RATE), []
    for number, thumbnails in enumerate(asked.thumbnails):
        near = match(known, thumbnails, count=1)
        if len(near.rows) and near.similarity[0] > limit:
            found.append(Pair(number, int(near.rows[0]), float(near.similarity[0])))
        if on_progress is not None:
            on_progress(total - len(test) + number + 1, total)
    return found


def _squares(pictures: np.ndarray) -> np.ndarray:
    shape = np.shape(pictures)
    if len(shape) != 4 or pictures.dtype != np.uint8 or shape[3] not in (1, 3):
        raise ValueError(f"near_duplicates: expected uint8 pictures [N, S, S, 1 or 3], got {shape}.")
    if shape[1] == shape[2] and shape[1] % metrics.THUMBNAIL == 0:
        return pictures
    return np.stack([metrics.squeeze(each, metrics.THUMBNAIL) for each in pictures])


def sheet(
    index: Index, squares: np.ndarray, works: Sequence[Sequence[str]], *, collection: Path | None = None
) -> np.ndarray:
    """Return a sheet with a row of each picture and works beside it; one whose file is gone is drawn from its gray thumbnail.

    Args:
        index: opened.
        squares: uint8 ``[M, 128, 128, 3]``.
        works: names of files of the index, for each picture.
        collection: where the pictures are, if not where they were.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].
    """
    columns = 1 + max(len(each) for each in works)
    rows = {file.name: row for row, file in enumerate(index.files)}
    cells = np.full((len(squares), columns, SIDE, SIDE, 3), 255, np.uint8)
    for line, square, names in zip(cells, squares, works, strict=True):
        line[0] = square
        for cell, name in zip(line[1:], names, strict=False):
            cell[:] = _picture(collection or index.collection, name, index.rows.thumbnails[rows[name], 0])
    return io.grid(cells.reshape(-1, SIDE, SIDE, 3), columns=columns, gap=4)


def _picture(collection: Path, name: str, thumbnail: np.ndarray) -> np.ndarray:
    try:
        return read_square(collection / name)
    except (OSError, ValueError):
        size = SIDE // metrics.THUMBNAIL
        return thumbnail.repeat(size, axis=0).repeat(size, axis=1)[..., None]
