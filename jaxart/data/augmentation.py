"""Augmentations: pure functions of a key and one picture, made to run inside a step.

Each is ``f(key, image [H, W, C], *, probability, ...) -> [H, W, C]`` with a key of the example's own, so that what happens to an
example does not depend on the batch around it. C is 1 or 3, values are in [0, 1] or [-1, 1], results are not clipped. All can be
differentiated twice.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key, check_choice


def _perhaps(key: Key, probability: float, image: Array, change: Callable[..., Any], *, numbers: int = 0) -> jax.Array:
    """Return ``change(u1, u2, ...)``, with one uniform number per argument in [0, 1), or the picture as it is."""
    chance, *drawn = jax.random.uniform(key, (1 + numbers,))  # one draw, since each takes long to compile
    return jnp.where(chance < probability, change(*drawn).astype(image.dtype), image)


def _within(strength: float, u: jax.Array) -> jax.Array:
    return strength * (2 * u - 1)


def _below(count: int, u: jax.Array) -> jax.Array:
    return (u * count).astype(jnp.int32)


def horizontal_flip(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Mirror left and right.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
    """
    return _perhaps(key, probability, image, lambda: pix.flip_left_right(image))


def vertical_flip(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Mirror top and bottom.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
    """
    return _perhaps(key, probability, image, lambda: pix.flip_up_down(image))


def quarter_turn(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Turn by 90, 180 or 270 degrees.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].

    Raises:
        ValueError: the picture is not square.
    """
    if image.shape[0] != image.shape[1]:
        raise ValueError(f"quarter_turn: expected a square picture [H, H, C], got {list(image.shape)}.")
    turns = [pix.rot90(image, k) for k in (1, 2, 3)]
    return _perhaps(key, probability, image, lambda u: jax.lax.select_n(_below(3, u), *turns), numbers=1)


def rotate(key: Key, image: Array, *, probability: float = 0.5, degrees: float = 15.0) -> jax.Array:
    """Turn by an angle in +-`degrees` around the center, bilinearly; corners show the mirrored picture.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        degrees: the largest angle.
    """
    height, width, _ = image.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij"
    )

    def turned(u):
        angle = jnp.deg2rad(_within(degrees, u))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        places = [cos * rows + sin * columns + (height - 1) / 2, cos * columns - sin * rows + (width - 1) / 2]
        # dm_pix.rotate interpolates over channels too and takes 50 times as long.
        sample = partial(jax.scipy.ndimage.map_coordinates, coordinates=places, order=1, mode="mirror")
        return jax.vmap(sample, -1, -1)(image)

    return _perhaps(key, probability, image, turned, numbers=1)


def translate(
    key: Key, image: Array, *, probability: float = 0.5, fraction: float = 0.125, fill: float = 0.0
) -> jax.Array:
    """Shift by whole pixels, at most `fraction` of each side; what comes in has the value `fill`.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        fraction: the largest shift, in parts of the side.
        fill: value of what comes in.
    """
    down, right = (round(side * fraction) for side in image.shape[:2])
    padded = jnp.pad(image, [(down, down), (right, right), (0, 0)], constant_values=fill)

    def shifted(u, v):
        return jax.lax.dynamic_slice(padded, (_below(2 * down + 1, u), _below(2 * right + 1, v), 0), image.shape)

    return _perhaps(key, probability, image, shifted, numbers=2)


def crop(key: Key, image: Array, *, probability: float = 0.5, smallest: float = 0.75) -> jax.Array:
    """Enlarge a part of the picture to its whole size, bilinearly; the part's side is between `smallest` and 1 of the picture's.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        smallest: side of the smallest part, in (0, 1] of the picture's.
    """

    def enlarged(u, v, w):
        part = smallest + (1 - smallest) * u
        corner = jnp.stack([v * image.shape[0], w * image.shape[1]]) * (1 - part)
        return jax.image.scale_and_translate(
            image, image.shape, (0, 1), jnp.full(2, 1 / part), -corner / part, method="linear", antialias=False
        )

    return _perhaps(key, probability, image, enlarged, numbers=3)


def window(key: Key, image: Array, *, side: int) -> jax.Array:
    """Show a square part somewhere in the picture.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        side: of the part, pixels, at most those of the picture.

    Returns:
        ``[side, side, C]``.
    """
    row, column = (
        jax.random.randint(each, (), 0, n - side + 1)
        for each, n in zip(jax.random.split(key), image.shape, strict=False)
    )
    return jax.lax.dynamic_slice(image, (row, column, 0), (side, side, image.shape[-1]))


def grayscale(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Take the colors away: all channels become the mean of them.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
    """
    gray = jnp.broadcast_to(jnp.mean(image, axis=-1, keepdims=True), image.shape)
    return _perhaps(key, probability, image, lambda: gray)


def brightness(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.2) -> jax.Array:
    """Add a number in +-`strength`, in units of the picture's values.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        strength: the largest change, in units of the picture's values.
    """
    return _perhaps(key, probability, image, lambda u: pix.adjust_brightness(image, _within(strength, u)), numbers=1)


def contrast(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.5) -> jax.Array:
    """Multiply the difference from the picture's mean by a number in 1 +- `strength`.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        strength: the largest change of the factor.
    """
    mean = jnp.mean(image, keepdims=True)
    return _perhaps(key, probability, image, lambda u: mean + (1 + _within(strength, u)) * (image - mean), numbers=1)


def saturation(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.5) -> jax.Array:
    """Multiply the difference from each pixel's gray by a number in 1 +- `strength`; a picture of one channel stays as it is.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        strength: the largest change of the factor.
    """
    gray = jnp.mean(image, axis=-1, keepdims=True)
    return _perhaps(key, probability, image, lambda u: gray + (1 + _within(strength, u)) * (image - gray), numbers=1)


def hue(key: Key, image: Array, *, probability: float = 0.5, degrees: float = 20.0) -> jax.Array:
    """Turn colors by an angle in +-`degrees` around the axis of grays; a picture of one channel stays as it is.

    ``v -> m + cos(a) (v - m) + sin(a) / sqrt(3) (1, 1, 1) x v``, m the mean of v: linear, and the same in [0, 1] and [-1, 1].

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        degrees: the largest angle.
    """
    gray = jnp.mean(image, axis=-1, keepdims=True)
    across = (jnp.roll(image, 1, axis=-1) - jnp.roll(image, -1, axis=-1)) / 3**0.5

    def turned(u):
        angle = jnp.deg2rad(_within(degrees, u))
        return gray + jnp.cos(angle) * (image - gray) + jnp.sin(angle) * across

    return _perhaps(key, probability, image, turned, numbers=1)


def noise(key: Key, image: Array, *, probability: float = 0.5, std: float = 0.05) -> jax.Array:
    """Add normal noise of a standard deviation, in units of the picture's values.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        std: standard deviation, in units of the picture's values.
    """
    chance, draw = jax.random.split(key)
    return _perhaps(chance, probability, image, lambda: image + std * jax.random.normal(draw, image.shape))


def cutout(key: Key, image: Array, *, probability: float = 0.5, fraction: float = 0.5, fill: float = 0.0) -> jax.Array:
    """Set a rectangle to `fill`: its sides are `fraction` of the picture's, its center anywhere in it.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        fraction: sides of the rectangle, in (0, 1] of the picture's.
        fill: its value.

    Reference: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """

    def hit(side, u):
        size = round(side * fraction)
        start = _below(side + 1 - size % 2, u) - size // 2
        return (jnp.arange(side) >= start) & (jnp.arange(side) < start + size)

    def covered(u, v):
        hole = hit(image.shape[0], u)[:, None, None] & hit(image.shape[1], v)[None, :, None]
        return jnp.where(hole, fill, image)

    return _perhaps(key, probability, image, covered, numbers=2)


AUGMENTATIONS: dict[str, Callable[..., jax.Array]] = {
    function.__name__: function
    for function in (
        horizontal_flip,
        vertical_flip,
        quarter_turn,
        rotate,
        translate,
        crop,
        brightness,
        contrast,
        saturation,
        hue,
        noise,
        cutout,
    )
}

POLICIES: dict[str, tuple[Callable[..., jax.Array], ...]] = {
    "color": (
        partial(brightness, probability=1.0, strength=0.5),
        partial(saturation, probability=1.0, strength=1.0),
        partial(contrast, probability=1.0, strength=0.5),
    ),
    "translation": (partial(translate, probability=1.0, fraction=0.125),),
    "cutout": (partial(cutout, probability=1.0, fraction=0.5),),
}


def augment(keys: Key, images: Array, transforms: Sequence[Callable[[Key, jax.Array], jax.Array]]) -> jax.Array:
    """Apply functions of one picture to each picture of a batch, one after the other.

    Args:
        keys: ``[B]``, one for each example: fold the global index of the example into the step's key.
        images: ``[B, H, W, C]``, float.
        transforms: ``transform(key, image) -> image``, with strengths bound by `functools.partial`.

    Returns:
        ``[B, H, W, C]``, not clipped.

    >>> augment(jax.random.split(jax.random.key(0), 4), jnp.zeros((4, 8, 8, 3)), [horizontal_flip, crop]).shape
    (4, 8, 8, 3)
    """

    def one(key, image):
        for number, transform in enumerate(transforms):
            image = transform(jax.random.fold_in(key, number), image)
        return image

    return jax.vmap(one)(keys, images)


def diff_augment(keys: Key, images: Array, *, policy: Sequence[str] = ("color", "translation", "cutout")) -> jax.Array:
    """Augment what a discriminator sees, real and made alike, so that it cannot memorize a small set of pictures.

    color: brightness + U(-0.5, 0.5), saturation x U(0, 2), contrast x U(0.5, 1.5); translation: up to an eighth of the side, zeros come in;
    cutout: a square of half the side becomes zero. All three always act, and gradients pass through to the generator.

    Args:
        keys: ``[B]``, one for each example.
        images: ``[B, H, W, C]`` in [-1, 1].
        policy: some of "color", "translation", "cutout"; all for few pictures, color and cutout for tens of thousands.

    Returns:
        ``[B, H, W, C]``, not clipped.

    Raises:
        ValueError: an unknown policy.

    Reference: Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, 2020, section 4.
    """
    chosen = [POLICIES[check_choice("policy", name, POLICIES)] for name in policy]
    return augment(keys, images, [transform for transforms in chosen for transform in transforms])
