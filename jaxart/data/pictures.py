"""Which pictures a folder or an archive holds, and of which class each is. Nothing is decoded here, and no archive unpacked."""

import contextlib
import io
import os
import posixpath
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from jaxart.data.tables import are_floats, read_csv
from jaxart.io import READABLE

_MOST_BYTES = 2**29  # of one file in an archive
_MOST_RATIO = 100  # of an archive's content to the archive; pictures hardly compress


class Pictures(NamedTuple):
    """Picture files below a root.

    Fields:
        root: the folder or archive.
        names: of the files, with "/".
        classes: of each file, or None without classes.
        columns: what else a CSV file says of each file, by column; labels that are floats, which are no classes, are "label" here.
        stamps: change when a file does: (size, time), in archives (size, checksum).
        open: from a name to a stream.
    """

    root: str
    names: tuple[str, ...]
    classes: tuple[str, ...] | None
    columns: dict[str, tuple[str, ...]]
    stamps: tuple[tuple[int, int], ...]
    open: Callable[[str], BinaryIO]


@contextlib.contextmanager
def open_pictures(path: Path, *, labels: Path | None, split: str, columns: Sequence[str] = ()) -> Iterator[Pictures]:
    """Find the pictures of a folder or a .zip, with their classes from subfolders or from a CSV file.

    Args:
        path: the folder or archive. Hidden files are passed over, and so is what has no picture's extension.
        labels: CSV with the columns file and label, or None.
        split: "train" or "test"; chooses where the outermost folders have these names.
        columns: others of the CSV, which then need have no label.

    Raises:
        ValueError: no pictures, a bad archive or a bad manifest.
    """
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            stamps, opener = _in_folder(path), lambda name: (path / name).open("rb")
        elif path.suffix.lower() == ".zip":
            archive = stack.enter_context(_opened(path))
            stamps, opener = _in_archive(path, archive), lambda name: _member(archive, name)
        else:
            hint = " It is one picture: expected the folder that it is in." if path.suffix.lower() in READABLE else ""
            raise ValueError(f"{path}: expected a folder, .zip, .npy, .npz or an IDX file.{hint}")
        if not stamps:
            raise ValueError(f"{path}: no pictures inside ({' '.join(READABLE)}).")
        names = sorted(stamps)
        if labels is None:
            classes, others = _by_folder(path, names, split), {}
        else:
            classes, others = _by_manifest(path, labels, names, columns)
        known = tuple(each for each in classes.values() if each is not None)
        found = tuple(stamps[name] for name in classes)
        yield Pictures(str(path.resolve()), tuple(classes), known or None, others, found, opener)


def _is_picture(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part in ("", "__MACOSX") for part in parts)  # "..", "" lead out of the root
    return not hidden and os.path.splitext(name)[1].lower() in READABLE


def _in_folder(root: Path) -> dict[str, tuple[int, int]]:
    stamps, seen = {}, {os.path.realpath(root)}
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = {each: os.path.realpath(os.path.join(folder, each)) for each in sorted(subfolders)}
        subfolders[:] = [each for each in real if real[each] not in seen]
        seen.update(real.values())  # links may form a circle
        for file in files:
            name = Path(folder, file).relative_to(root).as_posix()
            if _is_picture(name):
                stamps[name] = _stamp(os.path.join(folder, file))
    return stamps


def _stamp(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0  # a broken link, which cannot be opened either
    return facts.st_size, facts.st_mtime_ns


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: not a readable archive ({error}).") from error


def _in_archive(path: Path, archive: zipfile.ZipFile) -> dict[str, tuple[int, int]]:
    total, packed = sum(each.file_size for each in archive.infolist()), path.stat().st_size
    if total > max(_MOST_BYTES, _MOST_RATIO * packed):
        raise ValueError(
            f"{path}: {packed} bytes that unpack to {total}; refused as a decompression bomb. Give the folder instead."
        )
    return {each.filename: (each.file_size, each.CRC) for each in archive.infolist() if _is_picture(each.filename)}


def _member(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """Return a file of an archive, in memory: never more of it than the archive declares."""
    size = archive.getinfo(name).file_size
    if size > _MOST_BYTES:
        raise ValueError(f"{size} bytes; more than {_MOST_BYTES} are refused as a decompression bomb.")
    with archive.open(name) as stream:
        return io.BytesIO(stream.read(size))


def _by_folder(path: Path, names: Sequence[str], split: str) -> dict[str, str | None]:
    """Return name -> outermost folder, once folders that hold everything are taken off."""
    parts = _without_shared({name: name.split("/") for name in names})
    if {"train", "test"} <= {folder for folder, *rest in parts.values() if rest}:
        parts = _without_shared({name: each for name, each in parts.items() if each[0] == split})
    direct = [name for name, each in parts.items() if len(each) == 1]
    if 0 < len(direct) < len(parts):
        warnings.warn(
            f"{path}: no classes, because {len(direct)} pictures lie beside folders of {len(parts) - len(direct)} others "
            f"({direct[0]}). For classes, put every picture into a folder, or name files and labels in a CSV file.",
            stacklevel=2,
        )
    return {name: None if direct else each[0] for name, each in parts.items()}


def _without_shared(parts: dict[str, list[str]]) -> dict[str, list[str]]:
    while all(len(each) > 1 for each in parts.values()) and len({each[0] for each in parts.values()}) == 1:
        parts = {name: each[1:] for name, each in parts.items()}
    return parts


def _by_manifest(
    path: Path, labels: Path, names: Sequence[str], columns: Sequence[str]
) -> tuple[dict[str, str | None], dict[str, tuple[str, ...]]]:
    """Return name -> class of the files that a CSV file names, and other columns of it in the same order."""
    cells = read_csv(labels)
    needed = ["file", *(columns or ["label"])]
    if not set(needed) <= set(cells):
        raise ValueError(
            f"{labels}: expected columns {','.join(needed)} in the first line, got {', '.join(cells) or 'none'}."
        )
    files = [posixpath.normpath(file.replace("\\", "/")) for file in cells["file"]]
    rows = {file: row for row, file in enumerate(files)}
    known, told = set(names), cells.get("label")
    missing = [name for name in rows if name not in known]
    unlabeled = [name for name, row in rows.items() if told is not None and not told[row]]
    for what, found in (("that are no pictures in " + str(path), missing), ("without a label", unlabeled)):
        if found:
            raise ValueError(f"{labels}: names {len(found)} files {what}: {', '.join(found[:5])}.")
    if len(rows) < len(files):
        raise ValueError(f"{labels}: names {len(files) - len(rows)} files twice.")
    if not rows:
        raise ValueError(f"{labels}: names no files.")
    chosen = {name: rows[name] for name in names if name in rows}
    if told is not None and are_floats([told[row] for row in chosen.values()]):
        columns, told = ["label", *columns], None
    others = {column: tuple(cells[column][row] for row in chosen.values()) for column in columns}
    return {name: None if told is None else told[row] for name, row in chosen.items()}, others
