"""The command backtest: whether acting on the values of an appraiser would have made money. The work is in `jaxart.tasks.appraise`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.options import running
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import format_duration, say, show, table

if TYPE_CHECKING:
    import numpy as np

    from jaxart.tasks.appraise import Backtested, Comparison

_TIME, _MONEY, _JUDGE = (
    Group(name, sort_key=place) for place, name in enumerate(("The time", "The money", "The judge"))
)
_WORDS = 40  # letters of a lot's text
_NUMBERS = (
    "row",
    "bought",
    "paid",
    "value",
    "low",
    "margin",
    "sold",
    "got",
    "return",
)  # the columns of trades beside the table's own
_SHARES = ("hit_rate", "median_return", "mean_return", "exposure", "drawdown", "yearly_return")


def backtest(
    run: Annotated[Path, Parameter(help="The folder of a run of `train appraiser`, which says what the columns are.")],
    lots: Annotated[Path, Parameter(help="A table of sales of several years, with the columns of the run.")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], group=_TIME, help="Write the trades to a .csv.")
    ] = None,
    holding: Annotated[float, Parameter(group=_TIME, help="Years until a lot is sold again.")] = 5.0,
    period: Annotated[
        float, Parameter(group=_TIME, help="Years until the model is trained anew. Training takes most of the time.")
    ] = 1.0,
    first: Annotated[
        str | None,
        Parameter(group=_TIME, help="Date or year at which trading begins. [when a third of the lots is sold]"),
    ] = None,
    premium: Annotated[
        float, Parameter(group=_MONEY, help="Of the price, paid by the buyer on top: 0.25 is 25 %.")
    ] = 0.25,
    fee: Annotated[float, Parameter(group=_MONEY, help="Of the price, kept from the seller.")] = 0.10,
    yearly: Annotated[float, Parameter(group=_MONEY, help="Of what was paid, each year: insurance, storage.")] = 0.0,
    budget: Annotated[float | None, Parameter(group=_MONEY, help="Money at the beginning. [no bound]")] = None,
    stake: Annotated[float, Parameter(group=_MONEY, help="Largest share of the budget that one lot may cost.")] = 1.0,
    estimate: Annotated[
        str | None,
        Parameter(
            group=_MONEY,
            help="The column of estimates: a lot is then to be had for that or for its price, whichever is more. [its price]",
        ),
    ] = None,
    persistence: Annotated[
        float,
        Parameter(
            group=_JUDGE,
            help="Share of what a lot was cheap by that a resale has again, 0 to 1: 0 takes each cheap lot for a bargain, 1 for one with a "
            "fault that no description tells. Nobody knows it, so the verdict is told for 0, 0.5 and 1 as well.",
        ),
    ] = 0.5,
    level: Annotated[
        float,
        Parameter(group=_JUDGE, help="Of the intervals whose lower end must be worth the costs. More buys less."),
    ] = 0.8,
    epochs: Annotated[float, Parameter(group=running, help="How often each lot is seen in each training.")] = 10,
    seed: Annotated[int, Parameter(group=running, help="The same seed gives the same trades.")] = 0,
) -> int:
    """Tell whether buying by an appraiser's values would have made money, strictly forward in time.

    For each period a model with the run's settings is trained on what was sold before it, and nothing else; it buys each lot whose value
    after costs, by the lower end of its interval, is above what it costs. The run's own weights are not used, for they have seen the
    later sales. Pictures are left out: values rest on the table and its texts.

    What a lot would have fetched later is in no table. It is judged by a plain regression on sales after the holding period, which the
    model never sees. Buying all lots, as many at random, and buying by such a regression stand beside the model; the verdict says in words
    whether it beats them by more than luck gives.

    Example: `jaxart backtest run lots.csv --holding 3 --budget 100000 --stake 0.1 -o trades.csv`
    """
    import jax

    from jaxart import io, runs
    from jaxart.runs.lot_table import appraiser_table
    from jaxart.tasks import appraise

    if output is not None:
        io.check_writable(output, suffixes=(".csv",))
    options: Any = _options(runs.open_run(run))
    begin = _date(first)
    keep_compiled_programs()
    records, columns, prices = appraiser_table(options, lots)
    missing = options.missing
    if missing in ("drop", "interpolate"):
        missing = "regress"
        say(f"gaps in numbers are filled by regression here, not by {options.missing!r}.")
    columns = [each for each in columns if each.kind != "picture"]
    with Bar() as bar:
        found = appraise.backtest_appraiser(
            jax.random.key(seed),
            records,
            columns,
            prices,
            date=options.date,
            group=options.group,
            estimate=estimate,
            first=begin,
            period=period,
            holding=holding,
            level=level,
            persistence=persistence,
            costs=appraise.Costs(premium, fee, yearly),
            budget=budget,
            stake=stake,
            missing=missing,
            members=options.members,
            epochs=epochs,
            width=options.width,
            report=lambda done, total: bar.update(done, f"period {done}/{total}", "", total=total),
        )
    columns_of_trades = _trades(found, records, columns, options.group)
    if output is not None:
        from jaxart.data import write_table

        write_table(output, columns_of_trades)
    _show(found, columns_of_trades)
    say(f"{len(found.starts)} trainings, {format_duration(bar.seconds)}" + (f"; {output}" if output else ""))
    return 0


def _options(run: Any) -> Any:
    if run.kind != "appraiser":
        raise ValueError(f"{run.folder}: a run of the kind {run.kind}; expected one of `jaxart train appraiser`.")
    if run.options.date is None:
        raise ValueError(
            f"{run.folder}: this run knows no column of dates, and a back-test goes forward in time; train it with --date COLUMN."
        )
    return run.options


def _date(text: str | None) -> float | None:
    from jaxart import data

    if text is None:
        return None
    when = float(data.parse_dates([text], day_first=True)[0])
    if when != when:
        raise ValueError(f"--first: expected a year or a date such as 1770 or 1770-05-01, got {text!r}.")
    return when


def _trades(
    found: "Backtested", records: "Mapping[str, np.ndarray]", columns: Any, group: tuple[str, ...]
) -> "dict[str, np.ndarray]":
    """Return the trades as columns, in order of time; rows are counted from 1."""
    import numpy as np

    trades = found.ledger.trades
    place = {row: number for number, row in enumerate(found.rows.tolist())}
    own = np.array([place[row] for row in trades.rows.tolist()], np.int64)
    told = [each.name for each in columns if each.kind == "text"][:1]
    return {
        "row": trades.rows + 1,
        **{name: records[name][trades.rows] for name in dict.fromkeys([*group, *told])},
        "bought": trades.bought,
        "paid": trades.paid,
        "value": np.exp(found.value[own]),
        "low": np.exp(found.low[own]),
        "margin": found.margin[own],
        "sold": trades.sold,
        "got": trades.got,
        "return": trades.returns,
    }


def _show(found: "Backtested", trades: "Mapping[str, Any]") -> None:
    """Print the trades, the strategies and what they come to."""
    names = [name for name in trades if name not in _NUMBERS]
    lines = []
    for number, row in enumerate(trades["row"]):
        text = " ".join(" ".join(trades[name][number] for name in names).split()) or f"row {row}"
        short = text if len(text) <= _WORDS else f"{text[: _WORDS - 1]}…"
        paid, low, got = (f"{trades[name][number]:,.0f}" for name in ("paid", "low", "got"))
        lines.append(
            (f"{trades['bought'][number]:.6g}", short, paid, low, got, f"{100 * trades['return'][number]:+.0f} %")
        )
    if lines:
        show(table(lines, columns=("date", "lot", "paid", "valued at least", "got", "return")))
    show(_strategies(found.comparisons[found.persistence], found.persistence))
    for line in found.verdict.splitlines():
        show(line)
    if found.auc is not None:
        show(
            f"Of a sold and an unsold lot the sold one has the larger value beside its estimate in {100 * found.auc:.0f} of 100 cases (AUC "
            f"{found.auc:.3f}; 0.5 says nothing)."
        )
    if found.undated:
        say(f"{found.undated} rows left out, for their date cannot be read.")
    show(
        "This is no advice. Nobody sold these lots again: what they got is what a regression on the sales after the holding period says of "
        "lots of that description; and bids are taken to win wherever the price was below them."
    )


def _strategies(found: "Comparison", persistence: float) -> Any:
    """Return a table of figures, a column of each strategy."""
    each = [strategy.summary for strategy in found.strategies]
    rows = [("lots bought", *(f"{one.trades:.0f}" for one in each))]
    rows += [(name.replace("_", " "), *(_share(getattr(one, name)) for one in each)) for name in _SHARES]
    rows.append(("profit", *(f"{one.profit:,.0f}" for one in each)))
    names = [strategy.name for strategy in found.strategies]
    return table(rows, columns=("", *names), title=f"If the persistence is {persistence:g}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
