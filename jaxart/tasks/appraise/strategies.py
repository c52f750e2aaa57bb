"""A model's trades beside dull ones: all lots, lots at random, other models. Whether it was skill is said in words."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxart.arrays import Key, check_choice
from jaxart.metrics.estimate import generator
from jaxart.tasks.appraise.trade import (
    USUAL_COSTS,
    Costs,
    Market,
    Summary,
    by_margin,
    market_of,
    summary,
    trade_in_order,
)

FIGURES = ("mean_return", "median_return", "hit_rate", "profit", "yearly_return")  # of a summary, to compare by


class Strategy(NamedTuple):
    """What one way to buy came to, and how the model compares with it.

    Fields:
        name: of the strategy.
        summary: of random ones the mean over the draws.
        difference: the model's figure less this one's; None where one of them sold nothing, and of the model itself.
        low, high: the 95 % range of that difference if both had bought as many lots at random: what luck gives.
    """

    name: str
    summary: Summary
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class Comparison(NamedTuple):
    """Strategies, the model first, the figure they are compared by, and the 95 % range of it for random ones (None where none sold)."""

    figure: str
    strategies: tuple[Strategy, ...]
    random_range: tuple[float, float] | None


def compare_strategies(
    key: Key,
    dates: ArrayLike,
    asked: ArrayLike,
    margin: ArrayLike,
    resale: ArrayLike,
    *,
    others: Mapping[str, ArrayLike] | None = None,
    figure: str = "mean_return",
    draws: int = 1000,
    costs: Costs = USUAL_COSTS,
    holding: ArrayLike = 5.0,
    budget: float | None = None,
    stake: float = 1.0,
) -> Comparison:
    """Trade by a model's margin, and by dull rules among the same lots: all, as many at random, and other models.

    All of them trade only lots that the model has a valuation of (a margin above -inf), under the same costs and money. Random ones draw
    as many lots as the model bought and pass over what they have no money for.

    Args:
        key: of the random draws.
        dates, asked, margin, resale, costs, holding, budget, stake: as in `backtest`.
        others: margins ``[N]`` by name, such as ``{"the ridge hedonic": margin}``.
        figure: one of `FIGURES`. A profit grows with the number of lots, so it compares rules only under a budget.
        draws: of the random strategy; at least 100.

    Raises:
        ValueError: as `backtest`, an unknown figure, too few draws.
    """
    check_choice("figure", figure, FIGURES)
    if draws < 100:
        raise ValueError(f"draws: expected at least 100, for the ends of their range to mean something, got {draws}.")
    market, wanted = market_of(dates, asked, margin, resale, costs=costs, holding=holding)
    known, draw = np.flatnonzero(wanted > -np.inf), generator(key)

    def trade(order: np.ndarray) -> Summary:
        return summary(trade_in_order(market, order, budget=budget, stake=stake))

    def at_random(count: float) -> list[Summary]:
        return [trade(_random_order(draw, market, known, int(count))) for _ in range(draws if count else 1)]

    model = trade(by_margin(market, wanted))
    lucky = at_random(model.trades)
    luck = _figures(figure, lucky)
    everything = trade(known[np.argsort(market.dates[known], kind="stable")])
    rows = [
        Strategy("the model", model),
        _beside(figure, "buying all", model, everything, luck, _figures(figure, [everything])),
        _beside(figure, "buying at random", model, _mean(lucky), luck, np.array([luck.mean()]) if len(luck) else luck),
    ]
    for name, values in (others or {}).items():
        rule = market_of(dates, asked, values, resale, costs=costs, holding=holding)[1]
        other = trade(by_margin(market, np.where(wanted > -np.inf, rule, -np.inf)))
        rows.append(_beside(figure, name, model, other, luck, _figures(figure, at_random(other.trades))))
    return Comparison(figure, tuple(rows), _range(luck) if len(luck) else None)


def _random_order(draw: np.random.Generator, market: Market, known: np.ndarray, count: int) -> np.ndarray:
    """Return so many different rows in order of date, those of one date in any order."""
    rows = draw.choice(known, count, replace=False)
    return rows[np.argsort(market.dates[rows], kind="stable")]


def _figures(figure: str, summaries: list[Summary]) -> np.ndarray:
    values = [getattr(each, figure) for each in summaries if each.mean_return is not None]
    return np.array([value for value in values if value is not None], np.float64)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _beside(
    figure: str, name: str, model: Summary, other: Summary, luck: np.ndarray, other_luck: np.ndarray
) -> Strategy:
    """Compare two summaries; the luck of the other is one number where it has none."""
    ours, theirs = _figures(figure, [model]), _figures(figure, [other])
    if not (len(ours) and len(theirs) and len(luck) and len(other_luck)):
        return Strategy(name, other)
    count = min(len(luck), len(other_luck)) if len(other_luck) > 1 else len(luck)
    differences = luck[:count] - (other_luck[:count] if len(other_luck) > 1 else other_luck)
    return Strategy(name, other, float(ours[0] - theirs[0]), *_range(differences))


def _mean(summaries: list[Summary]) -> Summary:
    """Return the mean of each number over summaries, leaving out those without it."""
    columns = [[value for value in each if value is not None] for each in zip(*summaries, strict=True)]
    return Summary(*(float(np.mean(each)) if each else None for each in columns))  # pyright: ignore


def verdict(comparison: Comparison) -> str:
    """Return in words whether the model made money, and whether it did better than each of the others beyond what luck gives.

    Args:
        comparison: from `compare_strategies`.
    """
    figure, model = comparison.figure, comparison.strategies[0].summary
    if model.mean_return is None:
        what = "bought nothing" if not model.trades else f"sold none of the {model.trades:.0f} lots that it bought"
        return f"The model {what}, so there is nothing to compare."
    sold = f"{model.trades - model.open:.0f} {'lot' if model.trades - model.open == 1 else 'lots'} sold"
    left = f" ({model.open:.0f} more not sold)" if model.open else ""
    earned = "made" if model.profit > 0 else "did not make"
    told = _number(figure, getattr(model, figure))
    profit = "" if figure == "profit" else f", profit {model.profit:,.0f}"
    begun = f"The model {earned} money: {sold}{left}, {figure.replace('_', ' ')} {told} after costs{profit}."
    return " ".join([begun, *(_sentence(figure, each) for each in comparison.strategies[1:])])


def _sentence(figure: str, other: Strategy) -> str:
    if other.difference is None or other.low is None or other.high is None:
        return f"Beside {other.name} there is nothing to compare: nothing was sold."
    gap = _points(figure, abs(other.difference)) + ("" if figure == "profit" else " points")
    theirs = _number(figure, getattr(other.summary, figure))
    luck = f"{_points(figure, other.low)} to {_points(figure, other.high)}"
    if other.difference > max(other.high, 0):
        return f"It beats {other.name} ({theirs}) by {gap}, more than luck gives ({luck})."
    if other.difference > 0:
        return f"It does not clearly beat {other.name} ({theirs}): {gap} better, which luck alone may give ({luck})."
    if other.difference < min(other.low, 0):
        return f"It does not beat {other.name} ({theirs}): {gap} worse, more than bad luck gives ({luck})."
    worse = f"{gap} worse, which bad luck alone may give ({luck})" if other.difference else "just as good"
    return f"It does not beat {other.name} ({theirs}): {worse}."


def _number(figure: str, value: float | None) -> str:
    if value is None:
        return "unknown"  # such as growth where no time passes
    return _points(figure, value) + ("" if figure == "profit" else " %")


def _points(figure: str, value: float) -> str:
    return f"{value:,.0f}" if figure == "profit" else f"{100 * value:.1f}"
