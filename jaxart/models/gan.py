"""Pairs of generator and discriminator: DCGAN, residual SNGAN, and small ones for vectors. Pictures are in [-1, 1] here.

Every generator takes ``(z [B, L], label [B] int32)``, every discriminator ``(x, label)``; networks with ``classes=0`` ignore the label.
``train=True`` uses and updates the statistics of the batch (collection "batch_stats") and takes one power iteration ("spectral"), where
these collections are mutable; ``train=False`` uses what is stored. Results are float32 whatever the `dtype` of the products.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import (
    BatchNorm,
    Convolution,
    Dense,
    Projection,
    WithClass,
    check_latent,
    check_pictures,
    check_size,
    sides_between,
    upsample,
    width_at,
)
from jaxart.ops.pooling import avg_pool
from jaxart.ops.resample import low_pass

_NARROW = nn.initializers.normal(0.02)
_RESIDUAL = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_DIRECT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def _leaky(x: jax.Array) -> jax.Array:
    return jax.nn.leaky_relu(x, 0.2)


class DCGANGenerator(nn.Module):
    """Turn latent vectors into pictures: ``[B, L] -> [B, size, size, channels]`` in [-1, 1].

    Dense, 4 x 4, then at every doubling nearest neighbors, 3 x 3 convolution, a low-pass, batch normalization and ReLU; a last
    convolution and tanh.
    At 64 pixels and width 64 the features are 512 (4 x 4), 256, 128, 64, 32. The class's embedding is concatenated to z.

    Args:
        size: side of the pictures, a power of two, at least 8.
        channels: of the pictures.
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        axis_name: the mapped axis over which the statistics of the batch are averaged (`jax.pmap`, `jax.shard_map`).
        dtype: of the products.
        smooth: blur what was doubled, `low_pass`. False for weights that were trained without it, as by earlier versions.

    Raises:
        ValueError: a size that is not a power of two or below 8, z of another rank, or no label for classes.

    Reference: Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, 2016,
    section 3 and fig. 1; classes as in Mirza and Osindero 2014. Departures: nearest neighbors, a 3 x 3 kernel and a low-pass instead of
    transposed convolution, which leaves checkerboards, as the first two alone leave grids of lines; and one convolution more, at the full
    size.
    """

    size: int = 64
    channels: int = 3
    width: int = 64
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = jnp.float32
    smooth: bool = True

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        check_size("DCGANGenerator", self.size)
        check_latent("DCGANGenerator", z)
        convolution = functools.partial(Convolution, initializer=_NARROW, dtype=self.dtype)
        z = WithClass(self.classes, z.shape[-1], name="class")(z, label)
        features = width_at(self.width, self.size, 4)
        x = Dense(16 * features, bias=False, initializer=_NARROW, dtype=self.dtype, name="dense")(z)
        x = x.reshape(-1, 4, 4, features)  # [B, 4, 4, F]
        x = jax.nn.relu(BatchNorm(axis_name=self.axis_name, name="norm4")(x, train=train))
        for side in sides_between(4, self.size):
            features = width_at(self.width, self.size, side)
            x = convolution(features, scale="up", bias=False, name=f"conv{side}")(x)
            x = low_pass(x) if self.smooth else x
            x = jax.nn.relu(BatchNorm(axis_name=self.axis_name, name=f"norm{side}")(x, train=train))
        return jnp.tanh(convolution(self.channels, name="picture")(x).astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Give pictures ``[B, S, S, C]`` in [-1, 1] a logit each, ``[B]``: the larger, the more they look real.

    4 x 4 convolutions of stride 2 and leaky ReLU 0.2 down to 4 x 4, then a scalar product with all features, to which the class's
    embedding is added. No batch normalization: a picture's logit and its gradient do not depend on the rest of the batch, as
    gradient penalties need it.

    Args:
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8, or no label for classes.

    Reference: Radford et al. 2016, section 3; classes as in Miyato and Koyama 2018. Departures: no batch normalization, hence weights of
    unit gain (He) instead of N(0, 0.02).
    """

    width: int = 64
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        size = check_pictures("DCGANDiscriminator", x)
        for side in reversed([4, *sides_between(4, size // 2)]):
            features = width_at(self.width, size, side)
            x = _leaky(Convolution(features, kernel_size=4, stride=2, dtype=self.dtype, name=f"conv{side}")(x))
        return Projection(self.classes, name="logit")(x.reshape(x.shape[0], -1), label, train=train)


class _GeneratorBlock(nn.Module):
    """Normalize, ReLU, double, convolve, blur, normalize, ReLU, convolve; the input, doubled and blurred, is added.

    No convolution has a bias: what it adds reaches only normalizations, through the sum too.
    """

    features: int
    classes: int
    axis_name: str | None
    dtype: Any
    smooth: bool

    @nn.compact
    def __call__(self, x: jax.Array, label: Array | None, *, train: bool) -> jax.Array:
        blur = low_pass if self.smooth else lambda doubled: doubled
        norm = functools.partial(BatchNorm, self.classes, self.axis_name)
        convolution = functools.partial(Convolution, self.features, bias=False, dtype=self.dtype)
        direct = blur(upsample(convolution(kernel_size=1, initializer=_DIRECT, name="direct")(x)))
        y = jax.nn.relu(norm(name="norm1")(x, label, train=train))
        y = blur(convolution(scale="up", initializer=_RESIDUAL, name="conv1")(y))
        y = jax.nn.relu(norm(name="norm2")(y, label, train=train))
        return direct + convolution(initializer=_RESIDUAL, name="conv2")(y)


class SNGANGenerator(nn.Module):
    """Turn latent vectors into pictures by residual blocks: ``[B, L] -> [B, size, size, channels]`` in [-1, 1].

    Up to 32 pixels every block has 4 times `width` channels (256, the paper's network for CIFAR-10). Above, the last has `width` and
    they double toward 4 x 4, up to 16 times (1024, 512, 256, 128, 64 at 64 pixels). Classes have their own scales and shifts in the
    batch normalization.

    Args:
        size: side of the pictures, a power of two, at least 8.
        channels: of the pictures.
        width: 64 in the paper.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        axis_name: the mapped axis over which the statistics of the batch are averaged (`jax.pmap`, `jax.shard_map`).
        dtype: of the products.
        smooth: blur what was doubled, `low_pass`. False for weights that were trained without it, as by earlier versions.

    Raises:
        ValueError: a size that is not a power of two or below 8, z of another rank, or no label for classes.

    Reference: Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018, appendix B.4, tables 4 and 6; classes:
    Miyato and Koyama 2018, appendix. Departure: the low-pass of `DCGANGenerator`.
    """

    size: int = 32
    channels: int = 3
    width: int = 64
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = jnp.float32
    smooth: bool = True

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        check_size("SNGANGenerator", self.size)
        check_latent("SNGANGenerator", z)
        features = self._width_at(4)
        x = Dense(16 * features, bias=False, initializer=_DIRECT, dtype=self.dtype, name="dense")(z)
        x = x.reshape(-1, 4, 4, features)  # [B, 4, 4, F]
        for side in sides_between(4, self.size):
            block = _GeneratorBlock(
                self._width_at(side), self.classes, self.axis_name, self.dtype, self.smooth, name=f"block{side}"
            )
            x = block(x, label, train=train)
        x = jax.nn.relu(BatchNorm(axis_name=self.axis_name, name="norm")(x, train=train))
        picture = Convolution(self.channels, initializer=_DIRECT, dtype=self.dtype, name="picture")(x)
        return jnp.tanh(picture.astype(jnp.float32))

    def _width_at(self, side: int) -> int:
        return self.width * (4 if self.size <= 32 else min(self.size // side, 16))


class _DiscriminatorBlock(nn.Module):
    """ReLU, convolve, ReLU, convolve, halve if asked to; the input, halved likewise, is added. The first block has no first ReLU."""

    features: int
    first: bool
    halve: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        convolution = functools.partial(Convolution, spectral=True, dtype=self.dtype)
        hidden = self.features if self.first else x.shape[-1]
        y = convolution(hidden, initializer=_RESIDUAL, name="conv1")(x if self.first else jax.nn.relu(x), train=train)
        last = convolution(self.features, scale="down" if self.halve else None, initializer=_RESIDUAL, name="conv2")
        y = last(jax.nn.relu(y), train=train)
        direct = avg_pool(x) if self.halve else x
        if self.halve or x.shape[-1] != self.features:
            direct = convolution(self.features, kernel_size=1, initializer=_DIRECT, name="direct")(direct, train=train)
        return direct.astype(y.dtype) + y


class SNGANDiscriminator(nn.Module):
    """Give pictures ``[B, S, S, C]`` in [-1, 1] a logit each, ``[B]``, by residual blocks of spectrally normalized convolutions.

    Up to 32 pixels there are four blocks of twice `width` channels (128), of which two halve. Above, all halve, from `width` channels up
    to 16 times as many, down to 2 x 2 (64, 128, 256, 512, 1024 at 64 pixels). Then ReLU, the sum over pixels and a scalar product to which
    the class's embedding is added, both normalized too.

    Args:
        width: 64 in the paper.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8, or no label for classes.

    Reference: Miyato et al. 2018, appendix B.4, tables 4 and 6; classes: Miyato and Koyama 2018, eq. 3. Departure: no bias of the logit.
    """

    width: int = 64
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        size = check_pictures("SNGANDiscriminator", x)
        if size <= 32:
            plan = [(2 * self.width, index < 2) for index in range(4)]
        else:
            plan = [(self.width * min(2**index, 16), True) for index in range(len(sides_between(2, size)))]
        for index, (features, halve) in enumerate(plan):
            x = _DiscriminatorBlock(features, index == 0, halve, self.dtype, name=f"block{index + 1}")(x, train=train)
        summed = jnp.sum(jax.nn.relu(x), axis=(1, 2), dtype=jnp.float32)
        return Projection(self.classes, spectral=True, name="logit")(summed, label, train=train)


class MLPGenerator(nn.Module):
    """Turn latent vectors into vectors, ``[B, L] -> [B, features]``, by `depth` layers of `width` with ReLU.

    There are no classes: the label is ignored.

    Args:
        features: length of the result.
        width: of the hidden layers.
        depth: number of hidden layers.

    Raises:
        ValueError: z of another rank.
    """

    features: int = 2
    width: int = 128
    depth: int = 3

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        del label, train
        check_latent("MLPGenerator", z)
        for index in range(self.depth):
            z = jax.nn.relu(Dense(self.width, name=f"dense{index + 1}")(z))
        return Dense(self.features, name="vector")(z)


class MLPDiscriminator(nn.Module):
    """Give vectors a logit each, ``[B, F] -> [B]``, by `depth` layers of `width` with leaky ReLU 0.2.

    There are no classes: the label is ignored.

    Args:
        width: of the hidden layers.
        depth: number of hidden layers.

    Raises:
        ValueError: x of another rank.
    """

    width: int = 128
    depth: int = 3

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool = False) -> jax.Array:
        del train
        if x.ndim != 2:
            raise ValueError(f"MLPDiscriminator: expected vectors [B, F], got shape {x.shape}.")
        for index in range(self.depth):
            x = _leaky(Dense(self.width, name=f"dense{index + 1}")(x))
        return Projection(name="logit")(x, label)
