"""Segmentation as a kind of run."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from jaxart import data as shelf
from jaxart import io, metrics, models, weights
from jaxart.arrays import Array, Key, PyTree, check_choice
from jaxart.runs import shared
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import SegmenterOptions
from jaxart.tasks import segment as task
from jaxart.training import Recipe

SOURCES = ("images", "masks")
_SHOWN = 6  # pictures on a sheet
_FEWEST = 4  # pictures that a score needs
_WARM_UP = 20  # parts of the steps, in one of which the learning rate rises
_LAST = 0.01  # of the learning rate, in the end


def load(options: SegmenterOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the pictures, or the masks.

    Args:
        options: of the run.
        source: "images" or "masks".
        path: a folder.

    Raises:
        ValueError: what `data.load_masks` refuses of one of its folders.
    """
    if source == "images":
        return shelf.load_named_pictures(path, size=options.size, fit=options.fit)
    return shelf.read_masks(path, size=options.size, fit=options.fit, classes=options.classes)


def facts(options: SegmenterOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the names and colors of the classes, how many pixels are of each, and how many pictures there are.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: pictures and masks that do not belong together, fewer than two classes, numbers out of their range.
    """
    _check_options(options)
    pairs = _pairs(data)
    names, pixels = pairs.classes["mask"], np.bincount(pairs.column("mask").reshape(-1), minlength=256)
    if np.count_nonzero(pixels[: len(names)]) < 2:
        raise ValueError(
            f"masks: expected pixels of two classes at least, got {', '.join(names)}: nothing to tell apart."
        )
    colors = [shelf.hex_color(color) for color in pairs.column("color")[0]]
    counts = {name: int(count) for name, count in zip(names, pixels, strict=False)}
    return {"classes": list(names), "colors": colors, "pixels": counts, "pictures": pairs.count}


def recipe(options: SegmenterOptions, facts: Facts, wrap: Callable[[Any], Any] = lambda optimizer: optimizer) -> Recipe:
    """Return the recipe of a segmentation.

    Args:
        options: of the run.
        facts: the names of the classes.
        wrap: ``optimizer -> optimizer``, such as one that prunes.
    """
    return task.segmenter(
        _network(options, facts),
        shape=(options.size, options.size, 3),
        optimizer=wrap(usual_optimizer(options)),
        dice_weight=options.dice_weight,
        half_life=options.half_life,
        transform=_transform(options),
    )


def frozen(options: SegmenterOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return the collections of the network that are not trained: VGG-16, where regions are found by its features.

    Args:
        options: of the run.
        data: by source.
    """
    return _frozen(options, _network(options, facts(options, data)))


def batches(
    key: Key, options: SegmenterOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of pictures and their masks.

    Args: see `Kind`.
    """
    pairs = _pairs(data)
    return shelf.batches(key, pairs, options.batch, columns=("image", "mask"), first=first, process=process)


def parameters(state: task.State) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"segmenter": state.params}


def model_of(trained: Trained) -> task.Segmentation:
    """Return what a run has learned, as it stands.

    Args:
        trained: with the averages that segment.
    """
    options, facts = trained.options, trained.facts
    colors = np.array([list(bytes.fromhex(color[1:])) for color in facts["colors"]], np.uint8)
    about = {"size": options.size, "steps": int(trained.state.step)}
    about |= {} if options.weights is None else {"weights": str(options.weights)}
    network = _network(options, facts)
    return task.Segmentation(
        network,
        trained.state.average,
        tuple(facts["classes"]),
        colors,
        about,
        _frozen(options, network),
    )


def sample(trained: Trained, path: Path) -> None:
    """Write a sheet, a row of each of a few pictures: the picture, its mask, and the mask that is found.

    Args:
        trained: with the averages that segment, and the data.
        path: without a suffix.
    """
    model, pairs = model_of(trained), _pairs(trained.data)
    rows = np.linspace(0, pairs.count - 1, min(_SHOWN, pairs.count)).round().astype(int)
    images, masks = pairs.column("image")[rows], pairs.column("mask")[rows]
    table = np.full((256, 3), 255, np.uint8)  # what is ignored is white
    table[: len(model.colors)] = model.colors
    sheet = np.stack([images, table[masks], table[task.segment_batch(model, images)]], axis=1)
    io.write(path.with_suffix(".png"), io.grid(sheet.reshape(-1, *sheet.shape[2:]), columns=3))


def score(
    trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Return cards of the mean intersection over union, that of each class, and the share of pixels whose class was found.

    Args: see `Kind`.
    """
    del seen
    return score_segmentation(model_of(trained), held_out, count=count, seed=seed)


def score_segmentation(
    model: task.Segmentation, held_out: dict[str, shelf.Dataset], *, count: int = 5000, seed: int = 0
) -> list[metrics.ScoreCard]:
    """Score a model on pictures and masks that it has not seen, over the classes that are in these or found there.

    Args:
        model: trained.
        held_out: by source.
        count: pictures at most.
        seed: of the halves.

    Raises:
        ValueError: fewer than four pictures, or a class that the model does not know.
    """
    pairs = shelf.with_mask_classes(_pairs(held_out), model.classes)
    images, truth = (pairs.column(name)[:count] for name in ("image", "mask"))
    if len(images) < _FEWEST:
        raise ValueError(f"data: expected at least {_FEWEST} pictures with masks, got {len(images)}.")
    counts = _counts(truth, task.segment_batch(model, images), len(model.classes))
    about = {"n_fake": len(images), "n_real": len(images), "data_hash": shelf.digest(pairs), "resize": "as loaded"}
    of = functools.partial(_scores, whole=_together(counts), classes=model.classes)
    found = metrics.jackknife(jax.random.key(seed), of, counts)
    return [metrics.score_card(name, found[name], seed=seed, **about) for name in of(counts)]


def network(trained: Trained) -> weights.Network:
    """Return the segmenter, to be kept in a file.

    Args:
        trained: with the averages that segment.
    """
    return task.as_network(model_of(trained))


def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
    """Return the segmenter for `jax.export.deserialize`.

    Args:
        trained: with the averages that segment.
        platforms: to lower for.
    """
    return task.export_segmentation(model_of(trained), platforms=platforms)


def _pairs(data: dict[str, shelf.Dataset]) -> shelf.Dataset:
    return shelf.pair_masks(*(data[source] for source in SOURCES))


def _network(options: SegmenterOptions, facts: Facts) -> models.Segmenter | models.FeatureSegmenter:
    network = models.Segmenter if options.features == "none" else models.FeatureSegmenter
    given = {name: value for name in ("width", "depth", "squares") if (value := getattr(options, name)) is not None}
    return network(len(facts["classes"]), **given)


def _frozen(options: SegmenterOptions, network: Any) -> PyTree:
    if options.features == "none":
        return {}
    return network.freeze(weights.load(options.weights or "vgg16"))


def usual_optimizer(options: SegmenterOptions) -> optax.GradientTransformation:
    """Return AdamW with clipped gradients; equal options give the same object.

    Args:
        options: of the run.
    """
    return _optimizer(options.learning_rate, options.steps, options.weight_decay)


@functools.lru_cache(maxsize=64)
def _optimizer(rate: float, steps: int, decay: float) -> optax.GradientTransformation:
    return _adamw(_course(rate, steps), decay)


def varied_optimizer(options: SegmenterOptions) -> optax.GradientTransformation:
    """Return the usual optimizer with the learning rate and the weight decay in its state.

    Args:
        options: of the run.
    """
    course = _course(1.0, options.steps)

    def make(learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
        return _adamw(lambda count: learning_rate * course(count), weight_decay)

    return optax.inject_hyperparams(make)(options.learning_rate, options.weight_decay)


def _adamw(schedule: Any, decay: Any) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=decay, mask=_are_kernels))


def _course(rate: float, steps: int) -> Callable:
    warm_up = max(1, steps // _WARM_UP)
    return optax.warmup_cosine_decay_schedule(0.0, rate, warm_up, max(steps, warm_up + 1), _LAST * rate)


def _are_kernels(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def _transform(options: SegmenterOptions) -> Callable | None:
    """Return the augmentation that was chosen."""
    if not options.move and not options.recolor:
        return None
    geometric, photometric = (
        tuple(shelf.AUGMENTATIONS[name] for name in names) for names in (options.move, options.recolor)
    )
    return shared.partial(shelf.augment_pairs, geometric=geometric, photometric=photometric)


@functools.partial(jax.jit, static_argnums=2)
def _counts(truth: Array, found: Array, classes: int) -> metrics.RegionCounts:
    return metrics.region_counts(truth, found, classes)


def _together(counts: metrics.RegionCounts) -> metrics.RegionCounts:
    """Add up what was counted of pictures, in 64 bits."""
    return metrics.RegionCounts(*(np.asarray(each).sum(0, np.int64) for each in counts))


def _scores(
    counts: metrics.RegionCounts, whole: metrics.RegionCounts, classes: tuple[str, ...]
) -> dict[str, jax.Array]:
    """Return what is scored of some pictures; a class that these lack has what it has in all of them."""
    some = _together(counts)
    of_whole, found = metrics.iou_by_class(whole), metrics.iou_by_class(some)
    by_class = np.where(np.isnan(found), of_whole, found)
    scores = {"mean IoU": metrics.mean_iou(some), "pixel accuracy": metrics.pixel_accuracy(some)}
    return scores | {f"IoU of {name}": iou for name, iou in zip(classes, by_class, strict=True) if not np.isnan(iou)}


def _check_options(options: SegmenterOptions) -> None:
    if not 0 < options.learning_rate < float("inf") or not 0 <= options.weight_decay < float("inf"):
        raise ValueError(
            "learning_rate, weight_decay: expected a number above 0 and one of at least 0, got "
            f"{options.learning_rate} and {options.weight_decay}."
        )
    if options.weights is not None and options.features == "none":
        raise ValueError("weights: are VGG-16's, which features vgg16 looks by; got features none.")
    if options.size < 8:
        raise ValueError(f"size: expected at least 8 pixels, got {options.size}.")
    photometric = [name for name in shelf.AUGMENTATIONS if name not in shelf.GEOMETRIC]
    for field, known in (("move", shelf.GEOMETRIC), ("recolor", photometric)):
        for name in getattr(options, field):
            check_choice(field, name, known)
