"""Question: how near is an enlarged picture to the one that was shrunk? Rivals: the cubic kernel and Lanczos' alone.

    pip install scikit-image
    python benchmarks/enlarging.py [--scales 2 3 4] [--network FILE ...]

The six gray pictures of `restoration.py`, shrunk as Pillow's bicubic does; peak signal-to-noise ratios in decibels, as many pixels left out
at the border as the scale, their mean over the six. Beside them: how well the result, rounded to 8 bits and shrunk, agrees with what it
was made of. None of the pictures was trained on.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from restoration import crops

from jaxart import metrics
from jaxart.image import shrink
from jaxart.tasks import restore


def ways(scale: int, networks: dict[int, restore.Restoration]) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return what enlarges gray pictures ``[H, W, 1]``."""

    def projected(kernel: Any) -> Callable[[np.ndarray], Any]:
        return lambda small: restore.back_project(restore.interpolate(small, scale, kernel=kernel), small)

    def learned(**options: Any) -> Callable[[np.ndarray], Any]:
        model = networks.get(scale) or restore.shipped_restoration("upscale", scale)
        return lambda small: restore.upscale(model, np.repeat(small, 3, -1), **options).mean(-1, keepdims=True)

    kernels: Any = restore.KERNELS
    found: dict[str, Any] = {
        kernel: lambda small, kernel=kernel: restore.interpolate(small, scale, kernel=kernel) for kernel in kernels
    }
    found |= {f"{kernel}, made to agree": projected(kernel) for kernel in kernels}
    if scale in networks or restore.has_network("upscale", scale):
        found["network, free"] = learned(project=False)
        found["network"] = learned()
        found["network, eight views"] = learned(views=8)
    return found


def main() -> None:
    """Print a table for each scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--network", type=Path, nargs="*", default=[], help="files of other networks")
    arguments = parser.parse_args()
    models = [restore.load_restoration(path) for path in arguments.network]
    networks = {model.scale: model for model in models}
    for scale in arguments.scales:
        pictures = {
            name: each[: 256 // scale * scale, : 256 // scale * scale, None].astype(np.float32)
            for name, each in crops().items()
        }
        protocol = metrics.Protocol(border=scale)
        print(f"\n| x{scale} | {' | '.join(pictures)} | mean | agrees |\n|---|{'---|' * (len(pictures) + 2)}")
        for name, way in ways(scale, networks).items():
            row, agrees = [], []
            for picture in pictures.values():
                small = np.asarray(shrink(picture, scale))
                made = np.asarray(way(small))
                row.append(float(metrics.psnr(jnp.asarray(made), jnp.asarray(picture), protocol=protocol)))
                agrees.append(
                    float(metrics.psnr(shrink(np.rint(255 * made) / np.float32(255), scale), jnp.asarray(small)))
                )
            print(
                f"| {name} | {' | '.join(f'{x:.2f}' for x in row)} | {np.mean(row):.2f} | {min(agrees):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
