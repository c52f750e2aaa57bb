"""Features of pictures, as a function that an index is made with; VGG's are means and deviations over the pixels."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import metrics, models
from jaxart.arrays import Array, PyTree
from jaxart.image import unit
from jaxart.training import apply_in_batches

VGG_LAYERS = ("relu2_2", "relu3_3", "relu4_3")
_BATCH = 32


class Features(NamedTuple):
    """By what pictures are compared, as a function.

    Fields:
        name: of the features, such as "vgg16 relu2_2 relu3_3 relu4_3 mean and deviation".
        digest: `metrics.content_hash` of the weights.
        dimension: D.
        describe: ``uint8 [B, 128, 128, 3] -> [B, D]``; what it says of a picture must not depend on the others.
    """

    name: str
    digest: str
    dimension: int
    describe: Callable[[np.ndarray], Any]


def vgg_features(variables: PyTree, *, layers: Sequence[str] = VGG_LAYERS) -> Features:
    """Return the means and deviations of VGG's features over the pixels; each layer counts alike, and all together have norm 1.

    Args:
        variables: from ``weights.load("vgg16")`` or "vgg19".
        layers: whose features; fine ones see textures that coarse ones do not.
    """
    depth = models.vgg_depth(variables)
    network = models.VGG(depth=depth, layers=tuple(layers))
    on_device = network.freeze(variables)
    dimension = 2 * sum(variables["params"][name.replace("relu", "conv")]["bias"].size for name in layers)

    def describe(squares: np.ndarray) -> np.ndarray:
        return apply_in_batches(_moments, network, on_device, cast(Any, squares), batch=_BATCH)

    name = f"vgg{depth} {' '.join(layers)} mean and deviation"
    return Features(name, metrics.content_hash(variables), dimension, describe)


def _moments(network: Any, variables: PyTree, images: Array) -> jax.Array:
    found, parts = network.apply(variables, unit(images)), []
    for layer in network.layers:
        mean, deviation = jnp.mean(found[layer], (1, 2)), jnp.std(found[layer], (1, 2))
        both = jnp.concatenate([mean, deviation], -1)
        parts.append(both / jnp.maximum(jnp.linalg.norm(both, axis=-1, keepdims=True), 1e-6))
    return jnp.concatenate(parts, -1) / len(parts) ** 0.5  # [B, D], of norm 1
