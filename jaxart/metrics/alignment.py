"""Laying one small gray picture over another: is it the same, moved, cropped, turned a little?

A map ``[2, 3]`` leads from a place (1, y, x) in one picture, shares of its sides, to the place (y, x) in the other.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.metrics.fingerprint import CROPS, THUMBNAIL

_COARSE = 16  # side of the pictures that are compared everywhere
_ROUNDS = (7, 6)  # of the pictures as they are, and of their details
_LEAST = 0.5  # of a picture that must lie on the other one, its margins left out
_STEP, _FAR = 0.06, 0.2  # most that a map's numbers change in a round, and from where they began
_BLUR, _AROUND = 1.5, 4.0  # pixels: what is finer is detail; within which its contrast is taken
_QUIET = 3.0  # gray levels of detail that count as little contrast


def _ways_to_lie() -> np.ndarray:
    """Return the maps ``[24, 2, 3]`` from which to begin: a crop of the other picture, it as a whole turned by 3 degrees, with a border."""
    maps = [np.array([[top, share, 0], [left, 0, share]]) for top, left, share in CROPS]
    for scale, degrees in (
        (1, 3),
        (1, -3),
        (1.08, 3),
        (1.08, -3),
        (1.15, 0),
    ):  # turned, the corners filled or the canvas grown
        angle = np.deg2rad(degrees)
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        maps.append(np.concatenate([0.5 - turn @ [[0.5], [0.5]], turn], axis=1))
    return np.array(maps, np.float32)


ALIGNMENT_STARTS = _ways_to_lie()


def _places(size: int) -> np.ndarray:
    """Return (1, y, x) of the pixels, ``[size^2, 3]``."""
    centers = (np.arange(size) + 0.5) / size
    y, x = np.meshgrid(centers, centers, indexing="ij")
    return np.stack([np.ones_like(y), y, x], -1).reshape(-1, 3).astype(np.float32)


@functools.cache
def _samplers() -> tuple[np.ndarray, np.ndarray]:
    """Return matrices ``[24, 256, 256]`` that sample a coarse picture at each start, and which pixels lie on it, ``[24, 256]``."""
    size = _COARSE
    at = np.einsum("sik,pk->sip", ALIGNMENT_STARTS, _places(size)) * size - 0.5
    inside = ((at > -1) & (at < size)).all(1)
    at = np.clip(at, 0, size - 1.001)
    corner = at.astype(np.int64)
    part = at - corner
    found = np.zeros((len(ALIGNMENT_STARTS), size**2, size**2), np.float32)
    start, pixel = np.arange(len(ALIGNMENT_STARTS))[:, None], np.arange(size**2)[None]
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - down - part[:, 0]) * np.abs(1 - across - part[:, 1])
        np.add.at(found, (start, pixel, (corner[:, 0] + down) * size + corner[:, 1] + across), weight)
    return found * inside[..., None], inside.astype(np.float32)


def lay_over(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the correlation of each picture with each other one at each of `ALIGNMENT_STARTS`, coarsely: means of 16 x 16 parts.

    Args:
        pictures: ``[V, 32, 32]``, gray.
        others: ``[K, 32, 32]``.

    Returns:
        float32 ``[K, V, 24]``, of the pixels that lie on the other picture.
    """
    matrices, inside = _samplers()
    near, far = (_coarse(each) for each in (pictures, others))
    count = inside.sum(1)
    sampled = (far @ matrices.reshape(-1, far.shape[1]).T).reshape(len(far), *inside.shape)  # [K, S, P]
    spreads = np.einsum("ksp,ksp->ks", sampled, sampled) - sampled.sum(2) ** 2 / count
    spread = near**2 @ inside.T - (near @ inside.T) ** 2 / count  # [V, S]
    centered = near[:, None] * inside - (near @ inside.T / count)[..., None] * inside  # [V, S, P]
    spots = np.matmul(
        centered.swapaxes(0, 1), matrices
    )  # [S, V, P]: what a sampled picture is multiplied by, before it is sampled
    covariance = (far @ spots.reshape(-1, far.shape[1]).T).reshape(len(far), len(inside), len(near)).swapaxes(1, 2)
    return covariance / np.sqrt(np.maximum(spread[None] * spreads[:, None], 1))


def _coarse(pictures: np.ndarray) -> np.ndarray:
    size = THUMBNAIL // _COARSE
    parts = pictures.astype(np.float32).reshape(-1, _COARSE, size, _COARSE, size).mean((2, 4)).reshape(-1, _COARSE**2)
    return parts - 128


@jax.jit
def align(pictures: Array, others: Array, starts: Array) -> jax.Array:
    """Lay each picture over another one as well as an affine map can, and return how alike their details are then.

    Details are what a blur takes away, divided by their contrast around, so that a dark portrait is not like each other one, nor a round
    frame; brightness and contrast have no influence. The map is found by least squares on the pictures (Gauss and Newton's rounds, with
    gain and offset), then on the details; the best of all rounds counts. Pixels that lie beside the other picture do not.

    Args:
        pictures: ``[B, 32, 32]``, gray levels 0 to 255.
        others: the same shape.
        starts: ``[B, 2, 3]``, maps to begin from.

    Returns:
        The correlation of the details ``[B]``: 1 for the same picture, near 0 for others, -1 where less than half lies on the other.

    Reference: Lucas and Kanade, An Iterative Image Registration Technique with an Application to Stereo Vision, 1981; Evangelidis and
    Psarakis, Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization, 2008 (its criterion chooses the round).
    """
    pictures, others = jnp.asarray(pictures, jnp.float32), jnp.asarray(others, jnp.float32)
    _, maps = _descend(pictures, others, starts, starts, _ROUNDS[0], margin=0.0)
    similarity, _ = _descend(_details(pictures), _details(others), maps, starts, _ROUNDS[1], margin=2.0)
    return jnp.nan_to_num(similarity, nan=-1.0)


def _descend(
    pictures: jax.Array, others: jax.Array, maps: jax.Array, starts: Array, rounds: int, *, margin: float
) -> tuple[jax.Array, jax.Array]:
    """Return the best correlation of all rounds, and its maps."""
    flat = pictures.reshape(len(pictures), -1)
    layers = _with_slopes(others)

    def advance(maps: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        sampled, inside = _sample(layers, maps, margin)
        change = _least_squares(flat, sampled, inside)
        moved = jnp.clip(maps + jnp.clip(change, -_STEP, _STEP), starts - _FAR, starts + _FAR)
        return moved, (_correlation(flat, sampled[..., 0], inside), maps)

    last, (similarity, passed) = jax.lax.scan(advance, maps, None, length=rounds)
    sampled, inside = _sample(layers, last, margin)
    similarity = jnp.concatenate([similarity, _correlation(flat, sampled[..., 0], inside)[None]])
    best = jnp.argmax(similarity, axis=0)
    passed = jnp.concatenate([passed, last[None]])
    return jnp.max(similarity, axis=0), jnp.take_along_axis(passed, best[None, :, None, None], 0)[0]


def _least_squares(flat: jax.Array, sampled: jax.Array, inside: jax.Array) -> jax.Array:
    """Return the change of the maps ``[B, 2, 3]`` by which offset, gain and first derivatives of the other picture fit best."""
    places = _places(THUMBNAIL)
    columns = [jnp.ones_like(flat), sampled[..., 0]]
    columns += [sampled[..., axis] * places[None, :, term] for axis in (1, 2) for term in range(3)]
    design = jnp.stack(columns, -1)  # [B, P, 8]
    weighted = design * inside[..., None]
    power = jnp.sum(flat**2 * inside, 1) / jnp.maximum(jnp.sum(inside, 1), 1)
    ridge = jnp.diag(jnp.array([1e-6] * 2 + [3e-3 * THUMBNAIL**2] * 6, jnp.float32))
    normal = jnp.einsum("bpi,bpj->bij", weighted, design) + ridge[None] * (power[:, None, None] + 1e-3)
    right = jnp.einsum("bpi,bp->bi", weighted, flat)
    found = jnp.linalg.solve(normal + 1e-6 * jnp.eye(8, dtype=jnp.float32)[None], right[..., None])[..., 0]
    gain = jnp.where(jnp.abs(found[:, 1:2]) < 0.2, 0.2, found[:, 1:2])
    return (found[:, 2:] / gain).reshape(-1, 2, 3)


def _sample(layers: jax.Array, maps: jax.Array, margin: float) -> tuple[jax.Array, jax.Array]:
    """Return layers ``[B, P, L]`` at the mapped places, and which of these lie on the picture, the margin (pixels) left out."""
    size, places = THUMBNAIL, _places(THUMBNAIL)
    at = jnp.einsum("bik,pk->bip", maps, places) * size - 0.5
    inside = jnp.all((at >= margin - 0.5) & (at <= size - margin - 0.5), axis=1)
    if margin:
        edge = margin / 2 / size
        inside &= np.all((places[:, 1:] > edge) & (places[:, 1:] < 1 - edge), axis=1)[None]
    at = jnp.clip(at, 0, size - 1.001)
    corner = at.astype(jnp.int32)
    down, across = ((at - corner)[:, axis, :, None] for axis in (0, 1))
    first = corner[:, 0] * size + corner[:, 1]

    def pixel(offset: int) -> jax.Array:
        return jnp.take_along_axis(layers, (first + offset)[..., None], 1)

    above = pixel(0) * (1 - across) + pixel(1) * across
    below = pixel(size) * (1 - across) + pixel(size + 1) * across
    return above * (1 - down) + below * down, inside.astype(jnp.float32)


def _correlation(one: jax.Array, two: jax.Array, inside: jax.Array) -> jax.Array:
    count = jnp.sum(inside, 1, keepdims=True) + 1e-6
    one, two = ((each - jnp.sum(each * inside, 1, keepdims=True) / count) * inside for each in (one, two))
    quiet = 1e-3 * count[:, 0]  # details of one color would be noise
    scale = jnp.sqrt((jnp.sum(one**2, 1) + quiet) * (jnp.sum(two**2, 1) + quiet))
    return jnp.where(count[:, 0] > _LEAST * one.shape[1], jnp.sum(one * two, 1) / scale, -1)


def _with_slopes(images: jax.Array) -> jax.Array:
    """Return pictures with their slopes down and across, per side: ``[B, P, 3]``."""
    wide = jnp.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down, across = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
    layers = jnp.stack([images, down * (THUMBNAIL / 2), across * (THUMBNAIL / 2)], -1)
    return layers.reshape(len(images), -1, 3)


def _details(images: jax.Array) -> jax.Array:
    fine, around = _blur(_BLUR), _blur(_AROUND)
    details = images - fine @ images @ fine.T
    return details / jnp.sqrt(around @ details**2 @ around.T + _QUIET**2)


@functools.cache
def _blur(deviation: float) -> np.ndarray:
    """Return the matrix ``[32, 32]`` of a Gaussian blur that repeats the border."""
    reach = 3 * int(np.ceil(deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    found = np.zeros((THUMBNAIL, THUMBNAIL))
    for offset, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        np.add.at(found, (np.arange(THUMBNAIL), np.clip(np.arange(THUMBNAIL) + offset, 0, THUMBNAIL - 1)), weight)
    return found.astype(np.float32)
