"""What guides a flow's drawing: functions of the pictures that it is aimed at, for `Solver.adjust`. Pictures are in [-1, 1] here."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import losses
from jaxart.arrays import Array, PyTree


def keep_outside(arrays: PyTree, aimed: Array, time: Array) -> jax.Array:
    """Put what is known into the pictures: ``mask aimed + (1 - mask) picture``. So a flow fills what is missing (inpainting).

    What is known comes out as it went in, because the last step ends at the picture that it is aimed at. Flows of more than one repeat
    (`Solver.repeats`) fit the rest to it better.

    Args:
        arrays: "picture" ``[H, W, C]`` and "mask" ``[H, W, 1]``, 1 where it is to be filled, 0 where it is known.
        aimed: ``[B, H, W, C]``.
        time: not looked at.

    Reference: Lugmayr et al., RePaint: Inpainting using Denoising Diffusion Probabilistic Models, 2022, eq. 8, on straight paths.
    """
    del time
    mask = arrays["mask"][None]
    return mask * aimed + (1 - mask) * arrays["picture"][None]


class TowardStyle(NamedTuple):
    """Pull the pictures toward a painting's style, down the gradient of a style term; ``toward(arrays, aimed, time)`` is an `Adjust`.

    Each picture moves by ``strength (1 - t)`` in root mean square, so that over the whole path it is moved by the strength: the style is
    laid down early and the flow finishes what it began. The gradient is taken at the picture that is aimed at, not through the network.

    Fields:
        features: module ``pictures in [0, 1] -> {layer: [B, h, w, C]}``, such as `models.VGG`.
        strength: in units of pixels from -1 to 1.
        layer_weights: one for each layer of the targets.
        style_loss: that prepared the targets.

    Its arrays are "variables" of the features and "targets", from `losses.targets_of_layers` of a painting's.

    Reference: Yu et al., FreeDoM: Training-Free Energy-Guided Conditional Diffusion Model, 2023, section 4, with the style distance as the
    energy. Departure: steps of a given length, since the gradient's own length says little early on the path.
    """

    features: Any
    strength: float
    layer_weights: tuple[float, ...]
    style_loss: losses.StyleLoss = losses.WASSERSTEIN

    def __call__(self, arrays: PyTree, aimed: Array, time: Array) -> jax.Array:
        def distance(aimed):
            found = self.features.apply(arrays["variables"], (aimed + 1) / 2)
            terms = losses.style_of_layers(
                found, arrays["targets"], layer_weights=self.layer_weights, style_loss=self.style_loss
            )
            return jnp.sum(terms)

        gradient = jax.grad(distance)(jnp.asarray(aimed))
        length = jnp.sqrt(jnp.mean(gradient**2, axis=(1, 2, 3), keepdims=True) + 1e-20)
        return aimed - self.strength * (1 - time) * gradient / length
