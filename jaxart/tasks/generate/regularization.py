"""What keeps a game of two networks in balance: penalties on slopes, lengths of paths, and augmentation that adapts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key, PyTree
from jaxart.data import Adaptive, adaptive_augment, update_adaptive
from jaxart.losses import (
    HINGE,
    NON_SATURATING,
    SATURATING,
    AdversarialLoss,
    gradient_norm_penalty,
    gradient_penalty,
)
from jaxart.training import example_keys, mean_over

Judge = Callable[[Array], jax.Array]  # pictures [B, ...] -> logits [B, ...]
_ANCHORED = (NON_SATURATING, SATURATING, HINGE)  # losses for which a logit of 0 is where the discriminator cannot tell
_PATH_DECAY = 0.99


class Penalties(NamedTuple):
    """Weights: ``r1 / 2 |grad D(x)|^2`` on reals, ``r2 / 2`` the same on fakes, ``between (|grad D| - 1)^2`` on mixtures of both."""

    r1: float = 0.0
    r2: float = 0.0
    between: float = 0.0


class Adapt(NamedTuple):
    """How augmentation adapts to a discriminator that overfits.

    Fields:
        target: of r, the mean of ``sign D(x)`` over real examples: above it augmentation acts more often, below it less.
        every: steps between changes of the probability.
        span: real examples in which it goes from 0 to 1 at most; 100 000 where a trained network is adapted to other pictures.
        probability: to begin with, in [0, 1].
        augment: ``(keys [B], images [B, ...], probability) -> images``, differentiable in the images; twice where there are penalties.
    """

    target: float = 0.6
    every: int = 4
    span: float = 500_000
    probability: float = 0.0
    augment: Callable[[Key, Array, jax.Array], jax.Array] = adaptive_augment


def check_adapt(adapt: Adapt) -> None:
    """Check the numbers of an adaptation.

    Raises:
        ValueError: one out of range.
    """
    if not (-1 < adapt.target < 1 and 0 <= adapt.probability <= 1 and adapt.every >= 1 and adapt.span > 0):
        raise ValueError(
            "gan: expected of adapt a target between -1 and 1, a probability in [0, 1], every of at least 1 and a span above 0, got "
            f"{adapt.target}, {adapt.probability}, {adapt.every} and {adapt.span}."
        )


def slope_penalty(
    weights: Penalties,
    judges: tuple[Judge, Judge],
    real: Array,
    fake: Array,
    key: Key,
    *,
    axis_name: str | None = None,
) -> jax.Array:
    """Return the weighted penalties on a discriminator's slopes, averaged over the batch.

    Args:
        weights: of the penalties.
        judges: pictures to logits, of reals (and of mixtures), and of fakes.
        real: ``[B, ...]``.
        fake: as `real`.
        key: of the mixtures.
        axis_name: of the mapped axis.
    """
    total = jnp.float32(0)
    if weights.r1:
        total += weights.r1 / 2 * jnp.mean(gradient_norm_penalty(judges[0], real))
    if weights.r2:
        total += weights.r2 / 2 * jnp.mean(gradient_norm_penalty(judges[1], fake))
    if weights.between:
        keys = example_keys(key, len(real), axis_name=axis_name)
        mix = jax.vmap(jax.random.uniform)(keys)
        total += weights.between * jnp.mean(gradient_penalty(judges[0], real, fake, mix))
    return total


def overfitting(loss: AdversarialLoss, real: Array, means: tuple[Array, Array]) -> jax.Array:
    """Return r, the mean over this device of the sign of what a discriminator says of reals: 1 where it knows all, 0 where it guesses.

    Losses whose logits have no zero of their own (relativistic, critics, squares, one's own) take the middle between the means of reals and
    fakes for it.

    Args:
        loss: of the game.
        real: logits of real examples ``[B, ...]``.
        means: of the logits of reals and of fakes, over all devices.

    Reference: Karras et al., Training Generative Adversarial Networks with Limited Data, 2020, section 3, eq. 1. Departure: the middle.
    """
    middle = jnp.float32(0) if loss in _ANCHORED else (means[0] + means[1]) / 2
    return jnp.mean(jnp.sign(real - middle))


def adapted(adapt: Adapt, adaptive: Adaptive, sign: Array, count: float, step: Array) -> Adaptive:
    """Return the state of the augmentation after a step.

    Args:
        adapt: how it adapts.
        adaptive: before the step.
        sign: of the step, from `overfitting`, averaged over the devices.
        count: of real examples of the step, on all devices.
        step: the number of the step, from 1.
    """
    due = step % adapt.every == 0
    return update_adaptive(adaptive, sign, jnp.float32(count), due, target=adapt.target, span=adapt.span)


def path_penalty(
    generator: Any, variables: PyTree, z: Array, label: Array, keys: Key, mean: Array, *, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Return by how much steps in the space of styles differ in the change they make, and the new mean change.

    With pictures y of noise, N(0, 1) / sqrt(H W), and ``g = grad_w sum(G(w) y)``, an example's length is the root of the mean of ``|g|^2``
    over the layers: ``a <- 0.99 a + 0.01 mean(length)``, and the penalty is the mean of ``(length - a)^2``. No gradient passes through a.

    Args:
        generator: module with the methods ``styles(z, label, train) -> w [B, layers, D]`` and ``paint(w) -> images [B, H, W, C]``.
        variables: of it.
        z: latents ``[B, latent]``.
        label: ``[B]``.
        keys: ``[B]``, of the noise.
        mean: a, before.
        axis_name: of the mapped axis.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, section 3.2.
    """
    w = generator.apply(variables, z, label, train=True, method="styles")

    def projected(w: Array) -> jax.Array:
        images = generator.apply(variables, w, method="paint")
        noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
        return jnp.sum(images * noise) / (images.shape[1] * images.shape[2]) ** 0.5

    slope = jax.grad(projected)(w).astype(jnp.float32)
    lengths = jnp.sqrt(jnp.mean(jnp.sum(slope**2, axis=2), axis=1) + 1e-12)  # finite slope where nothing changes
    seen = mean_over(jax.lax.stop_gradient(jnp.mean(lengths)), axis_name)
    mean = _PATH_DECAY * mean + (1 - _PATH_DECAY) * seen
    return jnp.mean((lengths - mean) ** 2), mean
