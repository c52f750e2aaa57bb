"""Scoring a trained generator against pictures that it has not seen, on features of a small classifier or of any network."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import metrics
from jaxart.arrays import Array, Key, PyTree
from jaxart.training import Recipe, fit

Describe = Callable[[Array], jax.Array]  # pictures [B, H, W, C] in [0, 1] -> features [B, F]


class ClassifierState(NamedTuple):
    """What one step hands to the next."""

    step: jax.Array
    params: PyTree
    opt_state: Any


class ClassifierInfo(NamedTuple):
    """Mean cross-entropy in nats and accuracy on the batch."""

    cross_entropy: jax.Array
    accuracy: jax.Array


def classifier(network: Any, *, shape: Sequence[int], optimizer: optax.GradientTransformation) -> Recipe:
    """Return the recipe of a classifier: cross-entropy on batches with ``image [B, *shape]``, uint8 or in [0, 1], and ``label [B]``.

    Args:
        network: module, pictures in [0, 1] -> (logits ``[B, classes]``, features).
        shape: of one picture.
        optimizer: any Optax transformation.
    """

    def init(key: Key) -> ClassifierState:
        params = network.init(key, jnp.zeros((2, *shape)))["params"]
        return ClassifierState(jnp.int32(0), params, optimizer.init(params))

    return Recipe(init, _make_step(network, optimizer))


@functools.lru_cache(maxsize=8)
def _make_step(network: Any, optimizer: optax.GradientTransformation) -> Callable:
    def step(key: Key, state: ClassifierState, batch: Any, frozen: None) -> tuple[ClassifierState, ClassifierInfo]:
        del key, frozen

        def objective(params):
            logits, _ = network.apply({"params": params}, unit(batch["image"]))
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
            return jnp.mean(losses), jnp.mean(jnp.argmax(logits, -1) == batch["label"])

        (loss, right), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return ClassifierState(state.step + 1, params, opt_state), ClassifierInfo(loss, right.astype(jnp.float32))

    return step


def unit(images: Array) -> jax.Array:
    """Map uint8 to [0, 1]; leave floats as they are."""
    return images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else jnp.asarray(images)


def train_classifier(
    key: Key, network: Any, batches: Callable[[int], Iterable], *, shape: Sequence[int], steps: int
) -> PyTree:
    """Train a classifier with Adam, its rate falling from 2e-3 to zero by a cosine; return its params."""
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))
    state, _ = fit(
        classifier(network, shape=shape, optimizer=optimizer), batches, key=key, steps=steps, batches_per_call=4
    )
    return state.params


def apply_in_batches(function: Callable, images: np.ndarray, *, batch: int = 256) -> PyTree:
    """Apply ``pictures [B, ...] -> arrays [B, ...]`` to all pictures ``[N, ...]``, uint8 or in [0, 1], a batch at a time."""
    program = jax.jit(lambda part: function(unit(part)))
    made = []
    for first in range(0, len(images), batch):
        part = np.asarray(images[first : first + batch])
        whole = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), part.dtype)])
        made.append(program(whole))
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves])[: len(images)], *made)


class Setting(NamedTuple):
    """What the cards of one comparison share: name and hash of the features, hash of the real pictures, resize filter, seed."""

    features: str
    features_hash: str
    data_hash: str
    resize: str
    seed: int


def score_features(
    key: Key, real: Array, fake: Array, train: Array, *, setting: Setting, most: int = 5000
) -> list[metrics.ScoreCard]:
    """Return cards of kernel and Frechet distance, precision, recall, density, coverage and originality.

    Args:
        key: typed key, of subsets and resamples.
        real: features ``[N, F]`` of pictures that the generator has not seen.
        fake: features ``[M, F]`` of made pictures.
        train: features of those that it was trained on.
        setting: for the cards.
        most: of each, for the scores that look at all pairs.
    """
    keys = jax.random.split(key, 4)
    numbers = {"n_real": len(real), "n_fake": len(fake), **setting._asdict()}
    subset = min(1000, len(real), len(fake))
    kernel = metrics.kernel_distance(keys[0], real, fake, subset_size=subset)
    cards = [metrics.score_card("kernel distance", kernel, **numbers)]
    if min(len(real), len(fake)) >= 2 * real.shape[1]:
        frechet = metrics.jackknife(keys[1], metrics.frechet_distance, real, fake, resamples=30)
        cards.append(metrics.score_card("Frechet distance", frechet, **numbers))
    real, fake = real[:most], fake[:most]
    numbers |= {"n_real": len(real), "n_fake": len(fake)}
    near = metrics.jackknife(keys[2], metrics.precision_recall, real, fake, resamples=10)
    cards += [metrics.score_card(name, value, **numbers) for name, value in near._asdict().items()]
    new = metrics.originality(keys[3], fake[:1000], train, real, permutations=99)
    rows = {"share of near copies": new.close, "p-value of copying": new.p_value}
    return cards + [metrics.score_card(name, metrics.Estimate(value, 0.0), **numbers) for name, value in rows.items()]
