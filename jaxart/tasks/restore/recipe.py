"""Training networks that restore, as a recipe."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart import losses
from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.models import depth_to_space
from jaxart.tasks.restore.damage import Damage, Example
from jaxart.training import AveragedState as State
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Transform = Callable[[Key, jax.Array], jax.Array]
Loss = Callable[[jax.Array, Example, PyTree], jax.Array]


class Info(NamedTuple):
    """The loss; root mean squares of the errors of what was made and of what it began with, where they count; norm of the gradient."""

    loss: jax.Array
    error: jax.Array
    begun: jax.Array
    gradient: jax.Array


def restorer(
    network: Any,
    *,
    shape: Sequence[int],
    damage: Damage,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    half_life: float = 20_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a network that undoes damage: what it makes of a damaged picture is added to what it begins with.

    A batch is a dict of ``image [B, H, W, C]``, uint8 or in [0, 1]. What is frozen are the variables of a network that the loss looks by.

    Args:
        network: module, ``[B, h, w, C + 1] -> [B, h, w, C s s]``, whose channels are squares of s x s pixels of the result.
        shape: (height, width, channels) of the part of a picture that is seen, after `transform`.
        damage: ``(key, picture) -> Example``, such as `noisy` or `small`.
        loss: ``(made [B, H, W, C], examples, frozen) -> [B]``, such as `pixel_loss`.
        optimizer: any Optax transformation.
        half_life: of the average of the weights, in pictures, above 0.
        transform: augmentation ``(keys [B], images in [0, 1]) -> images``.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a half-life that is not above 0.
    """
    if not half_life > 0:
        raise ValueError(f"restorer: expected a half_life above 0, got {half_life}.")

    def init(key: Key) -> State:
        given = jax.eval_shape(damage, key, jax.ShapeDtypeStruct(tuple(shape), jnp.float32)).given
        params = network.init(key, jnp.zeros((1, *given.shape)))["params"]
        return State(jnp.int32(0), params, optimizer.init(params), jax.tree.map(jnp.copy, params))

    return Recipe(init, _make_step(network, damage, loss, optimizer, half_life, transform, axis_name))


@functools.lru_cache(maxsize=8)
def _make_step(
    network: Any,
    damage: Damage,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    half_life: float,
    transform: Transform | None,
    axis_name: str | None,
) -> Callable[[Key, State, dict[str, Array], PyTree], tuple[State, Info]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: PyTree) -> tuple[State, Info]:
        images = unit(batch["image"])
        seen, harm = (example_keys(each, len(images), axis_name=axis_name) for each in jax.random.split(key))
        if transform is not None:
            images = transform(seen, images)
        examples = jax.vmap(damage)(harm, images)

        def objective(params: PyTree) -> tuple[jax.Array, jax.Array]:
            made = restored(network, params, examples)
            return jnp.mean(loss(made, examples, frozen)), _squares(made, examples)

        done = gradient_update(objective, optimizer, state.params, state.opt_state, axis_name=axis_name)
        size = len(images) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
        decay = half_life_decay(size, (state.step + 1) * jnp.float32(size), half_life=half_life)
        average = exponential_average(state.average, done.params, decay=decay)
        errors = mean_over((done.aux, _squares(examples.begun, examples)), axis_name)
        told = Info(done.loss, jnp.sqrt(errors[0]), jnp.sqrt(errors[1]), optax.tree.norm(done.gradient))
        return State(state.step + 1, done.params, done.opt_state, average), told

    return step


def restored(network: Any, params: PyTree, examples: Example) -> jax.Array:
    """Return what a network makes of damaged pictures: ``[B, H, W, C]``.

    Args:
        network: as in `restorer`.
        params: of it.
        examples: with a leading axis.
    """
    change = network.apply({"params": params}, examples.given)
    return examples.begun + depth_to_space(change, examples.begun.shape[1] // examples.given.shape[1])


def pixel_loss(
    made: Array,
    examples: Example,
    frozen: PyTree,
    *,
    dissimilarity_weight: float = 0.0,
    perceptual_weight: float = 0.0,
    features: Callable[[PyTree, jax.Array], dict[str, jax.Array]] | None = None,
) -> jax.Array:
    """Return Charbonnier's loss where errors count, and what is missing of structural and perceptual similarity: ``[B]``.

    Args:
        made: ``[B, H, W, C]``.
        examples: what should come out.
        frozen: variables of `features`.
        dissimilarity_weight: of what is missing of structural similarity.
        perceptual_weight: of the error of features.
        features: ``(frozen, pictures) -> {layer: [B, h, w, C]}``.
    """
    weight, target = examples.weight, examples.target
    share = jnp.mean(weight, axis=(1, 2, 3))
    found = losses.charbonnier(made * weight, target * weight) / jnp.maximum(share, 1 / target[0, ..., 0].size)
    whole = jnp.where(weight > 0, made, target)
    if dissimilarity_weight:
        found += dissimilarity_weight * losses.dissimilarity(whole, target)
    if perceptual_weight and features is not None:
        pairs = features(frozen, whole), features(frozen, target)
        found += perceptual_weight * jnp.mean(losses.content_of_layers(*pairs), axis=-1)
    return found


def damage_loss(made: Array, examples: Example, frozen: PyTree) -> jax.Array:
    """Return the cross-entropy of what is damaged, in nats, and one less the overlap of what is and what was found: ``[B]``.

    Args:
        made: logits ``[B, H, W, 1]``.
        examples: whose target is 1 where a pixel is damaged, else 0.
        frozen: not looked at.
    """
    del frozen
    logits = jnp.concatenate([jnp.zeros_like(made), made], axis=-1)
    labels = examples.target[..., 0].astype(jnp.int32)
    entropy = jnp.mean(losses.cross_entropy(logits, labels), axis=(1, 2))
    return entropy + 1 - losses.soft_dice(jax.nn.softmax(logits), labels)


def _squares(made: Array, examples: Example) -> jax.Array:
    """Return the mean square of errors where they count, of all pictures together."""
    share = jnp.maximum(jnp.mean(examples.weight), 1e-6)
    return jnp.mean(examples.weight * (made - examples.target) ** 2) / share
