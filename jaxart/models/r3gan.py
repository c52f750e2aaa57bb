"""R3GAN's pair: residual networks with neither normalization nor styles nor noise. Pictures are in [-1, 1] here, and those of the
generator may exceed it. They are meant for the relativistic loss with R1 and R2, the recipe's defaults."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import (
    Convolution,
    Dense,
    Projection,
    WithClass,
    check_latent,
    check_pictures,
    check_size,
    sides_between,
    width_at,
)
from jaxart.ops.resample import downsample_low_pass, upsample_low_pass

_LINEAR = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def _leaky(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 0.2 * x)


class _Block(nn.Module):
    """Convolve 1 x 1, 3 x 3 and 1 x 1, the first two with bias and leaky ReLU, and add: nothing at first, for the last kernel is zero.

    Args:
        expansion: hidden channels for each of the input.
        count: residual blocks of the network, L: the other kernels start at ``L^(-1/4)`` of He's deviation, as many blocks add up.
        dtype: of the products.
    """

    expansion: int
    count: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = x.shape[-1]
        start = nn.initializers.variance_scaling(2 / 1.04 * self.count**-0.5, "fan_in", "normal")
        convolution = functools.partial(Convolution, self.expansion * features, initializer=start, dtype=self.dtype)
        y = _leaky(convolution(kernel_size=1, name="conv1")(x))
        y = _leaky(convolution(name="conv2")(y))
        zero = nn.initializers.zeros_init()
        last = Convolution(features, kernel_size=1, bias=False, initializer=zero, dtype=self.dtype, name="conv3")
        return x + last(y)


class _Stage(nn.Module):
    """The blocks of one side."""

    blocks: int
    expansion: int
    count: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number in range(self.blocks):
            x = _Block(self.expansion, self.count, self.dtype, name=f"block{number + 1}")(x)
        return x


def _direct(features: int, dtype: Any, name: str) -> Convolution:
    """Return the 1 x 1 convolution between the channels of two sides."""
    return Convolution(features, kernel_size=1, bias=False, initializer=_LINEAR, dtype=dtype, name=name)


class R3GANGenerator(nn.Module):
    """Turn latent vectors into pictures by residual blocks: ``[B, L] -> [B, size, size, channels]``, about [-1, 1], float32.

    Learned 4 x 4 pictures of all channels, scaled by numbers linear in z, then blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions at each side
    and interpolation between them. The class's embedding is concatenated to z.

    Args:
        size: side of the pictures, a power of two, at least 8.
        channels: of the pictures.
        width: channels at half the size; they double toward 4 x 4, up to 8 times, as DCGAN's.
        blocks: residual blocks at each side; 2 in the paper.
        expansion: hidden channels of a block for each of its channels; 2 in the paper.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products.

    Raises:
        ValueError: a size that is not a power of two or below 8, z of another rank, or no label for classes.

    Reference: Huang et al., The GAN is dead; long live the GAN! A Modern Baseline GAN, 2024, section 4 (config E). Departures: the 3 x 3
    convolutions are not grouped, which is slow on a CPU, and so the hidden channels are not expanded by default; channels double toward
    4 x 4 instead of being nearly the same at all sides; one block a side.
    """

    size: int = 64
    channels: int = 3
    width: int = 64
    blocks: int = 1
    expansion: int = 1
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        del train
        check_size("R3GANGenerator", self.size)
        check_latent("R3GANGenerator", z)
        sides = sides_between(4, self.size)
        stage = functools.partial(_Stage, self.blocks, self.expansion, self.blocks * (len(sides) + 1), self.dtype)
        features = width_at(self.width, self.size, 4)
        z = WithClass(self.classes, z.shape[-1], name="class")(z, label)
        scale = Dense(features, initializer=_LINEAR, name="dense")(z)[:, None, None]
        x = self.param("basis", nn.initializers.normal(1.0), (1, 4, 4, features)) * scale  # [B, 4, 4, F]
        x = stage(name="stage4")(x.astype(self.dtype))
        for side in sides:
            # A 1 x 1 convolution and interpolation commute: at the smaller side it costs a quarter.
            x = upsample_low_pass(_direct(width_at(self.width, self.size, side), self.dtype, f"direct{side}")(x))
            x = stage(name=f"stage{side}")(x)
        picture = Convolution(self.channels, kernel_size=1, initializer=_LINEAR, dtype=self.dtype, name="picture")
        return picture(x).astype(jnp.float32)


class R3GANDiscriminator(nn.Module):
    """Give pictures ``[B, S, S, C]`` in [-1, 1] a logit each, ``[B]``, by residual blocks: the generator's mirror image.

    At 4 x 4 each channel is summed with learned weights, then a scalar product, to which the class's embedding is added.

    Args:
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        blocks: residual blocks at each side; 2 in the paper.
        expansion: hidden channels of a block for each of its channels; 2 in the paper.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products; logits are float32.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8, or no label for classes.

    Reference: Huang et al. 2024, section 4 (config E); classes: Miyato and Koyama 2018, eq. 3. Departures: as `R3GANGenerator`.
    """

    width: int = 64
    blocks: int = 1
    expansion: int = 1
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        size = check_pictures("R3GANDiscriminator", x)
        sides = [4, *sides_between(4, size)]
        stage = functools.partial(_Stage, self.blocks, self.expansion, self.blocks * len(sides), self.dtype)
        features = width_at(self.width, size, size)
        x = Convolution(features, kernel_size=1, initializer=_LINEAR, dtype=self.dtype, name="picture")(x)
        x = stage(name=f"stage{size}")(x)
        for side in reversed(sides[:-1]):
            x = _direct(width_at(self.width, size, side), self.dtype, f"direct{side}")(downsample_low_pass(x))
            x = stage(name=f"stage{side}")(x)
        basis = self.param("basis", nn.initializers.normal(0.25), (1, 4, 4, x.shape[-1]))
        summed = jnp.sum(x.astype(jnp.float32) * basis, axis=(1, 2))
        return Projection(self.classes, name="logit")(summed, label, train=train)
