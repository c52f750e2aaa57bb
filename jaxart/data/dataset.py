"""What the rest of the shelf works on: examples as named columns, and the names of classes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxart.arrays import check_choice

Batch: TypeAlias = dict[str, jax.Array | np.ndarray]  # by column, [B, ...]


class Dataset(NamedTuple):
    """Examples in a fixed order, as named columns: pictures, token sequences, numbers, categories, several targets.

    Fields:
        columns: each ``[N, ...]``, of any dtype but object. Pictures are "image", uint8 ``[N, H, W, C]``, mapped from the cache if they
            come from there; their "label" is int32 ``[N]``, zeros where there are no classes.
        classes: of the integer columns that are categories, the names of their values 0, 1, ...
        failures: what could not be read, as "file: reason".
        names: of the files that the examples were read from, with "/"; none where they are of one file.
    """

    columns: dict[str, np.ndarray]
    classes: dict[str, tuple[str, ...]] = {}  # noqa: RUF012  never written to
    failures: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The number of examples."""
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> np.ndarray:
        """Return a column.

        Raises:
            ValueError: there is none of that name.
        """
        return self.columns[check_choice("column", name, self.columns)]


def from_arrays(
    columns: Mapping[str, Any] | np.ndarray, labels: Sequence | np.ndarray | None = None, *, classes: Sequence[str] = ()
) -> Dataset:
    """Make a dataset of arrays in memory: ``from_arrays({"tokens": ..., "price": ...})``, or short ``from_arrays(images, labels)``.

    Columns are kept as they are. (On a device, unless JAX is told to use 64 bits, float64 becomes float32 and int64 int32.)

    Args:
        columns: by name, anything NumPy reads as ``[N, ...]`` with one N: numbers, truth values, times or text. An array stands for the
            column "image": uint8 or float32, pictures ``[N, H, W, C]`` or points of any dimension.
        labels: with such an array only: ``[N]``, names or whole numbers, which become the classes of the column "label". None makes
            it zero.
        classes: the columns to turn into classes, see `as_classes`.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: no examples, columns of unequal lengths, objects, bytes, numbers or times that are not finite, an unknown name in
            `classes`, or values that cannot be classes.

    >>> paintings = from_arrays({"year": [1889, 1503], "artist": ["van Gogh", "Leonardo"]}, classes=["artist"])
    >>> paintings.columns["artist"], paintings.classes
    (array([1, 0], dtype=int32), {'artist': ('Leonardo', 'van Gogh')})
    """
    if isinstance(columns, Mapping):
        if labels is not None:
            raise ValueError('labels: expected with an array of pictures only; name a column instead, {"label": ...}.')
    else:
        if classes:
            raise ValueError("classes: expected with named columns only; give the labels of pictures as `labels`.")
        columns, classes = _picture_columns(np.asarray(columns), labels)
    dataset = Dataset(_checked({name: _as_array(name, values) for name, values in columns.items()}))
    for name in classes:
        dataset = as_classes(dataset, name)
    return dataset


def with_columns(dataset: Dataset, columns: Mapping[str, Any]) -> Dataset:
    """Return a dataset with more columns, or others in the place of those of the same names, which are classes no longer.

    Args:
        dataset: what they are added to.
        columns: by name, ``[N, ...]`` as in `from_arrays`.

    Raises:
        ValueError: what `from_arrays` refuses.
    """
    if not columns:
        return dataset
    added = from_arrays(columns).columns
    classes = {name: names for name, names in dataset.classes.items() if name not in added}
    return dataset._replace(columns=_checked(dataset.columns | added), classes=classes)


def _picture_columns(images: np.ndarray, labels: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    if images.ndim < 2 or images.dtype not in (np.uint8, np.float32):
        raise ValueError(
            f"images: expected uint8 or float32 [N, ...], got {images.dtype} {list(images.shape)}. Other columns have names: "
            'from_arrays({"price": ...}).'
        )
    if labels is None:
        return {"image": images, "label": np.zeros(len(images), np.int32)}, ()
    return {"image": images, "label": labels}, ("label",)


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"column {name!r}: expected rows of one shape, got {error}. Pad sequences to one length."
        ) from error
    if array.dtype == object or array.dtype.names:
        raise ValueError(
            f"column {name!r}: expected numbers, times or text of one type, got {array.dtype}. Convert it: np.asarray(values, str)."
        )
    if array.dtype.kind == "S":
        raise ValueError(
            f'column {name!r}: expected text, got bytes ({array.dtype}). Decode them: np.char.decode(values, "utf-8").'
        )
    return array


def _checked(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lengths = {name: len(array) if array.ndim else 0 for name, array in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        told = ", ".join(f"{length} in {name!r}" for name, length in lengths.items()) or "no columns"
        raise ValueError(f"columns: expected one number of examples [N, ...] of at least 1, got {told}.")
    for name, array in columns.items():
        if array.dtype.kind in "fcMm" and not (finite := np.isfinite(array)).all():
            rows = np.flatnonzero(~finite.reshape(len(array), -1).all(1))
            expected, got = ("times", "NaT") if array.dtype.kind in "Mm" else ("finite numbers", "NaN or infinity")
            raise ValueError(
                f"column {name!r}: expected {expected}, got {got} in {len(rows)} of {len(array)} examples, first at index "
                f"{rows[0]}. Leave them out, or fill them and say where in a column of their own."
            )
    return columns


def as_classes(dataset: Dataset, column: str, *, names: Sequence[str] | None = None) -> Dataset:
    """Turn a column of names or whole numbers into classes: int32 from 0, with their names in `Dataset.classes`.

    Args:
        dataset: a column that is classes already stays as it is, unless `names` are given.
        column: its name; the column may have any shape.
        names: of all classes, in order, such as those of the training data, as they are written ("007" is not "7"). By default the
            values that occur: names by the alphabet, whole numbers by value, those in text too.

    Raises:
        ValueError: an unknown column, floats, or a value that is not in `names`.
    """
    values, known = dataset.column(column), dataset.classes.get(column)
    if known is not None:
        if names is None:
            return dataset
        values = np.array(known)[values]
    if values.dtype.kind not in "biuU":
        raise ValueError(
            f"column {column!r}: expected names or whole numbers for classes, got {values.dtype}. "
            "Keep it as a number to predict, or cut it into bins first (np.digitize)."
        )
    found, numbers = np.unique(values, return_inverse=True)
    if values.dtype.kind == "U" and all(str(name).isdecimal() for name in found):
        order = sorted(range(len(found)), key=lambda place: int(found[place]))
        found, numbers = found[order], np.argsort(order)[numbers]
    occurring = tuple(str(name) for name in found)
    if names is not None:
        places = [tuple(names).index(check_choice(f"column {column!r}", name, names)) for name in occurring]
        occurring, numbers = tuple(names), np.asarray(places)[numbers]
    columns = dataset.columns | {column: numbers.reshape(values.shape).astype(np.int32)}
    return dataset._replace(columns=columns, classes=dataset.classes | {column: occurring})


def take(dataset: Dataset, indices: Sequence[int] | np.ndarray) -> Dataset:
    """Return some examples, copied; classes and their numbers stay the same.

    Args:
        dataset: where to take from.
        indices: ``[M]``, such as one part of a split.

    Raises:
        ValueError: no indices, or not whole numbers below the number of examples.
    """
    chosen = np.asarray(indices)
    whole = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
    if not whole or chosen.min() < 0 or chosen.max() >= dataset.count:
        raise ValueError(
            f"indices: expected whole numbers [M] from 0 to {dataset.count - 1}, got {chosen.dtype} {list(chosen.shape)}"
            f"{f' from {chosen.min()} to {chosen.max()}' if whole else ''}."
        )
    names = tuple(np.array(dataset.names)[chosen].tolist()) if dataset.names else ()
    return dataset._replace(columns={name: array[chosen] for name, array in dataset.columns.items()}, names=names)


def concatenate(datasets: Mapping[str, Dataset], *, source: str = "source") -> Dataset:
    """Join datasets of the same columns into one, with a column that says where each example is from; arrays are copied.

    Args:
        datasets: by the name of the source. Classes must be the same in all (`as_classes` with `names` sees to that).
        source: the name of the new column, whose classes are the names of the sources.

    Raises:
        ValueError: none, columns that differ in name, dtype or shape, other classes, or `source` is a column already.
    """
    if not datasets:
        raise ValueError("datasets: expected at least one, got none.")
    kinds = {name: _kind(each) for name, each in datasets.items()}
    first, expected = next(iter(kinds.items()))
    for name, kind in kinds.items():
        if kind != expected:
            raise ValueError(f"datasets: expected all as {first!r}: {expected}, got {name!r}: {kind}.")
    if source in expected:
        raise ValueError(
            f"source: expected the name of a new column, got {source!r}, which is one already. Name another."
        )
    parts = list(datasets.values())
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    columns[source] = np.repeat(np.arange(len(parts), dtype=np.int32), [part.count for part in parts])
    failures = tuple(f"{name}: {line}" for name, part in datasets.items() for line in part.failures)
    return Dataset(columns, parts[0].classes | {source: tuple(datasets)}, failures)


def _kind(dataset: Dataset) -> dict[str, tuple]:
    def dtype(array: np.ndarray) -> str:
        return "text" if array.dtype.kind == "U" else array.dtype.name

    columns = sorted(dataset.columns.items())
    return {name: (dtype(array), array.shape[1:], dataset.classes.get(name, ())) for name, array in columns}


def digest(dataset: Dataset) -> str:
    """Return the SHA-256 of the columns and classes: equal for equal values, wherever and on whatever machine they were read.

    The order of the examples counts, that of the columns does not.
    """
    content = hashlib.sha256()
    for name, array in sorted(dataset.columns.items()):
        kind = array.dtype.kind
        facts = [name, "text" if kind == "U" else array.dtype.name, array.shape, dataset.classes.get(name)]
        content.update(json.dumps(facts).encode())
        if kind in "UMm":
            content.update(json.dumps(array.astype(str).tolist()).encode())
        else:
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            content.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
    return content.hexdigest()
