"""Question: how soon does `--preset refine` reach the loss of `--preset fast`?

    python benchmarks/refine.py PHOTOS PAINTINGS [--pairs 2]

Both at 384 px, one pair after the other: fast takes 60 steps at each of its scales, 120 at the first; refine begins with the instant
picture (whose time counts) and takes 36 at the last scale. The loss is that of the last step. The second run of each counts, and both
networks are loaded before.
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from timing import describe

from jaxart import io, weights
from jaxart.image import fit_within, resize
from jaxart.tasks import stylize

SIZE, STEPS, KEY = 384, 18, 0


def painted(photo: np.ndarray, painting: np.ndarray, variables: Any, **options: Any) -> tuple[float, float]:
    """Return the seconds and the last loss."""
    losses, begin = [], time.perf_counter()
    stylize.stylize(
        photo,
        painting,
        key=jax.random.key(KEY),
        variables=variables,
        size=SIZE,
        on_step=lambda progress: losses.append(float(progress.info.loss)),
        **options,
    )
    return time.perf_counter() - begin, losses[-1]


def refined(
    photo: np.ndarray, painting: np.ndarray, variables: Any, model: stylize.AnyStyleModel
) -> tuple[float, float]:
    """Return the seconds, those of the instant picture included, and the last loss."""
    begin = time.perf_counter()
    side = min(SIZE, max(painting.shape[:2]))  # as the optimized method sees it
    sized = np.clip(resize(photo, fit_within(photo.shape[:2], SIZE)), 0, 1)
    first = stylize.restyle(model.network, model.variables, sized, stylize.style_of(model, painting, size=side))
    spent = time.perf_counter() - begin
    seconds, loss = painted(
        photo, painting, variables, init=first, min_size=SIZE, steps=STEPS, optimizer=stylize.SMOOTHED_ADAM
    )
    return spent + seconds, loss


def main() -> None:
    """Print a row for each pair, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--pairs", type=int, default=2)
    arguments = parser.parse_args()
    variables, model, rows = weights.load("vgg16"), stylize.load_any_style(), []
    photos, paintings = io.pictures_in(arguments.photos), io.pictures_in(arguments.paintings)
    print(f"{describe()}\n\n| photograph, painting | fast | refine | time, refine / fast |\n|---|---|---|---|")
    for _, photo, painting in zip(
        range(arguments.pairs), itertools.cycle(photos), itertools.cycle(paintings), strict=False
    ):
        pair = io.read(photo), io.read(painting)
        for _ in range(2):  # the second time counts: programs are there
            fast, quick = painted(*pair, variables, min_size=128, steps=60), refined(*pair, variables, model)
        rows.append((*fast, *quick))
        print(row(f"{photo.stem}, {painting.stem}", rows[-1]), flush=True)
    print(row("mean", tuple(statistics.mean(column) for column in zip(*rows, strict=True))))


def row(name: str, numbers: tuple[float, ...]) -> str:
    """Return a row of the table."""
    fast, loss, quick, other = numbers
    return f"| {name} | {loss:.4f} in {fast:.0f} s | {other:.4f} in {quick:.0f} s | {quick / fast:.2f} |"


if __name__ == "__main__":
    main()
