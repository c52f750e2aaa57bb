"""Pictures that a command was given, and how the files made of them are called."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxart.cli.terminal import format_duration, interruptible, say

T = TypeVar("T")


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


def written_name(path: Path, pictures: Sequence[Path], folder: Path, bits: int) -> Path:
    """Return where the result of a picture goes: named after it, in its format where that can be written."""
    from jaxart import io

    writable = io.DEEP if bits == 16 else io.WRITABLE
    suffix = path.suffix.lower() if path.suffix.lower() in writable else ".png"
    return folder / result_name(path, pictures, suffix)


def one_after_another(
    items: Sequence[T], work: Callable[[T], Any], *, folder: Path, name: Callable[[T], str] | None = None
) -> int:
    """Do the same work for pictures; what fails is listed at the end and stops nothing, Ctrl-C ends after the one at work.

    Args:
        items: one for each picture.
        work: what is to be done; ValueError and OSError count as failures.
        folder: where results are, for the message.
        name: what a picture is called, to be said with what is left before it is worked on; None says nothing.

    Returns:
        The exit code: 0, 2 where some failed, 130 after Ctrl-C.
    """
    begin, failed = time.perf_counter(), []
    with interruptible() as interrupted:
        for done, item in enumerate(items):
            if interrupted():
                say(f"Interrupted: {done - len(failed)} of {len(items)} pictures are in {folder}.")
                return 130
            if name is not None:
                passed = time.perf_counter() - begin
                left = f", {format_duration(passed / done * (len(items) - done))} left" if done else ""
                say(f"[{done + 1}/{len(items)}] {name(item)}{left}")
            try:
                work(item)
            except (ValueError, OSError) as error:
                failed.append(str(error))
    say(f"{len(items) - len(failed)} of {len(items)} pictures done, {len(failed)} failed.")
    for reason in failed:
        say(f"  {reason}")
    return 2 if failed else 0
