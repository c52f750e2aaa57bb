"""Question: what does autoguidance do to the pictures of a flow? Rival: the flow as it has learned, weight 0.

    python benchmarks/autoguidance.py RUN HELD_OUT [--weights 0 0.3 0.5] [--count 500]

Draws with a trained flow at each weight from the same noise, and compares with pictures that it has not seen: kernel distance on
features of VGG-16, precision, recall, coverage, and the power of each octave over theirs, from fine to coarse.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import metrics, runs, weights
from jaxart.runs import pictures
from jaxart.tasks import generate


def row(run: runs.Run, weight: float, count: int, judge: generate.Judge, real: Any) -> str:
    """Draw, compare, and return a line of the table."""
    made = runs.sample(run, count, seed=1, guidance=runs.Guidance(autoguidance=weight))
    made, key = np.rint(255 * made).astype(np.uint8), jax.random.key(0)
    seen, drawn = (np.asarray(judge.describe(images)[1]) for images in (real, made))
    distance = metrics.kernel_distance(key, seen, drawn, subset_size=min(len(seen), len(drawn)) // 2)
    near = metrics.precision_recall(seen, drawn)
    octaves = " ".join(f"{each.value:.2f}" for each in metrics.spectrum_ratio(key, real, made).octaves)
    return (
        f"| {weight:g} | {distance.value:.2f} ± {1.96 * distance.standard_error:.2f} | {near.precision:.2f} | {near.recall:.3f} | "
        f"{near.coverage:.2f} | {octaves} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--weights", nargs="+", type=float, default=[0.0, 0.3, 0.5])
    parser.add_argument("--count", type=int, default=500)
    arguments = parser.parse_args()
    run = runs.open_run(arguments.run)
    real = pictures.load(run.options, "data", arguments.held_out).column("image")
    judge = generate.vgg_judge(weights.load("vgg16"))
    print("| weight | kernel distance | precision | recall | coverage | octaves |")
    print("|---|---|---|---|---|---|")
    for weight in arguments.weights:
        print(row(run, weight, arguments.count, judge, real), flush=True)


if __name__ == "__main__":
    main()
