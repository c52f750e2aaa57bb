"""The order of examples, and batches read ahead in threads.

The order is one endless sequence: epoch after epoch, each a permutation of its own. Batch k of size B takes the examples k B to k B + B - 1
of it, so that a run that carries on at batch k, on any number of processes, sees what the uninterrupted one saw.
"""

import functools
from collections.abc import Callable, Iterator

import grain
import jax
import numpy as np

from jaxart.arrays import Key
from jaxart.data.dataset import Dataset

_READING = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
_FOREVER = 2**62  # batches


Batch = dict[str, np.ndarray]  # "image [B, ...]" as in the dataset, "label [B]" int32, zeros where there are no classes


def batches(
    key: Key, dataset: Dataset, batch_size: int, *, first: int = 0, process: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """Return an endless stream of shuffled batches, read ahead in threads.

    Each epoch has an order of its own, a function of the key and the epoch alone. A batch may span epochs, so no example is left out, and
    the dataset may be smaller than a batch.

    Args:
        key: typed key.
        dataset: its arrays are indexed, never copied whole.
        batch_size: examples in a batch, over all processes.
        first: the batch to begin with, at no cost.
        process: (index, count): of each batch, this process gets that one of `count` equal parts, in order.

    Returns:
        An iterator of `Batch` with ``batch_size / count`` examples. Closing it ends its threads.

    Raises:
        ValueError: a batch size that is below one or does not divide by the processes, a negative `first`, no such process.

    >>> points = Dataset(np.arange(3, dtype=np.float32)[:, None], np.zeros(3, np.int32))
    >>> sorted(next(batches(jax.random.key(0), points, 6))["image"][:, 0].tolist())
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
    order, part = _order(key, len(dataset.images)), batch_size // count

    def read(number: int) -> Batch:
        start = number * batch_size + index * part
        chosen = order(start, start + part)
        return {"image": np.asarray(dataset.images[chosen]), "label": dataset.labels[chosen]}

    return _closing(grain.MapDataset.range(first, _FOREVER).map(read).to_iter_dataset(_READING))


def _order(key: Key, count: int) -> Callable[[int, int], np.ndarray]:
    """Return a function that gives examples start to stop of the endless order, as indices into the dataset."""
    words = np.asarray(jax.random.key_data(key)).reshape(-1).tolist()

    @functools.lru_cache(maxsize=2)
    def epoch(number: int) -> np.ndarray:
        # Raw bits are the same in every version of NumPy, its permutations need not be. (grain's shuffle takes milliseconds an example.)
        return np.argsort(np.random.PCG64([*words, number]).random_raw(count), kind="stable")

    def order(start: int, stop: int) -> np.ndarray:
        numbers = range(start // count, (stop - 1) // count + 1)
        return np.concatenate([epoch(n)[max(0, start - n * count) : stop - n * count] for n in numbers])

    return order


def _closing(dataset: grain.IterDataset) -> Iterator[Batch]:
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()
