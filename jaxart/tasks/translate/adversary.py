"""What the recipes of this room share: their states, what they see of a batch, and the two sides of their adversarial terms.

Batches hold pictures of two sets, ``a [B, H, W, 3]`` and ``b``, uint8 or in [0, 1]; networks see them in [-1, 1].
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.losses import AdversarialLoss, deinterleave, interleave
from jaxart.training import (
    apply_train,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Transform = Callable[
    [Key, Array], jax.Array
]  # one key per example [B], pictures [B, H, W, 3] in [0, 1] -> [B, h, w, 3]
ADAM = optax.adam(2e-4, b1=0.5, b2=0.999)


class State(NamedTuple):
    """What one step of a translation in one direction hands to the next.

    Fields:
        step: steps done.
        images: pictures of each set seen, float32.
        params: of what is trained together: "to_b" is the translator, and there may be "heads".
        discriminators: variables by the set whose pictures are judged, "b".
        opt_state: of Optax, for `params`.
        discriminator_opt_state: the same for the params of `discriminators`.
        average: exponential averages of the translators' params, which translate.
    """

    step: jax.Array
    images: jax.Array
    params: dict[str, PyTree]
    discriminators: dict[str, PyTree]
    opt_state: Any
    discriminator_opt_state: Any
    average: dict[str, PyTree]


def translators_of(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Return the params of the translators, by their direction."""
    return {name: params[name] for name in ("to_b", "to_a") if name in params}


class Game(NamedTuple):
    """The arguments that the recipes share; hashable, so that equal games share a compiled program."""

    translator: Any
    discriminator: Any
    loss: AdversarialLoss
    optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    half_life: float
    transform: Transform | None
    axis_name: str | None
    translators: Callable[[dict[str, PyTree]], dict[str, PyTree]] = translators_of  # of what is trained together


def check_numbers(name: str, *, at_least_zero: dict[str, float], above_zero: dict[str, float]) -> None:
    """Refuse numbers that cannot serve.

    Args:
        name: of the recipe.
        at_least_zero: by argument.
        above_zero: by argument.

    Raises:
        ValueError: one that is less, or not finite.
    """
    for argument, value in at_least_zero.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name}: expected {argument} of at least 0, got {value}.")
    for argument, value in above_zero.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: expected {argument} above 0, got {value}.")


def first_state(game: Game, key: Key, shape: Sequence[int], params: dict[str, PyTree], judged: dict[str, int]) -> State:
    """Return the state with which a training begins.

    Args:
        game: of the recipe.
        key: typed key.
        shape: of a picture.
        params: of what is trained together.
        judged: channels that the discriminator of each set sees.
    """
    keys = jax.random.split(key, len(judged))
    discriminators = {
        name: game.discriminator.init(each, jnp.zeros((1, *shape[:2], channels)), train=True)
        for each, (name, channels) in zip(keys, judged.items(), strict=True)
    }
    return State(
        step=jnp.int32(0),
        images=jnp.float32(0),
        params=params,
        discriminators=discriminators,
        opt_state=game.optimizer.init(params),
        discriminator_opt_state=game.discriminator_optimizer.init(params_of(discriminators)),
        average=jax.tree.map(jnp.copy, game.translators(params)),
    )


def params_of(networks: dict[str, PyTree]) -> dict[str, PyTree]:
    """Return the params of variables by name."""
    return {name: variables["params"] for name, variables in networks.items()}


def seen(game: Game, key: Key, batch: dict[str, Array], *, alike: bool = False) -> tuple[jax.Array, jax.Array]:
    """Return the pictures of both sets in [-1, 1], transformed.

    Args:
        game: of the recipe.
        key: typed key.
        batch: of both sets.
        alike: transform the i-th of both sets in the same way, for pairs.
    """
    pictures = unit(batch["a"]), unit(batch["b"])
    if game.transform is not None:
        keys = (key, key) if alike else jax.random.split(key)
        pictures = [
            game.transform(example_keys(each, len(x), axis_name=game.axis_name), x)
            for each, x in zip(keys, pictures, strict=True)
        ]
    a, b = (2 * x - 1 for x in pictures)
    return a, b


def distance(first: Array, second: Array) -> jax.Array:
    """Return the mean absolute difference of two arrays."""
    return jnp.mean(jnp.abs(first - second))


def fooling(game: Game, variables: PyTree, real: Array, fake: Array) -> jax.Array:
    """Return the translator's adversarial loss, the mean over the batch.

    Args:
        game: of the recipe.
        variables: of the discriminator.
        real: ``[B, H, W, C]``; not looked at where the loss compares no pairs.
        fake: as `real`.
    """
    judge = functools.partial(game.discriminator.apply, variables, train=False)
    logits = deinterleave(judge(interleave(real, fake))) if game.loss.paired else (judge(fake),) * 2
    return jnp.mean(game.loss.generator(*logits))


def total(terms: Sequence[jax.Array]) -> jax.Array:
    """Return the sum of scalars."""
    return functools.reduce(jnp.add, terms)


def train_translators(
    game: Game, state: Any, objective: Callable[[PyTree], tuple[jax.Array, Any]], count: int
) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Take a step of what is trained together: the state after it, the pictures that it made, and what there is to tell.

    Args:
        game: of the recipe.
        state: before the step.
        objective: ``params -> (loss, (terms by name, pictures made))``.
        count: pictures of a set that this device sees.
    """
    done = gradient_update(objective, game.optimizer, state.params, state.opt_state, axis_name=game.axis_name)
    terms, made = done.aux
    count = count * (1 if game.axis_name is None else jax.lax.axis_size(game.axis_name))
    images = state.images + count
    decay = half_life_decay(count, images, half_life=game.half_life)
    average = exponential_average(state.average, game.translators(done.params), decay=decay)
    told = {"loss": done.loss, **mean_over(terms, game.axis_name), "gradient": optax.tree.norm(done.gradient)}
    after = state._replace(images=images, params=done.params, opt_state=done.opt_state, average=average)
    return after, made, told


def train_discriminators(
    game: Game, state: Any, pairs: dict[str, tuple[Array, Array]]
) -> tuple[Any, dict[str, jax.Array]]:
    """Take a step of all discriminators, each by half its loss: the state after it, and what there is to tell.

    Args:
        game: of the recipe.
        state: before the step.
        pairs: real and fake pictures by set, ``[B, H, W, C]`` each.
    """

    def objective(params: dict[str, PyTree]) -> tuple[jax.Array, dict[str, PyTree]]:
        losses, after = [], {}
        for name, pair in pairs.items():
            variables = {**state.discriminators[name], "params": params[name]}
            logits, after[name] = apply_train(game.discriminator, variables, interleave(*pair))
            losses.append(jnp.mean(game.loss.discriminator(*deinterleave(logits))) / 2)
        return total(losses), after

    done = gradient_update(
        objective,
        game.discriminator_optimizer,
        params_of(state.discriminators),
        state.discriminator_opt_state,
        axis_name=game.axis_name,
    )
    discriminators = {name: {**done.aux[name], "params": done.params[name]} for name in pairs}
    state = state._replace(discriminators=discriminators, discriminator_opt_state=done.opt_state)
    return state, {"discriminator": done.loss, "discriminator_gradient": optax.tree.norm(done.gradient)}
