"""A U-Net that says of every pixel which class it is of. Pictures are in [0, 1].

All of it looks at a neighborhood only: features are normalized over the channels of a pixel, and nothing is averaged over the picture.
So a part of a picture with its surroundings gives that part of the whole.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, depth_to_space, space_to_depth
from jaxart.models.stylenet import check_sizes, replicated
from jaxart.models.unet import ResidualBlock, normalized
from jaxart.ops import low_pass

_LINEAR = nn.initializers.lecun_normal()


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
        self._check(x)
        height, width = x.shape[1:3]
        x = replicated(2 * jnp.asarray(x) - 1, 0, (-height % self.stride, -width % self.stride))
        x = functools.reduce(lambda x, _: space_to_depth(x), range(self.squares), x)
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
                x = low_pass(
                    Convolution(
                        self.width << (level - 1), scale="up", initializer=_LINEAR, dtype=self.dtype, name=f"up{level}"
                    )(x)
                )
        x = jax.nn.silu(normalized(jnp.concatenate([x, first], axis=-1)))
        last = Convolution(self.classes * 4**self.squares, initializer=_LINEAR, dtype=self.dtype, name="last")
        x = functools.reduce(lambda x, _: depth_to_space(x), range(self.squares), last(x).astype(jnp.float32))
        return x[:, :height, :width]

    def _block(self, name: str, level: int, x: jax.Array) -> jax.Array:
        return ResidualBlock(self.width << level, dtype=self.dtype, name=name)(x, None)

    def _check(self, x: Array) -> None:
        check_sizes("Segmenter", (self.classes, self.width, self.depth), (self.squares, 0))
        if x.ndim != 4 or x.shape[-1] != 3:
            raise ValueError(f"Segmenter: expected pictures [B, H, W, 3], got shape {x.shape}.")
