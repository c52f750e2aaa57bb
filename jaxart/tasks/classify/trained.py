"""Training a classifier in one call, and what it says of pictures."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxart import data, models
from jaxart.arrays import Array, Key, PyTree
from jaxart.image import unit
from jaxart.tasks.classify.recipe import classifier
from jaxart.training import apply_in_batches, fit

_BATCH, _EPOCHS, _STEPS = 128, 3, (600, 1500)  # of the small classifier; steps at least and at most


class Classifier(NamedTuple):
    """A network and its params."""

    network: Any
    params: PyTree


def predict(
    trained: Classifier, images: Array, *, pictures: bool = True, batch: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs, such as logits ``[N, classes]``, and the features ``[N, F]`` of pictures.

    One program serves all pictures, and all params of the same network.

    Args:
        trained: the classifier.
        images: ``[N, H, W, C]``, uint8 or in [0, 1].
        pictures: false for the head of a network, whose inputs are features ``[N, F]``.
        batch: pictures at a time.
    """
    return apply_in_batches(
        _apply if pictures else _apply_head, trained.network, {"params": trained.params}, images, batch=batch
    )


def _apply(network: Any, variables: PyTree, images: Array) -> tuple[jax.Array, jax.Array]:
    return network.apply(variables, unit(images))


def _apply_head(network: Any, variables: PyTree, features: Array) -> tuple[jax.Array, jax.Array]:
    return network.apply(variables, features)


def train_classifier(
    key: Key, network: Any, batches: Callable[[int], Iterable], *, shape: Sequence[int], steps: int
) -> Classifier:
    """Train a classifier with Adam, its rate falling from 2e-3 to zero by a cosine.

    Args:
        key: typed key.
        network: module, as in `classifier`.
        batches: the batches of `classifier` from a step on, as for `fit`.
        shape: of one picture.
        steps: of training.
    """
    recipe = classifier(network, shape=shape, optimizer=_adam(steps))
    state, _ = fit(recipe, batches, key=key, steps=steps, batches_per_call=4)
    return Classifier(network, state.params)


@functools.lru_cache(maxsize=8)
def _adam(steps: int) -> optax.GradientTransformation:
    """Return the same object for the same number of steps, by which `fit` knows the program again."""
    return optax.adam(optax.cosine_decay_schedule(2e-3, steps))


def train_small_classifier(key: Key, images: np.ndarray, labels: np.ndarray, *, classes: int) -> Classifier:
    """Train `models.SmallClassifier` for about three epochs, 600 to 1500 steps: good enough to judge pictures of these classes by.

    Args:
        key: typed key.
        images: ``[N, S, S, C]``, uint8 or in [0, 1].
        labels: ``[N]`` int32, below `classes`.
        classes: how many.
    """
    key_order, key_steps = jax.random.split(key)
    network = models.SmallClassifier(classes=classes, width=16)
    steps = int(np.clip(_EPOCHS * len(images) // _BATCH, *_STEPS))
    stream = functools.partial(_stream, key_order, data.Dataset({"image": images, "label": labels}))
    return train_classifier(key_steps, network, stream, shape=images.shape[1:], steps=steps)


def _stream(key: Key, dataset: data.Dataset, first: int) -> Iterable:
    return data.batches(key, dataset, _BATCH, first=first)
