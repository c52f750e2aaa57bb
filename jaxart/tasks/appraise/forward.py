"""A back-test of appraisers over a table of sales: trained anew for each period, on what was sold before it and on nothing else.

What a bought lot fetches later stands in no table of single sales. It is judged by ridge hedonics of other sales (`index_resale`), and by
how much of what a lot was cheap by is a fault that stays, the persistence, which nobody knows: so the answer is told for several. A judge
that knows lots by their description finds a bargain wherever a price was below what the description says, and favors who values as it does,
a ridge above all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxart import data, metrics
from jaxart.arrays import Key, check_choice
from jaxart.tasks.appraise.judge import FEWEST, Judge, fit_judge, judged, lower_bound
from jaxart.tasks.appraise.resale import Period, index_resale, walk_forward
from jaxart.tasks.appraise.strategies import Comparison, compare_strategies, verdict
from jaxart.tasks.appraise.trade import (
    USUAL_COSTS,
    Costs,
    Ledger,
    asked_prices,
    backtest,
    check_money,
    sale_probability_auc,
    signals,
)
from jaxart.tasks.appraise.trained import Appraiser, calibrate, predicted_of, train_appraiser, value_lots

PERSISTENCES = (0.0, 0.5, 1.0)
_METHOD = "normalized"  # of intervals
_BEFORE = 1 / 3  # of the sold lots are before the first period


class Backtested(NamedTuple):
    """A back-test. M lots could be bought: sold lots of the periods that have a judge, of several rows at one price the first.

    Fields:
        rows: of the table, ``[M]``; also those of `ledger`.
        dates: decimal years, ``[M]``.
        asked: what they were to be had for, money ``[M]``.
        value: log values, ``[M]``.
        low: lower ends of their intervals, ``[M]``; -inf where there were too few lots to calibrate with.
        margin: by how much they are worth more than they cost, ``[M]``; bought is what is above 0.
        resale: log prices of resales by the persistence that was asked for, ``[M]``.
        ledger: what the model bought, by that persistence.
        persistence: that one.
        comparisons: the model beside dull strategies, by persistence, from the smallest.
        verdict: in words.
        auc: the chance that a sold lot had a larger value over its estimate than an unsold one; None where no lot is unsold, or without
            estimates.
        starts: of the periods.
        undated: rows that were left out, for their date is not known.
    """

    rows: np.ndarray
    dates: np.ndarray
    asked: np.ndarray
    value: np.ndarray
    low: np.ndarray
    margin: np.ndarray
    resale: np.ndarray
    ledger: Ledger
    persistence: float
    comparisons: dict[float, Comparison]
    verdict: str
    auc: float | None
    starts: tuple[float, ...]
    undated: int


class _Table(NamedTuple):
    """Rows with a date, ``[N]``: their places in the whole table, what is known of them; NaN where there is no price or no estimate."""

    rows: np.ndarray
    records: dict[str, np.ndarray]
    dates: np.ndarray
    prices: np.ndarray
    estimates: np.ndarray


class _Said(NamedTuple):
    """Log prices of rows ``[N]``: by the model, by a ridge that learned from the same lots, by judges of now and of later; or NaN."""

    value: np.ndarray
    low: np.ndarray
    ridge_low: np.ndarray
    now: np.ndarray
    later: np.ndarray


class _Ways(NamedTuple):
    """How to learn from records and log prices: the model, with a key, and a judge."""

    train: Callable[[Key, dict[str, np.ndarray], np.ndarray], Appraiser]
    judge: Callable[[dict[str, np.ndarray], np.ndarray], Judge]
    level: float


def backtest_appraiser(
    key: Key,
    records: Mapping[str, np.ndarray],
    columns: Sequence[data.Column],
    prices: ArrayLike,
    *,
    date: str,
    group: Sequence[str] = (),
    estimate: str | None = None,
    first: float | None = None,
    period: float = 1.0,
    holding: float = 5.0,
    level: float = 0.8,
    persistence: float = 0.5,
    costs: Costs = USUAL_COSTS,
    budget: float | None = None,
    stake: float = 1.0,
    missing: str = "regress",
    members: int = 5,
    epochs: float = 10,
    width: int = 256,
    report: Callable[[int, int], None] | None = None,
) -> Backtested:
    """Walk forward in time: train on earlier sales, buy what is cheap by the lower end of its value, sell it after the holding period.

    For each period an appraiser is trained and calibrated on the lots sold before it. Resales are judged by a ridge hedonic of the lots
    sold from `holding` years after the period's beginning on, asked about the date of the resale, and by one of the sales around the
    period, which sees no lot's own price. Beside the model stand buying all, buying at random, and a ridge that learned from the same lots.
    Lots whose resale nobody can judge, at the end of the table, are not traded; unsold lots neither.

    Args:
        key: typed key.
        records: the table, text ``[N]`` by name.
        columns: what its columns are, by `data.find_columns`.
        prices: ``[N]``, money, NaN of a lot that was not sold.
        date: the column of dates.
        group: columns by which rows belong together, the coarsest first. Rows that are equal in all of them and in date, and that all have
            one price, are one lot, bought once.
        estimate: the column of estimates, if there is one: a lot is then to be had for it or for its price, whichever is more.
        first: the beginning of the first period, a decimal year. By default the first date before which a third of the sold lots is.
        period: years.
        holding: years until the resale.
        level: share of prices that intervals hold; the signal is their lower end.
        persistence: in [0, 1], see `index_resale`.
        costs, budget, stake: as in `backtest`.
        missing, members, epochs, width: as in `train_appraiser`.
        report: is told how many periods are done, and of how many.

    Raises:
        ValueError: a column that is not there, no dates, sales at one date alone, too few lots before the first period or after the
            holding period, numbers out of range, or what `train_appraiser` refuses.
    """
    if not (0 < level < 1 and 0 <= persistence <= 1 and holding > 0):
        raise ValueError(
            f"expected a level in (0, 1), a persistence in [0, 1] and a holding time above 0, got {level}, {persistence} and {holding}."
        )
    signals([0.0], [1.0], costs, holding=holding)  # refused now, not after all the training
    check_money(budget, stake)
    table = _table(records, prices, date, estimate)

    def train(key: Key, part: dict[str, np.ndarray], log_prices: np.ndarray) -> Appraiser:
        size: dict[str, Any] = {"members": members, "epochs": epochs, "width": width}
        return train_appraiser(key, part, columns, log_prices, group=group, missing=missing, **size)

    def judge(part: dict[str, np.ndarray], log_prices: np.ndarray) -> Judge:
        return fit_judge(part, columns, log_prices, group=group, missing=missing)

    ways = _Ways(train, judge, level)
    periods = _judged_periods(table, _first(table) if first is None else first, period, holding)
    said = _walked(key, table, periods, ways, moved=(date, holding), report=report)
    lots, told = _as_lots(table, said, group)
    asked = asked_prices(table.prices[lots], table.estimates[lots])
    margin, ridge = (signals(low, asked, costs, holding=holding) for low in (told.low, told.ridge_low))
    resales = {
        each: index_resale(table.prices[lots], told.now, told.later, persistence=each)
        for each in sorted({*PERSISTENCES, persistence})
    }
    money: dict[str, Any] = {"costs": costs, "holding": holding, "budget": budget, "stake": stake}
    bought = table.dates[lots], asked, margin
    luck = jax.random.fold_in(key, len(periods))
    comparisons = {
        each: compare_strategies(luck, *bought, resale, others={"the ridge hedonic": ridge}, **money)
        for each, resale in resales.items()
    }
    ledger = backtest(*bought, resales[persistence], **money)
    ledger = ledger._replace(trades=ledger.trades._replace(rows=table.rows[lots[ledger.trades.rows]]))
    return Backtested(
        rows=table.rows[lots],
        dates=table.dates[lots],
        asked=asked,
        value=told.value,
        low=told.low,
        margin=margin,
        resale=resales[persistence],
        ledger=ledger,
        persistence=persistence,
        comparisons=comparisons,
        verdict=_in_words(comparisons),
        auc=_auc(table, said.value),
        starts=tuple(each.start for each, _ in periods),
        undated=len(np.asarray(prices)) - len(table.rows),
    )


def _table(records: Mapping[str, np.ndarray], prices: ArrayLike, date: str, estimate: str | None) -> _Table:
    """Return the rows with a date; raise where there are none, or where columns do not fit."""
    for argument, name in (("date", date), ("estimate", estimate)):
        if name is not None:
            check_choice(argument, name, records)
    dates, paid = data.column_values(records[date], "date"), np.asarray(prices, np.float64)
    if paid.shape != dates.shape or np.isinf(paid).any() or (paid <= 0).any():
        raise ValueError(
            f"prices: expected money above 0, or NaN where there is none, for each of {len(dates)} rows, got shape {paid.shape}, "
            f"from {np.nanmin(paid, initial=np.inf):g} to {np.nanmax(paid, initial=-np.inf):g}."
        )
    rows = np.flatnonzero(np.isfinite(dates))
    if not np.isfinite(paid[rows]).any():
        raise ValueError(
            f"date: expected sold lots with dates in {date!r}, got {len(rows)} of {len(dates)} rows with a date, none with a price."
        )
    told = np.full(len(dates), np.nan) if estimate is None else data.parse_numbers(records[estimate])
    told = np.where((told > 0) & np.isfinite(told), told, np.nan)
    return _Table(rows, _part(records, rows), dates[rows], paid[rows], told[rows])


def _part(records: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(cells)[rows] for name, cells in records.items()}


def _first(table: _Table) -> float:
    """Return the first date before which a third of the sold lots is."""
    dates = table.dates[~np.isnan(table.prices)]
    late = [when for when in np.unique(dates).tolist() if np.mean(dates < when) >= _BEFORE]
    if not late:
        raise ValueError(
            f"date: expected sales at several dates, a third of the lots before the last of them, got {len(np.unique(dates))} "
            f"from {dates.min():g} to {dates.max():g}. There is nothing to walk forward through."
        )
    return late[0]


def _judged_periods(table: _Table, first: float, period: float, holding: float) -> list[tuple[Period, np.ndarray]]:
    """Return periods whose resales can be judged, of whose rows to learn from only sold ones are left, and rows sold around each."""
    sold, reach = ~np.isnan(table.prices), max(holding, period)
    found = []
    for each in walk_forward(table.dates, first=first, period=period, holding=holding):
        own = each._replace(train=each.train[sold[each.train]], judge=each.judge[sold[each.judge]])
        if len(own.train) < FEWEST:
            raise ValueError(
                f"first: expected at least {FEWEST} sold lots before {first:g}, to learn from, got {len(own.train)}. Begin later."
            )
        around = (table.dates >= each.start - reach) & (table.dates < each.start + period + reach)
        if len(own.judge) >= FEWEST and sold[each.test].any():
            found.append((own, np.flatnonzero(around & sold)))
    if not found:
        raise ValueError(
            f"holding: expected at least {FEWEST} lots sold {reach:g} years after {first:g} or later, to judge resales by, but the table "
            f"ends at {table.dates.max():g}. Hold for a shorter time, or begin earlier."
        )
    return found


def _walked(
    key: Key,
    table: _Table,
    periods: Sequence[tuple[Period, np.ndarray]],
    ways: _Ways,
    *,
    moved: tuple[str, float],
    report: Callable[[int, int], None] | None,
) -> _Said:
    """Return what is said of all rows, period by period; resales are judged with the column `moved` so many years later."""
    said, (date, holding) = _Said(*np.full((len(_Said._fields), len(table.rows)), np.nan)), moved
    for number, (each, around) in enumerate(periods):
        later = _dated(_part(table.records, each.test), date, table.dates[each.test] + holding)
        found = _said(jax.random.fold_in(key, number), table, each, around, later, ways)
        for kept, values in zip(said, found, strict=True):
            kept[each.test] = values
        if report is not None:
            report(number + 1, len(periods))
    return said


def _said(
    key: Key, table: _Table, period: Period, around: np.ndarray, later: dict[str, np.ndarray], ways: _Ways
) -> _Said:
    """Return what is said of the lots of a period, by what was learned before it and, to judge, around it and later."""

    def known(rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        return _part(table.records, rows), np.log(table.prices[rows])

    new, (before, log_prices) = _part(table.records, period.test), known(period.train)
    trained = ways.train(key, before, log_prices)
    worth = value_lots(trained, new)
    intervals = calibrate(trained, log_prices, (ways.level,), method=_METHOD)
    low = metrics.apply_intervals(intervals, predicted_of(worth, _METHOD, (ways.level,))).low[:, 0]
    ridge, now = ways.judge(before, log_prices), ways.judge(*known(around))
    own = np.full(len(table.rows), np.nan)
    own[around] = now.own
    return _Said(
        worth.mean,
        low,
        lower_bound(ridge, judged(ridge, new), ways.level),
        own[period.test],
        judged(ways.judge(*known(period.judge)), later),
    )


def _dated(records: dict[str, np.ndarray], date: str, dates: np.ndarray) -> dict[str, np.ndarray]:
    """Return records of other dates."""
    years = np.floor(dates).astype(int)
    days = np.round((dates - years) * 365).astype(int)
    cells = [f"{np.datetime64(f'{year:04d}-01-01') + day}" for year, day in zip(years, days, strict=True)]
    return {**records, date: np.array(cells)}


def _as_lots(table: _Table, said: _Said, group: Sequence[str]) -> tuple[np.ndarray, _Said]:
    """Return rows that can be bought, of each lot the first, and the means of what is said of its rows."""
    rows = np.flatnonzero(~np.isnan(table.prices) & ~np.isnan(said.later))
    groups, prices = data.group_rows(_part(table.records, rows), group), table.prices[rows]
    _, lots = np.unique(np.stack([groups, table.dates[rows]]), axis=1, return_inverse=True)
    least, most = np.full(len(rows), np.inf), np.zeros(len(rows))
    np.minimum.at(least, lots.ravel(), prices)
    np.maximum.at(most, lots.ravel(), prices)
    one_price = (least == most)[lots.ravel()]
    lots = np.where(one_price, lots.ravel(), len(rows) + np.arange(len(rows)))
    _, first, lots, counts = np.unique(lots, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    means = [(np.bincount(lots, each[rows]) / counts)[order] for each in said]
    return rows[first[order]], _Said(*means)


def _auc(table: _Table, value: np.ndarray) -> float | None:
    told = ~np.isnan(value) & ~np.isnan(table.estimates)
    sold = ~np.isnan(table.prices[told])
    if not told.any() or sold.all() or not sold.any():
        return None
    return sale_probability_auc(value[told], table.estimates[told], sold)


def _in_words(comparisons: Mapping[float, Comparison]) -> str:
    """Return the verdict of each persistence, and what they come to together."""
    lines = [f"Persistence {each:g}: {verdict(found)}" for each, found in comparisons.items()]
    good = [f"{each:g}" for each, found in comparisons.items() if _beats_all(found)]
    beats = "makes money and beats all dull strategies by more than luck gives"
    if len(good) == len(comparisons):
        told = f"In all, the model {beats}, whatever the persistence is."
    elif good:
        told = f"In all, the model {beats} if the persistence is {' or '.join(good)}, and not else; nobody knows what it is."
    else:
        told = "In all, the model does not beat the dull strategies: whatever the persistence is, it loses money or one of them is as good."
    return "\n".join([*lines, told])


def _beats_all(found: Comparison) -> bool:
    model, *others = found.strategies
    return model.summary.profit > 0 and all(
        each.difference is not None and each.high is not None and each.difference > max(each.high, 0) for each in others
    )
