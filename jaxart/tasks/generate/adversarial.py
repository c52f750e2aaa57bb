"""Generative adversarial networks as a recipe: a step is some updates of the discriminator and one of the generator.

Networks, loss, augmentation and optimizers are arguments. Pictures are in [-1, 1] here, and only here: uint8 batches are mapped to it,
float batches are taken as they are (points of a mixture, say).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.image import signed
from jaxart.losses import (
    RELATIVISTIC,
    AdversarialLoss,
    deinterleave,
    gradient_norm_penalty,
    gradient_penalty,
    interleave,
)
from jaxart.training import (
    Recipe,
    apply_train,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Augment = Callable[[Key, Array], jax.Array]  # one key per example [B], images [B, ...] -> [B, ...]
ADAM = optax.adam(2e-4, b1=0.0, b2=0.99)


class State(NamedTuple):
    """What one step hands to the next.

    Fields:
        step: steps done.
        images: real examples seen, float32.
        generator, discriminator: variables, "params" and what the networks keep beside them.
        generator_opt_state, discriminator_opt_state: of Optax.
        average: exponential average of the generator's params, from which pictures are made.
    """

    step: jax.Array
    images: jax.Array
    generator: PyTree
    discriminator: PyTree
    generator_opt_state: Any
    discriminator_opt_state: Any
    average: PyTree


class Info(NamedTuple):
    """Means over the batch: losses, the penalty with its weight, what the discriminator says, norms of the gradients."""

    generator: jax.Array
    discriminator: jax.Array
    penalty: jax.Array
    real: jax.Array
    fake: jax.Array
    generator_gradient: jax.Array
    discriminator_gradient: jax.Array


class Penalties(NamedTuple):
    """Weights: ``r1 / 2 |grad D(x)|^2`` on reals, ``r2 / 2`` the same on fakes, ``between (|grad D| - 1)^2`` on mixtures of both."""

    r1: float = 0.0
    r2: float = 0.0
    between: float = 0.0


class _Game(NamedTuple):
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
    axis_name: str | None


def gan(
    generator: Any,
    discriminator: Any,
    *,
    shape: Sequence[int],
    latent: int = 128,
    loss: AdversarialLoss = RELATIVISTIC,
    r1: float = 0.0,
    r2: float = 0.0,
    gradient_penalty: float = 0.0,
    penalty_every: int = 1,
    discriminator_steps: int = 1,
    generator_optimizer: optax.GradientTransformation = ADAM,
    discriminator_optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 10_000,
    transform: Augment | None = None,
    augment: Augment | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a generator and a discriminator that play against each other.

    A batch is a dict of ``image [D B, ...]`` and ``label [D B]``, D being `discriminator_steps`: the discriminator takes D steps on B
    examples each, then the generator one. Labels of fakes are those of the batch.

    Args:
        generator: module ``(z [B, latent], label [B], train) -> [B, *shape]``.
        discriminator: module ``([B, *shape], label [B], train) -> [B, ...]``, a logit for each example or each of its patches.
        shape: of one example, such as (32, 32, 3).
        latent: dimensions of z, standard normal.
        loss: how they play.
        r1: weight gamma of R1: ``gamma/2 |grad_x D(x)|^2`` on real examples.
        r2: the same on fakes.
        gradient_penalty: weight of WGAN-GP's term.
        penalty_every: steps between penalties, which are multiplied by it: a compiled step of its own.
        discriminator_steps: per step of the generator.
        generator_optimizer, discriminator_optimizer: any Optax transformation.
        half_life: of the generator's average, in images.
        transform: of the real examples alone, so part of what is learned, a flip say: ``(keys [B], images) -> images``.
        augment: what the discriminator sees of reals and fakes alike, differentiable, so not learned: ``(keys [B], images) -> images``.
        axis_name: of the mapped axis under `by_shard_map` and `by_pmap`; the networks must have the same. None for the global batch.

    Raises:
        ValueError: a number below its least.

    Reference: Goodfellow et al. 2014; the default loss and R1 + R2 are Huang et al., The GAN is dead; long live the GAN!, 2024; lazy
    penalties and the average are Karras et al. 2020. Departure: Adam's rates are not corrected for lazy penalties; hand in an optimizer
    that is.
    """
    for name, value in {
        "penalty_every": penalty_every,
        "discriminator_steps": discriminator_steps,
        "latent": latent,
    }.items():
        if value < 1:
            raise ValueError(f"gan: expected {name} of at least 1, got {value}.")
    if min(r1, r2, gradient_penalty) < 0 or half_life <= 0:
        raise ValueError("gan: expected penalties of at least 0 and a half-life above 0.")
    game = _Game(
        generator=generator,
        discriminator=discriminator,
        latent=latent,
        loss=loss,
        penalties=Penalties(),
        discriminator_steps=discriminator_steps,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        half_life=half_life,
        transform=transform,
        augment=augment,
        axis_name=axis_name,
    )
    init = functools.partial(_init, game, tuple(shape))
    weights = Penalties(r1, r2, gradient_penalty)
    if not any(weights):
        return Recipe(init, _make_step(game))
    lazily = game._replace(penalties=Penalties(*(penalty_every * weight for weight in weights)))
    return Recipe(init, _make_step(game), lazy=((penalty_every, _make_step(lazily)),))


def _init(game: _Game, shape: tuple[int, ...], key: Key) -> State:
    key_generator, key_discriminator = jax.random.split(key)
    label = jnp.zeros((2,), jnp.int32)
    generator = game.generator.init(key_generator, jnp.zeros((2, game.latent)), label, train=True)
    discriminator = game.discriminator.init(key_discriminator, jnp.zeros((2, *shape)), label, train=True)
    return State(
        step=jnp.int32(0),
        images=jnp.float32(0),
        generator=generator,
        discriminator=discriminator,
        generator_opt_state=game.generator_optimizer.init(generator["params"]),
        discriminator_opt_state=game.discriminator_optimizer.init(discriminator["params"]),
        average=jax.tree.map(jnp.copy, generator["params"]),
    )


@functools.lru_cache(maxsize=32)
def _make_step(game: _Game) -> Callable[[Key, State, dict[str, Array], None], tuple[State, Info]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: None) -> tuple[State, Info]:
        del frozen
        turns = game.discriminator_steps
        *keys, key_generator, key_transform = jax.random.split(key, turns + 2)
        images = signed(batch["image"])
        if game.transform is not None:
            images = game.transform(example_keys(key_transform, len(images), axis_name=game.axis_name), images)
        images, labels = (leaf.reshape(-1, turns, *leaf.shape[1:]) for leaf in (images, batch["label"]))
        for turn in range(turns):
            state, judged = _train_discriminator(game, keys[turn], state, images[:, turn], labels[:, turn])
        state, made = _train_generator(game, key_generator, state, images[:, -1], labels[:, -1])
        info = Info(made["loss"], **judged, generator_gradient=made["gradient"])
        return state._replace(step=state.step + 1), info

    return step


def _train_discriminator(game: _Game, key: Key, state: State, real: Array, label: Array) -> tuple[State, dict]:
    key_latent, key_augment, key_mix = jax.random.split(key, 3)
    fake, _ = apply_train(game.generator, state.generator, _latents(game, key_latent, len(real)), label)
    real, fake = _augmented(game, key_augment, real, jax.lax.stop_gradient(fake))

    def objective(params):
        variables = {**state.discriminator, "params": params}
        logits, variables = _judge(game.discriminator, variables, real, fake, label, train=True)
        loss = jnp.mean(game.loss.discriminator(*logits))
        penalty = _penalty(game, variables, real, fake, label, key_mix)
        return loss + penalty, (variables, loss, penalty, logits)

    params, opt_state, _, aux, gradient = gradient_update(
        objective,
        game.discriminator_optimizer,
        state.discriminator["params"],
        state.discriminator_opt_state,
        axis_name=game.axis_name,
    )
    variables, *told = aux
    loss, penalty, logits = mean_over(jax.tree.map(jnp.mean, told), game.axis_name)
    state = state._replace(discriminator={**variables, "params": params}, discriminator_opt_state=opt_state)
    return state, {
        "discriminator": loss,
        "penalty": penalty,
        "real": logits[0],
        "fake": logits[1],
        "discriminator_gradient": optax.tree.norm(gradient),
    }


def _train_generator(game: _Game, key: Key, state: State, real: Array, label: Array) -> tuple[State, dict]:
    key_latent, key_augment = jax.random.split(key)
    z = _latents(game, key_latent, len(real))

    def objective(params):
        fake, variables = apply_train(game.generator, {**state.generator, "params": params}, z, label)
        judged, made = _augmented(game, key_augment, real, fake)
        if game.loss.paired:
            logits, _ = _judge(game.discriminator, state.discriminator, judged, made, label, train=False)
        else:
            logits = (game.discriminator.apply(state.discriminator, made, label, train=False),) * 2
        return jnp.mean(game.loss.generator(*logits)), variables

    params, opt_state, loss, variables, gradient = gradient_update(
        objective,
        game.generator_optimizer,
        state.generator["params"],
        state.generator_opt_state,
        axis_name=game.axis_name,
    )
    batch = len(real) * game.discriminator_steps * (1 if game.axis_name is None else jax.lax.axis_size(game.axis_name))
    images = state.images + batch
    decay = half_life_decay(batch, images, half_life=game.half_life)
    average = exponential_average(state.average, params, decay=decay)
    state = state._replace(
        images=images, generator={**variables, "params": params}, generator_opt_state=opt_state, average=average
    )
    return state, {"loss": loss, "gradient": optax.tree.norm(gradient)}


def _latents(game: _Game, key: Key, count: int) -> jax.Array:
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


def _augmented(game: _Game, key: Key, real: Array, fake: Array) -> tuple[Array, Array]:
    if game.augment is None:
        return real, fake
    keys = jax.vmap(lambda each: jax.random.split(each))(example_keys(key, len(real), axis_name=game.axis_name))
    return game.augment(keys[:, 0], real), game.augment(keys[:, 1], fake)


def _penalty(game: _Game, variables: PyTree, real: Array, fake: Array, label: Array, key: Key) -> jax.Array:
    """Return the weighted penalties, averaged over the batch."""

    def judge(images: Array) -> jax.Array:
        return game.discriminator.apply(variables, images, label, train=False)

    total, weights = jnp.float32(0), game.penalties
    if weights.r1:
        total += weights.r1 / 2 * jnp.mean(gradient_norm_penalty(judge, real))
    if weights.r2:
        total += weights.r2 / 2 * jnp.mean(gradient_norm_penalty(judge, fake))
    if weights.between:
        keys = example_keys(key, len(real), axis_name=game.axis_name)
        total += weights.between * jnp.mean(gradient_penalty(judge, real, fake, jax.vmap(jax.random.uniform)(keys)))
    return total
