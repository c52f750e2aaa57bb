"""Taking noise away by a network that is trained on the one noisy picture, when nothing else is there to learn from.

How far an estimate is from the picture without noise can be told without that picture: by Stein's unbiased estimate of the risk,
``|f(y) - y|^2 / noise^2 - n + 2 div f(y)`` in units of the noise's variance, for white Gaussian noise. The divergence is that along one
random direction of signs, a difference of two outputs. The network begins with what non-local means have found, which is part of f: its
derivatives along a few directions are taken once, so that what it copies of the noise counts too.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.models import SmallDenoiser
from jaxart.tasks.restore.denoisers import nonlocal_passes
from jaxart.tasks.restore.noise import checked, levels
from jaxart.training import AveragedState as State
from jaxart.training import Hook, Recipe, exponential_average, fit, gradient_update

_LEAST = 1e-3  # noise in whose units the network works
_MOVED = 0.1  # by how much the picture is moved along a direction, in units of the noise
_AVERAGED = 0.98  # of the weights' average that stays in a step
_LARGEST_GRADIENT = 1.0


class Info(NamedTuple):
    """The estimated risk of the parts of a step: mean squared error in units of the noise's variance; the norm of its gradient."""

    risk: jax.Array
    gradient: jax.Array


class _Plan(NamedTuple):
    """What the program of a step depends on."""

    network: Any
    steps: int
    batch: int
    side: int
    rate: float

    def optimizer(self) -> optax.GradientTransformation:
        rate = optax.cosine_decay_schedule(self.rate, self.steps)
        return optax.chain(optax.clip_by_global_norm(_LARGEST_GRADIENT), optax.adam(rate, b2=0.99))


def denoise_self_supervised(
    key: Key,
    picture: Array,
    noise: Array | float,
    *,
    network: Any = None,
    steps: int = 300,
    batch: int = 4,
    side: int = 64,
    directions: int = 4,
    rate: float = 2e-3,
    hooks: tuple[Hook, ...] = (),
) -> jax.Array:
    """Take white Gaussian noise away by a network that is trained on this picture. Equal keys give equal pictures, bit for bit.

    Args:
        key: typed key.
        picture: ``[H, W, C]``, float, as the noise left it: not clipped.
        noise: a number, ``[C]`` or ``[H, W]``.
        network: module ``[B, H, W, 4 C] -> [B, H, W, C]`` for even sides, that begins at zero; by default a `models.SmallDenoiser`.
        steps: of the training.
        batch: parts of the picture in a step.
        side: of a part, in pixels, even.
        directions: along which the derivative of non-local means is taken; each takes the memory of three pictures.
        rate: of Adam's, at the beginning.
        hooks: as of `training.fit`; info is an `Info`.

    Returns:
        ``[H, W, C]``, the mean of what the network makes of the picture turned and mirrored in all ways; where the noise is 0 the picture
        bit for bit.

    Raises:
        ValueError: as `denoise_total_variation`; numbers below 1, an odd side.
        NotFiniteError: from `training.fit`.

    Reference: Stein, Estimation of the Mean of a Multivariate Normal Distribution, 1981; the divergence along a random direction: Ramani,
    Blu and Unser, Monte-Carlo SURE, 2008; networks trained by it: Soltanayev and Chun, Training Deep Learning Based Denoisers without
    Ground Truth Data, 2018. Departure: the network adds to non-local means.
    """
    if min(steps, batch, side, directions) < 1 or side % 2:
        raise ValueError(
            f"expected steps, batch and directions of at least 1 and an even side, got {steps}, {batch}, {directions} and {side}."
        )
    picture = checked(picture)
    level = jnp.broadcast_to(levels(noise, picture), picture.shape)
    height, width, channels = picture.shape
    pads = ((0, height % 2), (0, width % 2), (0, 0))
    padded, scale = (jnp.pad(x, pads, mode="symmetric") for x in (picture, jnp.maximum(level, _LEAST)))
    network = SmallDenoiser(channels) if network is None else network
    plan = _Plan(network, steps, batch, min(side, *padded.shape[:2]), rate)
    key, drawn = jax.random.split(key)
    level_of_means = scale[..., 0] if jnp.ndim(noise) == 2 else scale[0, 0]
    known = _known(drawn, padded, scale, level_of_means, directions)
    init, step = _programs(plan, channels)
    state, _ = fit(Recipe(init, step, known), key=key, steps=steps, hooks=hooks)
    found = _ensembled(network)(state.average, known["seen"], scale)
    return jnp.where(level > 0, found[:height, :width], picture)


def _known(key: Key, picture: jax.Array, scale: jax.Array, noise: jax.Array, directions: int) -> dict[str, jax.Array]:
    """Return what the network sees of the picture, how that changes along random directions, and the scale of the noise."""
    signs = jax.random.rademacher(key, (directions, *picture.shape), picture.dtype) * scale[None]
    found = [_with_change(picture, each, noise) for each in signs]
    return {"seen": found[0][0], "changes": jnp.stack([change for _, change in found]), "scale": scale}


@jax.jit
def _with_change(picture: jax.Array, direction: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the picture and what non-local means found in both passes, ``[H, W, 3 C]``, and its derivative along a direction."""

    def seen(picture: jax.Array) -> jax.Array:
        return jnp.concatenate([picture, *nonlocal_passes(picture, noise)], axis=-1)

    return jax.jvp(seen, (picture,), (direction,))


def _estimate(network: Any, params: PyTree, seen: jax.Array, scale: jax.Array) -> jax.Array:
    """Return pictures ``[B, h, w, C]`` without noise, of what is seen of them ``[B, h, w, 3 C]``."""
    noisy, first, again = jnp.split(seen, 3, axis=-1)
    inputs = [(noisy - again) / scale, 2 * (first - again) / scale, 2 * first - 1, 2 * again - 1]
    return again + scale * network.apply(params, jnp.concatenate(inputs, axis=-1))


@functools.lru_cache(maxsize=8)
def _programs(plan: _Plan, channels: int) -> tuple[Callable[[Key], State], Callable[..., tuple[State, Info]]]:
    optimizer = plan.optimizer()

    def init(key: Key) -> State:
        params = plan.network.init(key, jnp.zeros((1, plan.side, plan.side, 4 * channels)))
        return State(jnp.int32(0), params, optimizer.init(params), jax.tree.map(jnp.copy, params))

    def step(key: Key, state: State, batch: None, frozen: dict[str, jax.Array]) -> tuple[State, Info]:
        seen, change, scale = _parts(key, frozen, plan)
        noisy, along = (x[..., :channels] / scale for x in (seen, change))

        def risk(params: PyTree) -> tuple[jax.Array, None]:
            both = jnp.concatenate([seen, seen + _MOVED * change])
            here, moved = jnp.split(_estimate(plan.network, params, both, jnp.concatenate([scale, scale])), 2)
            here, moved = here / scale, moved / scale
            divergence = jnp.mean(along * (moved - here)) / _MOVED
            return jnp.mean((here - noisy) ** 2) - 1 + 2 * divergence, None

        done = gradient_update(risk, optimizer, state.params, state.opt_state)
        decay = jnp.minimum(_AVERAGED, (state.step + 1.0) / (state.step + 10.0))  # the first iterates are forgotten
        average = exponential_average(state.average, done.params, decay=decay)
        told = Info(done.loss, optax.tree.norm(done.gradient))
        return State(state.step + 1, done.params, done.opt_state, average), told

    return init, step


def _parts(key: Key, frozen: dict[str, jax.Array], plan: _Plan) -> list[jax.Array]:
    """Return random parts ``[B, side, side, ...]``, turned and mirrored: what is seen, its change along a direction, the scale."""
    corners, which, turned = jax.random.split(key, 3)
    height, width, _ = frozen["scale"].shape
    room = jnp.array([height - plan.side + 1, width - plan.side + 1])
    places = jax.random.randint(corners, (plan.batch, 2), 0, room[None])
    directions = jax.random.randint(which, (plan.batch,), 0, len(frozen["changes"]))
    flips = jax.random.bernoulli(turned, 0.5, (3, plan.batch, 1, 1, 1))

    def part(x: jax.Array, place: jax.Array, direction: jax.Array) -> jax.Array:
        size = (1, plan.side, plan.side, x.shape[-1])
        return jax.lax.dynamic_slice(x, (direction, place[0], place[1], 0), size)[0]

    def turn(x: jax.Array) -> jax.Array:
        for flip, mirrored in zip(flips, (_upside_down, _mirrored, _transposed), strict=True):
            x = jnp.where(flip, mirrored(x), x)
        return x

    first = jnp.zeros_like(directions)
    wholes = ((frozen["seen"][None], first), (frozen["changes"], directions), (frozen["scale"][None], first))
    return [turn(jax.vmap(part, in_axes=(None, 0, 0))(whole, places, number)) for whole, number in wholes]


def _upside_down(x: jax.Array) -> jax.Array:
    return x[..., ::-1, :, :]


def _mirrored(x: jax.Array) -> jax.Array:
    return x[..., ::-1, :]


def _transposed(x: jax.Array) -> jax.Array:
    return x.swapaxes(-3, -2)


@functools.lru_cache(maxsize=8)
def _ensembled(network: Any) -> Callable[[PyTree, jax.Array, jax.Array], jax.Array]:
    """Return the mean of what a network makes of a picture in all eight positions, as a program."""

    def views(x: jax.Array) -> jax.Array:
        pair = jnp.stack([x, _upside_down(x)])
        return jnp.concatenate([pair, _mirrored(pair)])

    def back(found: jax.Array) -> jax.Array:
        one, other, mirrored, both = found
        return (one + _upside_down(other) + _mirrored(mirrored) + _mirrored(_upside_down(both))) / 4

    def four(params: PyTree, seen: jax.Array, scale: jax.Array) -> jax.Array:
        one = lambda pair: _estimate(network, params, pair[0][None], pair[1][None])[0]  # noqa: E731
        return back(jax.lax.map(one, (views(seen), views(scale))))  # one after the other, in the memory of one

    @jax.jit
    def program(params: PyTree, seen: jax.Array, scale: jax.Array) -> jax.Array:
        turned = four(params, _transposed(seen), _transposed(scale))
        return (four(params, seen, scale) + _transposed(turned)) / 2

    return program
