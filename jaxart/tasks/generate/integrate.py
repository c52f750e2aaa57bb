"""Drawing pictures with a flow: integrating its velocity from noise, freely, from a given picture, around one, or toward a style.

A latent is the noise itself, flattened, so that a flow is a generator like others: walks, sheets and scores know no difference. What
guides a drawing does so through the picture at which the path is aimed, ``x + (1 - t) v``: a function may adjust it at every step.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Image, Key, PyTree, keys_of_bits
from jaxart.models import linear_velocity
from jaxart.tasks.generate.flow_matching import between
from jaxart.tasks.generate.sample import Generate
from jaxart.training import apply_in_batches

_CLEAR_FROM = 0.5  # time from which autoguidance acts; earlier it made light and dark of whole pictures too strong

Adjust = Callable[[PyTree, Array, Array], Array]  # arrays, aimed pictures [B, H, W, C] in [-1, 1], time -> pictures


class Solver(NamedTuple):
    """How a flow is integrated; hashable, so that equal solvers share a program.

    Fields:
        network: ``(x [B, *shape], time [B], label [B]) -> velocity``.
        shape: of one picture.
        steps: of Heun's method, which looks twice a step, but once in the last; of Euler's, where `heun` is false, which looks once.
        guidance: w of ``v_none + w (v_label - v_none)``; 1 is the class itself, more is more typical of it, and less diverse.
        classes: that the network knows; 0 for none.
        autoguidance: w of ``v + w (v - v_linear)`` in the second half of the way, v_linear being the best linear guess: more is clearer,
            and less varied; 0 is what the network says. The network must have a `scale`, as `models.VelocityNet` has.
        adjust: functions of the pictures that are aimed at, one after the other; each has arrays of its own.
        start_time: from 0 (noise alone) to 1: where the path begins on the way to a given picture.
        repeats: how often each step is taken, from new noise: what is adjusted and what is not fit better.
        heun: False for a flow's `student`, whose steps are aimed as they are.
    """

    network: Any
    shape: tuple[int, ...]
    steps: int = 20
    guidance: float = 1.0
    classes: int = 0
    autoguidance: float = 0.0
    adjust: tuple[Adjust, ...] = ()
    start_time: float = 0.0
    repeats: int = 1
    heun: bool = True


def flow_of(solver: Solver, params: PyTree, *, start: Array | None = None, adjust: tuple[PyTree, ...] = ()) -> Generate:
    """Return a flow, ready to draw: latents are noise ``[B, H W C]``.

    Args:
        solver: how it is integrated.
        params: of its network, such as ``state.average``.
        start: picture in [-1, 1] from which drawing begins, ``[H, W, C]``, where the solver's `start_time` is above 0.
        adjust: arrays of each of the solver's functions.

    Raises:
        ValueError: a solver without steps, one that begins on no path or at no picture, or other arrays than functions.

    Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, algorithm 1 (Heun's method); Ho and
    Salimans, Classifier-Free Diffusion Guidance, 2022, eq. 6; repeats: Lugmayr et al., RePaint, 2022, section 4.2; autoguidance: Karras et
    al., Guiding a Diffusion Model with a Bad Version of Itself, 2024, section 3, in an interval of times as Kynkaanniemi et al., Applying
    Guidance in a Limited Interval, 2024. Departure: the bad version is the best linear guess, which costs neither training nor time, and is
    too soft in the way of a network that has not learned for long.
    """
    if min(solver.steps, solver.repeats) < 1 or not 0 <= solver.start_time < 1:
        raise ValueError(
            "flow_of: expected steps and repeats of at least 1 and a start_time in [0, 1), got "
            f"{solver.steps}, {solver.repeats} and {solver.start_time}."
        )
    if len(adjust) != len(solver.adjust) or (solver.start_time > 0) != (start is not None):
        raise ValueError(
            f"flow_of: expected the arrays of {len(solver.adjust)} functions and a start where start_time is above 0, got "
            f"{len(adjust)}, and start_time {solver.start_time} with{'out' if start is None else ''} a start."
        )
    variables = {"params": params, "start": start, "adjust": adjust}
    return Generate(_draw, solver, jax.tree.map(jnp.asarray, variables))


def invert(generate: Generate, picture: Image, label: Array | np.ndarray, *, corrections: int = 3) -> np.ndarray:
    """Return the latents of pictures to a flow, by integrating it from the picture back to noise.

    Args:
        generate: from `flow_of`, unguided.
        picture: ``[B, H, W, C]`` in [0, 1].
        label: ``[B]`` int32.
        corrections: how often each step backwards is corrected toward the one that drawing takes; 0 is Heun's method, backwards.

    Returns:
        z, float32 ``[B, H W C]``; drawing them gives about the pictures.

    Raises:
        ValueError: no flow, a student of one, or one that begins at a picture or is adjusted.
    """
    solver = generate.network
    plain = isinstance(solver, Solver) and solver.heun and solver.repeats == 1 and not solver.start_time
    if not plain or solver.adjust:
        raise ValueError("invert: expected a flow of Heun's method, from noise and unguided; project others.")
    return apply_in_batches(
        _program_backward(corrections),
        *generate[1:],
        jnp.asarray(picture),
        jnp.asarray(label),
        batch=min(16, len(picture)),
    )


@functools.lru_cache(maxsize=8)
def _program_backward(corrections: int) -> Callable:
    return functools.partial(_backward, corrections=corrections)


def _backward(solver: Solver, variables: PyTree, picture: Array, label: Array, *, corrections: int) -> jax.Array:
    """Return the noise, flattened, of which drawing makes about these pictures in [0, 1]."""
    times = jnp.linspace(0.0, 1.0, solver.steps + 1)
    aim = functools.partial(_aim, solver, variables, label)
    slope = functools.partial(_velocity, solver, variables["params"], label=label)

    def step(x, now, after, advance):
        first = slope(x, after)
        before = x - (after - now) * (first + slope(x - (after - now) * first, now)) / 2
        return jax.lax.fori_loop(0, corrections, lambda _, each: each + x - advance(aim, each, now, after), before)

    def inner(number, x):
        return step(x, times[solver.steps - 2 - number], times[solver.steps - 1 - number], _heun)

    x = step(2 * picture - 1, times[-2], times[-1], _euler)  # drawing's last step is Euler's
    x = jax.lax.fori_loop(0, solver.steps - 1, inner, x)
    return x.reshape(len(x), -1)


def _draw(solver: Solver, variables: PyTree, z: Array, label: Array) -> jax.Array:
    x = noise = z.reshape(-1, *solver.shape)
    if solver.start_time:
        start = jnp.broadcast_to(variables["start"], noise.shape)
        x = between(noise, start, jnp.full(noise.shape[:1], solver.start_time))
    times = jnp.linspace(solver.start_time, 1.0, solver.steps + 1)
    aim = functools.partial(_aim, solver, variables, label)
    keys, advance = keys_of_bits(z), _heun if solver.heun else _euler

    def step(number, x):
        index, turn = jnp.divmod(number, solver.repeats)
        now, after = times[index], times[index + 1]
        x = jax.lax.cond(turn > 0, lambda x: _back(_folded(keys, number), x, after, now), lambda x: x, x)
        return advance(aim, x, now, after)

    x = jax.lax.fori_loop(0, (solver.steps - 1) * solver.repeats, step, x)
    return (aim(x, times[-2]) + 1) / 2  # the last step, which leads to the picture that is aimed at


def _heun(aim: Callable, x: jax.Array, now: jax.Array, after: jax.Array) -> jax.Array:
    first = (aim(x, now) - x) / (1 - now)
    there = x + (after - now) * first
    second = (aim(there, after) - there) / (1 - after)
    return x + (after - now) * (first + second) / 2


def _euler(aim: Callable, x: jax.Array, now: jax.Array, after: jax.Array) -> jax.Array:
    return x + (after - now) / (1 - now) * (aim(x, now) - x)


def _aim(solver: Solver, variables: PyTree, label: Array, x: jax.Array, time: jax.Array) -> jax.Array:
    """Return the pictures to which the paths lead if they go on straight, adjusted."""
    aimed = x + (1 - time) * _velocity(solver, variables["params"], x, time, label)
    for adjust, arrays in zip(solver.adjust, variables["adjust"], strict=True):
        aimed = adjust(arrays, aimed, time)
    return aimed


def _velocity(solver: Solver, params: PyTree, x: jax.Array, time: jax.Array, label: Array) -> jax.Array:
    found = _toward_label(solver, params, x, time, label)
    if not solver.autoguidance:
        return found
    bad = linear_velocity(x, jnp.full(x.shape[:1], time), scale=solver.network.scale)
    return found + jnp.where(time >= _CLEAR_FROM, solver.autoguidance, 0.0) * (found - bad)


def _toward_label(solver: Solver, params: PyTree, x: jax.Array, time: jax.Array, label: Array) -> jax.Array:
    def apply(x, label):
        return solver.network.apply({"params": params}, x, jnp.full(x.shape[:1], time), label)

    if not solver.classes or solver.guidance == 1:
        return apply(x, label)
    both = apply(jnp.concatenate([x, x]), jnp.concatenate([label, jnp.full_like(label, solver.classes)]))
    given, none = jnp.split(both, 2)
    return none + solver.guidance * (given - none)


def _back(keys: Key, x: jax.Array, after: jax.Array, now: jax.Array) -> jax.Array:
    """Return to an earlier time by new noise: what was ``(1 - t') noise + t' picture`` becomes ``(1 - t) noise + t picture``."""
    share = now / after
    spread = jnp.sqrt((1 - now) ** 2 - (share * (1 - after)) ** 2)
    return share * x + spread * jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(keys)


def _folded(keys: Key, number: Array) -> Key:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
