"""A network that makes a picture of a little noise, for learning one picture."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution
from jaxart.ops import upsample_low_pass

_EPSILON = 1e-5


class NoiseDecoder(nn.Module):
    """Map noise ``[B, h, w, N]`` to pictures of ``2^(levels - 1)`` times its size, around 0: at each size, 3 x 3 filters and a bend.

    Features are doubled bilinearly and normalized over the picture, so that what it draws first is smooth, and alike everywhere.

    Args:
        features: channels of the picture.
        width: of all channels in between.
        levels: sizes.

    Reference: Darestani and Heckel, Accelerated MRI with Un-trained Neural Networks, 2021 (ConvDecoder); after Heckel and Hand, Deep
    Decoder, 2019.
    """

    features: int
    width: int = 64
    levels: int = 6

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        x = jnp.asarray(x)
        for level in range(self.levels):
            if level:
                x = upsample_low_pass(x)
            x = jax.nn.silu(Convolution(self.width, bias=False, name=f"conv{level}")(x))
            x = self._normalized(x, level)
        last = nn.initializers.normal(0.1)
        return Convolution(self.features, kernel_size=1, initializer=last, name="last")(x)

    def _normalized(self, x: jax.Array, level: int) -> jax.Array:
        mean, variance = (function(x, axis=(1, 2), keepdims=True) for function in (jnp.mean, jnp.var))
        scale = self.param(f"scale{level}", nn.initializers.ones_init(), (self.width,))
        shift = self.param(f"shift{level}", nn.initializers.zeros_init(), (self.width,))
        x = (x - mean) * jax.lax.rsqrt(variance + _EPSILON)
        return x * scale[None, None, None] + shift[None, None, None]
