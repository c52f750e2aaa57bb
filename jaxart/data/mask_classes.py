"""Classes of masks: which number or color of a file stands for which class."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxart.data.tables import read_csv

IGNORED = 255  # in masks: a pixel whose class is not known
_MOST = 64  # colors that are taken for classes where nothing says what they are
_LISTED = 8  # of what is unknown, in a message
_BACKGROUND = ("background", "foreground")
_PASSED_OVER = "ignore"  # a name that stands for no class

Counts = dict[int, tuple[int, int]]  # by label: pixels, files


class MaskClasses(NamedTuple):
    """Classes as a file lists them.

    Fields:
        names: of the classes; "ignore" stands for none.
        colors: of each, ``0xRRGGBB``; None where the file has none.
        values: number of each in gray and palette masks; None where there are colors alone.
    """

    names: tuple[str, ...]
    colors: tuple[int, ...] | None
    values: tuple[int, ...] | None


class Labels(NamedTuple):
    """What a mask file holds.

    Fields:
        name: of the file.
        colored: whether its labels are colors.
        counts: pixels of each label, a number or ``0xRRGGBB``.
        palette: colors ``0xRRGGBB`` of the numbers 0, 1, ... of a palette file, else none.
    """

    name: str
    colored: bool
    counts: dict[int, int]
    palette: tuple[int, ...] = ()


class Numbering(NamedTuple):
    """Which label is which class: names, colors uint8 ``[K, 3]``, and the number of each label, `IGNORED` for those of no class."""

    names: tuple[str, ...]
    colors: np.ndarray
    numbers: dict[int, int]


def class_colors(count: int) -> np.ndarray:
    """Return colors that are told apart well, the first black: uint8 ``[count, 3]``.

    Bit 3 k + c of a number becomes bit 7 - k of channel c, as in the masks of the PASCAL challenge.

    >>> class_colors(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    numbers = np.arange(count)[:, None]
    bits = [((numbers >> (3 * k + np.arange(3))) & 1) << (7 - k) for k in range(8)]
    return np.sum(bits, axis=0).astype(np.uint8)


def hex_color(color: Any) -> str:
    """Return a color, ``0xRRGGBB`` or three numbers, as text.

    >>> hex_color(0xFF8000), hex_color((255, 128, 0))
    ('#ff8000', '#ff8000')
    """
    return f"#{color:06x}" if isinstance(color, int) else "#" + "".join(f"{int(part):02x}" for part in color)


def unpacked(colors: Sequence[int]) -> np.ndarray:
    """Return colors ``0xRRGGBB`` as uint8 ``[K, 3]``."""
    packed = np.asarray(colors, np.int64).reshape(-1, 1)
    return ((packed >> np.array([[16, 8, 0]])) & 255).astype(np.uint8)


def read_mask_classes(path: str | Path) -> MaskClasses:
    """Read which classes masks have: their names, and their colors or numbers.

    Args:
        path: a CSV with the columns name and color ("#rrggbb", or "r g b"), value (a number), or both; without either, the rows are the
            numbers 0, 1, ... Or JSON: an object of colors ("#rrggbb" or [r, g, b]) or of numbers by name, or a list of names. A class of
            the name "ignore" is none: its pixels do not count.

    Raises:
        ValueError: no such file, another form, a bad color or number, or one that is there twice.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        cells = read_csv(path)
        names = cells.get("name", [])
        colors, values = cells.get("color"), cells.get("value")
    elif path.suffix.lower() == ".json":
        names, colors, values = _from_json(path)
    else:
        raise ValueError(f"{path}: expected the classes of masks as .csv or .json.")
    if not names or not all(names):
        raise ValueError(f"{path}: expected a name for every class, in the column name or as a key.")
    found = MaskClasses(
        tuple(map(str, names)),
        None if colors is None else tuple(_color(path, each) for each in colors),
        tuple(_value(path, each) for each in values) if values is not None else None,
    )
    if found.colors is None and found.values is None:
        found = found._replace(values=tuple(range(len(names))))
    for what, listed in (("name", found.names), ("color", found.colors), ("value", found.values)):
        twice = [each for each, count in Counter(listed or ()).items() if count > 1]
        if twice:
            raise ValueError(
                f"{path}: the {what} {hex_color(twice[0]) if what == 'color' else twice[0]} is there twice."
            )
    return found


def _from_json(path: Path) -> tuple[list[str], list | None, list | None]:
    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({error}).") from error
    if isinstance(told, list):
        return [str(each) for each in told], None, None
    if not isinstance(told, dict):
        raise ValueError(f"{path}: expected an object of colors or numbers by name, or a list of names.")
    if all(type(each) is int for each in told.values()):
        return list(told), None, list(told.values())
    return list(told), list(told.values()), None


def _color(path: Path, told: Any) -> int:
    parts: Any = told
    if isinstance(told, str):
        if re.fullmatch(r"#?[0-9a-fA-F]{6}", told):
            return int(told.lstrip("#"), 16)
        parts = [int(each) for each in re.split(r"[\s,;]+", told.strip()) if each.isdecimal()]
    if isinstance(parts, list) and len(parts) == 3 and all(type(each) is int and 0 <= each <= 255 for each in parts):
        return (parts[0] << 16) | (parts[1] << 8) | parts[2]
    raise ValueError(f'{path}: expected colors as "#rrggbb" or three numbers up to 255, got {told!r}.')


def _value(path: Path, told: Any) -> int:
    if not (isinstance(told, int) or str(told).isdecimal()) or not 0 <= int(told) <= 255:
        raise ValueError(f"{path}: expected numbers from 0 to 255, got {told!r}.")
    return int(told)


def number_classes(found: Sequence[Labels], given: MaskClasses | None) -> Numbering:
    """Decide which label of the masks is which class.

    Without classes that are given, every number or color is one, in ascending order; numbers 0 and 255 alone are background and
    foreground. In palette and gray masks 255 is of no class otherwise.

    Args:
        found: what each file holds.
        given: the classes, of a file.

    Raises:
        ValueError: masks of numbers beside masks of colors, palettes that differ, labels of no class, or too many to be classes.
    """
    colored = [each.name for each in found if each.colored]
    if colored and len(colored) < len(found):
        other = next(each.name for each in found if not each.colored)
        raise ValueError(
            f"masks: {len(colored)} have colors and {len(found) - len(colored)} numbers ({colored[0]}, {other}); expected all alike."
        )
    counts = _total(found)
    if given is not None:
        return _by_given(counts, given, colored=bool(colored))
    if not colored:
        return _by_value(counts, _palette(found))
    labels = sorted(counts)
    if len(labels) > _MOST:
        raise ValueError(
            f"masks: {len(labels)} colors, too many to be classes: {_listed(counts, counts, hex_color)}. Name the classes and their "
            "colors in a file (classes), and draw masks without smoothed borders."
        )
    return Numbering(tuple(map(hex_color, labels)), unpacked(labels), {label: n for n, label in enumerate(labels)})


def _total(found: Sequence[Labels]) -> Counts:
    pixels, files = Counter(), Counter()
    for each in found:
        pixels.update(each.counts)
        files.update(each.counts.keys())
    return {label: (pixels[label], files[label]) for label in pixels}


def _palette(found: Sequence[Labels]) -> dict[int, int]:
    """Return the color of each number that occurs in a palette file."""
    colors: dict[int, tuple[int, str]] = {}
    for each in found:
        for label in each.counts if each.palette else ():
            color, first = colors.setdefault(label, (each.palette[label], each.name))
            if color != each.palette[label]:
                other = hex_color(each.palette[label])
                raise ValueError(
                    f"masks: palettes differ: {label} is {hex_color(color)} in {first} and {other} in {each.name}. Name the classes and "
                    "their colors in a file (classes), and colors will count."
                )
    return {label: color for label, (color, _) in colors.items()}


def _by_value(counts: Counts, palette: dict[int, int]) -> Numbering:
    if not palette and 0 in counts and set(counts) <= {0, IGNORED}:
        return Numbering(_BACKGROUND, unpacked([0, 0xFFFFFF]), {0: 0, IGNORED: 1})
    labels = sorted(set(counts) - {IGNORED})
    colors = class_colors(max(labels, default=0) + 1)[labels]
    known = [place for place, label in enumerate(labels) if label in palette]
    colors[known] = unpacked([palette[labels[place]] for place in known])
    return Numbering(tuple(map(str, labels)), colors, {label: n for n, label in enumerate(labels)} | {IGNORED: IGNORED})


def _by_given(counts: Counts, given: MaskClasses, *, colored: bool) -> Numbering:
    labels = given.colors if colored else given.values
    if labels is None:
        raise ValueError("masks: have colors, but the classes have none: give each its color.")
    kept = [place for place, name in enumerate(given.names) if name != _PASSED_OVER]
    numbers = {labels[place]: number for number, place in enumerate(kept)}
    passed_over = {label: IGNORED for place, label in enumerate(labels) if place not in kept}
    numbers = passed_over | ({} if colored else {IGNORED: IGNORED}) | numbers
    if unknown := set(counts) - set(numbers):
        listed = _listed(unknown, counts, hex_color if colored else str)
        raise ValueError(
            f"masks: {len(unknown)} {'colors' if colored else 'numbers'} of no class: {listed}. Add them to the classes, or to "
            "one of the name ignore."
        )
    colors = class_colors(len(given.names)) if given.colors is None else unpacked(given.colors)
    return Numbering(tuple(given.names[place] for place in kept), colors[kept], numbers)


def _listed(labels: Any, counts: Counts, named: Any) -> str:
    """List labels with their pixels and files, those of most pixels first."""
    ordered = sorted(labels, key=lambda label: (-counts[label][0], label))
    told = [f"{named(label)} ({counts[label][0]} pixels in {counts[label][1]} files)" for label in ordered[:_LISTED]]
    return ", ".join(told) + (", ..." if len(ordered) > _LISTED else "")
