"""Translation between two sets of pictures as a kind of run."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics, models, weights
from jaxart.arrays import Array, Key, PyTree
from jaxart.data.pictures import open_pictures
from jaxart.runs import shared
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import TranslateOptions
from jaxart.tasks import generate
from jaxart.tasks import translate as task
from jaxart.training import Recipe

SOURCES = ("a", "b")
SMALLEST = 32  # pixels of the parts that are seen
_MARGIN = 1.125  # side of the squares that parts are taken from, in parts
_SHOWN = 4  # pictures of each set on a sheet
_IDENTITY = {"cyclegan": 5.0, "cut": 1.0}
_FEWEST = 4  # pictures that a score compares


def load(options: TranslateOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the pictures of a set as squares, a little larger than the parts that are seen; those of pairs with their names.

    Args:
        options: of the run.
        source: "a" or "b".
        path: as `data.load` takes it.

    Raises:
        ValueError: nothing there or nothing that can be read, a size that cannot serve, or a picture of a pair that cannot be read.
    """
    if options.size < SMALLEST:
        raise ValueError(f"size: expected at least {SMALLEST} pixels, got {options.size}.")
    found = shelf.load(path, size=round(_MARGIN * options.size))
    if options.method != "pix2pix" or not (path.is_dir() or path.suffix.lower() == ".zip"):
        return found
    if found.failures:
        raise ValueError(f"{source}: pairs must be whole, but a picture cannot be read: {found.failures[0]}")
    with open_pictures(path, labels=None, split="train") as pictures:
        names = [str(PurePosixPath(name).with_suffix("")) for name in pictures.names]
    return shelf.with_columns(found, {"name": names})


def facts(options: TranslateOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return how many pictures each set has.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: sets that are one, fewer pictures than a batch, or pictures without a pair.
    """
    _check_options(options)
    a, b = (data[source] for source in SOURCES)
    for source in SOURCES:
        if data[source].count < options.batch:
            raise ValueError(
                f"{source}: {data[source].count} pictures are fewer than a batch of {options.batch}: add some, or take a smaller --batch."
            )
    if options.method == "pix2pix":
        _check_pairs(a, b)
    equal = len(_hashes(a) & _hashes(b))
    if 2 * equal > min(a.count, b.count):
        raise ValueError(
            f"a, b: {equal} pictures are in both sets, of {a.count} and {b.count}; expected two sets that differ."
        )
    return {source: data[source].count for source in SOURCES}


def recipe(options: TranslateOptions, facts: Facts) -> Recipe:
    """Return the recipe of a translation by the method that was chosen.

    Args:
        options: of the run.
        facts: of its data.
    """
    del facts
    adam = shared.late_adam(options.learning_rate, options.steps)
    common: dict[str, Any] = {
        "shape": (options.size, options.size, 3),
        "translator_optimizer": adam,
        "discriminator_optimizer": adam,
        "half_life": options.half_life,
        "transform": shared.partial(_seen, side=options.size, flip=not options.no_flip),
    }
    networks = _translator(options), models.PatchDiscriminator(options.width, options.halvings, options.norm)
    if options.method == "pix2pix":
        return task.pix2pix(*networks, pixel_weight=options.pixel_weight, **common)
    if options.method == "cyclic-vae":
        common |= {"cycle_weight": options.cycle_weight, "divergence_weight": options.divergence_weight}
        return task.cyclic_vae(*networks, reconstruction_weight=options.reconstruction_weight, **common)
    common["identity_weight"] = _identity_weight(options)
    if options.method == "cut":
        return task.cut(*networks, contrast_weight=options.contrast_weight, patches=options.patches, **common)
    return task.cyclegan(*networks, cycle_weight=options.cycle_weight, pool=options.pool, **common)


def batches(
    key: Key, options: TranslateOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of both sets, two streams whose orders have nothing to do with each other; of pairs, one order.

    Args: see `Kind`.
    """
    keys = [key, key] if options.method == "pix2pix" else jax.random.split(key)
    with contextlib.ExitStack() as stack:
        streams = []
        for each, source in zip(keys, SOURCES, strict=True):
            stream: Any = shelf.batches(
                each, data[source], options.batch, columns=("image",), first=first, process=process
            )
            streams.append(stack.enter_context(contextlib.closing(stream)))
        for found in zip(*streams, strict=True):
            yield {source: batch["image"] for source, batch in zip(SOURCES, found, strict=True)}


def parameters(state: Any) -> dict[str, PyTree]:
    """Return the parameters of all networks."""
    names = {"to_b": "translator from a to b", "to_a": "translator from b to a", "heads": "heads of patches"}
    names |= {"a": "encoder and decoder of a", "b": "encoder and decoder of b", "shared": "blocks of both"}
    judges = {f"discriminator of {name}": each["params"] for name, each in state.discriminators.items()}
    return {names[name]: params for name, params in state.params.items()} | judges


def model_of(trained: Trained) -> task.Translation:
    """Return the translators of a run, as they stand.

    Args:
        trained: with the averages that translate.
    """
    about = {"method": trained.options.method, "size": trained.options.size, "steps": int(trained.state.step)}
    return task.Translation(_translator(trained.options), trained.state.average, about)


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet, a row of each of a few pictures: of A, translated, and back again; then the same of B. With pairs, the pair is last.

    Args:
        trained: with the averages that translate, and the data.
        path: without a suffix.
    """
    model, shown = model_of(trained), {name: _shown(data) for name, data in trained.data.items()}
    made = task.translate_batch(model, shown["a"])
    columns = [shown["a"], made]
    if "to_a" in model.params:
        other = task.translate_batch(model, shown["b"], back=True)
        back = task.translate_batch(model, made, back=True), task.translate_batch(model, other)
        columns = [np.concatenate(pair) for pair in ((shown["a"], shown["b"]), (made, other), back)]
    elif trained.options.method == "pix2pix":
        columns.append(shown["b"])
    sheet = np.stack(columns, axis=1)  # [rows, columns, H, W, 3]
    io.write(path.with_suffix(".png"), io.grid(sheet.reshape(-1, *sheet.shape[2:]), columns=len(columns)))


def score(
    trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Score translations of held-out pictures on features of VGG-16.

    Args: see `Kind`.
    """
    del seen
    judge = generate.vgg_judge(weights.load("vgg16"))
    return score_translation(
        model_of(trained), judge, held_out, paired=trained.options.method == "pix2pix", count=count, seed=seed
    )


def score_translation(
    model: task.Translation,
    judge: generate.Judge,
    held_out: dict[str, shelf.Dataset],
    *,
    paired: bool = False,
    count: int = 5000,
    seed: int = 0,
) -> list[metrics.ScoreCard]:
    """Return cards of the kernel distances to B of translated pictures, and of those of A as they are, which it should be far below.

    With both directions there are cards of what pictures of A, and of B, lose on their way there and back, and with pairs one of the
    difference from the pair: means over pixels.

    Args:
        model: trained.
        judge: whose features are compared.
        held_out: pictures of both sets that were not seen in training.
        paired: whether the i-th pictures of both sets are a pair.
        count: pictures of each set at most.
        seed: of the subsets and halves.

    Raises:
        ValueError: fewer than four pictures in a set, or pictures without a pair.
    """
    if paired:
        _check_pairs(*(held_out[source] for source in SOURCES))
    a, b = (held_out[source].column("image")[:count] for source in SOURCES)
    if min(len(a), len(b)) < _FEWEST:
        raise ValueError(f"data: expected at least {_FEWEST} pictures in each set, got {len(a)} and {len(b)}.")
    made, keys = task.translate_batch(model, a), jax.random.split(jax.random.key(seed), 5)
    about: dict[str, Any] = {"data_hash": shelf.digest(held_out["b"]), "resize": "as loaded", "seed": seed}
    features = {name: judge.describe(each)[1] for name, each in (("a", a), ("made", _rounded(made)), ("b", b))}
    cards, subset = [], min(1000, min(len(a), len(b)) // 2)
    for key, name, source in zip(
        keys[:2], ("kernel distance", "kernel distance of the input"), ("made", "a"), strict=True
    ):
        value = metrics.kernel_distance(key, features["b"], features[source], subset_size=subset)
        judged = {"features": judge.name, "features_hash": judge.digest, "n_fake": len(a), "n_real": len(b)}
        cards.append(metrics.score_card(name, value, **judged, **about))
    differences = {}
    if "to_a" in model.params:
        other = task.translate_batch(model, b, back=True)
        differences["cycle error of a"] = task.translate_batch(model, made, back=True), a
        differences["cycle error of b"] = task.translate_batch(model, other), b
    if paired:
        differences["pixel error"] = made, b
    for key, (name, pair) in zip(keys[2:], differences.items(), strict=False):
        error = metrics.jackknife(key, lambda each: float(np.mean(each)), _errors(*pair))
        cards.append(metrics.score_card(name, error, n_fake=len(pair[0]), n_real=len(pair[1]), **about))
    return cards


def network(trained: Trained) -> weights.Network:
    """Return the translators, to be kept in a file.

    Args:
        trained: with the averages that translate.
    """
    return task.as_network(model_of(trained))


def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
    """Return the translation from a to b for `jax.export.deserialize`.

    Args:
        trained: with the averages that translate.
        platforms: to lower for.
    """
    return task.export_translation(model_of(trained), platforms=platforms)


def _translator(options: TranslateOptions) -> models.Translator:
    return models.Translator(width=options.width, blocks=options.blocks)


def _identity_weight(options: TranslateOptions) -> float:
    return _IDENTITY[options.method] if options.identity_weight is None else options.identity_weight


def _seen(keys: Key, images: Array, *, side: int, flip: bool) -> jax.Array:
    """Show a random square of each picture, perhaps mirrored: ``[B, S, S, 3] -> [B, side, side, 3]``."""
    part = functools.partial(shelf.window, side=side)
    return shelf.augment(keys, images, (part, shelf.horizontal_flip) if flip else (part,))


def _shown(data: shelf.Dataset) -> np.ndarray:
    """Return the pictures of a set that a sheet shows, in [0, 1]: the same in every sheet, from all of the set."""
    images = data.column("image")
    rows = np.linspace(0, len(images) - 1, min(_SHOWN, len(images))).round().astype(int)
    return images[rows].astype(np.float32) / 255


def _check_options(options: TranslateOptions) -> None:
    if not 0 < options.learning_rate < float("inf"):
        raise ValueError(f"learning_rate: expected a number above 0, got {options.learning_rate}.")
    if options.identity_weight is not None and options.method not in _IDENTITY:
        raise ValueError(f"identity_weight: has no meaning for {options.method}, only for {' and '.join(_IDENTITY)}.")


def _check_pairs(a: shelf.Dataset, b: shelf.Dataset) -> None:
    if a.count != b.count:
        raise ValueError(
            f"a, b: pix2pix needs pairs, got {a.count} and {b.count} pictures; without pairs take cyclegan or cut."
        )
    if "name" in a.columns and "name" in b.columns:
        lonely = sorted(set(a.column("name").tolist()) ^ set(b.column("name").tolist()))
        if lonely:
            raise ValueError(f"a, b: pix2pix needs a picture of each name in both sets; {lonely[0]!r} is in one alone.")


def _hashes(data: shelf.Dataset) -> set[str]:
    return {metrics.content_hash(picture) for picture in data.column("image")}


def _rounded(pictures: np.ndarray) -> np.ndarray:
    """Return pictures as bytes, as a file would hold them."""
    return np.rint(255 * pictures).astype(np.uint8)


def _errors(made: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference of each picture from a uint8 one."""
    return np.mean(np.abs(made - given.astype(np.float32) / 255), axis=(1, 2, 3))
