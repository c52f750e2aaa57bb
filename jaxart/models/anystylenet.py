"""A feed-forward network of any style: it takes the style from a painting, and one pass paints a photograph. Pictures are in [0, 1].

References: Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017; Ghiasi et al., Exploring
the Structure of a Real-time, Arbitrary Neural Artistic Stylization Network, 2017 (scales and shifts predicted from a painting).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key
from jaxart.models.stylenet import STRIDE, BorderConvolution, InstanceNorm, channel_moments, replicated

_HIGHEST = jax.lax.Precision.HIGHEST
_STARTS_FLAT = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")


class _PredictedNorm(InstanceNorm):
    """Normalize, then scale and shift by linear functions of a style ``[B, D]`` that begin near 1 and 0."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        scale, shift = (_linear(x.shape[-1], name)(style) for name in ("scale", "shift"))
        return self.normalized(x, 1 + scale, shift)


class _PredictedFilter(nn.Module):
    """Filter each channel by a 3 x 3 kernel that is a linear function of a style ``[B, D]`` and begins near the identity.

    Args:
        spacing: from one pixel that the kernel looks at to the next.
    """

    spacing: int = 1

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        batch, height, width, channels = x.shape
        kernel = _linear(9 * channels, "kernel")(style).reshape(batch, 9, 1, 1, channels).astype(x.dtype)
        padded, filtered = replicated(x, self.spacing, (self.spacing, self.spacing)), x
        for place in range(9):
            row, column = (self.spacing * each for each in divmod(place, 3))
            filtered += kernel[:, place] * padded[:, row : row + height, column : column + width]
        return filtered


class _PredictedColors(InstanceNorm):
    """Normalize the colors of ``[B, h, w, 4 x 3]``, mix them by a matrix and shift them, both linear functions of a style.

    The four pixels of a square have one mean and deviation a color, so this is what it would be at full size, where three channels are
    slow to go through.
    """

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        mean, deviation = self.statistics(x)
        matrix = (jnp.eye(3)[None] + _linear(9, "matrix")(style).reshape(-1, 3, 3)) / deviation[:, :, None]
        shift = _linear(3, "shift")(style) - jnp.einsum("bc,bcd->bd", mean, matrix, precision=_HIGHEST)
        matrix = jnp.einsum("pq,bcd->bpcqd", jnp.eye(4), matrix).reshape(-1, 12, 12)
        return jnp.einsum("bhwc,bcd->bhwd", x, matrix, precision=_HIGHEST) + jnp.tile(shift, 4)[:, None, None]

    def moments(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return means and deviations of the three colors, ``[B, 3]``."""
        means, deviations = (each.reshape(-1, 4, 3) for each in channel_moments(x))
        mean = jnp.mean(means, axis=1)
        return mean, jnp.sqrt(jnp.mean(deviations**2 + (means - mean[:, None]) ** 2, axis=1))


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
    """What paints, with scales, shifts, filters and colors that are predicted from a style ``[B, D]``."""

    width: int
    deep: int
    blocks: int
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, images: Array, style: Array) -> jax.Array:
        height, width = images.shape[1:3]
        x = _halved(replicated(2 * jnp.asarray(images) - 1, 0, (-height % STRIDE, -width % STRIDE)))
        exact = self._normed(x, style, "first", self.width, dtype=jnp.float32)  # as in `stylenet.painted`
        x = fine = exact.astype(self.dtype)
        x = self._normed(x, style, "down", self.deep, kernel_size=4, stride=2)
        for number in range(1, self.blocks + 1):
            inner = self._normed(x, style, f"block{number}_1", self.deep)
            inner = _PredictedFilter(number, name=f"block{number}_filter")(inner, style)
            x += self._normed(inner, style, f"block{number}_2", self.deep, relu=False, kernel_size=1)
        kept = _linear(self.width, "kept")(style)[:, None, None].astype(x.dtype)
        x = jax.nn.relu(self._normed(x, style, "up", self.width, relu=False, up=True) + kept * fine)
        x = self._convolution("picture", 12, bias=True, initializer=_four_alike)(x)
        x = _PredictedColors(name="colors")(x.astype(jnp.float32), style)
        return _doubled(jax.nn.sigmoid(x))[:, :height, :width]

    def _normed(
        self, x: jax.Array, style: Array, name: str, features: int, *, relu: bool = True, **form: Any
    ) -> jax.Array:
        x = _PredictedNorm(name=f"{name}_norm")(self._convolution(name, features, **form)(x), style)
        return jax.nn.relu(x) if relu else x

    def _convolution(self, name: str, features: int, **form: Any) -> BorderConvolution:
        return BorderConvolution(features, winograd=self.winograd, name=name, **{"dtype": self.dtype, **form})


def _halved(x: jax.Array) -> jax.Array:
    """Make squares of 2 x 2 pixels the channels of one: ``[B, 2 h, 2 w, C] -> [B, h, w, 4 C]``."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // 2, width // 2, 4 * channels)


def _doubled(x: jax.Array) -> jax.Array:
    """Undo `_halved`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, 2 * height, 2 * width, channels // 4)


def _four_alike(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Begin with four pixels of a square that are equal, so that no checkerboard is there to be unlearned."""
    return jnp.tile(_STARTS_FLAT(key, (*shape[:-1], shape[-1] // 4), dtype), 4)


class AnyStyleNet(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in the styles of paintings ``[B, h, w, 3]`` never seen: ``[B, H, W, 3]`` in [0, 1], float32.

    A small convolutional network makes a vector of each painting, from the means and deviations of its colors and of the features at four
    depths. All else that a style decides is a linear function of that vector: scales and shifts after every convolution, 3 x 3 filters,
    one a channel, in the residual blocks (scales and shifts alone choose among textures that are fixed, filters change their direction
    and grain), and the matrix of the last colors, whose means and deviations are set so, as those of features are.

    Nothing is computed at full size but the colors: squares of 2 x 2 pixels are the channels of one at the beginning, and come out of one
    at the end. On a CPU the layers at full size are the slowest of such networks. Each filter looks further than the one before, at
    pixels 1, 2, 3 ... apart.

    ``apply(variables, paintings, method="encode")`` computes styles once, ``apply(variables, images, style, method="paint")`` paints with
    them; styles can be blended. The collection "statistics" and `halo` are as in `ManyStyleNet`.

    Args:
        width: channels at a half of the size.
        deep: channels at a quarter.
        blocks: residual blocks.
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
    style_width: int = 32
    hidden: int = 192
    style: int = 64
    winograd: bool = True
    dtype: Any = jnp.float32

    def setup(self):
        """Build the two parts."""
        sizes = (self.width, self.deep, self.style_width, self.hidden, self.style)
        if min(sizes) < 1 or self.blocks < 0:
            raise ValueError(
                f"AnyStyleNet: expected sizes of at least 1 and blocks of at least 0, got {sizes} and {self.blocks}."
            )
        self.encoder = _StyleEncoder(self.style, self.style_width, self.hidden, self.winograd, self.dtype)
        self.painter = _StylePainter(self.width, self.deep, self.blocks, self.winograd, self.dtype)

    @property
    def halo(self) -> int:
        """Return the pixels that one of the result looks at around itself, statistics apart, as a multiple of 4."""
        return 12 + STRIDE * sum(1 + spacing for spacing in range(1, self.blocks + 1))

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
