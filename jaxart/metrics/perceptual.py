"""How alike two pictures look to people: distances of what a network sees, weighed as people judge."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Features


def lpips(features: Features, others: Features, weights: Mapping[str, Array]) -> jax.Array:
    """Return the learned perceptual distance of pictures, 0 for equal ones: ``[...]``.

    At each position of a layer features are brought to length 1; squared differences are weighed channel by channel, averaged over
    positions and summed over layers.

    Args:
        features: of the pictures, ``{layer: [..., h, w, C]}``; further layers than those of `weights` do not count.
        others: of the pictures they are compared with, as `features`.
        weights: ``{layer: [C]}``, not negative, such as `weights.lpips_weights` gives for VGG-16.

    Raises:
        ValueError: a layer is missing, or shapes differ.

    Reference: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, eq. 1; its version 0.1.
    """
    distances = []
    for name, weight in weights.items():
        shapes = [jnp.shape(each[name]) if name in each else None for each in (features, others)]
        if shapes[0] is None or shapes[0] != shapes[1] or shapes[0][-1:] != jnp.shape(weight):
            raise ValueError(
                f"lpips: {name}: expected two [..., h, w, {len(weight)}] of one shape, got {shapes[0]} and {shapes[1]}."
            )
        difference = (_unit(features[name]) - _unit(others[name])) ** 2
        weighed = jnp.einsum("...c,c->...", difference, jnp.asarray(weight, jnp.float32), precision="highest")
        distances.append(jnp.mean(weighed, axis=(-2, -1)))
    return sum(distances[1:], distances[0])


def _unit(layer: jax.Array) -> jax.Array:
    layer = jnp.asarray(layer, jnp.float32)
    squares = jnp.sum(layer**2, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(squares > 0, squares, 1))  # whose slope at 0 is none
    return layer / (jnp.where(squares > 0, length, 0) + 1e-10)
