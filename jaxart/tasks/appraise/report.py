"""Valuations in one HTML file, which needs no other file, no network and no program but a browser, and is good to print."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxart import io
from jaxart.arrays import Image
from jaxart.tasks.appraise import charts
from jaxart.tasks.appraise.answers import (
    Checked,
    Comparable,
    Records,
    Valued,
    check_valued,
    cut,
    factor_text,
    level_text,
    price_text,
    year_text,
)
from jaxart.tasks.appraise.report_style import STYLE
from jaxart.tasks.appraise.trust import trust_section

_MOST = 200  # lots that are shown one by one
_COLUMNS = 8  # of a table without chosen ones
_REASONS = 7  # with a bar of their own
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def appraisal_report(
    valued: Valued,
    checked: Checked | None,
    records: Records,
    *,
    title: str,
    columns: Sequence[str] | None = None,
    pictures: Sequence[Image | None] | None = None,
    notes: Sequence[str] = (),
    unit: str = "",
) -> str:
    """Return a page of valuations as HTML: each lot with its range, reasons and comparable lots, and how far to trust them.

    Args:
        valued: the valuations of N lots, of which the first 200 are shown.
        checked: what was measured on lots kept back; None if nothing was, and the page says so.
        records: columns ``[N]`` of the lots' table by name.
        title: of the page.
        columns: what describes a lot: the first is its heading. By default the first 8.
        pictures: of each lot, ``[H, W, 3]``, float in [0, 1] or uint8, or None; shown small. They are asked for one by one.
        notes: paragraphs at the end, such as what the model learned from.
        unit: of money, such as "EUR".

    Raises:
        ValueError: parts that are not of one length, a column that is not there, values that are no picture.
    """
    rows = check_valued(valued, records)
    names = list(records)[:_COLUMNS] if columns is None else list(columns)
    if missing := [name for name in names if name not in records]:
        raise ValueError(f"columns: expected some of {', '.join(records)}, got {', '.join(missing)}.")
    if pictures is not None and len(pictures) != rows:
        raise ValueError(f"pictures: expected {rows}, one for each lot or None, got {len(pictures)}.")
    shown, head = range(min(rows, _MOST)), _text(title)
    headings = [_heading(records, names, row) for row in shown]
    lots = [
        _lot(valued, row, headings[row], _description(records, names[1:], row) + _thumbnail(pictures, row), unit)
        for row in shown
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{head}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{head}</h1>\n{_introduction(valued, checked, rows)}"
        f"{_overview(valued, headings, unit)}{''.join(lots)}"
        f"{_untested() if checked is None else trust_section(checked)}{_closing(notes)}</main>\n</body>\n</html>\n"
    )


def write_appraisal(path: str | Path, page: str) -> Path:
    """Write a page that `appraisal_report` returned, atomically.

    Args:
        path: .html, in an existing folder.
        page: its text.

    Returns:
        The path.

    Raises:
        jaxart.io.ImageError: another extension, or no such folder.
    """
    path = io.check_writable(path, suffixes=(".html", ".htm"))
    with io.replacing(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")
    return path


def _text(text: str, longest: int = 400) -> str:
    """Return a stranger's text as HTML, in one line."""
    return html.escape(cut(text, longest))


def _price(price: float, unit: str = "") -> str:
    text = price_text(price, separator=charts.THIN)
    return f"{text}\u00a0{_text(unit)}" if unit and text else text


def _range(low: float, high: float, unit: str) -> str:
    if math.isnan(low) or math.isnan(high):
        return "not known"
    if math.isinf(high):
        return f"{_price(low, unit)} or more" if low > 0 else "any price"
    return f"{_price(low)} – {_price(high, unit)}" if low > 0 else f"up to {_price(high, unit)}"


def _introduction(valued: Valued, checked: Checked | None, rows: int) -> str:
    number = f"{rows:,}".replace(",", charts.THIN)
    levels = " or ".join(f"{level_text(level)}" for level in valued.levels)
    promise = (
        f" A range is made to hold the price of {levels} in 100 lots; the value alone is rarely right."
        if valued.levels
        else ""
    )
    trust = '<a href="#trust">How far to trust this</a> says how well that went' if checked else "Nothing was measured"
    rest = (
        f"<p>Only the first {_MOST} are shown one by one; the other {rows - _MOST:,} are in the table of values.</p>\n"
        if rows > _MOST
        else ""
    )
    return (
        f"<p>{number} {'lots are' if rows > 1 else 'lot is'} valued.{promise} {trust} on lots that the model had not seen. "
        f"This is an estimate by a computer, not an expert's opinion.</p>\n{rest}"
        '<p class="faint">In the bars of prices, the dark band is the narrower range, the light one the wider, the black line the value, '
        "and rings are prices of comparable lots. Axes of prices are logarithmic: equal steps are equal factors.</p>\n"
    )


def _overview(valued: Valued, headings: Sequence[str], unit: str) -> str:
    if len(headings) < 2:
        return ""
    first = valued.levels[:1]
    head = "".join(f'<th class="number">{level_text(level)}{charts.THIN}% range</th>' for level in first)
    cells = []
    for row, heading in enumerate(headings):
        ends = "".join(f'<td class="number">{_range(valued.low[row, 0], valued.high[row, 0], "")}</td>' for _ in first)
        number = len(valued.flags[row])
        cells.append(
            f'<tr><td><a href="#lot-{row + 1}">{heading}</a></td><td class="number">{_price(valued.value[row])}</td>{ends}'
            f'<td class="number wide">{number or ""}</td></tr>\n'
        )
    money = f", {_text(unit)}" if unit else ""
    return (
        f'<h3>All at a glance{money}</h3>\n<table>\n<thead><tr><th>lot</th><th class="number">value</th>{head}'
        f'<th class="number wide">flags</th></tr></thead>\n<tbody>{"".join(cells)}</tbody>\n</table>\n'
    )


def _heading(records: Records, names: Sequence[str], row: int) -> str:
    text = _cell(records[names[0]][row]) if names else ""
    return f"{row + 1}. {_text(text, 120)}" if text else f"Lot {row + 1}"


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value).strip()


def _description(records: Records, names: Sequence[str], row: int) -> str:
    cells = [(name, _cell(records[name][row])) for name in names]
    items = "".join(f"<dt>{_text(name, 60)}</dt><dd>{_text(text)}</dd>" for name, text in cells if text)
    return f"<dl>{items}</dl>\n" if items else ""


def _thumbnail(pictures: Sequence[Image | None] | None, row: int) -> str:
    picture = None if pictures is None else pictures[row]
    if picture is None:
        return ""
    return f'<h3>Picture</h3>\n<img alt="the lot" src="{io.thumbnail(f"picture {row}", picture)}">\n'


def _lot(valued: Valued, row: int, heading: str, description: str, unit: str) -> str:
    value = float(valued.value[row])
    ranges = "".join(
        f'<tr><th scope="row">in {level_text(level)} of 100 cases</th><td>{_range(low, high, unit)}</td></tr>'
        for level, low, high in zip(valued.levels, valued.low[row], valued.high[row], strict=True)
    )
    items = "".join(f"<li>{_text(flag, 120)}</li>" for flag in valued.flags[row])
    flags = f'<ul class="flags">{items}</ul>' if items else ""
    base = float(np.broadcast_to(valued.base, np.shape(valued.value))[row])
    return (
        f'<section class="lot" id="lot-{row + 1}">\n<h2>{heading}</h2>\n<div class="two">\n<div>\n'
        f'<p class="value">{_valued_at(value, unit)}</p>\n'
        f"{_bands(valued, row)}<table>{ranges}</table>\n{flags}\n"
        f"{_reasons(valued.reasons[row], base, value, unit)}</div>\n<div>\n{description}{_shares(valued.shares[row])}</div>\n</div>\n"
        f"{_comparables(valued.comparables[row], unit)}</section>\n"
    )


def _valued_at(value: float, unit: str) -> str:
    return f"{_price(value)} <small>{_text(unit)}</small>" if math.isfinite(value) else "<small>no value</small>"


def _bands(valued: Valued, row: int) -> str:
    """Return the ranges as bands on one axis, the widest below, with the value and what comparable lots were sold for."""
    sold = [lot.price for lot in valued.comparables[row] if lot.price > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high, value = (
            np.log10(np.asarray(each, np.float64)[row]) for each in (valued.low, valued.high, valued.value)
        )
    axis = charts.price_axis([*low, *high, value, *np.log10(sold)])
    order = sorted(range(len(valued.levels)), key=lambda place: -valued.levels[place])
    bands = [
        charts.bar(
            axis, low[at], high[at], kind="band", y=6, height=20, note=f' data-level="{level_text(valued.levels[at])}"'
        )
        for at in order
        if not (np.isnan(low[at]) or np.isnan(high[at]))
    ]
    at = charts.upright(axis, value, kind="at", y=2, height=28) if np.isfinite(value) else ""
    rings = "".join(charts.dot(axis, math.log10(price), y=37, kind="sold", radius=3.5) for price in sold)
    texts = (
        f"{level_text(level)}{charts.THIN}%: {_range(float(begin), float(end), '')}"
        for level, begin, end in zip(valued.levels, valued.low[row], valued.high[row], strict=True)
    )
    title = f"Value {_price(float(valued.value[row])) or 'not known'}; {'; '.join(texts)}"
    return charts.strip(axis, "".join(bands) + rings + at, title=title, height=44, labels=True)


def _reasons(reasons: Sequence[tuple[str, float]], base: float, value: float, unit: str) -> str:
    """Return reasons as bars to both sides of ×1; small ones beyond the first few are taken together."""
    if not reasons:
        return ""
    kept, rest = list(reasons[:_REASONS]), reasons[_REASONS:]
    if rest:
        kept.append((f"{len(rest)} others together", sum(size for _, size in rest)))
    axis = charts.factor_axis([size for _, size in kept])
    bare = axis._replace(ticks=())
    cells = "".join(
        f'<tr><th scope="row">{_text(name, 80)}</th><td>{_bar(bare, name, size)}</td>'
        f'<td class="number">{factor_text(size, sign="×")}</td></tr>\n'
        for name, size in kept
    )
    start = _price(math.exp(base), unit) if math.isfinite(base) else ""
    begin = (
        f'<p class="faint">From {start}, multiplied by each factor, to {_price(value, unit)}.</p>\n' if start else ""
    )
    return f'<h3>Why</h3>\n<table class="strips">\n{cells}</table>\n{begin}'


def _bar(axis: charts.Axis, name: str, size: float) -> str:
    bar = charts.bar(axis, min(size, 0.0), max(size, 0.0), kind="up" if size > 0 else "down", y=4, height=12)
    zero = charts.upright(axis, 0.0, kind="zero", y=0, height=20)
    return charts.strip(axis, bar + zero, title=f"{cut(name, 80)} {factor_text(size, sign='×')}")


def _shares(shares: Mapping[str, float]) -> str:
    total = sum(shares.values())
    if not shares or not 0 < total < math.inf:
        return ""
    parts = [(name, share / total) for name, share in shares.items()]
    ends = np.cumsum([0.0, *(share for _, share in parts)])
    bars = "".join(
        f'<rect class="part{min(place, 3)}" x="{100 * ends[place]:.2f}%" width="{100 * share:.2f}%" y="3" height="12"/>'
        for place, (_, share) in enumerate(parts)
    )
    words = ", ".join(f"{cut(name, 40)} {100 * share:.0f}{charts.THIN}%" for name, share in parts)
    keys = " &nbsp; ".join(
        f'<svg class="key" width="11" height="11"><rect class="part{min(place, 3)}" width="11" height="11"/></svg>'
        f"{_text(name, 40)} {100 * share:.0f}{charts.THIN}%"
        for place, (name, share) in enumerate(parts)
    )
    title = f"Where the value comes from: {words}"
    return f'<h3>Where the value comes from</h3>\n{charts.drawing(bars, height=20, title=title, kind="strip")}<p class="faint">{keys}</p>\n'


def _comparables(lots: Sequence[Comparable], unit: str) -> str:
    if not lots:
        return ""
    cells = "".join(
        f'<tr><td class="number">{_price(lot.price)}</td><td class="number">{year_text(lot.date)}</td>'
        f'<td class="number">{f"{lot.similarity:.2f}" if math.isfinite(lot.similarity) else ""}</td>'
        f"<td>{_text(lot.text, 160)}</td></tr>\n"
        for lot in lots[:5]
    )
    money = f", {_text(unit)}" if unit else ""
    return (
        f'<h3>Comparable lots that were sold</h3>\n<table class="sold-lots">\n<thead><tr><th class="number">price{money}</th>'
        f'<th class="number">year</th><th class="number">alike</th><th>lot</th></tr></thead>\n<tbody>{cells}</tbody>\n</table>\n'
    )


def _untested() -> str:
    return (
        '<section class="trust" id="trust">\n<h2>How far to trust this</h2>\n<p>Nothing was measured on lots that the model had not seen, '
        "so nobody knows how far these values are off, nor whether the ranges hold.</p>\n</section>\n"
    )


def _closing(notes: Sequence[str]) -> str:
    texts = "".join(f"<p>{_text(note, 2000)}</p>\n" for note in notes)
    return f"<section>\n<h2>How this was made</h2>\n{texts}</section>\n" if texts else ""
