"""Batches in an order that can be resumed, read ahead in threads.

A sampler puts the examples into one endless sequence. Batch k of size B takes the positions k B to k B + B - 1 of it, so that a run that
carries on at batch k, on any number of processes, sees what the uninterrupted one saw.
"""

from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np

from jaxart.arrays import Key
from jaxart.data.dataset import Batch, Dataset
from jaxart.data.samplers import Sampler, shuffled

_READING = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
_FOREVER = 2**62  # batches


def batches(
    key: Key,
    dataset: Dataset,
    batch_size: int,
    *,
    sampler: Sampler = shuffled,
    columns: Sequence[str] | None = None,
    first: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Return an endless stream of batches, read ahead in threads.

    By default every epoch has an order of its own, a function of the key and the epoch alone. A batch may span epochs, so no example is
    left out, and the dataset may be smaller than a batch.

    Args:
        key: typed key.
        dataset: its arrays are indexed, never copied whole.
        batch_size: examples in a batch, over all processes.
        sampler: which examples come and in which order: `shuffled`, `weighted`, `balanced`, `mixture`, or any function of that form.
        columns: which to read; by default all but text and times, which no device takes.
        first: the batch to begin with, at no cost.
        process: (index, count): of each batch, this process gets that one of `count` equal parts, in order.

    Returns:
        An iterator of batches, dicts of ``[batch_size / count, ...]`` by column, with the columns' dtypes. (`fit` hands them to JAX, which
        makes float64 float32 and int64 int32 unless ``jax_enable_x64`` is set.) Closing it ends its threads.

    Raises:
        ValueError: a batch size that is below one or does not divide by the processes, a negative `first`, no such process, an unknown
            column or one of text, whole numbers beyond what JAX will hold, a sampler made for other examples.

    >>> points = Dataset({"x": np.arange(3, dtype=np.float32)})
    >>> sorted(next(batches(jax.random.key(0), points, 6))["x"].tolist())
    [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    """
    index, count = process
    if not 0 <= index < count:
        raise ValueError(f"process: expected (index, count) with an index below the count, got {process}.")
    if batch_size < 1 or batch_size % count:
        raise ValueError(
            f"batch_size: expected a multiple of the {count} processes, at least {count}, got {batch_size}."
        )
    if first < 0:
        raise ValueError(f"first: expected 0 or more, got {first}.")
    arrays = _readable(dataset, columns)
    order, part = sampler(key, dataset.count), batch_size // count

    def read(number: int) -> Batch:
        start = number * batch_size + index * part
        chosen = order(start, start + part)
        return {name: np.asarray(array[chosen]) for name, array in arrays.items()}

    return _closing(grain.MapDataset.range(first, _FOREVER).map(read).to_iter_dataset(_READING))


def _readable(dataset: Dataset, columns: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Return the columns to read, once JAX can take them."""
    if columns is None:
        arrays = {name: array for name, array in dataset.columns.items() if array.dtype.kind not in "USMm"}
    else:
        arrays = {name: dataset.column(name) for name in columns}
    for name, array in arrays.items():
        if array.dtype.kind in "USMm":
            raise ValueError(
                f"column {name!r}: expected numbers, got {array.dtype}, which no device takes. Make classes of it with as_classes."
            )
        if array.dtype in (np.int64, np.uint64) and not jax.config.read("jax_enable_x64"):
            limits = np.iinfo(np.int32 if array.dtype == np.int64 else np.uint32)
            if array.size and (array.min() < limits.min or array.max() > limits.max):
                raise ValueError(
                    f"column {name!r}: expected {array.dtype} from {limits.min} to {limits.max}, got {array.min()} to {array.max()}; JAX "
                    "would cut them to 32 bits. Scale them, set jax_enable_x64, or leave the column out with columns=."
                )
    if not arrays:
        raise ValueError("columns: expected at least one of numbers, got none.")
    return arrays


def _closing(dataset: grain.IterDataset) -> Iterator[Batch]:
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()
