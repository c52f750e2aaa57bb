"""Writing pictures, of 8 and 16 bits, and animations."""

import shutil
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import png
import tifffile
from PIL import Image as pillow
from PIL import ImageCms

from jaxart.arrays import Image, check_image
from jaxart.io.files import ANIMATIONS, ImageError, check_writable, replacing
from jaxart.io.layout import grid

_PNG_HEADER = 33  # bytes of the signature and the first chunk, after which a profile may stand


def write(
    path: str | Path,
    image: Image,
    *,
    alpha: Image | None = None,
    bits: Literal[8, 16] = 8,
    profile: bytes | None = None,
) -> Path:
    """Write a picture by its extension, with a color profile, atomically: a reader never sees half a file.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif or .tiff, in an existing folder. A TIFF of more than 4 GiB becomes a BigTIFF.
        image: ``[H, W, 3]``, float in [0, 1] or uint8.
        alpha: ``[H, W]`` in [0, 1]; JPEG has none: there the picture is composited on white.
        bits: of each channel; 16 for PNG and TIFF.
        profile: of the colors; None for sRGB's, which a PNG of 16 bits goes without.

    Returns:
        The path.

    Raises:
        ImageError: an extension that cannot be written, with that number of bits, or no such folder.
    """
    path = check_writable(path, bits=bits)
    pixels, suffix = _quantized(check_image("picture", image), bits), path.suffix.lower()
    jpeg, tiff = suffix in (".jpg", ".jpeg"), suffix in (".tif", ".tiff")
    if alpha is not None:
        opacity = np.clip(np.asarray(alpha, np.float32), 0, 1)[..., None]
        if jpeg:
            pixels = np.rint(pixels * opacity + 255 * (1 - opacity)).astype(np.uint8)
        else:
            pixels = np.concatenate([pixels, _quantized(opacity, bits)], axis=-1)
    with replacing(path) as partial:
        if tiff:
            _write_tiff(partial, pixels, profile or _srgb_profile())
        elif bits == 16:
            _write_deep_png(partial, pixels, profile)
        else:
            kind = pillow.registered_extensions()[suffix]
            options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(
                kind, {}
            )
            pillow.fromarray(pixels).save(partial, format=kind, icc_profile=profile or _srgb_profile(), **options)
    return path


def _quantized(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values in [0, 1] as integers of `bits` bits, row by row: large pictures have no room for another copy in float."""
    kind, most = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    whole = np.empty(values.shape, kind)
    for row, integers in zip(values, whole, strict=True):
        integers[:] = np.rint(row * most)
    return whole


def _write_tiff(path: Path, pixels: np.ndarray, profile: bytes) -> None:
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        compression="zlib",
        extrasamples=["unassalpha"] if pixels.shape[-1] == 4 else None,
        iccprofile=profile,
        metadata=None,
    )


def _write_deep_png(path: Path, pixels: np.ndarray, profile: bytes | None) -> None:
    height, width, channels = pixels.shape
    colored: Any = {"greyscale": False}  # pypng's name; its default has a type of its own
    writer = png.Writer(width, height, alpha=channels == 4, bitdepth=16, **colored)
    rows = (row.astype(">u2").tobytes() for row in pixels)
    with open(path, "wb") as stream:
        if profile is None:
            writer.write_packed(stream, rows)
            return
        plain = Path(f"{path}.plain")
        with open(plain, "wb") as first:
            writer.write_packed(first, rows)
        with open(plain, "rb") as first:
            stream.write(first.read(_PNG_HEADER))
            png.write_chunk(stream, b"iCCP", b"ICC\0\0" + zlib.compress(profile))
            shutil.copyfileobj(first, stream)
        plain.unlink()


def _srgb_profile() -> bytes:
    """Return an sRGB profile without the date of its making, so that equal pictures are equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e800010001000000000000")  # 2024-01-01
    return bytes(profile)


def write_animation(path: str | Path, frames: Image, *, fps: float) -> Path:
    """Write frames ``[N, H, W, C]``, in [0, 1] or uint8, as a loop, atomically.

    Args:
        path: .gif or .webp.
        frames: C is 1 or 3.
        fps: frames per second.

    Raises:
        ImageError: as `write`; or no positive `fps`.
    """
    path = check_writable(path, suffixes=ANIMATIONS)
    if fps <= 0:
        raise ImageError(f"fps: expected more than 0, got {fps}.")
    pages = [np.rint(grid(frame[None], columns=1) * 255).astype(np.uint8) for frame in frames]
    first, *rest = (pillow.fromarray(page) for page in pages)
    with replacing(path) as partial:
        kind = pillow.registered_extensions()[path.suffix.lower()]
        first.save(partial, format=kind, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return path
