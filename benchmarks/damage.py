"""Question: how much of generated craquelure on paintings is found without a network?

    pip install scipy
    python benchmarks/damage.py FOLDER_OF_PAINTINGS [--json]

The first 512 x 512 pixels of each painting get a net of cracks of their own: the borders of cells around random points, 1 to 3 pixels
wide, of varying darkness, a third of them missing. F1 of pixels, exactly and with cracks found one pixel beside counted as found.
"""

import argparse
import json
from pathlib import Path

import jax
import numpy as np
from scipy import ndimage, spatial

import jaxart
from jaxart.tasks import restore


def cracked(rng: np.random.Generator, picture: np.ndarray, cell: float = 45.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture with cracks, and where they are."""
    height, width = picture.shape[:2]
    points = rng.uniform(-0.1, 1.1, (int(1.44 * height * width / cell**2), 2)) * (height, width)
    wave = [4 * ndimage.gaussian_filter(rng.standard_normal((height, width)), 6) * 6 for _ in range(2)]
    places = np.moveaxis(np.mgrid[:height, :width] + np.stack(wave), 0, -1)
    distance, nearest = spatial.KDTree(points).query(places, k=2)
    pair = np.sort(nearest, -1) @ (len(points), 1)  # a number of each border between two cells
    numbers, index = np.unique(pair, return_inverse=True)
    index = index.reshape(height, width)
    wide, dark = rng.uniform(0.5, 1.5, len(numbers)), rng.uniform(0.35, 0.9, len(numbers))
    kept = rng.random(len(numbers)) > 0.33
    cracks = (distance[..., 1] - distance[..., 0] < 2 * wide[index]) & kept[index]
    shade = np.where(cracks, dark[index], 0) * rng.uniform(0.8, 1, (height, width))
    shade = 0.8 * shade + 0.2 * ndimage.gaussian_filter(shade, 0.7)  # of a lens
    return (picture * (1 - shade[..., None])).astype(np.float32), cracks


def f1(found: np.ndarray, truth: np.ndarray, slack: int) -> float:
    """Return F1 of pixels, those found or missed within some pixels counted as right."""
    near = lambda x: ndimage.binary_dilation(x, np.ones((3, 3)), iterations=slack) if slack else x  # noqa: E731
    precision = (found & near(truth)).sum() / max(found.sum(), 1)
    recall = (truth & near(found)).sum() / max(truth.sum(), 1)
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def main() -> None:
    """Measure all paintings of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of paintings")
    parser.add_argument("--json", action="store_true", help="one JSON object a painting")
    arguments = parser.parse_args()
    rows = []
    for index, path in enumerate(sorted(arguments.folder.rglob("*.jpg"))):
        picture = np.asarray(jaxart.read(path))[:512, :512]
        damaged, cracks = cracked(np.random.default_rng(index), picture)
        found = np.asarray(jax.jit(lambda x: restore.damage_mask(restore.detect_cracks(x)))(damaged))
        rows.append({"painting": path.stem, "exact": f1(found, cracks, 0), "one pixel": f1(found, cracks, 1)})
        if arguments.json:
            print(json.dumps(rows[-1]), flush=True)
    if not arguments.json:
        print("| | exact | one pixel beside |\n|---|---|---|")
        for row in [*rows, {"painting": "mean", **{k: np.mean([r[k] for r in rows]) for k in ("exact", "one pixel")}}]:
            print(f"| {row['painting']} | {row['exact']:.3f} | {row['one pixel']:.3f} |")


if __name__ == "__main__":
    main()
