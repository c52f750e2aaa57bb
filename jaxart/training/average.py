"""Exponential moving averages of an iterate."""

import jax
import jax.numpy as jnp

from jaxart.arrays import PyTree


def exponential_average(average: PyTree, value: PyTree, *, decay: float) -> PyTree:
    """Move the average towards `value`: ``a <- decay a + (1 - decay) x``. Start from zeros and read it through `debias`."""
    return jax.tree.map(lambda a, x: decay * a + (1 - decay) * x, average, value)


def debias(average: PyTree, *, decay: float, count: int | jax.Array) -> PyTree:
    """Divide a zero-started average of `count` values by ``1 - decay^count``, which makes it a weighted mean of them.

    >>> round(float(debias(exponential_average(0.0, 3.0, decay=0.9), decay=0.9, count=1)), 3)
    3.0
    """
    share = 1 - jnp.float32(decay) ** jnp.asarray(count, jnp.float32)
    return jax.tree.map(lambda a: a / share, average)
