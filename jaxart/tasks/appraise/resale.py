"""Who judges a back-test: the periods in which models are fit anew, and what bought lots fetch later."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxart.tasks.appraise.trade import column


class Period(NamedTuple):
    """One period of a walk forward in time.

    Fields:
        start: date.
        train: rows before the start: what the model that gives the signal may see.
        test: rows of the period: what it values.
        judge: rows from ``start + holding`` on: what the model that judges the resale may see. None of `test` is among them.
    """

    start: float
    train: np.ndarray
    test: np.ndarray
    judge: np.ndarray


def walk_forward(
    dates: ArrayLike, *, first: float, period: float = 1.0, holding: float = 5.0, window: float = np.inf
) -> Iterator[Period]:
    """Yield one period after the other, each with the rows to train on, all of them strictly before it.

    Periods without lots are passed over. Fit to `train` whatever is fit: scaling, words, the width of intervals too.

    Args:
        dates: ``[N]``, decimal years.
        first: where the first period begins; there must be rows before it.
        period: years.
        holding: years until the resale.
        window: years of sales that the judge sees. Where it is long, let the judge know the date and ask it about ``date + holding``.

    Raises:
        ValueError: dates that are not finite, no row before `first` or from there on, or years out of range.

    >>> for each in walk_forward([2000, 2001, 2002, 2003], first=2001, holding=1):
    ...     print(each.train.tolist(), each.test.tolist(), each.judge.tolist())
    [0] [1] [2, 3]
    [0, 1] [2] [3]
    [0, 1, 2] [3] []
    """
    when = column("dates", dates)
    if not (0 < period < np.inf and 0 <= holding < np.inf and window > 0):
        raise ValueError(
            f"expected a period, a holding time and a window in years, got {period}, {holding} and {window}."
        )
    if not when.min() < first <= when.max():
        raise ValueError(
            f"first: expected a date after {when.min():g}, for there must be something to learn from, and not after "
            f"{when.max():g}, got {first:g}."
        )
    return _periods(when, first, period, max(holding, period), window)


def _periods(when: np.ndarray, first: float, period: float, until: float, window: float) -> Iterator[Period]:
    for number in range(int((when.max() - first) / period) + 2):
        start, end = (
            first + number * period,
            first + (number + 1) * period,
        )  # so that each lot is in one of them, however numbers round
        test = np.flatnonzero((when >= start) & (when < end))
        if len(test):
            judge = np.flatnonzero((when >= start + until) & (when < start + until + window))
            yield Period(start, np.flatnonzero(when < start), test, judge)


def index_resale(price: ArrayLike, now: ArrayLike, later: ArrayLike, *, persistence: float) -> np.ndarray:
    """Return the log price of a resale, judged by what comparable lots sold for later.

    ``later + persistence (ln(price) - now)``. A lot that went for less than its description says was either a bargain or had a fault that
    the description does not tell, which a judge by description does not see either: with a persistence of 0 every such lot is a bargain,
    and a model that finds them "earns" what may not be there; with 1 none is, and a lot only moves with the market. No table of single
    sales tells which, so there is no default: look for the persistence at which profits end, or take the slope from repeat sales.

    Args:
        price: ``[N]``, money for which the lots were sold.
        now: ``[N]``, their log prices by a hedonic model of sales around their own date.
        later: ``[N]``, their log prices by such a model, fit only to sales after the holding period (`Period.judge`), and not the one
            that gave the signal; NaN where there are none.
        persistence: in [0, 1], the share of the difference that a resale has again.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: lengths that differ, prices not above 0, numbers that are not finite, a persistence out of range.

    >>> np.exp(index_resale([80], np.log([100]), np.log([110]), persistence=0.5)).round(1).tolist()
    [98.4]
    """
    paid = column("price", price, positive=True)
    fitted, after = column("now", now, length=len(paid)), np.asarray(later, np.float64)
    if after.shape != paid.shape or np.isinf(after).any():
        raise ValueError(f"later: expected log prices [{len(paid)}], NaN where there is none, got shape {after.shape}.")
    if not 0 <= persistence <= 1:
        raise ValueError(f"persistence: expected a share in [0, 1], got {persistence}.")
    return after + persistence * (np.log(paid) - fitted)


def repeat_resale(
    dates: ArrayLike, price: ArrayLike, pairs: ArrayLike, *, holding: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return log prices of resales that took place, and the years until then; NaN and `holding` for lots without one.

    Real prices, but of few lots and not of just any: what comes back is what promised a gain, or had to be sold.

    Args:
        dates: ``[N]``, decimal years.
        price: ``[N]``, money.
        pairs: ``[P, 2]``, rows of one work: a sale and the next one. Each row is first in one pair at most.
        holding: years, for the others.

    Returns:
        resale and holding, each ``[N]``, for `backtest`.

    Raises:
        ValueError: lengths that differ, prices not above 0, pairs that are none, not in order of time or begin twice at one row.

    >>> resale, years = repeat_resale([2000, 2001, 2004], [10, 50, 20], [[0, 2]])
    >>> np.exp(resale).round().tolist(), years.tolist()
    ([20.0, nan, nan], [4.0, 5.0, 5.0])
    """
    when = column("dates", dates)
    paid = column("price", price, length=len(when), positive=True)
    rows: Any = np.asarray(pairs)
    if rows.ndim != 2 or rows.shape[1] != 2 or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"pairs: expected rows [P, 2], whole numbers, got {rows.dtype} {rows.shape}.")
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(when):
        raise ValueError(f"pairs: expected rows from 0 to {len(when) - 1}, got {rows.min()} to {rows.max()}.")
    early, late = rows.T
    if len(np.unique(early)) < len(early) or (when[early] >= when[late]).any():
        raise ValueError("pairs: expected an earlier and a later sale each, and each row first once, got others.")
    resale, years = np.full(len(when), np.nan), np.full(len(when), float(holding))
    resale[early], years[early] = np.log(paid[late]), when[late] - when[early]
    return resale, years
