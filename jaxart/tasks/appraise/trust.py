"""How far valuations can be trusted: what was measured on lots kept back, in words and as charts."""

import html
import itertools
import math
from collections.abc import Sequence

import numpy as np

from jaxart import metrics
from jaxart.tasks.appraise import charts
from jaxart.tasks.appraise.answers import Checked, cut, factor_text, level_text

_MOST = 12  # artists, or groups
_FEWEST = 3  # lots of an artist, a group or a bin


def trust_section(checked: Checked) -> str:
    """Return what a report says of lots that were kept back, as HTML; raise unless the parts fit."""
    _check(checked)
    figures = [_calibration(checked), _coverage(checked), _by_time(checked), _by_artist(checked), _by_group(checked)]
    return (
        f'<section class="trust" id="trust">\n<h2>How far to trust this</h2>\n{_words(checked)}'
        f'<div class="charts">\n{"".join(figures)}</div>\n</section>\n'
    )


def _check(checked: Checked) -> None:
    rows, levels = len(checked.targets), len(checked.levels)
    columns = [
        part for part in (checked.predictions, checked.dates, checked.artists, checked.groups) if part is not None
    ]
    ends = [np.shape(checked.low), np.shape(checked.high)]
    if (
        not rows
        or {len(part) for part in columns} != {rows}
        or ends != [(rows, levels)] * 2
        or len(checked.coverage) != levels
    ):
        raise ValueError(
            f"checked: expected parts of one length [M], ranges [M, {levels}] and {levels} coverages, got lengths "
            f"{[rows, *map(len, columns)]}, ranges {ends} and {len(checked.coverage)} coverages."
        )


def _words(checked: Checked) -> str:
    found = checked.report
    rows = [
        ("Lots kept back", f"{found.count:,}".replace(",", charts.THIN), "sold lots that the model had not seen when it valued them"),
        ("R²", _number(found.r_squared), "of the differences between log prices explained; 1 is all, 0 no better than their mean"),
        ("Mean error", factor_text(found.mean_absolute_error, sign="×"), "as a factor: so many times too high or too low on average"),
        ("Median error", _share(found.median_percentage_error), "of the price: one half of the values was nearer than this"),
        (f"Within 25{charts.THIN}%", _share(found.within_25), "of the values were at most a quarter of the price off"),
        (f"Within 50{charts.THIN}%", _share(found.within_50), "of the values were at most half of the price off"),
        ("Ranking", _number(found.rank_correlation), "Spearman's correlation; 1 if dear and cheap lots are told apart perfectly"),
    ]  # fmt: skip
    cells = "".join(
        f'<tr><th scope="row">{name}</th><td class="number">{value}</td><td>{text}</td></tr>\n'
        for name, value, text in rows
    )
    promises = "".join(_promise(level, each) for level, each in zip(checked.levels, checked.coverage, strict=True))
    return f'<table class="words">\n{cells}</table>\n<h3>Do the ranges keep their promise?</h3>\n{promises}'


def _promise(level: float, found: metrics.IntervalCoverage) -> str:
    told = (
        "This is fewer than chance explains: take the ranges to be wider than they are drawn."
        if found.share < found.low
        else "This is more than chance explains: the ranges are wider than they need be."
        if found.share > found.high
        else "The promise holds."
    )
    wide = (
        f" From its lower to its upper end the median range spans a factor of {math.exp(found.median_width):.2g}."
        if found.median_width < 20
        else ""
    )
    return (
        f"<p>Ranges that promise {level_text(level)}{charts.THIN}% held {_share(found.share)} of the prices; a kept promise gives "
        f'{_share(found.low)} to {_share(found.high)} by chance. <span class="holds">{told}</span>{wide}</p>\n'
    )


def _share(share: float) -> str:
    return f"{100 * share:.0f}{charts.THIN}%" if math.isfinite(share) else "not known"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "not known"


def _figure(title: str, inside: str, caption: str) -> str:
    return f"<figure>\n<h3>{title}</h3>\n{inside}\n<figcaption>{caption}</figcaption>\n</figure>\n"


def _calibration(checked: Checked) -> str:
    tens = math.log(10)
    guess, truth = (np.asarray(each, np.float64) / tens for each in (checked.predictions, checked.targets))
    axis = charts.price_axis(np.concatenate([guess, truth]), least=2.0)
    bins = np.array_split(np.argsort(guess), min(10, max(1, len(guess) // 10)))
    middles = [("middle", _middle(guess[rows], truth[rows])) for rows in bins if len(rows) >= _FEWEST]
    lines = [("same", (axis.low, axis.low, axis.high, axis.high)), *middles]
    shown = charts.Cloud(guess, truth, lines, (axis, axis), ("valued at", "sold for"))
    drawn = charts.cloud(shown, title="Prices against values, on logarithmic axes")
    return _figure(
        "Values and prices",
        drawn,
        "Each dot is a lot. On the dashed line the price is the value; thick lines are median prices of a tenth of the lots each.",
    )


def _middle(across: np.ndarray, up: np.ndarray) -> tuple[float, float, float, float]:
    middle = float(np.median(up))
    return float(across.min()), middle, float(across.max()), middle


def _coverage(checked: Checked) -> str:
    found = checked.coverage
    ends = [value for each in found for value in (each.share, each.low, each.high)]
    axis = charts.even_axis([*ends, *checked.levels], unit=0.01, after=f"{charts.THIN}%", most=1.0)
    rows = [
        (
            f"{level_text(level)}{charts.THIN}% promised",
            _held(axis, level, each.share, (each.low, each.high)),
            _share(each.share),
        )
        for level, each in zip(checked.levels, found, strict=True)
    ]
    return _figure(
        "Promised and held",
        _strips(rows, axis),
        "Dot: share of prices inside their range. Dashed: what was promised. Bar: what chance gives if the promise is kept.",
    )


def _held(axis: charts.Axis, level: float, share: float, band: tuple[float, float]) -> str:
    chance = charts.bar(axis, *band, kind="chance", y=4, height=12)
    return chance + charts.upright(axis, level) + charts.dot(axis, share)


def _strips(rows: Sequence[tuple[str, str, str]], axis: charts.Axis) -> str:
    """Return a table of (name, marks on an axis, a short text) with the axis below the last row."""
    cells = [
        f'<tr><th scope="row">{html.escape(name)}</th><td>{charts.strip(axis, marks, title=f"{name}: {text}")}</td>'
        f'<td class="number">{html.escape(text)}</td></tr>\n'
        for name, marks, text in rows
    ]
    foot = charts.strip(axis, "", title="the axis", height=0, labels=True)
    return f'<table class="strips">\n{"".join(cells)}<tr><th></th><td>{foot}</td><td></td></tr>\n</table>'


def _residuals(checked: Checked) -> np.ndarray:
    return np.asarray(checked.targets, np.float64) - np.asarray(checked.predictions, np.float64)


def _by_time(checked: Checked) -> str:
    dates = np.full(len(checked.targets), np.nan) if checked.dates is None else np.asarray(checked.dates, np.float64)
    known = np.isfinite(dates)
    if not known.any():
        return ""
    when, off = dates[known], _residuals(checked)[known]
    years, factors = charts.even_axis(when), charts.factor_axis(off)
    edges = np.linspace(when.min(), when.max() + 1e-6, 11)
    bins = [np.flatnonzero((when >= start) & (when < end)) for start, end in itertools.pairwise(edges)]
    middles = [("middle", _middle(when[rows], off[rows])) for rows in bins if len(rows) >= _FEWEST]
    lines = [("same", (years.low, 0.0, years.high, 0.0)), *middles]
    shown = charts.Cloud(when, off, lines, (years, factors), ("date of the sale", "price as a factor of the value"))
    drawn = charts.cloud(shown, title="Errors by the date of the sale", height=300)
    return _figure(
        "Errors by time",
        drawn,
        "Above ×1 lots sold for more than their value. Thick lines are medians of a span of years; a drift away from ×1 is a market "
        "that the model does not know.",
    )


def _frequent(names: Sequence[str] | np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the most frequent names, none of them empty, and their rows."""
    texts = np.array([" ".join(str(name).split()) for name in names])
    found, counts = np.unique(texts, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = [place for place in order if found[place] and counts[place] >= _FEWEST]
    return [(str(found[place]), np.flatnonzero(texts == found[place])) for place in kept[:_MOST]]


def _by_artist(checked: Checked) -> str:
    found = [] if checked.artists is None else _frequent(checked.artists)
    if not found:
        return ""
    off = _residuals(checked)
    quarters = [np.quantile(off[rows], (0.25, 0.5, 0.75)).tolist() for _, rows in found]
    axis = charts.factor_axis(np.ravel(quarters))
    rows = [
        (f"{cut(name, 48)} ({len(rows)})", _spread(axis, quarter), factor_text(quarter[1], sign="×"))
        for (name, rows), quarter in zip(found, quarters, strict=True)
    ]
    return _figure(
        "Errors by artist",
        _strips(rows, axis),
        "The price as a factor of the value: dot the median, bar the middle half. In brackets how many lots; the most frequent artists.",
    )


def _spread(axis: charts.Axis, quarters: Sequence[float]) -> str:
    low, middle, high = quarters
    zero = charts.upright(axis, 0.0, kind="zero", y=0, height=20)
    return zero + charts.bar(axis, low, high, kind="quartiles", y=6, height=8) + charts.dot(axis, middle)


def _by_group(checked: Checked) -> str:
    found = [] if checked.groups is None or not checked.levels else _frequent(checked.groups)
    if not found:
        return ""
    level, low, high = checked.levels[0], np.asarray(checked.low)[:, 0], np.asarray(checked.high)[:, 0]
    parts = [
        metrics.interval_coverage(low[rows], high[rows], np.asarray(checked.targets)[rows], level) for _, rows in found
    ]
    ends = [value for each in parts for value in (each.share, each.low, each.high)]
    axis = charts.even_axis([level, *ends], unit=0.01, after=f"{charts.THIN}%", most=1.0)
    rows = [
        (f"{cut(name, 48)} ({len(rows)})", _held(axis, level, each.share, (each.low, each.high)), _share(each.share))
        for (name, rows), each in zip(found, parts, strict=True)
    ]
    return _figure(
        f"Held by group, of {level_text(level)}{charts.THIN}% promised",
        _strips(rows, axis),
        "The promise is one for all lots together; a group whose dot is left of its bar gets ranges that are too narrow. One in twenty "
        "is outside of its bar by chance.",
    )
