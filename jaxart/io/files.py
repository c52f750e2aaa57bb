"""Files of pictures: what can be read and written, and writing so that nobody sees half a file."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
DEEP = (".png", ".tif", ".tiff")  # writable with 16 bits
ANIMATIONS = (".gif", ".webp")


class ImageError(ValueError):
    """A picture that cannot be read or written; the message is one line, ready to be shown."""


def check_writable(path: str | Path, *, suffixes: Sequence[str] = WRITABLE, bits: int = 8) -> Path:
    """Return `path` if a picture can be written there; call it before the work whose result goes there.

    Args:
        path: of the picture.
        suffixes: accepted extensions, with the dot.
        bits: of each channel.

    Raises:
        ImageError: an unknown extension or number of bits, a folder of that name, or a missing or read-only folder.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without extension'}; writable: {' '.join(suffixes)}."
        )
    if bits not in (8, 16) or (bits == 16 and path.suffix.lower() not in DEEP):
        raise ImageError(f"{path}: cannot write {bits} bits; 8 always, 16 for {' '.join(DEEP)}.")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, expected the name of a picture.")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: the folder {path.parent} cannot be written to.")
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` if the block succeeds and is deleted if it raises."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pictures_in(folder: str | Path) -> list[Path]:
    """Return the picture files of a folder (not of folders inside it), by name.

    Raises:
        ImageError: there are none, or no such folder.
    """
    if not Path(folder).is_dir():
        raise ImageError(f"{folder}: not a folder.")
    visible = (each for each in Path(folder).iterdir() if not each.name.startswith("."))
    found = sorted(each for each in visible if each.suffix.lower() in READABLE and each.is_file())
    if not found:
        raise ImageError(f"{folder}: no pictures inside ({' '.join(READABLE)}).")
    return found
