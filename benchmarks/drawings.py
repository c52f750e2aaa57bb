"""Make pictures of drawings whose authors are known: what understanding.py tells authors apart on.

    pip install resvg-py
    python benchmarks/drawings.py SVG OUT [--least 30] [--most 100] [--size 160]

SVG is the folder of Debian's openclipart-svg. Of each author of LEAST drawings and more, as the files' metadata name them, at most MOST are
drawn, on white, the longer side SIZE pixels: OUT gets them and labels.csv with the columns file and label. What cannot be drawn is told.
"""

import argparse
import csv
import functools
import random
import re
from pathlib import Path

import resvg_py

_CREATOR = re.compile(r"<dc:creator.*?</dc:creator>", re.DOTALL)
_TITLE = re.compile(r"<dc:title>(.*?)</dc:title>", re.DOTALL)


def author_of(drawing: str) -> str:
    """Return who made a drawing, "" where its metadata do not say."""
    creator = _CREATOR.search(drawing)
    title = _TITLE.search(creator.group()) if creator else None
    return " ".join(title.group(1).split()) if title else ""


def drawings_by_author(folder: Path, *, least: int, most: int) -> dict[str, list[Path]]:
    """Return the drawings of authors who have enough, at most so many of each, chosen at random."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.svg")):
        found.setdefault(author_of(path.read_text(encoding="utf-8", errors="replace")), []).append(path)
    found.pop("", None)
    draw = random.Random(0)
    return {
        author: sorted(draw.sample(paths, min(most, len(paths))))
        for author, paths in sorted(found.items())
        if len(paths) >= least
    }


def drawn(path: Path, size: int) -> bytes:
    """Return a drawing as a PNG file on white, its longer side `size` pixels."""
    draw = functools.partial(resvg_py.svg_to_bytes, svg_path=str(path), background="#ffffff", dpi=96)
    picture = draw()
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))  # of the PNG's header
    side = {"width": size} if width >= height else {"height": size}
    return draw(**side)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--least", type=int, default=30)
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--size", type=int, default=160)
    arguments = parser.parse_args()
    authors = drawings_by_author(arguments.drawings, least=arguments.least, most=arguments.most)
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    for author, paths in authors.items():
        for path in paths:
            try:
                picture = drawn(path, arguments.size)
            except ValueError as error:
                print(f"  {path.name}: {error}")
                failed += 1
                continue
            name = f"{len(rows):04}.png"
            (arguments.output / name).write_bytes(picture)
            rows.append((name, author))
    with open(arguments.output / "labels.csv", "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *rows])
    print(f"{len(rows)} drawings by {len(authors)} authors; {failed} cannot be drawn")


if __name__ == "__main__":
    main()
