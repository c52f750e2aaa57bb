"""Generators that take on a painting's style: a term beside what they learn from, and the adaptation of one that is trained.

Pictures are in [0, 1] here.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart import losses
from jaxart.arrays import Array, Features, Image, Key, PyTree
from jaxart.tasks.generate.sample import Generate
from jaxart.training import Recipe, example_keys, exponential_average, gradient_update, half_life_decay, mean_over

ADAM = optax.adam(1e-3, b2=0.99)


class StyleTerm(NamedTuple):
    """What a generator's loss has more where it is to draw in a painting's style: ``weight * mean(distance to the painting)``.

    Its arrays, from `style_arrays`, are the recipe's `frozen`, so that another painting compiles nothing.

    Fields:
        features: module ``pictures in [0, 1] -> {layer: [B, h, w, C]}``, such as `models.VGG`.
        layers: of the features, those whose style counts.
        layer_weights: one for each of them.
        weight: of the whole term.
        style_loss: that compares.
    """

    features: Any
    layers: tuple[str, ...]
    layer_weights: tuple[float, ...]
    weight: float = 1.0
    style_loss: losses.StyleLoss = losses.WASSERSTEIN


def check_style(name: str, term: StyleTerm) -> None:
    """Check the numbers of a style term.

    Args:
        name: of the recipe, for the message.
        term: of its loss.

    Raises:
        ValueError: a weight that is below 0 or not finite, or another number of weights than of layers.
    """
    if not 0 <= term.weight < float("inf"):
        raise ValueError(f"{name}: expected a style term of a weight of at least 0, got {term.weight}.")
    if len(term.layers) != len(term.layer_weights):
        raise ValueError(
            f"{name}: expected a weight for each of the layers {', '.join(term.layers)}, got {len(term.layer_weights)}."
        )


def style_arrays(term: StyleTerm, variables: PyTree, painting: Image) -> dict[str, Any]:
    """Prepare a painting for a style term: what recipes with the term take as `frozen`, and `TowardStyle` as its arrays.

    Args:
        term: that will compare.
        variables: of its features, such as ``weights.load("vgg16")``.
        painting: ``[H, W, C]`` in [0, 1], of the pictures' size, or strokes are of another; C is 1 or 3.

    Returns:
        "variables" and "targets".
    """
    found = described(term, variables, jnp.asarray(painting)[None])
    return {
        "variables": variables,
        "targets": losses.targets_of_layers({name: found[name][0] for name in term.layers}, term.style_loss),
    }


def described(term: StyleTerm, variables: PyTree, pictures: Array) -> Features:
    """Return the features of pictures ``[B, H, W, C]`` in [0, 1], gray ones as three equal channels.

    Args:
        term: with the module.
        variables: of it.
        pictures: C is 1 or 3.
    """
    return term.features.apply(variables, jnp.broadcast_to(pictures, (*pictures.shape[:3], 3)))


def style_distance(term: StyleTerm, arrays: PyTree, pictures: Array) -> jax.Array:
    """Return how far each picture's style is from the painting's, without the term's weight: ``[B]``.

    Args:
        term: whose loss compares.
        arrays: of the painting, from `style_arrays`.
        pictures: ``[B, H, W, C]`` in [0, 1].
    """
    return _distance(term, arrays, described(term, arrays["variables"], pictures))


def _distance(term: StyleTerm, arrays: PyTree, found: Features) -> jax.Array:
    return losses.style_of_layers(
        found,
        {name: arrays["targets"][name] for name in term.layers},  # a program's argument has its names sorted
        layer_weights=term.layer_weights,
        style_loss=term.style_loss,
    )


class AdaptedState(NamedTuple):
    """What one step hands to the next; `original` are the variables of the generator as it was, which no step changes."""

    step: jax.Array
    images: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree
    original: PyTree


class AdaptedInfo(NamedTuple):
    """The loss, its two parts before weighting (style, content), means over the batch, and the gradient's norm."""

    loss: jax.Array
    style: jax.Array
    content: jax.Array
    gradient: jax.Array


class _Model(NamedTuple):
    draw: Callable[[Any, PyTree, Array, Array], jax.Array]
    network: Any
    latent: int
    classes: int
    style: StyleTerm
    content_layers: tuple[str, ...]
    content_weight: float
    optimizer: optax.GradientTransformation
    half_life: float
    axis_name: str | None


def adapted_generator(
    generate: Generate,
    *,
    latent: int,
    style: StyleTerm,
    content_layers: Sequence[str],
    content_weight: float = 1.0,
    classes: int = 0,
    start: Callable[[], PyTree] | None = None,
    optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 1000,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe that adapts a trained generator to one painting: it draws what it drew, in the painting's style.

    ``style.weight * style(G(z), painting) + content_weight * content(G(z), G0(z))``, G0 being the generator as it was: the objective of a
    stylization, with a generator in place of the pixels. It needs no pictures and no discriminator: a batch is a dict of ``number [B]``,
    whose values are not looked at; latents and classes are drawn in the step. `frozen` is from `style_arrays`.

    Args:
        generate: from `generator_of`, `decoder_of`, or of a flow that draws in few steps; "params" of its variables are trained. Where
            `start` is given they may be `jax.ShapeDtypeStruct`.
        latent: dimensions of z.
        style: term; its features must have the layers of the content too.
        content_layers: of the features, whose distance to what the generator drew of the same latent is the content term.
        content_weight: more keeps more of what it drew.
        classes: that the generator can be asked for; 0 for none.
        start: called when a run is begun, on the host: returns the variables to begin with; by default those of `generate`.
        optimizer: any Optax transformation.
        half_life: of the average of the params, in images.
        axis_name: as in `gan`.

    Raises:
        ValueError: a number out of its range, or no layers of the content.

    Reference: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016, section 3, for the terms.
    Departure: a generator is trained, of latents, where they train a network that takes photographs.
    """
    check_style("adapted_generator", style)
    if latent < 1 or half_life <= 0 or not 0 <= content_weight < float("inf") or not content_layers:
        raise ValueError(
            "adapted_generator: expected latent of at least 1, a half-life above 0, content_weight of at least 0 and content_layers, got "
            f"{latent}, {half_life}, {content_weight} and {tuple(content_layers)}."
        )
    model = _Model(
        draw=generate.apply,
        network=generate.network,
        latent=latent,
        classes=classes,
        style=style,
        content_layers=tuple(content_layers),
        content_weight=content_weight,
        optimizer=optimizer,
        half_life=half_life,
        axis_name=axis_name,
    )
    begin = None if start is None else functools.partial(_begun, start)
    return Recipe(functools.partial(_init, model, generate.variables), _make_step(model), begin=begin)


def _init(model: _Model, variables: PyTree, key: Key) -> AdaptedState:
    del key  # nothing is random in the beginning
    variables = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf, variables
    )
    original, params, average = _copies(variables)
    return AdaptedState(jnp.int32(0), jnp.float32(0), params, model.optimizer.init(params), average, original)


def _begun(start: Callable[[], PyTree], state: AdaptedState) -> AdaptedState:
    original, params, average = _copies(start())
    return state._replace(params=params, average=average, original=original)


def _copies(variables: PyTree) -> list[PyTree]:
    """Return variables and their params twice, in buffers of their own."""
    return [jax.tree.map(jnp.array, each) for each in (variables, *2 * (variables["params"],))]


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, AdaptedState, dict, PyTree], tuple[AdaptedState, AdaptedInfo]]:
    def step(
        key: Key, state: AdaptedState, batch: dict[str, Array], frozen: PyTree
    ) -> tuple[AdaptedState, AdaptedInfo]:
        count = len(batch["number"])
        z, label = _drawn(model, example_keys(key, count, axis_name=model.axis_name))
        before = model.draw(model.network, state.original, z, label)
        aims = described(model.style, frozen["variables"], before)

        def objective(params):
            pictures = model.draw(model.network, {**state.original, "params": params}, z, label)
            found = described(model.style, frozen["variables"], pictures)
            content = losses.content_of_layers(found, {name: aims[name] for name in model.content_layers})
            terms = jnp.mean(_distance(model.style, frozen, found)), jnp.mean(content)
            return model.style.weight * terms[0] + model.content_weight * terms[1], terms

        params, opt_state, loss, terms, gradient = gradient_update(
            objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name
        )
        count *= 1 if model.axis_name is None else jax.lax.axis_size(model.axis_name)
        images = state.images + count
        decay = half_life_decay(count, images, half_life=model.half_life)
        average = exponential_average(state.average, params, decay=decay)
        state = AdaptedState(state.step + 1, images, params, opt_state, average, state.original)
        distance, content = mean_over(terms, model.axis_name)
        return state, AdaptedInfo(loss, distance, content, optax.tree.norm(gradient))

    return step


def _drawn(model: _Model, keys: Key) -> tuple[jax.Array, jax.Array]:
    """Draw ``z [B, latent]`` and ``label [B]``, each row from its example's key."""

    def draw(key: Key) -> tuple[jax.Array, jax.Array]:
        key_latent, key_label = jax.random.split(key)
        label = jax.random.randint(key_label, (), 0, max(1, model.classes))
        return jax.random.normal(key_latent, (model.latent,)), label

    return jax.vmap(draw)(keys)
