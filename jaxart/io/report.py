"""Pictures before and after in one HTML file, which needs no other file, no network and no library."""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as pillow

from jaxart.arrays import Image, check_image
from jaxart.io.files import ImageError, replacing
from jaxart.io.report_style import SCRIPT, STYLE

_HEAT = (
    (0, 0, 4),
    (60, 15, 110),
    (170, 45, 95),
    (240, 110, 35),
    (250, 200, 60),
    (252, 255, 190),
)  # from no difference to the largest
_CROP = 320  # pixels a side
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Pair(NamedTuple):
    """A picture before and after.

    Fields:
        name: of the picture, such as that of its file.
        before: ``[H, W, 3]``, float in [0, 1] or uint8.
        after: ``[h, w, 3]``; of another size, `before` is resized to it to be compared.
        steps: what was done, in words and in order.
        maps: names and further pictures, ``[h, w]`` or ``[h, w, 3]``, such as a mask or an uncertainty, in [0, 1].
        numbers: names and values, such as a noise level, which stand in its table.
    """

    name: str
    before: Image
    after: Image
    steps: Sequence[str] = ()
    maps: Sequence[tuple[str, Image]] = ()
    numbers: Sequence[tuple[str, Any]] = ()


def write_report(
    path: str | Path,
    title: str,
    pairs: Sequence[Pair | str],
    *,
    facts: Sequence[tuple[str, Any]] = (),
    long_side: int = 1200,
) -> Path:
    """Write pictures before and after as a page: with a slider, where and how much they differ, and numbers; atomically.

    Args:
        path: .html, in an existing folder.
        title: of the page.
        pairs: at least one; each adds some hundred kilobytes. What `report_section` made of one takes its place, so that many large
            pictures need not be kept.
        facts: names and values that concern all, such as the program's version.
        long_side: pixels, to which larger pictures are shrunk; a part of 320 x 320 is shown as it is.

    Returns:
        The path.

    Raises:
        ImageError: another extension, or no such folder.
        ValueError: no pairs, or values that are no picture.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without extension'}; a report is .html.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise ImageError(f"{path}: cannot be written: expected a name in a folder that exists and can be written to.")
    if not pairs:
        raise ValueError("write_report: expected at least one pair of pictures, got none.")
    heading = html.escape(title)
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as page:
        page.write(
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{heading}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n{_table(facts)}"
        )
        for pair in pairs:
            page.write(pair if isinstance(pair, str) else report_section(pair, long_side=long_side))
        page.write(f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
    return path


def report_section(pair: Pair, *, long_side: int = 1200) -> str:
    """Return what a report shows of one picture, as HTML.

    Args:
        pair: the picture.
        long_side: as in `write_report`.

    Raises:
        ValueError: values that are no picture.
    """
    after = _bytes(pair.name, pair.after)
    first = _bytes(pair.name, pair.before)
    resized = first.shape != after.shape
    before = (
        np.asarray(pillow.fromarray(first).resize(after.shape[1::-1], pillow.Resampling.BICUBIC)) if resized else first
    )
    change = np.abs(after.astype(np.int16) - before).max(axis=-1).astype(np.uint8)  # [h, w]
    numbers = [
        ("Size before", f"{first.shape[1]} × {first.shape[0]}"),
        ("Size after", f"{after.shape[1]} × {after.shape[0]}"),
        ("Pixels that changed" + (" (compared at the size after)" if resized else ""), f"{np.mean(change > 0):.2%}"),
        ("Mean difference, of 255", f"{change.mean():.2f}"),
        ("Largest difference, of 255", str(change.max())),
        *pair.numbers,
    ]
    name, factor = html.escape(pair.name), min(1, long_side / max(after.shape[:2]))
    size = (max(1, round(after.shape[1] * factor)), max(1, round(after.shape[0] * factor)))
    figures = [_slider(_shrunk(before, size), _shrunk(after, size), _shown(after, size), name)]
    if factor < 1:
        figures.append(_zoom(before, after, change, name))
    maps = [_difference(change, size), *(_figure(_map(text, each, size), text) for text, each in pair.maps)]
    steps = "".join(f"<li>{html.escape(step)}</li>" for step in pair.steps)
    return (
        f"<section>\n<h2>{name}</h2>\n{f'<ol>{steps}</ol>' if steps else ''}\n{''.join(figures)}"
        f'<div class="maps">\n{"".join(maps)}</div>\n{_table(numbers)}</section>\n'
    )


def thumbnail(name: str, picture: Image, *, long_side: int = 320) -> str:
    """Return a picture as an address that holds it (``data:image/jpeg;base64,...``), for the ``src`` of an ``img``.

    Args:
        name: of the picture, for messages.
        picture: ``[H, W, 3]``, float in [0, 1] or uint8.
        long_side: pixels, to which a larger picture is shrunk.

    Raises:
        ValueError: values that are no picture.
    """
    pixels = _bytes(name, picture)
    factor = min(1, long_side / max(pixels.shape[:2]))
    return _embedded(
        _shrunk(pixels, (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))))
    )


def _slider(before: np.ndarray, after: np.ndarray, caption: str, name: str) -> str:
    """Return a figure of two pictures of one size, with a divider that is moved by mouse, touch or the arrow keys."""
    height, width = after.shape[:2]
    return (
        f'<figure class="pair">\n<div class="slider" style="max-width:{width}px">\n'
        f'<img class="after" width="{width}" height="{height}" alt="{name}, after" src="{_embedded(after)}">\n'
        f'<img class="before" width="{width}" height="{height}" alt="{name}, before" src="{_embedded(before)}">\n'
        f'<span class="word left" aria-hidden="true">before</span><span class="word right" aria-hidden="true">after</span>\n'
        f'<input type="range" min="0" max="100" step="0.5" value="50" aria-label="{name}: percent shown as it was before">\n'
        f'<span class="line" aria-hidden="true"></span>\n</div>\n<figcaption>{caption}</figcaption>\n</figure>\n'
    )


def _zoom(before: np.ndarray, after: np.ndarray, change: np.ndarray, name: str) -> str:
    """Return a slider of the part that changed most, pixel for pixel."""
    sums = np.pad(change.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # of what lies above and left
    height, width = (min(_CROP, side) for side in change.shape)
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    part = np.s_[y : y + height, x : x + width]
    caption = f"{width} × {height} pixels from ({x}, {y}), where most changed, at 1:1"
    return _slider(before[part], after[part], caption, f"{name}, a part")


def _difference(change: np.ndarray, size: tuple[int, int]) -> str:
    """Return a figure of the differences with its legend; shrunk, a pixel shows the largest of those it stands for."""
    most = max(1, int(change.max()))
    step = max(-(-change.shape[1] // size[0]), -(-change.shape[0] // size[1]))
    padded = np.pad(change, [(0, -side % step) for side in change.shape])
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).max(axis=(1, 3))
    places = blocks / most * (len(_HEAT) - 1)
    colors = [np.interp(places, range(len(_HEAT)), channel) for channel in np.asarray(_HEAT).T]
    picture = np.rint(np.stack(colors, axis=-1)).astype(np.uint8)
    gradient = ", ".join(f"rgb{color}" for color in _HEAT)
    legend = f'<span class="legend"><span>0</span><span class="bar" style="background:linear-gradient(90deg, {gradient})"></span>'
    return _figure(picture, "difference, of 255", f"{legend}<span>{most}</span></span>", lossless=True)


def _figure(picture: np.ndarray, text: str, legend: str = "", *, lossless: bool = False) -> str:
    caption = html.escape(text)
    return (
        f'<figure>\n<img width="{picture.shape[1]}" height="{picture.shape[0]}" alt="{caption}" src="{_embedded(picture, lossless)}">\n'
        f"<figcaption>{caption}{legend}</figcaption>\n</figure>\n"
    )


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{html.escape(str(name))}</th><td>{html.escape(_number(value))}</td></tr>\n'
        for name, value in rows
    )
    return f"<table>\n{cells}</table>\n" if rows else ""


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _shown(picture: np.ndarray, size: tuple[int, int]) -> str:
    height, width = picture.shape[:2]
    return (
        "as large as it is"
        if size == (width, height)
        else f"shrunk from {width} × {height} to {size[0]} × {size[1]} pixels"
    )


def _map(name: str, picture: Image, size: tuple[int, int]) -> np.ndarray:
    values = np.asarray(picture)
    values = values.astype(np.float32) if values.dtype == bool else values
    flat = values[..., None] if values.ndim == 2 else values
    return _shrunk(_bytes(name, np.broadcast_to(flat, (*flat.shape[:2], 3))), size)


def _bytes(name: str, picture: Image) -> np.ndarray:
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[-1] == 3:
        return picture
    return np.rint(check_image(name, picture) * 255).astype(np.uint8)


def _shrunk(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(pillow.fromarray(picture).resize(size, pillow.Resampling.LANCZOS))


def _embedded(picture: np.ndarray, lossless: bool = False) -> str:
    stream, kind = io.BytesIO(), "png" if lossless else "jpeg"
    options = {"optimize": True} if lossless else {"quality": 92, "subsampling": 0}
    pillow.fromarray(np.ascontiguousarray(picture)).save(stream, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
