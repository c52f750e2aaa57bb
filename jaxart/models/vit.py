"""A compact vision transformer that classifies pictures of any size."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.image import resize
from jaxart.models.blocks import Dense
from jaxart.models.dropout import DropBranch, Dropout

_EPSILON = 1e-6  # added to variances
_LINEAR = nn.initializers.lecun_normal()
_NOTHING = nn.initializers.zeros_init()
_SLOWEST, _FASTEST = 0.25, 8.0  # waves of positions: turns across a picture


class LayerNorm(nn.Module):
    """Normalize the last axis by its mean and variance, then scale and shift each channel; float32.

    Reference: Ba et al., Layer Normalization, 2016, section 3.
    """

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        shape = (1,) * (x.ndim - 1) + (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones_init(), shape[-1:]).reshape(shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape[-1:]).reshape(shape)
        x = x.astype(jnp.float32)
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + _EPSILON) * scale + bias


class TransformerBlock(nn.Module):
    """Add to each token what it asks of all others, then what two dense layers with GELU make of it, each after a normalization.

    Both begin at zero. The tokens themselves stay float32.

    Args:
        heads: of the attention, a divisor of the channels.
        dropout: probability with which an element of what is added is dropped, in training.
        drop: probability with which an example goes without what is added, in training.
        axis_name: as in `Dropout`.
        dtype: of the products.

    Reference: Vaswani et al., Attention Is All You Need, 2017, section 3; normalized before: Xiong et al., On Layer Normalization in the
    Transformer Architecture, 2020, fig. 1 (b).
    """

    heads: int
    dropout: float = 0.0
    drop: float = 0.0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> jax.Array:
        for name, branch in (("attention", self._attended), ("mlp", self._transformed)):
            y = branch(LayerNorm(name=f"{name}_norm")(x)).astype(jnp.float32).reshape(x.shape)
            y = Dropout(self.dropout, self.axis_name, name=f"{name}_dropout")(y, train=train)
            x = x + DropBranch(self.drop, self.axis_name, name=f"{name}_branch")(y, train=train)
        return x

    def _attended(self, x: jax.Array) -> jax.Array:
        batch, count, channels = x.shape
        qkv = self._dense(3 * channels, "qkv", _LINEAR)(x.reshape(-1, channels))
        query, key, value = jnp.split(
            qkv.reshape(batch, count, 3 * self.heads, -1), 3, axis=2
        )  # [B, T, heads, C / heads]
        found = jax.nn.dot_product_attention(query, key, value)
        return self._dense(channels, "out", _NOTHING)(found.reshape(-1, channels))

    def _transformed(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        y = jax.nn.gelu(self._dense(4 * channels, "mlp1", nn.initializers.he_normal())(x.reshape(-1, channels)))
        return self._dense(channels, "mlp2", _NOTHING)(y)

    def _dense(self, features: int, name: str, initializer: Any) -> Dense:
        return Dense(features, initializer=initializer, dtype=self.dtype, name=name)


class VisionTransformer(nn.Module):
    """Classify pictures ``[B, H, W, C]`` in [0, 1]: (logits ``[B, classes]``, features ``[B, width]``), float32.

    Squares of pixels become tokens, to which their positions are added; then blocks of attention and dense layers, a last normalization,
    and the mean over the tokens, which is the features. There is no class token, so tokens are a grid. Positions are relative to the
    picture's sides: at another size they lie in between. Sides that `patch` does not divide are continued below and to the right by the
    border's pixels.

    ``network.apply(variables, images, method="maps")`` returns the tokens before the last block, ``[B, H / patch, W / patch, width]``,
    and ``network.apply(variables, maps, method="head")`` the logits of maps: what class activation maps are made of.

    Args:
        classes: number of classes.
        patch: side of a square, pixels.
        width: channels of a token, a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: of the attention.
        grid: rows and columns of the tokens for which positions are learned; None for waves, of which a quarter of `width` each are sines
            and cosines of the row and of the column.
        dropout: probability with which an element of what a block adds, and a feature, is dropped, in training.
        drop_branch: probability with which an example goes without the last block; it rises linearly from 0 at the first (stochastic
            depth).
        axis_name: the mapped axis over which the batch is divided (`jax.pmap`, `jax.shard_map`), for what is drawn per example.
        dtype: of the products.

    Raises:
        ValueError: pictures of another rank or smaller than `patch`, a width that does not fit, or a rate outside of [0, 1).

    Reference: Dosovitskiy et al., An Image Is Worth 16x16 Words, 2021, section 3.1; means and waves instead of a class token and a table:
    Beyer et al., Better Plain ViT Baselines for ImageNet-1k, 2022. Departures: what blocks add begins at zero; waves of the place in the
    picture instead of the token's number, and learned positions interpolated bilinearly.
    """

    classes: int
    patch: int = 8
    width: int = 192
    depth: int = 6
    heads: int = 3
    grid: tuple[int, int] | None = None
    dropout: float = 0.1
    drop_branch: float = 0.0
    axis_name: str | None = None
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Make the layers."""
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                f"VisionTransformer: expected a width that is a multiple of 4 and of heads={self.heads}, got {self.width}."
            )
        self.embedding = Dense(self.width, initializer=_LINEAR, dtype=self.dtype)
        if self.grid is not None:
            self.positions = self.param("positions", nn.initializers.normal(0.02), (*self.grid, self.width))
        self.blocks = [self._block(self.drop_branch * index / max(1, self.depth - 1)) for index in range(self.depth)]
        self.norm = LayerNorm()
        self.thinned = Dropout(self.dropout, self.axis_name)
        self.logits = Dense(self.classes, initializer=_LINEAR)

    def _block(self, drop: float) -> TransformerBlock:
        return TransformerBlock(self.heads, self.dropout, drop, self.axis_name, self.dtype)

    def __call__(self, x: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        features = self._features(self.maps(x, train=train), train=train)
        return self._logits(features, train=train), features

    def maps(self, x: Array, *, train: bool = False) -> jax.Array:
        """Return the tokens before the last block, ``[B, H / patch, W / patch, width]``, float32."""
        if x.ndim != 4 or min(x.shape[1:3]) < self.patch:
            raise ValueError(
                f"VisionTransformer: expected pictures [B, H, W, C] of at least {self.patch} pixels a side, got shape {x.shape}."
            )
        squares = _squares(2 * x - 1, self.patch)  # [B, h, w, patch patch C]
        batch, height, width, count = squares.shape
        tokens = self.embedding(squares.reshape(-1, count)).astype(jnp.float32)
        tokens = tokens.reshape(batch, height * width, self.width) + self._places(height, width)
        for block in self.blocks[:-1]:
            tokens = block(tokens, train=train)
        return tokens.reshape(batch, height, width, self.width)

    def head(self, maps: Array, *, train: bool = False) -> jax.Array:
        """Return the logits ``[B, classes]`` of maps ``[B, h, w, width]``."""
        return self._logits(self._features(maps, train=train), train=train)

    def _features(self, maps: Array, *, train: bool) -> jax.Array:
        tokens = self.blocks[-1](maps.reshape(maps.shape[0], -1, self.width), train=train)
        return jnp.mean(self.norm(tokens), axis=1)

    def _logits(self, features: jax.Array, *, train: bool) -> jax.Array:
        return self.logits(self.thinned(features, train=train))

    def _places(self, height: int, width: int) -> jax.Array:
        """Return the positions of a grid of tokens: ``[1, height width, C]``."""
        if self.grid is None:
            places = position_waves(height, width, self.width)
        elif self.grid == (height, width):
            places = self.positions
        else:
            places = resize(self.positions, (height, width), method="bilinear")
        return places.reshape(1, height * width, self.width)


def _squares(x: Array, side: int) -> jax.Array:
    """Make squares of pixels the channels of one: ``[B, H, W, C] -> [B, h, w, side side C]``, borders continued where sides do not fit."""
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    x = x.reshape(batch, x.shape[1] // side, side, x.shape[2] // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(*x.shape[:3], side * side * channels)


def position_waves(height: int, width: int, count: int) -> jax.Array:
    """Return sines and cosines of the places of a grid's cells: ``[height, width, count]``.

    A place is the middle of a cell, as a fraction of the grid's side. Frequencies are spaced evenly by
    ratio, from a quarter of a turn across the grid to eight turns.

    Args:
        height: rows of the grid.
        width: columns of the grid.
        count: a multiple of 4: a quarter each are sines and cosines of the row and of the column.

    >>> position_waves(1, 2, 4).shape
    (1, 2, 4)
    """
    frequencies = 2 * jnp.pi * jnp.geomspace(_SLOWEST, _FASTEST, count // 4)
    rows, columns = (
        (jnp.arange(size, dtype=jnp.float32) + 0.5)[:, None] / size * frequencies[None] for size in (height, width)
    )
    down = functools.partial(jnp.broadcast_to, shape=(height, width, count // 4))
    waves = [wave(angles) for angles in (rows[:, None], columns[None]) for wave in (jnp.sin, jnp.cos)]
    return jnp.concatenate([down(each) for each in waves], axis=-1)
