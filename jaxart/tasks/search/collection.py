"""The pictures of a collection: a folder and its subfolders. Their names are relative to it, and none leads out of it."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from jaxart import io, metrics

SIDE = 128  # of the squares that features are taken of, pixels
_THREADS = 4


class File(NamedTuple):
    """A picture file: its name with "/" below the collection, its size in bytes, and when it was changed, in nanoseconds."""

    name: str
    size: int
    changed: int


class Failure(NamedTuple):
    """A file that could not be taken in, and why."""

    name: str
    reason: str


def find_files(collection: Path) -> tuple[list[File], list[Failure]]:
    """Return the picture files of a folder and its subfolders by name, and those that cannot be taken in.

    Hidden files and folders are passed over. A link that leads out of the folder is a failure: nothing outside becomes part of an index.

    Args:
        collection: the folder.

    Raises:
        ValueError: no such folder, or no pictures inside.
    """
    if not collection.is_dir():
        raise ValueError(
            f"{collection}: {'is a file' if collection.exists() else 'no such folder'}, expected a folder of pictures."
        )
    root, found, failures = collection.resolve(), [], []
    for folder, subfolders, names in os.walk(root):
        linked = [each for each in subfolders if Path(folder, each).is_symlink()]
        subfolders[:] = sorted(each for each in subfolders if not each.startswith(".") and each not in linked)
        failures += [_left_out(root, Path(folder, each)) for each in linked if not each.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in io.READABLE:
                continue
            found.append(_file(root, path))
    good = sorted(each for each in found if isinstance(each, File))
    failures += [each for each in found if isinstance(each, Failure)]
    if not good:
        raise ValueError(f"{collection}: no pictures inside ({' '.join(io.READABLE)}).")
    return good, sorted(failures)


def _left_out(root: Path, path: Path) -> Failure:
    return Failure(path.relative_to(root).as_posix(), "a link to a folder; its pictures are left out")


def _file(root: Path, path: Path) -> File | Failure:
    name = path.relative_to(root).as_posix()
    try:
        name.encode()
        target = path.resolve(strict=True)
        facts = target.stat()
    except UnicodeEncodeError:
        return Failure(name.encode(errors="replace").decode(), "its name is not UTF-8")
    except (OSError, RuntimeError) as error:  # a broken link, or links in a circle
        return Failure(name, f"cannot be read ({getattr(error, 'strerror', None) or error})")
    if not target.is_relative_to(root):
        return Failure(name, "a link that leads out of the collection")
    return File(name, facts.st_size, facts.st_mtime_ns)


def check_name(name: str) -> str:
    """Return the name of a file of an index, if it stays below the collection.

    Args:
        name: as the index has it.

    Raises:
        ValueError: it is absolute or leads upward.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} leads out of the collection.")
    return name


def read_squares(collection: Path, names: list[str]) -> tuple[np.ndarray, list[int], list[Failure]]:
    """Read pictures as squares; one that cannot be read is a failure, and the others go on.

    Args:
        collection: the folder.
        names: of files in it.

    Returns:
        uint8 ``[G, 128, 128, 3]``, which of the names they are, and the failures.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.simplefilter("ignore")  # Pillow's on odd metadata; here, because threads share the filters
        results = list(pool.map(lambda name: _read(collection / name, name), names))
    good = [number for number, each in enumerate(results) if isinstance(each, np.ndarray)]
    squares = np.array([results[number] for number in good], np.uint8).reshape(-1, SIDE, SIDE, 3)
    return squares, good, [each for each in results if isinstance(each, Failure)]


def read_square(path: Path) -> np.ndarray:
    """Read a picture, on white where it is transparent, as a square uint8 ``[128, 128, 3]``.

    Args:
        path: of any picture that `io.read` reads.

    Raises:
        ImageError: as `io.read`.
    """
    if not path.is_file():
        raise io.ImageError(f"{path}: {'is a folder, expected a picture' if path.is_dir() else 'no such file'}.")
    with path.open("rb") as stream:
        picture = io.decode(stream, str(path))  # bytes, where the file has them: large pictures have no room for floats
    pixels = io.on_white(picture, white=255 if picture.rgb.dtype == np.uint8 else 1)
    if picture.rgb.dtype == np.uint8 and pixels.dtype != np.uint8:
        pixels = pixels / np.float32(255)
    return metrics.squeeze(pixels, SIDE)


def _read(path: Path, name: str) -> np.ndarray | Failure:
    try:
        return read_square(path)
    except Exception as error:  # whatever a damaged file makes a decoder raise, the others go on
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
        return Failure(name, reason or type(error).__name__)
