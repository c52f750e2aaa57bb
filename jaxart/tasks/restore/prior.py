"""Filling holes with what a network makes of noise, when it has learned what is known of this one picture (deep image prior).

A network of convolutions draws what is like itself everywhere sooner than what is not, so it goes on with edges and textures over what
is missing. It knows no other picture, and takes a training for each: for scattered pixels and text, where time is no matter.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key
from jaxart.models import UNet
from jaxart.tasks.restore.fill import checked
from jaxart.training import debias, exponential_average

_CHANNELS = 16  # of the noise
_SCALES = (2, 4, 8, 16)  # of the noise, in pixels
_DECAY = 0.98  # of the average of what the network draws


class _Settings(NamedTuple):
    network: UNet
    steps: int
    rate: float
    jitter: float


class _Task(NamedTuple):
    """The key of what is added to the noise, the noise ``[B, H, W, N]``, the picture ``[1, H, W, C]`` and what is known of it."""

    key: Key
    noise: jax.Array
    target: jax.Array
    known: jax.Array


class _Prior(NamedTuple):
    """Networks on their way: steps done, the state of all, the average of their pictures ``[B, H, W, C]`` from zeros, the error."""

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
    width: int = 24,
    factors: tuple[int, ...] = (1, 2, 2, 2, 2),
    rate: float = 0.005,
    jitter: float = 0.03,
    seeds: int = 1,
    every: int = 100,
    progress: Callable[[int, float], None] | None = None,
) -> jax.Array:
    """Fill holes by a network that is trained to draw what is known from noise.

    Args:
        key: of the noise and the network.
        picture: ``[H, W, C]``, float in [0, 1]; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``; some pixel must be known.
        steps: of Adam's; more follow finer detail.
        width: channels of the network's first level, see `models.UNet`.
        factors: of its levels.
        rate: of learning at first, from which it falls to 0 as a cosine.
        jitter: deviation of what is added to the noise at each step, which is 1 strong.
        seeds: networks, trained together; their pictures' mean is taken.
        every: steps after which `progress` is told.
        progress: called with the steps that are done and the mean squared error of what is known; None where this is compiled.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit: in them, the mean of the last hundred or so pictures of the network.

    Raises:
        ValueError: as `fill_harmonic`; fewer than 1 step or seed.

    Reference: Ulyanov, Vedaldi and Lempitsky, Deep Image Prior, 2018, section 3.3. Departures: a U-Net that normalizes over the channels of
    a pixel; the rate falls, so that the average is of pictures that differ little.
    """
    picture, holes = checked(picture, holes)
    for name, value in (("steps", steps), ("seeds", seeds), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}: expected 1 or more, got {value}.")
    network = UNet(picture.shape[-1], width=width, factors=factors, squares=0, attention=0)
    size = [-(-side // network.stride) * network.stride for side in holes.shape]
    pad = [(0, new - old) for new, old in zip(size, holes.shape, strict=True)]
    of_noise, of_weights, of_steps = jax.random.split(key, 3)
    known = jnp.pad(~holes, pad)[None, ..., None]
    target = jnp.pad(jnp.where(holes[..., None], 0, picture).astype(jnp.float32), [*pad, (0, 0)])[None]
    task = _Task(of_steps, _noise(of_noise, (seeds, *size)), target, known)
    settings = _Settings(network, steps, rate, jitter)
    now = _begun(jax.random.split(of_weights, seeds), task, settings)
    for last in [*range(every, steps, every), steps] if progress else [steps]:
        now = _trained(now, task, jnp.int32(last), settings)
        if progress:
            progress(last, float(now.error))
    drawn = jnp.mean(debias(now.average, decay=_DECAY, count=steps), 0)[: holes.shape[0], : holes.shape[1]]
    return jnp.where(holes[..., None], jnp.clip(drawn, 0, 1).astype(picture.dtype), picture)


def _noise(key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Return noise of several sizes, smooth but for the finest, so that neighbors have much in common: ``[B, H, W, 16]``."""
    batch, height, width = shape
    found = []
    for index, scale in enumerate(_SCALES):
        small = (batch, -(-height // scale) + 1, -(-width // scale) + 1, _CHANNELS // len(_SCALES))
        drawn = jax.random.normal(jax.random.fold_in(key, index), small)
        large = (batch, small[1] * scale, small[2] * scale, small[3])
        found.append(jax.image.resize(drawn, large, "cubic")[:, :height, :width])
    return jnp.concatenate(found, -1)


@functools.partial(jax.jit, static_argnames="settings")
def _begun(keys: Key, task: _Task, settings: _Settings) -> _Prior:
    params = jax.vmap(lambda key: settings.network.init(key, task.noise[:1]))(keys)
    average = jnp.zeros((*task.noise.shape[:-1], task.target.shape[-1]))
    return _Prior(jnp.int32(0), params, _optimizer(settings).init(params), average, jnp.float32(0))


@functools.partial(jax.jit, static_argnames="settings")
def _trained(now: _Prior, task: _Task, last: jax.Array, settings: _Settings) -> _Prior:
    """Train up to a step, so that stretches of any length are one program, and give the same bits."""
    number = jnp.sum(task.known)
    middle = jnp.sum(jnp.where(task.known, task.target, 0), (1, 2), keepdims=True) / number

    def loss(params: Any, given: jax.Array) -> tuple[jax.Array, jax.Array]:
        drawn = middle + jax.vmap(lambda params, x: settings.network.apply(params, x[None])[0])(params, given)
        errors = jnp.where(task.known, (drawn - task.target) ** 2, 0)
        return jnp.sum(errors) / (number * task.target.shape[-1]), drawn

    def step(_: jax.Array, now: _Prior) -> _Prior:
        moved = jax.random.normal(jax.random.fold_in(task.key, now.step), task.noise.shape)
        slope = jax.value_and_grad(loss, has_aux=True)
        (error, drawn), slopes = slope(now.params, task.noise + settings.jitter * moved)
        updates, optimizer = _optimizer(settings).update(slopes, now.optimizer, now.params)
        average = exponential_average(now.average, drawn, decay=_DECAY)
        return _Prior(now.step + 1, optax.apply_updates(now.params, updates), optimizer, average, error / len(drawn))

    return jax.lax.fori_loop(now.step, last, step, now)


def _optimizer(settings: _Settings) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(settings.rate, settings.steps))
