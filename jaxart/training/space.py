"""Search spaces: which values of which settings are tried."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.arrays import Key

MOST = 500  # points of a grid that is not forced
_CHOICE = (bool, int, float, str, type(None))


class Span(NamedTuple):
    """Numbers from `low` to `high`, both included.

    Fields:
        low: the least.
        high: the largest.
        log: whether ratios count and not differences, as for learning rates; `low` must be above 0.
        whole: whether they are integers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False


Point = dict[str, Any]  # the value of each setting
Space = Mapping[str, Span | tuple]  # by the name of a setting: a span, or a tuple of choices


def check_space(space: Space) -> None:
    """Raise unless a search space is one.

    Args:
        space: by the name of a setting a `Span`, or a tuple of choices: numbers, words, True, False or None.

    Raises:
        ValueError: nothing to search, a span without numbers, or choices that are none or the same twice.
    """
    if not space:
        raise ValueError("space: expected at least one setting, got none.")
    for name, values in space.items():
        if isinstance(values, Span):
            _check_span(name, values)
        elif not isinstance(values, tuple) or not values or not all(isinstance(each, _CHOICE) for each in values):
            raise ValueError(f"{name}: expected a Span or a tuple of numbers and words, got {values!r}.")
        elif len({(type(each), each) for each in values}) < len(values):
            raise ValueError(f"{name}: expected different choices, got {values!r}.")


def _check_span(name: str, span: Span) -> None:
    if not (math.isfinite(span.low) and math.isfinite(span.high) and span.low < span.high):
        raise ValueError(f"{name}: expected a span from a lower to a higher number, got {span.low} to {span.high}.")
    if span.log and span.low <= 0:
        raise ValueError(f"{name}: expected a logarithmic span to begin above 0, got {span.low}.")
    if span.whole and not (float(span.low).is_integer() and float(span.high).is_integer()):
        raise ValueError(f"{name}: expected a span of whole numbers, got {span.low} to {span.high}.")


def check_point(space: Space, point: Mapping[str, Any]) -> Point:
    """Return a point with a value within each span and among the choices.

    Args:
        space: as in `check_space`.
        point: by the name of each setting its value; others are left out.

    Raises:
        ValueError: a setting without a value, or one outside of the space.
    """
    checked = {}
    for name, values in space.items():
        if name not in point:
            raise ValueError(
                f"{name}: expected a value for each setting of the space, got those of {', '.join(point)}."
            )
        if not _holds(values, point[name]):
            wanted = f"{values.low} to {values.high}" if isinstance(values, Span) else ", ".join(map(repr, values))
            raise ValueError(f"{name}: {point[name]!r} lies outside of the space ({wanted}). Widen it.")
        checked[name] = point[name]
    return checked


def _holds(values: Span | tuple, value: Any) -> bool:
    if not isinstance(values, Span):
        return any(type(each) is type(value) and each == value for each in values)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and values.low <= value <= values.high and not (values.whole and not float(value).is_integer())


def grid(space: Space, *, points: int = 3, force: bool = False) -> list[Point]:
    """Return all combinations of values, the last setting varying fastest.

    Args:
        space: as in `check_space`.
        points: values taken of each span, evenly spaced from end to end; whole numbers are rounded, and none is taken twice.
        force: allow more than 500 combinations.

    Raises:
        ValueError: as `check_space`, fewer than two points, or more than 500 combinations.

    >>> grid({"rate": Span(0.01, 1.0, log=True), "norm": ("batch", "group")}, points=2)
    [{'rate': 0.01, 'norm': 'batch'}, {'rate': 0.01, 'norm': 'group'},
     {'rate': 1.0, 'norm': 'batch'}, {'rate': 1.0, 'norm': 'group'}]
    """
    check_space(space)
    if points < 2:
        raise ValueError(f"grid: expected at least 2 points of each span, got {points}.")
    axes = [_axis(values, points) if isinstance(values, Span) else values for values in space.values()]
    count = math.prod(map(len, axes))
    if count > MOST and not force:
        raise ValueError(
            f"grid: {count} combinations ({' x '.join(str(len(axis)) for axis in axes)}) are more than {MOST}. "
            "Take fewer points or a random search, or force it."
        )
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]


def _axis(span: Span, points: int) -> tuple:
    return tuple(dict.fromkeys(_value(span, share) for share in np.linspace(0.0, 1.0, points)))


def random_points(key: Key, space: Space, count: int, *, first: int = 0) -> list[Point]:
    """Draw points: uniformly in each span, in its logarithm where that counts, and among choices.

    A point depends on the key and its number alone, so many machines can draw parts of one list.

    Args:
        key: typed key.
        space: as in `check_space`.
        count: how many.
        first: number of the first of them.

    Raises:
        ValueError: as `check_space`.
    """
    check_space(space)
    names = sorted(space)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(first + np.arange(count, dtype=np.uint32))
    shares = np.asarray(jax.vmap(lambda key: jax.random.uniform(key, (len(names),)))(keys), np.float64)
    drawn = [dict(zip(names, map(float, row), strict=True)) for row in shares]
    return [{name: _value(values, row[name]) for name, values in space.items()} for row in drawn]


def _value(values: Span | tuple, share: float) -> Any:
    """Return the value that lies at a share, in [0, 1], of a span or of choices."""
    if not isinstance(values, Span):
        return values[min(int(share * len(values)), len(values) - 1)]
    low, high = (math.log(values.low), math.log(values.high)) if values.log else (values.low, values.high)
    if values.whole and not values.log:
        return min(int(values.low + share * (values.high - values.low + 1)), int(values.high))
    value = low + share * (high - low)
    value = min(max(math.exp(value) if values.log else value, values.low), values.high)
    value = values.low if share == 0 else values.high if share == 1 else value  # exactly, whatever exp rounds to
    return round(value) if values.whole else float(value)


def coordinates(space: Space, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return points as vectors: a number in [0, 1] for each span, one of each choice that is 1 and the others 0.

    Args:
        space: as in `check_space`.
        points: of it.

    Returns:
        ``[P, D]``, float64.
    """
    columns = []
    for name, values in space.items():
        column = [point[name] for point in points]
        if isinstance(values, Span):
            ends = np.array([values.low, values.high], np.float64)
            numbers = np.asarray(column, np.float64)
            ends, numbers = (np.log(ends), np.log(numbers)) if values.log else (ends, numbers)
            columns.append((numbers - ends[0]) / (ends[1] - ends[0]))
        else:
            columns += [np.array([_holds((each,), value) for value in column], np.float64) for each in values]
    return np.stack(columns, axis=-1) if points else np.zeros((0, len(columns)))
