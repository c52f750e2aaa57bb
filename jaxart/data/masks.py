"""Pictures with masks: two folders that belong together, and augmentation that moves both alike."""

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key, check_choice
from jaxart.data.augmentation import AUGMENTATIONS, augment
from jaxart.data.dataset import Dataset, from_arrays, take
from jaxart.data.decoding import decode, decode_once
from jaxart.data.mask_classes import IGNORED, Numbering, number_classes, read_mask_classes
from jaxart.data.mask_files import MaskFile, read_mask_file
from jaxart.data.pictures import Pictures
from jaxart.data.shape import Shape
from jaxart.data.sources import FITS
from jaxart.io import READABLE, upright_size

GEOMETRIC = ("horizontal_flip", "vertical_flip", "quarter_turn", "rotate", "translate", "crop")
_THREADS = 4
_NAMED = 5  # files in a message
_MARK = 1e4  # of pixels that were in the picture; what comes in beside them is in [-1, 1]

OnProgress = Callable[[int, int], Any] | None


def load_masks(
    images: str | Path,
    masks: str | Path,
    *,
    size: int = 64,
    fit: str = "crop",
    classes: str | Path | None = None,
    cache: bool = True,
    on_progress: OnProgress = None,
) -> Dataset:
    """Read pictures and their masks from two folders, which are paired by path and name without the extension.

    Pictures are resized with Lanczos' filter, masks with the nearest pixel; both are cropped to the central square, or padded to one (what
    is added to a mask is ignored).

    Args:
        images: a folder of pictures, with folders in it or not.
        masks: a folder of PNGs of the same names, of the pictures' sizes: palette or gray (numbers are classes, 255 is ignored), or RGB
            (colors are classes).
        size: side in pixels.
        fit: "crop" or "pad".
        classes: a file of their names, and colors or numbers, see `read_mask_classes`. By default all that occur.
        cache: as in `load`; masks are read anew each time.
        on_progress: called ``on_progress(done, total)`` while pictures are decoded.

    Returns:
        A `Dataset` with the columns "image" uint8 ``[N, S, S, 3]``, "mask" uint8 ``[N, S, S]`` (255 where the class is not known), the
        classes of "mask", their colors as "color" uint8 ``[N, K, 3]``, the same in all rows, and the "name" of each pair. What could not be
        read is left out, with what it is a pair of, and in `failures`.

    Raises:
        ValueError: nothing there, a picture without a mask or the reverse, another size, masks with transparency, labels of no class.
    """
    pictures = load_named_pictures(images, size=size, fit=fit, cache=cache, on_progress=on_progress)
    return pair_masks(pictures, read_masks(masks, size=size, fit=fit, classes=classes))


def load_named_pictures(
    path: str | Path, *, size: int, fit: str = "crop", cache: bool = True, on_progress: OnProgress = None
) -> Dataset:
    """Read the pictures of a folder: columns "image", the "name" of each and its "sides" in the file, (height, width).

    Args:
        path: a folder.
        size: as in `load_masks`.
        fit: as in `load_masks`.
        cache: as in `load`.
        on_progress: as in `load_masks`.

    Raises:
        ValueError: no such folder, nothing that can be read, two pictures of one name.
    """
    root, names = _files(path, READABLE)
    check_choice("fit", fit, FITS[:2])
    stamps = tuple((facts.st_size, facts.st_mtime_ns) for facts in ((root / name).stat() for name in names))
    opener = functools.partial(_open, root)
    pictures = Pictures(str(root.resolve()), names, None, {}, stamps, opener)
    found = (decode_once if cache else decode)(pictures, Shape(size, 3, fit), on_progress=on_progress)
    read = _without(names, found.failures)
    with ThreadPoolExecutor(_THREADS) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd metadata
        sides = list(pool.map(functools.partial(_sides, root), read))
    columns = {"image": found.column("image"), "name": _stems(path, read), "sides": np.array(sides, np.int32)}
    return from_arrays(columns)._replace(failures=found.failures)


def read_masks(path: str | Path, *, size: int, fit: str = "crop", classes: str | Path | None = None) -> Dataset:
    """Read the masks of a folder: columns "mask", "color", "name" and "sides", as `load_masks` and `load_named_pictures` have them.

    Args:
        path: a folder.
        size: as in `load_masks`.
        fit: as in `load_masks`.
        classes: as in `load_masks`.

    Raises:
        ValueError: as `load_masks`.
    """
    root, names = _files(path, (".png",))
    check_choice("fit", fit, FITS[:2])
    given = None if classes is None else read_mask_classes(classes)
    by_color = given is not None and given.values is None
    read = functools.partial(read_mask_file, root, Shape(size, 1, fit), by_color)
    with ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(read, names))
    found = [each for each in results if isinstance(each, MaskFile)]
    failures = tuple(each for each in results if isinstance(each, str))
    if not found:
        raise ValueError(f"{path}: none of {len(names)} masks can be read; the first: {failures[0]}")
    for reason in Counter(each.refused for each in found if each.refused):
        files = [each.labels.name for each in found if each.refused == reason]
        raise ValueError(f"{path}: {len(files)} of {len(names)} masks {reason}: {_some(files)}.")
    numbering = number_classes([each.labels for each in found], given)
    return _dataset(path, found, numbering)._replace(failures=failures)


def pair_masks(images: Dataset, masks: Dataset) -> Dataset:
    """Put pictures and masks of the same names together; what could not be read is left out with what belongs to it.

    Args:
        images: from `load_named_pictures`.
        masks: from `read_masks`, of the same size and fit.

    Returns:
        As `load_masks`.

    Raises:
        ValueError: a picture without a mask or the reverse, or of another size in the file.
    """
    places = [{name: row for row, name in enumerate(each.column("name").tolist())} for each in (images, masks)]
    for what, mine, other in (("pictures without a mask", 0, masks), ("masks without a picture", 1, images)):
        lonely = [name for name in places[mine] if name not in places[1 - mine] and not _failed(name, other.failures)]
        if lonely:
            raise ValueError(f"images, masks: {len(lonely)} {what}: {_some(lonely)}. Their paths must be the same.")
    both = [name for name in places[0] if name in places[1]]
    if not both:
        raise ValueError("images, masks: no pair of a picture and a mask could be read.")
    pictures, masks = (
        _rows(each, [place[name] for name in both]) for each, place in zip((images, masks), places, strict=True)
    )
    unlike = np.flatnonzero((pictures.column("sides") != masks.column("sides")).any(axis=1))
    if len(unlike):
        told = [f"{both[row]} ({_size(pictures, row)}, its mask {_size(masks, row)})" for row in unlike[:_NAMED]]
        raise ValueError(
            f"images, masks: {len(unlike)} masks of another size than their picture: {_some(told, len(unlike))}."
        )
    columns = {"image": pictures.column("image")} | {name: masks.column(name) for name in ("mask", "color", "name")}
    return Dataset(columns, masks.classes, images.failures + masks.failures)


def with_mask_classes(masks: Dataset, names: Sequence[str]) -> Dataset:
    """Number the classes of masks anew, as another set of masks does: by their names.

    Args:
        masks: from `read_masks` or `load_masks`.
        names: of the classes there, in order.

    Raises:
        ValueError: pixels of a class that is not among them.
    """
    own, values = masks.classes["mask"], masks.column("mask")
    if tuple(own) == tuple(names):
        return masks
    pixels = np.bincount(values.reshape(-1), minlength=256)
    unknown = [f"{name} ({pixels[n]} pixels)" for n, name in enumerate(own) if name not in names and pixels[n]]
    if unknown:
        raise ValueError(
            f"masks: {len(unknown)} classes that are unknown here: {', '.join(unknown)}; known: {', '.join(names)}."
        )
    table = np.full(256, IGNORED, np.uint8)
    colors = np.zeros((masks.count, len(names), 3), np.uint8)
    for number, name in enumerate(own):
        if name in names:
            table[number] = names.index(name)
            colors[:, table[number]] = masks.column("color")[:, number]
    columns = masks.columns | {"mask": table[values], "color": colors}
    return masks._replace(columns=columns, classes=masks.classes | {"mask": tuple(names)})


def augment_pairs(
    keys: Key,
    images: Array,
    masks: Array,
    *,
    geometric: Sequence[Callable[[Key, jax.Array], jax.Array]] = (),
    photometric: Sequence[Callable[[Key, jax.Array], jax.Array]] = (),
) -> tuple[jax.Array, jax.Array]:
    """Augment pictures and their masks alike: what moves pixels moves those of the mask too, each to that of its nearest.

    The pictures are those of ``augment(keys, images, [*geometric, *photometric])``. Where the pixels of the mask come from is read off a
    picture of places that goes through the same transforms with the same keys: a linear function of the place stays one under bilinear
    interpolation. So the geometry is drawn once, and no mask has a class that it had not; what comes in from outside is ignored.

    Args:
        keys: ``[B]``, as in `augment`.
        images: ``[B, H, W, C]``, float.
        masks: uint8 ``[B, H, W]``.
        geometric: transforms that move pixels and fill with values in [-1, 1], such as `horizontal_flip`, `crop`, `rotate`, `translate`.
        photometric: transforms that change values alone, such as `brightness`; they leave masks as they are.

    Returns:
        (images ``[B, H, W, C]``, masks uint8 ``[B, H, W]``).

    Raises:
        ValueError: a transform of this package that is in the wrong list.
    """
    _check_kinds(geometric, photometric)
    images = augment(keys, images, [*geometric, *photometric])
    if not geometric:
        return images, jnp.asarray(masks)
    height, width = masks.shape[1:]
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32), indexing="ij"
    )
    places = jnp.stack([rows, columns, jnp.full_like(rows, _MARK)], axis=-1)
    moved = augment(keys, jnp.broadcast_to(places[None], (len(masks), *places.shape)), geometric)
    return images, jax.vmap(_looked_up)(masks, moved)


def _looked_up(mask: Array, moved: Array) -> jax.Array:
    row, column = (
        jnp.clip(jnp.rint(moved[..., n]).astype(jnp.int32), 0, size - 1) for n, size in enumerate(mask.shape)
    )
    return jnp.where(moved[..., 2] > 0.5 * _MARK, mask[row, column], jnp.uint8(IGNORED))


def _check_kinds(geometric: Sequence, photometric: Sequence) -> None:
    for kind, transforms, right in (("geometric", geometric, True), ("photometric", photometric, False)):
        for transform in transforms:
            name = getattr(getattr(transform, "func", transform), "__name__", "")
            if name in AUGMENTATIONS and (name in GEOMETRIC) != right:
                raise ValueError(f"augment_pairs: {name} {'moves no' if right else 'moves'} pixels; it is not {kind}.")


def _files(path: str | Path, suffixes: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """Return a folder and the files in it, below it too, by path."""
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{path}: expected a folder.")
    found = sorted(_visible(root, suffixes))
    if not found:
        raise ValueError(f"{path}: no files inside ({' '.join(suffixes)}).")
    return root, tuple(found)


def _visible(root: Path, suffixes: Sequence[str]) -> Iterator[str]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [each for each in subfolders if not each.startswith(".")]
        for file in files:
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in suffixes:
                yield Path(folder, file).relative_to(root).as_posix()


def _open(root: Path, name: str) -> BinaryIO:
    return (root / name).open("rb")


def _sides(root: Path, name: str) -> tuple[int, int]:
    with _open(root, name) as stream:
        return upright_size(stream, name)


def _stems(path: str | Path, names: Sequence[str]) -> list[str]:
    """Return the names without their extensions, once they are all different."""
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: {len(twice)} names that several files have, but for the extension: {_some(twice)}.")
    return stems


def _failed(stem: str, failures: Sequence[str]) -> bool:
    return any(reason.lower().startswith(f"{stem}{suffix}: ".lower()) for reason in failures for suffix in READABLE)


def _without(names: Sequence[str], failures: Sequence[str]) -> list[str]:
    return [name for name in names if not any(reason.startswith(f"{name}: ") for reason in failures)]


def _some(names: Sequence[str], count: int = 0) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if max(len(names), count) > _NAMED else "")


def _size(dataset: Dataset, row: int) -> str:
    height, width = dataset.column("sides")[row]
    return f"{width} x {height}"


def _rows(dataset: Dataset, rows: list[int]) -> Dataset:
    """Take examples, without copying where they are all, in order."""
    return dataset if rows == list(range(dataset.count)) else take(dataset, rows)


def _dataset(path: str | Path, found: list[MaskFile], numbering: Numbering) -> Dataset:
    masks = np.empty((len(found), *found[0].codes.shape), np.uint8)
    for row, each in enumerate(found):
        table = np.full(256, IGNORED, np.uint8)
        table[: len(each.labels.counts)] = [numbering.numbers[label] for label in sorted(each.labels.counts)]
        masks[row] = table[each.codes]
    columns = {
        "mask": masks,
        "color": np.broadcast_to(numbering.colors[None], (len(found), *numbering.colors.shape)),
        "name": _stems(path, [each.labels.name for each in found]),
        "sides": np.array([each.sides for each in found], np.int32),
    }
    return from_arrays(columns)._replace(classes={"mask": numbering.names})
