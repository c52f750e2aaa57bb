"""CycleGAN as a recipe: two translators, each of which undoes the other, and two discriminators that see past fakes too."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import LEAST_SQUARES, AdversarialLoss, deinterleave, interleave
from jaxart.tasks.translate.adversary import (
    ADAM,
    Game,
    Transform,
    check_numbers,
    distance,
    first_state,
    fooling,
    seen,
    total,
    train_discriminators,
    train_translators,
)
from jaxart.training import ImagePool, Recipe, image_pool, query_pool


class CycleState(NamedTuple):
    """What one step hands to the next: the fields of `State`, with both directions and both sets, and pools of past fakes.

    Fields:
        step, images: as in `State`.
        params: of the translators, "to_b" and "to_a".
        discriminators: variables by the set whose pictures are judged.
        opt_state, discriminator_opt_state, average: as in `State`.
        pools: past fakes by the set that they are to belong to.
    """

    step: jax.Array
    images: jax.Array
    params: dict[str, PyTree]
    discriminators: dict[str, PyTree]
    opt_state: Any
    discriminator_opt_state: Any
    average: dict[str, PyTree]
    pools: dict[str, ImagePool]


class CycleInfo(NamedTuple):
    """Means over the batch: the translators' loss and its weighted terms, the discriminators' loss, norms of the gradients."""

    loss: jax.Array
    adversarial: jax.Array
    cycle: jax.Array
    identity: jax.Array
    gradient: jax.Array
    discriminator: jax.Array
    discriminator_gradient: jax.Array


class _Weights(NamedTuple):
    cycle: float
    identity: float


def cyclegan(
    translator: Any,
    discriminator: Any,
    *,
    shape: Sequence[int],
    cycle_weight: float = 10.0,
    identity_weight: float = 5.0,
    pool: int = 50,
    loss: AdversarialLoss = LEAST_SQUARES,
    translator_optimizer: optax.GradientTransformation = ADAM,
    discriminator_optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 2_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a translation between two sets of pictures that have no pairs.

    F leads from a to b, G back: ``adversarial + cycle (|G(F(a)) - a| + |F(G(b)) - b|) + identity (|F(b) - b| + |G(a) - a|)``, means over
    pixels. Without the identity term colors may come out inverted, for a second inversion undoes the first. A batch is a dict of
    ``a [B, H, W, 3]`` and ``b``, uint8 or in [0, 1].

    Args:
        translator: module ``[B, H, W, 3] -> [B, H, W, 3]`` in [-1, 1], such as `models.Translator`.
        discriminator: module ``([B, H, W, 3], train) -> [B, ...]``, such as `models.PatchDiscriminator`.
        shape: of a picture as the networks see it, such as (128, 128, 3).
        cycle_weight: of what does not come back as it was.
        identity_weight: of what changes though it belongs to the target set already; 0 saves that work.
        pool: past fakes of each set that the discriminators may see again.
        loss: how translators and discriminators play.
        translator_optimizer: any Optax transformation, of both translators.
        discriminator_optimizer: any Optax transformation, of both discriminators.
        half_life: of the average of the translators, in pictures of a set.
        transform: of the pictures, in [0, 1], such as a random part of each: ``(keys [B], images) -> images``.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a negative weight, a pool below 1 or a half-life of 0.

    Reference: Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, eq. 3, section 4 and 5.2.
    Departure: an average of the weights translates.
    """
    check_numbers(
        "cyclegan",
        at_least_zero={"cycle_weight": cycle_weight, "identity_weight": identity_weight},
        above_zero={"pool": pool, "half_life": half_life},
    )
    optimizers = (translator_optimizer, discriminator_optimizer)
    game = Game(translator, discriminator, loss, *optimizers, half_life, transform, axis_name)
    return Recipe(
        functools.partial(_init, game, tuple(shape), pool), _make_step(game, _Weights(cycle_weight, identity_weight))
    )


def _init(game: Game, shape: tuple[int, ...], pool: int, key: Key) -> CycleState:
    key_b, key_a, key_judges = jax.random.split(key, 3)
    picture = jnp.zeros((1, *shape))
    params = {name: game.translator.init(each, picture)["params"] for name, each in (("to_b", key_b), ("to_a", key_a))}
    begun = first_state(game, key_judges, shape, params, {"a": shape[-1], "b": shape[-1]})
    return CycleState(*begun, pools={name: image_pool(pool, shape) for name in ("a", "b")})


@functools.lru_cache(maxsize=32)
def _make_step(
    game: Game, weights: _Weights
) -> Callable[[Key, CycleState, dict[str, Array], None], tuple[CycleState, CycleInfo]]:
    def step(key: Key, state: CycleState, batch: dict[str, Array], frozen: None) -> tuple[CycleState, CycleInfo]:
        del frozen
        key_seen, *key_pools = jax.random.split(key, 3)
        a, b = seen(game, key_seen, batch)
        objective = functools.partial(_objective, game, weights, state, a, b)
        state, fakes, told = train_translators(game, state, objective, len(a))
        pairs, pools = {}, {}
        for name, real, each in zip(("a", "b"), (a, b), key_pools, strict=True):
            drawn, pools[name] = query_pool(each, state.pools[name], fakes[name], axis_name=game.axis_name)
            pairs[name] = real, drawn
        state, judged = train_discriminators(game, state, pairs)
        return state._replace(step=state.step + 1, pools=pools), CycleInfo(**told, **judged)

    return step


def _objective(
    game: Game, weights: _Weights, state: CycleState, a: Array, b: Array, params: dict[str, PyTree]
) -> tuple[jax.Array, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
    """Return the translators' loss, its terms and the fakes of each set."""
    to_b, to_a = (functools.partial(_apply, game.translator, params[name]) for name in ("to_b", "to_a"))
    if weights.identity:  # a picture's result does not depend on the rest of the batch
        fake_b, same_b = deinterleave(to_b(interleave(a, b)))
        fake_a, same_a = deinterleave(to_a(interleave(b, a)))
        identity = weights.identity * (distance(same_b, b) + distance(same_a, a))
    else:
        fake_b, fake_a, identity = to_b(a), to_a(b), jnp.float32(0)
    terms = {
        "adversarial": fooling(game, state.discriminators["b"], b, fake_b)
        + fooling(game, state.discriminators["a"], a, fake_a),
        "cycle": weights.cycle * (distance(to_a(fake_b), a) + distance(to_b(fake_a), b)),
        "identity": identity,
    }
    return total(tuple(terms.values())), (terms, {"a": fake_a, "b": fake_b})


def _apply(translator: Any, params: PyTree, images: Array) -> jax.Array:
    return translator.apply({"params": params}, images)
