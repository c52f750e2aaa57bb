"""Losses of generator and discriminator, as functions of logits, and penalties on the discriminator's gradient.

D is a logit: the larger, the more real. sp(x) = log(1 + e^x). ``paired`` losses compare the i-th fake with the i-th real picture.
A discriminator may give an example one logit, ``[B]``, or one for each of its patches, ``[B, h, w, 1]``: then losses are averaged over the
patches of an example, and in penalties D(x) is their mean.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


class AdversarialLoss(NamedTuple):
    """What either side minimizes: ``(real [B, ...], fake [B, ...]) -> [B]``, of logits of any shape.

    `paired` tells whether the generator's loss looks at the real logits; otherwise anything may be given for them.
    """

    discriminator: Callable[[Array, Array], jax.Array]
    generator: Callable[[Array, Array], jax.Array]
    paired: bool = False


def _of_example(values: Array) -> jax.Array:
    """Average over all axes but the first."""
    return values if values.ndim < 2 else jnp.mean(values, axis=tuple(range(1, values.ndim)))


def _per_example(loss: Callable[[Array, Array], jax.Array]) -> Callable[[Array, Array], jax.Array]:
    @functools.wraps(loss)
    def averaged(real, fake):
        return _of_example(loss(real, fake))

    return averaged


@_per_example
def _logistic(real, fake):
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


@_per_example
def _logistic_generator(real, fake):
    del real
    return jax.nn.softplus(-fake)


@_per_example
def _saturating_generator(real, fake):
    del real
    return -jax.nn.softplus(fake)


@_per_example
def _hinge(real, fake):
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


@_per_example
def _least_squares(real, fake):
    return (real - 1) ** 2 + fake**2


@_per_example
def _least_squares_generator(real, fake):
    del real
    return (fake - 1) ** 2


@_per_example
def _critic(real, fake):
    return fake - real


@_per_example
def _critic_generator(real, fake):
    del real
    return -fake


@_per_example
def _relativistic(real, fake):
    return jax.nn.softplus(fake - real)


@_per_example
def _relativistic_generator(real, fake):
    return jax.nn.softplus(real - fake)


# D: sp(-real) + sp(fake), G: sp(-fake). Goodfellow et al., Generative Adversarial Nets, 2014, section 3.
NON_SATURATING = AdversarialLoss(_logistic, _logistic_generator)

# D as above, G: -sp(fake) = log(1 - sigmoid(fake)). Goodfellow et al. 2014, eq. 1; its gradient vanishes where D is certain of them.
SATURATING = AdversarialLoss(_logistic, _saturating_generator)

# D: relu(1 - real) + relu(1 + fake), G: -fake. Lim and Ye, Geometric GAN, 2017; Miyato et al. 2018, eq. 16-17.
HINGE = AdversarialLoss(_hinge, _critic_generator)

# D: (real - 1)^2 + fake^2, G: (fake - 1)^2. Mao et al., Least Squares Generative Adversarial Networks, 2017, eq. 9, without the halves.
LEAST_SQUARES = AdversarialLoss(_least_squares, _least_squares_generator)

# D: fake - real, G: -fake, for a critic held to slope 1 (`gradient_penalty`). Arjovsky et al., Wasserstein GAN, 2017, eq. 2-3.
WASSERSTEIN_CRITIC = AdversarialLoss(_critic, _critic_generator)

# D: sp(fake - real), G: sp(real - fake), with `gradient_norm_penalty` on both sides. Huang et al., The GAN is dead; long live the GAN!
# A Modern GAN Baseline (R3GAN), 2024, eq. 2.
RELATIVISTIC = AdversarialLoss(_relativistic, _relativistic_generator, paired=True)


def interleave(first: Array, second: Array) -> jax.Array:
    """Return one batch in which the examples of two alternate, so that a sharded batch keeps each pair on its device.

    A discriminator that sees reals and fakes in one batch normalizes both by the same statistics.

    Args:
        first: ``[B, ...]``.
        second: as `first`.

    Returns:
        ``[2 B, ...]``: first[0], second[0], first[1], ...

    >>> interleave(jnp.array([1, 2]), jnp.array([-1, -2])).tolist()
    [1, -1, 2, -2]
    """
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def deinterleave(both: Array) -> tuple[jax.Array, jax.Array]:
    """Undo `interleave`: ``[2 B, ...]`` -> ``[B, ...]`` and ``[B, ...]``, such as the logits of reals and of fakes.

    >>> first, second = deinterleave(jnp.array([1, -1, 2, -2]))
    >>> first.tolist(), second.tolist()
    ([1, 2], [-1, -2])
    """
    pairs = both.reshape(-1, 2, *both.shape[1:])  # [B, 2, ...]
    return pairs[:, 0], pairs[:, 1]


def _squared_slope(apply: Callable[[Array], jax.Array], images: Array) -> jax.Array:
    gradient = jax.grad(lambda images: jnp.sum(_of_example(apply(images))))(images)
    return jnp.sum(gradient.reshape(gradient.shape[0], -1).astype(jnp.float32) ** 2, axis=-1)


def gradient_norm_penalty(apply: Callable[[Array], jax.Array], images: Array) -> jax.Array:
    """Return ``|grad_x D(x)|^2`` of each example: R1 on real pictures, R2 on fake ones.

    The factor gamma / 2 is the caller's. It can be differentiated again, in the parameters that `apply` holds.

    Args:
        apply: pictures -> logits ``[B, ...]``; an example's logits must depend on that example alone (no batch normalization).
        images: ``[B, ...]``, on the scale that D sees ([-1, 1] for the networks of `models`); fakes under `jax.lax.stop_gradient`.

    Returns:
        ``[B]``, float32.

    Reference: Mescheder et al., Which Training Methods for GANs do actually Converge?, 2018, section 4.1.

    >>> gradient_norm_penalty(lambda x: 3 * x[:, 0], jnp.ones((2, 5))).tolist()
    [9.0, 9.0]
    """
    return _squared_slope(apply, images)


def gradient_penalty(apply: Callable[[Array], jax.Array], real: Array, fake: Array, mix: Array) -> jax.Array:
    """Return ``(|grad D(x)| - 1)^2`` at ``x = mix real + (1 - mix) fake``, of each example.

    The length has 1e-12 added under its root, so that the derivative is finite where D is flat. The factor, 10 in the paper, is the
    caller's.

    Args:
        apply: pictures -> logits ``[B, ...]``; an example's logits must depend on that example alone (no batch normalization).
        real: ``[B, ...]``.
        fake: as `real`, under `jax.lax.stop_gradient`.
        mix: ``[B]``, uniform in [0, 1].

    Returns:
        ``[B]``, float32.

    Reference: Gulrajani et al., Improved Training of Wasserstein GANs, 2017, eq. 3 and algorithm 1.
    """
    share = mix.reshape(-1, *(1,) * (real.ndim - 1)).astype(real.dtype)
    slope = jnp.sqrt(_squared_slope(apply, share * real + (1 - share) * fake) + 1e-12)
    return (slope - 1) ** 2
