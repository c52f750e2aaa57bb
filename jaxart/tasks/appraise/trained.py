"""Training an appraiser in one call, and what it says of lots: networks and a process, each member kept from one fold.

What a network and a process say of a lot is averaged, quantile by quantile: they err differently. In trials on 2,700 lots of old sales R2
of both was up to 0.005 above the better one on other lots of the same sales; on later ones the network was better alone (0.647) than with
the process at 0.35 (0.627) or a half (0.612), so the process counts for 0.35.
"""

import functools
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data, metrics
from jaxart.arrays import Key, PyTree
from jaxart.tasks.appraise.covariances import member_features
from jaxart.tasks.appraise.encoder import Encoder, encode
from jaxart.tasks.appraise.lessons import (
    Lesson,
    code_counts,
    compared_lots,
    fit_process,
    learn_lots,
    lot_network,
    lot_optimizer,
    lot_recipe,
    lot_shapes,
    weights_of_words,
)
from jaxart.tasks.appraise.lots import Lots, rows_of
from jaxart.tasks.appraise.process import PROCESS_SHARE, condition_members, predict_members
from jaxart.tasks.appraise.recipe import QUANTILES, Known, guess
from jaxart.tasks.appraise.statistics import Statistics, price_statistics
from jaxart.training import fit

_CHUNK = 2048  # lots that a network looks at at once


class Appraiser(NamedTuple):
    """An appraiser, and all that it needs to value lots.

    Fields:
        encoder, statistics, known, center, deviation: as in `Lesson`.
        network: the module.
        params: averages of the members' params, ``[K, ...]``.
        process: params of the Gaussian process.
        compared: the lots of the training part that the process compares with, indices: all of up to 6,000, else so many.
    """

    encoder: Encoder
    statistics: Statistics
    known: Known
    network: Any
    params: PyTree
    process: dict[str, Any]
    compared: np.ndarray
    center: float
    deviation: float


class Worth(NamedTuple):
    """Log prices: the mean of what is thought likely ``[N]``, its standard deviation ``[N]``, and quantiles ``[N, Q]`` at `QUANTILES`."""

    mean: np.ndarray
    spread: np.ndarray
    quantiles: np.ndarray


def train_appraiser(
    key: Key,
    records: Mapping[str, np.ndarray],
    columns: Sequence[data.Column],
    log_prices: Any,
    *,
    group: Sequence[str] = (),
    missing: str = "regress",
    date: str | None = None,
    picture: Any = None,
    pictured: Any = None,
    members: int = 5,
    epochs: float = 10,
    batch: int = 128,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.05,
    width: int = 256,
) -> Appraiser:
    """Train networks and a process on lots that were sold.

    Args:
        key: typed key.
        records: the training part of a table, text ``[N]`` by name.
        columns: what its columns are, by `data.find_columns`.
        log_prices: ``[N]``.
        group: columns by which rows belong together, the coarsest first; rows that are equal in all of them are in one fold.
        missing, date: as in `learn_encoder`.
        picture, pictured: as in `encode`.
        members: K, of the ensemble, each kept from one fold of K; at least 2.
        epochs: how often the networks see each lot. In trials on 2,700 lots of old sales 10 were better than 5, and on average as good
            as 20 and 50.
        batch: lots in a step.
        learning_rate: of AdamW, at its highest.
        weight_decay: of AdamW, on matrices.
        width: of the layers that fuse.

    Raises:
        ValueError: prices that are not finite or all equal, fewer groups than members, or what `learn_encoder` refuses.
    """
    key_folds, key_order, key_network, key_process = jax.random.split(key, 4)
    lesson = learn_lots(
        key_folds,
        records,
        columns,
        log_prices,
        group=group,
        missing=missing,
        date=date,
        picture=picture,
        pictured=pictured,
        members=members,
    )
    count = len(lesson.known.targets)
    batch = min(batch, count)
    steps = max(2, round(epochs * count / batch))
    optimizer = lot_optimizer(learning_rate, weight_decay, steps)
    recipe = lot_recipe(lot_shapes(lesson), members=members, optimizer=optimizer, width=width)
    stream = functools.partial(_rows, key_order, count, batch)
    state, _ = fit(recipe._replace(frozen=lesson.known), stream, key=key_network, steps=steps, batches_per_call=8)
    return as_appraiser(lesson, state.average, fit_process(key_process, lesson), width=width)


def as_appraiser(lesson: Lesson, params: PyTree, process: Mapping[str, Any], *, width: int = 256) -> Appraiser:
    """Return the appraiser of a lesson that was learned.

    Args:
        lesson: the lesson.
        params: averages of the members' params, of the state of `lot_recipe`.
        process: from `fit_process`.
        width: of the layers that fuse.
    """
    network = lot_network(lot_shapes(lesson), width=width)
    compared = compared_lots(len(lesson.known.targets))
    known = (lesson.encoder, lesson.statistics, lesson.known)
    return Appraiser(*known, network, params, dict(process), compared, lesson.center, lesson.deviation)


def value_lots(
    trained: Appraiser, records: Mapping[str, np.ndarray], *, picture: Any = None, pictured: Any = None
) -> Worth:
    """Return what new lots are worth: the mean over all members.

    Args:
        trained: from `train_appraiser`.
        records: text ``[N]`` by name; a column that is not there is missing in all rows. Lots of one sale are best valued together.
        picture, pictured: as in `encode`, for an appraiser that learned from pictures; by default there are none.
    """
    lots = encode_lots(trained, records, picture=picture, pictured=pictured)
    told = price_statistics(trained.statistics, lots, **code_counts(trained.encoder))
    return _worth(trained, *_said(trained, jax.tree.map(jnp.asarray, lots), jnp.asarray(told)))


def encode_lots(
    trained: Appraiser, records: Mapping[str, np.ndarray], *, picture: Any = None, pictured: Any = None
) -> Lots:
    """Return lots as an appraiser reads them.

    Args:
        trained: from `train_appraiser`.
        records, picture, pictured: as in `value_lots`.

    Raises:
        ValueError: features of pictures of another length than it learned from.
    """
    count, length = len(next(iter(records.values()), ())), trained.known.lots.picture.shape[1]
    if picture is None:
        picture, pictured = np.zeros((count, length), np.float32), np.zeros(count, bool)
    if np.shape(picture) != (count, length):
        raise ValueError(f"picture: expected features [{count}, {length}], got {np.shape(picture)}.")
    return encode(trained.encoder, records, picture=picture, pictured=pictured)


def value_own_lots(trained: Appraiser) -> Worth:
    """Return what the lots of the training part are worth, each by the one member that was kept from its fold.

    Neither its network nor what it is told nor the prices its process is given come from that fold. What all members share does: the center
    and the deviation of log prices, and the few dozen params of the process. Most lots are of sales that the member knows.

    Args:
        trained: from `train_appraiser`.
    """
    known = trained.known
    of_own = np.asarray(known.folds)[None]
    said = _said(trained, known.lots, jnp.asarray(known.told))
    return _worth(trained, *(each[of_own, np.arange(of_own.size)[None]] for each in said))


def calibrate(
    trained: Appraiser, log_prices: Any, levels: Sequence[float] = (0.8, 0.9), *, method: str = "quantile"
) -> metrics.IntervalCalibration:
    """Find intervals with the lots of the training part, each valued by the member that was kept from it.

    They are meant for other lots of the same sales. New lots are valued by all members, whose mean is nearer than what one says, so the
    intervals hold about as often as promised or more. That is measured and not proved (proved is ``2 level - 1``, of intervals made of each
    member's own). Lots of later sales are harder: where some are at hand, calibrate with them (`metrics.calibrate_intervals`).

    Args:
        trained: from `train_appraiser`.
        log_prices: of its training part, ``[N]``.
        levels: rising shares.
        method: "absolute", "normalized" (by the spread) or "quantile".

    Reference: Barber et al., Predictive Inference with the Jackknife+, 2021, section 3.2 (CV+). Departure: intervals are around what all
    members say, with the thresholds of `metrics.calibrate_intervals`.
    """
    predicted = predicted_of(value_own_lots(trained), method, levels)
    return metrics.calibrate_intervals(log_prices, predicted, levels, method=method)  # pyright: ignore[reportArgumentType]


def predicted_of(worth: Worth, method: str, levels: Sequence[float]) -> Any:
    """Return what `metrics.apply_intervals` is to be given.

    Args:
        worth: of lots.
        method: as in `calibrate`.
        levels: of the intervals; by quantiles, each begins with those between which so many prices are thought to be.
    """
    if method == "absolute":
        return worth.mean
    if method == "normalized":
        return worth.mean, worth.spread
    known, normal = [NormalDist().inv_cdf(level) for level in QUANTILES], NormalDist()
    sides = [[normal.inv_cdf((1 - level) / 2), normal.inv_cdf((1 + level) / 2)] for level in levels]
    low, high = (
        np.stack([np.interp(ends, known, each) for each in worth.quantiles]) for ends in zip(*sides, strict=True)
    )
    return low, high


def _said(trained: Appraiser, lots: Lots, told: jax.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the variance and the quantiles by each member's network and its process together, ``[K, N]`` and ``[K, N, Q]``."""
    network = _guesses(trained, lots, told)
    mean, variance = (np.asarray(each) for each in _by_process(trained, lots, told))
    normal = np.array([NormalDist().inv_cdf(level) for level in QUANTILES])
    of_process = mean[..., None] + np.sqrt(variance)[..., None] * normal[None, None]
    apart = PROCESS_SHARE * (1 - PROCESS_SHARE) * (network.mean - mean) ** 2
    together = lambda one, other: (1 - PROCESS_SHARE) * one + PROCESS_SHARE * other  # noqa: E731
    return (
        together(network.mean, mean),
        together(np.exp(network.log_variance), variance) + apart,
        together(network.quantiles, of_process),
    )


def _guesses(trained: Appraiser, lots: Lots, told: jax.Array) -> Any:
    """Return what the networks say, one after the other, of some of the lots at a time, so that memory stays small."""
    count, said = told.shape[1], []
    parts = -(-count // _CHUNK)
    rows = np.minimum(np.arange(parts * -(-count // parts)), count - 1).reshape(parts, -1)  # of one length: one program
    for member in range(len(told)):
        params = jax.tree.map(lambda leaf: leaf[member : member + 1], trained.params)  # noqa: B023
        made = [_guess(trained.network, params, rows_of(lots, some), told[member, some][None]) for some in rows]
        said.append(jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1)[:, :count], *made))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *said)


def _by_process(trained: Appraiser, lots: Lots, told: jax.Array) -> tuple[jax.Array, jax.Array]:
    known, rows, words = trained.known, trained.compared, weights_of_words(trained.encoder, trained.known)
    own = member_features(rows_of(known.lots, rows), jnp.asarray(known.told)[:, rows], words)
    weights = np.asarray(known.folds)[rows][None] != np.arange(len(told))[:, None]
    conditioned = condition_members(trained.process, own, known.targets[rows], weights.astype(np.float32))
    return predict_members(trained.process, conditioned, own, member_features(lots, told, words))


@functools.partial(jax.jit, static_argnums=0)
def _guess(network: Any, params: PyTree, lots: Lots, told: Any) -> Any:
    return guess(network, params, lots, told)


def _worth(trained: Appraiser, mean: np.ndarray, variance: np.ndarray, quantiles: np.ndarray) -> Worth:
    """Return the mixture of members in the units of log prices."""
    spread = np.sqrt(variance.mean(0) + mean.var(0)) * trained.deviation
    at = lambda values: trained.center + trained.deviation * values.mean(0).astype(np.float64)  # noqa: E731
    return Worth(at(mean), spread.astype(np.float64), at(quantiles))


def _rows(key: Key, count: int, batch: int, first: int) -> Any:
    return data.batches(key, data.Dataset({"row": np.arange(count, dtype=np.int32)}), batch, first=first)
