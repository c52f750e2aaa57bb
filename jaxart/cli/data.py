"""The commands under data."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from jaxart.cli.options import Data
from jaxart.cli.terminal import messages, show

if TYPE_CHECKING:
    import numpy as np

    from jaxart.data import Dataset

app = App(name="data", help="Look at the pictures that a model would learn from.")


@dataclass(frozen=True)
class Options:
    """How the data is read and what is drawn of it."""

    size: Annotated[int | None, Parameter(help="Side of a picture. [arrays: their own, pictures: 64]")] = None
    channels: Annotated[Literal[1, 3], Parameter(help="1 for gray, 3 for color.")] = 3
    fit: Annotated[
        Literal["crop", "pad"], Parameter(help="Other shapes: crop to the central square, or pad to one.")
    ] = "crop"
    labels: Annotated[Path | None, Parameter(help="A CSV with columns file,label, instead of subfolders.")] = None
    split: Annotated[Literal["train", "test"], Parameter(help="Which part of data that comes in two.")] = "train"
    augment: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, help="Change them at random: horizontal_flip, rotate, crop, hue, ..."),
    ] = ()
    rows: Annotated[int, Parameter(help="Most rows; with classes, a row of each.")] = 10
    columns: Annotated[int, Parameter(help="Pictures in a row.")] = 10
    seed: Annotated[int, Parameter(help="Of the choice of pictures and of --augment.")] = 0


@app.command
def preview(
    data: Data,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The sheet: .png .jpg .webp .tif.")],
    options: Annotated[Options, Parameter(name="*")] = Options(),
) -> int:
    """Draw a contact sheet of DATA, count its classes, and list what cannot be read.

    Example: `jaxart data preview drawings/ -o sheet.png --size 64 --augment horizontal_flip crop`
    """
    import numpy as np

    from jaxart import data as shelf
    from jaxart import io
    from jaxart.arrays import check_choice

    io.check_writable(output)
    if options.rows < 1 or options.columns < 1:
        raise ValueError(f"--rows, --columns: expected at least 1, got {options.rows} and {options.columns}.")
    names = [check_choice("--augment", name, shelf.AUGMENTATIONS) for name in options.augment]
    dataset, notes = _load(data, options)
    _describe(data, dataset, notes)
    chosen = _chosen(dataset, options)
    images, classes = dataset.column("image"), dataset.classes.get("label", ())
    cells = np.ones((len(chosen), *images.shape[1:3], 3), np.float32)
    there = chosen >= 0
    pictures = shelf.with_channels(images[chosen[there]], options.channels) / np.float32(255)
    cells[there] = _augmented(pictures, [shelf.AUGMENTATIONS[name] for name in names], options.seed)
    io.write(output, io.grid(cells, columns=options.columns))
    order = f": {', '.join(classes[: options.rows])}, from top to bottom" if classes else ""
    show(f"{output}: {there.sum()} of them{order}")
    return 0


def _load(data: Path, options: Options) -> "tuple[Dataset, list[str]]":
    """Return the dataset, and what was warned of while it was read."""
    from rich.progress import Progress

    from jaxart import data as shelf

    with warnings.catch_warnings(record=True) as notes, Progress(console=messages(), transient=True) as progress:
        warnings.simplefilter("always")
        bar = progress.add_task("decoding", total=None, visible=False)
        dataset = shelf.load(
            data,
            size=options.size,
            channels=options.channels,
            fit=options.fit,
            labels=options.labels,
            split=options.split,
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total, visible=True),
        )
    return dataset, [str(note.message) for note in notes]


def _describe(data: Path, dataset: "Dataset", notes: Sequence[str]) -> None:
    """Print how many pictures there are, of which classes, and what was left out."""
    import numpy as np

    count, height, width, _ = dataset.column("image").shape
    show(f"{data}: {count} pictures, {width} x {height}, {len(dataset.failures)} left out")
    if classes := dataset.classes.get("label", ()):
        counts = np.bincount(dataset.column("label"), minlength=len(classes))
        each = ", ".join(f"{name} {number}" for name, number in zip(classes, counts, strict=True))
        show(f"{len(classes)} classes: {each}")
    for line in (*notes, *(f"left out: {reason}" for reason in dataset.failures)):
        show(f"  {line}")


def _chosen(dataset: "Dataset", options: Options) -> "np.ndarray":
    """Return random examples for the sheet, row by row; with classes, a row of each, -1 where it has no more."""
    import numpy as np

    mixed, classes = np.random.default_rng(options.seed).permutation(dataset.count), dataset.classes.get("label", ())
    if not classes:
        return mixed[: options.rows * options.columns]
    sheet = np.full((min(options.rows, len(classes)), options.columns), -1)
    for number, row in enumerate(sheet):
        members = mixed[dataset.column("label")[mixed] == number][: options.columns]
        row[: len(members)] = members
    return sheet.reshape(-1)


def _augmented(pictures: "np.ndarray", transforms: Sequence[Callable], seed: int) -> Any:
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxart import data as shelf

    if not transforms:
        return pictures
    keys = jax.random.split(jax.random.key(seed), len(pictures))
    return np.clip(shelf.augment(keys, jnp.asarray(pictures), transforms), 0, 1)
