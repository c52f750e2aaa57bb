"""The pictures of a table of lots: found beside the table, and what is seen of them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from jaxart import data, io, metrics, weights
from jaxart.arrays import check_choice
from jaxart.cache import cache_folder
from jaxart.runs.labels import SIZES
from jaxart.tasks import appraise, classify

PICTURE_FEATURES = ("statistics", "vgg16")
_TOGETHER = 16  # pictures that VGG-16 sees at a time
_LENGTHS = {"statistics": appraise.PICTURE_STATISTICS, "vgg16": sum(classify.feature_blocks())}
Report = Callable[[int, int], None]


class LotPictures(NamedTuple):
    """What is seen of the pictures of N lots.

    Fields:
        features: ``[N, P]``, zeros where there is no picture: float32 statistics, float16 of VGG-16.
        pictured: whether a lot has a picture that could be read, bool ``[N]``.
        failures: what could not be read, once each: "file: reason".
    """

    features: np.ndarray
    pictured: np.ndarray
    failures: tuple[str, ...]


def read_lot_pictures(
    folder: str | Path,
    cells: Sequence[str] | np.ndarray,
    *,
    features: str = "statistics",
    weights: str | Path | None = None,
    report: Report | None = None,
) -> LotPictures:
    """Look at the pictures that a column of a table names; one that cannot be read is a lot without a picture, and a reason.

    Equal names are read once. What VGG-16 sees is kept in the cache, by the content of the file.

    Args:
        folder: of the table; only files in it and below it are read, wherever links lead.
        cells: text ``[N]``, files relative to the folder, with "/" or "\\"; one that is missing (`data.are_missing`) names none.
        features: of `PICTURE_FEATURES`: `appraise.picture_statistics`, or `classify.picture_features` of pictures stretched to a square.
        weights: of VGG-16, a name or a file as in `weights.load`; by default "vgg16".
        report: is told how many of how many files are done.

    Raises:
        ValueError: other features, cells that are no text.
        WeightsNotFound: there are no weights where they are needed.
    """
    check_choice("features", features, PICTURE_FEATURES)
    absent = data.are_missing(cells)
    names = [None if gone else str(cell).strip() for cell, gone in zip(cells, absent, strict=True)]
    files = list(dict.fromkeys(name for name in names if name is not None))
    tell = report or (lambda done, total: None)
    if features == "statistics":
        seen, failures = _statistics(Path(folder), files, tell)
    else:
        seen, failures = _seen_by_vgg(Path(folder), files, weights or "vgg16", tell)
    nothing = np.zeros(_LENGTHS[features], np.float32 if features == "statistics" else np.float16)
    found = [seen.get(name, nothing) if name is not None else nothing for name in names]
    return LotPictures(
        features=np.stack(found) if found else nothing[None][:0],
        pictured=np.array([name in seen for name in names], bool),
        failures=tuple(failures),
    )


def _statistics(folder: Path, files: Sequence[str], tell: Report) -> tuple[dict[str, np.ndarray], list[str]]:
    seen, failures = {}, []
    for done, name in enumerate(files, 1):
        try:
            seen[name] = appraise.picture_statistics(_read(_inside(folder, name)))
        except io.ImageError as error:
            failures.append(_line(name, error))
        tell(done, len(files))
    return seen, failures


def _seen_by_vgg(
    folder: Path, files: Sequence[str], source: str | Path, tell: Report
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the features by file; a few pictures at a time, and those that are not in the cache only."""
    if not files:
        return {}, []
    variables = weights.load(source)
    side = SIZES["vgg16"]
    told = [metrics.content_hash(variables), classify.FEATURE_LAYERS, classify.GRAM_LAYERS, "mirrored", side]
    seen, failures = {}, []
    waiting: dict[str, tuple[Path, np.ndarray]] = {}

    def look() -> None:
        if waiting:
            images: Any = np.stack([pixels for _, pixels in waiting.values()])
            found = classify.picture_features(variables, images, batch=_TOGETHER).astype(np.float16)
            for (name, (kept, _)), row in zip(waiting.items(), found, strict=True):
                seen[name] = row
                _keep(kept, row)
            waiting.clear()

    for done, name in enumerate(files, 1):
        try:
            path = _inside(folder, name)
            kept = _kept(path, told)
            if kept.is_file():
                seen[name] = np.load(kept, allow_pickle=False)
            else:
                pixels = np.rint(255 * _read(path)).astype(np.uint8)
                waiting[name] = (kept, io.square(pixels, side, fit="stretch"))
        except io.ImageError as error:
            failures.append(_line(name, error))
        if len(waiting) == _TOGETHER or done == len(files):
            look()
        tell(done, len(files))
    return seen, failures


def _inside(folder: Path, name: str) -> Path:
    """Return the file of a name, links followed.

    Raises:
        ImageError: it is not in the folder, or is not there.
    """
    written, root = PureWindowsPath(name), folder.resolve()  # what is absolute there or here, and both separators
    if written.anchor:
        raise io.ImageError("is absolute, expected a file in the folder of the table.")
    try:
        path = (root / written.as_posix()).resolve()
        if not path.is_relative_to(root):
            raise io.ImageError("leaves the folder of the table, expected a file in it.")
        if not path.exists():
            raise io.ImageError("no such file.")
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, links in a circle, a zero byte
        if isinstance(error, io.ImageError):
            raise
        raise io.ImageError("is no name of a file.") from error
    return path


def _read(path: Path) -> Any:
    try:
        return io.read(path)
    except io.ImageError as error:
        raise io.ImageError(str(error).removeprefix(f"{path}: ")) from error


def _line(name: str, error: Exception) -> str:
    """Return one line of a file and what is wrong with it."""
    return " ".join(f"{name}: {error}".split())


def _kept(path: Path, told: Any) -> Path:
    """Return where the features of a file are kept: under what determines them."""
    try:
        with open(path, "rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise io.ImageError(f"cannot be read ({error.strerror}).") from error
    key = hashlib.sha256(json.dumps([content, told]).encode()).hexdigest()[:32]
    return cache_folder() / "features" / "lots" / f"{key}.npy"


def _keep(path: Path, row: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with io.replacing(path) as partial, open(partial, "wb") as stream:
        np.save(stream, row)
