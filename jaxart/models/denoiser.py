"""A small network that says what is wrong with a picture, cheap enough to be trained on that picture alone."""

import flax.linen as nn
import jax

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, depth_to_space, space_to_depth


class SmallDenoiser(nn.Module):
    """Map pictures ``[B, H, W, C]`` with even sides to ``[B, H, W, features]``, by 3 x 3 convolutions at half the size.

    Squares of 2 x 2 pixels are channels at the beginning and the end. What it says begins at zero.

    Args:
        features: channels of the result.
        width: of the layers between.
        depth: how many convolutions, at least 2.

    Reference: Zhang, Zuo and Zhang, FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising, 2018, section 3. Departure:
    no normalization; leaky units.
    """

    features: int
    width: int = 32
    depth: int = 5

    @nn.compact
    def __call__(self, x: Array) -> jax.Array:
        x = space_to_depth(x)
        for number in range(self.depth - 1):
            x = jax.nn.leaky_relu(Convolution(self.width, name=f"conv{number}")(x), 0.1)
        last = Convolution(4 * self.features, initializer=nn.initializers.zeros_init(), name="last")
        return depth_to_space(last(x))
