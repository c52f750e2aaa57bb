"""A feed-forward network of any style: it takes the style from a painting, and one pass paints a photograph. Pictures are in [0, 1].

References: Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017; Ghiasi et al., Exploring
the Structure of a Real-time, Arbitrary Neural Artistic Stylization Network, 2017 (scales and shifts predicted from a painting).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.stylenet import (
    BorderConvolution,
    StylePainter,
    channel_moments,
    check_painted,
    check_sizes,
    painter_halo,
    painter_stride,
)

_HIGHEST = jax.lax.Precision.HIGHEST


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


class AnyStyleNet(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in the styles of paintings ``[B, h, w, 3]`` never seen: ``[B, H, W, 3]`` in [0, 1], float32.

    A small convolutional network makes a vector of each painting, from the means and deviations of its colors and of the features at four
    depths; `StylePainter` paints with it.

    ``apply(variables, paintings, method="encode")`` computes styles once, ``apply(variables, images, style, method="paint")`` paints with
    them; styles can be blended. The collection "statistics" and `halo` are as in `ManyStyleNet`.

    Args:
        width: channels at a half of the size.
        deep: channels at a quarter.
        blocks: residual blocks there.
        coarse_blocks: residual blocks at an eighth.
        style_width: channels of the paintings' features at a half; twice that from a quarter on.
        hidden: units between the moments and the style.
        style: dimensions of a style.
        winograd: see `ops.conv2d`.
        dtype: of the products of convolutions, but the painter's first, which sees the picture in float32. Statistics are float32.

    Raises:
        ValueError: a width or another size below 1, a negative number of blocks; pictures, paintings or styles of another shape.
    """

    width: int = 32
    deep: int = 64
    blocks: int = 5
    coarse_blocks: int = 2
    style_width: int = 32
    hidden: int = 192
    style: int = 64
    winograd: bool = True
    dtype: Any = jnp.float32

    def setup(self):
        """Build the two parts."""
        sizes = (self.width, self.deep, self.style_width, self.hidden, self.style)
        check_sizes("AnyStyleNet", sizes, (self.blocks, self.coarse_blocks))
        self.encoder = _StyleEncoder(self.style, self.style_width, self.hidden, self.winograd, self.dtype)
        self.painter = StylePainter(self.width, self.deep, self.blocks, self.coarse_blocks, self.winograd, self.dtype)

    @property
    def stride(self) -> int:
        """Return the pixels from one of the deepest features to the next."""
        return painter_stride(self.coarse_blocks)

    @property
    def halo(self) -> int:
        """Return the pixels that one of the result looks at around itself, statistics apart, as a multiple of `stride`."""
        return painter_halo(self.blocks, self.coarse_blocks)

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
        check_painted("AnyStyleNet", images, style, self.style)
        return self.painter(images, style)
