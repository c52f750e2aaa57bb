"""One mask file, brought to the square that its picture is brought to, with the nearest pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxart.data.mask_classes import IGNORED, Labels
from jaxart.data.shape import Shape
from jaxart.io import decode_mask


class MaskFile(NamedTuple):
    """A mask of a file.

    Fields:
        codes: uint8 ``[S, S]``, places in the ascending labels that the file has; 255 for what was added to make a square.
        labels: what they are.
        sides: (height, width) in the file.
        refused: why it cannot serve, as in "3 masks ..."; "" where it can, else `codes` is empty.
    """

    codes: np.ndarray
    labels: Labels
    sides: tuple[int, int]
    refused: str = ""


def read_mask_file(root: Path, shape: Shape, by_color: bool, name: str) -> MaskFile | str:
    """Return a mask of the shape, or why it cannot be read.

    Args:
        root: the folder.
        shape: what to bring it to.
        by_color: whether numbers stand for their colors.
        name: of the file below the folder.
    """
    try:
        with (root / name).open("rb") as stream:
            mask = decode_mask(stream, name)
    except Exception as error:  # whatever a damaged file makes a decoder raise, the others go on
        reason = " ".join(str(error).split()) or type(error).__name__
        return reason if reason.startswith(name) else f"{name}: {reason}"
    values, palette, sides = mask.values, mask.palette, mask.values.shape[:2]
    nothing = MaskFile(np.zeros((0, 0), np.uint8), Labels(name, False, {}), sides)
    if values.ndim == 3 and values.shape[-1] != 3:
        return nothing._replace(refused="have transparency (RGBA), where palette, gray or RGB is expected")
    if values.max() > 255:
        return nothing._replace(refused="have numbers above 255")
    if palette is not None and values.max() >= len(palette):
        return nothing._replace(refused="have numbers without a color in their palette")
    if by_color and values.ndim == 2:
        values = np.repeat(values[..., None], 3, -1) if palette is None else palette[values]
    colored = values.ndim == 3
    packed = _packed(values) if colored else values.astype(np.int32)
    counts = _counts(packed)
    if len(counts) > IGNORED:
        return nothing._replace(
            refused=f"have more than {IGNORED} colors, as smoothed borders make them, where each is a class"
        )
    labels = np.array(sorted(counts))
    codes = np.searchsorted(labels, _squared(packed, shape)).astype(np.uint8)
    told = () if palette is None or colored else tuple(_packed(palette).tolist())
    return MaskFile(_padded(codes, sides, shape), Labels(name, colored, counts, told), sides)


def _packed(colors: np.ndarray) -> np.ndarray:
    """Return colors ``[..., 3]`` as ``0xRRGGBB``, int32."""
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def _counts(packed: np.ndarray) -> dict[int, int]:
    """Return how many pixels each label has; runs of one label are counted at once."""
    flat = packed.reshape(-1)
    begins = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    labels, runs = np.unique(flat[begins], return_inverse=True)
    pixels = np.bincount(runs.reshape(-1), np.diff(np.append(begins, flat.size)))
    return dict(zip(labels.tolist(), pixels.astype(int).tolist(), strict=True))


def _squared(packed: np.ndarray, shape: Shape) -> np.ndarray:
    """Return the pixels nearest to those of the picture that `io.square` makes."""
    sides = packed.shape
    side = min(sides) if shape.fit == "crop" else 0
    places = [
        ((length - side) // 2 if side else 0) + _nearest(side or length, inner)
        for length, inner in zip(sides, _inner(sides, shape), strict=True)
    ]
    return packed[places[0][:, None], places[1][None]]


def _inner(sides: tuple[int, ...], shape: Shape) -> list[int]:
    """Return the sides of what of a padded square is the picture; of a cropped one that is all."""
    if shape.fit == "crop":
        return [shape.size] * 2
    return [max(1, round(length * (shape.size / max(sides)))) for length in sides]


def _nearest(length: int, count: int) -> np.ndarray:
    return np.minimum(((np.arange(count) + 0.5) * length / count).astype(int), length - 1)


def _padded(codes: np.ndarray, sides: tuple[int, ...], shape: Shape) -> np.ndarray:
    canvas = np.full((shape.size, shape.size), IGNORED, np.uint8)
    height, width = _inner(sides, shape)
    top, left = (shape.size - height) // 2, (shape.size - width) // 2
    canvas[top : top + height, left : left + width] = codes
    return canvas
