"""One size and one number of channels for all pictures of a dataset."""

from typing import NamedTuple

import numpy as np

from jaxart import io


class Shape(NamedTuple):
    """What pictures are brought to: ``[size, size, channels]``, by "crop", "pad" or "stretch"."""

    size: int
    channels: int
    fit: str


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Turn uint8 ``[..., C]`` into ``[..., channels]``: gray repeated, color as luminance (Rec. 601), alpha laid on white.

    Args:
        pixels: C is 1, 3 or 4.
        channels: 1, 3 or 4.

    >>> with_channels(np.array([[255, 0, 0, 128]], np.uint8), 3)
    array([[255, 127, 127]], dtype=uint8)
    """
    if pixels.shape[-1] == 4 and channels != 4:
        picture = io.Picture(pixels[..., :3], pixels[..., 3] / np.float32(255))
        pixels = np.rint(io.on_white(picture, white=255)).astype(np.uint8)
    if pixels.shape[-1] == 3 and channels == 1:
        return np.rint(pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)).astype(np.uint8)
    if pixels.shape[-1] == 1 and channels != 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.shape[-1] == 3 and channels == 4:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
    return pixels


def shaped(picture: io.Picture, shape: Shape) -> np.ndarray:
    """Bring a picture, uint8 or in [0, 1], to uint8 ``[size, size, channels]``, enlarging small ones.

    Args:
        picture: of any size.
        shape: what to bring it to.
    """
    pixels = picture.rgb if picture.alpha is None else np.concatenate([picture.rgb, picture.alpha[..., None]], axis=-1)
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    return with_channels(io.square(pixels, shape.size, fit=shape.fit), shape.channels)


def shaped_arrays(images: np.ndarray, shape: Shape) -> np.ndarray:
    """Bring uint8 ``[N, H, W, C]`` to ``[N, size, size, channels]``; what is smaller is padded with zeros, not enlarged.

    Args:
        images: C is 1, 3 or 4.
        shape: what to bring them to.
    """
    height, width = images.shape[1:3]
    if max(height, width) > shape.size:
        images = np.stack([io.square(image, shape.size, fit=shape.fit) for image in images])
    elif min(height, width) < shape.size:
        margins = [((shape.size - side) // 2, (shape.size - side + 1) // 2) for side in (height, width)]
        images = np.pad(images, ((0, 0), *margins, (0, 0)))
    return with_channels(images, shape.channels)
