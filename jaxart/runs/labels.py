"""What classifiers learn from: pictures with classes, several labels or numbers, divided by works."""

import warnings
from pathlib import Path

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import metrics
from jaxart.runs.kind import Facts
from jaxart.runs.options import ClassifierOptions

SIZES = {"none": 64, "vgg16": 160, "vae": 64}  # to which pictures are brought, by features
_SEPARATOR, _NOTHING = ";", "-"  # of several labels in a cell
_NAMED = 3  # copies that are told by name


def load(options: ClassifierOptions, source: str, path: Path) -> shelf.Dataset:
    """Read the pictures of a run and what is to be said of them: the column "target", and "work", which tells works apart.

    Args:
        options: of the run.
        source: there is one.
        path: as `data.load` takes it.

    Raises:
        ValueError: what `data.load` refuses, or labels that do not fit the task.
    """
    del source
    check_options(options)
    group = () if options.group is None else (options.group,)
    found = shelf.load(
        path,
        size=side_of(options),
        fit=fit_of(options),
        labels=options.labels,
        columns=(*options.columns, *group),
        split=options.split,
    )
    target, names = _TARGETS[options.task](options, found)
    works = found.column(options.group) if options.group else metrics.duplicate_groups(found.column("image"))
    if not options.group:
        _tell_of_copies(found, works)
    columns = {"image": found.column("image"), "target": target, "work": works}
    return shelf.Dataset(columns, {"target": names}, found.failures, found.names)


def _tell_of_copies(dataset: shelf.Dataset, works: np.ndarray) -> None:
    again = np.flatnonzero(works != np.arange(len(works))).tolist()
    if len(again):
        pairs = [f"{_name(dataset, each)} of {_name(dataset, works[each])}" for each in again]
        warnings.warn(
            f"data: {len(again)} of {len(works)} pictures are copies of others ({_first(pairs)}); copies of a picture are never on both "
            "sides of the split.",
            stacklevel=3,
        )


def tell_of_seen(known: shelf.Dataset, others: shelf.Dataset) -> None:
    """Warn where pictures to score with are copies of some that a run has learned from; they are left in.

    Args:
        known: the run's.
        others: to score with.
    """
    found = metrics.nearest_pictures(others.column("image"), known.column("image"))
    seen = [each for each, verdict in enumerate(found.verdicts()) if verdict == "copy"]
    if seen:
        pairs = [f"{_name(others, each)} of {_name(known, found.index[each])}" for each in seen]
        warnings.warn(
            f"data: {len(seen)} of {others.count} pictures are copies of pictures that the run has seen ({_first(pairs)}); they are left "
            "in, so scores may be too good.",
            stacklevel=2,
        )


def _name(dataset: shelf.Dataset, number: int) -> str:
    return dataset.names[number] if dataset.names else f"picture {number}"


def _first(told: list[str]) -> str:
    return ", ".join([*told[:_NAMED], *(["..."] if len(told) > _NAMED else [])])


def side_of(options: ClassifierOptions) -> int:
    """Return the side to which pictures are brought, pixels.

    Args:
        options: of the run.
    """
    return options.size or SIZES[options.features]


def fit_of(options: ClassifierOptions) -> str:
    """Return how pictures become squares.

    Args:
        options: of the run.
    """
    return options.fit or ("stretch" if options.features == "vgg16" else "crop")


def facts(options: ClassifierOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the classes and how many training examples each has, or the means and deviations of the numbers.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: classes with a single picture, or data that cannot be split.
    """
    dataset = data["data"]
    train, validation = parts(options, dataset)
    target = dataset.column("target")[train]
    sizes = {"train": len(train), "validation": len(validation)}
    if options.task == "numbers":
        deviations = np.maximum(target.std(axis=0), 1e-12)
        told = {"columns": list(_columns(options)), "means": target.mean(0).tolist(), "deviations": deviations.tolist()}
        return {**told, **sizes}
    names = dataset.classes["target"]
    counts = shelf.class_counts(target, len(names)) if options.task == "label" else target.sum(axis=0).astype(int)
    _check_counts(names, counts)
    return {"classes": list(names), "counts": counts.tolist(), **sizes}


def parts(options: ClassifierOptions, dataset: shelf.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return which examples are trained on and which are kept back: of each class the same share of works.

    Args:
        options: of the run.
        dataset: from `load`.
    """
    shares = (1 - options.validation, options.validation)
    key, works = jax.random.key(options.seed), dataset.column("work")
    if options.task == "label":
        train, kept = shelf.split_by_label(key, dataset.column("target"), shares, groups=works)
    else:
        train, kept = shelf.split_by_group(key, works, shares)
    return train, kept


def known_target(options: ClassifierOptions, facts: Facts, dataset: shelf.Dataset) -> np.ndarray:
    """Return the targets of another dataset in the run's own numbers.

    Args:
        options: of the run.
        facts: of its data.
        dataset: from `load`.

    Raises:
        ValueError: classes, labels or columns that the run does not know.
    """
    if options.task == "numbers":
        return dataset.column("target")
    known, found = facts["classes"], dataset.classes["target"]
    strange = [name for name in found if name not in known]
    if strange:
        raise ValueError(f"data: the run knows {', '.join(known)}; got {', '.join(strange[:5])} too. Leave them out.")
    places = np.array([known.index(name) for name in found], np.int32)
    if options.task == "label":
        return places[dataset.column("target")]
    target = np.zeros((dataset.count, len(known)), np.float32)
    target[:, places] = dataset.column("target")
    return target


def _one_label(options: ClassifierOptions, found: shelf.Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    names = found.classes.get("label", ())
    if len(names) < 2:
        told = "one class" if names else "no classes"
        raise ValueError(
            f"data: expected two classes or more, got {told}. Put pictures into one folder per class, or give labels (a CSV)."
        )
    _warn_of_spelling(names)
    return found.column("label"), names


def _several(options: ClassifierOptions, found: shelf.Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    cells = _cells(found)
    names = tuple(sorted({name for cell in cells for name in cell}))
    if not names:
        raise ValueError("labels: expected at least one label in the CSV, got none.")
    _warn_of_spelling(names)
    return np.array([[name in cell for name in names] for cell in cells], np.float32), names


def _cells(found: shelf.Dataset) -> list[set[str]]:
    known = found.classes.get("label", ())
    if not known:
        raise ValueError("task labels: expected a CSV (labels) with a column label, such as landscape;winter.")
    each = [set(filter(None, (name.strip() for name in cell.split(_SEPARATOR)))) - {_NOTHING} for cell in known]
    return [each[number] for number in found.column("label")]


def _numbers(options: ClassifierOptions, found: shelf.Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    columns = []
    for name in _columns(options):
        values = found.column(name)
        if name == "label" and name in found.classes:
            values = np.array(found.classes[name])[values]
        try:
            columns.append(values.astype(np.float32))
        except ValueError as error:
            raise ValueError(f"column {name!r}: expected numbers, got {error}.") from error
    return np.stack(columns, axis=1), _columns(options)


def _columns(options: ClassifierOptions) -> tuple[str, ...]:
    return options.columns or ("label",)


_TARGETS = {"label": _one_label, "labels": _several, "numbers": _numbers}


def _warn_of_spelling(names: tuple[str, ...]) -> None:
    """Point out labels that differ by spaces or case alone."""
    seen: dict[str, str] = {}
    for name in names:
        plain = " ".join(name.lower().split())
        if plain in seen:
            warnings.warn(
                f"labels {seen[plain]!r} and {name!r} differ by spaces or case alone; they are taken for two.",
                stacklevel=2,
            )
        seen[plain] = name


def _check_counts(names: tuple[str, ...], counts: np.ndarray) -> None:
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    if empty:
        raise ValueError(f"data: no training example of {', '.join(empty[:5])}; add some, or leave the class out.")


def check_options(options: ClassifierOptions) -> None:
    """Refuse options that exclude each other, before anything is read.

    Args:
        options: of the run.

    Raises:
        ValueError: such options.
    """
    if not 0 < options.validation < 1:
        raise ValueError(f"validation: expected a share in (0, 1), got {options.validation}.")
    if options.task != "label" and options.scheme != "softmax":
        raise ValueError(f"scheme: {options.scheme} is of one class each (task label), got the task {options.task}.")
    if options.task != "label" and options.balance not in (None, "none", "inverse"):
        raise ValueError(f"balance: {options.balance} is of one class each (task label), got the task {options.task}.")
    if options.scheme != "softmax" and options.balance in ("logit-adjustment", "focal"):
        raise ValueError(
            f"balance: {options.balance} is of the softmax; with {options.scheme} take inverse or balanced."
        )
    if options.mix != "none" and (options.features != "none" or options.scheme != "softmax" or options.task != "label"):
        raise ValueError("mix: pictures are mixed where a softmax is trained on them; leave it out.")
    if options.augment_rare and (options.task != "label" or options.features != "none" or not options.augment):
        raise ValueError(
            "augment_rare: pictures of rare classes are changed more often where each has one class, and augment says how."
        )
    if options.precision != "float32" and options.features != "none":
        raise ValueError(
            f"precision: {options.precision} is of networks of pictures; features are computed in float32."
        )
    if (options.features == "vae") != (options.encoder is not None):
        raise ValueError("encoder: features vae and the folder of a run of the kind vae belong together.")
    if not 0 < options.inner <= 1 or (
        options.inner < 1 and (options.model != "residual" or options.features != "none")
    ):
        raise ValueError(
            f"inner: expected a share in (0, 1] of the channels of a residual network, got {options.inner} of "
            f"{options.model if options.features == 'none' else options.features}."
        )
    if options.patience < 0:
        raise ValueError(f"patience: expected 0 or more reports, got {options.patience}.")
    if options.columns and options.task != "numbers":
        raise ValueError("columns: are of the task numbers.")
    if (options.group or options.columns) and options.labels is None:
        raise ValueError("group, columns: are columns of a CSV; give it (labels).")
