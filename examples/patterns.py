"""Draw patterns of strokes, dots, bands and facets in random palettes: paintings of a kind that collections lack, to train `any-style` on.

python examples/patterns.py paintings/ --count 400
jaxart train any-style paintings/ --photos photos/ -o run
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jaxart import io

SIDE, FINER = 448, 2  # pixels of a picture, and how much finer it is drawn

Palette = np.ndarray  # [colors, 3], uint8
Draw = Callable[[np.random.Generator, ImageDraw.ImageDraw, Palette, int], None]


def main() -> None:
    """Draw and write the patterns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder, made if it is missing")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    for number in range(arguments.count):
        io.write(arguments.output / f"pattern{number:04d}.jpg", pattern(rng))
    print(f"{arguments.output}: {arguments.count} patterns of {SIDE} px")


def pattern(rng: np.random.Generator) -> np.ndarray:
    """Return a picture ``[S, S, 3]``: one or two patterns above each other on a ground, sometimes softened, sometimes with grain."""
    side, colors = SIDE * FINER, palette(rng)
    picture = Image.new("RGB", (side, side), tuple(colors[0]))
    for draw in rng.permutation(len(PATTERNS))[: rng.integers(1, 3)]:
        PATTERNS[draw](rng, ImageDraw.Draw(picture), colors, side)
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(1, 5)))
    made = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32) / 255
    if rng.random() < 0.5:
        made += rng.normal(0, rng.uniform(0.01, 0.06), (*made.shape[:2], 1)).astype(np.float32)
    return np.clip(made, 0, 1)


def palette(rng: np.random.Generator) -> Palette:
    """Return 3 to 7 colors that lie around one hue, around two, or anywhere."""
    count, hues = rng.integers(3, 8), rng.integers(1, 4)
    hue = rng.choice(rng.random(hues), count) + rng.normal(0, 0.04, count)
    saturation, value = rng.beta(2, 1.5, count), rng.beta(1.6, 1.2, count)
    phase = (hue[:, None] + np.array([0, 1 / 3, 2 / 3])) % 1
    pure = np.clip(np.abs(6 * phase - 3) - 1, 0, 1)
    return np.rint(255 * value[:, None] * (1 - saturation[:, None] * (1 - pure))).astype(np.uint8)


def strokes(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: Palette, side: int) -> None:
    """Draw short strokes along a field of directions that turns slowly."""
    length, width = rng.uniform(15, 90), rng.uniform(4, 22)
    frequency, turn, swirl = rng.uniform(1, 7, 2) / side, rng.uniform(0, math.tau), rng.uniform(0, 3)
    for _ in range(int(2.5 * side * side / (length * width))):
        x, y = rng.uniform(0, side, 2)
        angle = turn + swirl * (math.sin(frequency[0] * x * math.tau) + math.cos(frequency[1] * y * math.tau))
        dx, dy = length / 2 * math.cos(angle), length / 2 * math.sin(angle)
        draw.line((x - dx, y - dy, x + dx, y + dy), shade(rng, colors), max(1, round(width * rng.uniform(0.6, 1.2))))


def dots(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: Palette, side: int) -> None:
    """Draw dots, or rings, of about one size."""
    radius, ring = rng.uniform(4, 40), rng.random() < 0.3
    for _ in range(int(0.6 * (side / radius) ** 2)):
        x, y, r = *rng.uniform(0, side, 2), radius * rng.uniform(0.5, 1.5)
        box, color = (x - r, y - r, x + r, y + r), shade(rng, colors)
        draw.ellipse(box, outline=color, width=max(2, round(r / 4))) if ring else draw.ellipse(box, color)


def bands(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: Palette, side: int) -> None:
    """Draw wavy bands from edge to edge."""
    width, wave, period = rng.uniform(6, 60), rng.uniform(0, 60), rng.uniform(60, 500)
    upright, along = rng.random() < 0.5, np.arange(-10, side + 11, 10)
    for number, at in enumerate(np.arange(-wave, side + wave, width * rng.uniform(1, 2))):
        across = at + wave * np.sin(along / period * math.tau + number * rng.uniform(0, 0.3))
        points = np.stack([across, along] if upright else [along, across], -1)
        draw.line([tuple(point) for point in points], shade(rng, colors), max(1, round(width)), joint="curve")


def facets(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: Palette, side: int) -> None:
    """Draw triangles and quadrangles, sometimes with a dark outline."""
    size, outlined = rng.uniform(25, 200), rng.random() < 0.5
    for _ in range(int(3 * (side / size) ** 2)):
        corners = rng.integers(3, 5)
        angles = np.sort(rng.uniform(0, math.tau, corners))
        points = rng.uniform(0, side, 2) + size * rng.uniform(0.5, 1) * np.stack([np.cos(angles), np.sin(angles)], -1)
        outline = tuple(colors.min(axis=0) // 2) if outlined else None
        draw.polygon([tuple(point) for point in points], shade(rng, colors), outline, width=5)


def hatching(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: Palette, side: int) -> None:
    """Draw patches of parallel thin lines, as an engraver does."""
    gap, patch = rng.uniform(7, 20), rng.uniform(60, 300)
    for _ in range(int(3 * (side / patch) ** 2)):
        (x, y), angle, color = rng.uniform(0, side, 2), rng.uniform(0, math.tau), shade(rng, colors)
        along, across = (np.array([f(angle), g(angle)]) for f, g in ((math.cos, math.sin), (math.sin, math.cos)))
        across[0] *= -1
        for offset in np.arange(-patch / 2, patch / 2, gap):
            middle = np.array([x, y]) + offset * across
            ends = np.concatenate([middle - along * patch / 2, middle + along * patch / 2])
            draw.line(tuple(ends + rng.normal(0, gap / 6, 4)), color, max(1, round(gap / 3)))


def shade(rng: np.random.Generator, colors: Palette) -> tuple[int, ...]:
    """Return a color of the palette, a little lighter or darker."""
    return tuple(int(each) for each in np.clip(rng.choice(colors) + rng.normal(0, 12), 0, 255))


PATTERNS: tuple[Draw, ...] = (strokes, strokes, dots, bands, facets, hatching)

if __name__ == "__main__":
    main()
