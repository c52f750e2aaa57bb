"""Dropping features and whole residual branches in training, each example by numbers of its own.

Both act only where a network is applied with ``train=True`` and ``rngs={"dropout": key}``. The numbers of an example come from that key
folded with its index in the global batch, so they do not depend on the number of devices.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array


def kept(
    module: nn.Module, count: int, shape: tuple[int, ...], rate: float, axis_name: str | None, *, train: bool
) -> jax.Array | None:
    """Return what examples are multiplied by: 0 with probability `rate`, else ``1 / (1 - rate)``; None where nothing is dropped.

    Args:
        module: of which the key is asked.
        count: examples here, B.
        shape: of the factors of one example.
        rate: probability in [0, 1).
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`); None for the global batch.
        train: False drops nothing.

    Returns:
        ``[B, *shape]``, float32, or None.

    Raises:
        ValueError: a rate outside of [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"{type(module).__name__}: expected a rate in [0, 1), got {rate}.")
    if not train or rate == 0 or not module.has_rng("dropout"):
        return None
    key = module.make_rng("dropout")
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(first + jnp.arange(count))
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, shape))(keys)  # [B, *shape]
    return keep.astype(jnp.float32) / (1 - rate)


class Dropout(nn.Module):
    """Set elements of ``[B, ...]`` to zero with probability `rate` and divide the others by ``1 - rate``.

    Args:
        rate: in [0, 1).
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`).

    Raises:
        ValueError: a rate outside of [0, 1).

    Reference: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting, 2014.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        factors = kept(self, x.shape[0], x.shape[1:], self.rate, self.axis_name, train=train)
        return jnp.asarray(x) if factors is None else x * factors.astype(x.dtype)


class DropBranch(nn.Module):
    """Set all of an example of ``[B, ...]`` to zero with probability `rate` and divide the others by ``1 - rate``.

    Of a residual branch: stochastic depth.

    Args:
        rate: in [0, 1).
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`).

    Raises:
        ValueError: a rate outside of [0, 1).

    Reference: Huang et al., Deep Networks with Stochastic Depth, 2016. Departures: per example instead of per batch; scaled in training
    instead of in use.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        factors = kept(self, x.shape[0], (1,) * (x.ndim - 1), self.rate, self.axis_name, train=train)
        return jnp.asarray(x) if factors is None else x * factors.astype(x.dtype)
