"""Question: how well are few paintings told apart by what VGG-16 sees? Rivals: nearest neighbor and logistic regression on fewer numbers.

    python benchmarks/understanding.py FOLDER [--seeds 5] [--steps 1000] [--batch 128]

FOLDER has a subfolder a class. Its pictures are divided five times, copies of a work kept together: 70 % to train on, 10 % to measure
certainty on, 20 % to test. All see the same features, taken once: the rivals means and deviations of four layers, `jaxart train classifier
--features vgg16` all of `classify.picture_features`, by a head with its settings. Prints macro F1, accuracy, and of the sets that are to
hold the truth in 90 of 100 how often they do, for all and for the class where that is least.
"""

import argparse
import functools
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import describe

from jaxart import data, metrics, models, weights
from jaxart.tasks import classify
from jaxart.training import fit

_CHANNELS = {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512}
_PARTS = (0.7, 0.1, 0.2)


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


def trained(
    key: Any, features: np.ndarray, labels: np.ndarray, train: np.ndarray, arguments: Any, *, plain: bool
) -> np.ndarray:
    """Return the outputs of a head for all examples; `plain` is logistic regression."""
    classes = int(labels.max()) + 1
    network = models.FeatureHead(classes, hidden=0 if plain else 512, dropout=0.0 if plain else 0.5)
    target = classify.one_class(classes, smoothing=0.0 if plain else 0.2)
    rate = optax.warmup_cosine_decay_schedule(0.0, 1e-3, arguments.steps // 20, arguments.steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1.0))
    recipe = classify.classifier_of_features(
        network, length=features.shape[1], optimizer=optimizer, target=target, half_life=5000
    )
    scaling = classify.Scaling(jnp.asarray(features[train].mean(0)), jnp.asarray(features[train].std(0) + 1e-3))
    recipe = recipe._replace(frozen={"features": jnp.asarray(features), "scaling": scaling})
    rows = data.Dataset({"row": np.arange(len(labels), dtype=np.int32), "label": labels})
    stream = functools.partial(_stream, key, rows, arguments.batch, train)
    state, _ = fit(recipe, stream, key=key, steps=arguments.steps, batches_per_call=4)
    model: Any = classify.Classifier(network, state.average)
    return classify.predict(model, jnp.asarray(scaled(features, train), jnp.float32), pictures=False)[0]


def _stream(key: Any, rows: data.Dataset, batch: int, train: np.ndarray, first: int) -> Any:
    return data.batches(key, rows, batch, sampler=data.within(train), first=first)


def sets(outputs: np.ndarray, labels: np.ndarray, calibrate: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """Return how often sets hold the true class: of all test examples, and of the class where that is least."""
    classes = int(labels.max()) + 1
    target = classify.one_class(classes)
    known = classify.calibrate(outputs[calibrate], labels[calibrate], target, classes=classes)
    held = classify.answers(outputs[test], target, known).sets[np.arange(len(test)), labels[test]]
    return float(held.mean()), min(float(held[labels[test] == each].mean()) for each in range(classes))


def main() -> None:
    """Take features, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    found = data.load(arguments.folder, size=160, fit="stretch")
    images: Any = found.column("image")
    labels = found.column("label")
    works, begin = metrics.duplicate_groups(images), time.perf_counter()
    features = classify.picture_features(weights.load("vgg16"), images)
    few = means_and_deviations(features)
    print(describe(), f"{found.count} pictures, features in {time.perf_counter() - begin:.0f} s", flush=True)
    told: dict[str, list[tuple[float, float]]] = {}
    covered = []
    for seed in range(arguments.seeds):
        key = jax.random.key(seed)
        train, calibrate, test = data.split_by_label(key, labels, _PARTS, groups=works)
        guesses = {"nearest neighbor": nearest(scaled(few, train), labels, train, test)}
        plain = trained(key, few, labels, train, arguments, plain=True)
        ours = trained(key, features, labels, train, arguments, plain=False)
        guesses |= {"logistic regression": plain[test].argmax(1), "classifier of features": ours[test].argmax(1)}
        covered.append(sets(ours, labels, calibrate, test))
        for name, guess in guesses.items():
            score = metrics.f1_score(labels[test], guess), float(np.mean(labels[test] == guess))
            told.setdefault(name, []).append(score)
    print("| | macro F1 | accuracy |", "|---|---|---|", sep="\n")
    for name, scores in told.items():
        columns = [f"{statistics.mean(each):.3f} ± {statistics.stdev(each):.3f}" for each in zip(*scores, strict=True)]
        print(f"| {name} | {' | '.join(columns)} |")
    means = [statistics.mean(each) for each in zip(*covered, strict=True)]
    print(f"sets hold the truth in {means[0]:.3f}; of the class where least {means[1]:.3f}")


if __name__ == "__main__":
    main()
