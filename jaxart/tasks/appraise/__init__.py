"""What works of art are worth: the answers and their report; whether acting on valuations would have made money."""

from jaxart.tasks.appraise.answers import Checked, Comparable, Valued, valued_columns
from jaxart.tasks.appraise.report import appraisal_report, write_appraisal
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
    "Checked",
    "Comparable",
    "Comparison",
    "Costs",
    "Ledger",
    "Period",
    "Strategy",
    "Summary",
    "Trades",
    "Valued",
    "appraisal_report",
    "asked_prices",
    "backtest",
    "compare_strategies",
    "index_resale",
    "repeat_resale",
    "sale_probability_auc",
    "signals",
    "summary",
    "valued_columns",
    "verdict",
    "walk_forward",
    "write_appraisal",
]
