"""Exponential moving averages of an iterate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import PyTree


class AveragedState(NamedTuple):
    """What one step of a network's training hands to the next; `average` is that of the params."""

    step: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree


def exponential_average(average: PyTree, value: PyTree, *, decay: float | jax.Array) -> PyTree:
    """Move the average toward `value`: ``a <- decay a + (1 - decay) x``. Start from zeros and read it through `debias`.

    Args:
        average: arrays.
        value: a tree of the same structure and shapes.
        decay: share of the old average, in [0, 1].

    Returns:
        The new average.
    """
    return jax.tree.map(lambda a, x: decay * a + (1 - decay) * x, average, value)


def debias(average: PyTree, *, decay: float, count: int | jax.Array) -> PyTree:
    """Divide an average that started from zeros by ``1 - decay^count``, which makes it a weighted mean of its values.

    Args:
        average: from `exponential_average`.
        decay: the one it was taken with.
        count: number of values in it, at least 1.

    >>> round(float(debias(exponential_average(0.0, 3.0, decay=0.9), decay=0.9, count=1)), 3)
    3.0
    """
    share = 1 - jnp.float32(decay) ** jnp.asarray(count, jnp.float32)
    return jax.tree.map(lambda a: a / share, average)


def half_life_decay(batch: int, images: jax.Array, *, half_life: float, ramp: float = 0.05) -> jax.Array:
    """Return the decay per step with which a value's share halves in `half_life` images: ``0.5^(batch / min(half_life, ramp images))``.

    Args:
        batch: images per step.
        images: seen so far; early on the half-life is only `ramp` times that, so that the first, useless iterates are forgotten.
        half_life: in images, above 0.
        ramp: share of the images seen.

    Reference: Karras et al., Training Generative Adversarial Networks with Limited Data, 2020, official configuration.

    >>> float(half_life_decay(32, jnp.float32(1e6), half_life=320))
    0.9330329895019531
    """
    span = jnp.minimum(jnp.float32(half_life), ramp * jnp.asarray(images, jnp.float32))
    return 0.5 ** (batch / jnp.maximum(span, 1e-8))
