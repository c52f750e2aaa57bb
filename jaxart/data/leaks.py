"""Columns that may give the price away: those that tell it alone, and those whose names say that they are known only after the sale."""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxart.arrays import check_choice
from jaxart.data.columns import Column, column_values

_FOLDS, _BINS, _OF_A_BIN, _PRIOR = 5, 32, 15, 10.0
_BUYERS = re.compile(
    r"buyer|bidder|winning|hammer|proceeds|purchas|knocked|premium|acquire[rd]|paid|intermed|(?:^|[\W_])interm(?:$|[\W_])|acheteur|acqu[eé]reur"
    r"|adjudi|adjug|vendu|k(?:ä|ae)ufer|verkauft|zuschlag|erl(?:ö|oe)s|unsold|(?<!un)sold(?!i)|reali[sz](?![mt])"
)
_PRICES = re.compile(r"(?<!ca)price|prix(?!.?de.?rome)|preis")
_EARLY = re.compile(
    r"estim|sch(?:ä|ae)tz|start|opening|reserve|minimum|ausruf|mise.?[aà].?prix|limit|prev|earlier|former|last"
)


class Suspicion(NamedTuple):
    """A column that may give the price away.

    Fields:
        name: of the column.
        r2: the share of the variance of prices that the column explains alone, in rows that were not looked at.
        why: a short phrase for people.
    """

    name: str
    r2: float
    why: str


def suspicious_columns(
    records: Mapping[str, np.ndarray],
    columns: Sequence[Column],
    target_values: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    share: float = 0.8,
) -> list[Suspicion]:
    """Return the columns, among those that are not left out, that may give the price away, the most telling first.

    Each column alone predicts the prices of every fifth of the groups from the rest: a number by the mean of its bin (at most 32 of equal
    counts), the others by the mean of equal cells, (n mean + 10 mean of all) / (n + 10). Cells that say nothing are a value of their own.

    Args:
        records: text ``[N]`` by name.
        columns: what they are, as `find_columns` says.
        target_values: float ``[N]``, better logarithms of prices; rows of NaN do not count.
        groups: int ``[N]``, as `group_rows` numbers them, which are kept together; by default each row is its own.
        share: how much of the variance of prices a column may explain.

    Returns:
        A `Suspicion` each, empty if nothing is suspicious.

    Raises:
        ValueError: prices or groups of another length or not finite, a column that is not there, or a share outside of 0 to 1.
    """
    values = np.asarray(target_values, np.float64)
    known = np.isfinite(values)
    numbers = np.arange(len(values)) if groups is None else np.asarray(groups)
    lengths = {len(values), len(numbers), *(len(cells) for cells in records.values())}
    if len(lengths) != 1 or not known.any():
        raise ValueError(
            f"target_values: expected one a row and some that are finite, got lengths {sorted(lengths)} of which {known.sum()} are."
        )
    if not 0 < share <= 1:
        raise ValueError(f"share: expected more than 0 and at most 1, got {share}.")
    folds = np.array([zlib.crc32(str(number).encode()) % _FOLDS for number in numbers.tolist()])[known]
    found = []
    for column in columns:
        cells = records[check_choice("columns", column.name, records)]
        if column.kind in ("left out", "picture"):
            continue
        r2 = _explained(*_codes(cells[known], column.kind), values[known], folds)
        reasons = [f"explains {100 * r2:.3g} % of the prices alone"] if r2 >= share else []
        reasons += ["by its name known only after the sale"] if is_late_name(column.name) else []
        if reasons:
            found.append(Suspicion(column.name, r2, ", ".join(reasons)))
    return sorted(found, key=lambda each: -each.r2)


def is_late_name(name: str) -> bool:
    """Return whether a column's name says that it is known only after the sale: buyer, bidder, hammer, price, sold, acheteur, Käufer.

    Estimates, reserves, starting and earlier prices are known before.

    Args:
        name: of the column.

    >>> [is_late_name(name) for name in ("winningbidder", "hammer_price", "height", "price_estimate")]
    [True, True, False, False]
    """
    lowered = name.lower()
    known_before = _EARLY.search(lowered) is not None
    return _BUYERS.search(lowered) is not None or (_PRICES.search(lowered) is not None and not known_before)


def _codes(cells: np.ndarray, kind: str) -> tuple[np.ndarray, float]:
    """Return for each cell which value or bin it is, and how many rows the mean of all counts for."""
    if kind not in ("number", "date"):
        places = {text: place for place, text in enumerate(dict.fromkeys(cells.tolist()))}
        return np.array([places[text] for text in cells.tolist()]), _PRIOR
    values = column_values(cells, kind)
    finite = values[np.isfinite(values)]
    bins = int(np.clip(len(finite) // _OF_A_BIN, 2, _BINS))
    edges = np.unique(np.quantile(finite, np.arange(1, bins) / bins)) if len(finite) else np.zeros(0)
    return np.where(np.isfinite(values), 1 + np.searchsorted(edges, values, side="right"), 0), 1.0


def _explained(codes: np.ndarray, prior: float, values: np.ndarray, folds: np.ndarray) -> float:
    """Return the share of the variance of values that the means by code explain in rows of other folds; at least 0."""
    guesses = np.empty_like(values)
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        if not outside.any():
            return 0.0
        mean = values[outside].mean()
        count = np.bincount(codes[outside], minlength=codes.max() + 1)
        total = np.bincount(codes[outside], weights=values[outside] - mean, minlength=codes.max() + 1)
        guesses[inside] = mean + (total / (count + prior))[codes[inside]]
    spread = float(((values - values.mean()) ** 2).sum())
    return max(0.0, 1 - float(((values - guesses) ** 2).sum()) / spread) if spread else 0.0
