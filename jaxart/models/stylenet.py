"""Feed-forward networks that paint a photograph in one pass: in many learned styles, or in that of any painting. Pictures are in [0, 1].

References: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016 (the network); Dumoulin et al., A
Learned Representation for Artistic Style, 2017 (conditional instance normalization, which makes it one network of many styles); Huang and
Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017, and Ghiasi et al., Exploring the Structure of a
Real-time, Arbitrary Neural Artistic Stylization Network, 2017 (scales and shifts predicted from a painting).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import upsampled_conv2d
from jaxart.ops.convolution import conv2d

STRIDE = 4  # pixels from one of the deepest features to the next
_EPSILON = 1e-5  # added to variances
_FILTERED = 2  # residual blocks with filters that are predicted from a painting
_HIGHEST = jax.lax.Precision.HIGHEST


def _replicated(x: Array, before: int, after: tuple[int, int]) -> jax.Array:
    """Repeat the border of ``[B, H, W, C]``: `before` above and left, `after` below and right."""
    return jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)), mode="edge")


class _Convolution(nn.Module):
    """A convolution that repeats the border instead of padding zeros; "up" doubles the picture before, by nearest neighbors."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    up: bool = False
    bias: bool = False
    initializer: Callable = nn.initializers.he_normal()
    winograd: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.initializer, shape)
        pad = (self.kernel_size - 1) // 2
        x = _replicated(x.astype(self.dtype), pad, (pad, pad))
        if self.up:  # a repeated pixel becomes two, and of the result two come off again
            y = upsampled_conv2d(x, kernel, winograd=self.winograd)[:, 2:-2, 2:-2]
        else:
            kernel = kernel.astype(self.dtype)
            y = conv2d(x, kernel, stride=self.stride, padding="valid", winograd=self.winograd)
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


class _InstanceNorm(nn.Module):
    """What the normalizations of both networks share: ``a (x - mean) / deviation + b`` of each channel of each picture.

    Means and deviations are those of the pixels, in float32, unless the collection "statistics" holds others (``mean`` and ``deviation``,
    ``[B, C]``) and is not mutable. Where it is mutable they are kept there.
    """

    def _normalized(self, x: Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        mean, deviation = self._statistics(x.astype(jnp.float32))
        a, b, mean = (each[:, None, None, :] for each in (scale / deviation, shift, mean))  # [B, 1, 1, C]
        return ((x.astype(jnp.float32) - mean) * a + b).astype(x.dtype)

    def _statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        names, keep = ("mean", "deviation"), self.is_mutable_collection("statistics") and not self.is_initializing()
        if self.has_variable("statistics", "mean") and not keep:
            mean, deviation = (self.get_variable("statistics", name) for name in names)
            return mean, deviation
        found = _moments(x)
        for name, value in zip(names, found, strict=True):
            if keep:
                self.put_variable("statistics", name, value)
        return found


class ConditionalNorm(_InstanceNorm):
    """Normalize each channel of each picture, then scale and shift it as its styles do: ``a (x - mean) / deviation + b``.

    a and b are ``mix @ scale`` and ``mix @ shift``, tables in "params" of ``[styles, C]``. Means and deviations are those of the pixels, in
    float32, unless the collection "statistics" holds others (``mean`` and ``deviation``, ``[B, C]``) and is not mutable. Where it is
    mutable they are kept there.

    Args:
        styles: rows of the tables.
    """

    styles: int

    @nn.compact
    def __call__(self, x: Array, mix: Array) -> jax.Array:
        shape = (self.styles, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones_init(), shape)
        shift = self.param("shift", nn.initializers.zeros_init(), shape)
        a, b = (jnp.matmul(mix.astype(jnp.float32), table, precision=_HIGHEST) for table in (scale, shift))
        return self._normalized(x, a, b)


class _PredictedNorm(_InstanceNorm):
    """Normalize, then scale and shift by linear functions of a style ``[B, D]`` that begin near 1 and 0."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        scale, shift = (_linear(x.shape[-1], name)(style) for name in ("scale", "shift"))
        return self._normalized(x, 1 + scale, shift)


class _PredictedFilter(nn.Module):
    """Filter each channel by a 3 x 3 kernel that is a linear function of a style ``[B, D]`` and begins near the identity."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        batch, height, width, channels = x.shape
        kernel = _linear(9 * channels, "kernel")(style).reshape(batch, 9, 1, 1, channels).astype(x.dtype)
        padded, filtered = _replicated(x, 1, (1, 1)), x
        for place in range(9):
            row, column = divmod(place, 3)
            filtered += kernel[:, place] * padded[:, row : row + height, column : column + width]
        return filtered


def _linear(features: int, name: str) -> nn.Dense:
    small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
    return nn.Dense(features, kernel_init=small, precision=_HIGHEST, name=name)


def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the deviation of each channel of ``[B, H, W, C]``, ``[B, C]`` each."""
    mean = jnp.mean(x, axis=(1, 2))
    variance = jnp.mean((x - mean[:, None, None, :]) ** 2, axis=(1, 2))
    return mean, jnp.sqrt(variance + _EPSILON)


class _Form(NamedTuple):
    """What the body of both networks is built of: `norm` makes a normalization of a name, `filtered` are blocks with a predicted filter."""

    width: int
    blocks: int
    winograd: bool
    dtype: Any
    norm: Callable[[str], nn.Module]
    filtered: tuple[int, ...] = ()


def _painted(form: _Form, images: Array, style: Array) -> jax.Array:
    """Build the body within the module that calls it, whose params these become: ``[B, H, W, 3]`` in [0, 1]."""
    height, width = images.shape[1:3]
    x = _replicated(2 * jnp.asarray(images) - 1, 0, (-height % STRIDE, -width % STRIDE))
    x = jax.nn.relu(_normed(form, "first", x, style, 1))
    x = jax.nn.relu(_normed(form, "down2", x, style, 2, kernel_size=4, stride=2))
    x = jax.nn.relu(_normed(form, "down4", x, style, 4, kernel_size=4, stride=2))
    for number in range(1, form.blocks + 1):
        inner = jax.nn.relu(_normed(form, f"block{number}_1", x, style, 4))
        if number in form.filtered:
            inner = _PredictedFilter(name=f"block{number}_filter")(inner, style)
        x += _normed(form, f"block{number}_2", inner, style, 4)
    x = jax.nn.relu(_normed(form, "up2", x, style, 2, up=True))
    x = jax.nn.relu(_normed(form, "up1", x, style, 1, up=True))
    small = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
    last = _Convolution(3, bias=True, initializer=small, winograd=form.winograd, dtype=form.dtype, name="picture")
    return jax.nn.sigmoid(last(x).astype(jnp.float32))[:, :height, :width]


def _normed(
    form: _Form,
    name: str,
    x: Array,
    style: Array,
    widths: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    up: bool = False,
) -> jax.Array:
    convolution = _Convolution(
        widths * form.width,
        kernel_size=kernel_size,
        stride=stride,
        up=up,
        winograd=form.winograd,
        dtype=form.dtype,
        name=name,
    )
    return form.norm(f"{name}_norm")(convolution(x), style)


class ManyStyleNet(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in the styles of ``mix [B, styles]``: ``[B, H, W, 3]`` in [0, 1], float32.

    A convolution, two of stride 2, residual blocks, two that double, and a last one with the sigmoid; between them conditional instance
    normalization and ReLU. Borders are repeated, so that no frame is drawn. Sides that are no multiple of 4 are continued below and right
    by their border, and cropped at the end. A row of `mix` that is one-hot is a style, one that sums to one is a blend of several.

    ``apply(variables, images, mix, mutable=["statistics"])`` also returns the means and deviations of every channel, and
    ``apply({**variables, "statistics": ...}, tile, mix)`` paints a part of a picture with those of the whole. A tile that begins at
    multiples of 4 and has `halo` pixels around what is kept of it gives the pixels of the whole picture.

    Args:
        styles: how many it learns.
        width: channels at full size; two and four times that at a half and a quarter.
        blocks: residual blocks.
        winograd: see `ops.conv2d`.
        dtype: of the products.

    Raises:
        ValueError: no style, width or a negative number of blocks; pictures or mix of another shape.
    """

    styles: int
    width: int = 32
    blocks: int = 5
    winograd: bool = True
    dtype: Any = jnp.float32

    @property
    def halo(self) -> int:
        """Return the pixels that one of the result looks at around itself, statistics apart, as a multiple of 4."""
        return 8 * self.blocks + 12

    @property
    def dimensions(self) -> int:
        """Return how many numbers say a style: a weight of each."""
        return self.styles

    @nn.compact
    def __call__(self, images: Array, mix: Array) -> jax.Array:
        self._check(images, mix)
        norm = functools.partial(_named, ConditionalNorm, self.styles)
        return _painted(_Form(self.width, self.blocks, self.winograd, self.dtype, norm), images, mix)

    def paint(self, images: Array, mix: Array) -> jax.Array:
        """Paint pictures, by the name that this has in `AnyStyleNet`.

        Args:
            images: ``[B, H, W, 3]`` in [0, 1].
            mix: ``[B, styles]``.
        """
        return self(images, mix)

    def _check(self, images: Array, mix: Array) -> None:
        if self.styles < 1 or self.width < 1 or self.blocks < 0:
            raise ValueError(
                f"ManyStyleNet: expected styles and width of at least 1 and blocks of at least 0, got {self.styles}, {self.width}, "
                f"{self.blocks}."
            )
        if images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"ManyStyleNet: expected pictures [B, H, W, 3], got shape {images.shape}.")
        if mix.shape != (images.shape[0], self.styles):
            raise ValueError(
                f"ManyStyleNet: expected mix [{images.shape[0]}, {self.styles}], a weight of each style, got {mix.shape}."
            )


def _named(norm: Callable[..., nn.Module], *options: Any) -> nn.Module:
    *fields, name = options
    return norm(*fields, name=name)


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
        found = [*_moments(x)]
        for level, widths in enumerate((1, 2, 2, 2), 1):
            convolution = _Convolution(
                widths * self.width,
                stride=2,
                bias=True,
                winograd=self.winograd,
                dtype=self.dtype,
                name=f"level{level}",
            )
            x = jax.nn.relu(convolution(x))
            found += _moments(x.astype(jnp.float32))
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
        norm = functools.partial(_named, _PredictedNorm)
        return _painted(_Form(self.width, self.blocks, self.winograd, self.dtype, norm, filtered), images, style)


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
