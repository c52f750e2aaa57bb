"""Networks that say of every pixel which class it is of: a U-Net, and one that sees by VGG-16. Pictures are in [0, 1].

All of them look at a neighborhood only: features are normalized over the channels of a pixel, and nothing is averaged over the picture.
So a part of a picture with its surroundings gives that part of the whole.
"""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, depth_to_space, space_to_depth
from jaxart.models.stylenet import check_sizes, replicated
from jaxart.models.unet import ResidualBlock, normalized
from jaxart.models.vgg import VGG, vgg_depth, vgg_halo
from jaxart.ops import low_pass

_LINEAR = nn.initializers.lecun_normal()
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # of VGG-16, of strides 1, 2, 4, 8 and 16


class Segmenter(nn.Module):
    """Map pictures ``[B, H, W, 3]`` in [0, 1], of any size, to logits ``[B, H, W, classes]``, float32.

    Squares of 2 x 2 pixels are the channels of one at the beginning and the end, `squares` times over. Then each level has twice the
    channels of the one before at half its size; a residual block a level goes down, one more is at the bottom, and one a level goes up,
    given what the block opposite made. What doubles is bilinear interpolation and a convolution of 3 x 3. Sides that are no multiple of
    `stride` are continued below and right by their border, and cut at the end.

    A part of a picture that begins at multiples of `stride` and has `halo` pixels around what is kept of it gives the logits of the whole.

    Args:
        classes: number of classes.
        width: channels of the first level; they double at each further one.
        depth: levels.
        squares: 0 to compute at full size, 1 at half, which costs a quarter.
        dtype: of the products.

    Raises:
        ValueError: no class, width or level, negative squares, or pictures of another shape.

    Reference: Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015. Departures: residual blocks;
    zeros around the features instead of a loss of the border; normalization over the channels of a pixel, without which it would not
    train as well, and with batch or group normalization a tile would not be a part of the whole; squares of pixels as channels.
    """

    classes: int
    width: int = 24
    depth: int = 4
    squares: int = 1
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Return the pixels from one of the deepest features to the next."""
        return 2 ** (self.squares + self.depth - 1)

    @property
    def halo(self) -> int:
        """Return the pixels that a logit looks at around itself, as a multiple of `stride`.

        At a stride s the blocks of both ways look at 4 s; on the way to twice that, a halving at s, and a doubling at 2 s and, in its
        low-pass, at s. The first and the last convolution look at one of the finest, the block at the bottom at two of the coarsest.
        """
        finest, coarsest = 2**self.squares, self.stride
        looked = 2 * finest + 2 * coarsest + finest
        looked += sum(4 * (finest << level) for level in range(self.depth))
        looked += sum(4 * (finest << level) for level in range(self.depth - 1))
        return -(-looked // self.stride) * self.stride

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        _check("Segmenter", self, x)
        height, width = x.shape[1:3]
        x = _squared(2 * _continued(x, self.stride) - 1, self.squares)
        x = first = Convolution(self.width, initializer=_LINEAR, dtype=self.dtype, name="first")(x)
        made = []
        for level in range(self.depth):
            if level:
                x = Convolution(
                    self.width << level, scale="down", initializer=_LINEAR, dtype=self.dtype, name=f"down{level}"
                )(x)
            x = self._block(f"down{level}_block", level, x)
            made.append(x)
        x = self._block("middle_block", self.depth - 1, x)
        for level in reversed(range(self.depth)):
            x = self._block(f"up{level}_block", level, jnp.concatenate([x, made.pop()], axis=-1))
            if level:
                x = _doubled(self, level, x)
        return _logits(self, jnp.concatenate([x, first], axis=-1))[:, :height, :width]

    def _block(self, name: str, level: int, x: jax.Array) -> jax.Array:
        return ResidualBlock(self.width << level, dtype=self.dtype, name=name)(x, None)


class FeatureSegmenter(nn.Module):
    """Map pictures ``[B, H, W, 3]`` in [0, 1], of any size, to logits ``[B, H, W, classes]``, float32, by what VGG-16 sees.

    A layer of VGG-16, which is not trained, is the way down of each level; the way up is as that of `Segmenter`, with a residual block a
    level. Layers finer than the first level are squares of pixels as channels of it. With few masks it finds regions of pictures it has not
    seen much better than a network from scratch.

    VGG-16 is a collection of its own: ``apply({"params": params, **network.freeze(weights.load("vgg16"))}, pictures)``; `init` leaves zeros
    there.

    Args:
        classes: number of classes.
        width: channels of the first level; they double at each further one.
        depth: levels.
        squares: 0 to answer at full size, 1 at half; `depth` and `squares` are at most 5 together, as VGG-16 has no more.
        dtype: of the products that are learned.

    Raises:
        ValueError: no class, width or level, negative squares, more levels than VGG-16 has, or pictures of another shape.

    Reference: layers of a classifier of several sizes as the way down: Iglovikov and Shvets, TernausNet: U-Net with VGG11 Encoder
    Pre-Trained on ImageNet for Image Segmentation, 2018. Departures: VGG stays as it is; what is of one level is added, not joined.
    """

    classes: int
    width: int = 16
    depth: int = 5
    squares: int = 0
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Return the pixels from one of the deepest features to the next."""
        return 2 ** (self.squares + self.depth - 1)

    @property
    def halo(self) -> int:
        """Return the pixels that a logit looks at around itself, as a multiple of `stride`: those of VGG-16, and of the way up."""
        finest = 2**self.squares
        looked = vgg_halo(16, self._layers)[0] + finest
        looked += sum(2 * (finest << level) for level in range(self.depth))
        looked += sum(2 * (finest << level) for level in range(self.depth - 1))
        return -(-looked // self.stride) * self.stride

    @property
    def _layers(self) -> tuple[str, ...]:
        return _LAYERS[: self.squares + self.depth]

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        _check("FeatureSegmenter", self, x)
        if self.squares + self.depth > len(_LAYERS):
            raise ValueError(
                f"FeatureSegmenter: expected depth and squares of at most {len(_LAYERS)} together, as VGG-16 has no more levels, got "
                f"{self.depth} and {self.squares}."
            )
        height, width = x.shape[1:3]
        levels: Any = self._seen(_continued(x, self.stride))
        below: Any = 0.0
        for level in reversed(range(self.depth)):
            channels = self.width << level
            own = Convolution(channels, kernel_size=1, initializer=_LINEAR, dtype=self.dtype, name=f"seen{level}")
            below = own(levels[level]) + below
            below = ResidualBlock(channels, dtype=self.dtype, name=f"up{level}_block")(below, None)
            if level:
                below = _doubled(self, level, below)
        return _logits(self, below)[:, :height, :width]

    @nn.nowrap
    def freeze(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the collection of what is not trained.

        Args:
            variables: of VGG-16, from ``weights.load("vgg16")``.

        Raises:
            ValueError: variables of another network.
        """
        if vgg_depth(variables) != 16:
            raise ValueError("FeatureSegmenter: expected weights of VGG-16, got those of VGG-19.")
        return {"frozen": {"vgg16": VGG(depth=16, layers=self._layers).freeze(variables)}}

    def _seen(self, x: jax.Array) -> list[jax.Array]:
        """Return the layers of each level, of its size, finer ones beside that of the first."""
        network = VGG(depth=16, layers=self._layers, parent=None)
        variables = self.variable("frozen", "vgg16", _nothing, network, x)
        found: Any = network.apply(variables.value, x)
        seen = [normalized(jax.lax.stop_gradient(found[name])) for name in self._layers]
        finer = [_squared(each, self.squares - number) for number, each in enumerate(seen[: self.squares])]
        return [jnp.concatenate([*finer, seen[self.squares]], axis=-1), *seen[self.squares + 1 :]]


def _nothing(network: VGG, x: jax.Array) -> Any:
    """Return zeros for the variables of a network."""
    return jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(network.init, jax.random.key(0), x)
    )


def _check(name: str, network: Any, x: Array) -> None:
    check_sizes(name, (network.classes, network.width, network.depth), (network.squares, 0))
    if x.ndim != 4 or x.shape[-1] != 3:
        raise ValueError(f"{name}: expected pictures [B, H, W, 3], got shape {x.shape}.")


def _continued(x: Array, stride: int) -> jax.Array:
    """Continue pictures below and right by their border, to multiples of a stride."""
    height, width = x.shape[1:3]
    return replicated(jnp.asarray(x), 0, (-height % stride, -width % stride))


def _squared(x: jax.Array, times: int) -> jax.Array:
    """Make squares of 2 x 2 pixels the channels of one, `times` times over."""
    return functools.reduce(lambda x, _: space_to_depth(x), range(times), x)


def _doubled(network: Any, level: int, x: jax.Array) -> jax.Array:
    """Bring features of a level to the size and the channels of the one above it."""
    up = Convolution(
        network.width << (level - 1), scale="up", initializer=_LINEAR, dtype=network.dtype, name=f"up{level}"
    )
    return low_pass(up(x))


def _logits(network: Any, x: jax.Array) -> jax.Array:
    """Return logits of every pixel, from features of the first level."""
    last = Convolution(network.classes * 4**network.squares, initializer=_LINEAR, dtype=network.dtype, name="last")
    x = last(jax.nn.silu(normalized(x))).astype(jnp.float32)
    return functools.reduce(lambda x, _: depth_to_space(x), range(network.squares), x)
