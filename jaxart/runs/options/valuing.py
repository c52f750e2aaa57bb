"""What a user may choose of appraisers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jaxart.runs.options.base import DATA, NETWORK, Option, RunOptions

COLUMNS = "The columns"


@dataclass(frozen=True)
class AppraiserOptions(RunOptions):
    """What an appraiser has beside what every run has."""

    batch: Annotated[int, Option("Lots per step, over all devices.")] = 128
    steps: Annotated[
        int,
        Option(
            "Steps in all; the learning rate falls over them. [10 times all lots, by networks that are checked and by those that answer]"
        ),
    ] = 0
    save_every: Annotated[int, Option("Steps between checkpoints.")] = 100
    sample_every: Annotated[int, Option("Steps between reports in RUN/samples.")] = 100
    target: Annotated[
        str, Option("The column of prices. A lot without a price above 0 is not learned from.", COLUMNS)
    ] = "price"
    date: Annotated[
        str | None,
        Option("The column of the dates of sales; then the newest sales are the test. A year will do.", COLUMNS),
    ] = None
    group: Annotated[
        tuple[str, ...],
        Option(
            "Columns that say what was sold together, the widest first, such as sale lot: it is never on both sides of a split.",
            COLUMNS,
        ),
    ] = ()
    number: Annotated[tuple[str, ...], Option("Columns that are numbers, whatever they look like.", COLUMNS)] = ()
    category: Annotated[tuple[str, ...], Option("Columns that are categories.", COLUMNS)] = ()
    text: Annotated[tuple[str, ...], Option("Columns that are read word by word.", COLUMNS)] = ()
    picture_column: Annotated[
        tuple[str, ...],
        Option("The column of the files of pictures, in the folder of the table or below it.", COLUMNS),
    ] = ()
    after_sale: Annotated[
        tuple[str, ...],
        Option(
            "Columns known only after the sale, such as buyers: left out, or values look better than they are.", COLUMNS
        ),
    ] = ()
    leave_out: Annotated[tuple[str, ...], Option("Further columns that are left out.", COLUMNS)] = ()
    artist: Annotated[
        str | None, Option("The column of artists, for reports. [a category whose name says so]", COLUMNS)
    ] = None
    missing: Annotated[
        Literal["regress", "mean", "median", "frequent", "own", "interpolate", "drop"],
        Option(
            "How gaps in numbers are filled, each of which is marked: regress on the other numbers; mean, median, the most frequent value; "
            "own, the median with the mark; interpolate along the date; drop leaves out rows with gaps, and columns that are mostly gaps.",
            DATA,
        ),
    ] = "regress"
    intervals: Annotated[
        Literal["quantile", "normalized", "absolute"],
        Option(
            "What ranges are made of before they are calibrated: quantiles that are learned, the value and its uncertainty, or the value "
            "alone, so that all are as wide.",
        ),
    ] = "quantile"
    split: Annotated[
        Literal["time", "group"] | None,
        Option("What is kept back for the test: the newest sales, or any groups. [time where there is a date]", DATA),
    ] = None
    test: Annotated[
        float,
        Option(
            "Share of the lots that is kept back, and valued by networks that never saw it, to say how good values are. Those that answer "
            "learn from all lots. 0 for no test, in half of the time.",
            DATA,
        ),
    ] = 0.2
    delimiter: Annotated[str | None, Option("Between cells of the table. [found]", DATA)] = None
    encoding: Annotated[str | None, Option("Of the table, such as utf-8 or cp1252. [found]", DATA)] = None
    features: Annotated[
        Literal["statistics", "vgg16"],
        Option("What is seen of a picture: colors, contrast and edges in 16 places, or what VGG-16 sees.", NETWORK),
    ] = "statistics"
    weights: Annotated[Path | None, Option("A file of VGG-16's weights. [the package's or the hub's]", NETWORK)] = None
    members: Annotated[
        int,
        Option(
            "Networks of the ensemble, each kept from one fold of the lots: what ranges are measured with.", NETWORK
        ),
    ] = 5
    width: Annotated[int, Option("Units of the layers that fuse text, table and picture.", NETWORK)] = 256
    learning_rate: Annotated[
        float, Option("Learning rate of AdamW; it rises briefly, then falls to a hundredth by a cosine.")
    ] = 2e-3
    weight_decay: Annotated[float, Option("Of AdamW, on matrices alone.")] = 0.05
