"""A flow's student: a network that goes from noise to the picture that a teacher reaches, in one or two looks. Pictures are in [-1, 1]."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart import losses
from jaxart.arrays import Array, Key, PyTree
from jaxart.image import signed
from jaxart.tasks.generate.flow_matching import FlowState, between
from jaxart.training import Recipe, example_keys, exponential_average, gradient_update, half_life_decay, mean_over

ADAM = optax.adam(3e-4, b2=0.99)


class StudentInfo(NamedTuple):
    """The loss, its two parts before weighting (features, pixels), and the gradient's norm."""

    loss: jax.Array
    features: jax.Array
    pixels: jax.Array
    gradient: jax.Array


class _Model(NamedTuple):
    network: Any
    features: Any
    looks: int
    pixel_weight: float
    optimizer: optax.GradientTransformation
    half_life: float
    axis_name: str | None


def student(
    network: Any,
    *,
    features: Any,
    shape: Sequence[int],
    looks: int = 1,
    pixel_weight: float = 1.0,
    start: Callable[[], PyTree] | None = None,
    optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 20_000,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a student: it learns to reach at once what a teacher reaches in many steps.

    A batch is a dict of ``image [B, H, W, C]``, drawn by the teacher, uint8 or in [-1, 1], the ``noise`` of which it was drawn, and
    ``label [B]``.

    From points ``(1 - t) noise + t picture`` of the straight path between a latent and what the teacher made of it, t one of
    ``0, 1/looks, ...``, the network is to aim at that picture: as features of a network see it, normalized at each pixel, and in pixels. It
    draws in `looks` steps of Euler's method (`Solver.heun` false).

    Args:
        network: as in `flow`; the teacher's, most often.
        features: module ``pictures in [0, 1] -> {layer: [B, h, w, C]}``, such as `models.VGG`, whose variables are the recipe's `frozen`.
        shape: of one picture.
        looks: 1 or 2, or more.
        pixel_weight: of the mean absolute error of pixels.
        start: called when a run is begun, on the host: returns params to begin with, such as the teacher's average.
        optimizer: any Optax transformation.
        half_life: of the average of the params, in images.
        axis_name: as in `gan`.

    Raises:
        ValueError: looks below 1 or a weight below 0.

    Reference: Liu et al., InstaFlow: One Step is Enough for High-Quality Diffusion-Based Text-to-Image Generation, 2024, section 3 (pairs
    of the teacher, distance of features); the distance: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric, 2018, eq. 1. Departure: layers and channels weigh alike.
    """
    if looks < 1 or pixel_weight < 0:
        raise ValueError(
            f"student: expected looks of at least 1 and pixel_weight of at least 0, got {looks} and {pixel_weight}."
        )
    model = _Model(network, features, looks, pixel_weight, optimizer, half_life, axis_name)
    begin = None if start is None else functools.partial(_begun, start)
    return Recipe(functools.partial(_init, model, tuple(shape)), _make_step(model), begin=begin)


def _init(model: _Model, shape: tuple[int, ...], key: Key) -> FlowState:
    label = jnp.zeros((2,), jnp.int32)
    params = model.network.init(key, jnp.zeros((2, *shape)), jnp.zeros(2), label)["params"]
    average = jax.tree.map(jnp.copy, params)
    return FlowState(jnp.int32(0), jnp.float32(0), params, model.optimizer.init(params), average)


def _begun(start: Callable[[], PyTree], state: FlowState) -> FlowState:
    given = start()
    params, average = (jax.tree.map(jnp.array, given) for _ in range(2))  # buffers of their own
    return state._replace(params=params, average=average)


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, FlowState, dict[str, Array], PyTree], tuple[FlowState, StudentInfo]]:
    def step(key: Key, state: FlowState, batch: dict[str, Array], frozen: PyTree) -> tuple[FlowState, StudentInfo]:
        images, noise = signed(batch["image"]), batch["noise"]
        keys = example_keys(key, len(images), axis_name=model.axis_name)
        time = jax.vmap(lambda key: jax.random.randint(key, (), 0, model.looks))(keys) / model.looks

        def objective(params):
            x = between(noise, images, time)
            velocity = model.network.apply({"params": params}, x, time, batch["label"])
            aimed = x + (1 - time).reshape(-1, 1, 1, 1) * velocity
            terms = _feature_distance(model, frozen, aimed, images), jnp.mean(jnp.abs(aimed - images))
            return terms[0] + model.pixel_weight * terms[1], terms

        params, opt_state, loss, terms, gradient = gradient_update(
            objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name
        )
        batch_size = len(images) * (1 if model.axis_name is None else jax.lax.axis_size(model.axis_name))
        seen = state.images + batch_size
        average = exponential_average(
            state.average, params, decay=half_life_decay(batch_size, seen, half_life=model.half_life)
        )
        state = FlowState(state.step + 1, seen, params, opt_state, average)
        features, pixels = mean_over(terms, model.axis_name)
        return state, StudentInfo(loss, features, pixels, optax.tree.norm(gradient))

    return step


def _feature_distance(model: _Model, variables: PyTree, aimed: jax.Array, images: Array) -> jax.Array:
    def described(pictures):
        found = model.features.apply(variables, (pictures + 1) / 2)
        return {name: _unit(layer) for name, layer in found.items()}

    targets = jax.lax.stop_gradient(described(images))
    distances = losses.content_of_layers(described(aimed), targets)
    return jnp.mean(distances)


def _unit(layer: Array) -> jax.Array:
    """Scale the features of each pixel to a root mean square of 1."""
    return layer * jax.lax.rsqrt(jnp.mean(layer**2, axis=-1, keepdims=True) + 1e-6)
