"""A back-test: whether acting on valuations would have made money, strictly forward in time. Nothing here is advice.

Dates are decimal years, prices are money, values and resales are natural logarithms of it. What a lot would have fetched when it is sold
again is in no table of single sales, so it is handed in as `resale` and the answer is only as good as that; see `index_resale` and
`repeat_resale` for what each way takes for granted. No decision looks at it: it only says how much cash comes back, and when.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxart import metrics


class Costs(NamedTuple):
    """What trading costs, each as a share.

    Fields:
        premium: of the price, paid by the buyer on top of it.
        fee: of the price, kept from the seller.
        yearly: of what was paid, each year it is held (insurance, storage); settled at the sale.
    """

    premium: float = 0.25
    fee: float = 0.10
    yearly: float = 0.0


USUAL_COSTS = Costs()
_HIGHEST = 50.0  # of a log price: nothing costs exp(50)


class Trades(NamedTuple):
    """What was bought, in order of time, each ``[T]``.

    Fields:
        rows: of the table.
        bought: date.
        paid: the price with the premium.
        sold: date; of an open position the one that was planned.
        got: the price less fee and yearly costs; NaN of an open position, one whose resale is not known.
        returns: ``got / paid - 1``, over the whole time; NaN of an open position.
    """

    rows: np.ndarray
    bought: np.ndarray
    paid: np.ndarray
    sold: np.ndarray
    got: np.ndarray
    returns: np.ndarray


class Ledger(NamedTuple):
    """What a back-test did.

    Fields:
        trades: in order of time.
        refused: how many lots were to be bought and were not, because the money or the stake did not allow it.
        budget: money at the beginning, or None.
        start: the first date of a lot with a valuation.
        end: the last date of such a lot or of a sale that one of them could have had. So it is the same whatever was bought.
    """

    trades: Trades
    refused: int
    budget: float | None
    start: float
    end: float


class Summary(NamedTuple):
    """A ledger in a few numbers; never NaN. What returns say is None where nothing was sold; all else is then 0.

    Fields:
        trades: lots bought.
        open: those of them whose resale is not known; they tie up money and are in no return.
        refused: lots for which there was no money.
        hit_rate: share of the sold with a return above 0.
        median_return, mean_return: of the sold, over the whole time they were held, after all costs.
        profit: money.
        invested: money bound in lots, at cost, on average over the time from start to end.
        exposure: `invested` over the capital: the budget, or where there is none the most that was ever invested at once. It may be more
            than 1 when gains are put back.
        drawdown: the largest fall of the capital with all profits so far, as a share of its highest value before. Lots are valued at cost
            until they are sold, so what they lose meanwhile does not show.
        yearly_return: what the capital grew by, a year, idle money included, which earns nothing; None where no time passes.
    """

    trades: float
    open: float
    refused: float
    hit_rate: float | None
    median_return: float | None
    mean_return: float | None
    profit: float
    invested: float
    exposure: float
    drawdown: float
    yearly_return: float | None


class Market(NamedTuple):
    """What lots cost and bring, each ``[N]``, and the time in which they are traded."""

    dates: np.ndarray
    sold: np.ndarray
    paid: np.ndarray
    got: np.ndarray
    start: float
    end: float


def column(name: str, values: ArrayLike, *, length: int | None = None, positive: bool = False) -> np.ndarray:
    """Return numbers as float64 ``[N]``; raise where they are not finite, or not above 0 if they are to be.

    Args:
        name: for the message.
        values: ``[N]``.
        length: N, if it is known.
        positive: whether they must be above 0.

    Raises:
        ValueError: another rank or length, or such a number.
    """
    array = _shaped(name, values, length)
    bad = np.flatnonzero(~np.isfinite(array) | ((array <= 0) & positive))
    if len(bad):
        wanted = "numbers above 0" if positive else "finite numbers"
        raise ValueError(
            f"{name}: expected {wanted}, got {array[bad[0]]:g} in row {bad[0]} ({len(bad)} of {len(array)} such rows). "
            "Leave these rows out."
        )
    return array


def _shaped(name: str, values: ArrayLike, length: int | None = None) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) == 0 or (length is not None and len(array) != length):
        wanted = "[N], one number a lot" if length is None else f"[{length}], one number for each of the dates"
        raise ValueError(f"{name}: expected {wanted}, got shape {array.shape}.")
    return array


def asked_prices(price: ArrayLike, estimate: ArrayLike | None = None, *, at_least_price: bool = True) -> np.ndarray:
    """Return what each lot was to be had for: the estimate where the table has one, else the price it sold at.

    Nobody gets a lot at the estimate that others paid more for, so by default it is the larger of both. With the price alone, the rule
    of `signals` is a bid left beforehand, ``exp(low) (1 - fee) / (1 + premium)``, which wins where the hammer fell below it; that the
    others would not have gone on bidding is taken for granted, so profits are too large rather than too small.

    Args:
        price: ``[N]``, NaN of a lot that was not sold.
        estimate: ``[N]``, NaN where there is none.
        at_least_price: False takes the estimate of lots that sold for more, too, as of a dealer who sells at a fixed price.

    Raises:
        ValueError: lengths that differ, or a lot with neither, or with one that is not a finite number above 0.

    >>> asked_prices([100, 300], [200, 250]).tolist()
    [200.0, 300.0]
    """
    paid = _shaped("price", price)
    told = np.full(len(paid), np.nan) if estimate is None else _shaped("estimate", estimate, len(paid))
    for name, values in (("price", paid), ("estimate", told)):
        if (np.isinf(values) | (values <= 0)).any():
            raise ValueError(f"{name}: expected finite numbers above 0, or NaN where there is none, got others.")
    asked = np.fmax(paid, told) if at_least_price else np.where(np.isnan(told), paid, told)
    return column("the price or the estimate", asked)


def signals(low: ArrayLike, asked: ArrayLike, costs: Costs = USUAL_COSTS, *, holding: ArrayLike = 0.0) -> np.ndarray:
    """Return by how much, in log units, a lot is worth more after costs than it costs; buy where it is above 0.

    ``low + ln(1 - fee) - ln(asked (1 + premium) (1 + yearly holding))``.

    Args:
        low: ``[N]``, the lower bound of the log value, such as that of an 80 % interval; -inf where there is no valuation.
        asked: ``[N]``, money.
        costs: of trading.
        holding: years; of use for `Costs.yearly` alone.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: shapes that differ, bounds that are NaN or infinite, prices not above 0, costs out of range.

    >>> signals(np.log([200, 130]), [100, 100]).round(2).tolist()
    [0.36, -0.07]
    """
    _check_costs(costs)
    price = column("asked", asked, positive=True)
    years = _years(holding, len(price))
    return (
        _logarithms("low", _opinions("low", low, len(price)))
        + np.log1p(-costs.fee)
        - np.log(price)
        - np.log1p(costs.premium)
        - np.log1p(costs.yearly * years)
    )


def _opinions(name: str, values: ArrayLike, length: int) -> np.ndarray:
    array = _shaped(name, values, length)
    bad = np.flatnonzero(np.isnan(array) | (array == np.inf))
    if len(bad):
        raise ValueError(
            f"{name}: expected numbers, -inf where there is no valuation, got {array[bad[0]]:g} in row {bad[0]}."
        )
    return array


def _check_costs(costs: Costs) -> None:
    if not (0 <= costs.premium < np.inf and 0 <= costs.fee < 1 and 0 <= costs.yearly < np.inf):
        raise ValueError(f"costs: expected shares of at least 0, and a fee below 1, got {costs}. 0.25 is 25 %.")


def _years(holding: ArrayLike, length: int) -> np.ndarray:
    years: Any = np.asarray(holding, np.float64)
    if years.shape not in ((), (length,)) or not np.isfinite(years).all() or (years < 0).any():
        raise ValueError(f"holding: expected years, one number or {length}, finite and not negative, got {holding}.")
    return np.broadcast_to(years, (length,))


def _logarithms(name: str, values: np.ndarray) -> np.ndarray:
    """Return log prices; raise where they must be money."""
    if (values > _HIGHEST).any():
        raise ValueError(
            f"{name}: expected natural logarithms of prices, got {np.nanmax(values):g}. Take np.log of money."
        )
    return values


def market_of(
    dates: ArrayLike, asked: ArrayLike, margin: ArrayLike, resale: ArrayLike, *, costs: Costs, holding: ArrayLike
) -> tuple[Market, np.ndarray]:
    """Return what lots cost and bring, and the checked margins.

    Args:
        dates, asked, margin, resale, costs, holding: as in `backtest`.

    Raises:
        ValueError: as in `backtest`.
    """
    _check_costs(costs)
    when = column("dates", dates)
    count = len(when)
    price, wanted = column("asked", asked, length=count, positive=True), _opinions("margin", margin, count)
    later, years = _logarithms("resale", _shaped("resale", resale, count)), _years(holding, count)
    if np.isinf(later).any() or (years == 0).any():
        raise ValueError(
            "expected a resale that is a log price, or NaN where there is none, and a holding time above 0, got "
            f"{np.isinf(later).sum()} infinite ones and {np.sum(years == 0)} of no time."
        )
    paid, sold = price * (1 + costs.premium), when + years
    got = np.exp(later) * (1 - costs.fee) - paid * costs.yearly * years
    among = wanted > -np.inf if (wanted > -np.inf).any() else np.ones(count, bool)
    ends = np.append(when[among], sold[among & ~np.isnan(got)])
    return Market(when, sold, paid, got, float(when[among].min()), float(ends.max())), wanted


def trade_in_order(market: Market, order: np.ndarray, *, budget: float | None, stake: float) -> Ledger:
    """Buy rows one after the other where there is money, which comes back when they are sold.

    Args:
        market: what they cost and bring.
        order: rows, by date.
        budget, stake: as in `backtest`.

    Raises:
        ValueError: a budget that is not above 0, or a stake out of range or without a budget.
    """
    check_money(budget, stake)
    rows = np.asarray(order, np.int64)
    if budget is not None:
        rows = _affordable(market, rows, budget, stake * budget)
    trades = Trades(
        rows,
        market.dates[rows],
        market.paid[rows],
        market.sold[rows],
        market.got[rows],
        market.got[rows] / market.paid[rows] - 1,
    )
    return Ledger(trades, len(order) - len(rows), budget, market.start, market.end)


def check_money(budget: float | None, stake: float) -> None:
    """Raise unless there is money to trade with.

    Args:
        budget, stake: as in `backtest`.

    Raises:
        ValueError: a budget that is not above 0, or a stake out of range or without a budget.
    """
    if budget is not None and not 0 < budget < np.inf:
        raise ValueError(f"budget: expected money above 0, or None for no bound, got {budget}.")
    if not 0 < stake <= 1 or (budget is None and stake < 1):
        raise ValueError(f"stake: expected a share of the budget in (0, 1], and 1 without a budget, got {stake}.")


def _affordable(market: Market, order: np.ndarray, budget: float, limit: float) -> np.ndarray:
    """Return the rows that cash suffices for, in order; what is due at a date is there for the purchases of that date."""
    cash, due, kept = budget, [], []
    for row in order.tolist():
        while due and due[0][0] <= market.dates[row]:
            cash += heapq.heappop(due)[1]
        paid = float(market.paid[row])
        if paid <= min(cash, limit):
            cash -= paid
            kept.append(row)
            if not np.isnan(market.got[row]):
                heapq.heappush(due, (float(market.sold[row]), float(market.got[row])))
    return np.array(kept, np.int64)


def backtest(
    dates: ArrayLike,
    asked: ArrayLike,
    margin: ArrayLike,
    resale: ArrayLike,
    *,
    costs: Costs = USUAL_COSTS,
    holding: ArrayLike = 5.0,
    budget: float | None = None,
    stake: float = 1.0,
) -> Ledger:
    """Buy what has a margin above 0, in order of time, and sell each lot after the holding period.

    Of one date the largest margin comes first, equal ones by row. A lot is bought whole if there is cash for it; cash comes back at the
    sale and may be used on the same day. No decision looks at a later row, nor at a resale whose date has not come, nor at whether there
    will be one: a lot whose resale is NaN is bought like others, ties up its money to the end and is counted as open. To buy nothing
    that cannot be sold within the table, set the margin to -inf after ``last date - holding``, which is known beforehand.

    Args:
        dates: ``[N]``, decimal years.
        asked: ``[N]``, money, see `asked_prices`.
        margin: ``[N]``, see `signals`; -inf where there is no valuation. Of a model that saw only earlier sales, see `walk_forward`.
        resale: ``[N]``, log prices at ``dates + holding``; NaN where nobody knows. From another model than the margin, see `index_resale`.
        costs: of trading.
        holding: years, one number or ``[N]``.
        budget: money at the beginning, None for no bound.
        stake: the largest share of the budget at the beginning that one lot may cost.

    Raises:
        ValueError: lengths that differ, dates that are not finite, prices not above 0, margins that are NaN, infinite resales, costs, years
            or money out of range.

    >>> ledger = backtest([2000, 2001, 2003], [100, 100, 100], [0.5, 0.3, 0.2], np.log([200, 90, 150]), holding=2, budget=200)
    >>> ledger.trades.rows.tolist(), ledger.trades.returns.round(2).tolist(), ledger.refused
    ([0, 2], [0.44, 0.08], 1)
    """
    market, wanted = market_of(dates, asked, margin, resale, costs=costs, holding=holding)
    return trade_in_order(market, by_margin(market, wanted), budget=budget, stake=stake)


def by_margin(market: Market, margin: np.ndarray) -> np.ndarray:
    """Return the rows with a margin above 0 by date; of one date the largest margin first.

    Args:
        market: with the dates.
        margin: ``[N]``.
    """
    order = np.lexsort((-margin, market.dates))
    return order[margin[order] > 0]


def summary(ledger: Ledger) -> Summary:
    """Return a ledger in a few numbers.

    Args:
        ledger: from `backtest`.

    >>> lost = summary(backtest([2000.0], [100], [0.1], [np.log(100)], holding=1))
    >>> round(lost.mean_return, 2), round(lost.profit), lost.drawdown.__round__(2)
    (-0.28, -35, 0.28)
    """
    trades, years = ledger.trades, ledger.end - ledger.start
    closed = ~np.isnan(trades.got)
    returns, until = trades.returns[closed], np.where(closed, trades.sold, ledger.end)
    bound = float(np.sum(trades.paid * (until - trades.bought)))
    invested = bound / years if years > 0 else float(trades.paid.sum())
    capital = _most_invested(trades, closed) if ledger.budget is None else ledger.budget
    equity = _equity(trades, closed, capital)
    highest = np.maximum.accumulate(equity)
    return Summary(
        trades=len(trades.rows),
        open=int((~closed).sum()),
        refused=ledger.refused,
        hit_rate=float((returns > 0).mean()) if len(returns) else None,
        median_return=float(np.median(returns)) if len(returns) else None,
        mean_return=float(returns.mean()) if len(returns) else None,
        profit=float(equity[-1] - capital),
        invested=invested,
        exposure=invested / capital if capital else 0.0,
        drawdown=float(((highest - equity) / highest).max()) if capital else 0.0,
        yearly_return=_yearly(equity[-1], capital, years),
    )


def _most_invested(trades: Trades, closed: np.ndarray) -> float:
    """Return the most money bound at once, at cost; what is sold on a day frees its money before the purchases of that day."""
    changes = np.append(trades.paid, -trades.paid[closed])
    order = np.lexsort((changes, np.append(trades.bought, trades.sold[closed])))
    return float(np.cumsum(changes[order]).max(initial=0))


def _equity(trades: Trades, closed: np.ndarray, capital: float) -> np.ndarray:
    """Return the capital and all profits, at the beginning and after each day with a sale."""
    _, day = np.unique(trades.sold[closed], return_inverse=True)
    gains = np.bincount(day, weights=(trades.got - trades.paid)[closed])
    return capital + np.append(0, np.cumsum(gains))


def _yearly(final: float, capital: float, years: float) -> float | None:
    if years <= 0:
        return None
    return float((max(final, 0) / capital) ** (1 / years) - 1) if capital else 0.0


def sale_probability_auc(value: ArrayLike, estimate: ArrayLike, sold: ArrayLike) -> float:
    """Return the chance that a sold lot had a larger ``value - ln(estimate)`` than one that was bought in; 0.5 says nothing.

    Args:
        value: ``[N]``, log values of a model that has not seen these sales.
        estimate: ``[N]``, money.
        sold: ``[N]``, 0 or 1; both must occur.

    Raises:
        ValueError: lengths that differ, values not finite, estimates not above 0, lots of one kind alone.

    >>> sale_probability_auc(np.log([120, 80, 95]), [100, 100, 100], [1, 0, 1])
    1.0
    """
    told = column("estimate", estimate, positive=True)
    return metrics.roc_auc(np.asarray(sold), column("value", value, length=len(told)) - np.log(told))
