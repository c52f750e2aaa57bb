"""What moves the pixels: Optax transformations with the names by which checkpoints know them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array

_SHARES = (0.2, 0.2, 0.3, 0.3)  # of a picture, and of it blurred once, twice and three times, each twice as far


class Optimizer(NamedTuple):
    """An Optax transformation and its identity.

    Fields:
        transformation: ``optax.adam(0.02)`` or any other.
        name: name and settings, such as "adam(0.02)", by which checkpoints know it; None where a run is never resumed.
    """

    transformation: optax.GradientTransformation
    name: str | None = None


def smoothed(image: Array) -> jax.Array:
    """Blend pixels with their neighbors: a fifth of them as they are, the rest blurred by [1, 2, 1] / 4 at distances 1, then 2, then 4.

    Beyond the border is zero, so that zeros that pad a picture change nothing in it.

    Args:
        image: ``[H, W, C]``.
    """
    (height, width), reach = image.shape[:2], 2 ** (len(_SHARES) - 1) - 1
    made, blurred = _SHARES[0] * image, jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    for power, share in enumerate(_SHARES[1:]):
        distance = 2**power
        blurred = _blurred(_blurred(blurred, axis=0, distance=distance), axis=1, distance=distance)
        reach -= distance
        made = made + share * blurred[reach : reach + height, reach : reach + width]
    return made


def _blurred(x: jax.Array, *, axis: int, distance: int) -> jax.Array:
    """Blur where all three pixels are there."""
    size = x.shape[axis] - 2 * distance
    before, here, after = (jax.lax.slice_in_dim(x, n * distance, n * distance + size, axis=axis) for n in range(3))
    return 0.25 * before + 0.5 * here + 0.25 * after


def smoothed_adam(learning_rate: float) -> Optimizer:
    """Return Adam whose updates are smoothed: from a good start it needs fewer steps than Adam.

    Adam moves every pixel by about as much, whatever its neighbors do. Smoothed, what neighbors agree on moves at the whole rate, and
    grain, which the next steps would take back, at a fifth of it, so that the rate can be three times Adam's.

    Args:
        learning_rate: of what is smooth; Adam's decays are 0.9 and 0.99.

    Reference: that the coordinates of a picture are a preconditioner is from Olah et al., Feature Visualization, 2017, who take Fourier
    coefficients. Departure: blurs, which do not wrap at the border and can be split over devices.
    """
    smooth = optax.stateless(lambda updates, params: jax.tree.map(smoothed, updates))
    chain = optax.chain(optax.scale_by_adam(b1=0.9, b2=0.99), smooth, optax.scale(-learning_rate))
    return Optimizer(chain, f"smoothed adam({learning_rate:g}, b1=0.9, b2=0.99)")


ADAM = Optimizer(optax.adam(0.02, b1=0.9, b2=0.99), "adam(0.02, b1=0.9, b2=0.99)")
LBFGS = Optimizer(optax.lbfgs(memory_size=10), "lbfgs(memory_size=10)")
SMOOTHED_ADAM = smoothed_adam(0.06)
