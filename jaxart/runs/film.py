"""Walks as films: GIF and WebP by `io.write_animation`, MP4 by PyAV."""

import importlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jaxart import io
from jaxart.arrays import Image

FILMS = (*io.ANIMATIONS, ".mp4")


def check_film(path: str | Path) -> Path:
    """Return `path` if a film can be written there; call it before the work whose result goes there.

    Args:
        path: .gif, .webp or .mp4, in an existing folder.

    Raises:
        io.ImageError: another suffix or no such folder.
        ValueError: .mp4, and PyAV is not installed.
    """
    path = io.check_writable(path, suffixes=FILMS)
    if path.suffix.lower() == ".mp4":
        _av()
    return path


def write_film(path: str | Path, frames: Image, *, fps: float) -> Path:
    """Write frames as a film, atomically; GIF and WebP loop.

    Args:
        path: .gif, .webp or .mp4 (H.264; needs ``pip install 'jaxart[video]'``).
        frames: ``[N, H, W, C]``, in [0, 1] or uint8; C is 1 or 3. For MP4 sides that are odd are made even by repeating the border.
        fps: frames per second.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, no such folder, or no positive `fps`.
        ValueError: .mp4, and PyAV is not installed.
    """
    path = check_film(path)
    if path.suffix.lower() != ".mp4":
        return io.write_animation(path, frames, fps=fps)
    if fps <= 0:
        raise io.ImageError(f"fps: expected more than 0, got {fps}.")
    with io.replacing(path) as partial, _av().open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.options = {"crf": "16"}
        for number, frame in enumerate(frames):
            pixels = np.rint(io.grid(np.asarray(frame)[None], columns=1) * 255).astype(np.uint8)
            pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
            if number == 0:
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
            container.mux(stream.encode(_av().VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def _av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ValueError(
            ".mp4: PyAV is not installed: pip install 'jaxart[video]', or choose .webp or .gif."
        ) from error
