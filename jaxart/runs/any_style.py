"""Feed-forward networks of any style as a kind of run: many paintings and many photographs to learn on."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, models, samples, weights
from jaxart.arrays import Key, PyTree
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import AnyStyleOptions
from jaxart.runs.style import LARGEST_SCALE, SHOWN, SMALLEST_CROP, check_options, falling_adam, parts, pixels_of
from jaxart.tasks import stylize as task
from jaxart.training import Recipe

_COLUMNS = {"photos": "image", "paintings": "painting"}  # of a batch, by source
_FLICKER_SIDE = 96  # pixels, at most the crop
_PAINTINGS = ("church_at_auvers", "cafe_terrace")  # of the sheet: of `samples`, the same in every run


def load(options: AnyStyleOptions, source: str, path: Path) -> shelf.Dataset:
    """Read paintings or photographs as squares of 1.5 times the crop.

    Args:
        options: of the run.
        source: "paintings" or "photos".
        path: as `data.load` takes it.

    Raises:
        ValueError: nothing there or nothing that can be read; a crop that cannot serve.
    """
    del source
    if options.crop < SMALLEST_CROP:
        raise ValueError(f"crop: expected at least {SMALLEST_CROP} pixels, got {options.crop}.")
    return shelf.load(path, size=round(LARGEST_SCALE * options.crop))


def facts(options: AnyStyleOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return how many paintings and photographs there are.

    Args:
        options: of the run.
        data: by source.
    """
    check_options(options)
    return {source: data[source].count for source in _COLUMNS}


def recipe(options: AnyStyleOptions, facts: Facts) -> Recipe:
    """Return the recipe of a network of any style; VGG is `frozen`.

    Args:
        options: of the run.
        facts: of its data.
    """
    del facts
    return task.any_style(
        _network(options),
        aims=None,
        optimizer=falling_adam(options.learning_rate, options.steps),
        half_life=options.half_life,
        transform=functools.partial(parts, crop=options.crop),
        identity_chance=options.identity_chance,
        flicker_side=min(_FLICKER_SIDE, options.crop) if options.flicker_weight else 0,
    )


def frozen(options: AnyStyleOptions, data: dict[str, shelf.Dataset]) -> task.NetworkAims:
    """Return VGG and the weights of the terms.

    Args:
        options: of the run.
        data: by source; not looked at.
    """
    del data
    return task.any_style_aims(
        weights.load(options.weights or "vgg16"),
        content_weight=options.content_weight,
        smoothness_weight=options.smoothness_weight,
        identity_weight=options.identity_weight,
        flicker_weight=options.flicker_weight,
    )


def batches(
    key: Key, options: AnyStyleOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of photographs and paintings, two streams whose orders have nothing to do with each other.

    Args: see `Kind`.
    """
    with contextlib.ExitStack() as stack:
        streams = []
        for each, source in zip(jax.random.split(key), _COLUMNS, strict=True):
            stream: Any = shelf.batches(
                each, data[source], options.batch, columns=("image",), first=first, process=process
            )
            streams.append(stack.enter_context(contextlib.closing(stream)))
        for found in zip(*streams, strict=True):
            yield {name: batch["image"] for name, batch in zip(_COLUMNS.values(), found, strict=True)}


def parameters(state: task.NetworkState) -> dict[str, PyTree]:
    """Return the parameters of the network's two parts."""
    return {"network": state.params["painter"], "style encoder": state.params["encoder"]}


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet: sample paintings above, then a row of each photograph, as it is and in every style.

    Args:
        trained: with the average that paints.
        path: without a suffix.
    """
    model, crop = _model(trained), trained.options.crop
    paintings = [_square(name, crop) for name in _PAINTINGS]
    styles = [task.style_of(model, painting, size=crop) for painting in paintings]
    rows = [np.ones_like(paintings[0]), *paintings]
    for name in SHOWN:
        photo = _square(name, crop)
        rows += [photo, *(task.restyle(model.network, model.variables, photo, style) for style in styles)]
    io.write(path.with_suffix(".png"), io.grid(np.stack(rows), columns=len(paintings) + 1))


def network(trained: Trained) -> weights.Network:
    """Return the network that paints.

    Args:
        trained: with the average that paints.
    """
    return task.any_style_network(_model(trained))


def _model(trained: Trained) -> task.AnyStyleModel:
    about = {**trained.facts, "steps": int(trained.state.step)}
    return task.AnyStyleModel(_network(trained.options), {"params": trained.state.average}, about)


def _network(options: AnyStyleOptions) -> models.AnyStyleNet:
    return models.AnyStyleNet(
        width=options.width,
        blocks=options.blocks,
        style_width=options.style_width,
        hidden=options.hidden,
        style=options.style,
    )


def _square(name: str, side: int) -> np.ndarray:
    return io.square(pixels_of(samples.path(name)), side).astype(np.float32) / 255
