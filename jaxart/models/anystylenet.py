"""A feed-forward network of any style: it takes the style from a painting, and one pass paints a photograph. Pictures are in [0, 1].

References: Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017; Ghiasi et al., Exploring
the Structure of a Real-time, Arbitrary Neural Artistic Stylization Network, 2017 (scales and shifts predicted from a painting).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.stylenet import (
    STRIDE,
    BorderConvolution,
    Form,
    InstanceNorm,
    channel_moments,
    named,
    painted,
    replicated,
)

_FILTERED = 2  # residual blocks with filters that are predicted from a painting
_HIGHEST = jax.lax.Precision.HIGHEST


class _PredictedNorm(InstanceNorm):
    """Normalize, then scale and shift by linear functions of a style ``[B, D]`` that begin near 1 and 0."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        scale, shift = (_linear(x.shape[-1], name)(style) for name in ("scale", "shift"))
        return self.normalized(x, 1 + scale, shift)


class _PredictedFilter(nn.Module):
    """Filter each channel by a 3 x 3 kernel that is a linear function of a style ``[B, D]`` and begins near the identity."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        batch, height, width, channels = x.shape
        kernel = _linear(9 * channels, "kernel")(style).reshape(batch, 9, 1, 1, channels).astype(x.dtype)
        padded, filtered = replicated(x, 1, (1, 1)), x
        for place in range(9):
            row, column = divmod(place, 3)
            filtered += kernel[:, place] * padded[:, row : row + height, column : column + width]
        return filtered


def _linear(features: int, name: str) -> nn.Dense:
    small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
    return nn.Dense(features, kernel_init=small, precision=_HIGHEST, name=name)


class _StyleEncoder(nn.Module):
    """Paintings ``[B, h, w, 3]`` to styles ``[B, style]``: the moments of the colors and of four levels, through a small MLP."""

    style: int
    width: int
    hidden: int
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, paintings: Array) -> jax.Array:
        x = 2 * jnp.asarray(paintings) - 1
        found = [*channel_moments(x)]
        for level, widths in enumerate((1, 2, 2, 2), 1):
            convolution = BorderConvolution(
                widths * self.width,
                stride=2,
                bias=True,
                winograd=self.winograd,
                dtype=self.dtype,
                name=f"level{level}",
            )
            x = jax.nn.relu(convolution(x))
            found += channel_moments(x.astype(jnp.float32))
        hidden = nn.Dense(self.hidden, precision=_HIGHEST, name="hidden")(jnp.concatenate(found, axis=-1))
        return nn.Dense(self.style, precision=_HIGHEST, name="style")(jax.nn.relu(hidden))


class _StylePainter(nn.Module):
    """The body, with scales, shifts and filters that are predicted from a style ``[B, D]``."""

    width: int
    blocks: int
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, images: Array, style: Array) -> jax.Array:
        filtered = tuple(range(max(1, self.blocks - _FILTERED + 1), self.blocks + 1))
        norm, kernels = (functools.partial(named, module) for module in (_PredictedNorm, _PredictedFilter))
        form = Form(self.width, self.blocks, self.winograd, self.dtype, norm, filtered, kernels)
        return painted(form, images, style)


class AnyStyleNet(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in the styles of paintings ``[B, h, w, 3]`` never seen: ``[B, H, W, 3]`` in [0, 1], float32.

    A small convolutional network makes a vector of each painting, from the means and deviations of its colors and of the features at four
    depths; `paint` is the body of `ManyStyleNet`, whose scales and shifts are linear functions of that vector. So are 3 x 3 filters, one a
    channel, in the last two residual blocks: scales and shifts alone choose among textures that are fixed, filters change their direction
    and grain, and one a channel costs nine products a feature.

    ``apply(variables, paintings, method="encode")`` computes styles once, ``apply(variables, images, style, method="paint")`` paints with
    them; styles can be blended. The collection "statistics" and `halo` are as in `ManyStyleNet`.

    Args:
        width: channels at full size; two and four times that at a half and a quarter.
        blocks: residual blocks.
        style_width: channels of the paintings' features at a half; twice that from a quarter on.
        hidden: units between the moments and the style.
        style: dimensions of a style.
        winograd: see `ops.conv2d`.
        dtype: of the products of convolutions.

    Raises:
        ValueError: a width or another size below 1, a negative number of blocks; pictures, paintings or styles of another shape.
    """

    width: int = 24
    blocks: int = 3
    style_width: int = 24
    hidden: int = 128
    style: int = 64
    winograd: bool = True
    dtype: Any = jnp.float32

    def setup(self):
        """Build the two parts."""
        sizes = (self.width, self.style_width, self.hidden, self.style)
        if min(sizes) < 1 or self.blocks < 0:
            raise ValueError(
                f"AnyStyleNet: expected sizes of at least 1 and blocks of at least 0, got {sizes} and {self.blocks}."
            )
        self.encoder = _StyleEncoder(self.style, self.style_width, self.hidden, self.winograd, self.dtype)
        self.painter = _StylePainter(self.width, self.blocks, self.winograd, self.dtype)

    @property
    def halo(self) -> int:
        """Return the pixels that one of the result looks at around itself, statistics apart, as a multiple of 4."""
        return 8 * self.blocks + 12 + STRIDE * min(self.blocks, _FILTERED)

    @property
    def dimensions(self) -> int:
        """Return how many numbers say a style."""
        return self.style

    def __call__(self, images: Array, paintings: Array) -> jax.Array:
        return self.paint(images, self.encode(paintings))

    def encode(self, paintings: Array) -> jax.Array:
        """Return the styles ``[B, style]`` of paintings ``[B, h, w, 3]`` in [0, 1], of any size."""
        if paintings.ndim != 4 or paintings.shape[-1] != 3:
            raise ValueError(f"AnyStyleNet: expected paintings [B, h, w, 3], got shape {paintings.shape}.")
        return self.encoder(paintings)

    def paint(self, images: Array, style: Array) -> jax.Array:
        """Paint pictures in styles.

        Args:
            images: ``[B, H, W, 3]`` in [0, 1].
            style: ``[B, style]``, of `encode`.
        """
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"AnyStyleNet: expected pictures [B, H, W, 3], got shape {images.shape}.")
        if style.shape != (images.shape[0], self.style):
            raise ValueError(
                f"AnyStyleNet: expected styles [{images.shape[0]}, {self.style}], got shape {style.shape}."
            )
        return self.painter(images, style)
