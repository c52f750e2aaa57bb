"""Where a run's pictures come from: the nearest of those it learned from beside each, and whether it is a copy."""

import json
from pathlib import Path

import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics
from jaxart.runs.run import Run, with_data

_PAIRS = 4  # in a row of a sheet


def known_pictures(run: Run | Path) -> shelf.Dataset:
    """Return the pictures that a run learned from.

    Args:
        run: of a kind that learns pictures.

    Raises:
        ValueError: a file, a run that learned from no set of pictures, or whose data is gone or changed.
    """
    if isinstance(run, Path) or "data" not in run.sources:
        raise ValueError(
            f"{run if isinstance(run, Path) else run.folder}: there is no set of pictures that it learned from to compare with; "
            "a run of gan, vae, flow or student has one."
        )
    return with_data(run).data["data"]


def write_origins(path: Path, images: np.ndarray, known: shelf.Dataset, *, seed: int) -> metrics.Nearest:
    """Write as JSON, for each picture, the number of the nearest known one, how near it is, and a verdict; see `metrics.nearest_pictures`.

    Args:
        path: of the file, with its suffix.
        images: made, ``[N, S, S, C]`` in [0, 1].
        known: what the generator learned from, of the same size.
        seed: with which they were made, to be told.

    Returns:
        What was found.
    """
    nearest = metrics.nearest_pictures(images, known.column("image"))
    pictures = [
        {"nearest": int(row), "ratio": round(float(ratio), 4), "verdict": verdict}
        for row, ratio, verdict in zip(nearest.index, nearest.ratio, nearest.verdicts(), strict=True)
    ]
    with io.replacing(path) as partial:
        partial.write_text(json.dumps({"seed": seed, "pictures": pictures}, indent=1) + "\n", encoding="utf-8")
    return nearest


def nearest_sheet(images: np.ndarray, known: shelf.Dataset, nearest: metrics.Nearest) -> np.ndarray:
    """Return a sheet of made pictures, each with the nearest known one at its right.

    Args:
        images: ``[N, S, S, C]`` in [0, 1].
        known: of the same size.
        nearest: from `write_origins`.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].
    """
    others = known.column("image")[nearest.index].astype(np.float32) / 255
    both = np.stack([images, others], axis=1).reshape(-1, *images.shape[1:])
    return io.grid(both, columns=2 * min(_PAIRS, len(images)))
