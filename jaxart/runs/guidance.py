"""Guidance of a flow's drawing: pictures, masks and paintings as they come, brought to what the solver needs."""

from typing import Any

import numpy as np

from jaxart import data as shelf
from jaxart import io, models, weights
from jaxart.arrays import Image, PyTree
from jaxart.runs import painting
from jaxart.runs.kind import Guidance
from jaxart.tasks import generate as task


def with_guidance(solver: task.Solver, params: PyTree, guidance: Guidance, *, fit: str) -> task.Generate:
    """Return a flow that draws as it is told.

    Args:
        solver: of the flow, unguided.
        params: of its network.
        guidance: by what.
        fit: "crop" or "pad", how pictures are brought to the flow's size.

    Raises:
        ValueError: numbers out of their range, a mask without a picture or of another shape.
    """
    _check(guidance)
    solver = solver._replace(
        steps=solver.steps if guidance.steps is None else guidance.steps,
        guidance=solver.guidance if guidance.weight is None else guidance.weight,
        autoguidance=solver.autoguidance if guidance.autoguidance is None else guidance.autoguidance,
    )
    adjusts: list[tuple[task.Adjust, Any]] = []
    start: Any = None
    if guidance.style is not None:
        adjusts.append(_toward(solver, guidance, fit))
    if guidance.picture is not None and guidance.mask is not None:
        known = {"picture": _fitted(guidance.picture, solver, fit), "mask": _mask(guidance, solver, fit)}
        adjusts.append((task.keep_outside, known))
        solver = solver._replace(repeats=guidance.repeats)
    elif guidance.picture is not None:
        if guidance.strength < 1:
            start = _fitted(guidance.picture, solver, fit)
        solver = solver._replace(start_time=1 - guidance.strength)
    functions, arrays = (tuple(each) for each in zip(*adjusts, strict=True)) if adjusts else ((), ())
    return task.flow_of(solver._replace(adjust=functions), params, start=start, adjust=arrays)


def _check(guidance: Guidance) -> None:
    if not 0 < guidance.strength <= 1:
        raise ValueError(f"strength: expected above 0, up to 1 (all is made anew), got {guidance.strength}.")
    if guidance.style_strength < 0:
        raise ValueError(f"style_strength: expected at least 0, got {guidance.style_strength}.")
    if guidance.mask is None:
        return
    if guidance.picture is None:
        raise ValueError("mask: there is no picture to be filled; hand in the picture that it belongs to.")
    if np.shape(guidance.mask)[:2] != np.shape(guidance.picture)[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in map(np.shape, (guidance.picture, guidance.mask))]
        raise ValueError(f"mask: expected the size of the picture, {sizes[0]}, got {sizes[1]}.")


def _fitted(picture: Image, solver: task.Solver, fit: str) -> np.ndarray:
    """Return a picture in [-1, 1] of the flow's size and channels."""
    size, _, channels = solver.shape
    pixels = shelf.shaped(io.Picture(np.asarray(picture)), shelf.Shape(size, channels, fit))
    return pixels.astype(np.float32) / 127.5 - 1


def _mask(guidance: Guidance, solver: task.Solver, fit: str) -> np.ndarray:
    """Return the mask at the flow's size, 1 wherever a part of a pixel is to be filled."""
    mask = np.asarray(guidance.mask, np.float32)[..., :1]
    known = io.square(np.rint(255 * (1 - mask)).astype(np.uint8), solver.shape[0], fit=fit)
    filled = (known < 255).astype(np.float32)
    if not filled.any():
        raise ValueError(
            "mask: nothing in it is to be filled; expected white (1) where the picture is to be made anew."
        )
    return filled


def _toward(solver: task.Solver, guidance: Guidance, fit: str) -> tuple[task.Adjust, Any]:
    pixels = painting.fitted(io.Picture(np.asarray(guidance.style)), solver.shape[0], 3)
    features = models.VGG(depth=16, layers=painting.STYLE_LAYERS)
    term = task.StyleTerm(features, painting.STYLE_LAYERS, painting.STYLE_LAYER_WEIGHTS)
    toward = task.TowardStyle(features, guidance.style_strength, term.layer_weights, term.style_loss)
    return toward, task.style_arrays(term, weights.load("vgg16"), pixels.astype(np.float32) / 255)
