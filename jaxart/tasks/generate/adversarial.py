"""Generative adversarial networks as a recipe: a step is some updates of the discriminator and one of the generator.

Networks, loss, augmentation and optimizers are arguments. Pictures are in [-1, 1] here, and only here: uint8 batches are mapped to it,
float batches are taken as they are (points of a mixture, say).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.data import start_adaptive
from jaxart.image import signed
from jaxart.losses import RELATIVISTIC, AdversarialLoss
from jaxart.tasks.generate.game import (
    AdaptiveInfo,
    Augment,
    Game,
    Info,
    State,
    StyledInfo,
    devices_of,
    train_discriminator,
    train_generator,
)
from jaxart.tasks.generate.regularization import Adapt, Penalties, adapted, check_adapt
from jaxart.tasks.generate.styled import StyleTerm, check_style
from jaxart.training import Recipe, example_keys

ADAM = optax.adam(2e-4, b1=0.0, b2=0.99)
_Told = Info | AdaptiveInfo | StyledInfo


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
    adapt: Adapt | None = None,
    path_length: float = 0.0,
    path_length_every: int = 4,
    style: StyleTerm | None = None,
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
        adapt: in its place, one that acts as often as the discriminator overfits. Penalties on slopes are then taken through it, of the
            examples as they were: second derivatives of the augmentation.
        path_length: weight of the penalty on path lengths, 2 in the paper; the generator must have the methods `styles` and `paint`, see
            `path_penalty`. It looks at half a batch.
        path_length_every: steps between penalties on path lengths, which are multiplied by it.
        style: term of the generator's loss, which draws its pictures to a painting's style; they must be pictures of 1 or 3 channels. The
            recipe's `frozen`, from `style_arrays`, is then needed: ``recipe._replace(frozen=...)``.
        axis_name: of the mapped axis under `by_shard_map` and `by_pmap`; the networks must have the same. None for the global batch.

    Raises:
        ValueError: a number out of its range, or both `augment` and `adapt`.

    Reference: Goodfellow et al. 2014; the default loss and R1 + R2 are Huang et al., The GAN is dead; long live the GAN!, 2024; lazy
    penalties, path lengths and the average are Karras et al. 2020. Departure: a lazy penalty is added to the loss of its step, where the
    paper takes it as an update more, for which it corrects Adam's rates (appendix B); here k steps are k updates, and they stand.
    """
    for name, value in {
        "penalty_every": penalty_every,
        "path_length_every": path_length_every,
        "discriminator_steps": discriminator_steps,
        "latent": latent,
    }.items():
        if value < 1:
            raise ValueError(f"gan: expected {name} of at least 1, got {value}.")
    if min(r1, r2, gradient_penalty, path_length) < 0 or half_life <= 0:
        raise ValueError("gan: expected penalties of at least 0 and a half-life above 0.")
    if style is not None:
        check_style("gan", style)
    if adapt is not None:
        check_adapt(adapt)
        if augment is not None:
            raise ValueError(
                "gan: expected augment or adapt, got both: one function changes what the discriminator sees."
            )
    game = Game(
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
        adapt=adapt,
        path_length=0.0,
        tracks_paths=path_length > 0,
        style=style,
        axis_name=axis_name,
    )
    init = functools.partial(_init, game, tuple(shape))
    weights = Penalties(*(penalty_every * weight for weight in (r1, r2, gradient_penalty)))
    terms = []
    if any(weights):
        terms.append((penalty_every, {"penalties": weights}))
    if path_length:
        terms.append((path_length_every, {"path_length": path_length_every * path_length}))
    return Recipe(init, _make_step(game), lazy=_lazy_steps(game, terms))


def _lazy_steps(game: Game, terms: list[tuple[int, dict[str, Any]]]) -> tuple[tuple[int, Callable], ...]:
    """Return a step for each term and, before them, one for where both act."""
    pairs = [(every, _make_step(game._replace(**changes))) for every, changes in terms]
    if len(terms) == 2:
        (first, changes), (second, more) = terms
        pairs.insert(0, (math.lcm(first, second), _make_step(game._replace(**changes, **more))))
    return tuple(pair for number, pair in enumerate(pairs) if pair[0] not in [every for every, _ in pairs[:number]])


def _init(game: Game, shape: tuple[int, ...], key: Key) -> State:
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
        adaptive=None if game.adapt is None else start_adaptive(probability=game.adapt.probability),
        path_length=jnp.float32(0) if game.tracks_paths else None,
    )


@functools.lru_cache(maxsize=32)
def _make_step(game: Game) -> Callable[[Key, State, dict[str, Array], PyTree], tuple[State, _Told]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: PyTree) -> tuple[State, _Told]:
        turns = game.discriminator_steps
        *keys, key_generator, key_transform = jax.random.split(key, turns + 2)
        images = signed(batch["image"])
        if game.transform is not None:
            images = game.transform(example_keys(key_transform, len(images), axis_name=game.axis_name), images)
        images, labels = (leaf.reshape(-1, turns, *leaf.shape[1:]) for leaf in (images, batch["label"]))
        signs = []
        for turn in range(turns):
            state, judged, sign = train_discriminator(game, keys[turn], state, images[:, turn], labels[:, turn])
            signs.append(sign)
        state, made = train_generator(game, key_generator, state, images[:, -1], labels[:, -1], frozen)
        state, sign = state._replace(step=state.step + 1), jnp.mean(jnp.stack(signs))
        if game.adapt is not None:
            count = len(images) * turns * devices_of(game)
            state = state._replace(adaptive=adapted(game.adapt, state.adaptive, sign, count, state.step))
        info = Info(made["loss"], **judged, generator_gradient=made["gradient"])
        return state, _told(state, info, sign, made["style"])

    return step


def _told(state: State, info: Info, sign: jax.Array, style: jax.Array | None) -> _Told:
    """Return what is told of a step: of recipes that keep neither a probability nor a path length and have no style, just the game."""
    if state.adaptive is None and state.path_length is None and style is None:
        return info
    adaptive = AdaptiveInfo(
        *info,
        overfitting=sign,
        augment_probability=jnp.float32(0) if state.adaptive is None else state.adaptive.probability,
        path_length=jnp.float32(0) if state.path_length is None else state.path_length,
    )
    return adaptive if style is None else StyledInfo(*adaptive, style=style)
