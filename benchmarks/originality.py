"""Question: which copies of works in a collection are found at 1 % false alarms, and by what?

    python benchmarks/originality.py COLLECTION [--features vgg16] [--copies 200] [--held 500] [--designs] [--json]

A tenth of COLLECTION (at most --held works) is kept out of the index; these are the originals that must not be taken for copies. Of
--copies works in the index copies are planted: each is changed in one way and asked for. Found means: the work itself is named first,
and the verdict is not "original", whose limits the index finds without the works that were kept out; "copy" is the stricter verdict.
Works that were kept out but are in the collection a second time (collections from the web have such) count as false alarms too: the
flagged ones are named, to be looked at.

With --designs, other ways to compare are measured too, over all eight orientations, each with the limit that 1 % of 300 of the collection's
own works pass: hash and thumbnail alone; VGG-16's means, plain and standardized; means and deviations, standardized, as they are in the
index; regional maxima (R-MAC).
"""

import argparse
import io as bytes_io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from timing import describe

from jaxart import io, metrics, models, weights
from jaxart.tasks import search
from jaxart.training import apply_in_batches

Draw = np.random.Generator


def crop(share: float) -> Callable[[Image.Image, Draw], Image.Image]:
    """Return a change: a random window of this share of both sides."""

    def cut(picture: Image.Image, draw: Draw) -> Image.Image:
        width, height = (round(share * side) for side in picture.size)
        left, top = (int(draw.integers(room + 1)) for room in (picture.width - width, picture.height - height))
        return picture.crop((left, top, left + width, top + height))

    return cut


def jpeg(picture: Image.Image, draw: Draw) -> Image.Image:
    """Compress with quality 50."""
    del draw
    stream = bytes_io.BytesIO()
    picture.save(stream, "JPEG", quality=50)
    return Image.open(stream).convert("RGB")


def hue(picture: Image.Image, draw: Draw) -> Image.Image:
    """Turn the hue in HSV by 45 to 315 degrees."""
    pixels = np.array(picture.convert("HSV"))
    pixels[..., 0] += np.uint8(draw.integers(32, 224))
    return Image.frombytes("HSV", picture.size, pixels.tobytes()).convert("RGB")


def hue_of_equal_luminance(picture: Image.Image, draw: Draw) -> Image.Image:
    """Turn the hue in YIQ by 45 to 315 degrees."""
    angle = draw.uniform(np.pi / 4, 7 * np.pi / 4)
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.5957, -0.2745, -0.3213], [0.2115, -0.5226, 0.3111]])
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    pixels = np.asarray(picture) @ (np.linalg.inv(to_yiq) @ turn @ to_yiq).T
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def rotation(*, canvas: bool = False, inner: bool = False) -> Callable[[Image.Image, Draw], Image.Image]:
    """Return a change: turned by 3 degrees to either side, the corners black; on a larger white canvas; or cut to what is whole."""

    def turn(picture: Image.Image, draw: Draw) -> Image.Image:
        degrees, (width, height) = 3 * draw.choice([-1, 1]), picture.size
        made = picture.rotate(degrees, Image.Resampling.BICUBIC, expand=canvas, fillcolor="white" if canvas else None)
        if not inner:
            return made
        share = 0.5 * np.sin(np.deg2rad(3)) * max(width / height, height / width) + 0.01
        left, top, right, bottom = (round(side * part) for part in (share, 1 - share) for side in (width, height))
        return made.crop((left, top, right, bottom))

    return turn


def all_together(picture: Image.Image, draw: Draw) -> Image.Image:
    """Mirror, crop to 85 % of the sides, turn the hue, compress."""
    return jpeg(hue(crop(0.85)(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), draw), draw), draw)


def bordered(picture: Image.Image, draw: Draw) -> Image.Image:
    """Put a brown border around, 8 % of the sides."""
    del draw
    width, height = picture.size
    made = Image.new("RGB", (round(1.16 * width), round(1.16 * height)), (60, 40, 20))
    made.paste(picture, (round(0.08 * width), round(0.08 * height)))
    return made


CHANGES: dict[str, Callable[[Image.Image, Draw], Image.Image]] = {
    "exact": lambda picture, draw: picture,
    "mirrored": lambda picture, draw: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped to 80 % of the area": crop(0.8**0.5),
    "cropped to 80 % of the sides": crop(0.8),
    "JPEG 50": jpeg,
    "hue turned (HSV)": hue,
    "hue turned (YIQ)": hue_of_equal_luminance,
    "turned by 3 degrees, corners black": rotation(),
    "turned by 3 degrees, cut to the inside": rotation(inner=True),
    "turned by 3 degrees, white canvas": rotation(canvas=True),
    "turned by a quarter": lambda picture, draw: picture.transpose(Image.Transpose.ROTATE_90),
    "half the size": lambda picture, draw: picture.resize((picture.width // 2, picture.height // 2)),
    "with a border of 8 %": bordered,
    "cropped to 70 % of the sides": crop(0.7),
    "mirrored, cropped to 85 %, hue, JPEG 50": all_together,
}
ASKED = tuple(CHANGES)[:8]  # by which the copies are to be found


def planted(files: list[Path], change: Callable[[Image.Image, Draw], Image.Image]) -> np.ndarray:
    """Return squares of changed pictures."""
    squares = []
    for number, file in enumerate(files):
        with Image.open(file) as picture:
            made = change(picture.convert("RGB"), np.random.default_rng([1, number]))
        squares.append(metrics.squeeze(np.asarray(made), 128))
    return np.stack(squares)


def split(collection: Path, held: int, folder: Path) -> list[Path]:
    """Copy the collection into a folder but for works that are kept out, which are returned."""
    files = sorted(each for each in collection.rglob("*") if each.suffix.lower() in io.READABLE)
    order = np.random.default_rng(0).permutation(len(files))
    out = {int(each) for each in order[: min(held, len(files) // 10)]}
    for number, file in enumerate(files):
        if number not in out:
            target = folder / file.relative_to(collection)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    return [files[number] for number in sorted(out)]


def rmac(network: Any, variables: Any, images: jax.Array) -> jax.Array:
    """Return regional maxima of the last layer: of the whole and of overlapping squares of 2/3 and 1/2, each of norm 1, summed."""
    layer = network.apply(variables, images.astype(jnp.float32) / 255)[network.layers[-1]]
    size, total = layer.shape[1], 0.0
    for share, places in ((1.0, 1), (2 / 3, 2), (1 / 2, 3)):
        side = round(share * size)
        for top in np.linspace(0, size - side, places).round().astype(int):
            for left in np.linspace(0, size - side, places).round().astype(int):
                region = jnp.max(layer[:, top : top + side, left : left + side], (1, 2))
                total += region / jnp.maximum(jnp.linalg.norm(region, axis=-1, keepdims=True), 1e-6)
    return total / jnp.maximum(jnp.linalg.norm(total, axis=-1, keepdims=True), 1e-6)


def means(network: Any, variables: Any, images: jax.Array) -> jax.Array:
    """Return the means of the layers, each of norm 1."""
    found = network.apply(variables, images.astype(jnp.float32) / 255)
    parts = [jnp.mean(found[layer], (1, 2)) for layer in network.layers]
    return jnp.concatenate([x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in parts], -1) / len(parts) ** 0.5


def orientations(squares: np.ndarray) -> np.ndarray:
    """Return squares ``[N, S, S, 3]`` in their eight orientations, ``[8 N, S, S, 3]``."""
    turned = metrics.orientations(np.moveaxis(squares, -1, 1))  # [N, 3, 8, S, S]
    return np.ascontiguousarray(np.moveaxis(turned, 1, -1).reshape(-1, *squares.shape[1:]))


Design = Callable[
    [np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]
]  # squares, own rows -> similarity, rows


def without_own(similarity: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest similarity of each query ``[M, N]`` and its row."""
    if own is not None:
        similarity[np.arange(len(own)), own] = -np.inf
    return similarity.max(1), similarity.argmax(1)


def by_hash(index: search.Index) -> Design:
    """Compare perceptual hashes over orientations, of the whole pictures."""

    def compare(squares: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        hashes = metrics.perceptual_hash(metrics.orientations(metrics.thumbnails(squares)[:, 0]))
        return without_own(-metrics.hamming(hashes, index.rows.hashes[:, 0]).astype(np.float32), own)

    return compare


def by_thumbnail(index: search.Index) -> Design:
    """Compare gray thumbnails over orientations, of the whole pictures."""

    def compare(squares: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        views = metrics.orientations(metrics.thumbnails(squares)[:, 0].astype(np.float32))
        found = [metrics.gray_distance(each, index.rows.thumbnails[:, 0]) for each in views]
        return without_own(-np.stack(found), own)

    return compare


def by_network(index: search.Index, function: Callable, layers: tuple[str, ...], *, standardized: bool) -> Design:
    """Compare features of VGG-16 over orientations."""
    network = models.VGG(depth=16, layers=layers)
    variables = network.freeze(weights.load("vgg16"))

    def describe_them(squares: Any) -> np.ndarray:
        return apply_in_batches(function, network, variables, squares, batch=32)

    known = np.concatenate(
        [
            describe_them(
                np.stack([search.read_square(index.collection / file.name) for file in index.files[i : i + 512]])
            )
            for i in range(0, len(index.files), 512)
        ]
    )
    mean, deviation = known.mean(0), known.std(0) + 1e-6

    def unit(features: np.ndarray) -> np.ndarray:
        features = (features - mean) / deviation if standardized else features
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    known = unit(known)

    def compare(squares: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        asked = unit(describe_them(orientations(squares)))
        return without_own((asked @ known.T).reshape(len(squares), 8, -1).max(1), own)

    return compare


def by_index(index: search.Index, features: search.Features) -> Design:
    """Compare the features of the index over orientations."""

    def compare(squares: np.ndarray, own: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        asked = search.rows_of(orientations(squares), features).features.astype(np.float32)
        asked = (asked - index.scale[0]) / index.scale[1]
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
        known = (index.rows.features.astype(np.float32) - index.scale[0]) / index.scale[1] / index.norms[:, None]
        return without_own((asked @ known.T).reshape(len(squares), 8, -1).max(1), own)

    return compare


def measure_design(
    name: str, compare: Design, index: search.Index, copies: dict[str, np.ndarray], rows: np.ndarray
) -> dict:
    """Return the shares found by one design, with the limit of works of the collection that are no copies of another one."""
    originals = search.originals_of(index)
    doubtful = {row for pair in originals.copies for row in pair}
    asked = np.array([row for row in np.random.default_rng(2).permutation(len(index.files)) if row not in doubtful])[
        :300
    ]
    squares = np.stack([search.read_square(index.collection / index.files[row].name) for row in asked])
    limit = np.quantile(compare(squares, asked)[0], 0.99)
    found = {}
    for change, some in copies.items():
        similarity, nearest = compare(some, None)
        found[change] = float(np.mean((nearest == rows[: len(some)]) & (similarity > limit)))
    return {"design": name, **found}


def measure_passport(
    index: search.Index,
    features: search.Features | None,
    copies: dict[str, np.ndarray],
    rows: np.ndarray,
    held: list[Path],
) -> list[dict[str, Any]]:
    """Return rows of the table: shares found, and false alarms."""
    originals = search.originals_of(index)
    names, table = [index.files[row].name for row in rows], []
    for change, some in copies.items():
        found = search.passports(index, some, originals, features=features)
        right = [each.nearest[0].file == name for each, name in zip(found, names, strict=False)]
        table.append(
            {
                "copies": change,
                "found": np.mean([each.verdict != "original" and own for each, own in zip(found, right, strict=True)]),
                "called copy": np.mean(
                    [each.verdict == "copy" and own for each, own in zip(found, right, strict=True)]
                ),
                "named first": np.mean(right),
            }
        )
    found = search.passports(index, np.stack([search.read_square(file) for file in held]), originals, features=features)
    flagged = [each.verdict for each in found]
    table.append(
        {
            "copies": "works that were kept out (false alarms)",
            "found": np.mean([each != "original" for each in flagged]),
            "called copy": flagged.count("copy") / len(flagged),
            "named first": float("nan"),
        }
    )
    for file, each in zip(held, found, strict=True):
        if each.verdict != "original":
            print(
                f"  {each.verdict}: {file.parent.name}/{file.name} and {each.nearest[0].file}, {each.nearest[0].similarity:.3f}"
            )
    return table


def main() -> None:
    """Plant copies and look for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--features", choices=("none", "vgg16"), default="vgg16")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--held", type=int, default=500)
    parser.add_argument("--designs", action="store_true", help="measure other ways to compare too")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args()
    if arguments.designs and arguments.features == "none":
        parser.error("--designs needs --features vgg16")
    features = None if arguments.features == "none" else search.vgg_features(weights.load("vgg16"))
    with tempfile.TemporaryDirectory() as folder:
        held = split(arguments.collection, arguments.held, Path(folder) / "works")
        begin = time.perf_counter()
        index = search.build_index(Path(folder) / "works", Path(folder) / "index", features=features)
        assert index is not None
        built = time.perf_counter()
        originals = search.originals_of(index)
        compared = time.perf_counter()
        facts = describe()
        print(f"{facts['device']}, {facts['threads']} threads, {facts['versions']}; features {arguments.features}")
        print(
            f"{len(index.files)} works, index {built - begin:.0f} s, {len(originals.similarity)} originals compared in "
            f"{compared - built:.0f} s; {len(originals.copies)} works with a copy in the collection; limits "
            f"{originals.limit(search.NEAR_RATE):.3f} (near), {originals.limit(search.COPY_RATE):.3f} (copy)"
        )
        rows = np.sort(np.random.default_rng(1).permutation(len(index.files))[: arguments.copies])
        files = [index.collection / index.files[row].name for row in rows]
        copies = {name: planted(files, change) for name, change in CHANGES.items()}
        found = measure_passport(index, features, copies, rows, held)
        show(found, as_json=arguments.json)
        asked = [each["found"] for each in found if each["copies"] in ASKED]
        print(f"\nmean of the first {len(ASKED)}: {np.mean(asked):.4f}; least {min(asked):.3f}\n")
        if arguments.designs:
            half = {name: copies[name][:100] for name in ASKED}
            designs: dict[str, Callable[[], Design]] = {
                "hash": lambda: by_hash(index),
                "thumbnail": lambda: by_thumbnail(index),
                "VGG-16 means": lambda: by_network(index, means, search.VGG_LAYERS, standardized=False),
                "VGG-16 means, standardized": lambda: by_network(index, means, search.VGG_LAYERS, standardized=True),
                "VGG-16 means and deviations, standardized": lambda: by_index(index, cast(search.Features, features)),
                "VGG-16 regional maxima": lambda: by_network(index, rmac, ("relu5_3",), standardized=False),
            }
            for name, make in designs.items():
                show([measure_design(name, make(), index, half, rows)], as_json=arguments.json)


def show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows as Markdown, or as JSON."""
    if as_json:
        print("\n".join(json.dumps(row) for row in rows), flush=True)
        return
    names = list(rows[0])
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        cells = (value if isinstance(value, str) else f"{value:.3f}" for value in row.values())
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
