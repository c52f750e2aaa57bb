"""Prepare free photographs to train networks of many styles on, from Debian's packages: 780 squares of 320 px in half a minute.

    python examples/photographs.py photos/
    jaxart train style paintings/ --photos photos/ -o run

With --shrink 2 they are shrunk to half, which takes their noise and JPEG's blocks away, and cut whole into squares of 192 px, such as
restorers learn from. Pictures of further folders are treated likewise:

    python examples/photographs.py details/ [paintings/ ...] --shrink 2
    jaxart train restorer details/ -o run

It needs `apt-get`, `dpkg-deb` and a connection, and installs nothing. The pictures' rights stand in the packages' copyright files (CC0,
CC BY and CC BY-SA for the greater part): they serve for training, and are not to be handed on without those files.
"""

import argparse
import itertools
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from jaxart import io

SIDE, PARTS, SMALLEST = 320, 5, 288  # pixels of a square, squares of a photograph, pixels of a photograph's short side
TILE, DETAIL = (
    192,
    0.02,
)  # pixels of a square of what was shrunk, and the standard deviation of its gray that it has at least
FOLDERS = {  # where photographs lie in a package
    "mate-backgrounds": ("usr/share/backgrounds/mate/nature",),
    "ukui-wallpapers": ("usr/share/backgrounds",),
    "lomiri-wallpapers-16.04": ("usr/share/backgrounds",),
    "lomiri-wallpapers": ("usr/share/backgrounds",),
}
TEXTURES = {  # what is taken beside, where pictures are shrunk
    "lomiri-wallpapers-20.04": ("usr/share/backgrounds",),
    "mypaint-data-extras": ("usr/share/mypaint/backgrounds/mrmamurk", "usr/share/mypaint/backgrounds/ramon"),
}
BUNDLES = {  # resource files of Qt with photographs in them
    "gcompris-qt-data": (
        "erase",
        "explore_farm_animals",
        "explore_monuments",
        "explore_world_animals",
        "explore_world_music",
    )
}


def main() -> None:
    """Fetch the packages and write the squares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for the squares, new")
    parser.add_argument("more", type=Path, nargs="*", help="with --shrink: folders of further pictures")
    parser.add_argument("--shrink", type=float, help="shrink pictures by this and cut them whole")
    arguments = parser.parse_args()
    output, shrink = arguments.output, arguments.shrink
    output.mkdir(parents=True)
    rng, count = np.random.default_rng(0), 0
    folders = FOLDERS if shrink is None else FOLDERS | TEXTURES
    with tempfile.TemporaryDirectory() as folder:
        for photograph in itertools.chain(photographs(Path(folder), folders), pictures(arguments.more)):
            for part in squares(photograph, rng) if shrink is None else tiles(photograph, shrink):
                io.write(output / (f"{count:04d}.jpg" if shrink is None else f"{count:05d}.png"), part)
                count += 1
    print(f"{output}: {count} squares of {SIDE if shrink is None else TILE} px")


def pictures(folders: list[Path]) -> Iterator[np.ndarray]:
    """Yield all pictures of folders."""
    for folder in folders:
        for path in io.pictures_in(folder):
            yield io.read(path)


def photographs(folder: Path, folders: dict[str, tuple[str, ...]]) -> Iterator[np.ndarray]:
    """Yield the photographs of all packages, ``[H, W, 3]``; what cannot be read or is small is left out."""
    for package in (*folders, *BUNDLES):
        subprocess.run(["apt-get", "download", "--quiet", package], cwd=folder, check=True)
        (archive,) = folder.glob(f"{package}_*.deb")
        unpacked = folder / package
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
        for name in BUNDLES.get(package, ()):
            (bundle,) = unpacked.rglob(f"{name}.rcc")
            unbundle(bundle, unpacked / name)
        places = [
            *(unpacked / each for each in folders.get(package, ())),
            *(unpacked / each for each in BUNDLES.get(package, ())),
        ]
        for path in sorted(
            path for place in places for path in place.iterdir() if path.suffix in (".jpg", ".png", ".webp")
        ):
            try:
                picture = io.read(path)
            except ValueError:
                continue
            if min(picture.shape[:2]) >= SMALLEST:
                yield picture


def unbundle(bundle: Path, folder: Path) -> None:
    """Write the WebP files that a resource file holds as they are."""
    folder.mkdir()
    content, place = bundle.read_bytes(), 0
    while (place := content.find(b"RIFF", place)) >= 0:
        size = int.from_bytes(content[place + 4 : place + 8], "little") + 8
        if content[place + 8 : place + 12] == b"WEBP":
            (folder / f"{place:010d}.webp").write_bytes(content[place : place + size])
        place += 4


def squares(picture: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield a photograph's largest square somewhere in it, and smaller ones, all shrunk or enlarged to one size."""
    short = min(picture.shape[:2])
    for number in range(PARTS):
        side = short if number == 0 else int(rng.integers(min(short, max(SMALLEST, short // 3)), short + 1))
        top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        part = picture[top : top + side, left : left + side]
        yield io.square(np.rint(part * 255).astype(np.uint8), SIDE)


def tiles(picture: np.ndarray, shrink: float) -> Iterator[np.ndarray]:
    """Yield the squares that a shrunk picture is cut into, but for those with little in them."""
    height, width = (round(side / shrink) for side in picture.shape[:2])
    small = np.asarray(
        Image.fromarray(np.rint(picture * 255).astype(np.uint8)).resize((width, height), Image.Resampling.LANCZOS)
    )
    down, across = height // TILE, width // TILE
    for row in range(down):
        for column in range(across):
            top, left = (
                (side - count * TILE) // 2 + n * TILE
                for side, count, n in ((height, down, row), (width, across, column))
            )
            part = small[top : top + TILE, left : left + TILE]
            if np.abs(np.diff(part.mean(axis=-1), axis=1)).mean() >= 255 * DETAIL:
                yield part


if __name__ == "__main__":
    main()
