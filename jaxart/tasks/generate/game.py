"""One step of two networks that play against each other: what it knows, what it hands on, the update of either."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import AdversarialLoss, deinterleave, interleave
from jaxart.tasks.generate.regularization import Adapt, Judge, Penalties, overfitting, path_penalty, slope_penalty
from jaxart.tasks.generate.styled import StyleTerm, style_distance
from jaxart.training import (
    apply_train,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Augment = Callable[[Key, Array], jax.Array]  # one key per example [B], images [B, ...] -> [B, ...]


class State(NamedTuple):
    """What one step hands to the next.

    Fields:
        step: steps done.
        images: real examples seen, float32.
        generator, discriminator: variables, "params" and what the networks keep beside them.
        generator_opt_state, discriminator_opt_state: of Optax.
        average: exponential average of the generator's params, from which pictures are made.
        adaptive: `data.Adaptive`, probability of the augmentation and the signs since it was set; None where it does not adapt.
        path_length: running mean, float32; None without that penalty.
    """

    step: jax.Array
    images: jax.Array
    generator: PyTree
    discriminator: PyTree
    generator_opt_state: Any
    discriminator_opt_state: Any
    average: PyTree
    adaptive: Any = None
    path_length: Any = None


class Info(NamedTuple):
    """Means over the batch: losses, the penalty with its weight, what the discriminator says, norms of the gradients."""

    generator: jax.Array
    discriminator: jax.Array
    penalty: jax.Array
    real: jax.Array
    fake: jax.Array
    generator_gradient: jax.Array
    discriminator_gradient: jax.Array


class AdaptiveInfo(NamedTuple):
    """As `Info`, of recipes with augmentation that adapts or a penalty on path lengths; 0 for the one that is not there.

    Besides: `overfitting`, the mean sign of what the discriminator says of reals in this step; `augment_probability` after it; the running
    mean `path_length`.
    """

    generator: jax.Array
    discriminator: jax.Array
    penalty: jax.Array
    real: jax.Array
    fake: jax.Array
    generator_gradient: jax.Array
    discriminator_gradient: jax.Array
    overfitting: jax.Array
    augment_probability: jax.Array
    path_length: jax.Array


class StyledInfo(NamedTuple):
    """As `AdaptiveInfo`, of recipes with a style term: besides, `style`, the distance to the painting before weighting."""

    generator: jax.Array
    discriminator: jax.Array
    penalty: jax.Array
    real: jax.Array
    fake: jax.Array
    generator_gradient: jax.Array
    discriminator_gradient: jax.Array
    overfitting: jax.Array
    augment_probability: jax.Array
    path_length: jax.Array
    style: jax.Array


class Game(NamedTuple):
    """The arguments of a recipe that its step needs; hashable, so that equal games share a compiled program."""

    generator: Any
    discriminator: Any
    latent: int
    loss: AdversarialLoss
    penalties: Penalties
    discriminator_steps: int
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    half_life: float
    transform: Augment | None
    augment: Augment | None
    adapt: Adapt | None
    path_length: float
    tracks_paths: bool
    style: StyleTerm | None
    axis_name: str | None


def devices_of(game: Game) -> int:
    """Return over how many devices a step runs, each with its part of the batch."""
    return 1 if game.axis_name is None else jax.lax.axis_size(game.axis_name)


def train_discriminator(game: Game, key: Key, state: State, real: Array, label: Array) -> tuple[State, dict, Array]:
    """Take the discriminator's step on ``[B, ...]``; return the state, its part of info, and the mean sign of what it says of reals."""
    key_latent, key_augment, key_mix = jax.random.split(key, 3)
    fake, _ = apply_train(game.generator, state.generator, _latents(game, key_latent, len(real)), label)
    shown = _shown(game, state, key_augment, len(real))
    fake = jax.lax.stop_gradient(fake)
    seen = shown[0](real), shown[1](fake)

    def objective(params):
        variables = {**state.discriminator, "params": params}
        logits, variables = _judge(game.discriminator, variables, *seen, label, train=True)
        loss = jnp.mean(game.loss.discriminator(*logits))
        penalty = _penalty(game, variables, shown, (real, fake) if game.adapt else seen, label, key_mix)
        return loss + penalty, (variables, logits, (loss, penalty))

    params, opt_state, _, (variables, logits, told), gradient = gradient_update(
        objective,
        game.discriminator_optimizer,
        state.discriminator["params"],
        state.discriminator_opt_state,
        axis_name=game.axis_name,
    )
    loss, penalty, *means = mean_over((*told, *map(jnp.mean, logits)), game.axis_name)
    sign = mean_over(overfitting(game.loss, logits[0], (means[0], means[1])), game.axis_name)
    state = state._replace(discriminator={**variables, "params": params}, discriminator_opt_state=opt_state)
    judged = {
        "discriminator": loss,
        "penalty": penalty,
        "real": means[0],
        "fake": means[1],
        "discriminator_gradient": optax.tree.norm(gradient),
    }
    return state, judged, sign


def train_generator(
    game: Game, key: Key, state: State, real: Array, label: Array, frozen: PyTree = None
) -> tuple[State, dict]:
    """Take the generator's step against examples ``[B, ...]``; return the state and its loss, norm of the gradient, and style or None.

    `frozen` are the arrays of the game's style term.
    """
    key_latent, key_augment, *key_path = jax.random.split(key, 3 if game.path_length else 2)
    z = _latents(game, key_latent, len(real))
    shown = _shown(game, state, key_augment, len(real))

    def objective(params):
        fake, variables = apply_train(game.generator, {**state.generator, "params": params}, z, label)
        judged, made = (show(each) for show, each in zip(shown, (real, fake), strict=True))
        if game.loss.paired:
            logits, _ = _judge(game.discriminator, state.discriminator, judged, made, label, train=False)
        else:
            logits = (game.discriminator.apply(state.discriminator, made, label, train=False),) * 2
        penalty, length = _path(game, state, params, label, key_path)
        loss = jnp.mean(game.loss.generator(*logits))
        if game.style is None:
            return loss + penalty, (variables, loss, length, None)
        style = jnp.mean(style_distance(game.style, frozen, (fake + 1) / 2))
        return loss + penalty + game.style.weight * style, (variables, loss, length, style)

    params, opt_state, _, (variables, loss, length, style), gradient = gradient_update(
        objective,
        game.generator_optimizer,
        state.generator["params"],
        state.generator_opt_state,
        axis_name=game.axis_name,
    )
    batch = len(real) * game.discriminator_steps * devices_of(game)
    images = state.images + batch
    decay = half_life_decay(batch, images, half_life=game.half_life)
    state = state._replace(
        images=images,
        generator={**variables, "params": params},
        generator_opt_state=opt_state,
        average=exponential_average(state.average, params, decay=decay),
        path_length=length,
    )
    loss, style = mean_over((loss, style), game.axis_name)
    return state, {"loss": loss, "gradient": optax.tree.norm(gradient), "style": style}


def _path(game: Game, state: State, params: PyTree, label: Array, key: list[Key]) -> tuple[jax.Array, Any]:
    """Return the weighted penalty on path lengths, of half as many other latents, and their running mean."""
    if not game.path_length:
        return jnp.float32(0), state.path_length
    if len(label) % 2:
        raise ValueError(f"gan: the penalty on path lengths takes half a batch, got {len(label)} examples on a device.")
    key_latent, key_noise = jax.random.split(key[0])
    z = _latents(game, key_latent, len(label) // 2)
    keys = example_keys(key_noise, len(z), axis_name=game.axis_name)
    penalty, length = path_penalty(
        game.generator,
        {**state.generator, "params": params},
        z,
        label[::2],
        keys,
        state.path_length,
        axis_name=game.axis_name,
    )
    return game.path_length * penalty, length


def _latents(game: Game, key: Key, count: int) -> jax.Array:
    """Draw ``[count, latent]``, each row from its example's key."""
    keys = example_keys(key, count, axis_name=game.axis_name)
    return jax.vmap(lambda each: jax.random.normal(each, (game.latent,)))(keys)


def _judge(
    network: Any, variables: PyTree, real: Array, fake: Array, label: Array, *, train: bool
) -> tuple[tuple[jax.Array, jax.Array], PyTree]:
    """Return the logits of reals and fakes, judged in one batch, and the variables."""
    both, labels = interleave(real, fake), interleave(label, label)
    if train:
        logits, variables = apply_train(network, variables, both, labels)
    else:
        logits = network.apply(variables, both, labels, train=False)
    return deinterleave(logits), variables


def _shown(game: Game, state: State, key: Key, count: int) -> tuple[Judge, Judge]:
    """Return what turns real pictures, and fakes, into what the discriminator sees of them."""
    if game.augment is None and game.adapt is None:
        return (lambda images: images), (lambda images: images)
    keys = jax.vmap(lambda each: jax.random.split(each))(example_keys(key, count, axis_name=game.axis_name))

    def show(side: int, images: Array) -> jax.Array:
        if game.adapt is not None:
            return game.adapt.augment(keys[:, side], images, state.adaptive.probability)
        return images if game.augment is None else game.augment(keys[:, side], images)

    return functools.partial(show, 0), functools.partial(show, 1)


def _penalty(
    game: Game, variables: PyTree, shown: tuple[Judge, Judge], pictures: tuple[Array, Array], label: Array, key: Key
) -> jax.Array:
    """Return the penalties of pictures as they are seen, or of those as they were where augmentation adapts."""

    def judge(images: Array) -> jax.Array:
        return game.discriminator.apply(variables, images, label, train=False)

    judges = (judge, judge)
    if game.adapt is not None:
        judges = (lambda images: judge(shown[0](images))), (lambda images: judge(shown[1](images)))
    return slope_penalty(game.penalties, judges, *pictures, key, axis_name=game.axis_name)
