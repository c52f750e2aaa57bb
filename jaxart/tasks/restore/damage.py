"""What restorers learn from: pictures and how they came to harm. Functions ``(key, picture) -> Example`` of one picture each.

What a network is given are the damaged picture and one plane that says what is known of the damage: how noisy it is, what is missing,
whether its way is unknown. What a network makes is added to what it begins with, which is as good as can be had without learning.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key
from jaxart.data import degrade
from jaxart.tasks.restore.fill import fill_biharmonic

NOISIEST = 75 / 255  # standard deviation up to which networks learn
PLATE_TOLERANCE = 1e-3  # of the plates that networks begin with: half the time of an exact one, 0.1 dB below
_SEVERAL = 4  # thin holes and squares of a picture, times over: few pixels would teach little
_KNOWN = 0.5  # of pictures whose noise is told


class Example(NamedTuple):
    """What one picture teaches.

    Fields:
        given: what the network looks at, ``[h, w, C + 1]``.
        begun: what its result is added to, ``[H, W, C]``.
        target: what should come out, ``[H, W, C]``.
        weight: where errors count, ``[H, W, 1]``.
    """

    given: jax.Array
    begun: jax.Array
    target: jax.Array
    weight: jax.Array


Damage = Callable[[Key, jax.Array], Example]


def noisy(key: Key, image: Array) -> Example:
    """Make a picture noisy: evenly or by its brightness, in all channels alike or not; half the time the network is told how much.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
    """
    draw, noise = jax.random.split(key)
    level, told, uneven, slope = jax.random.uniform(draw, (4,))
    level = NOISIEST * level
    light = jnp.mean(image, axis=-1, keepdims=True)
    of_light = level * jnp.sqrt(
        jnp.clip(1 + (2 * slope - 1) * (2 * light - 1), 0.02)
    )  # as the grain of a film or of a sensor
    deviation = jnp.where(uneven < 0.3, of_light, level)
    given = degrade.add_noise(noise, image, deviation, gray=0.25)
    plane = jnp.where(told < _KNOWN, jnp.broadcast_to(deviation, light.shape), 0)
    return Example(jnp.concatenate([given, plane], axis=-1), given, image, jnp.ones_like(light))


def small(key: Key, image: Array, *, scale: int, old: float = 0.5) -> Example:
    """Shrink a picture, by the cubic kernel alone or on one of the ways of `data.degrade.old_photograph`; the network is told which.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float; sides are multiples of `scale`.
        scale: how many times.
        old: share of the second.
    """
    chance, draw = jax.random.split(key)
    size = (image.shape[0] // scale, image.shape[1] // scale)
    is_old = jax.random.uniform(chance) < old
    shrunk = degrade.resampled(image, size)
    shrunk = jnp.where(is_old, degrade.old_photograph(draw, image, size), shrunk)
    plane = jnp.full((*size, 1), is_old, image.dtype)
    begun = degrade.resampled(shrunk, (image.shape[0], image.shape[1]))
    return Example(jnp.concatenate([shrunk, plane], axis=-1), begun, image, jnp.ones((*image.shape[:2], 1)))


def torn(key: Key, image: Array) -> Example:
    """Take pixels away: along strokes, in squares, or here and there; errors count there alone.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
    """
    which, lines, thin, squares, dots = jax.random.split(key, 5)
    size = (image.shape[0], image.shape[1])
    share, chance = jax.random.uniform(which, (2,))
    several = lambda key, draw: jnp.any(jax.vmap(draw)(jax.random.split(key, _SEVERAL)), axis=0)  # noqa: E731
    masks = [
        degrade.strokes(lines, size),
        several(thin, functools.partial(degrade.strokes, size=size, thickest=2.5 / max(size))),
        several(squares, functools.partial(_square, size=size)),
        jax.random.uniform(dots, size) < 0.1 + 0.8 * share,
    ]
    holes = jnp.stack(masks)[jnp.floor(4 * chance).astype(jnp.int32)]
    return torn_by(image, holes)


def _square(key: Key, size: tuple[int, int]) -> jax.Array:
    """Return a rectangle somewhere, bool ``[H, W]``: sides of 4 pixels to a third of the picture's, most of them short."""
    drawn = jax.random.uniform(key, (4,))
    half = [0.5 * (4 + (0.35 * length - 4) * drawn[n] ** 2) for n, length in enumerate(size)]
    center = [length * drawn[2 + n] for n, length in enumerate(size)]
    rows, columns = (jnp.abs(jnp.arange(n) + 0.5 - c) <= h for n, c, h in zip(size, center, half, strict=True))
    return rows[:, None] & columns[None]


def torn_by(image: Array, holes: Array) -> Example:
    """Take pixels away that are named.

    Args:
        image: ``[H, W, C]`` in [0, 1], float.
        holes: bool ``[H, W]``.
    """
    share = jnp.asarray(holes)[..., None].astype(jnp.float32)
    begun = fill_biharmonic(image, holes, tolerance=PLATE_TOLERANCE)
    return Example(jnp.concatenate([begun, share], axis=-1), begun, image, share)


def cracked(key: Key, image: Array) -> Example:
    """Damage a picture by craquelure, by scratches and dust, by both or not at all; what should come out is how damaged each pixel is.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
    """
    which, net, lines, spoil = jax.random.split(key, 4)
    chance, level = jax.random.uniform(which, (2,))
    cracks = degrade.crack(net, image)
    scratches = degrade.scratch(lines, image)
    both = degrade.scratch(lines, cracks.image)
    kinds: Sequence[tuple[jax.Array, jax.Array]] = (
        cracks,
        scratches,
        (both.image, jnp.maximum(both.share, cracks.share)),
        (image, jnp.zeros_like(cracks.share)),
    )
    number = jnp.searchsorted(jnp.array([0.6, 0.8, 0.9]), chance)
    made, share = (jnp.stack([kind[n] for kind in kinds])[number] for n in (0, 1))
    made = degrade.add_noise(spoil, made, level**3 * 20 / 255)
    everywhere = jnp.ones_like(share)  # a network without constants is given one
    given = jnp.concatenate([made, everywhere], axis=-1)
    return Example(given, jnp.zeros_like(share), (share > 0).astype(jnp.float32), everywhere)
