"""A U-Net: features of a picture at several sizes, joined on the way back up. Values in, values out, of the picture's size.

Everything but attention looks at a neighborhood only: features are normalized over the channels of a pixel, never over the picture, so
that without attention a part of a picture with its surroundings gives that part of the whole.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, Dense, depth_to_space, space_to_depth

_LINEAR = nn.initializers.lecun_normal()
_NOTHING = nn.initializers.zeros_init()


def normalized(x: jax.Array) -> jax.Array:
    """Divide features by their root mean square over the channels of each pixel.

    Reference: Karras et al., Progressive Growing of GANs, 2018, section 4.2; in U-Nets of diffusion: Karras et al., Analyzing and Improving
    the Training Dynamics of Diffusion Models, 2024, section 2.2.
    """
    wide = x.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + 1e-6)).astype(x.dtype)


class ResidualBlock(nn.Module):
    """Add to features what two 3 x 3 convolutions make of them; between the two, a vector scales and shifts the channels.

    Args:
        features: channels of the result.
        dtype: of the products.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, condition: Array | None) -> jax.Array:
        y = Convolution(self.features, bias=condition is None, dtype=self.dtype, name="conv1")(_active(x))
        if condition is not None:
            terms = Dense(2 * self.features, initializer=_NOTHING, dtype=self.dtype, name="condition")(condition)
            scale, shift = jnp.split(terms[:, None, None], 2, axis=-1)
            y = normalized(y) * (1 + scale) + shift
        else:
            y = normalized(y)
        y = Convolution(self.features, initializer=_NOTHING, dtype=self.dtype, name="conv2")(jax.nn.silu(y))
        if x.shape[-1] != self.features:
            direct = Convolution(
                self.features, kernel_size=1, bias=False, initializer=_LINEAR, dtype=self.dtype, name="direct"
            )
            x = direct(x)
        return x + y


def _active(x: Array) -> jax.Array:
    return jax.nn.silu(normalized(jnp.asarray(x)))


class Attention(nn.Module):
    """Add to each pixel what it asks of all others, by scalar products of normalized queries and keys.

    Args:
        head: channels of a head.
        dtype: of the products.

    Reference: Vaswani et al., Attention Is All You Need, 2017, section 3.2; normalized: Dehghani et al., Scaling Vision Transformers to 22
    Billion Parameters, 2023.
    """

    head: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        batch, height, width, channels = x.shape
        heads = max(1, channels // self.head)
        tokens = normalized(jnp.asarray(x)).reshape(-1, channels)  # [B H W, C]
        inner = heads * self.head
        qkv = Dense(3 * inner, bias=False, initializer=_LINEAR, dtype=self.dtype, name="qkv")(tokens)
        query, key, value = jnp.split(qkv.reshape(batch, height * width, 3 * heads, self.head), 3, axis=2)
        found = jax.nn.dot_product_attention(normalized(query), normalized(key), value)  # [B, T, N, head]
        found = found.reshape(-1, inner)
        y = Dense(channels, bias=False, initializer=_NOTHING, dtype=self.dtype, name="out")(found)
        return x + y.reshape(x.shape)


class UNet(nn.Module):
    """Map pictures ``[B, H, W, C]`` to ``[B, H, W, features]``, float32, by way of smaller and smaller sizes.

    Squares of 2 x 2 pixels are the channels of one at the beginning and the end, `squares` times over; then each of the `factors` is a
    level of ``width * factor`` channels at half the size of the one before. Residual blocks go down, `blocks` a level, and up again, each
    given what the block opposite made. Nothing is added at the start: the last convolution begins at zero.

    Args:
        features: channels of the result.
        width: channels of the first level, times its factor.
        factors: of the levels, from the largest size to the smallest.
        blocks: residual blocks of a level, on each side.
        squares: 0 to compute at full size, 1 at half, which costs a quarter.
        attention: how many of the smallest levels attend to all of the picture; 0 keeps everything local.
        dtype: of the products.

    Raises:
        ValueError: pictures of another rank, or whose sides `stride` does not divide.

    Reference: Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015; with residual blocks and
    attention: Ho et al., Denoising Diffusion Probabilistic Models, 2020, appendix B. Departures: normalization over the channels of a
    pixel instead of over groups and pixels; squares of pixels as channels, as in Hoogeboom et al., Simple Diffusion, 2023, section 3.
    """

    features: int
    width: int = 64
    factors: tuple[int, ...] = (1, 2, 3)
    blocks: int = 1
    squares: int = 1
    attention: int = 1
    dtype: Any = jnp.float32

    @property
    def stride(self) -> int:
        """What the sides of pictures must be multiples of."""
        return 2 ** (self.squares + len(self.factors) - 1)

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None) -> jax.Array:
        self._check(x)
        x = functools.reduce(lambda x, _: space_to_depth(x), range(self.squares), jnp.asarray(x))
        widths = [self.width * factor for factor in self.factors]
        x = self._convolution("first", widths[0])(x)
        made = [x]
        for level, features in enumerate(widths):
            if level:
                x = self._convolution(f"down{level}", features, scale="down")(x)
            for index in range(self.blocks):
                x = self._block(f"down{level}_{index}", level, x, condition)
                made.append(x)
        x = self._block("middle", len(widths) - 1, x, condition)
        for level in reversed(range(len(widths))):
            for index in range(self.blocks):
                joined = jnp.concatenate([x, made.pop()], axis=-1)
                x = self._block(f"up{level}_{index}", level, joined, condition)
            if level:
                x = self._convolution(f"up{level}", widths[level - 1], scale="up")(x)
        x = _active(jnp.concatenate([x, made.pop()], axis=-1))
        last = self._convolution("last", self.features * 4**self.squares, initializer=_NOTHING)
        x = last(x).astype(jnp.float32)
        return functools.reduce(lambda x, _: depth_to_space(x), range(self.squares), x)

    def _convolution(
        self, name: str, features: int, *, scale: Literal["up", "down"] | None = None, initializer: Callable = _LINEAR
    ) -> Convolution:
        return Convolution(features, scale=scale, initializer=initializer, dtype=self.dtype, name=name)

    def _block(self, name: str, level: int, x: jax.Array, condition: Array | None) -> jax.Array:
        features = self.width * self.factors[level]
        x = ResidualBlock(features, dtype=self.dtype, name=f"{name}_block")(x, condition)
        if level < len(self.factors) - self.attention:
            return x
        return Attention(dtype=self.dtype, name=f"{name}_attention")(x)

    def _check(self, x: Array) -> None:
        if x.ndim != 4 or x.shape[1] % self.stride or x.shape[2] % self.stride:
            raise ValueError(
                f"UNet: expected pictures [B, H, W, C] with sides that are multiples of {self.stride}, got shape "
                f"{x.shape}. Pad them, or take fewer levels."
            )


class VelocityNet(nn.Module):
    """Tell where noisy pictures are heading: ``(x [B, S, S, C], time [B] in [0, 1], label [B]) -> velocity [B, S, S, C]``, by a `UNet`.

    Where x is ``(1 - t) noise + t picture`` and r the root mean square of pictures, the best linear guess of ``picture - noise`` is
    ``(t r^2 - (1 - t)) / d x`` with ``d = (1 - t)^2 + t^2 r^2``, and misses by ``r / sqrt(d)`` on average. The U-Net sees
    ``x / sqrt(d)`` and tells what is missing in these units, so that it always has the same amount to say: the picture at first, the
    noise in the end. Times become waves of rising frequencies and, with the class's embedding, a vector that scales and shifts the
    features of every block. One class more than there are stands for none: ``label = classes``.

    Args:
        width: channels of the first level of the `UNet`.
        factors: of its levels.
        blocks: of a level, on each side.
        squares: as in `UNet`.
        attention: as in `UNet`.
        classes: 0 for none; the label is ignored then.
        scale: r.
        dtype: of the products.

    Raises:
        ValueError: as `UNet`, or no label for classes.

    Reference: Ho et al., Denoising Diffusion Probabilistic Models, 2020, appendix B; scales: Karras et al., Elucidating the Design Space of
    Diffusion-Based Generative Models, 2022, section 5, for straight paths; the class that stands for none: Ho and Salimans, Classifier-Free
    Diffusion Guidance, 2022, section 3.2.
    """

    width: int = 64
    factors: tuple[int, ...] = (1, 2, 3)
    blocks: int = 1
    squares: int = 1
    attention: int = 1
    classes: int = 0
    scale: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, time: Array, label: Array | None = None) -> jax.Array:
        network = UNet(
            x.shape[-1],
            width=self.width,
            factors=self.factors,
            blocks=self.blocks,
            squares=self.squares,
            attention=self.attention,
            dtype=self.dtype,
            name="unet",
        )
        noise = _inverse_deviation(time, self.scale)
        missing = network(x * noise, jax.nn.silu(self._condition(time, label)))
        return linear_velocity(x, time, scale=self.scale) + self.scale * noise * missing

    def _condition(self, time: Array, label: Array | None) -> jax.Array:
        inner = 4 * self.width
        condition = Dense(inner, initializer=_LINEAR, name="time1")(time_waves(time, 2 * self.width))
        if self.classes:
            if label is None:
                raise ValueError(f"VelocityNet: expected a label [B] up to {self.classes} (for none), got none.")
            table = self.param("class", nn.initializers.normal(1.0), (self.classes + 1, inner))
            condition = condition + table[label]
        return Dense(inner, initializer=_LINEAR, name="time2")(jax.nn.silu(condition))


def linear_velocity(x: Array, time: Array, *, scale: float) -> jax.Array:
    """Return the best linear guess of where noisy pictures are heading, which knows nothing of them but their root mean square.

    Args:
        x: ``(1 - t) noise + t picture``, ``[B, S, S, C]``.
        time: t, ``[B]`` in [0, 1].
        scale: root mean square of pictures.
    """
    t = time.reshape(-1, 1, 1, 1)
    return (t * scale**2 - (1 - t)) * _inverse_deviation(time, scale) ** 2 * x


def _inverse_deviation(time: Array, scale: float) -> jax.Array:
    t = time.reshape(-1, 1, 1, 1)
    return jax.lax.rsqrt((1 - t) ** 2 + t**2 * scale**2)


def time_waves(time: Array, count: int) -> jax.Array:
    """Return sines and cosines of times: ``[B] -> [B, count]``, their frequencies spaced evenly by ratio from 1 to 1000 radians.

    Args:
        time: in [0, 1].
        count: even.

    >>> time_waves(jnp.zeros(1), 4).tolist()
    [[0.0, 0.0, 1.0, 1.0]]
    """
    frequencies = jnp.geomspace(1.0, 1000.0, count // 2)
    angles = jnp.asarray(time, jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
