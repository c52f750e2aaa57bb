"""Question: how long does a query over a million vectors take?

    python benchmarks/search.py [--count 1000000] [--dimension 1792] [--json]

Random half-precision vectors of the dimension of the default features lie in a file, as in an index, and are searched by
`tasks.search.nearest_rows`, exactly. The rival is a product with the same vectors in NumPy, block by block (as float32: NumPy has no fast
product of halves). The second time the file is in memory; the first is told too, but depends on what was there before.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import describe, interleave, ratio, table

from jaxart.tasks import search


def written(path: Path, count: int, dimension: int) -> np.ndarray:
    """Return random vectors of norm 1, mapped from a file."""
    array = np.lib.format.open_memmap(path, "w+", np.float16, (count, dimension))
    some = np.random.default_rng(0).standard_normal((min(16384, count), dimension), np.float32)
    some = (some / np.linalg.norm(some, axis=1, keepdims=True)).astype(np.float16)
    for number, first in enumerate(range(0, count, 16384)):
        array[first : first + 16384] = np.roll(some, number, axis=1)[: count - first]
    array.flush()
    del array
    return np.load(path, mmap_mode="r")


def by_numpy(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the nearest rows, by blocks."""
    products = [vectors[i : i + 4096].astype(np.float32) @ queries.T for i in range(0, len(vectors), 4096)]
    similarity = np.concatenate(products).T
    near = np.argpartition(-similarity, k, axis=1)[:, :k]
    return np.take_along_axis(near, np.argsort(-np.take_along_axis(similarity, near, 1), axis=1), 1)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=1792)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the file is written")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        vectors = written(Path(folder) / "vectors.npy", arguments.count, arguments.dimension)
        for asked in (1, 8):
            queries = np.array(vectors[:: arguments.count // asked][:asked], np.float32)
            begin = time.perf_counter()
            found = search.nearest_rows(vectors, queries, k=5)
            first = time.perf_counter() - begin
            np.testing.assert_array_equal(found.rows, by_numpy(vectors, queries, 5))
            runs = {
                "ours": lambda queries=queries: search.nearest_rows(vectors, queries, k=5),
                "numpy": lambda queries=queries: by_numpy(vectors, queries, 5),
            }
            seconds = interleave(runs, repeats=arguments.repeats)
            rows.append(
                {
                    "name": f"{asked} queries, {arguments.count:,} x {arguments.dimension} (the first time {first:.2f} s)",
                    "ours": f"{np.median(seconds['ours']):.2f}",
                    "rival": f"{np.median(seconds['numpy']):.2f}",
                    "unit": "s",
                    "ratio": ratio(seconds["numpy"], seconds["ours"]),
                }
            )
    table(rows, "jaxart", "NumPy", describe())


if __name__ == "__main__":
    main()
