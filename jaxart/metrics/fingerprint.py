"""Fingerprints of pictures that survive what copyists do: gray thumbnails in eight orientations, their crops, perceptual hashes.

A picture is squeezed to a square whatever its shape, so that a crop that takes the same share of both sides is a square part of it.
"""

import numpy as np

THUMBNAIL = 32  # side, pixels
_FREQUENCIES = 8
_BLOCK = 1 << 13  # hashes that are compared at once: they stay in the cache
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


def _crop_grid() -> np.ndarray:
    """Return (top, left, share) of the whole and of 3 x 3 places of 90 and 80 % of the sides; corners and center are among them."""
    places = [(0.0, 0.0, 1.0)]
    for share in (0.9, 0.8):
        offsets = (0, (1 - share) / 2, 1 - share)
        places += [(top, left, share) for top in offsets for left in offsets]
    return np.array(places, np.float32)


CROPS = _crop_grid()  # [19, 3]: top, left and side, as shares of the picture's


def squeeze(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return the means of ``size x size`` equal parts of a picture, uint8, whatever its shape; small pictures are enlarged by repeating.

    Args:
        pixels: uint8 ``[H, W, C]``, or floats in [0, 1].
        size: of the result ``[size, size, C]``, pixels.

    >>> squeeze(np.array([[[0], [100], [200], [200]]], np.uint8), 2)[..., 0]
    array([[ 50, 200],
           [ 50, 200]], dtype=uint8)
    """
    height, width, channels = pixels.shape
    down, across = part_means(height, size), part_means(width, size)
    rows = np.empty((size, width, channels), np.float32)
    for row, weights in zip(rows, down, strict=True):  # some rows at a time: large pictures have no room for floats
        first, last = np.flatnonzero(weights)[[0, -1]]
        row[:] = np.tensordot(weights[first : last + 1], pixels[first : last + 1].astype(np.float32), 1)
    means = np.tensordot(across, rows, (1, 1)).swapaxes(0, 1)  # [size, size, C]
    return np.rint(means * (1 if pixels.dtype == np.uint8 else 255)).clip(0, 255).astype(np.uint8)


def part_means(count: int, size: int, *, start: float = 0, share: float = 1) -> np.ndarray:
    """Return the matrix ``[size, count]`` that takes means of equal parts of a row of pixels, which may begin and end within a pixel.

    Args:
        count: pixels in the row.
        size: parts.
        start: where the parts begin, as a share of the row.
        share: of the row that they cover.
    """
    borders = count * (start + share * np.arange(size + 1) / size)
    pixels = np.arange(count)
    overlap = np.minimum(borders[1:, None], pixels + 1) - np.maximum(borders[:-1, None], pixels)
    return (np.maximum(overlap, 0) * size / (share * count)).astype(np.float32)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Return two gray thumbnails of each picture: luminance, and the mean of its largest and smallest channel.

    Turning the hue leaves one of them as it is: the first where it is turned in YIQ, the second in HSV or HSL.

    Args:
        pictures: uint8 ``[N, S, S, C]``, C of 1 or 3, S a multiple of 32.

    Returns:
        uint8 ``[N, 2, 32, 32]``.

    Raises:
        ValueError: pictures of another type or shape.
    """
    shape = np.shape(pictures)
    if (
        len(shape) != 4
        or shape[1] != shape[2]
        or shape[1] % THUMBNAIL
        or shape[3] not in (1, 3)
        or pictures.dtype != np.uint8
    ):
        raise ValueError(
            f"thumbnails: expected uint8 pictures [N, S, S, 1 or 3], S a multiple of {THUMBNAIL}, got {shape}."
        )
    size = shape[1] // THUMBNAIL
    found = np.empty((len(pictures), 2, THUMBNAIL, THUMBNAIL), np.uint8)
    for each, picture in zip(found, pictures, strict=True):
        values = picture.astype(np.float32)
        luminance = values @ _LUMA if shape[3] == 3 else values[..., 0]
        lightness = (values.max(-1) + values.min(-1)) / 2
        parts = np.stack([luminance, lightness]).reshape(2, THUMBNAIL, size, THUMBNAIL, size)
        each[:] = np.rint(parts.mean((2, 4)))
    return found


def orientations(images: np.ndarray) -> np.ndarray:
    """Return squares in their eight orientations: turned by quarters, then mirrored and turned.

    Args:
        images: ``[..., S, S]``.

    Returns:
        ``[..., 8, S, S]``, the first as it is.
    """
    turned = [np.rot90(each, turns, axes=(-2, -1)) for each in (images, images[..., ::-1]) for turns in range(4)]
    return np.stack(turned, axis=-3)


def crops(images: np.ndarray, *, places: np.ndarray = CROPS) -> np.ndarray:
    """Return parts of squares, brought to the size of the whole.

    Args:
        images: ``[..., S, S]``.
        places: ``[P, 3]``: top, left and side of each part, as shares.

    Returns:
        float32 ``[..., P, S, S]``.
    """
    size, found = images.shape[-1], []
    images = images.astype(np.float32)
    for top, left, share in places:
        down, across = (part_means(size, size, start=start, share=share) for start in (top, left))
        found.append(down @ images @ across.T)
    return np.stack(found, axis=-3)


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """Return 64 bits of each square: which of its lowest 8 x 8 cosine coefficients lie above their median.

    Light, contrast, noise and JPEG change few of the bits; two different pictures differ in about half of them.

    Args:
        images: gray, ``[..., S, S]``, S of at least 8.

    Returns:
        uint64 ``[...]``; the bit of the mean says nothing, it is left out of the median.

    >>> picture = np.random.default_rng(0).random((32, 32)).cumsum(0)
    >>> int(hamming(perceptual_hash(0.5 * picture + 9)[None], perceptual_hash(picture)[None])[0, 0])
    0
    """
    basis = _cosines(images.shape[-1])
    found = (basis @ images.astype(np.float32) @ basis.T).reshape(*images.shape[:-2], _FREQUENCIES**2)
    found[..., 0] = 0
    above = found > np.median(found[..., 1:], axis=-1, keepdims=True)
    above[..., 0] = False
    return np.packbits(above, axis=-1).view(np.uint64)[..., 0]


def _cosines(size: int) -> np.ndarray:
    """Return the lowest rows of the orthonormal cosine transform (DCT-II), ``[8, size]``."""
    place = (np.arange(size) + 0.5) * np.pi / size
    rows = np.sqrt(2 / size) * np.cos(np.arange(_FREQUENCIES)[:, None] * place)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def hamming(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return in how many bits hashes differ; of several hashes of one picture, in the fewest.

    Args:
        queries: uint64 ``[M]`` or ``[M, Q]``, Q hashes of each picture.
        known: uint64 ``[N]`` or ``[N, K]``.

    Returns:
        uint8 ``[M, N]``.
    """
    queries, known = (each.reshape(len(each), -1) for each in (queries, known))
    found = np.full((len(queries), len(known)), 64, np.uint8)
    for first in range(0, len(known), _BLOCK):
        some = np.ascontiguousarray(known[first : first + _BLOCK].T)  # [K, block]
        for row, hashes in zip(found[:, first : first + _BLOCK], queries, strict=True):
            for each in np.unique(hashes):
                np.minimum(row, np.bitwise_count(some ^ each).min(axis=0), out=row)
    return found


def gray_distance(views: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the root mean square difference of gray pictures of mean 0 and deviation 1, in the best orientation.

    Args:
        views: of one picture, ``[V, S, S]``.
        known: ``[K, S, S]``.

    Returns:
        ``[K]``, 0 to 2, near 1.4 for pictures that have nothing in common.
    """
    views, known = (_normalized(each.astype(np.float32)) for each in (views, known))
    return np.sqrt(((views[None] - known[:, None]) ** 2).mean((-2, -1)).min(axis=1))


def _normalized(images: np.ndarray) -> np.ndarray:
    images = images - images.mean((-2, -1), keepdims=True)
    return images / np.maximum(images.std((-2, -1), keepdims=True), 1)
