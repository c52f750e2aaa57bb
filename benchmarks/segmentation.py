"""Segmentation of pasted clip art with exact masks: what mean intersection over union does a run reach on drawings it has never seen?

    python benchmarks/segmentation.py CLIPART PAINTINGS --classes kinds --features vgg16 --output FOLDER

CLIPART is the folder ``png`` of Debian's openclipart-png, PAINTINGS one of pictures. Two to four cut-outs are pasted on a part of a
painting, later ones over earlier ones; the mask says of every pixel whose drawing it shows, by its alpha. Drawings and paintings are
divided before anything is pasted: those of the test are in no picture of the training. Drawings that are equal but for details are taken
once.

``--classes kinds`` are six kinds of drawings that folders of the package are about: flags, road signs, pictograms, arrows, smileys, stick
figures. ``--classes subjects`` are six subjects (animals, people, plants, food, tools, vehicles), drawn in all manners: what they show is
much harder to tell from a few hundred drawings. For both, "pasted" says how well what is pasted is told from the painting.
"""

import argparse
import dataclasses
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxart import data, io, metrics, runs
from jaxart.runs.segmenter import model_of
from jaxart.tasks import segment

CLASSES = {
    "kinds": {
        "flag": ("signs_and_symbols/flags",),
        "road sign": ("transportation/roadsigns",),
        "pictogram": ("transportation/aiga-symbols",),
        "arrow": ("shapes/arrows",),
        "smiley": ("people/smilies",),
        "stick figure": ("people/stickmen",),
    },
    "subjects": {
        "animal": ("animals",),
        "person": ("people",),
        "plant": ("plants",),
        "food": ("food",),
        "tool": ("tools",),
        "vehicle": ("transportation/vehicles", "transportation/boating"),
    },
}
_LARGEST = 4_000_000  # pixels of a drawing
_DEVIATION = 4  # of small gray copies, below which two drawings are one


class Drawing(NamedTuple):
    """A cut-out, RGBA, of at most the size of a scene."""

    image: Image.Image
    small: np.ndarray


def drawings(root: Path, folders: tuple[str, ...], size: int) -> list[Drawing]:
    """Return the cut-outs of a class that are transparent somewhere, each once."""
    found: list[Drawing] = []
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.png")):
        drawing = _drawing(path, size)
        if drawing is not None and all(np.abs(drawing.small - other.small).mean() > _DEVIATION for other in found):
            found.append(drawing)
    return found


def _drawing(path: Path, size: int) -> Drawing | None:
    try:
        image = Image.open(path)
        if image.width * image.height > _LARGEST or not ("A" in image.getbands() or "transparency" in image.info):
            return None
        image = image.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    box = Image.fromarray(np.asarray(image)[..., 3] > 127).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    if (np.asarray(image)[..., 3] > 127).mean() < 0.1 or min(image.size) < size // 8:
        return None
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return Drawing(image, np.asarray(white.convert("L").resize((12, 12), Image.Resampling.BOX), np.float32))


def backgrounds(folder: Path, size: int, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """Return paintings, shrunk so that a scene shows a part of each."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in io.READABLE)
    found = []
    for path in rng.permutation(np.array(paths, object))[:count]:
        with Image.open(path) as image:
            scale = 1.5 * size / min(image.size)
            found.append(image.convert("RGB").resize([max(size, round(side * scale)) for side in image.size]))
    return found


def scene(
    rng: np.random.Generator, drawn: list[list[Drawing]], behind: list[Image.Image], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture ``[S, S, 3]`` and its mask ``[S, S]``; class 0 is the painting."""
    painting = behind[rng.integers(len(behind))]
    left, top = (int(rng.integers(side - size + 1)) for side in painting.size)
    picture, mask = painting.crop((left, top, left + size, top + size)), np.zeros((size, size), np.uint8)
    for _ in range(rng.integers(2, 5)):
        label = int(rng.integers(len(drawn)))
        image = drawn[label][rng.integers(len(drawn[label]))].image
        scale = size * rng.uniform(0.35, 0.65) / max(image.size)
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.LANCZOS)
        x, y = (int(rng.integers(-side // 4, size - 3 * side // 4 + 1)) for side in image.size)
        picture.paste(image, (x, y), image)
        alpha = Image.new("L", (size, size))
        alpha.paste(image.getchannel("A"), (x, y))
        mask[np.asarray(alpha) > 127] = label + 1
    return np.asarray(picture), mask


def write_scenes(
    folder: Path,
    rng: np.random.Generator,
    drawn: list[list[Drawing]],
    behind: list[Image.Image],
    *,
    size: int,
    count: int,
) -> dict[str, Path]:
    """Write scenes and their masks; return the two folders."""
    sources = {name: folder / name for name in ("images", "masks")}
    for each in sources.values():
        each.mkdir(parents=True)
    colors = data.class_colors(len(drawn) + 1)
    for number in range(count):
        picture, mask = scene(rng, drawn, behind, size)
        io.write(sources["images"] / f"{number:05d}.png", picture)
        io.write_mask(sources["masks"] / f"{number:05d}.png", mask, colors)
    return sources


def make_sets(options: argparse.Namespace) -> tuple[dict[str, Path], dict[str, Path]]:
    """Write the scenes of training and test, which share neither drawings nor paintings; return their folders."""
    rng, classes = np.random.default_rng(options.seed), CLASSES[options.classes]
    drawn = [drawings(options.clipart, folders, options.size) for folders in classes.values()]
    drawn = [[some[place] for place in rng.permutation(len(some))] for some in drawn]
    behind = backgrounds(options.paintings, options.size, options.backgrounds, rng)
    tested = [len(each) // 4 for each in (*drawn, behind)]
    parts = {
        "test": ([some[:n] for some, n in zip(drawn, tested, strict=False)], behind[: tested[-1]], options.test),
        "train": ([some[n:] for some, n in zip(drawn, tested, strict=False)], behind[tested[-1] :], options.train),
    }
    for name, (some, paintings, count) in parts.items():
        counts = ", ".join(f"{each} {len(found)}" for each, found in zip(classes, some, strict=True))
        print(f"{name}: {count} scenes of {counts}; {len(paintings)} paintings", flush=True)
    written = {
        name: write_scenes(options.output / name, rng, some, paintings, size=options.size, count=count)
        for name, (some, paintings, count) in parts.items()
    }
    (options.output / "classes.json").write_text(json.dumps({name: n for n, name in enumerate(["painting", *classes])}))
    return written["train"], written["test"]


def rows(run: runs.Run, test: dict[str, Path], seconds: float) -> Iterator[dict]:
    """Yield what is measured: the cards, and how well anything pasted is told from paintings."""
    for card in runs.score(run, test, count=100_000):
        yield {"measured": card.score, "value": card.value, "low": card.low, "high": card.high}
    pairs = data.load_masks(test["images"], test["masks"], size=run.options.size, classes=run.options.classes)
    trained = runs.Trained(run.options, run.facts, runs.newest_state(run))
    truth, found = pairs.column("mask"), segment.segment_batch(model_of(trained), pairs.column("image"))
    for name, labels, predicted, classes in (
        ("painting and pasted", truth > 0, found > 0, 2),
        ("calling everything painting", truth, np.zeros_like(truth), len(run.facts["classes"])),
    ):
        of, found_in = (
            jnp.asarray(each).reshape(-1, truth.shape[-1]) for each in (labels, predicted)
        )  # all pictures as one
        counts = metrics.region_counts(of, found_in, classes)
        yield {"measured": f"mean IoU of {name}", "value": float(metrics.mean_iou(counts))}
    yield {"measured": "minutes of training", "value": seconds / 60}


def main() -> None:
    """Make the scenes, train a run on them, print what it scores on the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clipart", type=Path)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--classes", choices=CLASSES, default="kinds")
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the scenes and the run")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train", type=int, default=6000, help="scenes")
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--backgrounds", type=int, default=600, help="paintings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--features", choices=("none", "vgg16"))
    for name in ("steps", "batch", "width", "depth", "squares"):
        parser.add_argument(f"--{name}", type=int)
    options = parser.parse_args()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such drawings are passed over
    train, test = make_sets(options)
    given = {
        name: value
        for name in ("features", "steps", "batch", "width", "depth", "squares")
        if (value := getattr(options, name)) is not None
    }
    chosen = runs.SegmenterOptions(size=options.size, classes=options.output / "classes.json", save_every=500)
    run = runs.begin("segmenter", train, options.output / "run", options=dataclasses.replace(chosen, **given))
    begin = time.perf_counter()
    runs.train(run)
    for row in rows(run, test, time.perf_counter() - begin):
        interval = f" ({row['low']:.3f} to {row['high']:.3f})" if "low" in row else ""
        print(json.dumps(row) if options.json else f"{row['measured']}: {row['value']:.3f}{interval}")


if __name__ == "__main__":
    main()
