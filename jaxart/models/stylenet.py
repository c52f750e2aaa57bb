"""Feed-forward networks that paint a photograph in one pass: what they share, and that of many styles. Pictures are in [0, 1].

References: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016 (the network); Dumoulin et al., A
Learned Representation for Artistic Style, 2017 (conditional instance normalization, which makes it one network of many styles).
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxart.arrays import Array, Key, PyTree
from jaxart.models.blocks import depth_to_space, space_to_depth, upsampled_conv2d
from jaxart.ops.convolution import conv2d

EPSILON = 1e-5  # added to variances
_HIGHEST = jax.lax.Precision.HIGHEST
_STARTS_FLAT = nn.initializers.variance_scaling(0.1, "fan_in", "truncated_normal")


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def replicated(x: Array, before: int, after: tuple[int, int]) -> jax.Array:
    """Repeat the border of ``[B, H, W, C]``. On a CPU by looking up rows and columns, which fuses with what made them; two pads do not.

    Sizes that are symbols, of a program that is exported for any size, are padded.

    Args:
        x: features.
        before: pixels above and left.
        after: pixels below and right.
    """
    if not all(isinstance(size, int) for size in (*x.shape[1:3], *after)):
        return _edge_pad(x, before, after)
    if before + max(after) == 0:
        return x

    def looked_up(x: Array) -> jax.Array:
        rows, columns = (
            np.clip(np.arange(-before, size + more), 0, size - 1)
            for size, more in zip(x.shape[1:3], after, strict=True)
        )
        return x[:, rows[:, None], columns]

    return jax.lax.platform_dependent(x, cpu=looked_up, default=lambda x: _edge_pad(x, before, after))


def _edge_pad(x: Array, before: int, after: tuple[int, int]) -> jax.Array:
    return jnp.pad(x, ((0, 0), (before, after[0]), (before, after[1]), (0, 0)), mode="edge")


def _replicated_forward(x: Array, before: int, after: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    return replicated(x, before, after), x


def _replicated_backward(before: int, after: tuple[int, int], x: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    """Transpose the pads: a lookup's transpose is a scatter, which is slow on a CPU."""
    return jax.vjp(lambda x: _edge_pad(x, before, after), x)[1](cotangent)


replicated.defvjp(_replicated_forward, _replicated_backward)


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


def channel_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the deviation of each channel of ``[B, H, W, C]``, ``[B, C]`` each."""
    mean = jnp.mean(x, axis=(1, 2))
    variance = jnp.mean((x - mean[:, None, None, :]) ** 2, axis=(1, 2))
    return mean, jnp.sqrt(variance + EPSILON)


class StyleNorm(InstanceNorm):
    """Normalize, then scale and shift by linear functions of a style ``[B, D]`` that begin near 1 and 0."""

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        scale, shift = (_linear(x.shape[-1], name)(style) for name in ("scale", "shift"))
        return self.normalized(x, 1 + scale, shift)


class StyleFilter(nn.Module):
    """Filter each channel by a 3 x 3 kernel that is a linear function of a style ``[B, D]`` and begins near the identity.

    Args:
        spacing: from one pixel that the kernel looks at to the next.
    """

    spacing: int = 1

    @nn.compact
    def __call__(self, x: Array, style: Array) -> jax.Array:
        batch, height, width, channels = x.shape
        kernel = _linear(9 * channels, "kernel")(style).reshape(batch, 9, 1, 1, channels).astype(x.dtype)
        padded: Any = replicated(x, self.spacing, (self.spacing, self.spacing))
        filtered = x
        for place in range(9):
            row, column = (self.spacing * each for each in divmod(place, 3))
            filtered += kernel[:, place] * padded[:, row : row + height, column : column + width]
        return filtered


class StyleColors(InstanceNorm):
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


class StylePainter(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in styles ``[B, D]``: ``[B, H, W, 3]`` in [0, 1], float32.

    A convolution, one of stride 2, residual blocks, one that doubles, and a last one with the sigmoid. All that a style decides is a linear
    function of it: scales and shifts of the instance normalization after every convolution, 3 x 3 filters, one a channel, in the residual
    blocks (scales and shifts alone choose among textures that are fixed, filters change their direction and grain), and the matrix of the
    last colors, which are normalized as features are. Half of the residual blocks later, what further ones make of the features at an
    eighth is added, as much of each channel as the style says: large strokes, also where the photograph is even.

    Nothing is computed at full size but the colors: squares of 2 x 2 pixels are the channels of one at the beginning, and come out of one
    at the end. On a CPU the layers at full size are the slowest of such networks. Each filter looks further than the one before, at
    pixels 1, 2, 3 ... apart. Borders are repeated, so that no frame is drawn. Sides that are no multiple of `stride` are continued below
    and right by their border, and cropped at the end.

    Args:
        width: channels at a half of the size.
        deep: channels at a quarter.
        blocks: residual blocks there.
        coarse_blocks: residual blocks at an eighth.
        winograd: see `ops.conv2d`.
        dtype: of the products of all convolutions but the first.
    """

    width: int
    deep: int
    blocks: int
    coarse_blocks: int
    winograd: bool
    dtype: Any

    @nn.compact
    def __call__(self, images: Array, style: Array) -> jax.Array:
        (height, width), stride = images.shape[1:3], painter_stride(self.coarse_blocks)
        x = space_to_depth(replicated(2 * jnp.asarray(images) - 1, 0, (-height % stride, -width % stride)))
        exact = self._normed(x, style, "first", self.width, dtype=jnp.float32)  # of smooth parts bfloat16 keeps nothing
        x = fine = exact.astype(self.dtype)
        x = self._normed(x, style, "down", self.deep, kernel_size=4, stride=2)
        middle = self.blocks // 2
        for number in range(1, middle + 1):
            x = self._block(x, style, f"block{number}", number)
        x = self._with_coarse(x, style)
        for number in range(middle + 1, self.blocks + 1):
            x = self._block(x, style, f"block{number}", number)
        kept = _linear(self.width, "kept")(style)[:, None, None].astype(x.dtype)
        x = jax.nn.relu(self._normed(x, style, "up", self.width, relu=False, up=True) + kept * fine)
        x = self._convolution("picture", 12, bias=True, initializer=_four_alike)(x)
        x = StyleColors(name="colors")(x.astype(jnp.float32), style)
        return depth_to_space(jax.nn.sigmoid(x))[:, :height, :width]

    def _block(self, x: jax.Array, style: Array, name: str, spacing: int) -> jax.Array:
        inner = self._normed(x, style, f"{name}_1", self.deep)
        inner = StyleFilter(spacing, name=f"{name}_filter")(inner, style)
        return x + self._normed(inner, style, f"{name}_2", self.deep, relu=False, kernel_size=1)

    def _with_coarse(self, x: jax.Array, style: Array) -> jax.Array:
        """Add to features what blocks at half their size change."""
        if self.coarse_blocks == 0:
            return x
        batch, height, width, channels = x.shape
        squares = (batch, height // 2, 2, width // 2, 2, channels)
        y = before = x.reshape(squares).mean((2, 4))
        for number in range(1, self.coarse_blocks + 1):
            y = self._block(y, style, f"coarse{number}", number + 1)
        gate = _linear(self.deep, "coarse_kept")(style)[:, None, None].astype(x.dtype)
        added = (gate * (y - before))[:, :, None, :, None]
        return x + jnp.broadcast_to(added, squares).reshape(x.shape)

    def _normed(
        self, x: jax.Array, style: Array, name: str, features: int, *, relu: bool = True, **form: Any
    ) -> jax.Array:
        x = StyleNorm(name=f"{name}_norm")(self._convolution(name, features, **form)(x), style)
        return jax.nn.relu(x) if relu else x

    def _convolution(self, name: str, features: int, **form: Any) -> BorderConvolution:
        return BorderConvolution(features, winograd=self.winograd, name=name, **{"dtype": self.dtype, **form})


def _four_alike(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Begin with four pixels of a square that are equal, so that no checkerboard is there to be unlearned."""
    return jnp.tile(_STARTS_FLAT(key, (*shape[:-1], shape[-1] // 4), dtype), 4)


def painter_stride(coarse_blocks: int) -> int:
    """Return the pixels from one of a `StylePainter`'s deepest features to the next.

    Args:
        coarse_blocks: of the painter.
    """
    return 8 if coarse_blocks else 4


def painter_halo(blocks: int, coarse_blocks: int) -> int:
    """Return the pixels that one of a `StylePainter`'s looks at around itself, statistics apart, as a multiple of its stride.

    Args:
        blocks: of the painter.
        coarse_blocks: of the painter.
    """
    stride = painter_stride(coarse_blocks)
    fine = 12 + 4 * sum(1 + spacing for spacing in range(1, blocks + 1))
    coarse = 8 * (1 + sum(2 + number for number in range(1, coarse_blocks + 1))) if coarse_blocks else 0
    return -(-(fine + coarse) // stride) * stride


def check_sizes(name: str, sizes: tuple[int, ...], blocks: tuple[int, int]) -> None:
    """Refuse a network that cannot be.

    Args:
        name: of the network.
        sizes: widths and the like, at least 1.
        blocks: at a quarter and at an eighth of the size, at least 0.

    Raises:
        ValueError: one that is less.
    """
    if min(sizes) < 1 or min(blocks) < 0:
        raise ValueError(f"{name}: expected sizes of at least 1 and blocks of at least 0, got {sizes} and {blocks}.")


def check_painted(name: str, images: Array, style: Array, dimensions: int) -> None:
    """Refuse what a painter cannot paint.

    Args:
        name: of the network.
        images: ``[B, H, W, 3]``.
        style: ``[B, dimensions]``.
        dimensions: of a style.

    Raises:
        ValueError: pictures or styles of another shape.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"{name}: expected pictures [B, H, W, 3], got shape {images.shape}.")
    if style.shape != (images.shape[0], dimensions):
        raise ValueError(f"{name}: expected styles [{images.shape[0]}, {dimensions}], got shape {style.shape}.")


def split_tables(params: PyTree) -> tuple[PyTree, PyTree]:
    """Return what all styles of a network share, and the tables ``[styles, F]`` that tell them apart.

    Args:
        params: of a `models.ManyStyleNet`.
    """
    flat: dict[Any, Any] = traverse_util.flatten_dict(params)
    tables = {path: leaf for path, leaf in flat.items() if leaf.ndim == 2}
    shared = {path: leaf for path, leaf in flat.items() if path not in tables}
    return traverse_util.unflatten_dict(shared), traverse_util.unflatten_dict(tables)


def joined(shared: PyTree, tables: PyTree) -> PyTree:
    """Put together what `split_tables` took apart; of what is in both, the second stands.

    Args:
        shared: params, perhaps none.
        tables: params.
    """
    return traverse_util.unflatten_dict(traverse_util.flatten_dict(shared) | traverse_util.flatten_dict(tables))


class ManyStyleNet(nn.Module):
    """Paint pictures ``[B, H, W, 3]`` in the styles of ``mix [B, styles]``: ``[B, H, W, 3]`` in [0, 1], float32.

    A `StylePainter` whose style is the weight of each painting that it has learned, so that what it has of each are the rows of tables: a
    row of `mix` that is one-hot is a style, one that sums to one is a blend of several.

    ``apply(variables, images, mix, mutable=["statistics"])`` also returns the means and deviations of every channel, and
    ``apply({**variables, "statistics": ...}, tile, mix)`` paints a part of a picture with those of the whole. A tile that begins at
    multiples of `stride` and has `halo` pixels around what is kept of it gives the pixels of the whole picture.

    Args:
        styles: how many it learns.
        width: channels at a half of the size.
        deep: channels at a quarter.
        blocks: residual blocks there.
        coarse_blocks: residual blocks at an eighth.
        winograd: see `ops.conv2d`.
        dtype: of the products of all convolutions but the first.

    Raises:
        ValueError: no style, width or a negative number of blocks; pictures or mix of another shape.
    """

    styles: int
    width: int = 32
    deep: int = 64
    blocks: int = 5
    coarse_blocks: int = 2
    winograd: bool = True
    dtype: Any = jnp.float32

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
        """Return how many numbers say a style: a weight of each."""
        return self.styles

    def setup(self):
        """Build the painter."""
        sizes = (self.styles, self.width, self.deep)
        check_sizes("ManyStyleNet", sizes, (self.blocks, self.coarse_blocks))
        self.painter = StylePainter(self.width, self.deep, self.blocks, self.coarse_blocks, self.winograd, self.dtype)

    def __call__(self, images: Array, mix: Array) -> jax.Array:
        return self.paint(images, mix)

    def paint(self, images: Array, mix: Array) -> jax.Array:
        """Paint pictures.

        Args:
            images: ``[B, H, W, 3]`` in [0, 1].
            mix: ``[B, styles]``.
        """
        check_painted("ManyStyleNet", images, mix, self.styles)
        return self.painter(images, mix)
