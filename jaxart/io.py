"""Reading and writing pictures as people have them. The only module that knows Pillow."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import png
import tifffile
from PIL import Image as pillow
from PIL import ImageCms, ImageOps

from jaxart.arrays import Array, check_image

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
_MOST_PIXELS = 2 * 89_478_485  # Pillow's own limit of decompression


class ImageError(ValueError):
    """A picture that cannot be read or written; the message is one line for people."""


class Picture(NamedTuple):
    """A picture file: ``rgb [H, W, 3]`` float32 sRGB in [0, 1], and ``alpha [H, W]`` in [0, 1] if the file has one."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def read(path: str | Path) -> np.ndarray:
    """Read a picture as float32 sRGB ``[H, W, 3]`` in [0, 1]; transparent parts stand before white.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP or GIF (first frame); grey, palette, CMYK, 16-bit, any orientation and colour profile.

    Raises:
        ImageError: missing, empty, truncated, not a picture, or too large.
    """
    picture = read_picture(path)
    if picture.alpha is None:
        return picture.rgb
    alpha = picture.alpha[..., None]
    return picture.rgb * alpha + (1 - alpha)


def read_picture(path: str | Path) -> Picture:
    """Read a picture and its alpha: EXIF orientation applied, ICC profile converted to sRGB.

    Raises:
        ImageError: as `read`.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file.")
    if not path.is_file() or path.stat().st_size == 0:
        raise ImageError(f"{path}: {'is a folder' if path.is_dir() else 'is empty (0 bytes)'}, expected a picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on large pictures and odd metadata: size is judged here
            with pillow.open(path) as image:
                return _decode(image, path)
    except pillow.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {_MOST_PIXELS // 10**6} megapixels; refused as a decompression bomb.") from error
    except pillow.UnidentifiedImageError as error:
        raise ImageError(f"{path}: not a picture. Readable: {' '.join(READABLE)}.") from error
    except ImageError:
        raise
    except Exception as error:  # decoders raise SyntaxError, struct.error, zlib.error and more on damaged files
        raise ImageError(f"{path}: damaged or truncated ({str(error) or type(error).__name__}).") from error


def _decode(image: pillow.Image, path: Path) -> Picture:
    deep = _sixteen_bit(image, path)
    profile = image.info.get("icc_profile")
    if deep is not None:
        return _oriented(deep, image, profile)
    image.load()
    image = ImageOps.exif_transpose(image)
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha, image = np.asarray(rgba.getchannel("A"), np.float32) / 255, rgba.convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    return Picture(np.asarray(image.convert("RGB"), np.float32) / 255, alpha)


def _to_srgb(image: pillow.Image, profile: bytes) -> pillow.Image:
    """Convert by the embedded profile; one that is broken or of another colour space than the pixels is ignored, as viewers do."""
    if image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _sixteen_bit(image: pillow.Image, path: Path) -> np.ndarray | None:
    """Return float ``[H, W, C]`` of a 16-bit picture, which Pillow would cut to 8 bits or clip; None for all others."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        return np.asarray(image).astype(np.float32)[..., None] / 65535
    if image.mode == "F":
        return np.clip(np.asarray(image), 0, 1).astype(np.float32)[..., None]
    if image.format == "TIFF" and max(image.tag_v2.get(258, (8,))) == 16:  # pyright: ignore[reportAttributeAccessIssue]
        pixels = tifffile.imread(path, key=0)
        planar = pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4)
        pixels = np.moveaxis(pixels, 0, -1) if planar else pixels
        return pixels.astype(np.float32).reshape(*pixels.shape[:2], -1) / 65535
    if image.format == "PNG" and _png_depth(path) == 16:
        width, height, rows, facts = png.Reader(filename=str(path)).read()
        pixels = np.vstack([np.asarray(row, np.uint16) for row in rows])
        return pixels.reshape(height, width, facts["planes"]).astype(np.float32) / 65535
    return None


def _png_depth(path: Path) -> int:
    with open(path, "rb") as stream:
        return stream.read(25)[24]


def _oriented(pixels: np.ndarray, image: pillow.Image, profile: bytes | None) -> Picture:
    """Split 16-bit pixels into colour and alpha, upright, in sRGB. Pillow converts other profiles than sRGB at 8 bits only."""
    turns = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}
    quarter, mirror = turns.get(image.getexif().get(0x0112, 1), (0, False))
    pixels = np.rot90(pixels, quarter)
    pixels = np.ascontiguousarray(pixels[:, ::-1] if mirror else pixels)
    channels = pixels.shape[-1]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    rgb = np.repeat(pixels[..., :1], 3, axis=-1) if channels <= 2 else pixels[..., :3]
    rgb = np.clip(rgb, 0, 1)
    if profile and b"sRGB" not in profile:
        converted = _to_srgb(pillow.fromarray(np.rint(rgb * 255).astype(np.uint8)), profile)
        rgb = np.asarray(converted, np.float32) / 255
    return Picture(rgb, alpha)


def write(path: str | Path, image: Array, *, alpha: Array | None = None) -> Path:
    """Write a picture by its extension, with an sRGB profile, atomically: a reader never sees half a file.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif or .tiff in a folder that exists.
        image: ``[H, W, 3]``, float in [0, 1] or uint8.
        alpha: ``[H, W]`` in [0, 1]; JPEG has none, there the picture is laid on white.

    Returns:
        The path.

    Raises:
        ImageError: an extension that cannot be written, or no such folder.
    """
    path = check_writable(path)
    pixels = np.rint(check_image("picture", image) * 255).astype(np.uint8)
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    if alpha is not None:
        opacity = np.clip(np.asarray(alpha, np.float32), 0, 1)[..., None]
        if jpeg:
            pixels = np.rint(pixels * opacity + 255 * (1 - opacity)).astype(np.uint8)
        else:
            pixels = np.concatenate([pixels, np.rint(opacity * 255).astype(np.uint8)], axis=-1)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options = {"quality": 95, "subsampling": 0} if jpeg else {"lossless": True} if path.suffix.lower() == ".webp" else {}
    with replacing(path) as partial:
        pillow.fromarray(pixels).save(partial, format=pillow.registered_extensions()[path.suffix.lower()], icc_profile=profile, **options)
    return path


def check_writable(path: str | Path) -> Path:
    """Return `path` if a picture can be written there; meant to be asked before hours of work.

    Raises:
        ImageError: an unknown extension, a folder of that name, or a missing or read-only folder.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITABLE:
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without extension'}; writable: {' '.join(WRITABLE)}.")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, expected the name of a picture.")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: the folder {path.parent} cannot be written to.")
    return path


def side_by_side(images: Sequence[Array], *, height: int, gap: int = 8) -> np.ndarray:
    """Return pictures ``[H, W, 3]`` in a row on white, each brought to the same height in pixels."""
    row = []
    for image in images:
        pixels = pillow.fromarray(np.rint(check_image("picture", image) * 255).astype(np.uint8))
        resized = pixels.resize((max(1, round(pixels.width * height / pixels.height)), height), pillow.Resampling.LANCZOS)
        row += [np.ones((height, gap, 3), np.float32), np.asarray(resized, np.float32) / 255]
    return np.concatenate(row[1:], axis=1)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, which becomes `path` when the block ends well and is deleted when it does not."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pictures_in(folder: str | Path) -> list[Path]:
    """Return the picture files of a folder (not of folders inside it), by name.

    Raises:
        ImageError: there are none.
    """
    found = sorted(each for each in Path(folder).iterdir() if each.suffix.lower() in READABLE and not each.name.startswith("."))
    if not found:
        raise ImageError(f"{folder}: no pictures inside ({' '.join(READABLE)}).")
    return found
