"""An appraiser as a recipe: an ensemble of networks that learn the log prices of lots, each kept from one fold of the training part.

So every lot of the training part is new to one member: what intervals are measured with is not lost to training.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import LOG_VARIANCES, gaussian_nll, pinball, rising_quantiles
from jaxart.models import LotShares
from jaxart.tasks.appraise.lots import Lots, rows_of
from jaxart.training import AveragedState as State
from jaxart.training import Recipe, exponential_average, gradient_update, half_life_decay

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
OUTPUTS = 2 + len(QUANTILES)  # of the network: mean, log variance, quantiles
_CENTER = QUANTILES.index(0.5)


class Info(NamedTuple):
    """The means over members and lots.

    Fields:
        loss: the sum of the three losses.
        squares: half the squared error of the mean, in units of the variance of log prices.
        pinball: the loss of the quantiles.
    """

    loss: jax.Array
    squares: jax.Array
    pinball: jax.Array


class Known(NamedTuple):
    """The training part, as `Recipe.frozen`.

    Fields:
        lots: encoded, ``[N, ...]``.
        told: what prices say of them, by `learn_statistics`, ``[K, N, S]``.
        targets: log prices of mean 0 and deviation 1, ``[N]``.
        folds: which member is kept from each, ``[N]`` int32.
    """

    lots: Lots
    told: Array
    targets: Array
    folds: Array


class Guess(NamedTuple):
    """What members say of lots, in the units of the targets: ``[K, N]`` each, and ``[K, N, Q]`` quantiles that do not cross."""

    mean: jax.Array
    log_variance: jax.Array
    quantiles: jax.Array


def appraiser(
    network: Any,
    *,
    example: Lots,
    members: int,
    optimizer: optax.GradientTransformation,
    half_life: float = 1000.0,
) -> Recipe:
    """Return the recipe of an appraiser; a batch is a dict of ``row [B]``, numbers of lots of the training part (`Known`).

    The mean is learned by its squared error, the quantiles by theirs, and the log variance by the likelihood of a normal distribution
    around the mean as it is: were the mean learned by that too, lots whose variance is thought large would hardly count.

    Args:
        network: module of `Lots` (numbers and what prices say side by side) to ``(outputs [B, OUTPUTS], features)``.
        example: encoded lots of any number, with what prices say beside the numbers, of which shapes are taken.
        members: K, at least 2.
        optimizer: any Optax transformation; each member has its own state of it.
        half_life: of the averages of the params, in lots.

    Returns:
        The recipe; what it learns from is put into it, ``recipe._replace(frozen=Known(...))``. Params, their averages and the optimizer's
        state have a leading axis ``[K]``.

    Raises:
        ValueError: fewer members, one of which would be kept from all lots.
    """
    if members < 2:
        raise ValueError(f"members: expected at least 2, each kept from a fold of its own, got {members}.")
    model = _Model(network, optimizer, members, half_life)
    return Recipe(
        functools.partial(_init, model, jax.tree.map(lambda leaf: (leaf.shape[1:], leaf.dtype), example)),
        _make_step(model),
    )


def with_told(lots: Lots, told: Array) -> Lots:
    """Return lots with what a member is told of them beside their numbers.

    Args:
        lots: ``[N, ...]``.
        told: ``[N, S]``.
    """
    return lots._replace(numbers=jnp.concatenate([lots.numbers, told], axis=1))


def guess(network: Any, params: PyTree, lots: Lots, told: Array, *, shares: LotShares | None = None) -> Guess:
    """Return what each member says of lots.

    Args:
        network: as in `appraiser`.
        params: ``[K, ...]`` each.
        lots: encoded, ``[N, ...]``.
        told: by `price_statistics`, ``[K, N, S]``.
        shares: how much of the lots counts; by default all.
    """
    return jax.vmap(lambda params, told: _guess(_apply(network, params, with_told(lots, told), shares=shares)))(
        params, told
    )


def guess_own(network: Any, params: PyTree, known: Known) -> Guess:
    """Return what is said of each lot of the training part by the member that is kept from it: ``[N]`` and ``[N, Q]``.

    Args:
        network: as in `appraiser`.
        params: ``[K, ...]`` each.
        known: the training part.
    """
    said, lots = guess(network, params, known.lots, known.told), jnp.arange(len(known.folds))
    return jax.tree.map(lambda leaf: leaf[known.folds, lots], said)


class _Model(NamedTuple):
    network: Any
    optimizer: optax.GradientTransformation
    members: int
    half_life: float


def _apply(network: Any, params: PyTree, lots: Lots, **options: Any) -> jax.Array:
    group = jnp.maximum(lots.groups[:, 0], 0) if lots.groups.shape[1] else jnp.zeros(len(lots.numbers), jnp.int32)
    given = (*lots[:-1], group)
    return network.apply({"params": params}, *given, **options)[0]


def _guess(outputs: jax.Array) -> Guess:
    sure = jnp.clip(outputs[:, 1], *LOG_VARIANCES)  # beyond them the loss has no slope
    return Guess(outputs[:, 0], sure, rising_quantiles(outputs[:, 2:], center=_CENTER))


def _init(model: _Model, shapes: Lots, key: Key) -> State:
    lots = Lots(*(jnp.zeros((2, *shape), dtype) for shape, dtype in shapes))

    def one(key: Key) -> PyTree:
        group = jnp.zeros(2, jnp.int32)
        return model.network.init(key, *lots[:-1], group)["params"]

    # one after the other: of two batched QR factorizations (orthogonal kernels) in a program jaxlib 0.10 can wait forever
    params = jax.lax.map(one, jax.random.split(key, model.members))
    return State(jnp.int32(0), params, jax.vmap(model.optimizer.init)(params), jax.tree.map(jnp.copy, params))


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, State, dict[str, Array], Known], tuple[State, Info]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: Known) -> tuple[State, Info]:
        known, rows = Known(*frozen), batch["row"]
        lots, targets, folds = rows_of(known.lots, rows), known.targets[rows], known.folds[rows]

        def learn(member: jax.Array, key: Key, params: PyTree, opt_state: Any, told: Array) -> Any:
            weights = (folds != member).astype(jnp.float32)

            def objective(params: PyTree) -> tuple[jax.Array, Info]:
                outputs = _apply(model.network, params, with_told(lots, told), train=True, rngs={"dropout": key})
                info = _losses(_guess(outputs), targets, weights)
                return info.loss, info

            done = gradient_update(objective, model.optimizer, params, opt_state)
            return done.params, done.opt_state, done.aux

        keys = jax.random.split(key, model.members)
        told = known.told[:, rows]
        params, opt_state, infos = jax.vmap(learn)(jnp.arange(model.members), keys, state.params, state.opt_state, told)
        decay = half_life_decay(len(rows), (state.step + 1) * jnp.float32(len(rows)), half_life=model.half_life)
        average = exponential_average(state.average, params, decay=decay)
        return State(state.step + 1, params, opt_state, average), Info(*(jnp.mean(each) for each in infos))

    return step


def _losses(made: Guess, targets: jax.Array, weights: jax.Array) -> Info:
    mean = lambda values: jnp.sum(weights * values) / jnp.maximum(jnp.sum(weights), 1)  # noqa: E731
    squares = mean((made.mean - targets) ** 2) / 2
    likelihood = mean(gaussian_nll(jax.lax.stop_gradient(made.mean), made.log_variance, targets))
    of_quantiles = mean(pinball(made.quantiles, QUANTILES, targets))
    return Info(squares + likelihood + of_quantiles, squares, of_quantiles)
