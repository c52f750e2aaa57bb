"""Files that hold pictures and what belongs to them as arrays: NumPy's, and IDX, in which the digits and the clothes come."""

import contextlib
import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxart.arrays import check_choice

_IDX = re.compile(r"(?P<part>.*)images(?P<dot>[-.])idx\d-ubyte(?P<gz>\.gz)?", re.IGNORECASE)
_PARTS = {"train": ("train",), "test": ("t10k", "test")}
_COLUMNS = {"images": "image", "labels": "label"}  # the names in an .npz, which may be those of the columns too
_MOST_RATIO = 1100  # deflate packs 1032 equal bytes into one at best


def holds_arrays(path: Path) -> bool:
    """Tell whether `path` is a file of arrays, or a folder of IDX files."""
    return path.suffix.lower() in (".npy", ".npz") or bool(_idx_files(path))


def read(path: Path, *, split: str, columns: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read pictures, their labels if there are any, and other columns that are asked for. Nothing in the files is run.

    Args:
        path: .npy, .npz with "images", perhaps "labels" and others, an IDX file, or a folder of them.
        split: "train" or "test", where an IDX folder has both.
        columns: other arrays of an .npz to read.

    Returns:
        The columns: "image", uint8 ``[N, H, W, C]``, perhaps "label" ``[N]``, and those asked for.

    Raises:
        ValueError: damaged, not pictures, no such part or no such column.
    """
    suffix = path.suffix.lower()
    if columns and suffix != ".npz":
        raise ValueError(f"columns: expected an .npz, or pictures with a CSV file; {path} holds no others.")
    if suffix == ".npz":
        names = npz_columns(path)
        if "image" not in names:
            raise ValueError(
                f'{path}: expected an array "images" and perhaps "labels", got {", ".join(names) or "none"}.'
            )
        arrays = read_npz(path, ["image", *(["label"] if "label" in names else []), *columns])
        return arrays | {"image": _as_pixels(path, arrays["image"])}
    if suffix == ".npy":
        with _readable(path):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        return {"image": _as_pixels(path, array)}
    file = _of_split(path, _idx_files(path), split)
    labels = _labels_beside(file)
    images = {"image": _as_pixels(file, _read_idx(file))}
    return images if labels is None else images | {"label": _read_idx(labels)}


def npz_columns(path: Path) -> dict[str, str]:
    """Return the names of the arrays of an .npz by column: "images" is the column "image", "labels" is "label".

    Raises:
        ValueError: damaged, or a column twice.
    """
    with _readable(path):
        with zipfile.ZipFile(path) as file:
            declared = sum(each.file_size for each in file.infolist())
        if declared > _MOST_RATIO * path.stat().st_size:
            raise ValueError(f"declares {declared} bytes, more than can be in it")
        with np.load(path, allow_pickle=False) as file:
            columns = {_COLUMNS.get(name) or name: name for name in file.files}
            if len(columns) < len(file.files):
                raise ValueError(f"expected each column once, got {', '.join(file.files)}")
            return columns


def read_npz(path: Path, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return arrays of an .npz by column.

    Args:
        path: of the file.
        columns: which to read, by `npz_columns`.

    Raises:
        ValueError: damaged, an unknown column, or objects in one.
    """
    names = npz_columns(path)
    for column in columns:
        check_choice(f"{path}: columns", column, names)
    with _readable(path), np.load(path, allow_pickle=False) as file:
        return {column: file[names[column]] for column in columns}


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split())}).") from error


def _as_pixels(path: Path, array: np.ndarray) -> np.ndarray:
    """Return pictures as uint8 ``[N, H, W, C]``."""
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or 0 in images.shape or images.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"{path}: expected pictures [N, H, W] or [N, H, W, C] with C of 1, 3 or 4, got {list(array.shape)}."
        )
    if images.dtype == np.uint8:
        return images
    low, high = images.min(), images.max()
    if images.dtype.kind == "f" and low >= 0 and high <= 1:  # written so that NaN fails too
        return np.rint(images.astype(np.float32) * 255).astype(np.uint8)
    if images.dtype.kind in "iu" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    raise ValueError(
        f"{path}: expected floats in [0, 1] or whole numbers in [0, 255], got {images.dtype} from {low} to {high}."
    )


def _idx_files(path: Path) -> list[Path]:
    """Return the IDX files of pictures: `path` itself, or those of a folder, one of each (not packed too)."""
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    found = {each.name.lower().removesuffix(".gz"): each for each in reversed(candidates) if _IDX.fullmatch(each.name)}
    return list(found.values())


def _of_split(path: Path, files: list[Path], split: str) -> Path:
    if path in files:
        return path
    known = {
        part: [each for each in files if any(word in each.name.lower() for word in _PARTS[part])] for part in _PARTS
    }
    chosen = known[split] if any(known.values()) else files
    if len(chosen) != 1:
        raise ValueError(
            f"{path}: expected one IDX file of {split} pictures, got {len(chosen)} of "
            f"{', '.join(sorted(each.name for each in files))}. Name the file itself."
        )
    return chosen[0]


def _labels_beside(images: Path) -> Path | None:
    match = _IDX.fullmatch(images.name)
    assert match is not None
    stem = f"{match['part']}labels{match['dot']}idx1-ubyte"
    return next((each for each in (images.with_name(stem), images.with_name(stem + ".gz")) if each.is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    """Read IDX: two zero bytes, the type, the number of axes, their lengths (big-endian), the numbers."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:3] != b"\0\0\x08":
                raise ValueError("expected an IDX file of unsigned bytes, which begins 00 00 08")
            lengths = np.frombuffer(stream.read(4 * magic[3]), ">u4").tolist()
            count = math.prod(lengths)
            if count > _MOST_RATIO * path.stat().st_size:
                raise ValueError(f"declares {count} numbers, more than can be in it")
            content = stream.read(count)
            if len(content) < count or stream.read(1):
                raise ValueError(f"declares {lengths} numbers and holds {'fewer' if len(content) < count else 'more'}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path}: damaged ({error}).") from error
    return np.frombuffer(content, np.uint8).reshape(lengths)
