"""Filling holes with what a network makes of noise, when it has learned what is known of this one picture (deep image prior).

A network of convolutions draws what is like itself everywhere sooner than what is not, so it goes on with edges and textures over what
is missing. It knows no other picture, and takes a training for each. Among scattered pixels `fill_biharmonic` is nearer.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, Key
from jaxart.models import NoiseDecoder
from jaxart.tasks.restore.fill import checked, fill_harmonic
from jaxart.training import debias, exponential_average

_LEVELS = 6  # sizes at most, each half the one before; noise is of the smallest
_DECAY = 0.98  # of the average of what the network draws


class _Settings(NamedTuple):
    network: NoiseDecoder
    steps: int
    rate: float


class _Task(NamedTuple):
    """The noise ``[1, h, w, N]``, the picture ``[1, H, W, C]`` and what is known of it ``[1, H, W, 1]``."""

    noise: jax.Array
    target: jax.Array
    known: jax.Array


class _Prior(NamedTuple):
    """A network on its way: steps done, its state, the average of its pictures ``[1, H, W, C]`` from zeros, the error."""

    step: jax.Array
    params: Any
    optimizer: Any
    average: jax.Array
    error: jax.Array


def fill_prior(
    key: Key,
    picture: Array,
    holes: Array,
    *,
    steps: int = 1200,
    width: int = 64,
    rate: float = 0.01,
    every: int = 100,
    progress: Callable[[int, float], None] | None = None,
) -> jax.Array:
    """Fill holes by a network that is trained to draw what is known from noise.

    Args:
        key: of the noise and the network.
        picture: ``[H, W, C]``, float in [0, 1]; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``; some pixel must be known.
        steps: of Adam's; more follow finer detail.
        width: channels of the network, see `models.NoiseDecoder`.
        rate: of learning at first, from which it falls to 0 as a cosine.
        every: steps after which `progress` is told.
        progress: called with the steps that are done and the mean squared error of what is known; None where this is compiled.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit: in them, the mean of the last hundred or so pictures of the network.

    Raises:
        ValueError: as `fill_harmonic`; fewer than 1 step.

    Reference: Ulyanov, Vedaldi and Lempitsky, Deep Image Prior, 2018, section 3.3. Departures: a decoder of noise alone, which learns
    faster (Darestani and Heckel, 2021); the rate falls, so that the average is of pictures that differ little; what is left of the known is
    added as a membrane.
    """
    picture, holes = checked(picture, holes)
    for name, value in (("steps", steps), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: expected 1 or more, got {value}.")
    levels = max(1, min(_LEVELS, int(np.log2(max(holes.shape))) - 1))
    network, scale = NoiseDecoder(picture.shape[-1], width, levels), 2 ** (levels - 1)
    size = [-(-side // scale) * scale for side in holes.shape]
    pad = [(0, new - old) for new, old in zip(size, holes.shape, strict=True)]
    of_noise, of_weights = jax.random.split(key)
    known = jnp.pad(~holes, pad)[None, ..., None]
    target = jnp.pad(jnp.where(holes[..., None], 0, picture).astype(jnp.float32), [*pad, (0, 0)])[None]
    noise = jax.random.normal(of_noise, (1, *(side // scale for side in size), width))
    task, settings = _Task(noise, target, known), _Settings(network, steps, rate)
    now = _begun(of_weights, task, settings)
    for last in [*range(every, steps, every), steps] if progress else [steps]:
        now = _trained(now, task, jnp.int32(last), settings)
        if progress:
            progress(last, float(now.error))
    drawn = debias(now.average, decay=_DECAY, count=steps)[0, : holes.shape[0], : holes.shape[1]]
    known = jnp.where(holes[..., None], 0, picture)
    drawn += _membrane(known - drawn, holes)  # what it has not learned of the known goes on smoothly
    return jnp.where(holes[..., None], jnp.clip(drawn, 0, 1).astype(picture.dtype), picture)


_membrane = jax.jit(fill_harmonic)


@functools.partial(jax.jit, static_argnames="settings")
def _begun(key: Key, task: _Task, settings: _Settings) -> _Prior:
    params = settings.network.init(key, task.noise)
    return _Prior(jnp.int32(0), params, _optimizer(settings).init(params), jnp.zeros_like(task.target), jnp.float32(0))


@functools.partial(jax.jit, static_argnames="settings")
def _trained(now: _Prior, task: _Task, last: jax.Array, settings: _Settings) -> _Prior:
    """Train up to a step, so that stretches of any length are one program, and give the same bits."""
    number = jnp.sum(task.known)
    middle = jnp.sum(jnp.where(task.known, task.target, 0), (1, 2), keepdims=True) / number

    def loss(params: Any) -> tuple[jax.Array, jax.Array]:
        drawn = middle + jnp.asarray(settings.network.apply(params, task.noise))
        errors = jnp.where(task.known, (drawn - task.target) ** 2, 0)
        return jnp.sum(errors) / (number * task.target.shape[-1]), drawn

    def step(_: jax.Array, now: _Prior) -> _Prior:
        (error, drawn), slopes = jax.value_and_grad(loss, has_aux=True)(now.params)
        updates, optimizer = _optimizer(settings).update(slopes, now.optimizer, now.params)
        average = exponential_average(now.average, drawn, decay=_DECAY)
        return _Prior(now.step + 1, optax.apply_updates(now.params, updates), optimizer, average, error)

    return jax.lax.fori_loop(now.step, last, step, now)


def _optimizer(settings: _Settings) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(settings.rate, settings.steps))
