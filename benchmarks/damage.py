"""Question: how much of the craquelure on a painting is found, and how much is found that is none?

    python benchmarks/damage.py PAINTINGS [--network FILE] [--count 40]

PAINTINGS is a folder of pictures that the network has not seen; the middle 256 x 256 of each is cracked by `data.crack`. Precision,
recall and F1 are those of all pixels together: as they are, and with a pixel of tolerance on each side. Beside them, what share of the
same pictures is found to be damaged before they are cracked (some have cracks of their own), and beside the network, what morphology
finds alone. What lies outside of the mask must come back bit for bit, which is checked on the first three.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import scipy.ndimage

from jaxart import data, io
from jaxart.tasks import restore

_SIDE = 256


def cracked(folder: Path, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return pictures, cracked, and where."""
    found, crack = [], jax.jit(data.crack)
    for number, path in enumerate(io.pictures_in(folder)):
        picture = io.read(path)
        if min(picture.shape[:2]) >= _SIDE and len(found) < count:
            top, left = ((side - _SIDE) // 2 for side in picture.shape[:2])
            part = picture[top : top + _SIDE, left : left + _SIDE]
            made = crack(jax.random.key(number), part)
            found.append((part, np.asarray(made.image), np.asarray(made.share[..., 0]) > 0))
    return found


def scores(found: list[np.ndarray], real: list[np.ndarray], tolerance: int) -> tuple[float, float, float]:
    """Return precision, recall and F1."""
    wide = lambda mask: scipy.ndimage.binary_dilation(mask, iterations=tolerance) if tolerance else mask  # noqa: E731
    right = sum((f & wide(r)).sum() for f, r in zip(found, real, strict=True))
    seen = sum((r & wide(f)).sum() for f, r in zip(found, real, strict=True))
    precision = right / max(sum(f.sum() for f in found), 1)
    recall = seen / max(sum(r.sum() for r in real), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--count", type=int, default=40)
    arguments = parser.parse_args()
    pictures = cracked(arguments.paintings, arguments.count)
    real = [each[2] for each in pictures]
    ways = {"morphology": restore.damaged_by_morphology}
    if arguments.network or restore.has_network("cracks"):
        model = (
            restore.load_restoration(arguments.network) if arguments.network else restore.shipped_restoration("cracks")
        )
        ways["network"] = lambda picture: restore.find_damage(model, picture) > 0.5
    print(
        f"{len(pictures)} paintings\n\n| | precision | recall | F1 | F1, a pixel off | uncracked |\n|---|---|---|---|---|---|"
    )
    for name, way in ways.items():
        found = [np.asarray(way(each[1])) for each in pictures]
        exact, near = scores(found, real, 0), scores(found, real, 1)
        before = np.mean([np.asarray(way(each[0])).mean() for each in pictures])
        print(
            f"| {name} | {' | '.join(f'{x:.3f}' for x in exact)} | {near[2]:.3f} | {100 * before:.1f} % |", flush=True
        )
        for (_, image, _), mask in zip(pictures[:3], found, strict=False):
            filled = restore.mend(image, restore.Plan(holes=mask.astype(np.float32)), key=jax.random.key(0)).picture
            assert np.array_equal(filled[~mask], image[~mask])


if __name__ == "__main__":
    main()
