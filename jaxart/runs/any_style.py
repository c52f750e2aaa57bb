"""Feed-forward networks of any style as a kind of run: many paintings and many photographs to learn on."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data as shelf
from jaxart import io, models, samples, weights
from jaxart.arrays import Array, Key, PyTree
from jaxart.runs import shared
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import AnyStyleOptions
from jaxart.runs.style import SHOWN, SMALLEST_CROP, check_options, digest, falling_adam, parts, pixels_of
from jaxart.tasks import stylize as task
from jaxart.training import Recipe

_COLUMNS = {"photos": "image", "paintings": "painting"}  # of a batch, by source
_FLICKER_SIDE = 96  # pixels, at most the crop
_PAINTINGS = ("church_at_auvers", "cafe_terrace")  # of the sheet: of `samples`, the same in every run


def load(options: AnyStyleOptions, source: str, path: Path) -> shelf.Dataset:
    """Read paintings or photographs as squares.

    Args:
        options: of the run.
        source: "paintings" or "photos".
        path: as `data.load` takes it.

    Raises:
        ValueError: nothing there or nothing that can be read; a size or a crop that cannot serve.
    """
    del source
    if not SMALLEST_CROP <= options.crop <= options.size:
        raise ValueError(
            f"crop: expected at least {SMALLEST_CROP} pixels, at most the size, got {options.crop} of {options.size}."
        )
    return shelf.load(path, size=options.size)


def facts(options: AnyStyleOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return how many paintings and photographs there are, and which file the network began with, if any.

    Args:
        options: of the run.
        data: by source.
    """
    check_options(options)
    if not 0 <= options.recolored <= 1:
        raise ValueError(f"recolored: expected a share from 0 to 1, got {options.recolored}.")
    counts = {source: data[source].count for source in _COLUMNS}
    return counts | ({} if options.start is None else {"start": _digest(options)})


def recipe(options: AnyStyleOptions, facts: Facts) -> Recipe:
    """Return the recipe of a network of any style; VGG is `frozen`.

    Args:
        options: of the run.
        facts: of its data.
    """
    if options.start is not None and facts["start"] != _digest(options):
        raise ValueError(f"start: {options.start} is not the file that the run began with; bring that one back.")
    base = _base(options)
    return task.any_style(
        _network(options),
        aims=None,
        start=None if base is None else base.variables["params"],
        optimizer=falling_adam(options.learning_rate, options.steps),
        half_life=options.half_life,
        transform=shared.partial(_seen, crop=options.crop, recolored=options.recolored),
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
        contrast_weight=options.contrast_weight,
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


def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
    """Return the network for `jax.export.deserialize`.

    Args:
        trained: with the average that paints.
        platforms: to lower for.
    """
    return task.export_styles(_model(trained), platforms=platforms)


def onnx(trained: Trained) -> bytes:
    """Return the network as the content of an ONNX file.

    Args:
        trained: with the average that paints.
    """
    return task.export_onnx(_model(trained))


def _seen(keys: Key, images: Array, *, crop: int, recolored: float) -> jax.Array:
    """Show random parts, some with their hues turned by any angle."""
    keys = jax.vmap(jax.random.split)(keys)
    turned = functools.partial(shelf.hue, probability=recolored, degrees=180.0)
    return jnp.clip(shelf.augment(keys[:, 1], parts(keys[:, 0], images, crop=crop), (turned,)), 0, 1)


def _base(options: AnyStyleOptions) -> task.AnyStyleModel | None:
    return None if options.start is None else task.load_any_style(options.start)


def _digest(options: AnyStyleOptions) -> str:
    return digest(task.any_style_network(task.load_any_style(options.start)))


def _model(trained: Trained) -> task.AnyStyleModel:
    about = {**trained.facts, "steps": int(trained.state.step)}
    return task.AnyStyleModel(_network(trained.options), {"params": trained.state.average}, about)


def _network(options: AnyStyleOptions) -> models.AnyStyleNet:
    if (base := _base(options)) is not None:
        return base.network.clone(coarse_blocks=max(base.network.coarse_blocks, options.coarse_blocks))
    return models.AnyStyleNet(
        width=options.width,
        deep=options.deep,
        blocks=options.blocks,
        coarse_blocks=options.coarse_blocks,
        style_width=options.style_width,
        hidden=options.hidden,
        style=options.style,
    )


def _square(name: str, side: int) -> np.ndarray:
    return io.square(pixels_of(samples.path(name)), side).astype(np.float32) / 255
