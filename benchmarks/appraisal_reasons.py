"""Question: do the reasons of a valuation add up to it, and do words do what reasons say when they are taken out of the text?

    pip install 'jaxart[tables]'
    python benchmarks/appraisal_reasons.py [TABLE] [--lots 50] [--cases 200]

TABLE is the CSV of paintings sold at auction in Paris, 1764 to 1778. The appraiser is trained with its defaults on all lots but 300, of
which the first 50 rows are explained. Prints what the contributions miss of their values, and for 200 random words of them how often the
value, asked anew without the word, falls where the word's contribution is positive and rises where it is negative. Words that training
does not know are cases like others; no case is left out but those that contribute exactly 0.
"""

import argparse
import re
import time
from pathlib import Path

import jax
import numpy as np

from jaxart import data
from jaxart.tasks import appraise

AFTER_SALE = ("winningbidder", "winningbiddertype", "endbuyer", "Interm", "type_intermed")
TABLE = Path(__file__).parent.parent.parent / "shared/data/auction/paris_paintings.csv"
GROUP, TEXT = ("sale", "lot"), "subject"
_KEPT = 300  # lots that are not trained on
_PLACE = re.compile(r'"(.+)" \(word (\d+)\)')


def train(records: dict[str, np.ndarray], kept: np.ndarray) -> appraise.Appraiser:
    """Train with defaults on the lots that are not kept back."""
    columns = data.find_columns(
        records, target="price", date="year", group=GROUP, texts=(TEXT,), after_sale=AFTER_SALE, leave_out=("logprice",)
    )
    prices = np.log(data.parse_numbers(records["price"]))
    return appraise.train_appraiser(jax.random.key(0), part(records, ~kept), columns, prices[~kept], group=GROUP)


def part(records: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return some rows."""
    return {name: cells[rows] for name, cells in records.items()}


def without_word(text: str, place: int) -> str:
    """Return a text without its word at a place, as the encoder counts words."""
    word = list(re.finditer(r"\w+", text))[place]
    return text[: word.start()] + text[word.end() :]


def words_taken_out(
    trained: appraise.Appraiser, lots: dict[str, np.ndarray], reasons: appraise.Reasons, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what random words contribute, and by how much the value falls without each."""
    cases = [
        (row, int(found[2]) - 1, each.amount)
        for row, lot in enumerate(reasons.contributions)
        for each in lot
        if (found := _PLACE.fullmatch(each.name))
    ]
    chosen = [cases[number] for number in np.random.default_rng(1).permutation(len(cases))[:count]]
    claimed, fallen = [], []
    for row, place, amount in chosen:
        cut = {name: cells.copy() for name, cells in lots.items()}
        cut[TEXT] = cut[TEXT].astype(object)
        cut[TEXT][row] = without_word(str(lots[TEXT][row]), place)
        cut[TEXT] = cut[TEXT].astype(str)
        claimed.append(amount)
        fallen.append(reasons.value[row] - _value(trained, cut, row))
    return np.array(claimed), np.array(fallen)


def _value(trained: appraise.Appraiser, lots: dict[str, np.ndarray], row: int) -> float:
    return float(appraise.value_lots(trained, lots).mean[row])


def main() -> None:
    """Train, explain, take words out."""
    parser = argparse.ArgumentParser(description="How far the reasons of a valuation can be relied on.")
    parser.add_argument("table", nargs="?", type=Path, default=TABLE)
    parser.add_argument("--lots", type=int, default=50)
    parser.add_argument("--cases", type=int, default=200)
    options = parser.parse_args()
    records = data.read_records(options.table)
    group = data.group_rows(records, GROUP)
    kept = np.isin(group, np.random.default_rng(0).permutation(group.max() + 1)[:_KEPT])
    trained = train(records, kept)
    lots = part(records, np.flatnonzero(kept)[: options.lots])
    begin = time.perf_counter()
    reasons = appraise.explain_lots(trained, lots)
    seconds, way = time.perf_counter() - begin, np.abs(reasons.value - reasons.base)
    print(f"{len(way)} lots explained in {seconds:.1f} s; value as valued: {_agree(trained, lots, reasons):.1e} apart")
    share = np.abs(reasons.gap) / way
    print(f"gap: at most {np.abs(reasons.gap).max():.1e} in log price; {100 * share.max():.2f} % of value less base")
    claimed, fallen = words_taken_out(trained, lots, reasons, options.cases)
    right = np.sign(claimed) == np.sign(fallen)
    large = np.abs(claimed) >= np.median(np.abs(claimed))
    print(f"{len(right)} words taken out: {100 * right.mean():.1f} % change the value in the direction claimed")
    print(f"the half that claims more: {100 * right[large].mean():.1f} %, the other {100 * right[~large].mean():.1f} %")


def _agree(trained: appraise.Appraiser, lots: dict[str, np.ndarray], reasons: appraise.Reasons) -> float:
    return float(np.abs(appraise.value_lots(trained, lots).mean - reasons.value).max())


if __name__ == "__main__":
    main()
