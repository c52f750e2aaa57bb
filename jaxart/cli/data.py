"""What the commands about data do."""

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress

from jaxart import data as shelf
from jaxart import io
from jaxart.arrays import check_choice


def preview(
    data: Path,
    output: Path,
    *,
    size: int | None,
    channels: int,
    fit: str,
    labels: Path | None,
    split: str,
    augment: tuple[str, ...],
    rows: int,
    columns: int,
    seed: int,
) -> int:
    """Draw a contact sheet and say what is in the data."""
    io.check_writable(output)
    if rows < 1 or columns < 1:
        raise ValueError(f"--rows, --columns: expected at least 1, got {rows} and {columns}.")
    transforms = [shelf.AUGMENTATIONS[check_choice("--augment", name, shelf.AUGMENTATIONS)] for name in augment]
    console = Console()
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        dataset = _load(data, size=size, channels=channels, fit=fit, labels=labels, split=split)
    images, classes = dataset.column("image"), dataset.classes.get("label", ())
    count, height, width, _ = images.shape
    say(f"{data}: {count} pictures, {width} x {height}, {len(dataset.failures)} left out")
    if classes:
        counts = np.bincount(dataset.column("label"), minlength=len(classes))
        said = ", ".join(f"{name} {number}" for name, number in zip(classes, counts, strict=True))
        say(f"{len(classes)} classes: {said}")
    for line in (*(str(note.message) for note in notes), *(f"left out: {reason}" for reason in dataset.failures)):
        say(f"  {line}")
    chosen = _chosen(dataset, rows, columns, seed)
    cells = np.ones((len(chosen), height, width, 3), np.float32)
    there = chosen >= 0
    pictures = shelf.with_channels(images[chosen[there]], channels) / np.float32(255)
    cells[there] = _augmented(pictures, transforms, seed)
    io.write(output, io.grid(cells, columns=columns))
    order = f": {', '.join(classes[:rows])}, from top to bottom" if classes else ""
    say(f"{output}: {there.sum()} of them{order}")
    return 0


def _load(data: Path, **options) -> shelf.Dataset:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("decoding", total=None, visible=False)

        def on_progress(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, visible=True)

        return shelf.load(data, **options, on_progress=on_progress)


def _chosen(dataset: shelf.Dataset, rows: int, columns: int, seed: int) -> np.ndarray:
    """Return random examples for the sheet, row by row; with classes, a row of each, -1 where it has no more."""
    mixed = np.random.default_rng(seed).permutation(dataset.count)
    classes, labels = dataset.classes.get("label", ()), dataset.column("label")
    if not classes:
        return mixed[: rows * columns]
    sheet = np.full((min(rows, len(classes)), columns), -1)
    for number, row in enumerate(sheet):
        members = mixed[labels[mixed] == number][:columns]
        row[: len(members)] = members
    return sheet.reshape(-1)


def _augmented(pictures: np.ndarray, transforms: Sequence[Callable], seed: int) -> np.ndarray:
    if not transforms:
        return pictures
    keys = jax.random.split(jax.random.key(seed), len(pictures))
    return np.clip(shelf.augment(keys, jnp.asarray(pictures), transforms), 0, 1)
