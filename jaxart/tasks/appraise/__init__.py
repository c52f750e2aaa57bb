"""What works of art are worth: the answers and their report; whether acting on valuations would have made money."""

from jaxart.tasks.appraise.answers import Checked, Comparable, Valued, valued_columns
from jaxart.tasks.appraise.encoder import Encoder, category_sizes, encode, learn_encoder
from jaxart.tasks.appraise.hedonic import fit_hedonic
from jaxart.tasks.appraise.lots import Lots
from jaxart.tasks.appraise.recipe import OUTPUTS, QUANTILES, Guess, Info, Known, State, appraiser, guess, with_told
from jaxart.tasks.appraise.report import appraisal_report, write_appraisal
from jaxart.tasks.appraise.resale import Period, index_resale, repeat_resale, walk_forward
from jaxart.tasks.appraise.statistics import Statistics, group_means, learn_statistics, price_statistics
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
    "OUTPUTS",
    "QUANTILES",
    "USUAL_COSTS",
    "Checked",
    "Comparable",
    "Comparison",
    "Costs",
    "Encoder",
    "Guess",
    "Info",
    "Known",
    "Ledger",
    "Lots",
    "Period",
    "State",
    "Statistics",
    "Strategy",
    "Summary",
    "Trades",
    "Valued",
    "appraisal_report",
    "appraiser",
    "asked_prices",
    "backtest",
    "category_sizes",
    "compare_strategies",
    "encode",
    "fit_hedonic",
    "group_means",
    "guess",
    "index_resale",
    "learn_encoder",
    "learn_statistics",
    "price_statistics",
    "repeat_resale",
    "sale_probability_auc",
    "signals",
    "summary",
    "valued_columns",
    "verdict",
    "walk_forward",
    "with_told",
    "write_appraisal",
]
