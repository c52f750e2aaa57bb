"""Question: would buying by our appraiser's values have made money at old sales, and more than dull strategies?

    python benchmarks/appraisal_backtest.py [TABLE] [--holding YEARS] [--epochs N]

TABLE is the CSV of paintings sold at auction in Paris, 1764 to 1778. Each year the model is trained on all earlier sales; trading begins
when a third of the lots is sold, and ends where no sales are left to judge resales by. The judge is a ridge hedonic of the sales after the
holding period, so what a lot got is an index and no sale that took place. Columns known only after the sale are left out. Takes about 10
minutes on 2 CPU cores.
"""

import argparse
import time
from pathlib import Path

import jax
import numpy as np
from appraisal import AFTER_SALE, TABLE

from jaxart import data, metrics
from jaxart.tasks import appraise

GROUP = ("sale", "lot")


def main() -> None:
    """Back-test, and print the strategies by persistence and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, default=TABLE, metavar="TABLE")
    parser.add_argument("--holding", type=float, default=2.0, help="years until the resale")
    parser.add_argument("--epochs", type=float, default=10, help="how often each lot is seen in each training")
    asked = parser.parse_args()
    records, begin = data.read_records(asked.table), time.perf_counter()
    columns = data.find_columns(
        records,
        target="price",
        date="year",
        group=GROUP,
        texts=("subject",),
        after_sale=AFTER_SALE,
        leave_out=("logprice",),
    )
    found = appraise.backtest_appraiser(
        jax.random.key(0),
        records,
        columns,
        data.parse_numbers(records["price"]),
        date="year",
        group=GROUP,
        holding=asked.holding,
        epochs=asked.epochs,
        report=lambda done, total: print(f"period {done}/{total}, {time.perf_counter() - begin:.0f} s", flush=True),
    )
    print(f"\n{len(found.rows)} lots from {found.dates.min():g} to {found.dates.max():g}, ", end="")
    print(f"R2 of values {metrics.r_squared(np.log(found.asked), found.value):.3f}, ", end="")
    print(f"{100 * np.mean(np.log(found.asked) > found.low):.1f} % of prices above the lower end (90 % promised)\n")
    heads = ("persistence", "strategy", "lots", *appraise.FIGURES[:3], "exposure", "drawdown", "yearly_return")
    print(f"| {' | '.join(heads).replace('_', ' ')} | profit |\n|{'---|' * (len(heads) + 1)}")
    for persistence, comparison in found.comparisons.items():
        for name, each, *_ in comparison.strategies:
            shares = [getattr(each, figure) for figure in heads[3:]]
            cells = ["-" if share is None else f"{100 * share:.1f} %" for share in shares]
            print(f"| {persistence:g} | {name} | {each.trades:.0f} | {' | '.join(cells)} | {each.profit:,.0f} |")
    print(f"\n{found.verdict}\n\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
