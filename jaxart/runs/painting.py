"""One painting, whose style pictures are to have: what guided flows, styled generators and adapted ones make of it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxart import data as shelf
from jaxart import io, models, weights
from jaxart.arrays import PyTree, is_one_color
from jaxart.runs import pictures
from jaxart.runs.kind import Facts
from jaxart.runs.options import GanOptions, VaeOptions
from jaxart.tasks import generate as task

# Of VGG-16, with the weights of a stylization. What pictures of 64 pixels have at depth 5 is four numbers a channel.
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
STYLE_LAYER_WEIGHTS = (256.0, 64.0, 16.0, 4.0)
# Of what is trained. Roots of matrices of 512 x 512, one a picture, would be nearly all of a step's work; the weights have a sum of 1.
TAUGHT_LAYERS = STYLE_LAYERS[:3]
TAUGHT_LAYER_WEIGHTS = (256 / 336, 64 / 336, 16 / 336)
Options = GanOptions | VaeOptions


def style_term(weight: float) -> task.StyleTerm:
    """Return the style term of generators that are trained.

    Args:
        weight: of it.
    """
    return task.StyleTerm(models.VGG(depth=16, layers=TAUGHT_LAYERS), TAUGHT_LAYERS, TAUGHT_LAYER_WEIGHTS, weight)


def fitted(picture: io.Picture, size: int, channels: int) -> np.ndarray:
    """Bring a painting to the size of the pictures: uint8 ``[size, size, channels]``, its central square.

    Args:
        picture: of any size.
        size: of the pictures.
        channels: of the pictures, 1 or 3.
    """
    return shelf.shaped(picture, shelf.Shape(size, channels, "crop"))


def read(path: Path, size: int, channels: int) -> np.ndarray:
    """Read a painting as uint8 ``[size, size, channels]``.

    Args:
        path: of the picture.
        size, channels: of the pictures that are to be like it.

    Raises:
        ValueError: missing, not a picture, or of a single color.
    """
    pixels = fitted(io.read_picture(path), size, channels)
    if is_one_color(pixels):
        raise ValueError(f"{path}: of a single color, which is no style to learn. Expected a painting.")
    return pixels


def arrays(term: task.StyleTerm, file: Path | None, pixels: np.ndarray) -> PyTree:
    """Return what a recipe with a style term freezes.

    Args:
        term: of the recipe.
        file: of VGG-16's weights; None for the package's or the hub's.
        pixels: of the painting, uint8 ``[size, size, channels]``.
    """
    return task.style_arrays(term, weights.load(file or "vgg16"), pixels.astype(np.float32) / 255)


def check(options: Any, *names: str) -> None:
    """Refuse what would fail only when training has begun.

    Args:
        options: with `weights`.
        names: of options that must be above 0.

    Raises:
        ValueError: a number that cannot serve, or no weights of VGG-16.
    """
    for name in names:
        if not 0 < getattr(options, name) < float("inf"):
            raise ValueError(f"{name}: expected a number above 0, got {getattr(options, name)}.")
    if options.weights is None:
        weights.provide("vgg16")
    elif not Path(options.weights).is_file():
        raise ValueError(f"weights: no such file as {options.weights}.")


def facts(options: Options, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the names of the classes and, where a style was asked for, the digest of the painting's file.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: classes are to be learned and there are none; a painting or a weight that does not serve.
    """
    found = pictures.facts(options, data)
    if options.style is None:
        return found
    check(options, "style_weight")
    read(options.style, options.size, options.channels)
    return {**found, "style": _digest(options.style)}


def asked(options: Options, facts: Facts) -> task.StyleTerm | None:
    """Return the style term that was asked for; None where none was.

    Args:
        options: of the run.
        facts: with the digest of the painting.

    Raises:
        ValueError: the painting has changed. One that is gone is missed when training goes on.
    """
    if options.style is None:
        return None
    if Path(options.style).is_file() and _digest(options.style) != facts["style"]:
        raise ValueError(f"style: {options.style} is not the file that the run began with; bring that one back.")
    return style_term(options.style_weight)


def frozen(options: Options, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return VGG-16 and what it sees in the painting; None where no style was asked for.

    Args:
        options: of the run.
        data: not looked at.
    """
    del data
    if options.style is None:
        return None
    return arrays(
        style_term(options.style_weight), options.weights, read(options.style, options.size, options.channels)
    )


def _digest(path: Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
