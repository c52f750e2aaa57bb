"""Reading pictures: any mode and depth, upright, in sRGB."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
import png
import tifffile
from PIL import Image as pillow
from PIL import ImageCms, ImageOps

from jaxart.io.files import ImageError
from jaxart.io.opening import LIBTIFF, check_memory, opened, png_depth


class Picture(NamedTuple):
    """A picture file: ``rgb [H, W, 3]`` float32 sRGB in [0, 1], and ``alpha [H, W]`` in [0, 1] if the file has one.

    Beside them the file's `bits` of a channel, 8 or 16 (for all that has more than 8), and the color `profile` that `rgb` has, if that was
    asked for and is not sRGB.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    bits: Literal[8, 16] = 8
    profile: bytes | None = None


def read(path: str | Path) -> np.ndarray:
    """Read a picture as float32 sRGB ``[H, W, 3]`` in [0, 1], composited on white where it is transparent.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP or GIF (first frame); gray, palette, CMYK, 16-bit, any orientation and color profile.

    Raises:
        ImageError: missing, empty, truncated, not a picture, or too large.
    """
    return on_white(read_picture(path))


def on_white(picture: Picture, *, white: float = 1) -> np.ndarray:
    """Return the colors that a picture has on white, ``[..., H, W, 3]``.

    Args:
        picture: with or without alpha, which is in [0, 1].
        white: the largest value of a color, such as 255.
    """
    if picture.alpha is None:
        return picture.rgb
    alpha = picture.alpha[..., None]
    return picture.rgb * alpha + white * (1 - alpha)


def read_picture(path: str | Path, *, own_colors: bool = False) -> Picture:
    """Read a picture and its alpha: EXIF orientation applied, ICC profile converted to sRGB.

    Args:
        path: as in `read`.
        own_colors: keep the numbers of an RGB file with a profile as they are, and return the profile.

    Raises:
        ImageError: as `read`.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file.")
    if not path.is_file() or path.stat().st_size == 0:
        raise ImageError(f"{path}: {'is a folder' if path.is_dir() else 'is empty (0 bytes)'}, expected a picture.")
    try:
        with warnings.catch_warnings(), open(path, "rb") as stream:
            warnings.simplefilter("ignore")  # Pillow's on large pictures and odd metadata: size is judged here
            picture = decode(stream, str(path), own_colors=own_colors)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}).") from error
    alpha = None if picture.alpha is None else _as_float(picture.alpha)
    return picture._replace(rgb=_as_float(picture.rgb), alpha=alpha, bits=8 if picture.rgb.dtype == np.uint8 else 16)


def _as_float(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8:
        return pixels
    values = pixels.astype(np.float32)
    values /= 255  # in place: no second copy of a large picture
    return values


def decode(stream: BinaryIO, name: str, *, own_colors: bool = False) -> Picture:
    """Read a picture from an open file or bytes in memory, as `read_picture` does but without spending memory on floats.

    Args:
        stream: binary, seekable.
        name: what the picture is called in messages.
        own_colors: as in `read_picture`.

    Returns:
        A `Picture` of uint8, of float32 in [0, 1] if the file is deeper than 8 bits. Pillow's warnings are the caller's to silence.

    Raises:
        ImageError: as `read`.
    """
    with opened(stream, name) as image:
        check_memory(image.size, name)
        return _decode(image, stream, name, own_colors)


def _decode(image: pillow.Image, stream: BinaryIO, name: str, own_colors: bool) -> Picture:
    deep = _sixteen_bit(image, stream)
    profile = image.info.get("icc_profile")
    kept = profile if own_colors and "R" in image.getbands() else None
    profile = None if kept else profile
    if deep is not None:
        if not np.isfinite(deep).all():
            raise ImageError(f"{name}: holds values that are not finite.")
        return _oriented(deep, image, profile)._replace(profile=kept)
    with LIBTIFF.silenced() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()
    image = ImageOps.exif_transpose(image)
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        image = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    if profile or image.mode == "LAB":
        image = _to_srgb(image, profile)
    return Picture(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), alpha, profile=kept)


def _to_srgb(image: pillow.Image, profile: bytes | None) -> pillow.Image:
    """Convert by the embedded profile; one that is broken or of another color space than the pixels is ignored, as viewers do."""
    if image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGB")
    try:
        lab = image.mode == "LAB"  # is absolute: whatever the profile says
        source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _sixteen_bit(image: pillow.Image, stream: BinaryIO) -> np.ndarray | None:
    """Return float ``[H, W, C]`` of a 16-bit or float picture, which Pillow would cut to 8 bits or clip; else None."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        return np.asarray(image)[..., None]
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        pixels = np.asarray(image).astype(np.float32)[..., None] / 65535
        pixels = 1 - pixels if tags.get(262) == 0 else pixels  # WhiteIsZero
    elif tags.get(262) == 2 and max(tags.get(258, (8,))) == 16:  # RGB
        pixels = _deep_tiff(stream, len(image.getbands()))
        if pixels is not None and tags.get(338) == (1,):  # premultiplied by alpha
            pixels[..., :3] /= np.maximum(pixels[..., 3:], 1 / 65535)
    elif image.format == "PNG" and png_depth(stream) == 16:
        stream.seek(0)
        width, height, rows, facts = png.Reader(file=stream).read()
        pixels = np.vstack([np.asarray(row, np.uint16) for row in rows])
        pixels = pixels.reshape(height, width, facts["planes"]).astype(np.float32) / 65535
    else:
        return None
    if pixels is not None and "transparency" in image.info:  # a PNG in which one color is transparent
        opaque = np.any(np.rint(pixels * 65535) != np.asarray(image.info["transparency"]), axis=-1, keepdims=True)
        pixels = np.concatenate([pixels, opaque], axis=-1, dtype=np.float32)
    return pixels


def _deep_tiff(stream: BinaryIO, channels: int) -> np.ndarray | None:
    """Return the first page's ``[H, W, channels]``; None if only Pillow, at 8 bits, knows its compression (LZW)."""
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages.first
        if page.compression not in (1, 8, 32773, 32946):  # none, deflate, packbits, deflate by its old number
            return None
        pixels = page.asarray()
        pixels = np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 else pixels
        pixels = pixels[..., :channels].astype(np.float32)
        pixels /= 65535
        return pixels


def _oriented(pixels: np.ndarray, image: pillow.Image, profile: bytes | None) -> Picture:
    """Split 16-bit pixels into color and alpha, upright, in sRGB. Pillow converts other profiles than sRGB at 8 bits only."""
    turns = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
    quarter, mirror = turns.get(image.getexif().get(0x0112, 1), (0, False))
    pixels = np.rot90(pixels, quarter)
    pixels = np.ascontiguousarray(pixels[:, ::-1] if mirror else pixels)
    channels = pixels.shape[-1]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    rgb = np.repeat(pixels[..., :1], 3, axis=-1) if channels <= 2 else pixels[..., :3]
    rgb = np.clip(rgb, 0, 1)
    if profile:
        coarse = np.rint(rgb * 255).astype(np.uint8)
        converted = _to_srgb(pillow.fromarray(coarse[..., 0] if channels <= 2 else coarse), profile)
        converted = np.asarray(converted.convert("RGB"), np.float32)
        if np.abs(converted - coarse).max() > 1:  # else it is sRGB by whatever name, and all 16 bits stay
            rgb = converted / 255
    return Picture(rgb, alpha)
