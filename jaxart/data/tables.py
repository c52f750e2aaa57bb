"""Tables: one row an example, in CSV or .npz files."""

import contextlib
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxart.data import array_files
from jaxart.data.dataset import Dataset, from_arrays


def load_table(path: str | Path, *, classes: Sequence[str] = ()) -> Dataset:
    """Read a dataset of named columns.

    A column of a CSV file is int64 where all its cells are whole numbers, float64 where all are numbers, and else text. The arrays of an
    .npz stay as they are ("images" and "labels" become "image" and "label").

    Args:
        path: a CSV file (UTF-8, names in the first line) or an .npz of arrays ``[N, ...]``. Nothing in it is run.
        classes: the columns to turn into classes, see `as_classes`.

    Raises:
        ValueError: no such file, damaged, another kind, a number that is missing, or what `from_arrays` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npz"):
        raise ValueError(
            f"{path}: expected a table, .csv or .npz, got {suffix or 'no extension'}. Pictures are read by load."
        )
    try:
        if suffix == ".npz":
            columns = array_files.read_npz(path, list(array_files.npz_columns(path)))
        else:
            columns = {name: typed(name, cells) for name, cells in read_csv(path).items()}
        return from_arrays(columns, classes=classes)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def read_csv(path: Path) -> dict[str, list[str]]:
    """Return the cells of a CSV file by column, without spaces around; empty where a row is short.

    Raises:
        ValueError: not readable, a name twice, or more cells in a row than names.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="")
            names, rows = [name.strip() for name in reader.fieldnames or ()], [list(row.values()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable CSV file ({error}).") from error
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: expected each column once in the first line, got {', '.join(names)}.")
    for number, row in enumerate(rows):
        if len(row) > len(names) and any(row[len(names)]):
            raise ValueError(
                f"{path}: expected {len(names)} cells in row {number + 1}, got {len(names) + len(row[len(names)])}. Put quotes around "
                "cells with commas."
            )
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}


def typed(name: str, cells: Sequence[str], *, files: Sequence[str] = ()) -> np.ndarray:
    """Return cells as int64, float64 or text.

    Args:
        name: of the column, for the message.
        cells: ``[N]``.
        files: ``[N]``, what each is said of, for the message; by default they are rows.

    Raises:
        ValueError: numbers, and cells without one.
    """
    filled = [cell for cell in cells if cell]
    numbers = _numbers(filled) if filled else None
    if numbers is None:
        return np.array(cells)
    if len(filled) < len(cells):
        place = list(cells).index("")
        where = f"for {files[place]}" if files else f"in row {place + 1}"
        raise ValueError(
            f"column {name!r}: expected a number in every row, got none {where} and in {len(cells) - len(filled)} rows in all. Fill them "
            "or leave the rows out."
        )
    return numbers


def are_floats(cells: Sequence[str]) -> bool:
    """Tell whether cells are numbers of which not all are whole: "0.5" and "1.0", but not "007", nor a whole number beyond 64 bits."""
    numbers = None if all(cell.isdecimal() for cell in cells) else _numbers(cells)
    return numbers is not None and numbers.dtype.kind == "f" and bool(np.isfinite(numbers).all())


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    if any("_" in cell for cell in cells):  # Python reads 1_000 as a number; in a table it is a name
        return None
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array([kind(cell) for cell in cells], dtype)
    return None
