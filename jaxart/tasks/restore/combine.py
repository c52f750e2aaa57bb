"""Filling holes by the mean of several fills, each weighed by how near it comes on holes like these where the truth is known."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key
from jaxart.tasks.restore.choose import FILLS, Fill
from jaxart.tasks.restore.fill import checked

_MOVES = ((0.29, 0.41), (-0.32, 0.23))  # of the holes, in parts of the picture's sides
_EVEN = 0.25  # of the mean variance, added to that of each: two trials tell little, and equal weights are seldom bad


def fill_combined(key: Key, picture: Array, holes: Array, *, fills: Mapping[str, Fill] | None = None) -> jax.Array:
    """Fill holes by a weighted mean of fills: nearer than any of them on average, and less sharp than one.

    The holes are moved to other places of the picture, twice; what each fill gets wrong there, and which of them err alike, tells the
    weights.

    Args:
        key: of fills that draw numbers.
        picture: ``[H, W, C]``, float; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``, of values, since what is done depends on them.
        fills: ``(key, picture, holes) -> picture`` by name; `FILLS` when None.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit.

    Raises:
        ValueError: as `fill_harmonic`.

    Reference: Bates and Granger, The Combination of Forecasts, 1969. Departure: no weight is negative.
    """
    picture, holes = checked(picture, holes)
    chosen = list((FILLS if fills is None else fills).values())
    of_trials, of_fills = jax.random.split(key)
    errors = np.concatenate([_errors(of_trials, picture, np.asarray(holes), chosen, move) for move in _MOVES], axis=1)
    made = sum(
        weight * fill(of_fills, picture, holes)
        for weight, fill in zip(combination(errors), chosen, strict=True)
        if weight
    )
    return jnp.where(holes[..., None], made, picture)


def combination(errors: Any) -> np.ndarray:
    """Return weights that add up to 1, none below 0, of estimates whose weighted mean errs least; equal ones where nothing is known.

    Args:
        errors: ``[F, N]``, of F estimates in N cases.

    >>> combination([[1.0, -1.0], [-1.0, 1.0]]).round(6).tolist()
    [0.5, 0.5]
    """
    from scipy.optimize import nnls

    errors = np.asarray(errors, np.float64)
    count = len(errors)
    if not errors.any():
        return np.full(count, 1 / count)
    moments = errors @ errors.T / errors.shape[1]
    usual = np.trace(moments) / count
    moments = moments / usual + _EVEN * np.eye(count)
    heavy = 1e3  # of their sum
    rows = np.vstack([np.linalg.cholesky(moments).T, np.full(count, heavy)])
    found: Any = nnls(rows, np.append(np.zeros(count), heavy))[0]
    return found / found.sum()


def _errors(
    key: Key, picture: jax.Array, holes: np.ndarray, fills: list[Fill], move: tuple[float, float]
) -> np.ndarray:
    """Return what fills get wrong of moved holes: ``[F, N]``."""
    moved = np.roll(holes, [round(part * side) for part, side in zip(move, holes.shape, strict=True)], (0, 1))
    known, missing = moved & ~holes, moved | holes
    if missing.all():
        return np.zeros((len(fills), 0))
    hidden = np.where(missing[..., None], 0, picture)
    found = [np.asarray(fill(key, jnp.asarray(hidden), jnp.asarray(missing))) for fill in fills]
    return np.stack([(each - np.asarray(picture))[known].ravel() for each in found])
