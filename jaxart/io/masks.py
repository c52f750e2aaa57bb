"""Masks: numbers or colors of classes, read and written without any change."""

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image as pillow

from jaxart.io.files import ImageError, check_writable, replacing
from jaxart.io.opening import check_memory, opened, png_depth


class Mask(NamedTuple):
    """A mask file: numbers ``values [H, W]`` or colors ``[H, W, C]``, and the colors ``palette [K, 3]`` of its numbers if it has any."""

    values: np.ndarray
    palette: np.ndarray | None = None


def decode_mask(stream: BinaryIO, name: str) -> Mask:
    """Read a mask from an open PNG as it is: numbers of a gray or palette file, or colors; nothing is converted.

    Args:
        stream: binary, seekable.
        name: what the mask is called in messages.

    Returns:
        A `Mask` of uint8; numbers of 16 bits are kept, and so is alpha, as a last channel.

    Raises:
        ImageError: not a PNG, damaged, or colors of 16 bits.
    """
    with opened(stream, name) as image:
        if image.format != "PNG":
            raise ImageError(f"{name}: is {image.format}, which may blur labels; expected a mask as PNG.")
        check_memory(image.size, name)
        values = np.asarray(image)
        if image.mode == "RGB" and png_depth(stream) == 16:
            raise ImageError(f"{name}: has colors of 16 bits; expected a mask of 8.")
        colors = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3) if image.mode == "P" else None
        return Mask(values.astype(np.uint8) if values.dtype == bool else values, colors)


def write_mask(path: str | Path, values: np.ndarray, palette: np.ndarray) -> Path:
    """Write numbers as a palette PNG, atomically.

    Args:
        path: .png, in an existing folder.
        values: uint8 ``[H, W]``.
        palette: uint8 ``[K, 3]``, colors of the numbers 0, 1, ...; K is at most 256.

    Returns:
        The path.

    Raises:
        ImageError: another extension, or no such folder.
    """
    path = check_writable(path, suffixes=(".png",))
    image = pillow.fromarray(np.ascontiguousarray(values, np.uint8)).convert("L")
    image.putpalette(np.ascontiguousarray(palette, np.uint8).tobytes())
    with replacing(path) as partial:
        image.save(partial, format="PNG", optimize=True)
    return path
