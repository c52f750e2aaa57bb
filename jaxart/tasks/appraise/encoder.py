"""What is learned of a table of lots so that networks can read it: scales, fillings, values of categories, words; never prices."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxart import data
from jaxart.arrays import check_choice
from jaxart.tasks.appraise.lots import Lots

OFTEN = 3  # times that a value or a word is seen in training, to have a code of its own
_LONGEST = 48  # words of a lot that are read
_GAPS = 0.005  # share of the cells that are missing, for a flag of its own
_SKEWED = 5.0  # times as far from the median to the upper end as to the lower one: prices, areas, counts
_LARGEST = 1e50  # of numbers; larger ones are none
_MOST_WORDS = 4000
_BENT = 3.0  # deviations from which on numbers are bent back: none is further than this
_WORD = re.compile(r"\w+")
_HEIGHT = re.compile(r"(height|haut|hauteur|höhe|hoehe|alto|altezza)([^a-z].*)?").fullmatch
_WIDTH = re.compile(r"(width|larg|largeur|breite|ancho|larghezza)([^a-z].*)?").fullmatch


class Encoder(NamedTuple):
    """What `learn_encoder` found in the training part; JSON values: `Encoder(*json.loads(json.dumps(encoder)))` encodes alike.

    Fields:
        numbers: names of the columns that are numbers, as they stand in the table; dates are decimal years.
        marks: how each is written: numbers with a decimal "." or ",", dates with the "day" or the "month" first.
        sides: names of the height and the width, of which areas and shapes are made; none where there are no such columns.
        filling: of the numbers that are missing (`data.Filling`).
        flagged: the columns with gaps.
        scales: of each number and what is made of them, (whether logarithms are taken, median, deviation).
        categories: by column, the values that have a code.
        texts: the columns that are read as text.
        words: the words that have a code.
        groups: the columns by whose values rows belong together, the coarsest first.
        known: by level, the groups of the training part: those of the first column, those of the first two, and so on.
    """

    numbers: tuple[str, ...]
    marks: dict[str, str]
    sides: tuple[str, ...]
    filling: Any
    flagged: tuple[str, ...]
    scales: tuple[tuple[bool, float, float], ...]
    categories: dict[str, tuple[str, ...]]
    texts: tuple[str, ...]
    words: tuple[str, ...]
    groups: tuple[str, ...]
    known: tuple[tuple[str, ...], ...]


def learn_encoder(
    records: Mapping[str, np.ndarray],
    columns: Sequence[data.Column],
    rows: Sequence[int] | np.ndarray,
    *,
    group: Sequence[str] = (),
    missing: str = "regress",
    date: str | None = None,
) -> Encoder:
    """Look at the training part of a table, and only at it.

    Args:
        records: the table, text ``[N]`` by name.
        columns: what its columns are, by `data.find_columns`.
        rows: of the training part, indices.
        group: columns by which rows belong together, the coarsest first, such as sale and lot.
        missing: how missing numbers are filled, as in `data.fit_filling`; with "drop" columns that are mostly gaps leave, and rows with
            gaps are to be left out by the caller (`data.kept_rows`).
        date: of "interpolate", the column of dates; with another method it is not looked at.

    Raises:
        ValueError: no rows, no column to look at, another method, one that needs a date and has none, a group that is no column.
    """
    rows, group = np.asarray(rows), (group,) if isinstance(group, str) else tuple(group)
    check_choice("missing", missing, data.FILLING_METHODS)
    if missing == "interpolate" and date is None:
        raise ValueError("missing: interpolate goes along the date; tell the column of dates, or take another method.")
    if not rows.size:
        raise ValueError("rows: expected some lots to learn from, got none.")
    for name in group:
        check_choice("group", name, records)
    by_kind: dict[str, list[str]] = {
        kind: [each.name for each in columns if each.kind == kind] for kind in data.COLUMN_KINDS
    }
    part = {name: np.asarray(cells)[rows] for name, cells in records.items()}
    marks = {name: data.decimal_mark(part[name]) for name in by_kind["number"]}
    marks |= {name: "month" if data.days_come_first(part[name]) is False else "day" for name in by_kind["date"]}
    if not marks and not by_kind["category"] and not by_kind["text"]:
        raise ValueError("columns: expected a number, a category, a date or a text to value lots by, got none.")
    values = cell_numbers(part, marks)
    along = date if missing == "interpolate" else None
    filling = data.fit_filling(values, missing, categories="own", date=along) if marks else None
    gaps = {name: np.isnan(column).mean() for name, column in values.items()}
    kept = tuple(name for name in marks if gaps[name] < 1 and (filling is None or name in filling.columns))
    sides = _sides(kept)
    filled = {} if filling is None else data.apply_filling(filling, values)
    texts = tuple(by_kind["text"])
    scales = tuple(_scale(column) for column in _derived(filled, kept, sides, _lengths(part, texts)))
    return Encoder(
        numbers=kept,
        marks=marks,
        sides=sides,
        filling=filling,
        flagged=tuple(name for name in kept if gaps[name] > _GAPS),
        scales=scales,
        categories={name: _frequent(part[name].tolist()) for name in by_kind["category"]},
        texts=texts,
        words=_frequent((word for words in cell_words(part, texts) for word in words), most=_MOST_WORDS),
        groups=group,
        known=tuple(tuple(dict.fromkeys(names)) for names in _levels(part, group)),
    )


def encode(
    encoder: Encoder,
    records: Mapping[str, np.ndarray],
    *,
    picture: Any = None,
    pictured: Any = None,
) -> Lots:
    """Return lots as networks read them; but for the codes of groups that are new, a row depends on nothing but that row.

    Args:
        encoder: from `learn_encoder`.
        records: text ``[N]`` by name, with any columns; one that is not there is missing in all rows.
        picture: features of the pictures, ``[N, P]``; none by default.
        pictured: bool ``[N]``: which rows have one; by default all, where there are features.

    Raises:
        ValueError: no columns.
    """
    encoder = Encoder(*encoder)
    count = len(next(iter(records.values()), ()))
    if not count:
        raise ValueError("records: expected a column and a row in it, got none.")
    part = {name: np.asarray(cells) for name, cells in records.items()}
    values = cell_numbers(part, encoder.marks)
    filled = data.apply_filling(data.Filling(*encoder.filling), values) if encoder.numbers else {}
    derived = _derived(filled, encoder.numbers, encoder.sides, _lengths(part, encoder.texts))
    scaled = [scaled_number(column, *scale) for column, scale in zip(derived, encoder.scales, strict=True)]
    levels = _levels(part, encoder.groups)
    picture = np.zeros((count, 0), np.float32) if picture is None else np.asarray(picture, np.float32)
    shown: Any = np.full(count, picture.shape[1] > 0) if pictured is None else np.asarray(pictured, bool)
    return Lots(
        numbers=_stacked(scaled, count, np.float32),
        missing=_stacked([np.isnan(values[name]) for name in encoder.flagged], count, np.float32),
        categories=_stacked(
            [_codes(part.get(name), known, count) for name, known in encoder.categories.items()], count, np.int32
        ),
        tokens=_tokens(cell_words(part, encoder.texts), encoder.words),
        picture=picture,
        pictured=shown,
        groups=_stacked(
            [_of(names, known) for names, known in zip(levels, encoder.known, strict=True)], count, np.int32
        ),
    )


def category_sizes(encoder: Encoder) -> tuple[int, ...]:
    """Return how many codes each category has, those of what is missing and of what is rare among them.

    Args:
        encoder: from `learn_encoder`.
    """
    return tuple(len(known) + 2 for known in encoder.categories.values())


def _levels(records: Mapping[str, np.ndarray], group: Sequence[str]) -> list[list[str]]:
    """Return the names of the groups of rows by the first column, by the first two, and so on; a column that is not there says nothing."""
    count = len(next(iter(records.values())))
    given = {name: records.get(name, np.full(count, "")) for name in group}
    return [data.group_names(given, group[: place + 1]) for place in range(len(group))]


def cell_numbers(records: Mapping[str, np.ndarray], marks: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return numbers and dates, NaN where there are none or none that can be; how a cell is read depends on no other."""
    count = len(next(iter(records.values())))
    empty, found = np.full(count, ""), {}
    for name, mark in marks.items():
        cells = records.get(name, empty)
        if mark in (".", ","):
            first, second = (data.parse_numbers(cells, decimal=each) for each in (mark, "," if mark == "." else "."))
        else:
            first, second = (data.parse_dates(cells, day_first=each) for each in (mark == "day", mark != "day"))
        values = np.where(np.isnan(first), second, first)
        found[name] = np.where(np.abs(values) < _LARGEST, values, np.nan)
    return found


def _sides(names: Sequence[str]) -> tuple[str, ...]:
    """Return the first columns whose names say that they are a height and a width."""
    found = [next((name for name in names if words(name.lower())), None) for words in (_HEIGHT, _WIDTH)]
    return tuple(name for name in found if name is not None) if None not in found else ()


def _derived(filled: Mapping[str, Any], names: Sequence[str], sides: Sequence[str], lengths: Any) -> list[np.ndarray]:
    """Return the numbers, the area and the shape where there are two sides, and how many words there are where there are texts."""
    columns: list[Any] = [np.asarray(filled[name], np.float64) for name in names]
    if sides:
        height, width = (np.maximum(np.asarray(filled[name], np.float64), 1e-3) for name in sides)
        columns += [np.log(height * width), np.log(width / height)]
    return columns if lengths is None else [*columns, np.log1p(lengths)]


def _scale(column: Any) -> tuple[bool, float, float]:
    """Return how a column is brought to a common scale: as a logarithm where it is skewed, by its median and quartiles."""
    low, middle, high = np.percentile(column, [1, 50, 99])
    skewed = bool(
        column.min() >= 0 and high - middle > _SKEWED * max(middle - low, 1e-12) and len(np.unique(column)) > 2
    )
    values = np.log1p(column) if skewed else column
    lower, center, upper = np.percentile(values, [25, 50, 75])
    deviation = (upper - lower) / 1.349 if upper > lower else values.std()
    return skewed, float(center), float(deviation) if deviation > 1e-9 * max(1.0, abs(center)) else 1.0


def scaled_number(column: Any, skewed: bool, center: float, deviation: float, *, library: Any = np) -> Any:
    """Return a column on the scale that is learned of it; `library` is what arrays it is of, NumPy or jax.numpy."""
    values = library.log1p(library.maximum(column, 0)) if skewed else column
    x = (values - center) / deviation
    return x / library.sqrt(1 + (x / _BENT) ** 2)


def _frequent(values: Any, *, most: int | None = None) -> tuple[str, ...]:
    """Return what is seen often, by the alphabet, at most so many of the most frequent; what is missing is nothing."""
    counts = Counter(values)
    often = [value for value, count in counts.most_common(most) if count >= OFTEN]
    gone = data.are_missing(often) if often else []
    return tuple(sorted(value for value, missing in zip(often, gone, strict=True) if not missing))


def _codes(cells: Any, known: Sequence[str], count: int) -> np.ndarray:
    if cells is None:
        return np.zeros(count, np.int32)
    codes = {value: place + 2 for place, value in enumerate(known)}
    found = np.array([codes.get(cell, 1) for cell in cells.tolist()], np.int32)
    return np.where(data.are_missing(cells), 0, found)


def cell_words(records: Mapping[str, np.ndarray], texts: Sequence[str]) -> list[list[str]]:
    """Return the words of each row, small: of each of its texts as many, one after the other."""
    rows: list[list[str]] = [[] for _ in range(len(next(iter(records.values()))))]
    for name in texts:
        cells = records.get(name)
        if cells is not None:
            for row, (cell, gone) in enumerate(zip(cells.tolist(), data.are_missing(cells), strict=True)):
                rows[row] += [] if gone else _WORD.findall(cell.lower())[: _LONGEST // len(texts)]
    return rows


def _lengths(records: Mapping[str, np.ndarray], texts: Sequence[str]) -> Any:
    return np.array([len(words) for words in cell_words(records, texts)], np.float64) if texts else None


def _tokens(words: Sequence[Sequence[str]], known: Sequence[str]) -> Any:
    codes = {word: place + 2 for place, word in enumerate(known)}
    tokens = np.zeros((len(words), _LONGEST if known else 0), np.int32)
    for row, each in enumerate(words if known else ()):
        tokens[row, : len(each)] = [codes.get(word, 1) for word in each]
    return tokens


def _of(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Return the codes of groups: from 1 on known ones, below 0 those of this table alone, 0 where nothing is said."""
    codes = {name: place + 1 for place, name in enumerate(known) if name}
    new: dict[str, int] = {}
    return np.array(
        [codes.get(name) or (-new.setdefault(name, len(new) + 1) if name else 0) for name in names], np.int32
    )


def _stacked(columns: Sequence[Any], count: int, dtype: Any) -> Any:
    return np.stack(columns, axis=1).astype(dtype) if columns else np.zeros((count, 0), dtype)
