"""Filling holes with pieces of the picture itself: what surrounds them tells which, so textures go on as textures.

Every small square (patch) that a hole touches looks for the square elsewhere, wholly known, that is most like it; each pixel of the hole
is then the mean of what all squares over it say, and both are done in turn, from a small copy of the picture to its full size.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxart.arrays import Array, Key
from jaxart.ops.morphology import box_sums
from jaxart.tasks.restore.fill import checked, fill_harmonic, held

_FADING = 1.3  # how much less a pixel of a hole counts for each pixel of its distance from what is known
_JUMPS = (8, 4, 2, 1)  # how far squares tell one another what they found
_LEAST = 24  # pixels of the shorter side of the smallest copy
_TEXTURE = 0.5  # weight of how rough the surroundings are, beside colors


class _Level(NamedTuple):
    """A size: the picture and how rough it is ``[H, W, F]``, what is known, and what is of the picture, ``[H, W]`` each."""

    image: jax.Array
    known: jax.Array
    there: jax.Array


class _Scene(NamedTuple):
    """A level for squares that holes touch: where these are ``[N, 2]`` (beyond the picture for more), whether squares are wholly known,
    how much pixels count ``[H, W]``, and those of the squares ``[N, side, side, 1]``."""

    level: _Level
    centers: jax.Array
    whole: jax.Array
    trust: jax.Array
    weights: jax.Array


class _Squares(NamedTuple):
    """Centers ``[N, 2]`` of what the squares are like, and how unlike it is ``[N]``."""

    sources: jax.Array
    unlike: jax.Array


def fill_exemplar(
    key: Key,
    picture: Array,
    holes: Array,
    *,
    radius: int = 4,
    turns: int = 6,
    levels: int | None = None,
    spread: float = 2.0,
) -> jax.Array:
    """Fill holes with what is most like their surroundings elsewhere in the picture: the best of these for wide holes in textures.

    Args:
        key: of the search.
        picture: ``[H, W, C]``, float; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``; where no square of the picture is wholly known, as among scattered pixels, the fill is `fill_harmonic`'s.
        radius: of the squares, whose sides are ``2 radius + 1`` pixels.
        turns: of search and mean at each size.
        levels: sizes, each half the one before; as many as leave the smallest 24 pixels wide when None.
        spread: how much squares that fit less count in the mean; more is smoother and nearer on average, less is sharper.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit. The same key gives the same picture, compiled or not.

    Raises:
        ValueError: as `fill_harmonic`; a radius, turns or levels below 1; a spread of 0 or less.

    Reference: Wexler, Shechtman and Irani, Space-Time Completion of Video, 2007; the search: Barnes et al., PatchMatch, 2009, all pixels at
    once as in Rong and Tan, Jump Flooding, 2006; roughness: Newson et al., Video Inpainting of Complex Scenes, 2014. Departure:
    what squares say wrongly of the rim is taken off the hole, as a membrane, and values are held to the range of what is known.
    """
    picture, holes = checked(picture, holes)
    for name, value in (("radius", radius), ("turns", turns), ("levels", 1 if levels is None else levels)):
        if value < 1:
            raise ValueError(f"{name}: expected 1 or more, got {value}.")
    if spread <= 0:
        raise ValueError(f"spread: expected more than 0, got {spread}.")
    levels = levels or 1 + max(0, int(np.log2(max(1, min(holes.shape) / _LEAST))))
    counts = _counts(holes, radius, levels)
    found, wrong = _filled(key, picture, holes, counts=counts, radius=radius, turns=turns, spread=spread)
    made = held(found - _membrane(wrong, holes), picture, holes)
    return jnp.where(holes[..., None], made.astype(picture.dtype), picture)


_membrane = jax.jit(fill_harmonic)


def _counts(holes: jax.Array, radius: int, levels: int) -> tuple[int, ...]:
    """Return how many squares have room at each size: a power of two, so that few programs are compiled, or all when holes are traced."""
    shapes = [tuple(-(-side // 2**level) for side in holes.shape) for level in range(levels)]
    if isinstance(holes, Tracer):
        return tuple(height * width for height, width in shapes)
    found: list[int] = []
    now: Any = np.asarray(holes)
    for _ in range(levels):
        touched = int(_grown(now, radius).sum())
        found.append(min(now.size, max(64, 2 ** int(np.ceil(np.log2(max(1, touched)))))))
        now = np.pad(now, [(0, side % 2) for side in now.shape], mode="edge")
        now = now[::2, ::2] | now[1::2, ::2] | now[::2, 1::2] | now[1::2, 1::2]
    return tuple(found)


def _grown(holes: np.ndarray, radius: int) -> np.ndarray:
    for axis in (0, 1):
        padded = np.pad(holes, [(radius, radius) if axis == each else (0, 0) for each in (0, 1)])
        holes = np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis).any(-1))
    return holes


@functools.partial(jax.jit, static_argnames=("counts", "radius", "turns", "spread"))
def _filled(
    key: Key, picture: jax.Array, holes: jax.Array, *, counts: tuple[int, ...], radius: int, turns: int, spread: float
) -> tuple[jax.Array, jax.Array]:
    """Return what squares say of holes, 0 where none says anything, and what they get wrong of the pixels around: ``[H, W, C]``."""
    levels, field = _levels(picture, holes, len(counts)), None
    image = _spread(levels[-1])
    for index in reversed(range(len(counts))):
        level = levels[index]
        scene = _scene(level, counts[index], radius)
        if field is None:
            now = _Squares(jnp.zeros_like(scene.centers), jnp.zeros(counts[index]))
        else:
            sources = _at(_doubled(field, level.known.shape), scene.centers)
            now = _Squares(sources, jnp.where(_allowed(scene, sources), 0.0, jnp.inf))
            image = _drawn(scene, level.image, now, spread)
        image, now = _mended(jax.random.fold_in(key, index), scene, image, now, turns, spread)
        field = _field(scene, now)
    wrong = _image_of(scene, _voted(scene, now, spread) - _at(level.image, scene.centers))
    colors = picture.shape[-1]
    return jnp.where(jnp.any(scene.whole), image, 0)[..., :colors], wrong[..., :colors]


def _spread(level: _Level) -> jax.Array:
    """Return the picture with each hole filled by what is near, from its rim inward."""

    def grow(_: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        image, near = carry
        around = [jax.lax.reduce_window(x, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "SAME") for x in (image, near)]
        image = jnp.where(near > 0, image, around[0] / jnp.maximum(around[1], 1))
        return image, jnp.maximum(near, (around[1] > 0).astype(jnp.float32))

    near = level.known[..., None].astype(jnp.float32)
    return jax.lax.fori_loop(0, max(near.shape), grow, (jnp.where(near > 0, level.image, 0), near))[0]


def _levels(picture: jax.Array, holes: jax.Array, count: int) -> list[_Level]:
    """Return the sizes, the finest first; what is not known is 0."""
    known = ~holes
    plain = jnp.where(holes[..., None], 0, picture).astype(jnp.float32)
    rough = _roughness(plain, known, 2**count)
    levels = [
        _Level(
            jnp.concatenate([plain, _TEXTURE * rough], -1), known, jax.lax.optimization_barrier(jnp.ones_like(known))
        )
    ]
    while len(levels) < count:
        levels.append(_halved(levels[-1]))
    return levels


def _roughness(image: jax.Array, known: jax.Array, reach: int) -> jax.Array:
    """Return the mean length of differences down and across, over what is known nearby: ``[H, W, 2]``."""
    gray = jnp.mean(image, -1)
    found = []
    for axis in (0, 1):
        pad = [(0, 1) if axis == each else (0, 0) for each in (0, 1)]
        both = jnp.pad(
            jax.lax.slice_in_dim(known, 1, None, axis=axis) & jax.lax.slice_in_dim(known, 0, -1, axis=axis), pad
        )
        change = jnp.where(both, jnp.pad(jnp.abs(jnp.diff(gray, axis=axis)), pad), 0)
        found.append(
            box_sums(change, 2 * reach + 1) / jnp.maximum(box_sums(both.astype(jnp.float32), 2 * reach + 1), 0.5)
        )
    return jnp.stack(found, -1)


def _halved(level: _Level) -> _Level:
    """Return the level at half the size: means of what is known of 2 x 2 pixels, known where all four are."""
    height, width = level.known.shape

    def squares(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, height % 2), (0, width % 2)] + [(0, 0)] * (x.ndim - 2))
        return x.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, *x.shape[2:])

    known = squares(level.known)
    share = jnp.maximum(jnp.sum(known, (1, 3)), 1)[..., None]
    image = jnp.sum(jnp.where(known[..., None], squares(level.image), 0), (1, 3)) / share
    return _Level(image, jnp.all(known | ~squares(level.there), (1, 3)), jnp.any(squares(level.there), (1, 3)))


def _doubled(field: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the sources of a level for the next finer one."""
    field = jnp.repeat(jnp.repeat(2 * field, 2, 0), 2, 1)[: shape[0], : shape[1]]
    return field + _places(shape) % 2


def _places(shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(jnp.mgrid[: shape[0], : shape[1]], -1).astype(jnp.int32)


def _scene(level: _Level, count: int, radius: int) -> _Scene:
    side = 2 * radius + 1
    centers = jnp.stack(jnp.nonzero(~_least(level.known, side, beyond=True), size=count, fill_value=-1), -1)
    centers = jnp.where(centers[:, :1] < 0, jnp.array(level.known.shape)[None], centers).astype(jnp.int32)
    trust = _trust(level)
    weights = _windows(trust[..., None], jnp.minimum(centers, _last(level.known)), radius)
    weights = weights / jnp.maximum(jnp.sum(weights, (1, 2, 3), keepdims=True), 1e-6)
    return _Scene(level, centers, _least(level.known, side, beyond=False), trust, weights)


def _mended(
    key: Key, scene: _Scene, image: jax.Array, now: _Squares, turns: int, spread: float
) -> tuple[jax.Array, _Squares]:
    """Return the picture of a level with its holes filled, and what its squares are like, after some turns of search and mean."""
    sources = jnp.flatnonzero(scene.whole, size=scene.whole.size, fill_value=0)

    def turn(index: jax.Array, carry: tuple[jax.Array, _Squares]) -> tuple[jax.Array, _Squares]:
        image, now = carry
        patches = _windows(image, jnp.minimum(scene.centers, _last(image)), _radius(scene))
        now = now._replace(unlike=_unlike(scene, patches, now.sources))
        now = _told(scene, patches, _looked(jax.random.fold_in(key, index), scene, patches, sources, now))
        return _drawn(scene, image, now, spread), now

    return jax.lax.fori_loop(0, turns, turn, (image, now))


def _looked(key: Key, scene: _Scene, patches: jax.Array, sources: jax.Array, now: _Squares) -> _Squares:
    """Look anywhere once, then around what was found, each time half as far."""
    shape = scene.whole.shape
    draws = _draws(key, scene.centers, shape)

    def look(now: _Squares, given: tuple[jax.Array, jax.Array]) -> tuple[_Squares, None]:
        reach, draw = given
        at = now.sources + jnp.round(reach * draw).astype(jnp.int32)
        return _tried(scene, patches, now, jnp.clip(at, 0, _last(scene.whole))), None

    number = jnp.sum(scene.whole)
    anywhere = sources[jnp.minimum(((draws[0, :, 0] + 1) / 2 * number).astype(jnp.int32), number - 1)]
    now = _tried(scene, patches, now, jnp.stack(jnp.divmod(anywhere, shape[1]), -1).astype(jnp.int32))
    reaches = max(shape) / 2.0 ** jnp.arange(len(draws) - 1)
    return jax.lax.scan(look, now, (reaches, draws[1:]))[0]


def _told(scene: _Scene, patches: jax.Array, now: _Squares) -> _Squares:
    """Try for each square what goes on from what others near it found."""

    def tell(now: _Squares, shift: jax.Array) -> tuple[_Squares, None]:
        beside = jnp.clip(scene.centers + shift[None], 0, _last(scene.whole))
        return _tried(scene, patches, now, _at(_field(scene, now), beside) - (beside - scene.centers)), None

    shifts = jnp.array([(jump * y, jump * x) for jump in _JUMPS for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x])
    return jax.lax.scan(tell, now, shifts)[0]


def _tried(scene: _Scene, patches: jax.Array, now: _Squares, at: jax.Array) -> _Squares:
    unlike = _unlike(scene, patches, at)
    better = unlike < now.unlike
    return _Squares(jnp.where(better[:, None], at, now.sources), jnp.where(better, unlike, now.unlike))


def _unlike(scene: _Scene, patches: jax.Array, at: jax.Array) -> jax.Array:
    """Return the weighted mean of squared differences to the squares around places, infinite where those are not wholly known."""
    found = _windows(scene.level.image, jnp.clip(at, 0, _last(scene.whole)), _radius(scene))
    return jnp.where(_allowed(scene, at), jnp.sum(scene.weights * (found - patches) ** 2, (1, 2, 3)), jnp.inf)


def _allowed(scene: _Scene, at: jax.Array) -> jax.Array:
    return jnp.all((at >= 0) & (at <= _last(scene.whole)), -1) & _at(scene.whole, at)


def _voted(scene: _Scene, now: _Squares, spread: float) -> jax.Array:
    """Return the mean of what all squares over each center say, ``[N, F]``; 0 where none does."""
    image, radius = scene.level.image, _radius(scene)
    real = scene.centers[:, 0] < len(image)
    usual = jnp.sum(jnp.where(jnp.isfinite(now.unlike) & real, now.unlike, 0)) / jnp.maximum(jnp.sum(real), 1)
    weight = jnp.exp(-now.unlike / (2 * spread * usual + 1e-8)) * _at(scene.trust, scene.centers)
    weight, field = _image_of(scene, weight), _field(scene, now)

    def add(carry: tuple[jax.Array, jax.Array], shift: jax.Array) -> tuple[Any, None]:
        total, sums = carry
        at = scene.centers - shift[None]
        inside = jnp.all((at >= 0) & (at <= _last(image)), -1)
        share = jnp.where(inside, _at(weight, at), 0)[:, None]
        return (total + share, sums + share * _at(image, _at(field, at) + shift[None])), None

    offsets = jnp.stack(jnp.mgrid[-radius : radius + 1, -radius : radius + 1], -1).reshape(-1, 2)
    count = len(scene.centers)
    nothing = jnp.zeros((count, 1)), jnp.zeros((count, image.shape[-1]))
    total, sums = jax.lax.scan(add, nothing, offsets)[0]
    return sums / jnp.maximum(total, 1e-30)


def _drawn(scene: _Scene, image: jax.Array, now: _Squares, spread: float) -> jax.Array:
    """Return the picture with what the squares say in its holes; as it is where no square is wholly known."""
    said = _image_of(scene, _voted(scene, now, spread))
    return jnp.where(scene.level.known[..., None] | ~jnp.any(scene.whole), image, said)


def _image_of(scene: _Scene, values: jax.Array) -> jax.Array:
    """Return a picture of the values of all centers, 0 elsewhere."""
    image = jnp.zeros((*scene.whole.shape, *values.shape[1:]), values.dtype)
    return image.at[scene.centers[:, 0], scene.centers[:, 1]].set(values, mode="drop")


def _field(scene: _Scene, now: _Squares) -> jax.Array:
    """Return what each pixel's square is like, ``[H, W, 2]``: itself where it is wholly known."""
    places = _places(scene.whole.shape)
    return places.at[scene.centers[:, 0], scene.centers[:, 1]].set(now.sources, mode="drop")


def _at(image: jax.Array, places: jax.Array) -> jax.Array:
    """Return the pixels at places ``[N, 2]``, those at the border for places beyond it."""
    places = jnp.clip(places, 0, _last(image))
    return image[places[:, 0], places[:, 1]]


def _last(image: jax.Array) -> jax.Array:
    return jnp.array(image.shape[:2], jnp.int32)[None] - 1


def _radius(scene: _Scene) -> int:
    return scene.weights.shape[1] // 2


def _least(known: jax.Array, side: int, *, beyond: bool) -> jax.Array:
    """Return whether all pixels of the square around each are known; what is beyond the picture counts as known where `beyond`."""
    x = jnp.pad(known, side // 2, constant_values=beyond)
    for window in ((side, 1), (1, side)):
        x = jax.lax.reduce_window(x, True, jax.lax.bitwise_and, window, (1, 1), "VALID")
    return x


def _trust(level: _Level) -> jax.Array:
    """Return how much each pixel counts, ``[H, W]``: 1 where it is known, less the farther it is from that, 0 beyond the picture."""

    def grow(_: jax.Array, trust: jax.Array) -> jax.Array:
        near = jax.lax.reduce_window(trust, 0.0, jax.lax.max, (3, 3), (1, 1), "SAME")
        return jnp.maximum(trust, near / _FADING)

    return jnp.where(level.there, jax.lax.fori_loop(0, 24, grow, jnp.maximum(level.known, _FADING**-24)), 0)


def _windows(image: jax.Array, centers: jax.Array, radius: int) -> jax.Array:
    """Return the squares around centers, ``[N, side, side, F]``; beyond the picture they are 0."""
    side = 2 * radius + 1
    padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)))
    numbers = jax.lax.GatherDimensionNumbers(offset_dims=(1, 2, 3), collapsed_slice_dims=(), start_index_map=(0, 1))
    return jax.lax.gather(
        padded, centers, numbers, (side, side, image.shape[-1]), mode=jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    )


def _draws(key: Key, centers: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return numbers in [-1, 1) of each place, the same however many there are: ``[K, N, 2]``."""
    number = 2 + int(np.ceil(np.log2(max(2, *shape))))
    keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(centers[:, 0] * shape[1] + centers[:, 1])
    return jax.vmap(lambda key: jax.random.uniform(key, (number, 2), minval=-1))(keys).swapaxes(0, 1)
