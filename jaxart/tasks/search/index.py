"""An index of a collection: a folder with index.json and arrays that are mapped, not read. It grows, and an interrupted one is carried on.

index.json   format, features by name and digest, files with sizes and times, what could not be read and why; written last
NUMBER/      the arrays that it speaks of; a new folder whenever the collection has changed
chunks/      what was read since, until the arrays are whole
lock         held by the process that works on it
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxart import io
from jaxart.tasks.search.collection import Failure, File, check_name, find_files
from jaxart.tasks.search.describe import Features
from jaxart.tasks.search.rows import (
    CHUNK,
    Chunk,
    Rows,
    failure_of,
    load_chunk,
    read_chunk,
    row_types,
    write_chunk,
)
from jaxart.version import __version__

FORMAT = 1
MANIFEST = "index.json"
_BLOCK = 8192

OnProgress = Callable[[int, int], Any] | None


class Index(NamedTuple):
    """An index, opened.

    Fields:
        folder: where it is.
        collection: the folder of the pictures, when it was made.
        features: name, digest and dimension of the features; an empty name without a network.
        files: one for each row.
        failures: of files that are not in it.
        rows: the arrays, mapped.
        scale: float32 ``[2, D]``: mean and deviation of each feature over the collection.
        norms: float32 ``[N]``: of the rows once their features are standardized.
        arrays: the folder of the arrays, which changes with them.
    """

    folder: Path
    collection: Path
    features: tuple[str, str, int]
    files: list[File]
    failures: list[Failure]
    rows: Rows
    scale: np.ndarray
    norms: np.ndarray
    arrays: Path


def build_index(
    collection: str | Path,
    folder: str | Path,
    *,
    features: Features | None = None,
    chunk: int = CHUNK,
    on_progress: OnProgress = None,
    stop: Callable[[], bool] = lambda: False,
) -> Index | None:
    """Make an index of the pictures in a folder and its subfolders, or bring one up to date.

    Files whose size and time are as they were are not read again, and files that are gone are dropped. What was read is kept every
    `chunk` files: after a crash the same call goes on there, with the same result. A file that cannot be read is listed and passed over.

    Args:
        collection: the folder of pictures.
        folder: of the index; made where it is missing.
        features: of a network, such as `vgg_features`; None compares by thumbnails and hashes alone.
        chunk: files that are read before they are kept.
        on_progress: called ``on_progress(done, total)``, in files to be read.
        stop: true ends it after a chunk; the next call goes on.

    Returns:
        The index; None where it was stopped.

    Raises:
        ValueError: no pictures, none that can be read, a folder that holds something else, an index of other features or another format,
            or one that another process works on.
    """
    collection, folder = Path(collection), Path(folder)
    files, left_out = find_files(collection)
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise ValueError(f"{folder}: holds something else than an index. Choose a new folder.")
    identity = _identity(features)
    if (folder / MANIFEST).exists():
        old = open_index(folder)
        check_features(old, features)
    else:
        old = None
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        parts = _read_missing(collection, files, folder, old, features, chunk, on_progress, stop)
        return None if parts is None else _finish(collection, files, left_out, folder, old, parts, identity)


def _is_ours(folder: Path) -> bool:
    return (
        (folder / MANIFEST).is_file()
        or (folder / "chunks").is_dir()
        or {each.name for each in folder.iterdir()} == {"lock"}
    )


def _identity(features: Features | None) -> tuple[str, str, int]:
    return ("", "", 0) if features is None else (features.name, features.digest, features.dimension)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w", encoding="utf-8") as stream:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{folder}: another process works on this index. Wait for it, or end it first.") from error
        except (ImportError, OSError):  # not a Unix, or a file system without locks: nothing guards there
            pass
        yield


def _read_missing(
    collection: Path,
    files: list[File],
    folder: Path,
    old: Index | None,
    features: Features | None,
    size: int,
    on_progress: OnProgress,
    stop: Callable[[], bool],
) -> list[Chunk] | None:
    """Return chunks of all files that the old index does not have, reading those that no chunk has."""
    home = folder / "chunks" / (_identity(features)[1][:16] or "bare")
    home.mkdir(parents=True, exist_ok=True)
    numbers = sorted(int(path.stem) for path in home.glob("*.npz") if path.stem.isdecimal())
    found = [load_chunk(home / f"{number}.npz", _identity(features)[2]) for number in numbers]
    parts = [each for each in found if each is not None]
    wanted = set(files) - set(old.files if old else ())
    have = {file for part in parts for file in (*part.files, *(file for file, _ in part.failed))}
    missing, done = [file for file in files if file in wanted - have], len(wanted & have)
    for first in range(0, len(missing), size):
        if on_progress is not None:
            on_progress(done + first, len(wanted))
        if stop():
            return None
        parts.append(read_chunk(collection, missing[first : first + size], features))
        number = numbers[-1] + 1 if numbers else 0
        write_chunk(home / f"{number}.npz", parts[-1])
        numbers.append(number)
    if on_progress is not None and wanted:
        on_progress(len(wanted), len(wanted))
    return parts


def _finish(
    collection: Path,
    files: list[File],
    left_out: list[Failure],
    folder: Path,
    old: Index | None,
    parts: list[Chunk],
    identity: tuple[str, str, int],
) -> Index:
    """Put the rows of the old index and of the chunks together, in the order of the files."""
    failed = {file: failure_of((file, why)) for part in parts for file, why in part.failed}
    failures = sorted([*left_out, *(failed[file] for file in files if file in failed)])
    good = [file for file in files if file not in failed]
    if not good:
        raise ValueError(
            f"{collection}: none of {len(files)} pictures can be read; the first: {': '.join(failures[0])}"
        )
    if old is None or (good, failures) != (old.files, old.failures):
        number = 0 if old is None else int(old.arrays.name) + 1
        arrays = _write_arrays(folder / f"{number:06d}", good, old, parts, identity[2])
        _write_manifest(folder, collection, good, failures, arrays.name, identity)
        for each in folder.iterdir():
            if each.is_dir() and each.name.isdecimal() and each != arrays:
                shutil.rmtree(each, ignore_errors=True)
    elif old.collection != collection.resolve():
        _write_manifest(folder, collection, good, failures, old.arrays.name, identity)
    shutil.rmtree(folder / "chunks", ignore_errors=True)
    return open_index(folder)


def _write_arrays(target: Path, files: list[File], old: Index | None, parts: list[Chunk], dimension: int) -> Path:
    partial = target.with_name(f".{target.name}.partial")
    for stale in (partial, target):
        shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed before it wrote the manifest
    partial.mkdir()
    place = {file: row for row, file in enumerate(files)}
    sources = [(old.files, old.rows)] if old else []
    sources += [(part.files, part.rows) for part in parts]
    for name, (kind, shape) in row_types(dimension).items():
        array = np.lib.format.open_memmap(partial / f"{name}.npy", "w+", kind, (len(files), *shape))
        for some, rows in sources:
            kept = [number for number, file in enumerate(some) if file in place]
            array[[place[some[number]] for number in kept]] = getattr(rows, name)[kept]
        array.flush()
        del array
    features = np.load(partial / "features.npy", mmap_mode="r")
    scale = _scale(features)
    np.save(partial / "scale.npy", scale)
    np.save(partial / "norms.npy", _norms(features, scale))
    partial.replace(target)
    return target


def _scale(features: np.ndarray) -> np.ndarray:
    """Return mean and deviation of each feature, float32 ``[2, D]``; a feature that is always the same has deviation 1."""
    total, squared = (np.zeros(features.shape[1]) for _ in range(2))
    for first in range(0, len(features), _BLOCK):
        total += features[first : first + _BLOCK].sum(0, dtype=np.float64)
    mean = total / len(features)
    for first in range(0, len(features), _BLOCK):
        squared += ((features[first : first + _BLOCK].astype(np.float64) - mean) ** 2).sum(0)
    deviation = np.sqrt(squared / len(features))
    return np.stack([mean, np.where(deviation > 1e-6, deviation, 1)]).astype(np.float32)


def _norms(features: np.ndarray, scale: np.ndarray) -> np.ndarray:
    found = np.empty(len(features), np.float32)
    for first in range(0, len(features), _BLOCK):
        standardized = (features[first : first + _BLOCK].astype(np.float32) - scale[0]) / scale[1]
        found[first : first + _BLOCK] = np.linalg.norm(standardized, axis=1)
    return np.maximum(found, 1e-6)


def _write_manifest(
    folder: Path,
    collection: Path,
    files: list[File],
    failures: list[Failure],
    arrays: str,
    identity: tuple[str, str, int],
) -> None:
    content = {
        "format": FORMAT,
        "jaxart": __version__,
        "collection": str(collection.resolve()),
        "features": dict(zip(("name", "digest", "dimension"), identity, strict=True)),
        "count": len(files),
        "arrays": arrays,
        "files": {name: [getattr(file, name) for file in files] for name in File._fields},
        "failures": [failure._asdict() for failure in failures],
    }
    with io.replacing(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def open_index(folder: str | Path) -> Index:
    """Open an index; its arrays are mapped when they are used.

    Args:
        folder: of `build_index`.

    Raises:
        ValueError: no index there, one that is unfinished, damaged, or of another format.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = (
            " It is unfinished: the same `jaxart index` again goes on with it." if (folder / "chunks").is_dir() else ""
        )
        raise ValueError(f"{folder}: no index there ({MANIFEST} is missing).{unfinished}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found, written_by = content["format"], content["jaxart"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read ({error!r}).") from error
    if found != FORMAT:
        raise ValueError(
            f"{path}: written by jaxart {written_by} in format {found}; this is {__version__}, which reads format {FORMAT}. "
            "Make the index anew, in another folder."
        )
    try:
        return _opened(folder, content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder}: the index is damaged ({error}). Make it anew, in another folder.") from error


def _opened(folder: Path, content: dict[str, Any]) -> Index:
    facts, columns = content["features"], [content["files"][name] for name in File._fields]
    files = [File(check_name(str(name)), int(size), int(changed)) for name, size, changed in zip(*columns, strict=True)]
    identity = str(facts["name"]), str(facts["digest"]), int(facts["dimension"])
    arrays = folder / check_name(content["arrays"])
    loaded = {}
    for name, (kind, shape) in row_types(identity[2]).items():
        loaded[name] = _mapped(arrays / f"{name}.npy", kind, (len(files), *shape))
    scale = _mapped(arrays / "scale.npy", np.float32, (2, identity[2]))
    norms = _mapped(arrays / "norms.npy", np.float32, (len(files),))
    failures = [Failure(str(each["name"]), str(each["reason"])) for each in content["failures"]]
    return Index(folder, Path(content["collection"]), identity, files, failures, Rows(**loaded), scale, norms, arrays)


def _mapped(path: Path, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    array = np.load(path, mmap_mode=None if 0 in shape else "r", allow_pickle=False)
    if array.dtype != kind or array.shape != shape:
        raise ValueError(f"{path.name} holds {array.dtype} {array.shape}, expected {np.dtype(kind)} {shape}")
    return array


def check_features(index: Index, features: Features | None) -> None:
    """Refuse features that an index was not made with.

    Args:
        index: opened.
        features: that pictures are to be described with, or None.

    Raises:
        ValueError: they are others than the index's; the message names both.
    """
    if _identity(features) == index.features:
        return
    asked, made = (
        f"{name} ({digest[:8]})" if name else "no network" for name, digest, _ in (_identity(features), index.features)
    )
    raise ValueError(
        f"{index.folder}: an index made with {made}, and this is {asked}; their numbers say nothing to each other. "
        "Give the features that it was made with, or make another index."
    )
