"""The cyclic VAE as a recipe: two variational autoencoders with one latent space, where each decoder also draws what the other encoded."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import LEAST_SQUARES, AdversarialLoss
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
from jaxart.training import Recipe, example_keys

_ENCODER, _DECODER = (
    ("first", "down1", "down2"),
    ("up1", "up2", "last"),
)  # layers of a translator; the blocks are shared
_OTHER = {"a": "b", "b": "a"}


class CyclicInfo(NamedTuple):
    """Means over the batch: the loss of both autoencoders and its weighted terms, the discriminators' loss, norms of the gradients."""

    loss: jax.Array
    adversarial: jax.Array
    reconstruction: jax.Array
    cycle: jax.Array
    divergence: jax.Array
    gradient: jax.Array
    discriminator: jax.Array
    discriminator_gradient: jax.Array


class _Weights(NamedTuple):
    reconstruction: float
    cycle: float
    divergence: float


def cyclic_vae(
    translator: Any,
    discriminator: Any,
    *,
    shape: Sequence[int],
    reconstruction_weight: float = 10.0,
    cycle_weight: float = 10.0,
    divergence_weight: float = 0.01,
    loss: AdversarialLoss = LEAST_SQUARES,
    translator_optimizer: optax.GradientTransformation = ADAM,
    discriminator_optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 2_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of two variational autoencoders, of a and of b, that share their latent space.

    A picture of a, encoded to the mean of a normal z of deviation 1, is drawn from z by the decoder of a (as it was) and by that of b (the
    translation), which, encoded and drawn by the decoder of a, is to be the picture again. Both ways: ``adversarial + reconstruction |.| +
    cycle |.| + divergence (mean squares of both encodings)``. The residual blocks are the same for both sets. Translations take the mean.
    A batch is as in `cyclegan`.

    Args:
        translator: a `models.Translator`, whose first half encodes and whose second half decodes: what has its `encode` and `decode`, and
            layers of its names.
        discriminator: as in `cyclegan`.
        shape: as in `cyclegan`; sides are multiples of 4.
        reconstruction_weight: of what its own decoder changes in a picture.
        cycle_weight: of what does not come back from the other set as it was.
        divergence_weight: of the encodings' mean squares, twice the divergence from the standard normal; more leaves more to the decoders.
        loss: as in `cyclegan`.
        translator_optimizer: any Optax transformation, of both autoencoders.
        discriminator_optimizer: any Optax transformation, of both discriminators.
        half_life: as in `cyclegan`.
        transform: as in `cyclegan`.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a negative weight, a half-life of 0, or a side that is no multiple of 4.

    Reference: Liu et al., Unsupervised Image-to-Image Translation Networks, 2017, eq. 2 to 5. Departures: all residual blocks are shared,
    not the two in the middle alone; differences are absolute ones, as in the paper's code; an average of the weights translates.
    """
    weights = _Weights(reconstruction_weight, cycle_weight, divergence_weight)
    check_numbers(
        "cyclic_vae",
        at_least_zero={f"{name}_weight": value for name, value in weights._asdict().items()},
        above_zero={"half_life": half_life},
    )
    if shape[0] % 4 or shape[1] % 4:
        raise ValueError(f"cyclic_vae: expected sides that are multiples of 4, got {tuple(shape)}.")
    optimizers = (translator_optimizer, discriminator_optimizer)
    game = Game(translator, discriminator, loss, *optimizers, half_life, transform, axis_name, _translators)
    return Recipe(functools.partial(_init, game, tuple(shape)), _make_step(game, weights))


def _init(game: Game, shape: tuple[int, ...], key: Key) -> State:
    key_a, key_b, key_judges = jax.random.split(key, 3)
    a, b = (game.translator.init(each, jnp.zeros((1, *shape)))["params"] for each in (key_a, key_b))
    own = _ENCODER + _DECODER
    params = {name: {layer: each[layer] for layer in own} for name, each in (("a", a), ("b", b))}
    params["shared"] = {layer: value for layer, value in a.items() if layer not in own}
    return first_state(game, key_judges, shape, params, {"a": shape[-1], "b": shape[-1]})


def _between(params: dict[str, PyTree], source: str, target: str) -> PyTree:
    """Return the params of the translator whose first layers are of one set and whose last layers are of another."""
    encoder = {layer: params[source][layer] for layer in _ENCODER}
    return {**encoder, **params["shared"], **{layer: params[target][layer] for layer in _DECODER}}


def _translators(params: dict[str, PyTree]) -> dict[str, PyTree]:
    return {"to_b": _between(params, "a", "b"), "to_a": _between(params, "b", "a")}


@functools.lru_cache(maxsize=32)
def _make_step(
    game: Game, weights: _Weights
) -> Callable[[Key, State, dict[str, Array], None], tuple[State, CyclicInfo]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: None) -> tuple[State, CyclicInfo]:
        del frozen
        key_seen, key_noise = jax.random.split(key)
        real: dict[str, jax.Array] = dict(zip(("a", "b"), seen(game, key_seen, batch), strict=True))
        objective = functools.partial(_objective, game, weights, key_noise, state, real)
        state, fakes, told = train_translators(game, state, objective, len(real["a"]))
        state, judged = train_discriminators(game, state, {name: (real[name], fakes[name]) for name in real})
        return state._replace(step=state.step + 1), CyclicInfo(**told, **judged)

    return step


def _objective(
    game: Game, weights: _Weights, key: Key, state: State, real: dict[str, jax.Array], params: dict[str, PyTree]
) -> tuple[jax.Array, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
    """Return the loss of both autoencoders, its terms and the fakes of each set."""
    means = {name: _encode(game, params, name, x) for name, x in real.items()}
    keys = dict(zip(real, jax.random.split(key, len(real)), strict=True))
    latents = {name: _noisy(game, keys[name], 0, mean) for name, mean in means.items()}
    same = {name: _decode(game, params, name, z) for name, z in latents.items()}
    fakes = {_OTHER[name]: _decode(game, params, _OTHER[name], z) for name, z in latents.items()}
    again = {_OTHER[name]: _encode(game, params, name, x) for name, x in fakes.items()}  # of what came from there
    back = {name: _decode(game, params, name, _noisy(game, keys[name], 1, mean)) for name, mean in again.items()}
    terms = {
        "adversarial": total([fooling(game, state.discriminators[name], real[name], fakes[name]) for name in real]),
        "reconstruction": weights.reconstruction * total([distance(same[name], real[name]) for name in real]),
        "cycle": weights.cycle * total([distance(back[name], real[name]) for name in real]),
        "divergence": weights.divergence * total([jnp.mean(x**2) for x in (*means.values(), *again.values())]),
    }
    return total(tuple(terms.values())), (terms, fakes)


def _encode(game: Game, params: dict[str, PyTree], name: str, images: Array) -> jax.Array:
    return game.translator.apply({"params": _between(params, name, name)}, images, method="encode")


def _decode(game: Game, params: dict[str, PyTree], name: str, latent: Array) -> jax.Array:
    return game.translator.apply({"params": _between(params, name, name)}, latent, method="decode")


def _noisy(game: Game, key: Key, turn: int, mean: jax.Array) -> jax.Array:
    """Add normal numbers, those of each example by its own key."""
    keys = example_keys(jax.random.fold_in(key, turn), len(mean), axis_name=game.axis_name)
    return mean + jax.vmap(lambda each: jax.random.normal(each, mean.shape[1:]))(keys)
