"""Question: how well are few paintings told apart by what VGG-16 sees? Rivals: nearest neighbor and logistic regression on fewer numbers.

    python benchmarks/understanding.py FOLDER [--labels CSV] [--least 1] [--size 160] [--cache FILE] [--seeds 5] [--steps 1000]
    python benchmarks/understanding.py FOLDER --schemes

FOLDER has a subfolder a class, or its classes are in a CSV; those of fewer than LEAST pictures are left out. Its pictures are divided
five times, copies of a work kept together: 80 % to train on, as runs do, and 20 % to test. All see the same features, taken once (and kept
in FILE): the rivals means and deviations of four layers, `jaxart train classifier --features vgg16` all of `classify.picture_features`, by
its kernel and by its network, with their settings. Prints macro F1, accuracy, and the mean recall of the rarest third of the classes.

Then the kernel's sets that are to hold the truth in 90 of 100. What is not trained on is divided anew, half to calibrate and half to test,
100 times over all seeds: how often sets hold the truth, of all and of the class where that is least; how large they are and how many are
empty; in how many divisions the share lies in the band that chance leaves it, of all and of the classes with thresholds of their own.

With --schemes instead: softmax, one-vs-all and one-vs-one on the same features, with seconds.
"""

import argparse
import dataclasses
import functools
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import describe

from jaxart import data, losses, metrics, models, runs, weights
from jaxart.runs import classifier as kind
from jaxart.tasks import classify
from jaxart.training import Recipe, fit

_CHANNELS = {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512}
_PARTS = (0.8, 0.2)
_SCHEMES: Any = classify.SCHEMES
_DIVISIONS = 100  # of what is not trained on, over all seeds
_OWN = 20  # calibration examples from which a class has a threshold of its own


class Collection(NamedTuple):
    """Labels ``[N]``, works ``[N]``, which tell copies, features ``[N, F]``, and the names of the classes."""

    labels: np.ndarray
    works: np.ndarray
    features: np.ndarray
    classes: tuple[str, ...]


class Division(NamedTuple):
    """Which examples are trained on, and tested."""

    train: np.ndarray
    test: np.ndarray


def collected(arguments: argparse.Namespace) -> Collection:
    """Read pictures; take their features, or read those that are kept."""
    found = data.load(arguments.folder, size=arguments.size, fit="stretch", labels=arguments.labels)
    labels = found.column("label")
    rows = np.flatnonzero(np.bincount(labels)[labels] >= arguments.least)
    images = found.column("image")[rows]
    kept, labels, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
    begin = time.perf_counter()
    features = _features(images, arguments.cache).astype(np.float32)
    seconds = f"features in {time.perf_counter() - begin:.0f} s"
    print(f"{len(rows)} pictures, {len(kept)} classes of {counts.min()} to {counts.max()}; {seconds}", flush=True)
    classes = tuple(found.classes["label"][each] for each in kept)
    return Collection(labels.astype(np.int32), metrics.duplicate_groups(images), features, classes)


def _features(images: Any, cache: Path | None) -> np.ndarray:
    if cache and cache.is_file():
        found = np.load(cache)
        if len(found) != len(images):
            raise SystemExit(
                f"{cache} has features of {len(found)} pictures, these are {len(images)}; name another file."
            )
        return found
    features = classify.picture_features(weights.load("vgg16"), images).astype(np.float16)  # as runs keep them
    if cache:
        np.save(cache, features)
    return features


def divided(key: Any, collection: Collection) -> Division:
    """Divide a collection by works."""
    return Division(*data.split_by_label(key, collection.labels, _PARTS, groups=collection.works))


def means_and_deviations(features: np.ndarray) -> np.ndarray:
    """Return the part of `classify.picture_features` that the rivals see: ``[N, 7616] -> [N, 1920]``."""
    found, place = [], 0
    for layer, channels in _CHANNELS.items():
        found.append(features[:, place : place + 2 * channels])
        place += 2 * channels + (2080 if layer in classify.GRAM_LAYERS else 0)
    return np.concatenate(found, axis=1)


def scaled(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return features less their means over the training examples, in units of their deviations."""
    return (features - features[train].mean(0)) / (features[train].std(0) + 1e-3)


def nearest(features: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the class of the nearest training example."""
    every, some = features[train], features[test]
    return labels[train][np.argmin(np.sum(every**2, 1)[None] - 2 * some @ every.T, axis=1)]


def regression(classes: int, length: int, steps: int) -> tuple[Any, Recipe]:
    """Return the network and the recipe of logistic regression."""
    network = models.FeatureHead(classes)
    rate = optax.warmup_cosine_decay_schedule(0.0, 1e-3, steps // 20, steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1.0))
    target = classify.one_class(classes)
    return network, classify.classifier_of_features(
        network, length=length, optimizer=optimizer, target=target, half_life=5000
    )


def head(collection: Collection, train: np.ndarray, options: runs.ClassifierOptions) -> tuple[Any, Recipe]:
    """Return the network and the recipe of what `jaxart train classifier --features vgg16` trains."""
    counts = np.bincount(collection.labels[train], minlength=len(collection.classes))
    facts = {"classes": list(collection.classes), "counts": counts.tolist(), "train": len(train)}
    return kind.network_of(options, facts), kind.recipe(options, facts)


def fitted(collection: Collection, train: np.ndarray, options: runs.ClassifierOptions, key: Any) -> Any:
    """Return a function from rows to what `jaxart train classifier --features vgg16` says of them."""
    network, recipe = head(collection, train, options)
    features, labels = collection.features, collection.labels
    if not isinstance(network, models.KernelHead):
        return trained(key, network, recipe, features, labels, train, options)
    scaling = classify.block_scaling(features[train], classify.feature_blocks())
    known = classify.known_examples(network, features[train], labels[train], scaling)
    stream = functools.partial(_stream, key, data.Dataset({"label": labels}), options.batch, train)
    state, _ = fit(recipe._replace(frozen=known), stream, key=key, steps=options.steps)
    model: Any = classify.Classifier(network, state.average)
    return lambda some: classify.predict(model, scaling(jnp.asarray(features[some])), pictures=False)[0]


def trained(
    key: Any, network: Any, recipe: Recipe, features: np.ndarray, labels: np.ndarray, train: np.ndarray, options: Any
) -> Any:
    """Return a function from rows to the outputs of a network of features."""
    scaling = classify.Scaling(jnp.asarray(features[train].mean(0)), jnp.asarray(features[train].std(0) + 1e-3))
    recipe = recipe._replace(frozen={"features": jnp.asarray(features), "scaling": scaling})
    rows = data.Dataset({"row": np.arange(len(labels), dtype=np.int32), "label": labels})
    stream = functools.partial(_stream, key, rows, options.batch, train)
    state, _ = fit(recipe, stream, key=key, steps=options.steps, batches_per_call=4)
    model: Any = classify.Classifier(network, state.average)
    return lambda some: classify.predict(model, scaling(jnp.asarray(features[some])), pictures=False)[0]


def _stream(key: Any, rows: data.Dataset, batch: int, train: np.ndarray, first: int) -> Any:
    return data.batches(key, rows, batch, sampler=data.within(train), first=first)


def scores(labels: np.ndarray, guess: np.ndarray, counts: np.ndarray) -> tuple[float, ...]:
    """Return macro F1, accuracy, and the mean recall of the rarest third of the classes."""
    rare = metrics.recall_by_size(labels, guess, counts).rare
    return metrics.f1_score(labels, guess), float(np.mean(labels == guess)), rare


def row(name: str, found: list[tuple[float, ...]]) -> str:
    """Return a row of a table: means over the seeds, and deviations where there are several."""
    columns = [
        f"{statistics.mean(each):.3f}" + (f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else "")
        for each in zip(*found, strict=True)
    ]
    return f"| {name} | {' | '.join(columns)} |"


class Sets(NamedTuple):
    """How sets of one division keep what they promise: of all, the share of empty ones, and each class."""

    all: metrics.Coverage
    empty: float
    classes: list[tuple[metrics.Coverage, int, bool]]  # coverage, the class, whether it has a threshold of its own


def sets_of(key: Any, outputs: np.ndarray, labels: np.ndarray, works: np.ndarray, classes: int) -> Sets:
    """Calibrate on half of what is not trained on, test on the other half."""
    target, level = classify.one_class(classes), 0.9
    calibrate, test = data.split_by_group(key, works, (0.5, 0.5))
    known = classify.calibrate(outputs[calibrate], labels[calibrate], target, classes=classes, level=level)
    found = classify.answers(outputs[test], target, known).sets
    each = []
    for name in np.unique(labels[test]):
        some, count = labels[test] == name, int(np.sum(labels[calibrate] == name))
        coverage = metrics.coverage(found[some], labels[test][some], level, calibration=max(count, 1))
        each.append((coverage, int(name), count >= _OWN))
    whole = metrics.coverage(found, labels[test], level, calibration=len(calibrate))
    return Sets(whole, float(np.mean(~found.any(axis=1))), each)


def told_of_sets(found: list[Sets]) -> str:
    """Return a line on the sets of many divisions."""
    own = [coverage for sets in found for coverage, _, known in sets.classes if known]
    names = sorted({name for sets in found for _, name, _ in sets.classes})
    means = [statistics.mean(c.share for sets in found for c, own, _ in sets.classes if own == name) for name in names]
    inside = [np.mean([c.low <= c.share <= c.high for c in each]) for each in ([sets.all for sets in found], own)]
    return (
        f"sets hold the truth in {statistics.mean(sets.all.share for sets in found):.3f}; of the class where least "
        f"{min(means):.3f}; {statistics.mean(sets.all.size for sets in found):.2f} classes a set, "
        f"{statistics.mean(sets.empty for sets in found):.3f} empty; in the band in {inside[0]:.2f} of {len(found)} divisions, "
        f"classes with their own thresholds in {inside[1]:.2f} of {len(own)}"
    )


def compared(collection: Collection, arguments: argparse.Namespace) -> None:
    """Print the rivals and ours, and how far sets keep what they promise."""
    labels, features, classes = collection.labels, collection.features, len(collection.classes)
    few = means_and_deviations(features)
    options = runs.ClassifierOptions(features="vgg16", steps=arguments.steps, batch=arguments.batch)
    told: dict[str, list[tuple[float, ...]]] = {}
    sets = []
    for seed in range(arguments.seeds):
        key = jax.random.key(seed)
        train, test = divided(key, collection)
        plain = trained(key, *regression(classes, few.shape[1], options.steps), few, labels, train, options)
        network = dataclasses.replace(options, head="network")
        ours, other = (fitted(collection, train, each, key) for each in (options, network))
        guesses = {
            "nearest neighbor": nearest(scaled(few, train), labels, train, test),
            "logistic regression": plain(test).argmax(1),
            "two layers on all features (--head network)": other(test).argmax(1),
            "kernel on all features (the default)": ours(test).argmax(1),
        }
        counts = np.bincount(labels[train], minlength=classes)
        for name, guess in guesses.items():
            told.setdefault(name, []).append(scores(labels[test], guess, counts))
        outputs = ours(test)
        for number in range(_DIVISIONS // arguments.seeds):
            own = jax.random.fold_in(key, number)
            sets.append(sets_of(own, outputs, labels[test], collection.works[test], classes))
    print("| | macro F1 | accuracy | recall of the rarest third |", "|---|---|---|---|", sep="\n")
    print("\n".join(row(name, found) for name, found in told.items()))
    print(told_of_sets(sets))


def schemes(collection: Collection, arguments: argparse.Namespace) -> None:
    """Print softmax, one-vs-all and one-vs-one on the same features; the first seed, which compiles, is timed only where there is one."""
    labels, classes = collection.labels, len(collection.classes)
    print("| | outputs | macro F1 | accuracy | recall of the rarest third | training, s | answers to 1000, s |")
    print("|---|---|---|---|---|---|---|")
    for scheme in _SCHEMES:
        options = runs.ClassifierOptions(
            features="vgg16",
            head="network",
            steps=arguments.steps,
            batch=arguments.batch,
            scheme=scheme,
            balance="none",
        )
        target = classify.one_class(classes, scheme=scheme)
        answers = {scheme: jax.jit(target.answer)}
        if scheme == "one-vs-one":
            answers = {"one-vs-one, coupled": answers[scheme], "one-vs-one, votes": jax.jit(losses.votes)}
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in answers}
        seconds: dict[str, list[tuple[float, ...]]] = {name: [] for name in answers}
        for seed in range(arguments.seeds):
            key = jax.random.key(seed)
            train, test = divided(key, collection)
            begin = time.perf_counter()
            outputs = fitted(collection, train, options, key)
            trained_in = time.perf_counter() - begin
            for name, answer in answers.items():
                begin = time.perf_counter()
                guess = np.asarray(answer(outputs(np.resize(test, 1000)))).argmax(1)[: len(test)]
                seconds[name].append((trained_in, time.perf_counter() - begin))
                found[name].append(scores(labels[test], guess, np.bincount(labels[train], minlength=classes)))
        for name in answers:
            times = [
                f"{statistics.median(each):.2f}" for each in zip(*(seconds[name][1:] or seconds[name]), strict=True)
            ]
            print(f"{row(f'{name} | {target.outputs}', found[name])} {' | '.join(times)} |", flush=True)


def main() -> None:
    """Take features, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=Path, help="a CSV with columns file and label, instead of subfolders")
    parser.add_argument("--least", type=int, default=1, help="pictures of a class, or it is left out")
    parser.add_argument("--size", type=int, default=160, help="to which pictures are brought")
    parser.add_argument("--cache", type=Path, help="a file .npy that the features are kept in")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--schemes", action="store_true")
    arguments = parser.parse_args()
    print(describe(), flush=True)
    collection = collected(arguments)
    (schemes if arguments.schemes else compared)(collection, arguments)


if __name__ == "__main__":
    main()
