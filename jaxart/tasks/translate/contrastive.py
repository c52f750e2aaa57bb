"""CUT as a recipe: one translator, whose every patch should tell which patch of the input it was made from."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import LEAST_SQUARES, AdversarialLoss, deinterleave, interleave, patch_contrast
from jaxart.models import PatchHeads
from jaxart.tasks.translate.adversary import (
    ADAM,
    Game,
    State,
    Transform,
    check_numbers,
    first_state,
    fooling,
    seen,
    total,
    train_discriminators,
    train_translators,
)
from jaxart.training import Recipe, example_keys


class ContrastInfo(NamedTuple):
    """Means over the batch: the translator's loss and its weighted terms, the discriminator's loss, norms of the gradients."""

    loss: jax.Array
    adversarial: jax.Array
    contrast: jax.Array
    identity: jax.Array
    gradient: jax.Array
    discriminator: jax.Array
    discriminator_gradient: jax.Array


class _Contrast(NamedTuple):
    heads: Any
    layers: tuple[str, ...]
    patches: int
    temperature: float
    weight: float
    identity_weight: float


def contrast_layers(blocks: int) -> tuple[str, ...]:
    """Return the layers of a translator that `cut` compares: the picture, both halvings, the first and the middle residual block.

    Args:
        blocks: of the translator.

    >>> contrast_layers(9)
    ('image', 'down1', 'down2', 'block1', 'block5')
    """
    return ("image", "down1", "down2", *dict.fromkeys(f"block{number}" for number in (1, (blocks + 1) // 2) if blocks))


def cut(
    translator: Any,
    discriminator: Any,
    *,
    shape: Sequence[int],
    layers: Sequence[str] | None = None,
    patches: int = 256,
    temperature: float = 0.07,
    contrast_weight: float = 1.0,
    identity_weight: float = 1.0,
    heads: Any = PatchHeads(),  # noqa: B008  a value
    loss: AdversarialLoss = LEAST_SQUARES,
    translator_optimizer: optax.GradientTransformation = ADAM,
    discriminator_optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 2_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a translation from a to b without pairs and without a way back: faster than `cyclegan`, and freer.

    ``adversarial + contrast C(a, F(a)) / 2 + identity C(b, F(b)) / 2``, where C is `losses.patch_contrast` of the features that the
    translator's own first half and the heads find at random places, the mean over layers. A batch is as in `cyclegan`.

    Args:
        translator: as in `cyclegan`, with a method ``features(images) -> {layer: [B, h, w, C]}`` that has "picture" among them.
        discriminator: as in `cyclegan`.
        shape: as in `cyclegan`.
        layers: of the translator, that are compared; `contrast_layers` by default.
        patches: places of each layer of each picture, drawn anew in every step; all where there are fewer.
        temperature: of the contrast.
        contrast_weight: of the patches of a.
        identity_weight: of those of b, which are to stay as they are; 0 saves that work.
        heads: module ``{layer: [B, P, C]} -> {layer: [B, P, F]}``.
        loss: as in `cyclegan`.
        translator_optimizer: of translator and heads, any Optax transformation.
        discriminator_optimizer: any Optax transformation.
        half_life: as in `cyclegan`.
        transform: as in `cyclegan`.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a negative weight, no patches, or a temperature or half-life of 0.

    Reference: Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, 2020, eq. 4 to 6 and appendix C.1 (the code of the
    paper halves the sum of both contrasts). Departures: features are taken after normalization and ReLU; places are drawn for each
    picture, so that they do not depend on the batch; an average of the weights translates.
    """
    check_numbers(
        "cut",
        at_least_zero={"contrast_weight": contrast_weight, "identity_weight": identity_weight},
        above_zero={"patches": patches, "temperature": temperature, "half_life": half_life},
    )
    names = contrast_layers(translator.blocks) if layers is None else tuple(layers)
    contrast = _Contrast(heads, names, patches, temperature, contrast_weight, identity_weight)
    optimizers = (translator_optimizer, discriminator_optimizer)
    game = Game(translator, discriminator, loss, *optimizers, half_life, transform, axis_name)
    return Recipe(functools.partial(_init, game, contrast, tuple(shape)), _make_step(game, contrast))


def _init(game: Game, contrast: _Contrast, shape: tuple[int, ...], key: Key) -> State:
    key_translator, key_heads, key_judge = jax.random.split(key, 3)
    picture = jnp.zeros((1, *shape))
    translator = game.translator.init(key_translator, picture)["params"]
    features = jax.eval_shape(functools.partial(_features, game.translator, translator), picture)
    one = {name: jnp.zeros((1, 1, features[name].shape[-1])) for name in contrast.layers}
    params = {"to_b": translator, "heads": contrast.heads.init(key_heads, one)["params"]}
    return first_state(game, key_judge, shape, params, {"b": shape[-1]})


@functools.lru_cache(maxsize=32)
def _make_step(
    game: Game, contrast: _Contrast
) -> Callable[[Key, State, dict[str, Array], None], tuple[State, ContrastInfo]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: None) -> tuple[State, ContrastInfo]:
        del frozen
        key_seen, key_places = jax.random.split(key)
        a, b = seen(game, key_seen, batch)
        objective = functools.partial(_objective, game, contrast, key_places, state, a, b)
        state, fake, told = train_translators(game, state, objective, len(a))
        state, judged = train_discriminators(game, state, {"b": (b, fake)})
        return state._replace(step=state.step + 1), ContrastInfo(**told, **judged)

    return step


def _objective(
    game: Game, contrast: _Contrast, key: Key, state: State, a: Array, b: Array, params: dict[str, PyTree]
) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array]]:
    """Return the translator's loss, its terms and the fakes."""
    given = interleave(a, b) if contrast.identity_weight else a
    before = _features(game.translator, params["to_b"], given)
    after = _features(game.translator, params["to_b"], before["picture"])
    each = _contrasts(game, contrast, key, params["heads"], before, after)
    fake, of_a, of_b = before["picture"], each, jnp.zeros(())
    if contrast.identity_weight:
        (fake, _), (of_a, of_b) = deinterleave(fake), deinterleave(each)
    terms = {
        "adversarial": fooling(game, state.discriminators["b"], b, fake),
        "contrast": contrast.weight / 2 * jnp.mean(of_a),
        "identity": contrast.identity_weight / 2 * jnp.mean(of_b),
    }
    return total(tuple(terms.values())), (terms, fake)


def _contrasts(
    game: Game,
    contrast: _Contrast,
    key: Key,
    heads: PyTree,
    before: dict[str, jax.Array],
    after: dict[str, jax.Array],
) -> jax.Array:
    """Return the contrast of each picture, the mean over layers: what was made, with what it was made from."""
    places = {
        name: _places(game, contrast.patches, jax.random.fold_in(key, number), before[name])
        for number, name in enumerate(contrast.layers)
    }
    project = functools.partial(contrast.heads.apply, {"params": heads})
    keys, queries = (
        project({name: _at(features[name], places[name]) for name in contrast.layers}) for features in (before, after)
    )
    each = [
        patch_contrast(queries[name], jax.lax.stop_gradient(keys[name]), temperature=contrast.temperature)
        for name in contrast.layers
    ]
    return total(each) / len(each)


def _places(game: Game, patches: int, key: Key, features: jax.Array) -> jax.Array:
    """Draw different places of each picture's features, ``[B, P]``."""
    batch, height, width, _ = features.shape
    keys, count = example_keys(key, batch, axis_name=game.axis_name), height * width
    return jax.vmap(lambda each: jax.random.permutation(each, count)[:patches])(keys)


def _at(features: jax.Array, places: jax.Array) -> jax.Array:
    """Look up places ``[B, P]`` in features: ``[B, h, w, C] -> [B, P, C]``."""
    flat = features.reshape(features.shape[0], -1, features.shape[-1])
    return jnp.take_along_axis(flat, places[:, :, None], axis=1)


def _features(translator: Any, params: PyTree, images: Array) -> dict[str, jax.Array]:
    return translator.apply({"params": params}, images, method="features")
