"""`load`: pictures and what belongs to them, whatever they are kept in."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxart.arrays import check_choice
from jaxart.data import array_files
from jaxart.data.dataset import Dataset, from_arrays, with_columns
from jaxart.data.decoding import decode, decode_once
from jaxart.data.pictures import open_pictures
from jaxart.data.shape import Shape, shaped_arrays, with_channels

FITS = ("crop", "pad", "stretch")
SPLITS = ("train", "test")
CHANNELS = (1, 3, 4)
_PICTURE_SIZE = 64  # pixels, where none is asked for


def load(
    path: str | Path,
    *,
    size: int | None = None,
    channels: int = 3,
    fit: str = "crop",
    labels: str | Path | None = None,
    columns: Sequence[str] = (),
    split: str = "train",
    cache: bool = True,
    on_progress: Callable[[int, int], Any] | None = None,
) -> Dataset:
    """Read a dataset of pictures: a folder, an archive, or a file of arrays.

    Pictures are cropped to the central square, padded with white to one, or stretched, and resized with Lanczos' filter, antialiased;
    transparent parts stand before white unless `channels` is 4. Arrays larger than `size` are treated likewise, smaller ones are not
    enlarged but padded with zeros on all sides (28 to 32 pixels: two on each). Pictures are decoded once and kept in ``data`` in the cache
    folder. Classes with a single picture are warned of, and pictures beside the folders of others, which leave all without a class.

    Args:
        path: a folder or .zip of pictures, whose subfolders are classes; .npz (arrays "images" and perhaps "labels") or .npy, floats in
            [0, 1] or whole numbers in [0, 255], ``[N, H, W]`` or ``[N, H, W, C]``; an IDX file (``train-images-idx3-ubyte.gz``, with
            ``train-labels-idx1-ubyte.gz`` beside it) or a folder of them.
        size: side in pixels. None keeps that of arrays and is 64 for pictures.
        channels: 1 (luminance), 3 (RGB) or 4 (RGBA).
        fit: "crop", "pad" or "stretch".
        labels: a CSV file with the columns file (its path below `path`) and label, instead of subfolders. Other files are left out.
        columns: others to read of that CSV file, which then need have no label, or of an .npz: prices, years, names. What is all numbers
            in a CSV becomes numbers, the rest text. Those of a CSV cannot be named "image" or "label".
        split: "train" or "test", where there are both (IDX files train-... and t10k-..., or folders train and test); else all is read.
        cache: false decodes into memory and keeps nothing.
        on_progress: called ``on_progress(done, total)`` while pictures are decoded.

    Returns:
        A `Dataset` with the columns "image" and "label". Labels that are names or whole numbers become classes, and subfolders always do;
        floats, in a CSV or as an array, stay numbers. Where there are no labels, "label" is zero. What could not be read is left out and
        in `failures`.

    Raises:
        ValueError: nothing there, nothing that can be read, a manifest with files that are missing, damaged arrays, a CSV
            column that would take the place of another, an unknown option.
    """
    path = Path(path)
    _check(path, size, channels, fit, split)
    if array_files.holds_arrays(path):
        if labels is not None:
            raise ValueError(f"labels: {path} holds arrays, which have theirs beside them; a CSV file is for pictures.")
        arrays = array_files.read(path, split=split, columns=columns)
        shape = None if size is None else Shape(size, channels, fit)
        images = arrays.pop("image")
        images = with_channels(images, channels) if shape is None else shaped_arrays(images, shape)
        dataset = _with_others(images, arrays)
    else:
        if columns and labels is None:
            raise ValueError(f"columns: expected `labels` too, the CSV file that {', '.join(columns)} are in.")
        for name in set(columns) & {"image", "label"}:
            raise ValueError(
                f"columns: {name!r} is read without being named; a CSV column for something else needs another name."
            )
        shape = Shape(_PICTURE_SIZE if size is None else size, channels, fit)
        with open_pictures(
            path, labels=None if labels is None else Path(labels), split=split, columns=columns
        ) as pictures:
            dataset = (decode_once if cache else decode)(pictures, shape, on_progress=on_progress)
    _warn_of_single_pictures(path, dataset)
    return dataset


def _with_others(images: np.ndarray, others: dict[str, np.ndarray]) -> Dataset:
    labels = others.pop("label", None)
    numbers = labels is not None and labels.dtype.kind == "f"
    pictures = from_arrays({"image": images, "label": labels}) if numbers else from_arrays(images, labels)
    return with_columns(pictures, others)


def _check(path: Path, size: int | None, channels: int, fit: str, split: str) -> None:
    check_choice("fit", fit, FITS)
    check_choice("split", split, SPLITS)
    if channels not in CHANNELS:
        raise ValueError(f"channels: expected one of {', '.join(map(str, CHANNELS))}, got {channels}.")
    if size is not None and size < 1:
        raise ValueError(f"size: expected at least 1 pixel, got {size}.")
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder.")


def _warn_of_single_pictures(path: Path, dataset: Dataset) -> None:
    names = dataset.classes.get("label", ())
    if not names:
        return
    counts = np.bincount(dataset.column("label"), minlength=len(names))
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        warnings.warn(
            f"{path}: {len(single)} of {len(names)} classes have a single picture ({', '.join(single[:5])}"
            f"{', ...' if len(single) > 5 else ''}), which a model can only repeat. Add pictures or merge classes.",
            stacklevel=3,
        )
