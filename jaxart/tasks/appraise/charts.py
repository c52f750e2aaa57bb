"""Charts as inline SVG, drawn without a library: axes with round numbers, clouds of points, and strips that are rows of a table.

Places across are percentages and places up are pixels, so that a chart is as wide as the page lets it be and its texts keep their size.
Colors are those of the page's style.
"""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxart.tasks.appraise.answers import price_text

THIN = "\u202f"  # a narrow space that does not break: 1 000
_LEFT, _RIGHT, _TOP, _BOTTOM = 13.0, 98.0, 22.0, 40.0  # of a cloud's frame: percent, percent, pixels, pixels
_POINTS = 1500  # drawn


class Axis(NamedTuple):
    """What an axis shows: numbers from low to high, and its ticks as numbers with their labels."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


def price_axis(logs: Sequence[float] | np.ndarray, *, least: float = 1.0) -> Axis:
    """Return an axis of decimal logarithms of prices that holds those that are finite, at least so many decades long."""
    known = np.asarray(logs, np.float64)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 2.0)
    spare = max(0.04 * (high - low), (least - (high - low)) / 2)
    low, high = low - spare, high + spare
    mantissas = (1, 2, 5) if high - low <= 1.6 else (1, 3) if high - low <= 2.6 else (1,)
    step = math.ceil((high - low) / 7)  # decades
    tens = range(math.floor(low), math.ceil(high) + 1)
    ticks = [math.log10(m) + ten for ten in tens if ten % step == 0 for m in mantissas]
    return Axis(low, high, tuple((at, price_text(10**at, separator=THIN)) for at in ticks if low <= at <= high))


def factor_axis(logs: Sequence[float] | np.ndarray) -> Axis:
    """Return an axis of natural logarithms of factors around ×1, as long to both sides."""
    known = np.abs(np.asarray(logs, np.float64))
    most = max(1.05 * float(known[np.isfinite(known)].max(initial=0)), math.log(2.2))
    base = 2 if most < math.log(5) else 4 if most < math.log(40) else 10
    count = int(most / math.log(base))
    step = math.ceil(count / 3)
    sides = [(n * math.log(base), f"{sign}{base ** abs(n)}") for sign, n in _signed(count) if n % step == 0]
    return Axis(-most, most, (*sides, (0.0, "×1")))


def _signed(count: int) -> list[tuple[str, int]]:
    return [("÷", -n) for n in range(count, 0, -1)] + [("×", n) for n in range(1, count + 1)]


def even_axis(
    values: Sequence[float] | np.ndarray, *, unit: float = 1.0, after: str = "", most: float = math.inf
) -> Axis:
    """Return an axis with round steps of a unit: years, or with 0.01 and " %" percent."""
    known = np.asarray(values, np.float64) / unit
    low, high = float(known.min()), float(known.max())
    steps = [size * 10**ten for ten in range(6) for size in (1, 2, 5)]
    step = next((each for each in steps if (high - low) / each <= 4), steps[-1])
    low, high = math.floor(low / step) * step, min(math.ceil(high / step) * step, most / unit)
    high = max(high, low + step)
    ticks = np.arange(low, high + step / 2, step)
    return Axis(low * unit, high * unit, tuple((at * unit, f"{at:.0f}{after}") for at in ticks.tolist()))


def across(axis: Axis, value: float, *, left: float = 3.0, right: float = 97.0) -> float:
    """Return where a number is, in percent of the width; numbers beyond the axis are at its ends."""
    share = (value - axis.low) / (axis.high - axis.low)
    return round(left + (right - left) * min(max(share, 0.0), 1.0), 2)


def drawing(inside: str, *, height: float, title: str, kind: str) -> str:
    """Return an SVG element as wide as what it stands in."""
    return f'<svg class="{kind}" role="img" width="100%" height="{height:g}"><title>{html.escape(title)}</title>{inside}</svg>'


def strip(axis: Axis, marks: str, *, title: str, height: float = 20, labels: bool = False) -> str:
    """Return a row's part of a chart: lines at the ticks, and marks on them; with the labels of the axis below."""
    places = [(across(axis, at), label) for at, label in axis.ticks]
    lines = "".join(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="{height:g}"/>' for x, _ in places if height)
    texts = "".join(_label(x, height + 13, text) for x, text in places) if labels else ""
    return drawing(lines + marks + texts, height=height + 16 * labels, title=title, kind="strip")


def _label(x: float, y: float, text: str) -> str:
    return f'<text class="tick" x="{x}%" y="{y:g}" text-anchor="middle">{html.escape(text)}</text>'


def bar(axis: Axis, low: float, high: float, *, kind: str, y: float, height: float, note: str = "") -> str:
    """Return a bar between two numbers of an axis."""
    first, last = across(axis, low), across(axis, high)
    return (
        f'<rect class="{kind}"{note} x="{first}%" width="{max(last - first, 0.3):.2f}%" y="{y:g}" height="{height:g}"/>'
    )


def dot(axis: Axis, value: float, *, y: float = 10, kind: str = "mark", radius: float = 4) -> str:
    """Return a dot at a number of an axis."""
    return f'<circle class="{kind}" cx="{across(axis, value)}%" cy="{y:g}" r="{radius:g}"/>'


def upright(axis: Axis, value: float, *, kind: str = "promise", y: float = 2, height: float = 16) -> str:
    """Return an upright line at a number of an axis."""
    x = across(axis, value)
    return f'<line class="{kind}" x1="{x}%" x2="{x}%" y1="{y:g}" y2="{y + height:g}"/>'


class Cloud(NamedTuple):
    """Points, with lines ``(x, y, x, y)`` and their class, on two axes with names."""

    x: np.ndarray
    y: np.ndarray
    lines: Sequence[tuple[str, tuple[float, float, float, float]]]
    axes: tuple[Axis, Axis]
    names: tuple[str, str]


def cloud(shown: Cloud, *, title: str, height: float = 340) -> str:
    """Return a chart of points; of very many an even choice."""
    wide, tall = shown.axes
    foot = height - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return across(wide, x, left=_LEFT, right=_RIGHT), round(across(tall, y, left=foot, right=_TOP), 1)

    grid = "".join(_tick_across(place(at, tall.low)[0], foot, text) for at, text in wide.ticks)
    grid += "".join(_tick_up(place(wide.low, at)[1], text) for at, text in tall.ticks)
    chosen = np.linspace(0, len(shown.x) - 1, min(len(shown.x), _POINTS)).astype(int)
    places = [place(float(shown.x[row]), float(shown.y[row])) for row in chosen]
    points = "".join(f'<circle cx="{x}%" cy="{y:g}" r="2.2"/>' for x, y in places)
    lines = "".join(_line(kind, place(*ends[:2]), place(*ends[2:])) for kind, ends in shown.lines)
    names = (
        f'<text class="name" x="{_RIGHT}%" y="{height - 4:g}" text-anchor="end">{html.escape(shown.names[0])}</text>'
        f'<text class="name" x="0" y="12">{html.escape(shown.names[1])}</text>'
    )
    return drawing(f'{grid}<g class="dots">{points}</g>{lines}{names}', height=height, title=title, kind="cloud")


def _line(kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<line class="{kind}" x1="{start[0]}%" y1="{start[1]:g}" x2="{end[0]}%" y2="{end[1]:g}"/>'


def _tick_across(x: float, foot: float, text: str) -> str:
    line = f'<line class="grid" x1="{x}%" x2="{x}%" y1="{_TOP:g}" y2="{foot:g}"/>'
    return f"{line}{_label(x, foot + 15, text)}"


def _tick_up(y: float, text: str) -> str:
    line = f'<line class="grid" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{y:g}" y2="{y:g}"/>'
    return f'{line}<text class="tick" x="{_LEFT - 1.5}%" y="{y + 4:g}" text-anchor="end">{html.escape(text)}</text>'
