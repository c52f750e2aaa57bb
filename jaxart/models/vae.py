"""The two halves of a convolutional variational autoencoder. Pictures are in [0, 1].

There is no batch normalization: the evidence bound of a picture does not depend on the rest of the batch.

Reference: Kingma and Welling, Auto-Encoding Variational Bayes, 2014; with classes: Sohn et al., Learning Structured Output Representation
using Deep Conditional Generative Models, 2015.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import (
    Convolution,
    Dense,
    WithClass,
    check_latent,
    check_pictures,
    check_size,
    sides_between,
    width_at,
)

# Of z at the start: under broad posteriors decoders learn to ignore z first, and some never stop.
_FIRST_LOG_VARIANCE = -4.0


class VAEEncoder(nn.Module):
    """Describe pictures ``[B, S, S, C]`` by Gaussians: (mean ``[B, L]``, log_variance ``[B, L]``), float32.

    4 x 4 convolutions of stride 2 and ReLU down to 4 x 4, then one dense layer, which sees the class's embedding too.

    Args:
        latent: L.
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8, or no label for classes.
    """

    latent: int = 64
    width: int = 32
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None) -> tuple[jax.Array, jax.Array]:
        size = check_pictures("VAEEncoder", x)
        for side in reversed([4, *sides_between(4, size // 2)]):
            features = width_at(self.width, size, side)
            x = jax.nn.relu(Convolution(features, kernel_size=4, stride=2, dtype=self.dtype, name=f"conv{side}")(x))
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)
        x = WithClass(self.classes, self.latent, name="class")(x, label)
        x = Dense(2 * self.latent, initializer=nn.initializers.lecun_normal(), name="gaussian")(x)
        return x[:, : self.latent], x[:, self.latent :] + _FIRST_LOG_VARIANCE


class VAEDecoder(nn.Module):
    """Turn latent vectors into the means of pictures: ``[B, L] -> [B, size, size, channels]`` in [0, 1], float32.

    Dense, 4 x 4, then at every doubling nearest neighbors, 3 x 3 convolution and ReLU; a last convolution and the sigmoid. The class's
    embedding is concatenated to z. ``decoder.apply(variables, z, label, method="logits")`` stops before the sigmoid, for
    `losses.bernoulli_log_likelihood`.

    Args:
        size: side of the pictures, a power of two, at least 8.
        channels: of the pictures.
        width: channels at half the size; they double toward 4 x 4, up to 8 times.
        classes: 0 for none. Labels must be below it; under jit that is not checked and the last class is taken.
        dtype: of the products.

    Raises:
        ValueError: a size that is not a power of two or below 8, z of another rank, or no label for classes.
    """

    size: int = 32
    channels: int = 3
    width: int = 32
    classes: int = 0
    dtype: Any = jnp.float32

    def __call__(self, z: Array, label: Array | None = None) -> jax.Array:
        return jax.nn.sigmoid(self.logits(z, label))

    @nn.compact
    def logits(self, z: Array, label: Array | None = None) -> jax.Array:
        """Return the pictures before the sigmoid."""
        check_size("VAEDecoder", self.size)
        check_latent("VAEDecoder", z)
        z = WithClass(self.classes, z.shape[-1], name="class")(z, label)
        features = width_at(self.width, self.size, 4)
        x = jax.nn.relu(Dense(16 * features, dtype=self.dtype, name="dense")(z)).reshape(-1, 4, 4, features)
        for side in sides_between(4, self.size):
            features = width_at(self.width, self.size, side)
            x = jax.nn.relu(Convolution(features, scale="up", dtype=self.dtype, name=f"conv{side}")(x))
        last = Convolution(self.channels, initializer=nn.initializers.lecun_normal(), dtype=self.dtype, name="picture")
        return last(x).astype(jnp.float32)
