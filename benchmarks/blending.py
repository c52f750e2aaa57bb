"""Question: how long does Poisson blending take? Rivals: OpenCV's seamlessClone, and SciPy's sparse direct solver.

    pip install opencv-python-headless
    python benchmarks/blending.py [--sizes 512 2048] [--repeats 5]

A disc with a wavy rim, three tenths of a square picture, is taken from one smooth noise and set into another, by the differences of the
first. All solve the same system; OpenCV sees 8 bits and answers in 8 bits. The sparse solver is left out above 1024 pixels, where its
factors take gigabytes. Beside the times: how far we are from the sparse solver, and what is left of the equation, relative to what it
asks for, in 64 bits.
"""

import argparse
import functools
from typing import Any

import jax
import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
from timing import describe, interleave, ratio, table

from jaxart.tasks import compose

_LARGEST = 1024  # pixels of a side for the sparse solver


def pictures(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a scene, another picture, and the region."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(2):
        noise = sum(
            scipy.ndimage.zoom(rng.standard_normal((size // k, size // k, 3)), (k, k, 1), order=1) * k**0.5
            for k in (4, 16, 64)
        )
        noise = np.asarray(noise) + 0.3 * rng.standard_normal((size, size, 3))
        made.append(((noise - noise.min()) / np.ptp(noise)).astype(np.float32))
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    region = np.hypot(x, y) < 0.31 + 0.04 * np.sin(7 * np.arctan2(y, x))
    return made[0], made[1], region


class Sparse:
    """The equation as a sparse matrix, in 64 bits."""

    def __init__(self, scene: np.ndarray, other: np.ndarray, region: np.ndarray):
        rows, columns = np.nonzero(region)
        number = np.full(region.shape, -1)
        number[region] = np.arange(len(rows))
        self.region, self.count = region, len(rows)
        self.right = np.zeros((self.count, 3))
        entries: list[Any] = []
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):  # the region does not touch the border
            near = (rows + dy, columns + dx)
            self.right += other[region].astype(np.float64) - other[near]
            inside = number[near] >= 0
            self.right[~inside] += scene[near][~inside]
            entries.append((number[region][inside], number[near][inside]))
        one, two = (np.concatenate(each) for each in zip(*entries, strict=True))
        links = scipy.sparse.csc_matrix((np.ones(len(one)), (one, two)), (self.count, self.count))
        self.matrix: Any = (4 * scipy.sparse.identity(self.count) - links).tocsc()

    def solve(self) -> np.ndarray:
        """Return the pixels of the region."""
        return scipy.sparse.linalg.splu(self.matrix).solve(self.right)

    def left(self, found: np.ndarray) -> float:
        """Return what is left of the equation, relative to its right side."""
        rest = self.right - self.matrix @ found[self.region].astype(np.float64)
        return float(np.linalg.norm(rest) / np.linalg.norm(self.right))


def cloned(scene: np.ndarray, other: np.ndarray, region: np.ndarray) -> Any:
    """Return what calls OpenCV, or None where it is not installed."""
    try:
        import cv2  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    there, given, mask = (np.ascontiguousarray((each * 255).astype(np.uint8)) for each in (scene, other, region))
    rows, columns = np.nonzero(region)
    middle = (int(columns.min() + columns.max() + 1) // 2, int(rows.min() + rows.max() + 1) // 2)
    return lambda: cv2.seamlessClone(given, there, mask, middle, cv2.NORMAL_CLONE)


def in_64_bits(scene: np.ndarray, other: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Blend in 64 bits."""
    with jax.enable_x64(True):
        one, two = (jax.numpy.asarray(each, np.float64) for each in (scene, other))
        return np.asarray(compose.poisson_blend(one, two, jax.numpy.asarray(region), tolerance=1e-8))


def blended(blend: Any, given: tuple) -> jax.Array:
    """Blend, and wait for it."""
    return jax.block_until_ready(blend(*given))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        scene, other, region = pictures(size)
        blend = compose.poisson_blend
        given = tuple(map(jax.numpy.asarray, (scene, other, region)))
        sparse = Sparse(scene, other, region)
        found = np.asarray(blend(*given))
        exact = in_64_bits(scene, other, region)
        told = (
            f"{size} px: {region.mean():.2f} of the pixels; left of the equation {sparse.left(found):.1e}, in 64 bits "
        )
        told += f"{sparse.left(exact):.1e}, that rounded to 32 bits {sparse.left(exact.astype(np.float32)):.1e}"
        rivals: dict[str, Any] = {"OpenCV": cloned(scene, other, region)}
        if size <= _LARGEST:
            rivals["SciPy, sparse"] = sparse.solve
            told += f"; at most {np.abs(found[region] - sparse.solve()).max():.1e} from the sparse solver"
        print(told, flush=True)
        for name, rival in rivals.items():
            if rival is not None:
                ours = functools.partial(blended, blend, given)
                seconds = interleave({"ours": ours, "rival": rival}, repeats=arguments.repeats)
                rows.append(
                    {
                        "name": f"{size} x {size} / {name}",
                        "ours": f"{np.median(seconds['ours']):.3f}",
                        "rival": f"{np.median(seconds['rival']):.3f}",
                        "unit": "s",
                        "ratio": ratio(seconds["rival"], seconds["ours"]),
                    }
                )
    table(rows, "ours", "rival", describe())


if __name__ == "__main__":
    main()
