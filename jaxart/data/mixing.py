"""Mixing pictures with their neighbors in the batch, labels with them, and erasing parts: pure functions that run inside a step.

Example 2 i of a batch is mixed with example 2 i + 1, and the other way around: batches come in random order, so neighbors are strangers,
and a batch that is divided over devices at even places keeps each pair on its device. What is random of an example is drawn from its own
key, so a divided batch draws the numbers of the whole one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key


def _swapped(values: Array) -> jax.Array:
    """Return ``[B, ...]`` with the members of each pair exchanged."""
    pairs = values.reshape(-1, 2, *values.shape[1:])  # [B / 2, 2, ...]
    return pairs[:, ::-1].reshape(values.shape)


def _check(name: str, keys: Key, images: Array, shares: Array, alpha: float) -> None:
    if images.ndim != 4 or len(images) % 2 or len(keys) != len(images) or len(shares) != len(images):
        raise ValueError(
            f"{name}: expected an even number of pictures [B, H, W, C], with a key and shares for each, got {list(images.shape)}, "
            f"{list(keys.shape)} and {list(shares.shape)}."
        )
    if not alpha > 0:
        raise ValueError(f"{name}: expected alpha above 0, got {alpha}; a probability of 0 mixes nothing.")


def _parts(keys: Key, alpha: float, probability: float) -> tuple[jax.Array, jax.Array]:
    """Return for each example a Beta(alpha, alpha) distributed part of its neighbor, 0 where nothing is mixed, and two uniform numbers."""

    def one(key: Key) -> tuple[jax.Array, jax.Array]:
        part_key, other = jax.random.split(key)
        chance, *places = jax.random.uniform(other, (3,))
        part = jax.random.uniform(part_key) if alpha == 1 else jax.random.beta(part_key, alpha, alpha)
        return jnp.where(chance < probability, part, 0.0), jnp.stack(places)

    return jax.vmap(one)(keys)


def _blend(values: Array, part: Array) -> jax.Array:
    """Return ``(1 - part) own + part neighbor``, with parts ``[B]`` or of the rank of the values."""
    part = part.reshape(*part.shape, *(1,) * (values.ndim - part.ndim)).astype(values.dtype)
    return (1 - part) * values + part * _swapped(values)


def mixup(
    keys: Key, images: Array, shares: Array, *, alpha: float = 0.2, probability: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Blend each picture with its neighbor's, ``(1 - m) x + m x'``, and its shares likewise; m is drawn from Beta(alpha, alpha).

    Args:
        keys: ``[B]``, one for each example: fold the global index of the example into the step's key; B is even.
        images: ``[B, H, W, C]``, float.
        shares: ``[B, K]``, float: of classes (`jax.nn.one_hot` of labels), or numbers that are to be predicted.
        alpha: above 0; small ones mostly leave one of the two.
        probability: of mixing at all, in [0, 1].

    Returns:
        images ``[B, H, W, C]`` and shares ``[B, K]``.

    Raises:
        ValueError: an odd number of pictures, shapes that do not fit, no positive alpha.

    Reference: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, eq. 1. Departure: pairs are neighbors, each example with an m
    of its own, instead of one m and one permutation for a batch, so that a batch may be divided over devices.
    """
    _check("mixup", keys, images, shares, alpha)
    part, _ = _parts(keys, alpha, probability)
    return _blend(images, part), _blend(shares, part)


def cutmix(
    keys: Key, images: Array, shares: Array, *, alpha: float = 1.0, probability: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Paste a rectangle of the neighbor's picture, at its own place, and take of its shares the part of the area, to the pixel.

    The rectangle has the proportions of the picture and an area of m, drawn from Beta(alpha, alpha), before it is cut where its center lies
    near a border.

    Args:
        keys: ``[B]``, one for each example: fold the global index of the example into the step's key; B is even.
        images: ``[B, H, W, C]``, float.
        shares: ``[B, K]``, float: of classes (`jax.nn.one_hot` of labels).
        alpha: above 0; 1 is uniform.
        probability: of pasting at all, in [0, 1].

    Returns:
        images ``[B, H, W, C]`` and shares ``[B, K]``.

    Raises:
        ValueError: an odd number of pictures, shapes that do not fit, no positive alpha.

    Reference: Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, 2019, eq. 1 and 2.
    Departure: pairs are neighbors, each example with a rectangle of its own, as in `mixup`.
    """
    _check("cutmix", keys, images, shares, alpha)
    part, centers = _parts(keys, alpha, probability)
    inside = _rectangles(images.shape[1:3], jnp.sqrt(part), centers)
    area = jnp.mean(inside.astype(jnp.float32), axis=(1, 2))
    return jnp.where(inside[..., None], _swapped(images), images), _blend(shares, area)


def _rectangles(shape: tuple[int, ...], sides: Array, centers: Array) -> jax.Array:
    """Return masks ``[B, H, W]`` of rectangles with sides ``[B]``, in parts of the picture's, around centers ``[B, 2]`` in [0, 1)."""
    rows, columns = (
        _span(length, jnp.round(sides * length).astype(jnp.int32), (centers[:, axis] * length).astype(jnp.int32))
        for axis, length in enumerate(shape)
    )
    return rows[:, :, None] & columns[:, None, :]


def _span(length: int, size: Array, center: Array) -> jax.Array:
    """Return masks ``[B, length]`` of `size` places around a center, as far as there are any."""
    place, start = jnp.arange(length)[None], (center - size // 2)[:, None]
    return (place >= start) & (place < start + size[:, None])


def mixup_or_cutmix(
    keys: Key,
    images: Array,
    shares: Array,
    *,
    mixup_alpha: float = 0.2,
    cutmix_alpha: float = 1.0,
    cutmix_share: float = 0.5,
    probability: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
    """Do either `cutmix` or `mixup` to each example.

    Args:
        keys: ``[B]``, one for each example: fold the global index of the example into the step's key; B is even.
        images: ``[B, H, W, C]``, float.
        shares: ``[B, K]``, float.
        mixup_alpha: above 0.
        cutmix_alpha: above 0.
        cutmix_share: the probability that it is cutmix, in [0, 1].
        probability: of either, in [0, 1].

    Returns:
        images ``[B, H, W, C]`` and shares ``[B, K]``.

    Raises:
        ValueError: an odd number of pictures, shapes that do not fit, no positive alpha.
    """
    choice, draw = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    cut = jax.vmap(jax.random.uniform)(choice) < cutmix_share
    pasted = cutmix(draw, images, shares, alpha=cutmix_alpha, probability=probability)
    blended = mixup(draw, images, shares, alpha=mixup_alpha, probability=probability)
    take: Callable = lambda a, b: jnp.where(cut.reshape(-1, *(1,) * (a.ndim - 1)), a, b)  # noqa: E731
    return take(pasted[0], blended[0]), take(pasted[1], blended[1])


def random_erasing(
    key: Key,
    image: Array,
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: float = 0.3,
    values: tuple[float, float] = (0.0, 1.0),
) -> jax.Array:
    """Fill a rectangle of random size, proportions and place with uniform noise; one of the transforms that `augment` takes.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        probability: of a change, in [0, 1].
        area: least and most of the picture's.
        aspect: least of height to width, both in parts of the picture's; the most is one over it. In (0, 1].
        values: least and most of the noise, such as (-1, 1) for pictures in [-1, 1].

    Returns:
        ``[H, W, C]``.

    Reference: Zhong et al., Random Erasing Data Augmentation, 2020, algorithm 1. Departures: a side that were longer than the picture's is
    as long, instead of being drawn again; the logarithm of the proportions is uniform, so that high and wide ones are alike.
    """
    place_key, noise_key = jax.random.split(key)
    chance, size, shape, down, right = jax.random.uniform(place_key, (5,))
    root = jnp.sqrt(area[0] + (area[1] - area[0]) * size)
    stretch = jnp.exp(jnp.log(aspect) * (shape - 0.5))  # the root of the proportions
    rows, columns = (
        _place(length, jnp.minimum(part, 1.0), offset)
        for length, part, offset in zip(image.shape[:2], (root * stretch, root / stretch), (down, right), strict=True)
    )
    noise = jax.random.uniform(noise_key, image.shape, image.dtype, *values)
    hole = rows[:, None, None] & columns[None, :, None]
    return jnp.where(hole & (chance < probability), noise, image)


def _place(length: int, part: Array, offset: Array) -> jax.Array:
    """Return the mask ``[length]`` of a part, at least one place, that begins where the offset in [0, 1) says and ends inside."""
    size = jnp.maximum(jnp.round(part * length), 1).astype(jnp.int32)
    start = (offset * (length - size + 1)).astype(jnp.int32)
    place = jnp.arange(length)
    return (place >= start) & (place < start + size)
