"""Adaptive discriminator augmentation: changes of pictures so seldom that they are not learned, and how often they are to act.

Pictures are in [-1, 1]. All that moves pixels is one matrix per example and one warp, all that changes colors another matrix.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key, check_choice
from jaxart.data.augmentation import cutout
from jaxart.ops import affine_warp

ADAPTIVE_GROUPS = ("blit", "geometric", "color", "noise", "cutout")


class Adaptive(NamedTuple):
    """How often a discriminator's pictures are changed, and what was seen since that was last set; float32 scalars, part of a state.

    Fields:
        probability: of each change, in [0, 1].
        signs: sum of the signs of what the discriminator said of real examples.
        count: of these examples.
    """

    probability: jax.Array
    signs: jax.Array
    count: jax.Array


def start_adaptive(*, probability: float = 0.0) -> Adaptive:
    """Return a state in which nothing was seen yet.

    Args:
        probability: to begin with, in [0, 1].

    Raises:
        ValueError: another probability.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"start_adaptive: expected a probability in [0, 1], got {probability}.")
    return Adaptive(jnp.float32(probability), jnp.float32(0), jnp.float32(0))


def update_adaptive(
    adaptive: Adaptive, sign: Array, count: Array, due: Array, *, target: float = 0.6, span: float = 500_000
) -> Adaptive:
    """Take note of a step; where it is due, raise the probability if the discriminator overfits and lower it otherwise.

    r is the mean sign since the last time: ``p <- clip(p + sign(r - target) count / span, 0, 1)``.

    Args:
        adaptive: before the step.
        sign: mean of ``sign D(x)`` over the real examples of the step, on all devices: 1 where it knows them all, 0 where it guesses.
        count: of these examples.
        due: bool, whether the probability is to be set, every fourth step in the paper.
        target: r at which nothing changes.
        span: examples in which the probability goes from 0 to 1.

    Reference: Karras et al., Training Generative Adversarial Networks with Limited Data, 2020, section 3.

    >>> after = update_adaptive(start_adaptive(), jnp.float32(0.9), jnp.float32(1000), jnp.bool_(True), span=10_000)
    >>> round(float(after.probability), 3), float(after.count)
    (0.1, 0.0)
    """
    signs, seen = adaptive.signs + sign * count, adaptive.count + count
    change = jnp.sign(signs / jnp.maximum(seen, 1) - target) * seen / span
    moved = jnp.clip(adaptive.probability + change, 0, 1)
    whole = Adaptive(moved, jnp.zeros_like(signs), jnp.zeros_like(seen))
    return jax.tree.map(
        lambda set_, kept: jnp.where(due, set_, kept), whole, Adaptive(adaptive.probability, signs, seen)
    )


def adaptive_augment(
    keys: Key,
    images: Array,
    probability: float | Array,
    *,
    groups: Sequence[str] = ("blit", "geometric", "color"),
) -> jax.Array:
    """Change each picture in many ways, each with the same probability, as a discriminator is to see it.

    blit: mirrored, turned by quarters, shifted by whole pixels (up to 1/8 of the side). geometric: scaled by 2^N(0, 0.2), turned by any
    angle, stretched by 2^N(0, 0.2), turned again, shifted by N(0, 1/8) of the side. color: brightness + N(0, 0.2), contrast
    x 2^N(0, 0.5), luma inverted, hue turned by any angle, saturation x 2^N(0, 1). noise: normal, of deviation |N(0, 0.1)|. cutout: a square
    of half the side becomes 0. Beyond its border a picture is mirrored. Pictures of one channel are taken for gray ones. Where nothing is
    changed the picture is returned as it is, bit for bit.

    Gradients pass to the pictures, any number of times; none to the probability.

    Args:
        keys: ``[B]``, one for each example.
        images: ``[B, S, S, C]`` in [-1, 1], C of 1 or 3.
        probability: of each change, in [0, 1]; it may be traced. The two turns by an angle have ``1 - sqrt(1 - p)`` each.
        groups: some of "blit", "geometric", "color", "noise", "cutout".

    Returns:
        ``[B, S, S, C]``, not clipped.

    Raises:
        ValueError: an unknown group, pictures that are not square, or other channels.

    Reference: Karras et al. 2020, section 2 and appendix B. Departures: the picture is doubled by Lanczos's filter of six pixels
    and looked up at its own size, where the paper doubles by a wavelet's of twelve, looks up at twice the size and halves with a low-pass:
    turned pictures lose some of their finest detail, and those that are made smaller alias, alike on both sides; no filters of bands of
    frequencies.
    """
    for group in groups:
        check_choice("groups", group, ADAPTIVE_GROUPS)
    if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3):
        raise ValueError(f"adaptive_augment: expected pictures [B, S, S, 1 or 3], got {images.shape}.")
    key_uniform, key_normal, key_noise, key_cutout = _split(keys, 4)
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (21,)))(
        key_uniform
    ).T  # one draw, since each takes long to compile
    normal = jax.vmap(lambda key: jax.random.normal(key, (7,)))(key_normal).T
    chance = jnp.asarray(probability, jnp.float32)
    moves = _blit(uniform[:7], chance, images.shape[1]) if "blit" in groups else []
    moves += _geometric(uniform[7:14], normal[:4], chance, images.shape[1]) if "geometric" in groups else []
    if moves:
        matrix, moved = _composed(moves, identity=jnp.eye(3))
        images = _where(moved, affine_warp(images, matrix[:, :2], sharp=True), images)
    if "color" in groups:
        matrix, colored = _composed(
            _color(uniform[14:], normal[4:], chance)[::-1], identity=jnp.eye(4)
        )  # the last stands to the left
        images = _where(colored, _recolored(images, matrix), images)
    if "noise" in groups:
        images = jax.vmap(lambda key, image: _noisy(key, image, chance))(key_noise, images)
    if "cutout" in groups:
        images = jax.vmap(lambda key, image: cutout(key, image, probability=chance))(key_cutout, images)  # pyright: ignore
    return images


def _split(keys: Key, count: int) -> Key:
    return jnp.moveaxis(jax.vmap(lambda key: jax.random.split(key, count))(keys), 1, 0)  # [count, B]


_Change = tuple[jax.Array, jax.Array]  # matrices [B, N, N], and whether they are taken [B]


def _composed(changes: list[_Change], *, identity: jax.Array) -> _Change:
    """Multiply the matrices that are taken, and tell of which examples any is."""
    whole = jnp.broadcast_to(identity, changes[0][0].shape)
    for matrix, taken in changes:
        chosen = _where(taken, matrix, jnp.broadcast_to(identity, matrix.shape))
        whole = jnp.einsum("bij,bjk->bik", whole, chosen, precision="highest")
    return whole, jnp.any(jnp.stack([taken for _, taken in changes]), axis=0)


def _where(taken: jax.Array, changed: Array, kept: Array) -> jax.Array:
    return jnp.where(taken.reshape(-1, *(1,) * (changed.ndim - 1)), changed, kept)


def _blit(uniform: jax.Array, chance: jax.Array, size: int) -> list[_Change]:
    """Return where pixels come from when a picture is mirrored, turned by quarters and shifted by whole pixels, in this order."""
    flip, turn, shift, mirrored, quarters, down, right = uniform
    mirror = 1 - 2 * jnp.floor(2 * mirrored)
    quarter = jnp.floor(4 * quarters).astype(jnp.int32)
    circle = jnp.float32([1, 0, -1, 0])
    rows, columns = (jnp.round((2 * u - 1) * size / 8) for u in (down, right))
    return [
        (_scaling(jnp.ones_like(mirror), mirror), flip < chance),
        (_turning(circle[quarter], circle[(quarter + 3) % 4]), turn < chance),
        (_shifting(rows, columns), shift < chance),
    ]


def _geometric(uniform: jax.Array, normal: jax.Array, chance: jax.Array, size: int) -> list[_Change]:
    """Return where pixels come from when a picture is scaled, turned, stretched, turned and shifted, in this order."""
    scale, turn, stretch, turn_again, shift, angle, angle_again = uniform
    larger, wider, down, right = normal
    smaller, narrower = 2 ** (-0.2 * larger), 2 ** (-0.2 * wider)
    angles = [(2 * u - 1) * jnp.pi for u in (angle, angle_again)]
    turns = [_turning(jnp.cos(each), jnp.sin(each)) for each in angles]
    once = 1 - jnp.sqrt(1 - chance)  # so that the probability of one turn or both is that of the others
    return [
        (_scaling(smaller, smaller), scale < chance),
        (turns[0], turn < once),
        (_scaling(1 / narrower, narrower), stretch < chance),
        (turns[1], turn_again < once),
        (_shifting(down * size / 8, right * size / 8), shift < chance),
    ]


def _matrix(*rows: Sequence[jax.Array | float]) -> jax.Array:
    """Return matrices ``[B, N, N]`` of rows of numbers, some ``[B]``."""
    size = next(len(entry) for row in rows for entry in row if isinstance(entry, jax.Array))
    filled = [[jnp.broadcast_to(jnp.float32(entry), (size,)) for entry in row] for row in rows]
    return jnp.stack([jnp.stack(row, axis=-1) for row in filled], axis=-2)


def _scaling(rows: jax.Array, columns: jax.Array) -> jax.Array:
    return _matrix((rows, 0.0, 0.0), (0.0, columns, 0.0), (0.0, 0.0, 1.0))


def _turning(cos: jax.Array, sin: jax.Array) -> jax.Array:
    return _matrix((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0))


def _shifting(rows: jax.Array, columns: jax.Array) -> jax.Array:
    return _matrix((1.0, 0.0, -rows), (0.0, 1.0, -columns), (0.0, 0.0, 1.0))


def _color(uniform: jax.Array, normal: jax.Array, chance: jax.Array) -> list[_Change]:
    """Return maps of (red, green, blue, 1), in the order in which they act: brightness, contrast, luma, hue, saturation."""
    *chances, inverted, angle = uniform
    brighter, harder, stronger = normal
    one = jnp.ones_like(angle)
    luma, hue = jnp.full((3, 3), 1 / 3), (2 * angle - 1) * jnp.pi
    around = jnp.float32([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5  # the product with the axis of grays
    eye = jnp.eye(3)
    parts = [
        (_sum((one, eye)), 0.2 * brighter),
        (_sum((2 ** (0.5 * harder), eye)), 0 * one),
        (_sum((one, eye), (-2 * jnp.floor(2 * inverted), luma)), 0 * one),
        (_sum((jnp.cos(hue), eye), (1 - jnp.cos(hue), luma), (jnp.sin(hue), around)), 0 * one),
        (_sum((2**stronger, eye - luma), (one, luma)), 0 * one),
    ]
    taken = [each < chance for each in chances]
    return [(_affine(matrix, shift), each) for (matrix, shift), each in zip(parts, taken, strict=True)]


def _sum(*terms: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Return weighted sums of matrices, ``[B, 3, 3]``."""
    return sum(weight[:, None, None] * matrix[None] for weight, matrix in terms)  # pyright: ignore


def _affine(matrix: jax.Array, shift: jax.Array) -> jax.Array:
    """Return ``[B, 4, 4]`` that applies a matrix and adds the same to all channels."""
    column = jnp.broadcast_to(shift[:, None, None], (len(shift), 3, 1))
    last = jnp.broadcast_to(jnp.float32([[[0, 0, 0, 1]]]), (len(shift), 1, 4))
    return jnp.concatenate([jnp.concatenate([matrix, column], axis=2), last], axis=1)


def _recolored(images: Array, matrix: jax.Array) -> jax.Array:
    """Apply a map of (red, green, blue, 1) to each pixel; gray pictures get the mean of what it makes of their gray."""
    if images.shape[-1] == 1:
        mean = jnp.mean(matrix[:, :3], axis=1)[:, None, None]  # [B, 1, 1, 4]
        return images * jnp.sum(mean[..., :3], -1, keepdims=True).astype(images.dtype) + mean[..., 3:].astype(
            images.dtype
        )
    columns = jnp.moveaxis(matrix[:, :3], 2, 0)[:, :, None, None].astype(images.dtype)  # [4, B, 1, 1, 3]
    return sum((images[..., each : each + 1] * columns[each] for each in range(3)), columns[3])


def _noisy(key: Key, image: Array, chance: jax.Array) -> jax.Array:
    key_chance, key_strength, key_noise = jax.random.split(key, 3)
    strength = 0.1 * jnp.abs(jax.random.normal(key_strength, ()))
    noise = (strength * jax.random.normal(key_noise, image.shape)).astype(image.dtype)
    return jnp.where(jax.random.uniform(key_chance) < chance, image + noise, image)
