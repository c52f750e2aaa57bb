"""Lots of auctions as arrays: what an encoder makes of a table, and rows of it."""

from typing import Any, NamedTuple

import jax

from jaxart.arrays import Array


class Lots(NamedTuple):
    """N lots, encoded.

    Fields:
        numbers: scaled and filled, about -3 to 3, ``[N, F]`` float32.
        missing: 1 where a number was filled, of the M columns where that happens, ``[N, M]`` float32.
        categories: a code per column, ``[N, C]`` int32: 0 missing, 1 rare or unknown, from 2 on known.
        tokens: codes of the words in their order, ``[N, L]`` int32: 0 nothing, 1 an unknown word.
        picture: features of the picture, ``[N, P]`` float32; P may be 0.
        pictured: whether there is one, ``[N]`` bool.
        groups: a code per level of grouping, such as sale and lot, ``[N, G]`` int32: equal codes above 0 are the same group, here and in
            other `Lots` of the same encoder; below 0 groups of this table that training has not seen; 0 no group.
    """

    numbers: Array
    missing: Array
    categories: Array
    tokens: Array
    picture: Array
    pictured: Array
    groups: Array


def rows_of(lots: Any, rows: Any) -> Any:
    """Return some rows of `Lots`, or of any tree of arrays ``[N, ...]``.

    Args:
        lots: the tree.
        rows: an index, a slice, a mask or an array of indices of the first axis.
    """
    return jax.tree.map(lambda array: array[rows], lots)
