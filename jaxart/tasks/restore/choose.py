"""Choosing how to fill each hole, by its size and by what is around it, and filling a large picture hole by hole."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key
from jaxart.tasks.restore.exemplar import fill_exemplar
from jaxart.tasks.restore.fill import checked, fill_biharmonic

Fill = Callable[[Key, jax.Array, jax.Array], jax.Array]
_THIN = 4.0  # pixels from the known, at most, of what is not wide
_LEARNED = 16.0  # pixels from the known, at most, of what the network of the package has learned to fill
_BUSY = 0.01  # mean difference to the pixels beside, of texture
_NEAR = 8  # pixels around a hole in which texture is measured
_SIDE = 64  # windows have sides that are a power of two times this, so that few programs are compiled


class Part(NamedTuple):
    """Holes that hang together: where they are in the picture, bool ``[h, w]`` of that, their thickness and the texture around."""

    box: tuple[slice, slice]
    missing: np.ndarray
    thickness: float
    texture: float


def parts_of(picture: Array, holes: Array) -> list[Part]:
    """Return the holes of a picture, those that are less than a square of 3 x 3 pixels apart as one.

    Args:
        picture: ``[H, W, C]``, float.
        holes: bool ``[H, W]``.

    Returns:
        A part for each; its thickness is the largest distance from the known in pixels, its texture the mean difference of pixels beside
        one another, within eight pixels around and both known.
    """
    from scipy import ndimage

    known = ~np.asarray(holes)
    gray = np.where(known, np.asarray(picture, np.float32).mean(-1), 0)
    padded: Any = ndimage.distance_transform_edt(np.pad(~known, 1, mode="edge"))
    joined: Any = ndimage.label(ndimage.binary_dilation(~known, iterations=1), np.ones((3, 3)))
    depth, labels = padded[1:-1, 1:-1], joined[0]
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        missing = (labels[box] == number) & ~known[box]
        around = _wider(box, known.shape, _NEAR)
        found.append(Part(box, missing, float(depth[box][missing].max()), _texture(gray[around], known[around])))
    return found


def choose_fill(part: Part, fills: Mapping[str, Any] | None = None) -> str:
    """Return the name of the fill for a hole.

    The rule: where there is one fill alone, it takes all. Otherwise what is somewhere more than 4 pixels from the known, in texture, where
    neighbors differ by 0.01 or more on average, is made of pieces of the picture, "exemplar", which is sharp, and wrong where nothing like
    what is missing is around. The rest (cracks, dust, text, scattered pixels, losses in smooth surroundings) is filled by a network,
    "learned", if it is nowhere more than 16 pixels from the known, or where it is, or there is none, as a plate, "biharmonic". The numbers
    were set on six pictures (benchmarks/README.md) and checked on no others.

    Args:
        part: of `parts_of`.
        fills: those there are; `FILLS` when None.

    Returns:
        A name among `fills`.
    """
    names = FILLS if fills is None else fills
    if len(names) == 1:
        return next(iter(names))
    if part.thickness > _THIN and part.texture >= _BUSY and "exemplar" in names:
        return "exemplar"
    return "learned" if part.thickness <= _LEARNED and "learned" in names else "biharmonic"


def fill_parts(key: Key, picture: Array, holes: Array, *, fills: Mapping[str, Fill] | None = None) -> jax.Array:
    """Fill each hole in the way that `choose_fill` takes for it, looking at its neighborhood alone.

    Args:
        key: of fills that draw numbers.
        picture: ``[H, W, C]``, float; what it holds in the holes is not looked at, and may not be finite.
        holes: bool ``[H, W]``, of values, since what is done depends on them.
        fills: ``(key, picture, holes) -> picture`` by name, see `choose_fill`; those of `FILLS` when None.

    Returns:
        ``[H, W, C]``, outside of the holes the picture bit for bit.

    Raises:
        ValueError: as `fill_harmonic`.
    """
    picture, holes = checked(picture, holes)
    fills = FILLS if fills is None else fills
    chosen: dict[str, list[Part]] = {}
    for part in parts_of(picture, holes):
        chosen.setdefault(choose_fill(part, fills), []).append(part)
    found, left = np.array(picture), np.array(holes)
    for index, name in enumerate(sorted(chosen, key=lambda name: name == "exemplar")):  # which copies what others made
        for box, missing in _together(chosen[name], left.shape):
            filled = fills[name](jax.random.fold_in(key, index), jnp.asarray(found[box]), jnp.asarray(left[box]))
            found[box] = np.where(missing[..., None], filled, found[box])
            left[box] &= ~missing
    return jnp.asarray(found)


def _together(parts: list[Part], shape: tuple[int, int]) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield windows around parts and which of their pixels are to be filled; what lies wholly in a window is filled with it."""
    rest = list(parts)
    while rest:
        window = _window(rest[0].box, shape)
        inside = [part for part in rest if _within(part.box, window)]
        missing = np.zeros([each.stop - each.start for each in window], bool)
        for part in inside:
            place = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part.box, window, strict=True))
            missing[place] |= part.missing
        yield window, missing
        rest = [part for part in rest if not _within(part.box, window)]


def _window(box: tuple[slice, ...], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return a window three times as large as a hole, at least 64 pixels, or as much of that as there is."""
    found = []
    for part, size in zip(box, shape, strict=True):
        wanted = 3 * (part.stop - part.start) + _SIDE
        side = min(size, _SIDE * 2 ** int(np.ceil(np.log2(wanted / _SIDE))))
        start = min(max(0, (part.start + part.stop - side) // 2), size - side)
        found.append(slice(start, start + side))
    return found[0], found[1]


def _within(box: tuple[slice, ...], window: tuple[slice, ...]) -> bool:
    return all(b.start <= a.start and a.stop <= b.stop for a, b in zip(box, window, strict=True))


def _wider(box: tuple[slice, ...], shape: tuple[int, ...], by: int) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, part.start - by), min(size, part.stop + by)) for part, size in zip(box, shape, strict=True)
    )


def _texture(gray: np.ndarray, known: np.ndarray) -> float:
    total = count = 0.0
    for axis in (0, 1):
        both = np.delete(known, 0, axis) & np.delete(known, -1, axis)
        total, count = total + float(np.abs(np.diff(gray, axis=axis))[both].sum()), count + float(both.sum())
    return total / max(count, 1.0)


_plate = jax.jit(fill_biharmonic)


FILLS: dict[str, Fill] = {
    "biharmonic": lambda key, picture, holes: _plate(picture, holes),
    "exemplar": fill_exemplar,
}
