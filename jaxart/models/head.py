"""A head: the last layers of a classifier, on features that another network makes and that are not trained."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxart.arrays import Array
from jaxart.models.blocks import Dense
from jaxart.models.dropout import Dropout


class FeatureHead(nn.Module):
    """Classify features ``[B, F]``: (outputs ``[B, outputs]``, features ``[B, hidden or F]``), float32.

    Without a hidden layer it is linear: binary problems that share it are then independent of each other, though learned together.

    Args:
        outputs: of the last layer.
        hidden: units of a layer before it, with ReLU; 0 for none.
        dropout: share of the features that are left out in training, and of the hidden units too.
    """

    outputs: int
    hidden: int = 0
    dropout: float = 0.0

    @nn.compact
    def __call__(self, features: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = Dropout(self.dropout)(jnp.asarray(features, jnp.float32), train=train)
        if self.hidden:
            x = jax.nn.relu(Dense(self.hidden, name="hidden")(x))
            x = Dropout(self.dropout)(x, train=train)
        return Dense(self.outputs, initializer=nn.initializers.zeros_init(), name="outputs")(x), x
