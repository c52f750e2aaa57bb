"""Score cards: a score with all that it depends on, kept as JSON. Cards that do not match refuse comparison."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.arrays import PyTree
from jaxart.io import replacing
from jaxart.metrics.estimate import Estimate
from jaxart.version import __version__

_INCEPTION = {"Frechet distance": "FID", "kernel distance": "KID"}
_MUST_MATCH = ("score", "n_real", "n_fake", "features", "features_hash", "data_hash", "resize")


class ScoreCard(NamedTuple):
    """A score, its 95 % interval, and what it depends on; made by `score_card`."""

    score: str  # "Frechet distance"
    value: float
    low: float
    high: float
    n_real: int
    n_fake: int
    features: str  # "vgg16 relu5_3 mean"; empty where a score needs none
    features_hash: str
    data_hash: str
    resize: str
    seed: int
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """Return the score's full name: `score_name`."""
        return score_name(self.score, self.features)


class Comparison(NamedTuple):
    """How far the second score is above the first, and whether their intervals overlap."""

    difference: float
    overlap: bool


def score_name(score: str, features: str) -> str:
    """Name a score by its features; only on Inception's a Frechet distance is a FID, and a kernel distance a KID.

    Args:
        score: what is measured, "Frechet distance".
        features: network, layer and pooling; the name of Inception's begins so. Empty where a score needs none.

    Raises:
        ValueError: `score` claims a name that the features decide.

    Example:
        >>> score_name("Frechet distance", "vgg16 relu5_3 mean")
        'Frechet distance on vgg16 relu5_3 mean'
        >>> score_name("Frechet distance", "inception-v3 pool3")
        'FID on inception-v3 pool3'
    """
    if re.search(r"\b(fid|kid)\b", score, re.IGNORECASE):
        raise ValueError(
            f"score: expected what is measured, {' or '.join(_INCEPTION)}, got {score!r}; features name it."
        )
    if features.lower().startswith("inception"):
        score = _INCEPTION.get(score, score)
    return f"{score} on {features}" if features else score


def score_card(
    score: str,
    estimate: Estimate,
    *,
    n_fake: int,
    n_real: int = 0,
    features: str = "",
    features_hash: str = "",
    data_hash: str = "",
    resize: str = "none",
    seed: int = 0,
) -> ScoreCard:
    """Return a score with all that it depends on.

    Args:
        score: what is measured, without features: "Frechet distance", "precision", "classification accuracy score".
        estimate: from `kernel_distance` or `jackknife`.
        n_fake: generated examples.
        n_real: examples that they were compared with.
        features: network, layer and pooling, "vgg16 relu5_3 mean".
        features_hash: `content_hash` of the network's variables.
        data_hash: `content_hash` of the real examples.
        resize: filter that brought pictures to the network's size, "bicubic antialiased".
        seed: of the fakes.

    Raises:
        ValueError: a value that is not finite, no fakes, features without their hash, or a score named against its features.
    """
    if not all(map(math.isfinite, estimate)):
        raise ValueError(f"{score}: expected a finite value and standard error, got {tuple(estimate)}.")
    if n_fake < 1 or n_real < 0:
        raise ValueError(f"{score}: expected n_fake of at least 1 and n_real of at least 0, got {n_fake} and {n_real}.")
    if bool(features) != bool(features_hash):
        raise ValueError(
            f"{score}: features and features_hash belong together, got {features!r} and {features_hash!r}."
        )
    score_name(score, features)
    numbers = (float(estimate.value), float(estimate.low), float(estimate.high), int(n_real), int(n_fake))
    versions = {"jaxart": __version__, "jax": jax.__version__, "numpy": np.__version__}
    return ScoreCard(score, *numbers, features, features_hash, data_hash, resize, seed, versions)


def compare(first: ScoreCard, second: ScoreCard) -> Comparison:
    """Return the difference of two scores, if all that they depend on is the same; seed and versions may differ.

    Scores whose intervals do not overlap differ beyond chance; those whose intervals overlap may be equal.

    Args:
        first: the score to compare with.
        second: the score whose difference from the first is returned.

    Returns:
        `Comparison`: ``second.value - first.value``, and whether the intervals overlap.

    Raises:
        ValueError: the cards do not match; the message names the fields.
    """
    differing = [each for each in _MUST_MATCH if getattr(first, each) != getattr(second, each)]
    if differing:
        listed = "; ".join(f"{each} {getattr(first, each)!r} and {getattr(second, each)!r}" for each in differing)
        raise ValueError(f"these scores cannot be compared, they differ in {listed}. Score both alike.")
    overlap = first.low <= second.high and second.low <= first.high
    return Comparison(second.value - first.value, overlap)


def write_cards(path: str | Path, cards: Sequence[ScoreCard]) -> Path:
    """Write cards as a JSON list, each with its full name, atomically.

    Args:
        path: of the file, in an existing folder.
        cards: from `score_card`.

    Returns:
        The path.
    """
    listed = [{"name": card.name, **card._asdict()} for card in cards]
    with replacing(Path(path)) as partial:
        partial.write_text(json.dumps(listed, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


def read_cards(path: str | Path) -> list[ScoreCard]:
    """Read what `write_cards` wrote.

    Raises:
        ValueError: not JSON, or not score cards of this version; the message names what is missing or unknown.
    """
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as reason:
        raise ValueError(f"{path}: expected score cards as JSON: {reason}.") from None
    if not isinstance(listed, list):
        raise ValueError(f"{path}: expected a JSON list of score cards, got {type(listed).__name__}.")
    return [_card(f"{path}: card {number}", each) for number, each in enumerate(listed)]


def _card(where: str, entry: Any) -> ScoreCard:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object, got {entry!r}.")
    fields = {key: value for key, value in entry.items() if key != "name"}
    if set(fields) != set(ScoreCard._fields):
        unknown, missing = sorted(set(fields) - set(ScoreCard._fields)), sorted(set(ScoreCard._fields) - set(fields))
        raise ValueError(f"{where}: not a score card of this version; missing: {missing}, unknown: {unknown}.")
    card = ScoreCard(**fields)
    if entry.get("name") != card.name:
        raise ValueError(f"{where}: is called {entry.get('name')!r}, but its features make it {card.name!r}.")
    return card


def content_hash(tree: PyTree) -> str:
    """Return the SHA-256 of a tree of arrays: names, types, shapes and bytes, in the tree's order.

    Args:
        tree: variables of a network, or the real examples themselves.

    Returns:
        64 hexadecimal digits; equal for NumPy and JAX arrays of equal content.
    """
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype.name} {np.shape(leaf)};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
