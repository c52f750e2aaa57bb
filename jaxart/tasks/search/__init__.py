"""Searching collections: an index on disk, the works most like a picture, and whether it is a copy of one."""

from jaxart.tasks.search.collection import Failure, File, read_square
from jaxart.tasks.search.describe import VGG_LAYERS, Features, vgg_features
from jaxart.tasks.search.index import Index, build_index, check_features, open_index
from jaxart.tasks.search.match import Match, match
from jaxart.tasks.search.nearest import Nearest, nearest_rows
from jaxart.tasks.search.originals import Originals, originals_of
from jaxart.tasks.search.passport import (
    COPY_RATE,
    NEAR_RATE,
    Pair,
    Passport,
    Work,
    near_duplicates,
    passports,
    search,
    sheet,
    verdict_of,
)
from jaxart.tasks.search.rows import Rows, rows_of

__all__ = [
    "COPY_RATE",
    "NEAR_RATE",
    "VGG_LAYERS",
    "Failure",
    "Features",
    "File",
    "Index",
    "Match",
    "Nearest",
    "Originals",
    "Pair",
    "Passport",
    "Rows",
    "Work",
    "build_index",
    "check_features",
    "match",
    "near_duplicates",
    "nearest_rows",
    "open_index",
    "originals_of",
    "passports",
    "read_square",
    "rows_of",
    "search",
    "sheet",
    "verdict_of",
    "vgg_features",
]
