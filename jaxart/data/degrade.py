"""How pictures come to harm: blur, loss of size, noise, JPEG, strokes, cracks, scratches, dust, stains. Pure functions of a key and one
picture ``[H, W, C]`` in [0, 1], made to run inside a step, as those of `data.augmentation` are; results are not clipped.

Blur and loss of size are products with two matrices, which hold any kernel and any scale at one cost, so that both may be drawn.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key
from jaxart.image import cubic
from jaxart.ops import upsample_low_pass

_BLOCK = 8  # pixels of a side of JPEG's squares
_STROKES, _BENDS = 8, 4  # strokes of a mask, lines of one
_SEEN = 15 / 255  # of a change, in the channel where it is largest
_CELLS = 3  # on each side of the one that a pixel lies in, in which points of a net of cracks are looked for


def add_noise(key: Key, image: Array, deviation: Array | float, *, gray: Array | float = 0.0) -> jax.Array:
    """Add normal noise.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]``, float.
        deviation: of the noise: a number, or ``[H, W, 1]``.
        gray: share of examples whose noise is the same in all channels.
    """
    draw, chance = jax.random.split(key)
    noise = jax.random.normal(draw, image.shape, image.dtype)
    same = jax.random.uniform(chance) < gray
    return image + deviation * jnp.where(same, noise[..., :1], noise)


def resampled(image: Array, size: tuple[int, int], *, blur: Array | float = 0.0, kernel: str = "cubic") -> jax.Array:
    """Bring a picture to another size, blurred by a Gaussian before, by products with one matrix for each axis.

    Args:
        image: ``[H, W, C]``, float.
        size: (height, width) of the result, pixels.
        blur: standard deviation of the Gaussian in pixels of the picture, a number or one for each axis ``[2]``, which may be traced.
        kernel: "cubic" (Keys, a = -0.5, widened where it shrinks), "linear" (likewise) or "area" (mean of what a pixel covers).

    Returns:
        ``[height, width, C]``.
    """
    widths = jnp.broadcast_to(jnp.asarray(blur, jnp.float32), (2,))
    rows, columns = (
        _matrix(length, new, kernel) @ _gaussian(length, width)
        for length, new, width in zip(image.shape[:2], size, widths, strict=True)
    )
    return jnp.einsum("hH,wW,HWc->hwc", rows, columns, image, optimize="optimal", precision="highest")


@functools.lru_cache(maxsize=64)
def _matrix(length: int, new: int, kernel: str) -> np.ndarray:
    """Return what resamples an axis: ``[new, length]``, rows that add up to 1."""
    scale = length / new
    wide = max(scale, 1.0)
    place = (np.arange(new) + 0.5) * scale - 0.5
    distance = np.abs(place[:, None] - np.arange(length)[None]) / wide
    shapes = {
        "cubic": cubic(distance),
        "linear": np.maximum(1 - distance, 0),
        "area": np.clip(0.5 + 0.5 / wide - distance, 0, 1 / wide),
    }
    weights = shapes[kernel]
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _gaussian(length: int, width: Array) -> jax.Array:
    """Return what blurs an axis: ``[length, length]``; beyond the border the picture is not looked at."""
    places = jnp.arange(length, dtype=jnp.float32)
    distance = (places[:, None] - places[None]) / jnp.maximum(width, 1e-3)
    weights = jnp.exp(-0.5 * distance**2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def jpeg(image: Array, quality: Array | float, *, subsampled: bool = True) -> jax.Array:
    """Compress a picture as JPEG does, without the code of its numbers; rounding passes derivatives on as they are.

    Args:
        image: ``[H, W, 3]``, or of one channel; sides that are no multiples of 16 are continued by their border.
        quality: 1 to 100, which may be traced.
        subsampled: keep colors at half the size.

    Reference: ITU-T T.81, 1992, annex K (tables, scaled as the Independent JPEG Group's library does); colors by JFIF 1.02.
    """
    height, width, channels = image.shape
    padded = jnp.pad(image, [(0, -height % 16), (0, -width % 16), (0, 0)], mode="edge") * 255
    scale = jnp.where(quality < 50, 5000 / jnp.maximum(quality, 1), 200 - 2 * quality) / 100
    luma, chroma = (jnp.clip(jnp.floor(table * scale + 0.5), 1, 255) for table in (_LUMA, _CHROMA))
    if channels == 1:
        found = _quantized(padded[..., 0] - 128, luma)[..., None] + 128
    else:
        parts = (
            jnp.tensordot(padded, _TO_YCC, axes=((2,), (1,)), precision="highest")
            - jnp.array([128.0, 0, 0])[None, None]
        )
        y = _quantized(parts[..., 0], luma)
        small = _halved(parts[..., 1:]) if subsampled else parts[..., 1:]
        colors = jnp.stack([_quantized(small[..., n], chroma) for n in range(2)], axis=-1)
        if subsampled:
            colors = upsample_low_pass(colors[None])[0]
        found = jnp.concatenate([y[..., None] + 128, colors], axis=-1)
        found = jnp.tensordot(found, _FROM_YCC, axes=((2,), (1,)), precision="highest")
    found = jnp.clip(_rounded(found), 0, 255) / 255
    return found[:height, :width].astype(image.dtype)


def _quantized(plane: jax.Array, table: jax.Array) -> jax.Array:
    """Round the frequencies of squares of 8 x 8 pixels to multiples of a table."""
    height, width = plane.shape
    blocks = plane.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    waves = jnp.einsum("ka,iajb,lb->ikjl", _COSINES, blocks, _COSINES, precision="highest")
    steps = table[None, :, None, :]
    waves = _rounded(waves / steps) * steps
    return jnp.einsum("ka,ikjl,lb->iajb", _COSINES, waves, _COSINES, precision="highest").reshape(height, width)


def _rounded(x: jax.Array) -> jax.Array:
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _halved(x: jax.Array) -> jax.Array:
    height, width, channels = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))


def _cosines() -> np.ndarray:
    k, n = np.mgrid[:_BLOCK, :_BLOCK]
    waves = np.cos(np.pi * (2 * n + 1) * k / (2 * _BLOCK)) / 2
    return np.where(k == 0, waves / np.sqrt(2), waves).astype(np.float32)


_COSINES = _cosines()
_TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
_FROM_YCC = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_CHROMA = np.array(
    [
        [17, 18, 24, 47, 99, 99, 99, 99],
        [18, 21, 26, 66, 99, 99, 99, 99],
        [24, 26, 56, 99, 99, 99, 99, 99],
        [47, 66, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
        [99, 99, 99, 99, 99, 99, 99, 99],
    ],
    np.float32,
)


def old_photograph(key: Key, image: Array, size: tuple[int, int]) -> jax.Array:
    """Shrink a picture the way small pictures come about: blurred, shrunk by one of three kernels, noisy, compressed; each as it is drawn.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
        size: (height, width) of the result, pixels.

    Returns:
        ``[height, width, C]`` in [0, 1].

    Reference: Wang et al., Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data, 2021, section 3. Departures:
    one round; Gaussians along the axes; no artifacts of sinc filters.
    """
    blurs, which, noise, level, compress = jax.random.split(key, 5)
    factor = image.shape[0] / size[0]
    widths = jax.random.uniform(blurs, (2,), minval=0.0, maxval=0.5 * factor)
    made = jnp.stack([resampled(image, size, blur=widths, kernel=kernel) for kernel in ("cubic", "linear", "area")])
    made = made[jax.random.randint(which, (), 0, 3)]
    made = add_noise(noise, made, jax.random.uniform(level, maxval=15 / 255), gray=0.4)
    chance, drawn = jax.random.uniform(compress, (2,))
    packed = jpeg(jnp.clip(made, 0, 1), 30 + 65 * drawn)
    return jnp.clip(jnp.where(chance < 0.75, packed, made), 0, 1)


def strokes(key: Key, size: tuple[int, int], *, thickest: float = 0.12) -> jax.Array:
    """Return a mask of random strokes, each a bent line of one thickness: bool ``[H, W]``, one to eight of them.

    Args:
        key: typed key of the example.
        size: (height, width), pixels.
        thickest: half the thickness of a stroke at most, in parts of the longer side; the least is half a pixel.

    Reference: Liu et al., Image Inpainting for Irregular Holes Using Partial Convolutions, 2018; free-form strokes: Yu et al., Free-Form
    Image Inpainting with Gated Convolution, 2019, appendix.
    """
    starts, turns, thick, count = jax.random.split(key, 4)
    long = max(size)
    begin = jax.random.uniform(starts, (_STROKES, 1, 2)) * jnp.array(size)[None, None]
    angle = jnp.cumsum(jax.random.uniform(turns, (_STROKES, _BENDS), minval=-1.2, maxval=1.2), axis=1)
    angle += 2 * jnp.pi * jax.random.uniform(turns, (_STROKES, 1))
    steps = long / 5 * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    corners = jnp.concatenate([begin, begin + jnp.cumsum(steps, axis=1)], axis=1)  # [strokes, bends + 1, 2]
    least = 0.5
    half = least * jnp.exp(jax.random.uniform(thick, (_STROKES,)) * jnp.log(max(thickest * long, least) / least))
    used = jnp.arange(_STROKES) <= jax.random.randint(count, (), 0, _STROKES)
    places = jnp.stack(jnp.meshgrid(*(jnp.arange(n) + 0.5 for n in size), indexing="ij"), axis=-1)

    def drawn(index: Array, mask: jax.Array) -> jax.Array:
        near = [_distance(places, corners[index, n], corners[index, n + 1]) for n in range(_BENDS)]
        return mask | (used[index] & (functools.reduce(jnp.minimum, near) <= half[index]))

    return jax.lax.fori_loop(0, _STROKES, drawn, jnp.zeros(size, bool))


def _distance(places: jax.Array, one: jax.Array, other: jax.Array) -> jax.Array:
    """Return how far places ``[H, W, 2]`` are from a line between two points."""
    along = other - one
    away = places - one[None, None]
    share = jnp.clip(away @ along / jnp.maximum(jnp.sum(along**2), 1e-9), 0, 1)
    return jnp.sqrt(jnp.sum((away - share[..., None] * along[None, None]) ** 2, axis=-1))


class Damaged(NamedTuple):
    """A damaged picture ``[H, W, C]``, and how much of each pixel is damaged to be seen, ``[H, W, 1]`` in [0, 1]."""

    image: jax.Array
    share: jax.Array


def crack(key: Key, image: Array) -> Damaged:
    """Draw craquelure over a picture: a net of thin lines between cells, of the size, width, color, and as broken as they are drawn.

    Cells are those of points that are moved from a grid, at places that are bent by waves; a line is where the nearest two are equally
    far. Cells may be longer than wide, as those of canvas are, and lines may be dark, light, or lit from one side.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.

    Reference: what cracks look like: Bucklow, The Description of Craquelure Patterns, 1997; cells: Worley, A Cellular Texture Basis
    Function, 1996.
    """
    shape, points, bends, holes, color, fade = jax.random.split(key, 6)
    size, drawn = image.shape[:2], jax.random.uniform(shape, (8,))
    cell = 12 * jnp.exp(drawn[0] * jnp.log(6.0))  # pixels: 12 to 72
    longer = jnp.exp((drawn[1] - 0.5) * 1.6)
    turn = jnp.pi * drawn[2]
    rows, columns = jnp.meshgrid(*(jnp.arange(n, dtype=jnp.float32) for n in size), indexing="ij")
    waves = _waves(bends, rows, columns, jnp.array([12.0, 30.0]), 4)
    rows, columns = rows + 0.6 * waves[0] + 0.03 * cell * waves[2], columns + 0.6 * waves[1] + 0.03 * cell * waves[3]
    u = (jnp.cos(turn) * rows + jnp.sin(turn) * columns) / (cell * longer)
    v = (jnp.cos(turn) * columns - jnp.sin(turn) * rows) * longer / cell
    border = _border(points, u, v, 0.3 + 0.2 * drawn[3], longer) * cell  # pixels from the line, about
    half = 0.4 + 0.7 * drawn[4] ** 2 * jnp.minimum(1, cell / 24)  # of the line's width
    along = _waves(holes, rows, columns, jnp.array([25.0, 60.0]), 2)
    half = half * jnp.clip(0.9 + 0.4 * along[0], 0.4, 1.5)
    whole = jax.nn.sigmoid(6 * (along[1] + 2 * drawn[5] + 0.2))  # lines are broken where it is low
    share = jnp.clip(half + 0.5 - border, 0, 1) * whole
    return _laid_over(color, fade, image, share)


def _laid_over(color: Key, fade: Key, image: Array, share: jax.Array) -> Damaged:
    """Darken or lighten a picture where it is damaged; what changes less than can be seen in paint does not count."""
    tint, light = jax.random.uniform(color, (3,), minval=-0.06, maxval=0.06), jax.random.uniform(fade, (3,))
    tone = jnp.where(light[0] < 0.75, 0.2 * light[1], 1 - 0.2 * light[1])
    strength = 0.6 + 0.4 * light[2]
    paint = jnp.clip(tone + tint[: image.shape[-1]], 0, 1)[None, None]
    made = image + strength * share[..., None] * (paint - image)
    seen = jnp.max(jnp.abs(made - image), axis=-1) >= _SEEN
    return Damaged(made, jnp.where(seen, share, 0)[..., None])


def _border(key: Key, u: jax.Array, v: jax.Array, moved: Any, longer: Any) -> jax.Array:
    """Return how far places are from the line between the two nearest of points that are moved from a grid, in cells.

    Cells are `longer` times as long along u, and as many times narrower along v, as u and v have them.
    """
    row, column = jnp.floor(u), jnp.floor(v)
    best = [jnp.full(u.shape, 1e9)] * 2
    places = [jnp.zeros(u.shape)] * 4
    for dy in range(-(_CELLS // 2), _CELLS // 2 + 1):
        for dx in range(-(_CELLS // 2), _CELLS // 2 + 1):
            a, b = _hashed(key, row + dy, column + dx)
            y, x = row + dy + 0.5 + 2 * moved * (a - 0.5), column + dx + 0.5 + 2 * moved * (b - 0.5)
            far = (u - y) ** 2 + (v - x) ** 2
            first, second = far < best[0], far < best[1]
            places[2] = jnp.where(first, places[0], jnp.where(second, y, places[2]))
            places[3] = jnp.where(first, places[1], jnp.where(second, x, places[3]))
            places[0], places[1] = jnp.where(first, y, places[0]), jnp.where(first, x, places[1])
            best = [jnp.minimum(best[0], far), jnp.where(first, best[0], jnp.minimum(best[1], far))]
    across = (places[0] - places[2]) / longer, (places[1] - places[3]) * longer  # the line's, where it is drawn
    return (best[1] - best[0]) / (2 * jnp.maximum(jnp.hypot(*across), 1e-3))


def _hashed(key: Key, row: jax.Array, column: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return two numbers in [0, 1) of each cell, which depend on it and the key alone."""
    seeds = jax.random.bits(key, (2,))
    x = row.astype(jnp.int32).astype(jnp.uint32) * jnp.uint32(0x9E3779B1) ^ seeds[0]
    x = (x ^ (x >> 15)) * jnp.uint32(0x85EBCA77) + column.astype(jnp.int32).astype(jnp.uint32) * jnp.uint32(0xC2B2AE3D)
    x = (x ^ seeds[1] ^ (x >> 13)) * jnp.uint32(0x27D4EB2F)
    x = (x ^ (x >> 16)) * jnp.uint32(0x165667B1)
    x = x ^ (x >> 15)
    return (x & 0xFFFF).astype(jnp.float32) / 65536, (x >> 16).astype(jnp.float32) / 65536


def _waves(key: Key, rows: jax.Array, columns: jax.Array, lengths: Array, count: int) -> jax.Array:
    """Return sums of waves in random directions: ``[count, H, W]``, of deviation about 1; `lengths` are theirs, least and most, pixels."""
    turns, phases, long = jax.random.split(key, 3)
    angle = jax.random.uniform(turns, (count, 6), maxval=jnp.pi)
    phase = jax.random.uniform(phases, (count, 6), maxval=2 * jnp.pi)
    length = jax.random.uniform(long, (count, 6), minval=lengths[0], maxval=lengths[1])
    y, x = (2 * jnp.pi / length * each for each in (jnp.sin(angle), jnp.cos(angle)))
    inner = y[..., None, None] * rows[None, None] + x[..., None, None] * columns[None, None] + phase[..., None, None]
    return jnp.sum(jnp.sin(inner), axis=1) / 3**0.5


def scratch(key: Key, image: Array) -> Damaged:
    """Draw scratches, hairs and specks of dust over a picture: thin strokes and small discs, dark or light.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
    """
    lines, discs, sizes, count, color, fade = jax.random.split(key, 6)
    size = (image.shape[0], image.shape[1])
    thin = strokes(lines, size, thickest=2.0 / max(size)).astype(jnp.float32)
    centers = jax.random.uniform(discs, (12, 2)) * jnp.array(size)[None]
    radii = 0.5 + 2.5 * jax.random.uniform(sizes, (12,)) ** 2
    used = jnp.arange(12) < jax.random.randint(count, (), 0, 13)
    places = jnp.stack(jnp.meshgrid(*(jnp.arange(n) + 0.5 for n in size), indexing="ij"), axis=-1)
    far = jnp.sqrt(jnp.sum((places[None] - centers[:, None, None]) ** 2, axis=-1))
    dust = jnp.max(jnp.where(used[:, None, None], jnp.clip(radii[:, None, None] + 0.5 - far, 0, 1), 0), axis=0)
    return _laid_over(color, fade, image, jnp.maximum(thin, dust))


def stain(key: Key, image: Array) -> jax.Array:
    """Multiply a picture by the color of one smooth blot, as a liquid that has dried leaves: darker at its rim.

    Args:
        key: typed key of the example.
        image: ``[H, W, C]`` in [0, 1], float.
    """
    place, wave, color, strength = jax.random.split(key, 4)
    height, width = image.shape[:2]
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32), indexing="ij"
    )
    center = jax.random.uniform(place, (2,)) * jnp.array([height, width])
    radius = max(height, width) * (0.15 + 0.25 * jax.random.uniform(strength))
    bent = _waves(wave, rows, columns, radius * jnp.array([0.8, 2.0]), 1)[0]
    far = jnp.sqrt((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / radius + 0.15 * bent
    inside = jax.nn.sigmoid(30 * (1 - far))
    rim = jnp.exp(-(((far - 0.97) / 0.05) ** 2))
    depth = 0.25 * inside + 0.15 * rim
    absorbed = jnp.sort(jax.random.uniform(color, (3,), minval=0.3, maxval=1.0))[: image.shape[-1]]  # blue the most
    return image * jnp.exp(-depth[..., None] * absorbed[None, None])
