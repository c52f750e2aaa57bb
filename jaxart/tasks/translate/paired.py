"""pix2pix as a recipe: a translator that learns from pairs, and a discriminator that sees what a picture was made from."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import NON_SATURATING, AdversarialLoss
from jaxart.tasks.translate.adversary import (
    ADAM,
    Game,
    State,
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
from jaxart.training import Recipe


class PairInfo(NamedTuple):
    """Means over the batch: the translator's loss and its weighted terms, the discriminator's loss, norms of the gradients."""

    loss: jax.Array
    adversarial: jax.Array
    pixels: jax.Array
    gradient: jax.Array
    discriminator: jax.Array
    discriminator_gradient: jax.Array


def pix2pix(
    translator: Any,
    discriminator: Any,
    *,
    shape: Sequence[int],
    pixel_weight: float = 100.0,
    loss: AdversarialLoss = NON_SATURATING,
    translator_optimizer: optax.GradientTransformation = ADAM,
    discriminator_optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 2_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a translation from a to b by pairs: ``adversarial + pixels |F(a) - b|``, the mean over pixels.

    A batch is as in `cyclegan`, the i-th pictures of a and b a pair, which `transform` changes in the same way.

    Args:
        translator: as in `cyclegan`.
        discriminator: as in `cyclegan`, of six channels: a picture of a and what is, or is to be, its pair.
        shape: as in `cyclegan`.
        pixel_weight: of the difference between the result and the pair.
        loss: as in `cyclegan`.
        translator_optimizer: any Optax transformation.
        discriminator_optimizer: any Optax transformation.
        half_life: as in `cyclegan`.
        transform: as in `cyclegan`.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a negative weight or a half-life of 0.

    Reference: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017, eq. 4 and section 3.3. Departures: the
    translator may be any, also the residual one in the place of the U-Net, and draws no dropout: the paper's noise changed little (its
    section 4), and without it a picture has one translation, in tiles too; an average of the weights translates.
    """
    check_numbers("pix2pix", at_least_zero={"pixel_weight": pixel_weight}, above_zero={"half_life": half_life})
    optimizers = (translator_optimizer, discriminator_optimizer)
    game = Game(translator, discriminator, loss, *optimizers, half_life, transform, axis_name)
    return Recipe(functools.partial(_init, game, tuple(shape)), _make_step(game, pixel_weight))


def _init(game: Game, shape: tuple[int, ...], key: Key) -> State:
    key_translator, key_judge = jax.random.split(key)
    params = {"to_b": game.translator.init(key_translator, jnp.zeros((1, *shape)))["params"]}
    return first_state(game, key_judge, shape, params, {"b": 2 * shape[-1]})


@functools.lru_cache(maxsize=32)
def _make_step(
    game: Game, pixel_weight: float
) -> Callable[[Key, State, dict[str, Array], None], tuple[State, PairInfo]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: None) -> tuple[State, PairInfo]:
        del frozen
        a, b = seen(game, key, batch, alike=True)
        objective = functools.partial(_objective, game, pixel_weight, state, a, b)
        state, fake, told = train_translators(game, state, objective, len(a))
        state, judged = train_discriminators(game, state, {"b": (_pair(a, b), _pair(a, fake))})
        return state._replace(step=state.step + 1), PairInfo(**told, **judged)

    return step


def _objective(
    game: Game, pixel_weight: float, state: State, a: Array, b: Array, params: dict[str, PyTree]
) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array]]:
    """Return the translator's loss, its terms and the fakes."""
    fake = game.translator.apply({"params": params["to_b"]}, a)
    terms = {
        "adversarial": fooling(game, state.discriminators["b"], _pair(a, b), _pair(a, fake)),
        "pixels": pixel_weight * distance(fake, b),
    }
    return total(tuple(terms.values())), (terms, fake)


def _pair(first: Array, second: Array) -> jax.Array:
    return jnp.concatenate([first, second], axis=-1)
