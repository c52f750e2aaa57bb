"""The command appraise: what a run of `train appraiser` says of lots."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import say, show, table

if TYPE_CHECKING:
    import numpy as np

    from jaxart.runs import LotAppraiser, Run
    from jaxart.tasks.appraise import Valued

_SHOWN = 10  # lots in the terminal
_EXPLAINED = 20  # lots
_REASONS = 20  # that are printed

Appraised = Annotated[Path, Parameter(help="The folder of a run of `train appraiser`.")]
Lots = Annotated[
    Path, Parameter(help="A table of lots with the columns that it was trained on: .csv, .tsv, .txt or .parquet.")
]


def appraise(
    run: Appraised,
    lots: Lots,
    /,
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="The table with the values beside its own columns, a .csv.")
    ],
    report: Annotated[
        Path | None,
        Parameter(
            help="Write a page too, .html in one file: the first 200 lots with their ranges, and how far to trust them."
        ),
    ] = None,
    title: Annotated[str | None, Parameter(help="Of the page. [Valuation of LOTS]")] = None,
    unit: Annotated[str, Parameter(help="Of money, such as EUR, for the page.")] = "",
    reasons: Annotated[
        int, Parameter(help="For how many lots, from the first on, reasons are given: each takes a part of a second.")
    ] = _EXPLAINED,
) -> int:
    """Value lots: what each is worth, the ranges that hold its price in 80 and 90 of 100 lots, what speaks against trusting it, and why.

    The result has the table's own columns, then value, low_80, high_80, low_90, high_90, flags, reasons (factors of the value, the
    largest first) and comparables (lots like it that were sold, with their prices). Lots of one sale are best valued together. An estimate
    by a computer is no expert's opinion.

    Example: `jaxart appraise RUN lots.csv -o valued.csv --report valued.html --unit EUR`
    """
    from jaxart import data, io, runs
    from jaxart.tasks.appraise import valued_columns

    keep_compiled_programs()
    if report is not None:
        io.check_writable(report, suffixes=(".html", ".htm"))
    if reasons < 0:
        raise ValueError(f"--reasons: expected 0 or more lots, got {reasons}.")
    found = runs.lot_appraiser(runs.open_run(run))
    records = runs.read_lots(found, lots)
    with Bar(min(reasons, len(next(iter(records.values()))))) as bar:
        valued = runs.appraise_lots(
            found,
            records,
            folder=lots.parent,
            reasons=reasons,
            report=lambda done, total: bar.update(done, f"reasons {done}/{total}", "", total=total),
        )
    data.write_table(output, valued_columns(valued, records))
    show(_overview(found, valued, records))
    say(f"{output}: {len(valued.value)} lots")
    if report is not None:
        runs.write_valuation(
            report, found, valued, records, folder=lots.parent, title=title or f"Valuation of {lots.name}", unit=unit
        )
        say(str(report))
    return 0


def _overview(found: "LotAppraiser", valued: "Valued", records: "dict[str, np.ndarray]") -> Any:
    from jaxart.tasks.appraise.answers import cut, price_text

    names = [name for name in found.described_by if name in records][:1]
    rows = []
    for row in range(min(_SHOWN, len(valued.value))):
        lot = f"{row + 1}  {cut(records[names[0]][row], 40) if names else ''}".rstrip()
        ends = (f"{price_text(valued.low[row, 0])} to {price_text(valued.high[row, 0])}",)
        rows.append((lot, price_text(valued.value[row]), *ends, cut("; ".join(valued.flags[row]), 40)))
    more = len(valued.value) - len(rows)
    if more:
        rows.append((f"{more} more", "", "", ""))
    return table(rows, columns=("lot", "value", f"{100 * valued.levels[0]:.0f} of 100 are within", "flags"))


def explain_row(run: "Run", lots: Path, row: int | None) -> int:
    """Print why a lot is worth what it is: what each word, cell and picture multiplies its value by.

    Args:
        run: of `train appraiser`.
        lots: a table.
        row: from 1 on.

    Raises:
        ValueError: no row, or none of that number.
    """
    import math

    from jaxart import runs
    from jaxart.tasks.appraise import modality_shares
    from jaxart.tasks.appraise.answers import cut, factor_text, price_text

    if row is None:
        raise ValueError(
            "--row: expected the number of the lot to explain, 1 for the first below the names of the columns."
        )
    found = runs.lot_appraiser(run)
    reasons = runs.explain_lot(found, runs.read_lots(found, lots), row - 1, folder=lots.parent)
    base, value, gap = (float(each[0]) for each in (reasons.base, reasons.value, reasons.gap))
    ordered = sorted(reasons.contributions[0], key=lambda each: -abs(each.amount))
    rows = [(each.modality, cut(each.name, 60), factor_text(each.amount)) for each in ordered[:_REASONS]]
    rest = sum(each.amount for each in ordered[_REASONS:])
    if len(ordered) > _REASONS:
        rows.append(("", f"{len(ordered) - _REASONS} others together", factor_text(rest)))
    show(table(rows, columns=("from", "what", "times")))
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in modality_shares(reasons)[0].items() if share)
    show(
        f"From {price_text(math.exp(base))}, what a lot is worth of which nothing is known, to {price_text(math.exp(value))}: {shares}."
    )
    show(f"The factors multiply to that within {100 * (math.exp(abs(gap)) - 1):.2g} %.")
    return 0
