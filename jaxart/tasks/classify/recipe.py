"""A classifier as a recipe: of pictures, or of features that are taken once."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.data import transform_some
from jaxart.image import unit
from jaxart.losses import elastic_penalty
from jaxart.tasks.classify.targets import Target, one_class
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

Transform = Callable[[Key, Array], jax.Array]  # (keys [B], images) -> images
Mixing = Callable[[Key, Array, Array], tuple[jax.Array, jax.Array]]  # (keys [B], images, shares [B, K]) -> both, mixed


class State(NamedTuple):
    """What one step hands to the next; `average` is None without a half-life, `scaling` where pictures are looked at.

    `encoder` are the params of the network whose features are looked at, where a state is to hold them.
    """

    step: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree = None
    scaling: "Scaling | None" = None
    encoder: PyTree = None


class Scaling(NamedTuple):
    """What features are brought to a common scale by: their means and deviations over the training examples, ``[F]`` each."""

    center: Array
    deviation: Array

    def __call__(self, features: Array) -> jax.Array:
        """Return features ``[B, F]`` less the center, in units of the deviation."""
        return (features.astype(jnp.float32) - self.center[None]) / self.deviation[None]


class _Model(NamedTuple):
    network: Any
    optimizer: optax.GradientTransformation
    target: Target
    half_life: float | None
    transform: Transform | None
    rates: tuple[float, ...] | None
    mixing: Mixing | None
    l1: float
    l2: float
    frozen_features: bool
    axis_name: str | None


def classifier(
    network: Any,
    *,
    shape: Sequence[int],
    optimizer: optax.GradientTransformation,
    target: Target | None = None,
    half_life: float | None = None,
    transform: Transform | None = None,
    rates: tuple[float, ...] | None = None,
    mixing: Mixing | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a classifier of pictures.

    A batch is a dict of ``image [B, *shape]``, uint8 or in [0, 1], and ``label``: what `target` says.

    Args:
        network: module ``(pictures in [0, 1], train) -> (outputs [B, O], features [B, F])``; dropout draws from the stream "dropout".
        shape: of one picture, such as (32, 32, 3).
        optimizer: any Optax transformation; early stopping, weight decay and pruning are others.
        target: what is predicted; by default one class of as many as the network has (``network.classes``).
        half_life: of the average of the params, in pictures; None keeps none.
        transform: of the pictures, in [0, 1]: ``(keys [B], images) -> images``, such as `data.augment`.
        rates: how often pictures of each class are transformed at all, such as `data.augmentation_probabilities`; always by default.
        mixing: of pictures and the shares of their classes, after it: `data.mixup` or `data.cutmix`.
        l1: weight of the sum of the kernels' absolute values.
        l2: weight of half the sum of their squares.
        axis_name: as in `gan`.

    Raises:
        ValueError: mixing where targets are not one class.
    """
    model = _model(network, optimizer, target, half_life, transform, rates, mixing, l1, l2, False, axis_name)
    return Recipe(functools.partial(_init, model, tuple(shape)), _make_step(model))


def classifier_of_features(
    network: Any,
    *,
    length: int,
    optimizer: optax.GradientTransformation,
    target: Target,
    encoder: PyTree = None,
    half_life: float | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a classifier of features that a network, which is not trained, has made of the pictures once.

    `Recipe.frozen` is ``{"features": [N, F], "scaling": Scaling}``, and perhaps "encoder"; a batch is a dict of ``row [B]``, numbers below
    N, and ``label``. The scaling goes into the state, so that a state is all that new pictures need.

    Args:
        network: module ``(features [B, F], train) -> (outputs [B, O], features)``.
        length: F.
        optimizer: any Optax transformation.
        target: what is predicted.
        encoder: shapes of the params of that network, as `jax.eval_shape` gives them; where given, they are in ``frozen["encoder"]`` and
            from there in the state.
        half_life: of the average of the params, in pictures; None keeps none.
        l1: as in `classifier`.
        l2: as in `classifier`.
        axis_name: as in `gan`.
    """
    model = _model(network, optimizer, target, half_life, None, None, None, l1, l2, True, axis_name)
    return Recipe(functools.partial(_init, model, (length,), encoder=encoder), _make_step(model))


def _model(network: Any, optimizer: Any, target: Target | None, *others: Any) -> _Model:
    found = one_class(network.classes) if target is None else target
    model = _Model(network, optimizer, found, *others)
    if model.mixing is not None and not found.mixes:
        raise ValueError("mixing: pictures are mixed where each has one class of a softmax; leave it out.")
    return model


def _init(model: _Model, shape: tuple[int, ...], key: Key, *, encoder: PyTree = None) -> State:
    params = model.network.init(key, jnp.zeros((2, *shape)))["params"]
    average = None if model.half_life is None else jax.tree.map(jnp.copy, params)
    scaling = Scaling(jnp.zeros(shape), jnp.ones(shape)) if model.frozen_features else None
    empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), encoder)
    return State(jnp.int32(0), params, model.optimizer.init(params), average, scaling, empty)


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, State, dict[str, Array], PyTree], tuple[State, Any]]:
    def step(key: Key, state: State, batch: dict[str, Array], frozen: PyTree) -> tuple[State, Any]:
        key_dropout, key_pictures = jax.random.split(key)
        keys = example_keys(key_pictures, len(batch["label"]), axis_name=model.axis_name)
        inputs, target = _seen(model, keys, batch, frozen)

        def objective(params):
            outputs, _ = model.network.apply({"params": params}, inputs, train=True, rngs={"dropout": key_dropout})
            loss = jnp.mean(model.target.loss(outputs, target))
            penalty = elastic_penalty(params, l1=model.l1, l2=model.l2) if model.l1 or model.l2 else 0.0
            return loss + penalty, (loss, jnp.mean(model.target.measure(outputs, target)))

        done = gradient_update(objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name)
        average = _averaged(model, state, done.params, len(target))
        info = model.target.info(*mean_over(done.aux, model.axis_name))
        kept = {name: frozen[name] for name in ("scaling", "encoder") if model.frozen_features and name in frozen}
        return State(state.step + 1, done.params, done.opt_state, average, **kept), info

    return step


def _seen(model: _Model, keys: Key, batch: dict[str, Array], frozen: PyTree) -> tuple[jax.Array, Array]:
    """Return what the network is shown of a batch, and what it should say."""
    if model.frozen_features:
        return frozen["scaling"](frozen["features"][batch["row"]]), batch["label"]
    keys = jax.vmap(jax.random.split)(keys)
    images, label = unit(batch["image"]), batch["label"]
    images = _transformed(model, keys[:, 0], images, label)
    if model.mixing is None:
        return images, label
    return model.mixing(keys[:, 1], images, jax.nn.one_hot(label, model.target.outputs))


def _transformed(model: _Model, keys: Key, images: jax.Array, label: Array) -> jax.Array:
    if model.transform is None:
        return images
    if model.rates is None:
        return model.transform(keys, images)
    return transform_some(keys, images, jnp.asarray(model.rates, jnp.float32)[label], model.transform)


def _averaged(model: _Model, state: State, params: PyTree, batch: int) -> PyTree:
    if model.half_life is None:
        return None
    size = batch * (1 if model.axis_name is None else jax.lax.axis_size(model.axis_name))
    decay = half_life_decay(size, (state.step + 1) * jnp.float32(size), half_life=model.half_life)
    return exponential_average(state.average, params, decay=decay)
