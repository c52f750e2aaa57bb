"""Records: tables as people keep them, whatever the delimiter and the encoding, all cells as text."""

import codecs
import contextlib
import csv
import datetime
import importlib
import io as streams
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxart.io import replacing

_DELIMITED, _PARQUET = (".csv", ".tsv", ".txt"), ".parquet"
_DELIMITERS = ("\t", "|", ";", ",")  # of equals the first: commas stand in cells more than the others do
_LOOKED_AT = 200  # rows, to find the delimiter
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # and their full-width forms
_PLAIN_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?").fullmatch


def read_records(
    path: str | Path, *, delimiter: str | None = None, encoding: str | None = None, longest: int = 2000
) -> dict[str, np.ndarray]:
    """Read a table as columns of text.

    Needs the extra ``jaxart[tables]``: pandas rather than polars, which reads UTF-8 only and wants to be told the delimiter.

    Args:
        path: a .csv, .tsv or .txt with names in the first row, or a .parquet. Cells may be quoted and hold line breaks then.
        delimiter: between cells; by default comma, semicolon, tab or pipe, whichever divides the rows as the names.
        encoding: by default UTF-8, or UTF-16 if the file says so, or else Windows-1252 (Latin-1 if it is not that either).
        longest: cells are cut to so many characters, because a column of NumPy is as wide as its longest cell.

    Returns:
        By name, in the order of the file, text ``[N]`` without spaces around, "" where there is nothing. Words such as "NA" stay.

    Raises:
        ValueError: pandas is not installed; no such file; no table by its extension or by what is in it; a delimiter, encoding or length
            that cannot be; columns without a name or with one that is there twice; rows with more cells than names; no rows.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    suffix = path.suffix.lower()
    if suffix not in (*_DELIMITED, _PARQUET):
        accepted = " ".join((*_DELIMITED, _PARQUET))
        raise ValueError(f"{path}: expected a table ({accepted}), got {suffix or 'no extension'}.")
    if longest < 1:
        raise ValueError(f"longest: expected at least 1 character, got {longest}.")
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        raise ValueError(f"delimiter: expected one character such as ',' or ';', got {delimiter!r}.")
    if suffix == _PARQUET:
        names, columns = _parquet(path)
    else:
        names, columns = _delimited(path, _decoded(path, encoding), delimiter)
    _check_names(path, names)
    if not columns or not len(columns[0]):
        raise ValueError(f"{path}: expected rows below the names of the columns, got none.")
    return {
        name: np.array([cell.strip()[:longest].rstrip() for cell in cells], np.str_)
        for name, cells in zip(names, columns, strict=True)
    }


def write_table(
    path: str | Path, columns: Mapping[str, np.ndarray | list], *, digits: int | Mapping[str, int] = 10
) -> Path:
    """Write columns as a CSV file in UTF-8, atomically.

    A spreadsheet runs a cell that begins with = + - @, a tab or a carriage return as a formula: text that does, and is no plain number,
    gets an apostrophe before it (https://owasp.org/www-community/attacks/CSV_Injection).

    Args:
        path: a .csv.
        columns: by name, text or numbers ``[N]``; a number that is NaN is an empty cell.
        digits: significant digits of numbers that are not whole, for all columns or by column (10 where a column is not named).

    Returns:
        `path`.

    Raises:
        ValueError: another extension, no such folder, no columns, columns of unequal lengths or of another type, or digits outside of
            1 to 17.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ValueError(f"{path}: expected a name that ends in .csv, got {path.suffix or 'no extension'}.")
    if not path.parent.is_dir() or path.is_dir():
        raise ValueError(f"{path}: expected a file in a folder that exists.")
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    shapes = {name: list(values.shape) for name, values in arrays.items()}
    if not arrays or any(len(shape) != 1 or shape != next(iter(shapes.values())) for shape in shapes.values()):
        raise ValueError(f"columns: expected some of one length [N], got {shapes}.")
    told = {name: digits.get(name, 10) if isinstance(digits, Mapping) else digits for name in arrays}
    texts = [_as_cells(name, values, told[name]) for name, values in arrays.items()]
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8", errors="replace") as stream:
        rows = csv.writer(stream)
        rows.writerow([_harmless(name) for name in arrays])
        rows.writerows(zip(*texts, strict=True))
    return path


def _as_cells(name: str, values: np.ndarray, digits: int) -> list[str]:
    if not 1 <= digits <= 17:
        raise ValueError(f"digits: expected 1 to 17, got {digits} for column {name!r}.")
    if values.dtype.kind == "U":
        return [_harmless(cell) for cell in values.tolist()]
    if values.dtype.kind in "biu":
        return [str(int(value)) for value in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if value != value else f"{value:.{digits}g}" for value in values.tolist()]
    raise ValueError(f"columns: expected text or numbers, got {values.dtype} in column {name!r}.")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not _PLAIN_NUMBER(cell) else cell


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ValueError("tables: pandas is not installed: pip install 'jaxart[tables]'.") from error


def _decoded(path: Path, encoding: str | None) -> str:
    """Return the text of a file."""
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise ValueError(f"encoding: expected one such as 'utf-8' or 'cp1252', got {encoding!r}.") from error
    guesses = ["utf-16"] if marked else ["utf-8", "cp1252", "latin-1"]
    for guess in guesses if encoding is None else [encoding]:
        try:
            text = content.decode(guess).removeprefix("\ufeff")
        except (UnicodeError, LookupError):
            continue
        if "\0" in text:
            raise ValueError(f"{path}: expected a table of text, got a binary file or UTF-16 without its mark.")
        return text
    raise ValueError(f"{path}: expected text in {encoding or 'UTF-16'}, got bytes that are not. Tell another encoding.")


def _rows(text: str, delimiter: str) -> Iterable[list[str]]:
    """Yield the rows of a text that are not blank."""
    return filter(None, csv.reader(streams.StringIO(text, newline=""), delimiter=delimiter))


def _found_delimiter(text: str) -> str:
    """Return the delimiter for which the most of the first rows have as many cells as the first, and more than one."""

    def score(delimiter: str) -> tuple[float, int]:
        widths = []
        with contextlib.suppress(csv.Error):  # a cell beyond its limit: the rows before tell
            for row in itertools.islice(_rows(text, delimiter), _LOOKED_AT):
                widths.append(len(row))
        same = sum(width == widths[0] for width in widths) / len(widths) if widths else 0
        return (1 + same, widths[0]) if widths and widths[0] > 1 else (same, 0)

    return max(_DELIMITERS, key=score)


def _delimited(path: Path, text: str, delimiter: str | None) -> tuple[list[str], list[list[str]]]:
    """Return the names and the cells by column of a text."""
    pandas = _pandas()
    if not text.strip():
        raise ValueError(f"{path}: expected a table, got an empty file.")
    delimiter = _found_delimiter(text) if delimiter is None else delimiter
    try:
        frame = pandas.read_csv(
            streams.StringIO(text, newline=""),
            sep=delimiter,
            header=None,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            index_col=False,
            low_memory=False,
        )
    except ValueError as error:  # ParserError is one
        raise ValueError(_why_unreadable(path, text, delimiter, error)) from error
    cells = [frame[column].tolist() for column in frame.columns]
    return [str(column[0]).strip() for column in cells], [[_text(cell) for cell in column[1:]] for column in cells]


def _why_unreadable(path: Path, text: str, delimiter: str, error: Exception) -> str:
    """Return the message about a text that is no table, with the first row that is too long."""
    try:
        rows = iter(_rows(text, delimiter))
        names = next(rows)
        for number, row in enumerate(rows, 1):
            if len(row) > len(names):
                return (
                    f"{path}: expected {len(names)} cells in row {number}, got {len(row)}. Put quotes around cells with {delimiter!r}, or "
                    "tell another delimiter."
                )
    except csv.Error:
        pass
    return f"{path}: not a readable table ({str(error).strip()})."


def _parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the names and the cells by column of a .parquet."""
    pandas = _pandas()
    try:
        frame = pandas.read_parquet(path, dtype_backend="numpy_nullable")
    except ImportError as error:
        raise ValueError("tables: pyarrow is not installed: pip install 'jaxart[tables]'.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable .parquet file ({error}).") from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name).strip() for name in frame.columns]
    columns = []
    for place, name in enumerate(names):
        column = frame.iloc[:, place]
        cells = ["" if gone else value for value, gone in zip(column.tolist(), column.isna().tolist(), strict=True)]
        wrong = {type(cell).__name__ for cell in cells if isinstance(cell, list | dict | bytes | np.ndarray)}
        if wrong:
            raise ValueError(f"{path}: expected text, numbers or dates in column {name!r}, got {sorted(wrong)[0]}.")
        columns.append([_text(cell).replace("\0", "") for cell in cells])
    return names, columns


def _text(cell: Any) -> str:
    """Return the value of a cell as people write it."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | np.bool_):
        return str(int(cell))
    if isinstance(cell, float | np.floating):
        return "" if cell != cell else repr(float(cell)).removesuffix(".0")
    if isinstance(cell, datetime.date):
        return cell.isoformat().removesuffix("T00:00:00")
    return "" if cell is None else str(cell)


def _check_names(path: Path, names: list[str]) -> None:
    if "" in names:
        raise ValueError(f"{path}: expected a name for each column, got none for column {names.index('') + 1}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: expected each column once, got {', '.join(map(repr, twice))} more than once.")
