"""What works of art are worth: whether acting on valuations would have made money."""

from jaxart.tasks.appraise.resale import Period, index_resale, repeat_resale, walk_forward
from jaxart.tasks.appraise.strategies import FIGURES, Comparison, Strategy, compare_strategies, verdict
from jaxart.tasks.appraise.trade import (
    USUAL_COSTS,
    Costs,
    Ledger,
    Summary,
    Trades,
    asked_prices,
    backtest,
    sale_probability_auc,
    signals,
    summary,
)

__all__ = [
    "FIGURES",
    "USUAL_COSTS",
    "Comparison",
    "Costs",
    "Ledger",
    "Period",
    "Strategy",
    "Summary",
    "Trades",
    "asked_prices",
    "backtest",
    "compare_strategies",
    "index_resale",
    "repeat_resale",
    "sale_probability_auc",
    "signals",
    "summary",
    "verdict",
    "walk_forward",
]
