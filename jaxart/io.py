"""Reading and writing picture files. The only module that knows Pillow."""

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import png
import tifffile
from PIL import Image as pillow
from PIL import ImageCms, ImageOps

from jaxart import memory
from jaxart.arrays import Image, check_image

READABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
WRITABLE = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
DEEP = (".png", ".tif", ".tiff")  # writable with 16 bits
ANIMATIONS = (".gif", ".webp")
_LIFTED = threading.Lock()  # while Pillow's limit of pixels, a global, is lifted
_BYTES_PER_PIXEL = 24  # while reading: what the decoder holds, and float32 RGB


class ImageError(ValueError):
    """A picture that cannot be read or written; the message is one line, ready to be shown."""


class Picture(NamedTuple):
    """A picture file: ``rgb [H, W, 3]`` float32 sRGB in [0, 1], and ``alpha [H, W]`` in [0, 1] if the file has one."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None


class Mask(NamedTuple):
    """A mask file: numbers ``values [H, W]`` or colors ``[H, W, C]``, and the colors ``palette [K, 3]`` of its numbers if it has any."""

    values: np.ndarray
    palette: np.ndarray | None = None


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
        with warnings.catch_warnings(), open(path, "rb") as stream:
            warnings.simplefilter("ignore")  # Pillow's on large pictures and odd metadata: size is judged here
            picture = decode(stream, str(path))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}).") from error
    return Picture(_as_float(picture.rgb), None if picture.alpha is None else _as_float(picture.alpha))


def _as_float(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8:
        return pixels
    values = pixels.astype(np.float32)
    values /= 255  # in place: no second copy of a large picture
    return values


def decode(stream: BinaryIO, name: str) -> Picture:
    """Read a picture from an open file or bytes in memory, as `read_picture` does but without spending memory on floats.

    Args:
        stream: binary, seekable.
        name: what the picture is called in messages.

    Returns:
        A `Picture` of uint8, of float32 in [0, 1] if the file is deeper than 8 bits. Pillow's warnings are the caller's to silence.

    Raises:
        ImageError: as `read`.
    """
    with _opened(stream, name) as image:
        _check_memory(image.size, name)
        return _decode(image, stream, name)


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
    with _opened(stream, name) as image:
        if image.format != "PNG":
            raise ImageError(f"{name}: is {image.format}, which may blur labels; expected a mask as PNG.")
        _check_memory(image.size, name)
        values = np.asarray(image)
        if image.mode == "RGB" and _png_depth(stream) == 16:
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


def upright_size(stream: BinaryIO, name: str) -> tuple[int, int]:
    """Return (height, width) of a picture as `decode` turns it; nothing is decoded, and the stream is wound back.

    Args:
        stream: binary, seekable.
        name: what the picture is called in messages.

    Raises:
        ImageError: not a picture.
    """
    with _opened(stream, name) as image:
        told = image.format != "PNG" or "exif" in image.info  # a PNG would be decoded to look for more
        turned = told and image.getexif().get(0x0112, 1) >= 5
        stream.seek(0)
        return (image.width, image.height) if turned else (image.height, image.width)


def dimensions(stream: BinaryIO, name: str) -> tuple[int, int]:
    """Return (height, width) that a picture file declares; nothing is decoded, and the stream is wound back.

    Args:
        stream: binary, seekable.
        name: what the picture is called in messages.

    Raises:
        ImageError: not a picture.
    """
    with _opened(stream, name) as image:
        stream.seek(0)
        return image.height, image.width


class _Libtiff:
    """The decoder of compressed TIFFs, which prints what is wrong with a file to the process's standard error; Pillow raises it anyway."""

    def __init__(self):
        self._lock, self._readers, self._kept = threading.Lock(), 0, -1

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """Lead standard error nowhere while any thread is in here."""
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._kept = _led_nowhere(2)
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if self._readers == 0 and self._kept >= 0:
                    os.dup2(self._kept, 2)
                    os.close(self._kept)


def _led_nowhere(descriptor: int) -> int:
    """Return a copy of a file descriptor that from now on leads nowhere; -1 if it is closed."""
    try:
        kept = os.dup(descriptor)
    except OSError:
        return -1
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return kept


_LIBTIFF = _Libtiff()


@contextlib.contextmanager
def _opened(stream: BinaryIO, name: str) -> Iterator[pillow.Image]:
    """Open a picture of any size (what is too large is a question of memory), and turn whatever its decoder raises into an `ImageError`."""
    try:
        with _LIFTED:
            before, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
            try:  # as a stream: Pillow maps files it opens itself, and then turns some TIFFs wrongly
                image = pillow.open(stream)
            finally:
                pillow.MAX_IMAGE_PIXELS = before
        with image:
            yield image
    except pillow.UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture. Readable: {' '.join(READABLE)}.") from error
    except ImageError:
        raise
    except Exception as error:  # SyntaxError, struct.error, zlib.error and more on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{name}: damaged or truncated ({reason}).") from error


def _check_memory(size: tuple[int, int], name: str) -> None:
    needed, free = size[0] * size[1] * _BYTES_PER_PIXEL, memory.available()
    if free is not None and needed > free:
        raise ImageError(
            f"{name}: {size[0]} x {size[1]} pixels need {needed / 2**30:.1f} GiB to be read, but {free / 2**30:.1f} GiB are free."
        )


def _decode(image: pillow.Image, stream: BinaryIO, name: str) -> Picture:
    deep = _sixteen_bit(image, stream)
    profile = image.info.get("icc_profile")
    if deep is not None:
        if not np.isfinite(deep).all():
            raise ImageError(f"{name}: holds values that are not finite.")
        return _oriented(deep, image, profile)
    with _LIBTIFF.silenced() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()
    image = ImageOps.exif_transpose(image)
    alpha = None
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"))
        image = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    if profile or image.mode == "LAB":
        image = _to_srgb(image, profile)
    return Picture(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), alpha)


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
    elif image.format == "PNG" and _png_depth(stream) == 16:
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


def _png_depth(stream: BinaryIO) -> int:
    stream.seek(24)
    return stream.read(1)[0]


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


def write(path: str | Path, image: Image, *, alpha: Image | None = None, bits: Literal[8, 16] = 8) -> Path:
    """Write a picture by its extension, with an sRGB profile, atomically: a reader never sees half a file.

    Args:
        path: .png, .jpg, .jpeg, .webp, .tif or .tiff, in an existing folder. A TIFF of more than 4 GiB becomes a BigTIFF.
        image: ``[H, W, 3]``, float in [0, 1] or uint8.
        alpha: ``[H, W]`` in [0, 1]; JPEG has none: there the picture is composited on white.
        bits: of each channel; 16 for PNG (without the profile) and TIFF.

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
            _write_tiff(partial, pixels)
        elif bits == 16:
            _write_deep_png(partial, pixels)
        else:
            kind = pillow.registered_extensions()[suffix]
            options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True, "exact": True}}.get(
                kind, {}
            )
            pillow.fromarray(pixels).save(partial, format=kind, icc_profile=_srgb_profile(), **options)
    return path


def _quantized(values: np.ndarray, bits: int) -> np.ndarray:
    """Return values in [0, 1] as integers of `bits` bits, row by row: large pictures have no room for another copy in float."""
    kind, most = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    whole = np.empty(values.shape, kind)
    for row, integers in zip(values, whole, strict=True):
        integers[:] = np.rint(row * most)
    return whole


def _write_tiff(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        compression="zlib",
        extrasamples=["unassalpha"] if pixels.shape[-1] == 4 else None,
        iccprofile=_srgb_profile(),
        metadata=None,
    )


def _write_deep_png(path: Path, pixels: np.ndarray) -> None:
    height, width, channels = pixels.shape
    colored: Any = {"greyscale": False}  # pypng's name; its default has a type of its own
    writer = png.Writer(width, height, alpha=channels == 4, bitdepth=16, **colored)
    with open(path, "wb") as stream:
        writer.write_packed(stream, (row.astype(">u2").tobytes() for row in pixels))


def _srgb_profile() -> bytes:
    """Return an sRGB profile without the date of its making, so that equal pictures are equal files."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07e800010001000000000000")  # 2024-01-01
    return bytes(profile)


def check_writable(path: str | Path, *, suffixes: Sequence[str] = WRITABLE, bits: int = 8) -> Path:
    """Return `path` if a picture can be written there; call it before the work whose result goes there.

    Args:
        path: of the picture.
        suffixes: accepted extensions, with the dot.
        bits: of each channel.

    Raises:
        ImageError: an unknown extension or number of bits, a folder of that name, or a missing or read-only folder.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without extension'}; writable: {' '.join(suffixes)}."
        )
    if bits not in (8, 16) or (bits == 16 and path.suffix.lower() not in DEEP):
        raise ImageError(f"{path}: cannot write {bits} bits; 8 always, 16 for {' '.join(DEEP)}.")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, expected the name of a picture.")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: the folder {path.parent} cannot be written to.")
    return path


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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` if the block succeeds and is deleted if it raises."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pictures_in(folder: str | Path) -> list[Path]:
    """Return the picture files of a folder (not of folders inside it), by name.

    Raises:
        ImageError: there are none, or no such folder.
    """
    if not Path(folder).is_dir():
        raise ImageError(f"{folder}: not a folder.")
    visible = (each for each in Path(folder).iterdir() if not each.name.startswith("."))
    found = sorted(each for each in visible if each.suffix.lower() in READABLE and each.is_file())
    if not found:
        raise ImageError(f"{folder}: no pictures inside ({' '.join(READABLE)}).")
    return found
