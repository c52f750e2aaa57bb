"""Opening a picture file of any size, whatever is wrong with it, and what it declares."""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image as pillow

from jaxart import memory
from jaxart.io.files import READABLE, ImageError

_LIFTED = threading.Lock()  # while Pillow's limit of pixels, a global, is lifted
_BYTES_PER_PIXEL = 24  # while reading: what the decoder holds, and float32 RGB


@contextlib.contextmanager
def opened(stream: BinaryIO, name: str) -> Iterator[pillow.Image]:
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


def check_memory(size: tuple[int, int], name: str) -> None:
    """Raise if a picture of this (width, height) does not fit into the free memory.

    Raises:
        ImageError: it does not.
    """
    needed, free = size[0] * size[1] * _BYTES_PER_PIXEL, memory.available()
    if free is not None and needed > free:
        raise ImageError(
            f"{name}: {size[0]} x {size[1]} pixels need {needed / 2**30:.1f} GiB to be read, but {free / 2**30:.1f} GiB are free."
        )


def png_depth(stream: BinaryIO) -> int:
    """Return the bits of a channel of a PNG."""
    stream.seek(24)
    return stream.read(1)[0]


def upright_size(stream: BinaryIO, name: str) -> tuple[int, int]:
    """Return (height, width) of a picture as `decode` turns it; nothing is decoded, and the stream is wound back.

    Args:
        stream: binary, seekable.
        name: what the picture is called in messages.

    Raises:
        ImageError: not a picture.
    """
    with opened(stream, name) as image:
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
    with opened(stream, name) as image:
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


LIBTIFF = _Libtiff()
