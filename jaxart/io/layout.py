"""Several pictures in one, and pictures made square."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as pillow

from jaxart.arrays import Image, check_image


def side_by_side(images: Sequence[Image], *, height: int, gap: int = 8) -> np.ndarray:
    """Lay pictures out in a row on white, each resized to the same height.

    Args:
        images: each ``[H, W, 3]``, float in [0, 1] or uint8.
        height: of the row, pixels.
        gap: between pictures, pixels.

    Returns:
        float32 ``[height, width, 3]`` in [0, 1].
    """
    row = []
    for image in images:
        pixels = pillow.fromarray(np.rint(check_image("picture", image) * 255).astype(np.uint8))
        resized = pixels.resize(
            (max(1, round(pixels.width * height / pixels.height)), height), pillow.Resampling.LANCZOS
        )
        row += [np.ones((height, gap, 3), np.float32), np.asarray(resized, np.float32) / 255]
    return np.concatenate(row[1:], axis=1)


def grid(images: Image, *, columns: int, gap: int = 2) -> np.ndarray:
    """Lay pictures out in rows on white.

    Args:
        images: ``[N, H, W, C]``, float in [0, 1] or uint8; C is 1 or 3.
        columns: pictures in a row, at least 1.
        gap: between pictures, pixels.

    Returns:
        float32 ``[rows (H + gap) - gap, columns (W + gap) - gap, 3]`` in [0, 1].

    >>> grid(np.zeros((5, 8, 8, 1), np.float32), columns=3).shape
    (18, 28, 3)
    """
    count, height, width, channels = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = np.ones((rows * columns, height + gap, width + gap, channels), np.float32)
    sheet[:count, :height, :width] = np.asarray(images, np.float32) / (255 if images.dtype == np.uint8 else 1)
    sheet = sheet.reshape(rows, columns, *sheet.shape[1:]).swapaxes(1, 2)  # [rows, H + gap, columns, W + gap, C]
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), channels)
    return np.broadcast_to(sheet, (*sheet.shape[:2], 3))[: -gap or None, : -gap or None]


def square(pixels: np.ndarray, size: int, *, fit: str = "crop") -> np.ndarray:
    """Bring a picture to a square, resized with Lanczos' filter, antialiased; alpha is taken into account.

    Args:
        pixels: uint8 ``[H, W, C]``; C is 1 (gray), 3 (RGB) or 4 (RGBA).
        size: side of the result in pixels.
        fit: "crop" keeps the central square; "pad" keeps everything, centered on white (transparent with alpha); "stretch" keeps
            everything and no proportions.

    Returns:
        uint8 ``[size, size, C]``.

    >>> square(np.zeros((30, 50, 3), np.uint8), 8).shape
    (8, 8, 3)
    """
    height, width, channels = pixels.shape
    image = pillow.fromarray(pixels[..., 0] if channels == 1 else pixels)
    if fit == "crop":
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        cut = image.crop((left, top, left + side, top + side))  # a box of resize would let in what is around it
        return np.asarray(cut.resize((size, size), pillow.Resampling.LANCZOS)).reshape(size, size, channels)
    if fit == "stretch":
        return np.asarray(image.resize((size, size), pillow.Resampling.LANCZOS)).reshape(size, size, channels)
    scale = size / max(height, width)
    inner = np.asarray(
        image.resize((max(1, round(width * scale)), max(1, round(height * scale))), pillow.Resampling.LANCZOS)
    )
    inner = inner.reshape(*inner.shape[:2], channels)
    canvas = np.full((size, size, channels), 255, np.uint8)
    canvas[..., 3:] = 0
    top, left = (size - inner.shape[0]) // 2, (size - inner.shape[1]) // 2
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas
