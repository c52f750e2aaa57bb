"""Pictures that a command was given, and how the files made of them are called."""

from collections.abc import Sequence
from pathlib import Path


def given_pictures(first: Path, more: Sequence[Path]) -> list[Path]:
    """Return the files: one, several, or those of a folder.

    Raises:
        ValueError: a file that is not there, a folder beside others, or one without pictures.
    """
    from jaxart import io

    if not more and first.is_dir():
        return io.pictures_in(first)
    for path in (first, *more):
        if not path.is_file():
            raise ValueError(f"{path}: {'a folder; hand it in alone, or files' if path.is_dir() else 'no such file'}.")
    return [first, *more]


def result_name(path: Path, pictures: Sequence[Path], suffix: str) -> str:
    """Name a result after its picture; those that differ only by extension or folder keep it in the name."""
    if sum(other.stem == path.stem for other in pictures) == 1:
        return f"{path.stem}{suffix}"
    if sum(other.name == path.name for other in pictures) == 1:
        return f"{path.name}{suffix}"
    return f"{path.parent.name}-{path.name}{suffix}"
