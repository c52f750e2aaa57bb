"""What an index holds of pictures, a row of each: arrays, in memory or mapped from files, and the chunks that an unfinished one leaves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxart import io, metrics
from jaxart.tasks.search.collection import Failure, File, read_squares
from jaxart.tasks.search.describe import Features

CHUNK = 256  # pictures that are read before they are kept


class Rows(NamedTuple):
    """Arrays by name.

    Fields:
        features: float16 ``[N, D]`` of norm 1; D is 0 without a network.
        hashes: uint64 ``[N, 19]`` of the picture and its crops.
        thumbnails: uint8 ``[N, 2, 32, 32]``.
    """

    features: np.ndarray
    hashes: np.ndarray
    thumbnails: np.ndarray


class Chunk(NamedTuple):
    """Some files that were read, their rows, and those that could not be."""

    files: list[File]
    rows: Rows
    failed: list[tuple[File, str]]


def row_types(dimension: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Return type and shape of a row of each array.

    Args:
        dimension: of the features.
    """
    return {
        "features": (np.float16, (dimension,)),
        "hashes": (np.uint64, (len(metrics.CROPS),)),
        "thumbnails": (np.uint8, (2, metrics.THUMBNAIL, metrics.THUMBNAIL)),
    }


def rows_of(squares: np.ndarray, features: Features | None = None) -> Rows:
    """Describe pictures.

    Args:
        squares: uint8 ``[N, 128, 128, 3]``, or of another multiple of 32 without features.
        features: of a network, or None.

    Raises:
        ValueError: the function of the features returned another shape, or numbers that are not finite.
    """
    thumbnails = metrics.thumbnails(squares)
    hashes = metrics.perceptual_hash(metrics.crops(thumbnails[:, 0]))
    if features is None or len(squares) == 0:
        described = np.zeros((len(squares), 0 if features is None else features.dimension), np.float16)
    else:
        described = _unit(np.asarray(features.describe(squares), np.float32))
        if described.shape != (len(squares), features.dimension) or not np.isfinite(described).all():
            raise ValueError(
                f"features {features.name}: expected finite numbers of shape {(len(squares), features.dimension)}, got shape "
                f"{described.shape}."
            )
    return Rows(described.astype(np.float16), hashes, thumbnails)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def read_chunk(collection: Path, files: Sequence[File], features: Features | None) -> Chunk:
    """Read and describe some files of a collection.

    Args:
        collection: the folder.
        files: in it.
        features: as in `rows_of`.

    Raises:
        ValueError: as `rows_of`.
    """
    squares, good, failures = read_squares(collection, [file.name for file in files])
    by_name = {file.name: file for file in files}
    failed = [(by_name[each.name], each.reason) for each in failures]
    return Chunk([files[number] for number in good], rows_of(squares, features), failed)


def write_chunk(path: Path, chunk: Chunk) -> None:
    """Write a chunk, whole or not at all.

    Args:
        path: .npz.
        chunk: from `read_chunk`.
    """
    facts = json.dumps({"files": chunk.files, "failed": chunk.failed})
    with io.replacing(path) as partial, open(partial, "wb") as stream:
        np.savez(stream, facts=np.frombuffer(facts.encode(), np.uint8), **chunk.rows._asdict())


def load_chunk(path: Path, dimension: int) -> Chunk | None:
    """Read a chunk again; None if it is damaged or of other features.

    Args:
        path: .npz.
        dimension: of the features.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes().decode())
            rows = Rows(*(arrays[name] for name in Rows._fields))
        chunk = Chunk(
            [File(*each) for each in facts["files"]], rows, [(File(*file), why) for file, why in facts["failed"]]
        )
    except Exception:  # whatever a file that was cut off makes a reader raise: it is made anew
        return None
    expected = [(len(chunk.files), *shape) for _, shape in row_types(dimension).values()]
    return chunk if [each.shape for each in rows] == expected else None


def failure_of(failed: tuple[File, str]) -> Failure:
    """Return a failure of a chunk as an index lists it."""
    return Failure(failed[0].name, failed[1])
