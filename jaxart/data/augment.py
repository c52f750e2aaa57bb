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


def _perhaps(key: Key, probability: float, image: Array, change: Callable[[Key], Any]) -> jax.Array:
    chance, draw = jax.random.split(key)
    return jnp.where(jax.random.bernoulli(chance, probability), change(draw).astype(image.dtype), image)


def _within(key: Key, image: Array, strength: float) -> jax.Array:
    return jax.random.uniform(key, (), image.dtype, -strength, strength)


def horizontal_flip(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Mirror left and right."""
    return _perhaps(key, probability, image, lambda _: pix.flip_left_right(image))


def vertical_flip(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Mirror top and bottom."""
    return _perhaps(key, probability, image, lambda _: pix.flip_up_down(image))


def quarter_turn(key: Key, image: Array, *, probability: float = 0.5) -> jax.Array:
    """Turn by 90, 180 or 270 degrees.

    Raises:
        ValueError: the picture is not square.
    """
    if image.shape[0] != image.shape[1]:
        raise ValueError(f"quarter_turn: expected a square picture [H, H, C], got {list(image.shape)}.")
    turns = [pix.rot90(image, k) for k in (1, 2, 3)]
    return _perhaps(key, probability, image, lambda draw: jax.lax.select_n(jax.random.randint(draw, (), 0, 3), *turns))


def rotate(key: Key, image: Array, *, probability: float = 0.5, degrees: float = 15.0) -> jax.Array:
    """Turn by an angle in +-`degrees` around the centre, bilinearly; corners show the mirrored picture."""
    height, width, _ = image.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height) - (height - 1) / 2, jnp.arange(width) - (width - 1) / 2, indexing="ij"
    )

    def turned(draw):
        angle = jnp.deg2rad(_within(draw, image, degrees))
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        places = [cos * rows + sin * columns + (height - 1) / 2, cos * columns - sin * rows + (width - 1) / 2]
        sample = partial(jax.scipy.ndimage.map_coordinates, coordinates=places, order=1, mode="mirror")
        return jax.vmap(sample, -1, -1)(image)

    return _perhaps(key, probability, image, turned)


def translate(
    key: Key, image: Array, *, probability: float = 0.5, fraction: float = 0.125, fill: float = 0.0
) -> jax.Array:
    """Shift by whole pixels, at most `fraction` of each side; what comes in has the value `fill`."""
    most = [round(side * fraction) for side in image.shape[:2]]
    padded = jnp.pad(image, [(most[0],) * 2, (most[1],) * 2, (0, 0)], constant_values=fill)

    def shifted(draw):
        down, right = (
            jax.random.randint(k, (), 0, 2 * m + 1) for k, m in zip(jax.random.split(draw), most, strict=True)
        )
        return jax.lax.dynamic_slice(padded, (down, right, 0), image.shape)

    return _perhaps(key, probability, image, shifted)


def crop(key: Key, image: Array, *, probability: float = 0.5, smallest: float = 0.75) -> jax.Array:
    """Enlarge a part of the picture to its whole size, bilinearly; the part's side is between `smallest` and 1 of the picture's."""
    sides = jnp.asarray(image.shape[:2], image.dtype)

    def enlarged(draw):
        size, place = jax.random.split(draw)
        part = jax.random.uniform(size, (), image.dtype, smallest, 1)
        corner = jax.random.uniform(place, (2,), image.dtype) * sides * (1 - part)
        scale = jnp.full(2, 1 / part)
        return jax.image.scale_and_translate(
            image, image.shape, (0, 1), scale, -corner / part, method="linear", antialias=False
        )

    return _perhaps(key, probability, image, enlarged)


def brightness(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.2) -> jax.Array:
    """Add a number in +-`strength`, in units of the picture's values."""
    return _perhaps(key, probability, image, lambda draw: pix.adjust_brightness(image, _within(draw, image, strength)))


def _apart_from(mean: jax.Array, image: Array, factor: jax.Array) -> jax.Array:
    return mean + factor * (image - mean)


def contrast(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.5) -> jax.Array:
    """Multiply the difference from the picture's mean by a number in 1 +- `strength`."""
    mean = jnp.mean(image, keepdims=True)
    return _perhaps(key, probability, image, lambda draw: _apart_from(mean, image, 1 + _within(draw, image, strength)))


def saturation(key: Key, image: Array, *, probability: float = 0.5, strength: float = 0.5) -> jax.Array:
    """Multiply the difference from each pixel's grey by a number in 1 +- `strength`; a picture of one channel stays as it is."""
    grey = jnp.mean(image, axis=-1, keepdims=True)
    return _perhaps(key, probability, image, lambda draw: _apart_from(grey, image, 1 + _within(draw, image, strength)))


def hue(key: Key, image: Array, *, probability: float = 0.5, degrees: float = 20.0) -> jax.Array:
    """Turn colours by an angle in +-`degrees` around the axis of greys; a picture of one channel stays as it is.

    ``v -> m + cos(a) (v - m) + sin(a) / sqrt(3) (1, 1, 1) x v``, m the mean of v: linear, and the same in [0, 1] and [-1, 1].
    """
    grey = jnp.mean(image, axis=-1, keepdims=True)
    across = (jnp.roll(image, 1, axis=-1) - jnp.roll(image, -1, axis=-1)) / 3**0.5

    def turned(draw):
        angle = jnp.deg2rad(_within(draw, image, degrees))
        return _apart_from(grey, image, jnp.cos(angle)) + jnp.sin(angle) * across

    return _perhaps(key, probability, image, turned)


def noise(key: Key, image: Array, *, probability: float = 0.5, deviation: float = 0.05) -> jax.Array:
    """Add normal noise of a standard deviation, in units of the picture's values."""
    return _perhaps(
        key, probability, image, lambda draw: image + deviation * jax.random.normal(draw, image.shape, image.dtype)
    )


def cutout(key: Key, image: Array, *, probability: float = 0.5, fraction: float = 0.5, fill: float = 0.0) -> jax.Array:
    """Set a rectangle to `fill`: its sides are `fraction` of the picture's, its centre anywhere in it.

    Reference: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """

    def covered(draw):
        hole = jnp.ones((1, 1), bool)
        for axis, key in enumerate(jax.random.split(draw)):
            side = image.shape[axis]
            size = round(side * fraction)
            start = jax.random.randint(key, (), 0, side + 1 - size % 2) - size // 2
            place = jnp.expand_dims(jnp.arange(side), 1 - axis)
            hole &= (place >= start) & (place < start + size)
        return jnp.where(hole[..., None], fill, image)

    return _perhaps(key, probability, image, covered)


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
    """Augment what a discriminator sees, real and made alike, so that it cannot learn few pictures by heart.

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
