"""A feed-forward network of many styles: one pass paints a photograph. Pictures are in [0, 1].

References: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016 (the network); Dumoulin et al., A
Learned Representation for Artistic Style, 2017 (conditional instance normalization, which makes it one network of many styles).
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
EPSILON = 1e-5  # added to variances
_HIGHEST = jax.lax.Precision.HIGHEST


def replicated(x: Array, before: int, after: tuple[int, int]) -> jax.Array:
    """Repeat the border of ``[B, H, W, C]``.

    Args:
        x: features.
        before: pixels above and left.
        after: pixels below and right.
    """
    return jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)), mode="edge")


class BorderConvolution(nn.Module):
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
        x = replicated(x.astype(self.dtype), pad, (pad, pad))
        if self.up:  # a repeated pixel becomes two, and of the result two come off again
            y = upsampled_conv2d(x, kernel, winograd=self.winograd)[:, 2:-2, 2:-2]
        else:
            kernel = kernel.astype(self.dtype)
            y = conv2d(x, kernel, stride=self.stride, padding="valid", winograd=self.winograd)
        if not self.bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


class InstanceNorm(nn.Module):
    """What the normalizations of both networks share: ``a (x - mean) / deviation + b`` of each channel of each picture.

    Means and deviations are those of the pixels, in float32, unless the collection "statistics" holds others (``mean`` and ``deviation``,
    ``[B, C]``) and is not mutable. Where it is mutable they are kept there.
    """

    def normalized(self, x: Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
        """Normalize features, then scale and shift them.

        Args:
            x: ``[B, H, W, C]``.
            scale: ``[B, C]``.
            shift: ``[B, C]``.
        """
        mean, deviation = self.statistics(x.astype(jnp.float32))
        a, b, mean = (each[:, None, None, :] for each in (scale / deviation, shift, mean))  # [B, 1, 1, C]
        return ((x.astype(jnp.float32) - mean) * a + b).astype(x.dtype)

    def statistics(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the means and deviations that count, as `moments` does: those that are given, or those of the pixels.

        Args:
            x: ``[B, H, W, C]``, float32.
        """
        names, keep = ("mean", "deviation"), self.is_mutable_collection("statistics") and not self.is_initializing()
        if self.has_variable("statistics", "mean") and not keep:
            mean, deviation = (self.get_variable("statistics", name) for name in names)
            return mean, deviation
        found = self.moments(x)
        for name, value in zip(names, found, strict=True):
            if keep:
                self.put_variable("statistics", name, value)
        return found

    def moments(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the means and deviations of the pixels, ``[B, C]`` each.

        Args:
            x: ``[B, H, W, C]``, float32.
        """
        return channel_moments(x)


class ConditionalNorm(InstanceNorm):
    """Normalize, then scale and shift as the styles do: by ``mix @ scale`` and ``mix @ shift``, tables in "params" of ``[styles, C]``.

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
        return self.normalized(x, a, b)


def channel_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the deviation of each channel of ``[B, H, W, C]``, ``[B, C]`` each."""
    mean = jnp.mean(x, axis=(1, 2))
    variance = jnp.mean((x - mean[:, None, None, :]) ** 2, axis=(1, 2))
    return mean, jnp.sqrt(variance + EPSILON)


def named(module: Callable[..., nn.Module], *options: Any) -> nn.Module:
    """Make a module of its fields and, last, its name.

    Args:
        module: its class.
        options: the fields and the name.
    """
    *fields, name = options
    return module(*fields, name=name)


class Form(NamedTuple):
    """What the body of both networks is built of: `norm` and `filter` make modules of a name, `filtered` are the blocks with a filter."""

    width: int
    blocks: int
    winograd: bool
    dtype: Any
    norm: Callable[[str], Any]
    filtered: tuple[int, ...] = ()
    filter: Callable[[str], Any] | None = None


def painted(form: Form, images: Array, style: Array) -> jax.Array:
    """Build the body within the module that calls it, whose params these become: ``[B, H, W, 3]`` in [0, 1].

    Args:
        form: of the body.
        images: ``[B, H, W, 3]`` in [0, 1].
        style: what the normalizations take beside features.
    """
    height, width = images.shape[1:3]
    x = replicated(2 * jnp.asarray(images) - 1, 0, (-height % STRIDE, -width % STRIDE))
    exact = form._replace(dtype=jnp.float32)  # the differences of neighbors in a smooth picture are lost in bfloat16
    x = jax.nn.relu(_normed(exact, "first", x, style, 1))
    x = jax.nn.relu(_normed(form, "down2", x, style, 2, kernel_size=4, stride=2))
    x = jax.nn.relu(_normed(form, "down4", x, style, 4, kernel_size=4, stride=2))
    for number in range(1, form.blocks + 1):
        inner = jax.nn.relu(_normed(form, f"block{number}_1", x, style, 4))
        if form.filter is not None and number in form.filtered:
            inner = form.filter(f"block{number}_filter")(inner, style)
        x += _normed(form, f"block{number}_2", inner, style, 4)
    x = jax.nn.relu(_normed(form, "up2", x, style, 2, up=True))
    x = jax.nn.relu(_normed(form, "up1", x, style, 1, up=True))
    small = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")
    last = BorderConvolution(3, bias=True, initializer=small, winograd=form.winograd, dtype=form.dtype, name="picture")
    return jax.nn.sigmoid(last(x).astype(jnp.float32))[:, :height, :width]


def _normed(
    form: Form,
    name: str,
    x: Array,
    style: Array,
    widths: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    up: bool = False,
) -> jax.Array:
    convolution = BorderConvolution(
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
        dtype: of the products of convolutions, but the first, which sees the picture in float32. Statistics are float32.

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
        norm = functools.partial(named, ConditionalNorm, self.styles)
        return painted(Form(self.width, self.blocks, self.winograd, self.dtype, norm), images, mix)

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
