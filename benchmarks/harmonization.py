"""Question: how near do colors come to what they were, when a region of a picture was recolored and is harmonized with what is around it?

    python benchmarks/harmonization.py [FOLDER] [--strengths 0.5 1] [--reaches 1 2 4]

From each picture (the samples, or those of a folder), four ellipses of random places and sizes are recolored in six ways: warmer, cooler,
lighter, darker, flatter and with more contrast. Numbers are peak signal-to-noise ratios within the ellipses, in decibels, their mean over
all; "as it was" is that of the recolored region.
"""

import argparse
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import io, samples
from jaxart.image import fit_within, resize
from jaxart.tasks import compose

_SIDE = 256  # pixels of the long side
RECOLORINGS: dict[str, Any] = {
    "warmer": lambda x: x * np.asarray([1.2, 1.0, 0.75], np.float32),
    "cooler": lambda x: x * np.asarray([0.75, 1.0, 1.2], np.float32),
    "lighter": lambda x: x**0.6,
    "darker": lambda x: x**1.6,
    "flatter": lambda x: 0.6 * x + 0.2,
    "contrast": lambda x: 0.5 + 1.4 * (x - 0.5),
}


def ellipses(shape: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Return four masks of a picture."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    made = []
    for _ in range(4):
        middle, radii = rng.uniform(0.25, 0.75, 2) * shape[:2], rng.uniform(0.1, 0.25, 2) * min(shape[:2])
        made.append(np.float32(np.hypot((y - middle[0]) / radii[0], (x - middle[1]) / radii[1]) < 1))
    return made


def ratio(found: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio within a mask."""
    return float(-10 * np.log10(np.mean((np.asarray(found) - picture)[mask > 0] ** 2) + 1e-9))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="of pictures, in the place of the samples")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 0.75, 1.0])
    parser.add_argument("--reaches", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    arguments = parser.parse_args()
    rng, rows = np.random.default_rng(0), {}
    paths = (
        [samples.path(name) for name in samples.NAMES] if arguments.folder is None else io.pictures_in(arguments.folder)
    )
    harmonize: Any = compose.harmonize
    programs = {name: jax.jit(functools.partial(harmonize, matching=name)) for name in compose.MATCHINGS}
    for path in paths:
        picture = io.read(path)
        picture = np.clip(resize(picture, fit_within(picture.shape[:2], _SIDE)), 0, 1)
        for mask in ellipses(picture.shape, rng):
            for name, recolor in RECOLORINGS.items():
                other = np.clip(recolor(picture), 0, 1).astype(np.float32)
                found = {("as it was", 0.0, 0.0): other}
                for matching, program in programs.items():
                    for strength in arguments.strengths:
                        for reach in arguments.reaches:
                            made = program(picture, other, mask, strength=strength, reach=reach)
                            found[matching, strength, reach] = made
                for setting, made in found.items():
                    rows.setdefault(setting, {}).setdefault(name, []).append(ratio(made, picture, mask))
    print(f"| matching | strength | reach | {' | '.join(RECOLORINGS)} | mean |\n|---|---|---|{'---|' * 7}")
    for (matching, strength, reach), each in rows.items():
        means = [np.mean(each[name]) for name in RECOLORINGS]
        numbers = " | ".join(f"{number:.2f}" for number in [*means, np.mean(means)])
        print(f"| {matching} | {strength:g} | {reach:g} | {numbers} |")


if __name__ == "__main__":
    main()
