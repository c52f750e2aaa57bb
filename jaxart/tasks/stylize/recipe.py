"""One scale of a stylisation as a recipe: the pixels are the parameters."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Features, Key, PyTree
from jaxart.image import resize
from jaxart.losses import Moments, StyleLoss, blend, moments, total_variation_nine_point
from jaxart.losses import content as content_loss
from jaxart.models import VGG
from jaxart.ops import avg_pool
from jaxart.training import debias, exponential_average

DECAY = 0.99  # of the averaged iterate
ADAM = optax.adam(0.02, b1=0.9, b2=0.99)
LBFGS = optax.lbfgs(memory_size=10)


class State(NamedTuple):
    """What one step hands to the next: ``image`` and ``average`` are ``[H, W, 3]``."""

    step: jax.Array
    image: jax.Array
    optimizer: Any
    average: jax.Array


class Info(NamedTuple):
    """The loss and its weighted terms."""

    loss: jax.Array
    content: jax.Array
    style: jax.Array
    smoothness: jax.Array


class Strengths(NamedTuple):
    """Weights of the terms; arrays, so that changing one compiles nothing. ``style`` is ``[L]``, one per style layer."""

    content: jax.Array
    style: jax.Array
    smoothness: jax.Array


class Frozen(NamedTuple):
    """What a scale uses and never trains.

    Fields:
        variables: of the network.
        content: features of the content by layer.
        styles: per region, targets by layer; one region without masks.
        masks: by layer ``[R, h, w]``, or None.
        strengths: weights of the terms.
    """

    variables: PyTree
    content: Features
    styles: tuple[dict[str, Any], ...]
    masks: dict[str, jax.Array] | None
    strengths: Strengths


@jax.jit
def picture(state: State) -> jax.Array:
    """Return the averaged iterate ``[H, W, 3]`` in [0, 1], which is the picture to show."""
    return jnp.clip(debias(state.average, decay=DECAY, count=state.step + 1), 0, 1)


@functools.partial(jax.jit, static_argnames="optimizer")
def initial_state(image: Array, optimizer: optax.GradientTransformation) -> State:
    """Start from an image; the average has seen it once."""
    image = jnp.clip(jnp.asarray(image, jnp.float32), 0, 1)
    return State(
        jnp.int32(0), image, optimizer.init(image), exponential_average(jnp.zeros_like(image), image, decay=DECAY)
    )


@functools.partial(jax.jit, static_argnames=("size", "optimizer"))
def carry_over(state: State, size: tuple[int, int], optimizer: optax.GradientTransformation) -> State:
    """Start the next scale from the picture of the last; Adam keeps its resized moments and its count.

    Args:
        state: the last scale's.
        size: (height, width) of the next.
        optimizer: the same at both scales. What is not Adam's state starts afresh.
    """
    fresh = initial_state(resize(picture(state), size), optimizer)

    def moments_of(new, old):
        if not isinstance(old, optax.ScaleByAdamState):
            return new
        return old._replace(mu=resize(old.mu, size), nu=jnp.maximum(resize(old.nu, size, method="bilinear"), 0))

    def adams(node):
        return isinstance(node, optax.ScaleByAdamState)

    return fresh._replace(optimizer=jax.tree.map(moments_of, fresh.optimizer, state.optimizer, is_leaf=adams))


@functools.lru_cache(maxsize=32)
def make_step(
    network: VGG,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    style_loss: StyleLoss,
    optimizer: optax.GradientTransformation,
) -> Callable[[Key, State, None, Frozen], tuple[State, Info]]:
    """Return the step that all scales share, so that equal shapes share one compiled program."""
    update = optax.with_extra_args_support(optimizer).update

    def objective(image: jax.Array, frozen: Frozen) -> tuple[jax.Array, Info]:
        features = extract(network, frozen.variables, image)
        content = jnp.zeros(())
        for name in content_layers:
            content += content_loss(features[name], frozen.content[name]) / len(content_layers)
        style = jnp.stack([_style_of_layer(features, name, frozen, style_loss) for name in style_layers])
        terms = (
            frozen.strengths.content * content,
            jnp.sum(frozen.strengths.style * style),
            frozen.strengths.smoothness * total_variation_nine_point(image),
        )
        loss = terms[0] + terms[1] + terms[2]
        return loss, Info(loss, *terms)

    def step(key: Key, state: State, batch: None, frozen: Frozen) -> tuple[State, Info]:
        del key, batch
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(state.image, frozen)
        change: Any
        change, memory = update(
            gradient,
            state.optimizer,
            state.image,
            value=loss,
            grad=gradient,
            value_fn=lambda image: objective(image, frozen)[0],
        )
        image = jnp.clip(state.image + change, 0, 1)
        average = exponential_average(state.average, image, decay=DECAY)
        return State(state.step + 1, image, memory, average), info

    return step


def _style_of_layer(features: Features, name: str, frozen: Frozen, style_loss: StyleLoss) -> jax.Array:
    """Sum a layer's style distances over regions, each by its share of the picture."""
    if frozen.masks is None:
        return style_loss.distance(moments(features[name]), frozen.styles[0][name])
    masks = frozen.masks[name]
    shares = jnp.mean(masks, axis=(1, 2))
    distances = [
        style_loss.distance(moments(features[name], masks[region]), targets[name])
        for region, targets in enumerate(frozen.styles)
    ]
    return jnp.sum(shares * jnp.stack(distances))


def extract(network: VGG, variables: PyTree, image: Array) -> Features:
    """Return the features of one picture ``[H, W, 3]`` by layer, ``[h, w, C]``."""
    features: Any = network.apply(variables, image[None])
    return {name: layer[0] for name, layer in features.items()}


content_features = jax.jit(extract, static_argnames="network")


@functools.partial(jax.jit, static_argnames="network")
def style_moments(network: VGG, variables: PyTree, image: Array) -> dict[str, Moments]:
    """Return the moments of one painting ``[H, W, 3]`` by layer."""
    return {name: moments(layer) for name, layer in extract(network, variables, image).items()}


@functools.partial(jax.jit, static_argnames="style_loss")
def style_targets(
    per_style: list[dict[str, Moments]], weights: Sequence[float], style_loss: StyleLoss
) -> dict[str, Any]:
    """Blend styles by weight and prepare the targets of each layer."""
    shares = jnp.asarray(weights, jnp.float32)
    return {name: style_loss.target(blend([each[name] for each in per_style], shares)) for name in per_style[0]}


def layer_masks(masks: Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    """Shrink masks ``[R, H, W]`` to the layers of VGG by mean pooling: ``{name: [R, h, w]}``."""
    current, shrunk, block = jnp.asarray(masks, jnp.float32)[..., None], {}, 1
    for name in sorted(layers, key=_block):
        while block < _block(name):
            current, block = avg_pool(current), block + 1
        shrunk[name] = current[..., 0]
    return shrunk


def _block(name: str) -> int:
    """Return how often a layer's features have been halved, plus one: relu4_2 -> 4, pool3 -> 4, image -> 1."""
    if name == "image":
        return 1
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz")[0]) + name.startswith("pool")
