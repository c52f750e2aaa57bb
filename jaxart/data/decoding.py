"""Pictures become one array, once: ``data/KEY.u8`` in the cache holds its bytes, ``data/KEY.json`` what they mean."""

import contextlib
import functools
import hashlib
import io
import json
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxart.cache import cache_folder
from jaxart.data.dataset import Dataset, from_arrays, with_columns
from jaxart.data.pictures import Pictures
from jaxart.data.shape import Shape, shaped
from jaxart.data.tables import typed
from jaxart.io import decode as decode_picture
from jaxart.io import dimensions, replacing

_THREADS = 4
_LARGE = 2**24  # pixels; larger pictures take a gigabyte or more, and are decoded one at a time
_one_large = threading.Lock()
_FORM = 1  # version of the cached files; raise it when decoding changes, so that old ones are not used

OnProgress = Callable[[int, int], Any] | None


class _Facts(NamedTuple):
    """Which pictures could be read, by their number among all, and why the others could not."""

    rows: list[int]
    failures: list[str]


def decode(pictures: Pictures, shape: Shape, *, on_progress: OnProgress = None) -> Dataset:
    """Decode all pictures into memory.

    Args:
        pictures: from `open_pictures`.
        shape: what to bring them to.
        on_progress: called ``on_progress(done, total)``.

    Raises:
        ValueError: not one can be read.
    """
    with io.BytesIO() as stream:
        facts = _write(stream, pictures, shape, on_progress)
        images = np.frombuffer(stream.getvalue(), np.uint8).reshape(-1, shape.size, shape.size, shape.channels)
    return _dataset(images, pictures, facts)


def decode_once(pictures: Pictures, shape: Shape, *, on_progress: OnProgress = None) -> Dataset:
    """Decode all pictures into the cache, or find them there; the images are mapped, not read.

    Cached pixels are identified by the path, names, sizes and times of the files, their classes and `shape`; an
    incomplete cache is made anew.

    Args:
        pictures: from `open_pictures`.
        shape: what to bring them to.
        on_progress: called ``on_progress(done, total)``; not at all if nothing has to be decoded.

    Raises:
        ValueError: not one can be read.
    """
    identity = json.dumps([_FORM, pictures.root, pictures.names, pictures.classes, pictures.stamps, shape])
    stem = cache_folder() / "data" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if (found := _kept(stem, pictures, shape)) is not None:
        return found
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with replacing(stem.with_suffix(".u8")) as partial, open(partial, "wb") as stream:
            facts = _write(stream, pictures, shape, on_progress)
        with replacing(stem.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(facts._asdict()), encoding="utf-8")
    except OSError as error:
        size = len(pictures.names) * shape.size**2 * shape.channels / 2**20
        raise OSError(
            f"{stem.parent}: {error.strerror or error}; decoded pictures need {size:.0f} MiB there. $JAXART_CACHE names another place."
        ) from error
    return _dataset(_mapped(stem, shape), pictures, facts)


def _dataset(images: np.ndarray, pictures: Pictures, facts: _Facts) -> Dataset:
    """Put the pictures that could be read together with what is known of them."""
    classes = None if pictures.classes is None else [pictures.classes[row] for row in facts.rows]
    files = [pictures.names[row] for row in facts.rows]
    columns = {
        name: typed(name, [cells[row] for row in facts.rows], files=files) for name, cells in pictures.columns.items()
    }
    return with_columns(from_arrays(images, classes), columns)._replace(
        failures=tuple(facts.failures), names=tuple(files)
    )


def _mapped(stem: Path, shape: Shape) -> np.ndarray:
    mapped = np.memmap(stem.with_suffix(".u8"), np.uint8, "r")
    return np.asarray(mapped).reshape(-1, shape.size, shape.size, shape.channels)


def _kept(stem: Path, pictures: Pictures, shape: Shape) -> Dataset | None:
    """Return what the cache holds, or None if that is nothing or not whole."""
    try:
        facts = _Facts(**json.loads(stem.with_suffix(".json").read_text(encoding="utf-8")))
        images = _mapped(stem, shape)
    except (OSError, ValueError, TypeError):
        return None
    return _dataset(images, pictures, facts) if len(images) == len(facts.rows) else None


def _write(stream: BinaryIO, pictures: Pictures, shape: Shape, on_progress: OnProgress) -> _Facts:
    """Write the pixels of the pictures that can be read, in order."""
    good, failures, total = [], [], len(pictures.names)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on odd metadata; here, because threads share the filters
            results = pool.map(functools.partial(_decoded, pictures, shape), pictures.names)
            for number, result in enumerate(results):
                if isinstance(result, str):
                    failures.append(result)
                else:
                    good.append(number)
                    stream.write(result.data)
                if on_progress is not None:
                    on_progress(number + 1, total)
    finally:
        pool.shutdown(cancel_futures=True)  # else Ctrl-C would wait for every picture
    if not good:
        raise ValueError(f"none of {total} pictures can be read; the first: {failures[0]}")
    return _Facts(good, failures)


def _decoded(pictures: Pictures, shape: Shape, name: str) -> np.ndarray | str:
    """Return the pixels of a picture, or why it cannot be read."""
    try:
        with pictures.open(name) as stream:
            height, width = dimensions(stream, name)
            with _one_large if height * width > _LARGE else contextlib.nullcontext():
                return np.ascontiguousarray(shaped(decode_picture(stream, name), shape))
    except Exception as error:  # whatever a damaged file or archive makes a decoder raise, the others go on
        reason = " ".join(str(error).split()) or type(error).__name__
        return reason if reason.startswith(name) else f"{name}: {reason}"
