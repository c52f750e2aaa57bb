"""Question: what does each way to balance classes do where the largest has a hundred times the examples of the smallest?

    python benchmarks/imbalance.py FASHION_MNIST [--features vgg16] [--seeds 3] [--steps 600] [--batch 64] [--size 28]

FASHION_MNIST is a folder of the four IDX files (Debian: dataset-fashion-mnist). Ten classes in a random order have 1000 to 10 training
examples, their numbers falling geometrically; 200 of each class test. `jaxart train classifier --balance ...` trains the residual network
from scratch, or with --features vgg16 a head on features, all else equal. Prints accuracy and the mean recall of the rare third of the
classes, of the middle and of the frequent third, and what the rare third gains and the others lose against no balance. Rows that begin
with a tau train nothing: logits of the network without balance, less `losses.logit_adjustment` of that tau.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import describe

from jaxart import data, losses, metrics, runs
from jaxart.runs import classifier as kind
from jaxart.tasks import classify
from jaxart.training import fit

_LARGEST, _SMALLEST, _TESTED = 1000, 10, 200
_METHODS = ("none", "inverse", "effective-number", "focal", "square-root", "balanced", "deferred", "logit-adjustment")
_TAUS = (0.25, 0.5, 0.75, 1.0)


def skewed(found: data.Dataset, seed: int) -> data.Dataset:
    """Return training examples with falling numbers of the classes; one more of each, which is what a run must keep back."""
    label, draw = np.asarray(found.column("label")), np.random.default_rng(seed)
    counts = np.geomspace(_LARGEST, _SMALLEST, 10).round().astype(int)[draw.permutation(10)]
    some = [draw.permutation(np.flatnonzero(label == each))[: counts[each] + 1] for each in range(10)]
    rows = np.concatenate(some)
    columns = {"image": found.column("image")[rows], "target": label[rows].astype(np.int32), "work": rows}
    return data.Dataset(columns, {"target": found.classes["label"]})


def tested(found: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels to test on, as many of each class."""
    label = np.asarray(found.column("label"))
    rows = np.concatenate([np.flatnonzero(label == each)[:_TESTED] for each in range(10)])
    return found.column("image")[rows], label[rows]


def logits_of(train: data.Dataset, images: np.ndarray, options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Train; return logits for pictures and the numbers of training examples."""
    found = {"data": train}
    facts = kind.facts(options, found)
    order, key = jax.random.split(jax.random.key(options.seed))
    stream = lambda first: kind.batches(order, options, found, first, (0, 1))  # noqa: E731
    recipe = kind.recipe(options, facts)._replace(frozen=kind.frozen(options, found))
    state, _ = fit(recipe, stream, key=key, steps=options.steps, batches_per_call=4)
    counts = np.asarray(facts["counts"])
    if options.features == "none":
        return kind.outputs_of(runs.Trained(options, facts, state), images), counts
    features = kind.features_of(options, images, known=data.digest(data.Dataset({"image": images})))
    model = classify.Classifier(kind.network_of(options, facts), state.average)
    return classify.predict(model, state.scaling(jnp.asarray(features)), pictures=False)[0], counts


def scores(logits: np.ndarray, label: np.ndarray, counts: np.ndarray) -> tuple[float, ...]:
    """Return accuracy, and recall of the rare third, the middle and the frequent third, all in percent."""
    guess = logits.argmax(1)
    return tuple(100 * each for each in (np.mean(guess == label), *metrics.recall_by_size(label, guess, counts)))


def rest(found: tuple[float, ...], counts: np.ndarray) -> float:
    """Return the mean recall of the classes that are not rare."""
    middle, frequent = (int(np.sum(metrics.size_thirds(counts) == third)) for third in (1, 2))
    return (middle * found[2] + frequent * found[3]) / (middle + frequent)


def main() -> None:
    """Train with each method, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--features", choices=("none", "vgg16"), default="none")
    parser.add_argument("--size", type=int, default=28, help="to which pictures are shrunk")
    parser.add_argument("--width", type=int, default=8, help="of the network from scratch")
    parser.add_argument("--hidden", type=int, default=64, help="units of the head")
    parser.add_argument("--smoothing", type=float, help="of the labels, instead of the run's default")
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=_METHODS)
    arguments = parser.parse_args()
    print(describe(), flush=True)
    whole = data.load(arguments.folder, size=arguments.size)
    images, label = tested(data.load(arguments.folder, size=arguments.size, split="test"))
    told: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(arguments.seeds):
        train, logits, counts = skewed(whole, seed), {}, np.zeros(0)
        for method in arguments.methods:
            options = runs.ClassifierOptions(
                features=arguments.features,
                hidden=arguments.hidden,
                smoothing=arguments.smoothing,
                size=arguments.size,
                width=arguments.width,
                steps=arguments.steps,
                batch=arguments.batch,
                balance=method,
                validation=1e-6,
                seed=seed,
            )
            begin = time.perf_counter()
            logits[method], counts = logits_of(train, images, options)
            print(f"  seed {seed}, {method}: {time.perf_counter() - begin:.0f} s", flush=True)
        for tau in _TAUS if "none" in logits else ():
            shift = losses.logit_adjustment(jnp.asarray(counts), tau)
            logits[f"tau {tau}, after the training"] = logits["none"] - np.asarray(shift)[None]
        for method, found in logits.items():
            measured = scores(found, label, counts)
            told.setdefault(method, []).append((*measured, rest(measured, counts)))
    show(told)


def show(told: dict[str, list[tuple[float, ...]]]) -> None:
    """Print a row a method: means over the seeds, and the deviations of what is gained and lost."""
    print("| | accuracy | rare third | middle | frequent third | rare gain | others lose |")
    print("|---|---|---|---|---|---|---|")
    for method, found in told.items():
        means = [f"{statistics.mean(each):.1f}" for each in zip(*found, strict=True)][:4]
        pairs = list(zip(found, told.get("none", found), strict=True))
        gains = [ours[1] - plain[1] for ours, plain in pairs], [plain[4] - ours[4] for ours, plain in pairs]
        changes = [
            f"{statistics.mean(each):+.1f}" + (f" ± {statistics.stdev(each):.1f}" if len(each) > 1 else "")
            for each in gains
        ]
        print(f"| {method} | {' | '.join((*means, *changes))} |")


if __name__ == "__main__":
    main()
