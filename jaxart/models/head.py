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


class KernelHead(nn.Module):
    """Classify features ``[B, F]`` by a Gaussian kernel: (outputs ``[B, outputs]``, the features), float32.

    ``outputs = exp(-width |x - s_i|^2) c_i + bias``, summed over known features s_i, which are params too ("support", half precision)
    beside the coefficients c_i. `tasks.classify.kernel_classifier` finds the coefficients.

    Args:
        outputs: of each example.
        support: how many known features there are.
        width: of the kernel, by the square of the distance.
    """

    outputs: int
    support: int
    width: float = 0.8

    @nn.compact
    def __call__(self, features: Array, *, train: bool = False) -> tuple[jax.Array, jax.Array]:
        zeros, x = nn.initializers.zeros_init(), jnp.asarray(features, jnp.float32)
        support = self.param("support", zeros, (self.support, x.shape[-1]), jnp.float16)
        coefficients = self.param("coefficients", zeros, (self.support, self.outputs))
        bias = self.param("bias", zeros, (self.outputs,))
        return gaussian_kernel(x, support, width=self.width) @ coefficients + bias[None], x


def gaussian_kernel(one: Array, other: Array, *, width: float) -> jax.Array:
    """Return ``exp(-width |x - y|^2)`` of all pairs: ``[M, F], [N, F] -> [M, N]``, float32.

    Args:
        one: ``[M, F]``.
        other: ``[N, F]``.
        width: above 0.
    """
    x, y = jnp.asarray(one, jnp.float32), jnp.asarray(other, jnp.float32)
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None] - 2 * x @ y.T
    return jnp.exp(-width * jnp.maximum(squares, 0.0))
