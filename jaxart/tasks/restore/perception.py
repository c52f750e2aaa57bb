"""The learned perceptual distance of pictures, by VGG-16: what it is made of, put together."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxart import metrics
from jaxart.arrays import Array, PyTree
from jaxart.models import VGG


def lpips_of(variables: PyTree, weights: Mapping[str, Array]) -> Callable[[Array, Array], jax.Array]:
    """Return a function of two batches of pictures ``[N, H, W, 3]`` in [0, 1] that gives their perceptual distances ``[N]``.

    It is pure, compiled once per size, and a loss as well: ``lpips_of(weights.load("vgg16"), weights.lpips_weights())``. Pictures are at
    least 16 pixels a side.

    Args:
        variables: of VGG-16 from torchvision, with its preprocessing, which is that of the published distance.
        weights: see `metrics.lpips`.
    """
    network = VGG(depth=16, layers=tuple(weights))
    frozen = network.freeze(variables)

    @jax.jit
    def measured(frozen: PyTree, pictures: Array, others: Array) -> jax.Array:
        both: Any = network.apply(frozen, jnp.stack([pictures, others], axis=1).reshape(-1, *pictures.shape[1:]))
        features, others_features = ({name: layer[i::2] for name, layer in both.items()} for i in range(2))
        return metrics.lpips(features, others_features, weights)

    return lambda pictures, others: measured(frozen, pictures, others)
