"""Make up auction lots with pictures, of which it is known how well their prices can be predicted: a table and 1000 pictures.

    python examples/lots.py lots/ --count 1000 --seed 0
    python examples/lots.py lots/ --clean                # the same market without the mess of real tables

Takes 5 seconds on 2 CPU cores. Writes lots/lots.csv and lots/pictures/*.png (48 px), and prints where the variance of log prices comes from
and the best possible R2: for the first command table 50 %, text 21 %, picture 17 %, noise 17 %; R2 0.830, and 0.803 in a sale of which
no lot was seen.

The law. The logarithm of a lot's price in livres is 7 plus

- artist: one of 60, who come up as 1 / (1 + rank), each of a level drawn from N(0, 0.6);
- school, which is the artist's (`SCHOOLS`), `MEDIA`, `CONDITIONS`: fixed effects;
- size: 0.3 log(height width / 3600 cm2);
- sale: 0.05 for each year after 1770, `DEALERS`, half of what the mean level of its artists is above that of all lots, and N(0, 0.2) of
  its own;
- text: the words of the description, English or French (`KINDS`, `MOTIFS`, `LIGHTS`, `MARKS`); those about the frame have no effect;
- picture: 0.4 z(color) + 0.3 z(contrast), see `picture_statistics`; both are drawn apart from all else, so nothing known before the
  sale tells them. What is painted (the description's kind of subject), where, in which hues and how bright has no effect;
- noise: N(0, 0.5), drawn for each lot.

Some lots have several rows, of pendants: they share one price, which is that of one of them, and all else but the drawing. Who knows the
law and sees every cell and picture reaches the R2 printed; who learns it from so many rows does not quite, and missing cells cost more.

The mess (all of it is left away by --clean): cells that are empty, "n/a" or "?"; pictures that nobody kept, or that are named and not
there; "1,700.0"; dates written in two ways; `diameter`, nearly empty; works that are sold again years later (`work`; the same cells and
picture, noise drawn anew); `buyer` and `duty`, known only after the sale, which give the price away; unsold lots (`sold`, no price). The
`estimate` is the law without picture and noise, times exp N(0, 0.4). The more a lot is worth beside it, the likelier it is sold; the noise
has no part in that.
"""

import argparse
import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from jaxart import data, io

SIDE, FINER = 48, 2  # pixels of a picture, and how much finer it is drawn
NOISE, OF_A_SALE, OF_AN_ESTIMATE = 0.5, 0.2, 0.4  # standard deviations
LEVEL, OF_AREA, OF_A_YEAR, OF_QUALITY, OF_COLOR, OF_CONTRAST = 7.0, 0.3, 0.05, 0.5, 0.4, 0.3
COLOR, CONTRAST = (0.24, 0.08), (0.16, 0.04)  # means and standard deviations of the pictures' statistics
FURTHEST = 2.2  # deviations from the mean that a picture has at most
SALES, FIRST_YEAR, YEARS, AGAIN = 20, 1764, 12, 2  # AGAIN: years after which a work may come up again
ARTISTS = [
    first + last
    for last in ("bert", "mont", "neau", "straten", "dini", "wijk")
    for first in ("Al", "Ber", "Cor", "Del", "Gil", "Hal", "Lam", "Mon", "Rou", "Tes")
]
BUYERS = [
    f"{title} {name}"
    for title in ("M.", "Mme", "Abbé", "Chevalier", "Duc")
    for name in ("Arvel", "Brisse", "Courtan", "Lormet", "Péreuil", "Vauquois")
]  # from the poorest
SCHOOLS = {"French": 0.0, "Dutch": 0.2, "Flemish": 0.1, "Italian": -0.2}
MEDIA = {
    "oil on canvas": (0.0, 0.5),
    "oil on panel": (0.2, 0.25),
    "oil on copper": (0.4, 0.1),
    "gouache": (-0.9, 0.15),
}  # effect, share
CONDITIONS = {"good": (0.1, 0.5), "relined": (-0.1, 0.3), "worn": (-0.5, 0.2)}
DEALERS = {"Aubin": 0.2, "Carrère": 0.1, "Josse": 0.0, "Morin": -0.1, "Tellier": -0.2}
Words = tuple[str, str, float]  # English, French, effect

KINDS: dict[str, Words] = {
    "landscape": ("Landscape", "Paysage", 0.1),
    "portrait": ("Portrait", "Portrait", -0.1),
    "still life": ("Still life", "Nature morte", 0.0),
}
RATIOS = {"landscape": 1.3, "portrait": 0.8, "still life": 1.0}  # width / height, about
MOTIFS: dict[str, tuple[Words, ...]] = {
    "landscape": (
        ("cows", "des vaches", 0.2),
        ("a bridge", "un pont", 0.0),
        ("ruins", "des ruines", 0.3),
        ("a mill", "un moulin", -0.2),
        ("travelers", "des voyageurs", -0.4),
        ("a harbor", "un port", 0.5),
        ("hunters", "des chasseurs", 0.1),
        ("washerwomen", "des lavandières", -0.5),
    ),
    "portrait": (
        ("a letter", "une lettre", 0.2),
        ("a dog", "un chien", 0.4),
        ("a fan", "un éventail", 0.3),
        ("a book", "un livre", -0.3),
        ("a sword", "une épée", 0.0),
        ("pearls", "des perles", 0.1),
        ("a black cap", "un bonnet noir", -0.5),
        ("a lace collar", "un col de dentelle", -0.2),
    ),
    "still life": (
        ("tulips", "des tulipes", 0.5),
        ("grapes", "des raisins", 0.1),
        ("a lobster", "un homard", 0.3),
        ("a hare", "un lièvre", -0.2),
        ("a copper pot", "un chaudron de cuivre", -0.4),
        ("a skull", "un crâne", -0.5),
        ("oysters", "des huîtres", 0.2),
        ("a glass of wine", "un verre de vin", 0.0),
    ),
}
LIGHTS: tuple[Words, ...] = (
    ("morning light", "lumière du matin", 0.15),
    ("evening light", "lumière du soir", 0.1),
    ("by candlelight", "à la chandelle", 0.25),
    ("a dark ground", "fond sombre", -0.25),
    ("", "", 0.0),
)
MARKS: tuple[Words, ...] = (
    ("", "", 0.0),
    ("", "", 0.0),
    ("signed", "signé", 0.3),
    ("signed", "signé", 0.3),
    ("a fine work", "bel ouvrage", 0.2),
    ("after an older master", "d'après un maître ancien", -0.6),
)
FRAMES: tuple[Words, ...] = (
    ("", "", 0.0),
    ("gilt frame", "cadre doré", 0.0),
    ("without a frame", "sans cadre", 0.0),
    ("in its old frame", "cadre ancien", 0.0),
)
MODALITIES = {
    "table": ("artist", "school", "size", "medium", "condition", "sale"),
    "text": ("text",),
    "picture": ("picture",),
}

Rgb = tuple[int, int, int]
Draw = Callable[[np.random.Generator, ImageDraw.ImageDraw, list[Rgb], int], None]


class Truth(NamedTuple):
    """What the table does not say of its rows, ``[N]``.

    Fields:
        log_price: the expected logarithm of the price: LEVEL and the sum of all parts.
        noise: what is added to it.
        deviation: the standard deviation of the noise.
        parts: by name, see `MODALITIES`.
        sold: whether there is a price.
        kind: of the subject, one of `KINDS`.
        color, contrast: what `picture_statistics` says of the picture.
        brush: the seed of the drawing; the same for a work that is sold again.
        kept: whether the file of the picture is there.
    """

    log_price: np.ndarray
    noise: np.ndarray
    deviation: float
    parts: dict[str, np.ndarray]
    sold: np.ndarray
    kind: np.ndarray
    color: np.ndarray
    contrast: np.ndarray
    brush: np.ndarray
    kept: np.ndarray


def main() -> None:
    """Write the table and the pictures, and print what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder, made if it is missing")
    parser.add_argument("--count", type=int, default=1000, help="rows of the table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clean", action="store_true", help="without the mess")
    arguments = parser.parse_args()
    records, truth = make_lots(arguments.seed, arguments.count, clean=arguments.clean)
    write_lots(arguments.output, records, truth)
    lots, sales = (
        len(set(zip(*(records[name] for name in names), strict=True))) for names in (("sale", "lot"), ("sale",))
    )
    again = len(truth.brush) - len(np.unique(truth.brush))
    print(f"{arguments.output / 'lots.csv'}: {arguments.count} rows in {lots} lots of {sales} sales, ", end="")
    print(f"{np.count_nonzero(~truth.sold)} rows unsold, {again} of works sold again")
    print(f"{arguments.output / 'pictures'}: {np.count_nonzero(truth.kept)} pictures of {SIDE} px")
    shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in variance_shares(truth).items())
    print(f"Variance of log prices: {shares}")
    print(f"Best possible R2: {best_r2(truth):.3f}; in new sales: {best_r2(truth, new_sales=True):.3f}")


def best_r2(truth: Truth, *, new_sales: bool = False) -> float:
    """Return the R2 of who knows the law, in the rows that have a price; of new sales, all but what is each sale's own."""
    unknown = truth.deviation**2 + (OF_A_SALE**2 if new_sales else 0)
    return 1 - unknown / float(np.var(truth.log_price[truth.sold]) + truth.deviation**2)


def variance_shares(truth: Truth) -> dict[str, float]:
    """Return each modality's and the noise's share in the variance of log prices (of uncorrelated parts; they sum to 1 nearly)."""
    total = np.var(truth.log_price[truth.sold]) + truth.deviation**2
    sums = {name: np.sum([truth.parts[part] for part in parts], axis=0) for name, parts in MODALITIES.items()}
    shares = {name: float(np.var(part[truth.sold]) / total) for name, part in sums.items()}
    return {**shares, "noise": float(truth.deviation**2 / total)}


def write_lots(output: Path, records: dict[str, np.ndarray], truth: Truth) -> None:
    """Write lots.csv and the pictures that were kept into a folder."""
    (output / "pictures").mkdir(parents=True, exist_ok=True)
    data.write_table(output / "lots.csv", records)
    for row in np.flatnonzero(truth.kept).tolist():
        io.write(output / _picture_name(row), paint(truth, row))


def make_lots(seed: int, count: int, *, clean: bool = False) -> tuple[dict[str, np.ndarray], Truth]:
    """Return `count` rows of lots as columns of text ``[N]``, in the order of their sales, and the truth about them."""
    rng, mess = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    sale = np.sort(rng.choice(SALES, count, p=rng.dirichlet(np.full(SALES, 8.0))))
    years = (np.arange(SALES) + rng.random(SALES)) * YEARS / SALES
    first = _first_rows(rng, sale)
    like, work = first.copy(), np.arange(count)
    if not clean:
        for row, earlier in _sold_again(mess, first, years[sale]):
            like[row] = work[row] = earlier
    kind = rng.choice(list(KINDS), count)[like]
    cells, parts = _works(rng, sale, kind, like)
    levels = parts.pop("level")
    parts["sale"], dealers = _sales(rng, sale, years, levels)
    looks = np.clip(rng.standard_normal((2, count)), -FURTHEST, FURTHEST)[:, like]
    parts["picture"] = OF_COLOR * looks[0] + OF_CONTRAST * looks[1]
    log_price = LEVEL + np.sum(list(parts.values()), axis=0)
    noise = rng.normal(0, NOISE, count)[first]
    start = datetime.date(FIRST_YEAR, 1, 1)
    dates = [(start + datetime.timedelta(days=int(year * 365))).isoformat() for year in years]
    records = {
        "sale": [f"S{number + 1:02d}" for number in sale],
        "lot": [str(number) for number in _lot_numbers(sale, first)],
        "date": [dates[number] for number in sale],
        "dealer": [dealers[number] for number in sale],
        "work": [f"W{number:05d}" for number in work],
        **cells,
        "picture": [_picture_name(row) for row in range(count)],
        "price": [f"{price:.1f}" for price in np.exp(log_price + noise)],
    }
    everything = np.ones(count, bool)
    color, contrast = (mean + spread * z for (mean, spread), z in zip((COLOR, CONTRAST), looks, strict=True))
    brush = rng.integers(2**31, size=count)[work]
    truth = Truth(log_price, noise, NOISE, parts, everything, kind, color, contrast, brush, everything)
    if not clean:
        records, truth = _messed_up(mess, records, truth, first)
    return {name: np.array(column, np.str_) for name, column in records.items()}, truth


def _picture_name(row: int) -> str:
    return f"pictures/{row:05d}.png"


def _first_rows(rng: np.random.Generator, sale: np.ndarray) -> np.ndarray:
    """Return for each row the first row of its lot."""
    follows = (rng.random(len(sale)) < 0.12) & (sale == np.roll(sale, 1))
    follows[0] = False
    return np.maximum.accumulate(np.where(follows, 0, np.arange(len(sale))))


def _lot_numbers(sale: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the numbers of lots, which begin at 1 in each sale."""
    begun = np.cumsum(first == np.arange(len(sale)))
    before = np.searchsorted(sale, sale)  # rows of earlier sales
    return begun - begun[before] + 1


def _sold_again(rng: np.random.Generator, first: np.ndarray, when: np.ndarray) -> list[tuple[int, int]]:
    """Return pairs of rows, alone in their lots: the second's work comes up again as the first."""
    count = len(first)
    alone = np.bincount(first, minlength=count)[first] == 1
    again = alone & (rng.random(count) < 0.12)
    pairs = []
    for row in np.flatnonzero(again):
        earlier = np.flatnonzero(alone & ~again & (when <= when[row] - AGAIN))
        if len(earlier):
            pairs.append((int(row), int(rng.choice(earlier))))
    return pairs


def _works(
    rng: np.random.Generator, sale: np.ndarray, kind: np.ndarray, like: np.ndarray
) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Return the columns and parts of price that are a work's own, and its artist's level."""
    count = len(sale)
    level = rng.normal(0, 0.6, len(ARTISTS))
    school = rng.choice(list(SCHOOLS), len(ARTISTS))
    rare = -np.log(np.arange(len(ARTISTS)) + 2)[None]
    taste = rng.normal(0, 0.5, (SALES, 1))  # some sales have more of the better artists
    draws = (rare + taste * level)[sale] + rng.gumbel(size=(count, len(ARTISTS)))
    artist = draws.argmax(axis=1)[like]
    medium, of_medium = _chosen(rng, MEDIA, like)
    condition, of_condition = _chosen(rng, CONDITIONS, like)
    ratio = np.array([RATIOS[each] for each in kind]) * np.exp(rng.normal(0, 0.08, count))[like]
    height = np.round(np.exp(rng.normal(math.log(60), 0.5, count))[like] / np.sqrt(ratio), 1)
    width = np.round(height * ratio, 1)
    texts = [_description(rng, each) for each in kind]
    cells = {
        "artist": [ARTISTS[number] for number in artist],
        "school": [school[number] for number in artist],
        "medium": medium,
        "height": [f"{value:.1f}" for value in height],
        "width": [f"{value:.1f}" for value in width],
        "condition": condition,
        "description": [texts[number][0] for number in like],
    }
    parts = {
        "level": level[artist],
        "artist": level[artist],
        "school": np.array([SCHOOLS[str(school[number])] for number in artist]),
        "size": OF_AREA * np.log(height * width / 3600),
        "medium": of_medium,
        "condition": of_condition,
        "text": np.array([texts[number][1] for number in like]),
    }
    return cells, parts


def _chosen(
    rng: np.random.Generator, choices: dict[str, tuple[float, float]], like: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Return values of a category and their effects."""
    effects, shares = np.array(list(choices.values())).T
    drawn = rng.choice(len(choices), len(like), p=shares)[like]
    return [list(choices)[number] for number in drawn], effects[drawn]


def _description(rng: np.random.Generator, kind: str) -> tuple[str, float]:
    """Return a description and the effect of its words."""
    french, motifs = rng.random() < 0.3, MOTIFS[kind]
    one, other = (motifs[number] for number in rng.permutation(len(motifs))[:2])
    light, mark, frame = (words[rng.integers(len(words))] for words in (LIGHTS, MARKS, FRAMES))
    said = (KINDS[kind], one, other, light, mark, frame)
    what, first, second, *rest = (words[1] if french else words[0] for words in said)
    scene = f"{what} avec {first} et {second}" if french else f"{what} with {first} and {second}"
    return ", ".join(filter(None, (scene, *rest))), sum(words[2] for words in said)


def _sales(
    rng: np.random.Generator, sale: np.ndarray, years: np.ndarray, level: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return each row's effect of its sale, and the sales' dealers."""
    dealers = [str(name) for name in rng.choice(list(DEALERS), SALES)]
    own = rng.normal(0, OF_A_SALE, SALES)
    sizes = np.maximum(np.bincount(sale, minlength=SALES), 1)
    quality = np.bincount(sale, weights=level - level.mean(), minlength=SALES) / sizes
    trend = OF_A_YEAR * (years - YEARS / 2)
    effects = trend + np.array([DEALERS[name] for name in dealers]) + OF_QUALITY * quality + own
    return effects[sale], dealers


def _messed_up(
    rng: np.random.Generator, records: dict[str, list[str]], truth: Truth, first: np.ndarray
) -> tuple[dict[str, list[str]], Truth]:
    """Return the table as people keep it, and the truth with what was sold and kept."""
    count = len(first)
    guess = truth.log_price - truth.parts["picture"] + rng.normal(0, OF_AN_ESTIMATE, count)[first]
    likely = 1 / (1 + np.exp(-2.2 - 2 * (truth.log_price - guess)))
    sold = (rng.random(count)[first] < likely).tolist()
    prices = np.exp(truth.log_price + truth.noise)
    rank = np.argsort(np.argsort(truth.log_price + truth.noise))[first] / count
    purse = np.clip(rank + rng.normal(0, 0.06, count)[first], 0, 0.999) * len(BUYERS)  # the dear ones go to the rich
    grouped = rng.random(count) < 0.5
    kept, named = rng.random((2, count)) < np.array([[0.96], [0.97]])

    def gaps(cells: list[str], share: float) -> list[str]:
        told, words = rng.random(count) >= share, rng.choice(["", "", "n/a", "?"], count)
        return [cell if there else str(word) for cell, there, word in zip(cells, told, words, strict=True)]

    def of_sold(cells: list[str]) -> list[str]:
        return [cell if each else "" for cell, each in zip(cells, sold, strict=True)]

    diameters = [f"{value:.1f}" for value in rng.uniform(10, 60, count)]
    shares = {"artist": 0.02, "school": 0.04, "medium": 0.05, "height": 0.08, "width": 0.08, "condition": 0.1}
    mixed = [f"{price:,.1f}" if comma else f"{price:.1f}" for price, comma in zip(prices, grouped, strict=True)]
    messed = {
        **{name: gaps(cells, shares.get(name, 0)) for name, cells in records.items()},
        "date": [
            _in_words(cell) if spelled else cell
            for cell, spelled in zip(records["date"], rng.random(count) < 0.1, strict=True)
        ],
        "description": [
            cell if there else "" for cell, there in zip(records["description"], rng.random(count) > 0.02, strict=True)
        ],
        "picture": [cell if there else "" for cell, there in zip(records["picture"], named, strict=True)],
        "price": of_sold(mixed),
        "sold": [str(int(each)) for each in sold],
        "estimate": gaps([f"{float(f'{value:.2g}'):.0f}" for value in np.exp(guess)], 0.03),
        "diameter": [cell if there else "" for cell, there in zip(diameters, rng.random(count) < 0.01, strict=True)],
        "buyer": of_sold([BUYERS[int(place)] for place in purse]),
        "duty": of_sold([f"{0.05 * price:.2f}" for price in prices]),
    }
    return messed, truth._replace(sold=np.array(sold), kept=kept & named)


def _in_words(date: str) -> str:
    day = datetime.date.fromisoformat(date)
    return f"{day.day} {day:%B} {day.year}"


def picture_statistics(picture: np.ndarray) -> tuple[float, float]:
    """Return what a picture's part of the price depends on: color, the mean of (largest - smallest channel), and contrast, the standard
    deviation of gray, the mean of the channels; of values in 0 to 1."""
    values = np.stack([picture[..., channel] / (255 if picture.dtype == np.uint8 else 1) for channel in range(3)])
    return float((values.max(axis=0) - values.min(axis=0)).mean()), float(values.mean(axis=0).std())


def paint(truth: Truth, row: int) -> np.ndarray:
    """Return the picture of a row, uint8 ``[SIDE, SIDE, 3]``."""
    rng, side = np.random.default_rng([int(truth.brush[row]), 2]), SIDE * FINER
    colors = _palette(rng)
    drawn = Image.new("RGB", (side, side), colors[0])
    DRAWINGS[str(truth.kind[row])](rng, ImageDraw.Draw(drawn), colors, side)
    picture = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64) / 255
    picture += rng.normal(0, 0.01, (SIDE, SIDE, 1))
    light = rng.uniform(0.42, 0.58)
    return np.rint(255 * _toned(picture, light, truth.color[row], truth.contrast[row])).astype(np.uint8)


def _toned(picture: np.ndarray, light: float, color: float, contrast: float) -> np.ndarray:
    """Return a picture with the given mean and statistics; again and again, because clipping changes them."""
    for _ in range(20):
        now = picture_statistics(picture)
        if abs(now[0] / color - 1) + abs(now[1] / contrast - 1) < 1e-3:
            break
        gray = (picture @ np.full(3, 1 / 3))[..., None]
        shade, hue = (gray - gray.mean()) * (contrast / now[1]), (picture - gray) * (color / now[0])
        picture = np.clip(light + shade + hue, 0, 1)
    return picture


def _palette(rng: np.random.Generator) -> list[Rgb]:
    """Return 7 colors around one or two hues, of lightness from dark to light in any order."""
    hue = rng.choice(rng.random(2), 7) + rng.normal(0, 0.06, 7)
    pure = np.clip(np.abs(6 * ((hue[:, None] + np.array([[0, 1 / 3, 2 / 3]])) % 1) - 3) - 1, 0, 1)
    lightness = rng.permutation(np.linspace(0.2, 0.95, 7))[:, None]
    colors = np.rint(255 * lightness * (1 - 0.5 * (1 - pure))).astype(int)
    return [(int(red), int(green), int(blue)) for red, green, blue in colors]


def _landscape(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: list[Rgb], side: int) -> None:
    """Draw the sun, three ranges of hills and trees on them."""
    x, y = rng.uniform(0.15, 0.85) * side, rng.uniform(0.1, 0.3) * side
    _disc(draw, x, y, rng.uniform(0.05, 0.1) * side, colors[1])
    for number in range(3):
        across = np.arange(side + 1)
        waves = np.sin(across / side * rng.uniform(4, 12) + rng.uniform(0, 6))
        ridge = side * (0.4 + 0.18 * number + rng.uniform(0.03, 0.09) * waves)
        draw.polygon(
            [(0, side), *zip(across.tolist(), ridge.tolist(), strict=True), (side, side)], fill=colors[2 + number]
        )
        for place in rng.integers(0, side, rng.integers(0, 5)).tolist():
            foot = float(ridge[place])
            high = rng.uniform(0.03, 0.08) * side
            draw.line([(place, foot), (place, foot - 2 * high)], fill=colors[6], width=2)
            _disc(draw, place, foot - 2 * high, high, colors[5])


def _portrait(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: list[Rgb], side: int) -> None:
    """Draw shoulders, hair, a face and a collar."""
    x, y = rng.uniform(0.42, 0.58) * side, rng.uniform(0.36, 0.44) * side
    wide, high = rng.uniform(0.13, 0.18) * side, rng.uniform(0.18, 0.23) * side
    draw.ellipse([x - 2.4 * wide, y + 0.9 * high, x + 2.4 * wide, y + 5 * high], fill=colors[1])
    draw.ellipse([x - 1.3 * wide, y - 1.4 * high, x + 1.3 * wide, y + rng.uniform(0.2, 1.2) * high], fill=colors[2])
    draw.ellipse([x - wide, y - high, x + wide, y + high], fill=colors[3])
    draw.ellipse([x - 0.9 * wide, y + high, x + 0.9 * wide, y + 1.5 * high], fill=colors[4])
    for sign in (-1, 1):
        _disc(draw, x + 0.4 * sign * wide, y - 0.1 * high, 0.03 * side, colors[5])
    draw.line([(x - 0.3 * wide, y + 0.5 * high), (x + 0.3 * wide, y + 0.5 * high)], fill=colors[6], width=2)


def _still_life(rng: np.random.Generator, draw: ImageDraw.ImageDraw, colors: list[Rgb], side: int) -> None:
    """Draw a table, a vase and fruit with highlights."""
    edge = rng.uniform(0.55, 0.7) * side
    draw.rectangle([0, edge, side, side], fill=colors[1])
    x, wide = rng.uniform(0.25, 0.75) * side, rng.uniform(0.08, 0.14) * side
    draw.ellipse([x - wide, edge - 4 * wide, x + wide, edge + 0.6 * wide], fill=colors[2])
    draw.rectangle([x - 0.4 * wide, edge - 5 * wide, x + 0.4 * wide, edge - 3 * wide], fill=colors[2])
    for _ in range(rng.integers(3, 8)):
        radius = rng.uniform(0.05, 0.11) * side
        left, top = rng.uniform(0.1, 0.9) * side, edge + rng.uniform(-0.05, 0.2) * side
        _disc(draw, left, top, radius, colors[rng.integers(3, 6)])
        _disc(draw, left - 0.3 * radius, top - 0.3 * radius, 0.25 * radius, colors[6])


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: Rgb) -> None:
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=color)


DRAWINGS: dict[str, Draw] = {"landscape": _landscape, "portrait": _portrait, "still life": _still_life}

if __name__ == "__main__":
    main()
