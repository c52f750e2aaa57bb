"""A residual network that classifies pictures of any size, trained from scratch on few of them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, Dense
from jaxart.models.dropout import DropBranch, Dropout
from jaxart.ops.pooling import avg_pool

_EPSILON = 1e-5  # added to variances
_LINEAR = nn.initializers.lecun_normal()


class GroupNorm(nn.Module):
    """Normalize groups of neighboring channels by their mean and variance over a picture, then scale and shift each channel; float32.

    Both moments are sums per channel first and of a few numbers per group then: on a CPU a sum over pixels and part of the channels at
    once takes four times as long.

    Args:
        groups: a divisor of the number of channels.
        scale: of the channels at the start.

    Raises:
        ValueError: channels that `groups` does not divide.

    Reference: Wu and He, Group Normalization, 2018, section 3.
    """

    groups: int = 8
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        channels = x.shape[-1]
        if channels % self.groups:
            raise ValueError(f"GroupNorm: expected channels that are a multiple of {self.groups}, got {channels}.")
        scale = self.param("scale", nn.initializers.constant(self.scale), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        wide = x.astype(jnp.float32)
        mean = self._per_group(wide)  # [B, 1, 1, C]
        variance = self._per_group((wide - mean) ** 2)
        factor = scale.reshape(1, 1, 1, -1) * jax.lax.rsqrt(variance + _EPSILON)
        return wide * factor + (bias.reshape(1, 1, 1, -1) - mean * factor)

    def _per_group(self, values: jax.Array) -> jax.Array:
        """Return the mean of each group in the place of its channels: ``[B, H, W, C] -> [B, 1, 1, C]``."""
        means = jnp.mean(values, axis=(1, 2))
        batch, channels = means.shape
        means = jnp.mean(means.reshape(batch, self.groups, -1), axis=-1)
        return jnp.repeat(means, channels // self.groups, axis=-1).reshape(batch, 1, 1, channels)


class ResidualBlock(nn.Module):
    """Add to features what two 3 x 3 convolutions make of them, each after a normalization and GELU.

    What is added begins at zero: the second normalization's scales do. Where the picture is halved or the channels change, the sum's
    other part is a 1 x 1 convolution of the normalized features.

    Args:
        features: channels of the result.
        inner: channels between the two convolutions; by default as many as the result has.
        halve: average 2 x 2 pixels, in both parts; an odd last row or column is dropped.
        groups: of the normalizations.
        drop: probability with which an example goes without what is added, in training.
        axis_name: as in `Dropout`.
        dtype: of the products.

    Reference: He et al., Identity Mappings in Deep Residual Networks, 2016, fig. 4 (e).
    """

    features: int
    inner: int | None = None
    halve: bool = False
    groups: int = 8
    drop: float = 0.0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        scale = "down" if self.halve else None
        y = self._active(x, "norm1", 1.0)
        if self.halve or x.shape[-1] != self.features:
            direct = Convolution(
                self.features, kernel_size=1, bias=False, initializer=_LINEAR, dtype=self.dtype, name="direct"
            )
            x = direct(avg_pool(y) if self.halve else y)
        inner = self.features if self.inner is None else self.inner
        y = Convolution(inner, scale=scale, bias=False, dtype=self.dtype, name="conv1")(y)
        y = self._active(y, "norm2", 0.0)
        y = Convolution(self.features, bias=False, dtype=self.dtype, name="conv2")(y)
        return x + DropBranch(self.drop, self.axis_name, name="branch")(y, train=train)

    def _active(self, x: Array, name: str, scale: float) -> jax.Array:
        return jax.nn.gelu(GroupNorm(self.groups, scale, name=name)(x)).astype(self.dtype)


class ResidualClassifier(nn.Module):
    """Classify pictures ``[B, H, W, C]`` in [0, 1]: (logits ``[B, classes]``, features ``[B, F]``), float32.

    A 3 x 3 convolution, then stages of residual blocks, each but the first at half the size of the one before; a last normalization and
    GELU give the maps ``[B, h, w, F]``, whose means over the pixels are the features. The logits are linear in them. Normalization is
    over groups of channels of one picture, so a picture's result does not depend on the batch. Sides are halved rounding down, so any
    size will do.

    ``network.apply(variables, images, method="maps")`` returns the maps and ``network.apply(variables, maps, method="head")`` the logits
    of maps: what class activation maps are made of.

    Args:
        classes: number of classes.
        widths: channels of the stages, multiples of `groups`; the last is F.
        blocks: residual blocks of a stage.
        groups: of the normalizations.
        dropout: probability with which a feature is dropped, in training.
        drop_branch: probability with which an example goes without the last block; it rises linearly from 0 at the first (stochastic
            depth).
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`), for what is drawn per example.
        dtype: of the products.
        inner: of each stage, channels between the two convolutions of a block, multiples of `groups`; by default the stages' own.

    Raises:
        ValueError: pictures of another rank or smaller than ``2 ** len(widths)`` pixels, widths that `groups` does not divide, inner ones
            for another number of stages, or a rate outside of [0, 1).

    Reference: He et al., Identity Mappings in Deep Residual Networks, 2016; stages as in He et al., Deep Residual Learning for Image
    Recognition, 2016, table 1. Departures: a 3 x 3 stem without pooling, for small pictures; groups instead of batches (Wu and He 2018)
    and scales that begin at zero (Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1); GELU; averages instead of strides,
    which alias.
    """

    classes: int
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: int = 2
    groups: int = 8
    dropout: float = 0.2
    drop_branch: float = 0.0
    axis_name: str | None = None
    dtype: Any = jnp.float32
    inner: tuple[int, ...] | None = None

    def setup(self) -> None:
        """Make the layers."""
        if self.inner is not None and len(self.inner) != len(self.widths):
            raise ValueError(f"inner: expected channels for {len(self.widths)} stages, got {len(self.inner)}.")
        self.stem = Convolution(self.widths[0], bias=False, dtype=self.dtype)
        count = len(self.widths) * self.blocks
        self.residual = [self._block(index, self.drop_branch * index / max(1, count - 1)) for index in range(count)]
        self.norm = GroupNorm(self.groups)
        self.thinned = Dropout(self.dropout, self.axis_name)
        self.logits = Dense(self.classes, initializer=_LINEAR)

    def _block(self, index: int, drop: float) -> ResidualBlock:
        stage, place = divmod(index, self.blocks)
        halve, inner = stage > 0 and place == 0, None if self.inner is None else self.inner[stage]
        return ResidualBlock(self.widths[stage], inner, halve, self.groups, drop, self.axis_name, self.dtype)

    def __call__(self, x: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        maps = self.maps(x, train=train)
        return self.head(maps, train=train), _pooled(maps)  # pooled once: the compiler sees that both are the same

    def maps(self, x: Array, *, train: bool = False) -> jax.Array:
        """Return the maps ``[B, h, w, F]`` of pictures, float32."""
        least = 2 ** len(self.widths)
        if x.ndim != 4 or min(x.shape[1:3]) < least:
            raise ValueError(
                f"ResidualClassifier: expected pictures [B, H, W, C] of at least {least} pixels a side, got shape "
                f"{x.shape}. Enlarge them, or take fewer stages."
            )
        x = self.stem(2 * x - 1)
        for block in self.residual:
            x = block(x, train=train)
        return jax.nn.gelu(self.norm(x))

    def head(self, maps: Array, *, train: bool = False) -> jax.Array:
        """Return the logits ``[B, classes]`` of maps ``[B, h, w, F]``."""
        return self.logits(self.thinned(_pooled(maps), train=train))


def _pooled(maps: Array) -> jax.Array:
    return jnp.mean(maps, axis=(1, 2))
