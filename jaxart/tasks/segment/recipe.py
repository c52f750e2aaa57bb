"""Segmentation as a recipe."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart import losses
from jaxart.arrays import Array, Key, PyTree
from jaxart.data import IGNORED
from jaxart.image import unit
from jaxart.training import AveragedState as State
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Transform = Callable[[Key, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


class Info(NamedTuple):
    """Means over the batch: the loss, cross-entropy in nats, soft Dice of the classes that are there, accuracy; norm of the gradient."""

    loss: jax.Array
    cross_entropy: jax.Array
    dice: jax.Array
    accuracy: jax.Array
    gradient: jax.Array


def segmenter(
    network: Any,
    *,
    shape: Sequence[int],
    optimizer: optax.GradientTransformation,
    dice_weight: float = 1.0,
    half_life: float = 10_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a segmentation: ``cross-entropy + dice_weight (1 - soft Dice)``.

    What is frozen are collections of the network beside its params, such as those of `models.FeatureSegmenter.freeze`; none by default.
    A batch is a dict of ``image [B, *shape]``, uint8 or in [0, 1], and ``mask [B, H, W]``, uint8, 255 where the class is not known.

    Args:
        network: module, pictures ``[B, H, W, C]`` in [0, 1] -> logits ``[B, H, W, classes]``.
        shape: of one picture, such as (64, 64, 3).
        optimizer: any Optax transformation.
        dice_weight: of what the overlaps lack; 0 trains by cross-entropy alone.
        half_life: of the average of the weights, in pictures, above 0.
        transform: augmentation ``(keys [B], images in [0, 1], masks) -> (images, masks)``, such as `data.augment_pairs`.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a negative weight, or a half-life that is not above 0.

    Reference: Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation, 2016, section 3 (the
    overlap as a loss); beside cross-entropy: Isensee et al., nnU-Net, 2021. Departure: of every picture, its classes alone.
    """
    if not dice_weight >= 0 or not half_life > 0:
        raise ValueError(
            f"segmenter: expected a dice_weight of at least 0 and a half_life above 0, got {dice_weight} and {half_life}."
        )

    def init(key: Key) -> State:
        params = network.init(key, jnp.zeros((1, *shape)))["params"]
        return State(jnp.int32(0), params, optimizer.init(params), jax.tree.map(jnp.copy, params))

    return Recipe(init, _make_step(network, optimizer, dice_weight, half_life, transform, axis_name))


@functools.lru_cache(maxsize=8)
def _make_step(
    network: Any,
    optimizer: optax.GradientTransformation,
    dice_weight: float,
    half_life: float,
    transform: Transform | None,
    axis_name: str | None,
) -> Callable[[Key, State, dict[str, Array], PyTree], tuple[State, Info]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: PyTree) -> tuple[State, Info]:
        images, masks = unit(batch["image"]), jnp.asarray(batch["mask"])
        if transform is not None:
            images, masks = transform(example_keys(key, len(images), axis_name=axis_name), images, masks)

        def objective(params: PyTree) -> tuple[jax.Array, tuple[jax.Array, ...]]:
            logits = network.apply({"params": params, **(frozen or {})}, images)
            terms = tuple(jnp.mean(each) for each in _terms(logits, masks))
            return terms[0] + dice_weight * (1 - terms[1]), terms

        done = gradient_update(objective, optimizer, state.params, state.opt_state, axis_name=axis_name)
        size = len(images) * (1 if axis_name is None else jax.lax.axis_size(axis_name))
        decay = half_life_decay(size, (state.step + 1) * jnp.float32(size), half_life=half_life)
        average = exponential_average(state.average, done.params, decay=decay)
        terms = mean_over(done.aux, axis_name)
        told = Info(done.loss, terms[0], terms[1], terms[2], optax.tree.norm(done.gradient))
        return State(state.step + 1, done.params, done.opt_state, average), told

    return step


def _terms(logits: Array, masks: Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return cross-entropy, soft Dice and accuracy of each picture ``[B]``."""
    labels = jnp.where(masks == IGNORED, -1, masks.astype(jnp.int32))
    return (
        _mean_known(losses.cross_entropy(logits, labels), masks),
        losses.soft_dice(jax.nn.softmax(logits), labels),
        _mean_known(jnp.argmax(logits, -1) == masks, masks),
    )


def _mean_known(values: Array, masks: Array, *, ignored: int = IGNORED) -> jax.Array:
    known = (masks != ignored).astype(jnp.float32)
    return jnp.sum(values * known, axis=(1, 2)) / jnp.maximum(jnp.sum(known, axis=(1, 2)), 1)
