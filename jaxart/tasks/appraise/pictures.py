"""What is seen of a picture of a lot: statistics of color, contrast and edges, and how features come to a common scale."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.color import rgb_to_lab

PICTURE_STATISTICS = 116
_SIDE = 128  # pixels of the longer side, at which pictures are looked at
_CELLS = 4  # along each side
_MOST_FEATURES = 256  # more are projected on their leading directions
_DIRECTIONS = 64
_MOST_LOOKED_AT = 2048  # lots of which directions are learned
_LEAST = 1e-3  # standard deviation; a feature that varies less says nothing
_FURTHEST = 5.0  # deviations; nothing is further from the mean
_to_lab = jax.jit(rgb_to_lab)


class PictureScaling(NamedTuple):
    """How features of pictures come to a common scale, from `learn_picture_scaling`; float64 arrays.

    Fields:
        mean: of each feature, ``[P]``.
        factor: one over its standard deviation, ``[P]``; 0 of a feature that does not vary.
        directions: ``[P, K]`` on which many features are projected; None of few.
    """

    mean: np.ndarray
    factor: np.ndarray
    directions: np.ndarray | None = None


def picture_statistics(picture: np.ndarray) -> np.ndarray:
    """Return 116 numbers of a picture of any size, nearly the same of a finer scan: its longer side is brought to 128 pixels first.

    Only the gradients of a smaller picture are less, for it is enlarged, and its edges are soft.

    In this order, in units of CIE Lab (lightness 0 to 100, a and b about -100 to 100):

    - of 16 cells, 4 x 4, row by row, 7 numbers each: the means of lightness, a and b, their standard deviations, and the mean size of the
      gradient of lightness per pixel (of those 128);
    - of the whole: colorfulness (0 gray, 109 extremely colorful), contrast (the standard deviation of lightness), the mean chroma
      ``sqrt(a^2 + b^2)``, and ``log(width / height)``.

    Args:
        picture: ``[H, W, 3]``, sRGB in [0, 1].

    Returns:
        ``[116]``, float32.

    Raises:
        ValueError: no such picture.

    Reference: colorfulness M3 of Hasler and Suesstrunk, Measuring Colorfulness in Natural Images, 2003.
    """
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind != "f" or not pixels.size:
        raise ValueError(f"picture: expected floats [H, W, 3] in [0, 1], got {pixels.dtype} {list(pixels.shape)}.")
    sides = pixels.shape[:2]
    true = [_SIDE * side / max(sides) for side in sides]  # sides of the picture whose longer one is _SIDE
    height, width = (_CELLS * max(1, round(side / _CELLS)) for side in true)
    small = np.clip(_resampled(pixels, height, width), 0, 1)
    lab = _lab(small)
    slopes = np.gradient(lab[..., 0], true[0] / height, true[1] / width)
    cells = _by_cell(np.concatenate([lab, np.hypot(*slopes)[..., None]], axis=-1))  # [16, pixels, 4]
    of_cells = np.concatenate([cells[..., :3].mean(axis=1), cells[..., :3].std(axis=1), cells.mean(axis=1)[:, 3:]], 1)
    chroma = np.hypot(lab[..., 1], lab[..., 2]).mean()
    whole = [_colorfulness(small), lab[..., 0].std(), chroma, np.log(sides[1] / sides[0])]
    return np.concatenate([of_cells.reshape(-1), whole]).astype(np.float32)


def learn_picture_scaling(features: np.ndarray, pictured: np.ndarray) -> PictureScaling:
    """Learn from the pictured lots of the training part how features come to a common scale; equal inputs give equal results.

    Features are standardized. Where there are more than 256, the 64 principal components that vary most follow (fewer where there are
    fewer lots), divided by one number for all, so that their variances are 1 on average.

    Args:
        features: of the training part, ``[N, P]``.
        pictured: which of its lots have a picture, bool ``[N]``; rows of the others are not looked at.

    Raises:
        ValueError: other shapes.
    """
    features, shown = np.asarray(features), np.asarray(pictured, bool)
    if features.ndim != 2 or shown.shape != features.shape[:1]:
        raise ValueError(
            f"pictured: expected [N] beside features [N, P], got {list(shown.shape)} beside {list(features.shape)}."
        )
    known = features[shown].astype(np.float64)
    count, length = known.shape
    mean = known.mean(axis=0) if count else np.zeros(length)
    deviation = known.std(axis=0) if count else np.zeros(length)
    factor = np.where(deviation > _LEAST, 1 / np.maximum(deviation, _LEAST), 0.0)
    scaling = PictureScaling(mean, factor)
    if length <= _MOST_FEATURES:
        return scaling
    looked_at = known[:: max(1, -(-count // _MOST_LOOKED_AT))]
    return scaling._replace(directions=_leading(_standardized(scaling, looked_at)))


def scaled_pictures(scaling: PictureScaling, features: np.ndarray) -> np.ndarray:
    """Return features as networks read them, none far from 0: ``[N, P]``, or ``[N, K]`` where there are many; float32.

    Args:
        scaling: from `learn_picture_scaling`.
        features: ``[N, P]``; what rows of lots without a picture become is not to be looked at.

    Raises:
        ValueError: another number of features.
    """
    scaling, features = PictureScaling(*scaling), np.asarray(features)
    if features.ndim != 2 or features.shape[1] != len(scaling.mean):
        raise ValueError(f"features: expected [N, {len(scaling.mean)}], as in training, got {list(features.shape)}.")
    standard = _standardized(scaling, features.astype(np.float64))
    found = standard if scaling.directions is None else standard @ np.asarray(scaling.directions)
    return found.astype(np.float32)


def _standardized(scaling: PictureScaling, features: np.ndarray) -> np.ndarray:
    return np.clip((features - np.asarray(scaling.mean)) * np.asarray(scaling.factor), -_FURTHEST, _FURTHEST)


def _leading(values: np.ndarray) -> np.ndarray:
    """Return the directions ``[P, K]`` of the largest variances, the largest number of each positive; [P, 1] zeros where nothing varies."""
    count, length = values.shape
    _, sizes, rows = np.linalg.svd(
        values - values.mean(axis=0) if count else np.zeros((1, length)), full_matrices=False
    )
    kept = sizes[:_DIRECTIONS] > 1e-9 * max(1.0, sizes[0])
    if not kept.any():
        return np.zeros((length, 1))
    directions, sizes = rows[:_DIRECTIONS][kept].T, sizes[:_DIRECTIONS][kept]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return directions * np.sign(largest) / np.sqrt((sizes**2).mean() / count)


def _resampled(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``[height, width, 3]``; by sums of products, so that pictures of many sizes are not many programs to compile."""
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    low = (rows @ pixels.reshape(len(pixels), -1)).reshape(height, pixels.shape[1], 3)
    return np.matmul(columns, low)


def _weights(size: int, wanted: int) -> np.ndarray:
    """Return what each of `size` pixels counts in each of `wanted`, ``[wanted, size]``: linear interpolation, wider where it shrinks."""
    scale = size / wanted
    distance = (np.arange(wanted)[:, None] + 0.5) * scale - (np.arange(size)[None] + 0.5)
    weights = np.maximum(0, 1 - np.abs(distance) / max(1.0, scale))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _lab(small: np.ndarray) -> Any:
    """Return Lab of a picture of at most _SIDE pixels a side, float64; one program for all shapes."""
    padded = np.zeros((_SIDE * _SIDE, 3), np.float32)
    count = small.shape[0] * small.shape[1]
    padded[:count] = small.reshape(-1, 3)
    return np.asarray(_to_lab(padded), np.float64)[:count].reshape(small.shape)


def _by_cell(values: np.ndarray) -> np.ndarray:
    height, width, channels = values.shape
    cut = values.reshape(_CELLS, height // _CELLS, _CELLS, width // _CELLS, channels)
    return cut.transpose(0, 2, 1, 3, 4).reshape(_CELLS**2, -1, channels)


def _colorfulness(small: np.ndarray) -> Any:
    red, green, blue = (255 * small[..., channel].astype(np.float64) for channel in range(3))
    one, other = red - green, (red + green) / 2 - blue
    return np.hypot(one.std(), other.std()) + 0.3 * np.hypot(one.mean(), other.mean())
