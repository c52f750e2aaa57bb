"""Feed-forward networks of many styles as a kind of run: paintings to learn, photographs to learn on."""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import data as shelf
from jaxart import io, models, samples, weights
from jaxart.arrays import Array, Key, PyTree, is_one_color
from jaxart.runs import shared
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import AnyStyleOptions, StyleOptions
from jaxart.tasks import stylize as task
from jaxart.training import Recipe

SMALLEST_PAINTING = 64  # pixels of the short side of a file
SMALLEST_CROP = 32  # pixels; VGG's deepest layer is 2 x 2 there
_SMALLEST_SHRUNK = 16  # pixels of a painting once shrunk: one of the deepest features of VGG
LARGEST_SCALE = 1.5  # short side of the photographs, in crops
_WARM_UP = 200  # steps, at most a twentieth of all
SHOWN = ("cat", "coffee")  # photographs of the sheet: of `samples`, the same in every run


def load(options: StyleOptions, source: str, path: Any) -> shelf.Dataset:
    """Read the paintings, or the photographs as squares of 1.5 times the crop.

    Args:
        options: of the run.
        source: "paintings" or "photos".
        path: of the paintings a folder, a file or a tuple of files, of the photographs as `data.load` takes it.

    Raises:
        ValueError: nothing there or nothing that can be read; sizes that cannot serve.
    """
    for name, least in {"crop": SMALLEST_CROP, "painting_size": SMALLEST_PAINTING}.items():
        if getattr(options, name) < least:
            raise ValueError(f"{name}: expected at least {least} pixels, got {getattr(options, name)}.")
    if source == "paintings":
        return _paintings(path, options.painting_size)
    return shelf.load(path, size=round(LARGEST_SCALE * options.crop))


def facts(options: StyleOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the names of the paintings, in the order of the styles.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: a painting that is too small or of a single color, or two of one name, or a name that the network of `--from` has.
    """
    check_options(options)
    found = data["paintings"]
    names = found.column("name").tolist()
    base = _base(options)
    if isinstance(base, task.StyleModel) and (known := sorted(set(names) & set(base.names))):
        raise ValueError(f"paintings: the network knows a style named {known[0]!r} already. Rename the file.")
    for row, name in enumerate(names):
        if names.count(name) > 1:
            raise ValueError(f"paintings: {names.count(name)} files are called {name!r}. Rename all but one.")
        if (side := int(found.column("side")[row])) < SMALLEST_PAINTING:
            raise ValueError(
                f"paintings: {name!r} has a short side of {side} pixels; {SMALLEST_PAINTING} at least are needed."
            )
        pixels = _painting(found, row)
        if min(pixels.shape[:2]) < _SMALLEST_SHRUNK:
            raise ValueError(
                f"paintings: {name!r} is too narrow: {pixels.shape[1]} x {pixels.shape[0]} when shrunk to painting_size."
            )
        if is_one_color(pixels):
            raise ValueError(f"paintings: {name!r} is of a single color, which is no style to learn. Leave it out.")
    found_facts: Facts = {"paintings": names} | ({} if base is None else {"start": _digest(base)})
    if isinstance(base, task.AnyStyleModel):
        each = [_painting(found, row) for row in range(found.count)]
        found_facts["styles"] = [task.style_of(base, one, size=max(one.shape[:2])).tolist() for one in each]
    return found_facts


def recipe(options: StyleOptions, facts: Facts) -> Recipe:
    """Return the recipe of a network of many styles; what it learns from is `frozen`.

    Args:
        options: of the run.
        facts: the names of the paintings.
    """
    base, start = _base(options), None
    if base is not None and facts["start"] != _digest(base):
        raise ValueError(f"start: {options.start} is not the file that the run began with; bring that one back.")
    if isinstance(base, task.StyleModel):
        start = task.new_tables(base, len(facts["paintings"]))
    elif base is not None:
        start = task.as_many_styles(base, facts["styles"], facts["paintings"]).variables["params"]
    return task.many_styles(
        _network(options, facts),
        aims=None,
        start=start,
        optimizer=falling_adam(options.learning_rate, options.steps),
        half_life=options.half_life,
        transform=shared.partial(parts, crop=options.crop),
    )


def frozen(options: StyleOptions, data: dict[str, shelf.Dataset]) -> task.NetworkAims:
    """Return what the network learns from: VGG, and the statistics of the paintings.

    Args:
        options: of the run.
        data: by source.
    """
    found, base = data["paintings"], _base(options)
    return task.network_aims(
        [_painting(found, row) for row in range(found.count)],
        variables=weights.load(options.weights or "vgg16"),
        content_weight=options.content_weight,
        smoothness_weight=options.smoothness_weight,
        base=task.split_tables(base.variables["params"])[0] if isinstance(base, task.StyleModel) else None,
    )


def batches(
    key: Key, options: StyleOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of photographs.

    Args: see `Kind`.
    """
    return shelf.batches(key, data["photos"], options.batch, columns=("image",), first=first, process=process)


def parameters(state: task.NetworkState) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"network": state.params}


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet, a row of each photograph: as it is, then in every style.

    Args:
        trained: with the average that paints.
        path: without a suffix.
    """
    model, count = _model(trained), len(trained.facts["paintings"])
    mixes, rows = np.eye(model.network.styles, dtype=np.float32)[-count:], []
    for name in SHOWN:
        photo = io.square(pixels_of(samples.path(name)), trained.options.crop).astype(np.float32) / 255
        rows += [photo, *(task.restyle(model.network, model.variables, photo, mix) for mix in mixes)]
    io.write(path.with_suffix(".png"), io.grid(np.stack(rows), columns=count + 1))


def network(trained: Trained) -> weights.Network:
    """Return the network that paints, and the names of its styles: those of `--from`, if any, and the new ones.

    Args:
        trained: with the average that paints.
    """
    return task.as_network(_model(trained))


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


def check_options(options: StyleOptions | AnyStyleOptions) -> None:
    """Refuse what would fail only when training has begun.

    Args:
        options: of a run.

    Raises:
        ValueError: a number that cannot serve, or no weights of VGG-16; the message names it.
    """
    for name in ("half_life", "learning_rate"):
        if not 0 < getattr(options, name) < float("inf"):
            raise ValueError(f"{name}: expected a number above 0, got {getattr(options, name)}.")
    for name in ("content_weight", "smoothness_weight"):
        if not 0 <= getattr(options, name) < float("inf"):
            raise ValueError(f"{name}: expected a number of at least 0, got {getattr(options, name)}.")
    if options.weights is None:
        weights.provide("vgg16")
    elif not Path(options.weights).is_file():
        raise ValueError(f"weights: no such file as {options.weights}.")


def _model(trained: Trained) -> task.StyleModel:
    names, average = trained.facts["paintings"], trained.state.average
    base = _base(trained.options)
    if isinstance(base, task.StyleModel):
        return task.with_styles(base, average, names)
    about = {"names": names, "steps": int(trained.state.step)}
    return task.StyleModel(_network(trained.options, trained.facts), {"params": average}, about)


def _base(options: StyleOptions) -> task.StyleModel | task.AnyStyleModel | None:
    return None if options.start is None else task.load_network(options.start)


def _digest(base: task.StyleModel | task.AnyStyleModel) -> str:
    return digest(task.any_style_network(base) if isinstance(base, task.AnyStyleModel) else task.as_network(base))


def _network(options: StyleOptions, facts: Facts) -> models.ManyStyleNet:
    """Return the module that is trained: of the new styles alone, with the form of the network it started from."""
    form: Any = options if (base := _base(options)) is None else base.network
    return models.ManyStyleNet(len(facts["paintings"]), form.width, form.deep, form.blocks, form.coarse_blocks)


def digest(network: weights.Network) -> str:
    """Return the SHA-256 of a network's file, wherever it lies.

    Args:
        network: with which a run began.
    """
    return hashlib.sha256(weights.network_bytes(network)).hexdigest()


def falling_adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Return Adam with a rate that rises briefly and falls to 0 by a cosine.

    Args:
        rate: the highest.
        steps: of the run.
    """
    warm_up = min(_WARM_UP, steps // 20)
    return shared.cosine_adam(rate, steps, warm_up=warm_up, first=rate / (warm_up + 1))


def parts(keys: Key, images: Array, *, crop: int) -> jax.Array:
    """Show a random square of each picture, at a random scale and perhaps mirrored: ``[B, S, S, 3] -> [B, crop, crop, 3]``.

    Args:
        keys: ``[B]``.
        images: ``[B, S, S, 3]`` in [0, 1].
        crop: side of the squares, pixels.
    """
    return shelf.augment(keys, images, (functools.partial(_part, crop=crop), shelf.horizontal_flip))


def _part(key: Key, image: Array, *, crop: int) -> jax.Array:
    """Shrink a photograph so that its side is 1 to 1.5 crops, and take a square of one."""
    u, v, w = jax.random.uniform(key, (3,))
    side = crop + (image.shape[0] - crop) * u
    corner, scale = jnp.stack([v, w]) * (side - crop), jnp.broadcast_to(side / image.shape[0], (2,))
    part = jax.image.scale_and_translate(image, (crop, crop, image.shape[-1]), (0, 1), scale, -corner, method="linear")
    return jnp.clip(part, 0, 1)


def _paintings(path: Path | tuple[Path, ...], size: int) -> shelf.Dataset:
    """Read paintings, none enlarged; each lies in the upper left of a square of the largest side."""
    if isinstance(path, Path):
        path = (path,) if path.is_file() else tuple(io.pictures_in(path))
    columns: dict[str, Any] = {
        "image": np.zeros((len(path), size, size, 3), np.uint8),
        "height": np.zeros(len(path), np.int32),
        "width": np.zeros(len(path), np.int32),
        "side": np.zeros(len(path), np.int32),
        "name": np.asarray([file.stem for file in path]),
    }
    for row, file in enumerate(path):
        pixels = pixels_of(file)
        shrunk = _shrunk(pixels, size)
        columns["side"][row] = min(pixels.shape[:2])
        columns["height"][row], columns["width"][row] = shrunk.shape[:2]
        columns["image"][row, : shrunk.shape[0], : shrunk.shape[1]] = shrunk
    return shelf.from_arrays(columns)


def _shrunk(pixels: np.ndarray, size: int) -> np.ndarray:
    """Shrink a picture, uint8 ``[H, W, 3]``, so that its long side is `size` pixels at most."""
    height, width = pixels.shape[:2]
    if max(height, width) <= size:
        return pixels
    scale = size / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    return io.square(pixels, size, fit="pad")[top : top + inner[0], left : left + inner[1]]


def _painting(data: shelf.Dataset, row: int) -> np.ndarray:
    height, width = (int(data.column(name)[row]) for name in ("height", "width"))
    return data.column("image")[row, :height, :width]


def pixels_of(path: Path) -> np.ndarray:
    """Read a picture as uint8 ``[H, W, 3]``."""
    return np.rint(io.read(path) * 255).astype(np.uint8)
