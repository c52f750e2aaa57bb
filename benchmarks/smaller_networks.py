"""Question: what do pruning, fewer channels and fewer bits cost in accuracy, and gain in bytes and time? Rival: the network as trained.

    python benchmarks/smaller_networks.py DATA [--width 32] [--steps 500] [--fine 250] [--pixels 64]

DATA is what `data.load` reads, such as a folder with a subfolder a class, or the IDX files of Fashion-MNIST; where it comes in two parts,
the second is the test, else a fifth of each class, copies of a picture together. A residual network is trained from scratch, then made
smaller, and trained on where that needs it. Bytes are those of the file, of float32 for the network as trained; whatever a file leaves out,
params are loaded from it before they are tested. Latency is that of a batch of 16 color pictures of ``--pixels`` a side, measured in turn.

Bars: pruned to 80 % within 1 point of accuracy; half the channels in at most 0.6 of the time; int8 in at most 0.27 of the bytes, within
0.5 point.
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
from timing import describe, interleave, ratio

from jaxart import data, metrics, models, weights
from jaxart.tasks import classify
from jaxart.training import fit, magnitude_pruning, schedule_for

_BATCH, _SHOWN = 32, 16  # of training, of latency
_TESTED = 5000  # pictures at most
_ROUNDS = 15


def parts(path: Path, size: int) -> tuple[data.Dataset, data.Dataset]:
    """Return what is trained on, and what is tested with."""
    train, test = (data.load(path, size=size, split=split) for split in ("train", "test"))
    if data.digest(train) != data.digest(test):
        return train, _some(test, np.arange(min(_TESTED, test.count)))
    works = metrics.duplicate_groups(train.column("image"))
    rows = data.split_by_label(jax.random.key(0), train.column("label"), (0.8, 0.2), groups=works)
    return _some(train, rows[0]), _some(train, rows[1][:_TESTED])


def _some(dataset: data.Dataset, rows: np.ndarray) -> data.Dataset:
    return data.Dataset({name: dataset.column(name)[rows] for name in ("image", "label")}, dataset.classes)


def trained(model: classify.Classifier, train: data.Dataset, steps: int, *, rate: float, prune: Any = None) -> Any:
    """Train a network on from its params, with AdamW whose rate rises briefly and falls to zero."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 20, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.05))
    optimizer = optimizer if prune is None else prune(optimizer)
    shape = train.column("image").shape[1:]
    recipe = classify.classifier(model.network, shape=shape, optimizer=optimizer, transform=_mirrored)
    state = classify.State(jnp.int32(0), model.params, optimizer.init(model.params))
    stream = functools.partial(_stream, train)
    state, told = fit(recipe, stream, key=jax.random.key(1), steps=steps, state=state, batches_per_call=4)
    print(f"{steps} steps: loss {float(told.loss):.3f}", flush=True)
    return model._replace(params=state.params)


def _mirrored(keys: Any, images: Any) -> jax.Array:
    return data.augment(keys, images, [data.horizontal_flip])


def _stream(train: data.Dataset, first: int) -> Any:
    return data.batches(jax.random.key(2), train, _BATCH, columns=("image", "label"), first=first)


def variants(train: data.Dataset, arguments: Any) -> dict[str, tuple[classify.Classifier, bytes]]:
    """Return the networks, each with params as its file has them, and the files."""
    widths = tuple(arguments.width * times for times in (1, 2, 4, 8))
    network = models.ResidualClassifier(len(train.classes["label"]), widths=widths)
    images = jnp.zeros((2, *train.column("image").shape[1:]))
    whole = classify.Classifier(network, jax.jit(network.init)(jax.random.key(0), images)["params"])
    whole = trained(whole, train, arguments.steps, rate=2e-3)
    fine = functools.partial(trained, train=train, steps=arguments.fine, rate=1e-3)
    most = functools.partial(magnitude_pruning, schedule=schedule_for(arguments.fine, final=0.8))
    half = functools.partial(magnitude_pruning, schedule=schedule_for(arguments.fine, final=0.5), pattern=(2, 4))
    made = {
        "as trained": (whole, {"method": "float"}),
        "trained on": (fine(whole), {"method": "float"}),
        "pruned to 80 %": (fine(whole, prune=most), {"method": "float"}),
        "2 of 4": (fine(whole, prune=half), {"method": "float"}),
        "half the channels in blocks": (fine(classify.narrow(whole)), {"method": "float"}),
        "half of all channels": (fine(classify.narrow(whole, stages=True)), {"method": "float"}),
        "int8": (whole, {"method": "int8"}),
        "16 shared values": (whole, {"method": "codebook", "values": 16}),
    }
    return {name: _filed(model, **how) for name, (model, how) in made.items()}


def _filed(model: classify.Classifier, **how: Any) -> tuple[classify.Classifier, bytes]:
    kept = weights.compress(model.params, **how)
    params = jax.tree.map(jnp.asarray, weights.restored(kept))
    return model._replace(params=params), weights.compressed_bytes(kept, {})


def main() -> None:
    """Train, make smaller, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=32, help="side of the pictures, pixels")
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--fine", type=int, default=250, help="steps after it was made smaller")
    parser.add_argument("--pixels", type=int, default=64, help="side of the pictures that latency is measured with")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    train, test = parts(arguments.data, arguments.size)
    found = variants(train, arguments)
    images: Any = test.column("image")
    labels = test.column("label")
    right = {
        name: np.mean(classify.predict(model, images)[0].argmax(1) == labels) for name, (model, _) in found.items()
    }
    pictures = jax.random.uniform(jax.random.key(3), (_SHOWN, arguments.pixels, arguments.pixels, 3))
    seconds = interleave({name: _asked(model, pictures) for name, (model, _) in found.items()}, repeats=_ROUNDS)
    first = next(iter(found))
    print(describe(), f"{train.count} pictures, {test.count} to test, {time.perf_counter() - begin:.0f} s")
    print("| | accuracy | file, KB | of float32 | latency, ms | of the time |", "|---|---|---|---|---|---|", sep="\n")
    for name, (_, file) in found.items():
        size, time_of = len(file) / len(found[first][1]), ratio(seconds[name], seconds[first])
        middle = 1000 * statistics.median(seconds[name])
        print(
            f"| {name} | {right[name]:.4f} | {len(file) / 1000:.0f} | {size:.3f} | {middle:.0f} | {time_of:.2f} |",
            flush=True,
        )


def _asked(model: classify.Classifier, pictures: jax.Array) -> Any:
    apply = jax.jit(lambda params: model.network.apply({"params": params}, pictures)[0])
    return lambda: jax.block_until_ready(apply(model.params))


if __name__ == "__main__":
    main()
