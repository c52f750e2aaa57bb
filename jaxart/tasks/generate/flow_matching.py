"""Flow matching as a recipe: a network learns the velocity of straight paths from noise to pictures. Pictures are in [-1, 1] here."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.image import signed
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
)

ADAM = optax.adam(1e-3, b2=0.99)
Transform = Callable[[Key, Array], jax.Array]  # one key per example [B], pictures [B, H, W, C] -> the same


class FlowState(NamedTuple):
    """What one step hands to the next; pictures are drawn with the average of the params."""

    step: jax.Array
    images: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree


class FlowInfo(NamedTuple):
    """The mean squared error of the velocity, and the gradient's norm."""

    loss: jax.Array
    gradient: jax.Array


class _Model(NamedTuple):
    network: Any
    classes: int
    optimizer: optax.GradientTransformation
    half_life: float
    time_mean: float
    time_std: float
    drop_class: float
    transform: Transform | None
    axis_name: str | None


def flow(
    network: Any,
    *,
    shape: Sequence[int],
    classes: int = 0,
    optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 50_000,
    time_mean: float = 0.0,
    time_std: float = 1.0,
    drop_class: float = 0.1,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a flow; a batch is a dict of ``image [B, H, W, C]``, uint8 or in [-1, 1], and ``label [B]``.

    ``x_t = (1 - t) noise + t picture``, and the network minimizes ``mean |v(x_t, t, label) - (picture - noise)|^2``. Times are
    ``sigmoid(time_mean + time_std n)``, n normal: most where it is hardest, half-way. Now and then the label is `classes`, which stands for
    none, so that guidance can tell what a class adds.

    Args:
        network: module ``(x [B, *shape], time [B], label [B]) -> [B, *shape]``, such as `models.VelocityNet`.
        shape: of one picture.
        classes: that the network knows; 0 for none.
        optimizer: any Optax transformation.
        half_life: of the average of the params, in images.
        time_mean: below 0 for more of the noisy times.
        time_std: above 0.
        drop_class: how often, from 0 to 1, the label is left out.
        transform: of the pictures, part of what is learned: ``(keys [B], images) -> images``.
        axis_name: as in `gan`.

    Raises:
        ValueError: a number out of its range.

    Reference: Lipman et al., Flow Matching for Generative Modeling, 2023, eq. 21-23 with sigma_min = 0; Liu et al., Flow Straight and Fast,
    2023, eq. 1; times: Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. 19; labels left
    out: Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, algorithm 1.
    """
    if classes < 0 or half_life <= 0 or time_std <= 0 or not 0 <= drop_class <= 1:
        raise ValueError(
            "flow: expected classes of at least 0, half_life and time_std above 0, and drop_class from 0 to 1, got "
            f"{classes}, {half_life}, {time_std} and {drop_class}."
        )
    model = _Model(
        network=network,
        classes=classes,
        optimizer=optimizer,
        half_life=half_life,
        time_mean=time_mean,
        time_std=time_std,
        drop_class=drop_class,
        transform=transform,
        axis_name=axis_name,
    )
    return Recipe(functools.partial(_init, model, tuple(shape)), _make_step(model))


def _init(model: _Model, shape: tuple[int, ...], key: Key) -> FlowState:
    label = jnp.zeros((2,), jnp.int32)
    params = model.network.init(key, jnp.zeros((2, *shape)), jnp.zeros(2), label)["params"]
    average = jax.tree.map(jnp.copy, params)
    return FlowState(jnp.int32(0), jnp.float32(0), params, model.optimizer.init(params), average)


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, FlowState, dict[str, Array], None], tuple[FlowState, FlowInfo]]:
    def step(key: Key, state: FlowState, batch: dict[str, Array], frozen: None) -> tuple[FlowState, FlowInfo]:
        del frozen
        keys = example_keys(key, len(batch["image"]), axis_name=model.axis_name)
        keys = jax.vmap(lambda each: jax.random.split(each, 4))(keys)
        images = signed(batch["image"])
        images = images if model.transform is None else model.transform(keys[:, 0], images)
        noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys[:, 1])
        time = jax.nn.sigmoid(model.time_mean + model.time_std * jax.vmap(jax.random.normal)(keys[:, 2]))
        label = _some_left_out(model, keys[:, 3], batch["label"])

        def objective(params):
            found = model.network.apply({"params": params}, between(noise, images, time), time, label)
            return jnp.mean((found - (images - noise)) ** 2), None

        params, opt_state, loss, _, gradient = gradient_update(
            objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name
        )
        batch_size = len(images) * (1 if model.axis_name is None else jax.lax.axis_size(model.axis_name))
        seen = state.images + batch_size
        decay = half_life_decay(batch_size, seen, half_life=model.half_life)
        average = exponential_average(state.average, params, decay=decay)
        state = FlowState(state.step + 1, seen, params, opt_state, average)
        return state, FlowInfo(loss, optax.tree.norm(gradient))

    return step


def _some_left_out(model: _Model, keys: Key, label: Array) -> Array:
    if not model.classes:
        return label
    dropped = jax.vmap(jax.random.uniform)(keys) < model.drop_class
    return jnp.where(dropped, model.classes, label)


def between(noise: Array, images: Array, time: Array) -> jax.Array:
    """Return the points of straight paths: ``(1 - t) noise + t picture``.

    Args:
        noise: ``[B, ...]``.
        images: of the same shape.
        time: ``[B]``, from 0 (noise) to 1 (pictures).
    """
    share = time.reshape(-1, *(1,) * (images.ndim - 1))
    return (1 - share) * noise + share * images
