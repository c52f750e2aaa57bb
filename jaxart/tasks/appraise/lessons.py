"""What an appraiser learns from, and what it is made of: folds and what prices say, the recipe of networks, a process."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import data, models
from jaxart.arrays import Key
from jaxart.tasks.appraise.covariances import lot_features, word_weights
from jaxart.tasks.appraise.encoder import Encoder, category_sizes, encode, learn_encoder
from jaxart.tasks.appraise.lots import Lots, rows_of
from jaxart.tasks.appraise.process import price_process
from jaxart.tasks.appraise.recipe import OUTPUTS, QUANTILES, Known, appraiser, with_told
from jaxart.tasks.appraise.statistics import Statistics, learn_statistics
from jaxart.training import Recipe, fit

_WARM_UP, _LAST = 0.05, 0.01  # share of the steps in which the rate rises; what is left of it in the end
_PROCESS_STEPS = 20
_MOST_OF_PROCESS = 6000  # lots; time goes with the third power of them


class Lesson(NamedTuple):
    """What is to be learned from, and what was read off it without learning.

    Fields:
        encoder: how tables are read.
        statistics: what prices of the training part say.
        known: the training part.
        center, deviation: of its log prices.
    """

    encoder: Encoder
    statistics: Statistics
    known: Known
    center: float
    deviation: float


class LotShapes(NamedTuple):
    """What a network must know of a lesson; JSON values.

    Fields:
        numbers: how many there are, those that prices say among them.
        missing: flags of missing numbers.
        sizes: codes of each category.
        vocabulary: codes of words, 0 where there is no text.
        length: words of a lot.
        picture: features of a picture.
        levels: of grouping.
        groups: codes of groups of the first level, 0 where there are none.
        continuous: columns of numbers that are seen as waves too.
    """

    numbers: int
    missing: int
    sizes: tuple[int, ...]
    vocabulary: int
    length: int
    picture: int
    levels: int
    groups: int
    continuous: tuple[int, ...]


def learn_lots(
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
) -> Lesson:
    """Read a training part: how its table is encoded, which member is kept from which lots, and what prices say.

    Args:
        key: typed key, by which groups are dealt out to folds.
        records, columns, log_prices, group, missing, date, picture, pictured, members: as in `train_appraiser`.

    Raises:
        ValueError: as `train_appraiser`.
    """
    group = (group,) if isinstance(group, str) else tuple(group)
    prices = np.asarray(log_prices, np.float64)
    _check(prices, records, members)
    encoder = learn_encoder(records, columns, np.arange(len(prices)), group=group, missing=missing, date=date)
    lots = encode(encoder, records, picture=picture, pictured=pictured)
    folds = _folds(key, data.group_rows(records, group), members)
    center, deviation = float(prices.mean()), float(prices.std())
    targets = (prices - center) / deviation
    statistics, told = learn_statistics(lots, targets, folds, **code_counts(encoder))
    known = Known(*jax.tree.map(jnp.asarray, (lots, told, targets.astype(np.float32), folds.astype(np.int32))))
    return Lesson(encoder, statistics, known, center, deviation)


def lot_shapes(lesson: Lesson) -> LotShapes:
    """Return what a network must know of a lesson."""
    lots, told, encoder = lesson.known.lots, lesson.known.told.shape[2], lesson.encoder
    numbers = np.asarray(lots.numbers)
    own = [place for place in range(numbers.shape[1]) if len(np.unique(numbers[:, place])) > 2]
    return LotShapes(
        numbers=numbers.shape[1] + told,
        missing=lots.missing.shape[1],
        sizes=category_sizes(encoder),
        vocabulary=len(encoder.words) + 2 if encoder.words else 0,
        length=lots.tokens.shape[1],
        picture=lots.picture.shape[1],
        levels=lots.groups.shape[1],
        groups=len(encoder.known[0]) + 1 if encoder.known else 0,
        continuous=(*own, *range(numbers.shape[1], numbers.shape[1] + told)),
    )


def lot_network(shapes: LotShapes, *, width: int = 256) -> models.LotNet:
    """Return the network that reads such lots.

    Args:
        shapes: of the lesson.
        width: of the layers that fuse.
    """
    return models.LotNet(
        outputs=OUTPUTS,
        continuous=tuple(shapes.continuous),
        sizes=tuple(shapes.sizes),
        vocabulary=shapes.vocabulary,
        groups=shapes.groups,
        located=(0, 2 + QUANTILES.index(0.5)),
        width=width,
    )


def lot_recipe(shapes: LotShapes, *, members: int, optimizer: optax.GradientTransformation, width: int = 256) -> Recipe:
    """Return the recipe of an ensemble that learns a lesson, which is to be put into it: ``recipe._replace(frozen=lesson.known)``.

    Args:
        shapes: of the lesson.
        members: K.
        optimizer: any.
        width: of the layers that fuse.
    """

    def none(*shape: int, dtype: Any = np.float32) -> Any:
        return np.zeros((1, *shape), dtype)

    example = Lots(
        none(shapes.numbers),
        none(shapes.missing),
        none(len(shapes.sizes), dtype=np.int32),
        none(shapes.length, dtype=np.int32),
        none(shapes.picture),
        none(dtype=np.bool_),
        none(shapes.levels, dtype=np.int32),
    )
    return appraiser(lot_network(shapes, width=width), example=example, members=members, optimizer=optimizer)


@functools.lru_cache(maxsize=32)
def lot_optimizer(learning_rate: float, weight_decay: float, steps: int) -> optax.GradientTransformation:
    """Return AdamW whose rate rises for a twentieth of the steps and falls to a hundredth; equal arguments give the same object.

    Args:
        learning_rate: at its highest.
        weight_decay: on matrices.
        steps: in all.
    """
    rates = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, max(1, round(_WARM_UP * steps)), max(2, steps), _LAST * learning_rate
    )
    matrices = lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)  # noqa: E731
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rates, weight_decay=weight_decay, mask=matrices))


def fit_process(key: Key, lesson: Lesson) -> dict[str, jax.Array]:
    """Find the params of a Gaussian process on a lesson.

    Args:
        key: typed key, as for `as_appraiser`.
        lesson: to learn.
    """
    known = lesson.known
    compared = compared_lots(len(known.targets))
    part = rows_of(known.lots, compared)
    together = part.groups[:, -1] if part.groups.shape[1] else jnp.zeros(len(compared), jnp.int32)
    features = lot_features(with_told(part, known.told[0][compared]), weights_of_words(lesson.encoder, known))
    state, _ = fit(price_process(features, known.targets[compared], together), key=key, steps=_PROCESS_STEPS)
    return state.params


def weights_of_words(encoder: Encoder, known: Known) -> jax.Array:
    """Return how much each word weighs, as often as it is in the training part."""
    return word_weights(known.lots.tokens, len(encoder.words) + 2)


def compared_lots(count: int) -> np.ndarray:
    """Return the lots, spread over the table, that a process compares with: all of up to 6,000."""
    if count <= _MOST_OF_PROCESS:
        return np.arange(count)
    return np.linspace(0, count - 1, _MOST_OF_PROCESS).round().astype(int)


def code_counts(encoder: Encoder) -> dict[str, Any]:
    """Return how many codes categories and words have, as statistics are to be told."""
    return {"sizes": category_sizes(encoder), "words": len(encoder.words)}


def _folds(key: Key, groups: np.ndarray, members: int) -> np.ndarray:
    """Return the fold of each row: groups are dealt out in random order."""
    count = int(groups.max()) + 1
    if count < members:
        raise ValueError(
            f"group: expected at least {members} groups of rows, one for each member, got {count}. Lots of one sale alone tell nothing of "
            "others; leave the group out, or take fewer members."
        )
    dealt = np.asarray(jax.random.permutation(key, count)) % members
    return dealt[groups]


def _check(prices: np.ndarray, records: Mapping[str, np.ndarray], members: int) -> None:
    count = len(next(iter(records.values())))
    if prices.shape != (count,):
        raise ValueError(f"log_prices: expected a number for each of {count} rows, got shape {prices.shape}.")
    if wrong := int((~np.isfinite(prices)).sum()):
        raise ValueError(
            f"log_prices: expected finite numbers, got {wrong} of {count} that are not; leave rows without a price out."
        )
    if prices.std() == 0:
        raise ValueError(
            f"log_prices: expected prices that differ, got {count} that are equal; there is nothing to learn."
        )
    if members < 2:
        raise ValueError(f"members: expected at least 2, each kept from a fold of its own, got {members}.")
