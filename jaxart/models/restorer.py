"""A network that restores pictures: a U-Net of plain residual blocks without constants. Pictures are in [0, 1].

It looks at a neighborhood only and nothing is averaged over the picture, so that a part of a picture with its surroundings gives that part
of the whole.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, depth_to_space, space_to_depth
from jaxart.models.stylenet import check_sizes, replicated

_PLAIN, _SMALL = (
    nn.initializers.he_normal(),
    nn.initializers.variance_scaling(0.1, "fan_in", "normal"),
)  # of what a block adds at first


class Restorer(nn.Module):
    """Map pictures and what is known of their damage ``[B, H, W, C]``, of any size, to ``[B, H, W, outputs]``, float32.

    Squares of 2 x 2 pixels are the channels of one at the beginning and the end, `squares` times over. Then each level has twice the
    channels of the one before at half its size; `blocks` residual blocks a level go down, as many are at the bottom and on the way up,
    where what was made opposite is added. Squares of pixels as channels lead from one level to the next. Sides that are no multiple of
    `stride` are continued below and right by their border, and cut at the end.

    Nothing is added or normalized, so a picture and its damage times a positive number give the result times it: what was learned at one
    level of noise holds near others too.

    A part of a picture that begins at multiples of `stride` and has `halo` pixels around what is kept of it gives that part of the whole.

    Args:
        outputs: channels of the result: those of a picture, times the square of how much it is to be enlarged.
        width: channels of the first level; they double at each further one.
        depth: levels.
        blocks: residual blocks of a level, on each side.
        squares: 0 to compute at full size, 1 at half, which costs a quarter.
        dtype: of the products.

    Raises:
        ValueError: no outputs, width, level or block, negative squares, or pictures of another rank.

    Reference: Zhang et al., Plug-and-Play Image Restoration with Deep Denoiser Prior, 2021, section 3 (DRUNet); without constants: Mohan et
    al., Robust and Interpretable Blind Image Denoising via Bias-Free Convolutional Neural Networks, 2020; squares of pixels as channels:
    Zhang et al., FFDNet, 2018. Departure from NAFNet (Chen et al., Simple Baselines for Image Restoration, 2022): two convolutions of 3 x 3
    instead of depthwise ones and gates, which took two to seven times as long on a CPU (docs/performance.md).
    """

    outputs: int = 3
    width: int = 32
    depth: int = 3
    blocks: int = 2
    squares: int = 1
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """Return the pixels from one of the deepest features to the next."""
        return 2 ** (self.squares + self.depth - 1)

    @property
    def halo(self) -> int:
        """Return the pixels that a result looks at around itself, as a multiple of `stride`.

        A block looks at two features of its size; the first and the last convolution at one of the finest. Squares of pixels hold what
        lies in them: at the ways from one size to the next, up to the stride is added.
        """
        finest = 2**self.squares
        looked = 2 * finest + sum(4 * self.blocks * (finest << level) for level in range(self.depth - 1))
        looked += 2 * self.blocks * self.stride + 2 * self.stride
        return -(-looked // self.stride) * self.stride

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        check_sizes("Restorer", (self.outputs, self.width, self.depth, self.blocks), (self.squares, 0))
        if x.ndim != 4:
            raise ValueError(f"Restorer: expected pictures [B, H, W, C], got shape {x.shape}.")
        height, width = x.shape[1:3]
        x = replicated(jnp.asarray(x), 0, (-height % self.stride, -width % self.stride))
        x = functools.reduce(lambda x, _: space_to_depth(x), range(self.squares), x)
        x = self._convolution(x, self.width, "first")
        made = []
        for level in range(self.depth - 1):
            x = self._blocks(x, f"down{level}")
            made.append(x)
            x = self._convolution(space_to_depth(x), self.width << (level + 1), f"down{level}_next", side=1)
        x = self._blocks(x, "bottom")
        for level in reversed(range(self.depth - 1)):
            x = depth_to_space(self._convolution(x, 4 * self.width << level, f"up{level}_next", side=1)) + made.pop()
            x = self._blocks(x, f"up{level}")
        x = self._convolution(x, self.outputs * 4**self.squares, "last", initializer=_SMALL).astype(jnp.float32)
        return functools.reduce(lambda x, _: depth_to_space(x), range(self.squares), x)[:, :height, :width]

    def _blocks(self, x: jax.Array, name: str) -> jax.Array:
        for index in range(self.blocks):
            y = jax.nn.relu(self._convolution(x, x.shape[-1], f"{name}_{index}_conv1"))
            x = x + self._convolution(y, x.shape[-1], f"{name}_{index}_conv2", initializer=_SMALL)
        return x

    def _convolution(
        self, x: jax.Array, features: int, name: str, *, side: int = 3, initializer: Any = _PLAIN
    ) -> jax.Array:
        return Convolution(
            features, kernel_size=side, bias=False, initializer=initializer, dtype=self.dtype, name=name
        )(x)
