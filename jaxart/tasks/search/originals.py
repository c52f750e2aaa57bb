"""What originals are like: how near works of a collection come to another work of it, and the limits beyond which a picture is none."""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart import io
from jaxart.tasks.search.index import Index
from jaxart.tasks.search.match import match
from jaxart.tasks.search.nearest import nearest_rows
from jaxart.tasks.search.rows import Rows

_BY_FEATURES = 20  # works of the nearest features that are looked at too
_WORKS = 1000  # that are asked
_FILE = "originals.json"
_DOUBTFUL = 0.05  # originals that may be taken for copies of each other, in the whole collection
_FEW = (20, 0.6)  # below so many originals, a limit is at least this
_CERTAIN = 1 - 1e-6  # the largest similarity that counts, whose inverse hyperbolic tangent is finite

OnProgress = Callable[[int, int], Any] | None


class Originals(NamedTuple):
    """How near works of a collection come to another work of it.

    Fields:
        similarity: of each work that was asked to the nearest other one, ascending; without those that are copies.
        copies: (work, other work) pairs of rows, which were left out as copies of each other.
    """

    similarity: np.ndarray
    copies: list[tuple[int, int]]

    def p_value(self, similarity: float) -> float:
        """Return the share of originals that come as near or nearer, (1 + those) / (1 + all)."""
        nearer = len(self.similarity) - np.searchsorted(self.similarity, similarity, side="left")
        return float((1 + nearer) / (1 + len(self.similarity)))

    def limit(self, rate: float) -> float:
        """Return the similarity that at most this share of originals passes.

        Of too few originals to count, the limit is that of a Gumbel distribution through their quartiles, if that is higher than all;
        of fewer than 20 it is 0.6 at least, which about one in a thousand paintings passes in a collection of thousands.
        """
        rank = int(rate * (len(self.similarity) + 1))
        if rank >= 1:
            return float(self.similarity[-rank])
        least = _FEW[1] if len(self.similarity) < _FEW[0] else -1.0
        if len(self.similarity) < 4:
            return least
        return float(max(_gumbel_limit(self.similarity, rate), self.similarity[-1], least))


def originals_of(index: Index, *, count: int = _WORKS, on_progress: OnProgress = None) -> Originals:
    """Ask works of a collection for the nearest other one; what was found is kept beside the arrays of the index.

    Args:
        index: opened.
        count: works that are asked, drawn at random; the same ones at each call.
        on_progress: called ``on_progress(done, total)``.
    """
    path = index.arrays / _FILE
    if (kept := _kept(path, count)) is not None:
        return kept
    chosen = _drawn(len(index.files), count)
    near, found = near_by_features(index, index.rows.features[chosen]), []
    for number, row in enumerate(chosen):
        if on_progress is not None:
            on_progress(number, len(chosen))
        found.append(_nearest_other(index.rows, row, near[number]))
    originals = _without_copies(chosen, found)
    content = {"asked": count, "similarity": originals.similarity.tolist(), "copies": originals.copies}
    try:
        with io.replacing(path) as partial:
            partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    except OSError:
        pass  # an index that may only be read
    return originals


def originals_among(rows: Rows, *, count: int = _WORKS, on_progress: OnProgress = None) -> Originals:
    """Ask pictures for the nearest other one among them.

    Args:
        rows: from `rows_of`.
        count: pictures that are asked.
        on_progress: called ``on_progress(done, total)``.
    """
    chosen, found = _drawn(len(rows.hashes), count), []
    for number, row in enumerate(chosen):
        found.append(_nearest_other(rows, row, ()))
        if on_progress is not None:
            on_progress(number + 1, len(chosen))
    return _without_copies(chosen, found)


def near_by_features(index: Index, features: np.ndarray) -> np.ndarray:
    """Return the rows of the nearest features ``[M, 20]``, which hashes may have missed; ``[M, 0]`` without a network.

    Args:
        index: opened.
        features: ``[M, D]``.
    """
    if index.features[2] == 0:
        return np.zeros((len(features), 0), np.int64)
    return nearest_rows(index.rows.features, features, k=_BY_FEATURES, scale=index.scale, norms=index.norms).rows


def _drawn(total: int, count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(total)[:count])


def _nearest_other(rows: Rows, row: int, more: np.ndarray | Sequence[int]) -> tuple[float, int]:
    found = match(rows, rows.thumbnails[row], without=[row], more=more, count=1)
    return (float(found.similarity[0]), int(found.rows[0])) if len(found.rows) else (-1.0, -1)


def _without_copies(chosen: np.ndarray, found: list[tuple[float, int]]) -> Originals:
    """Leave out the works that are nearer to another one than originals of the same distribution would be."""
    similarity = np.array([each for each, other in found if other >= 0], np.float32)
    if len(similarity) < 4:
        return Originals(np.sort(similarity), [])
    limit = _gumbel_limit(np.sort(similarity), _DOUBTFUL / len(similarity))
    copies = [(int(row), other) for row, (each, other) in zip(chosen, found, strict=True) if each > limit]
    return Originals(np.sort(similarity[similarity <= limit]), copies)


def _gumbel_limit(similarity: np.ndarray, rate: float) -> float:
    """Return what a share `rate` passes of the Gumbel distribution with the same median and distance of quartiles.

    The nearest of many is an extreme, whose distribution that is, once similarities are spread to the whole line.
    """
    low, middle, high = np.quantile(np.arctanh(np.clip(similarity, -_CERTAIN, _CERTAIN)), (0.25, 0.5, 0.75))

    def quantile(share: float) -> float:
        return -float(np.log(-np.log(share)))

    width = (high - low) / (quantile(0.75) - quantile(0.25))
    upper = -float(np.log(-np.log1p(-rate)))
    return float(np.tanh(middle + width * (upper - quantile(0.5))))


def _kept(path: Any, count: int) -> Originals | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["asked"] != count:
            return None
        pairs = [(int(one), int(two)) for one, two in content["copies"]]
        return Originals(np.array(content["similarity"], np.float32), pairs)
    except (OSError, ValueError, KeyError, TypeError):
        return None
