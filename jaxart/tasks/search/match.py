"""The works of a collection that a picture may be a copy of: few by hashes, then each laid over it in every orientation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxart import metrics
from jaxart.tasks.search.rows import Rows

CANDIDATES = 100  # works whose thumbnails are looked at
_ALIGNED = 24  # pairs of work and way to lie over it that are followed up
_WAYS = 2  # of one work
_INNER = np.array([[0.07, 0.07, 0.86]], np.float32)  # of a picture: a copy may have a border


class Match(NamedTuple):
    """The works that a picture is most like, the nearest first.

    Fields:
        rows: ``[K]`` of the collection.
        similarity: ``[K]``, 1 for the same picture; see `metrics.align`.
        bits: ``[K]``: in how many of 64 bits the hashes differ.
        gray: ``[K]``: root mean square difference of the normalized thumbnails in the best orientation, the picture as a whole.
    """

    rows: np.ndarray
    similarity: np.ndarray
    bits: np.ndarray
    gray: np.ndarray


def match(
    rows: Rows,
    thumbnails: np.ndarray,
    *,
    without: Sequence[int] = (),
    more: np.ndarray | Sequence[int] = (),
    count: int = 5,
) -> Match:
    """Find the works that a picture is most like: as it is, mirrored, turned by quarters or a little, cropped or with a border.

    Args:
        rows: of the collection.
        thumbnails: of the picture, uint8 ``[2, 32, 32]``, from `metrics.thumbnails`.
        without: rows that are passed over.
        more: rows that are looked at whatever their hashes say, such as those of near features.
        count: K at most.
    """
    views = metrics.orientations(thumbnails.astype(np.float32))  # [2, 8, 32, 32]
    inner = metrics.crops(views[0], places=_INNER)[:, 0]
    hashes = metrics.perceptual_hash(np.concatenate([views[0], inner]))
    bits = metrics.hamming(hashes[None], rows.hashes)[0]
    chosen = _chosen(bits, without, more)
    if len(chosen) == 0:
        return Match(*(np.zeros(0, kind) for kind in (np.int64, np.float32, np.uint8, np.float32)))
    known = rows.thumbnails[chosen].astype(np.float32)  # [C, 2, 32, 32]
    work, view, start = _ways(metrics.lay_over(views[0], known[:, 0]))
    both = np.stack([views[:, view], known[work].swapaxes(0, 1)])  # [2, channels, ways, 32, 32]
    both = both.reshape(2, -1, *both.shape[-2:])
    found = metrics.align(both[0], both[1], metrics.ALIGNMENT_STARTS[np.tile(start, 2)])
    similarity = np.full(len(chosen), -1, np.float32)
    np.maximum.at(similarity, np.tile(work, 2), np.asarray(found)[: len(both[0])])
    same = (views[:, None] == known.swapaxes(0, 1)[:, :, None]).all((0, 3, 4)).any(1)  # of one color, too
    similarity[same] = 1
    order = np.argsort(-similarity, kind="stable")[:count]
    order = order[similarity[order] > -1]
    return Match(
        chosen[order], similarity[order], bits[chosen[order]], metrics.gray_distance(views[0], known[order, 0])
    )


def _chosen(bits: np.ndarray, without: Sequence[int], more: np.ndarray | Sequence[int]) -> np.ndarray:
    """Return the rows of the fewest bits, and others that were asked for."""
    ranked = bits.astype(np.int16)
    ranked[list(without)] = 999
    most = min(CANDIDATES, len(ranked))
    near = np.argpartition(ranked, most - 1)[:most] if most < len(ranked) else np.arange(most)
    chosen = np.union1d(near, np.asarray(more, np.int64)).astype(np.int64)
    return chosen[ranked[chosen] < 999]


def _ways(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return work, view and start of the most promising ways, of ``[works, views, starts]``; always as many, some of them twice."""
    starts = similarity.shape[-1]
    flat = similarity.reshape(len(similarity), -1)
    best = np.argsort(-flat, axis=1, kind="stable")[:, :_WAYS]
    order = np.argsort(-np.take_along_axis(flat, best, axis=1).reshape(-1), kind="stable")[:_ALIGNED]
    order = np.resize(order, _ALIGNED)
    way = best.reshape(-1)[order]
    return order // _WAYS, way // starts, way % starts
