"""Perceptual losses of batches of pictures: the content and style terms of several layers, one number per picture.

They take the features that a network gave, `{layer: [N, h, w, C]}`, so that the network stays the caller's:
``style_of_layers(VGG(...).apply(variables, images), targets, layer_weights=...)``.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Features
from jaxart.losses.pixel import content
from jaxart.losses.style import WASSERSTEIN, StyleLoss, moments


def content_of_layers(features: Features, targets: Features) -> jax.Array:
    """Average `content` over layers: the content term of a stylization, for each picture of a batch.

    Args:
        features: ``{layer: [..., h, w, C]}``.
        targets: the content's, the same layers and shapes; further layers of `features` do not count.

    Returns:
        ``[...]``, float32.

    Reference: Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016, eq. 2.
    """
    errors = [content(features[name], target) for name, target in targets.items()]
    return sum(errors[1:], errors[0]) / len(errors)


def targets_of_layers(features: Features, style_loss: StyleLoss = WASSERSTEIN) -> dict[str, Any]:
    """Prepare the features of one painting for `style_of_layers`.

    Args:
        features: ``{layer: [h, w, C]}``.
        style_loss: the one that will compare.

    Returns:
        The targets by layer.
    """
    return {name: style_loss.target(_statistics(layer, style_loss)) for name, layer in features.items()}


def style_of_layers(
    features: Features,
    targets: dict[str, Any],
    *,
    layer_weights: Sequence[float] | Array,
    style_loss: StyleLoss = WASSERSTEIN,
) -> jax.Array:
    """Sum the style distances of layers: the style term of a stylization, for each picture of a batch.

    Args:
        features: ``{layer: [N, h, w, C]}``; further layers than those of `targets` do not count.
        targets: one painting's, from `targets_of_layers`; all pictures share them.
        layer_weights: ``[L]``, one for each layer of `targets`, in their order; used as they are.
        style_loss: the one that prepared the targets.

    Returns:
        ``[N]``, float32.

    Raises:
        ValueError: another number of weights than of layers.
    """
    if len(layer_weights) != len(targets):
        raise ValueError(
            f"layer_weights: expected one for each of the layers {', '.join(targets)}, got {len(layer_weights)} numbers."
        )

    def distance(layers: Features) -> jax.Array:
        each = [style_loss.distance(_statistics(layers[name], style_loss), target) for name, target in targets.items()]
        return jnp.sum(jnp.asarray(layer_weights, jnp.float32) * jnp.stack(each))

    return jax.vmap(distance)({name: features[name] for name in targets})


def _statistics(layer: jax.Array, style_loss: StyleLoss) -> Any:
    return moments(layer) if style_loss.additive else layer
