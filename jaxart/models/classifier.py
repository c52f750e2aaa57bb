"""A small convolutional classifier of pictures, also used as a feature network for scores."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Convolution, Dense, check_pictures, sides_between


class SmallClassifier(nn.Module):
    """Classify pictures ``[B, S, S, C]`` in [0, 1]: (logits ``[B, classes]``, features ``[B, F]``), float32.

    Per halving, down to 4 x 4, two 3 x 3 convolutions with ReLU, the second followed by averaging; then the features, ReLU, and one dense
    layer to the logits. No normalization: a picture's result does not depend on the batch.

    Args:
        classes: number of classes.
        width: channels at the full size; they double at each halving, up to four times.
        features: F.
        dtype: of the products.

    Raises:
        ValueError: pictures that are not square or whose side is not a power of two of at least 8.
    """

    classes: int
    width: int = 32
    features: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        del train  # nothing is dropped
        size = check_pictures("SmallClassifier", x)
        x = 2 * x - 1
        for level in range(len(sides_between(4, size))):
            width = self.width * min(2**level, 4)
            x = jax.nn.relu(Convolution(width, dtype=self.dtype, name=f"conv{level}_1")(x))
            x = jax.nn.relu(Convolution(width, scale="down", dtype=self.dtype, name=f"conv{level}_2")(x))
        x = x.reshape(x.shape[0], -1).astype(jnp.float32)  # [B, 4 4 C]
        features = jax.nn.relu(Dense(self.features, name="features")(x))
        return Dense(self.classes, initializer=nn.initializers.lecun_normal(), name="logits")(features), features
