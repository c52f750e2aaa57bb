"""Question: how much of a yellowed varnish is taken off? Rivals: white balance by the mean color, by shades of gray, by the brightest.

    python benchmarks/varnish.py FOLDER [--fit] [--save FOLDER]

FOLDER holds paintings, in folders of any depth. The middle of each, 192 x 192 pixels, is put under a layer of a density of 0.3 to 1.2 in
blue, its color off the model's by up to a fifth, with a veil of at most 0.03, and rounded to 8 bits. Printed are mean differences of color
(CIE 1976) and peak signal-to-noise ratios to the painting without the layer; and what is done to paintings without one. "By a white place"
is told the lightest square that is nearly gray in the painting, where there is one; "by a cleaned part", how the middle third of the
painting looks. With --fit, the constants of `estimate_varnish`, from the paintings of other folders than those that are measured.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxart import color, io, metrics
from jaxart.tasks import restore
from jaxart.tasks.restore import varnish as estimates

_SIDE = 192


def paintings(folder: Path, fit: bool) -> list[Path]:
    """Return files of every other folder."""
    folders = sorted({path.parent for path in folder.rglob("*.jpg")})
    np.random.default_rng(0).shuffle(folders)
    half = folders[: len(folders) // 2] if fit else folders[len(folders) // 2 :]
    step, most = (1, 30) if fit else (5, 3)
    return [path for each in half for path in sorted(each.glob("*.jpg"))[::step][:most]]


def small(path: Path) -> Any:
    """Return the middle square of a painting, 192 x 192 pixels."""
    return io.square(np.rint(255 * io.read(path)).astype(np.uint8), _SIDE) / np.float32(255)


def layer(rng: np.random.Generator, density: float, veil: float) -> restore.Varnish:
    """Return a varnish whose color is not quite the model's."""
    decay = rng.uniform(60, 90)
    red, green, blue = (density * math.exp((460 - wave) / decay) for wave in (610, 540, 460))
    return restore.Varnish((red, green, blue), tuple(veil * rng.uniform(0.8, 1.2, 3)))


def under(varnish: restore.Varnish, painting: Any) -> Any:
    """Return the painting as it is seen, in 8 bits."""
    return np.rint(255 * np.asarray(restore.invert_tone(varnish, painting))) / 255


def difference(one: Any, other: Any) -> float:
    """Return the mean difference of color."""
    return float(jnp.mean(jnp.linalg.norm(color.rgb_to_lab(one) - color.rgb_to_lab(other), axis=-1)))


def white_place(painting: Any) -> restore.Region | None:
    """Return the lightest square that is nearly gray, if it is light at all."""
    side, best = max(4, min(painting.shape[:2]) // 16), (50.0, None)
    lab = np.asarray(color.rgb_to_lab(painting))
    for y in range(0, painting.shape[0] - side, side):
        for x in range(0, painting.shape[1] - side, side):
            mean = lab[y : y + side, x : x + side].mean((0, 1))
            if np.linalg.norm(mean[1:]) < 4 and mean[0] > best[0]:
                best = (float(mean[0]), restore.Region(x, y, side, side))
    return best[1]


def by_white(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return white balance by a color of linear light."""

    def balanced(seen: Any) -> Any:
        light = np.asarray(color.srgb_to_linear(seen)).reshape(-1, 3)
        white: Any = np.maximum(kind(light), 1e-4)
        return restore.balance_white(seen, white=np.asarray(color.linear_to_srgb(white)).tolist(), adaptation="rgb")[0]

    return balanced


def measure(files: list[Path], save: Path | None) -> None:
    """Print the tables."""
    rng = np.random.default_rng(1)
    blind: dict[str, Callable[[Any], Any]] = {
        "nothing": lambda seen: seen,
        "white balance, mean color": by_white(lambda light: light.mean(0)),
        "white balance, shades of gray": lambda seen: restore.balance_white(seen, adaptation="rgb")[0],
        "white balance, brightest": by_white(lambda light: np.quantile(light, 0.99, axis=0)),
        "varnish, by the picture alone": lambda seen: restore.remove_varnish(seen)[0],
    }
    told = ("varnish, by a white place", "varnish, by a cleaned part", "varnish, known")
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in (*blind, *told)}
    clean: dict[str, list[float]] = {name: [] for name in blind}
    sure: tuple[list[float], list[float]] = ([], [])
    for number, path in enumerate(files):
        painting = small(path)
        varnish = layer(rng, rng.uniform(0.3, 1.2), rng.uniform(0, 0.03))
        seen = under(varnish, painting)
        found = {name: method(seen) for name, method in blind.items()}
        place = white_place(painting)
        if place is not None:
            found["varnish, by a white place"] = restore.remove_varnish(seen, white=[place])[0]
        height, width = (side // 3 for side in painting.shape[:2])
        middle = restore.Region(width, height, width, height)
        part = painting[height : 2 * height, width : 2 * width]
        found["varnish, by a cleaned part"] = restore.remove_varnish(seen, cleaned=part, region=middle)[0]
        found["varnish, known"] = restore.apply_tone(varnish, seen)
        for name, result in found.items():
            rows[name].append((difference(result, painting), float(metrics.psnr(result, painting))))
        for name, method in blind.items():
            clean[name].append(difference(method(painting), painting))
        sure[0].append(restore.estimate_varnish(seen).confidence)
        sure[1].append(restore.estimate_varnish(painting).confidence)
        if save is not None and number % 20 == 0:
            sheet = [painting, seen, *(np.asarray(found[each]) for each in list(found)[2:])]
            io.write(save / f"{number:03}.png", io.side_by_side(sheet, height=256))
    print(
        "| | paintings | difference of color | median | 90 % | PSNR, dB | without a layer |\n|---|---|---|---|---|---|---|"
    )
    for name, pairs in rows.items():
        colors, ratios = np.asarray(pairs).T
        alone = f"{np.mean(clean[name]):.2f}" if name in clean else ""
        print(
            f"| {name} | {len(colors)} | {colors.mean():.2f} | {np.median(colors):.2f} | {np.quantile(colors, 0.9):.2f} "
            f"| {np.mean(ratios[np.isfinite(ratios)]):.2f} | {alone} |"
        )
    print(f"confidence, median: {np.median(sure[0]):.2f} under a layer, {np.median(sure[1]):.2f} without")


def constants(files: list[Path]) -> None:
    """Print the regression of densities on the colors of edges, and how dark paintings are."""
    rng, signals, densities, dark = np.random.default_rng(0), [], [], []
    for path in files:
        painting = small(path)
        if np.abs(painting[..., 0] - painting[..., 2]).mean() < 0.01:
            continue  # a drawing or a gray photograph
        for number in range(3):
            density = rng.uniform(0, 1.5) if number else 0.0
            seen = under(layer(rng, density, rng.uniform(0, 0.05) if number else 0.0), painting)
            light = np.asarray(color.srgb_to_linear(seen), np.float64)
            edges = estimates.edge_light(light)
            signals.append(np.log(edges[1] / edges[2]))
            densities.append(density)
            if not number:
                dark.append(np.quantile(light, 0.005, axis=(0, 1)).min())
    slope, offset = np.polyfit(signals, densities, 1)
    left = np.std(np.asarray(densities) - slope * np.asarray(signals) - offset)
    print(
        f"{len(dark)} paintings: slope {slope:.3f}, offset {-offset:.3f}, deviation {left:.3f}, dark {np.quantile(dark, 0.75):.4f}"
    )
    print(f"in use: {estimates.SLOPE}, {estimates.OFFSET}, {estimates.DEVIATION}, {estimates.DARKEST}")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.fit:
        constants(paintings(arguments.folder, fit=True))
    else:
        measure(paintings(arguments.folder, fit=False), arguments.save)


if __name__ == "__main__":
    main()
