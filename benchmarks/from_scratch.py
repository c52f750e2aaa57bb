"""Question: does our residual network learn pictures as well as the same network in PyTorch, in equal steps?

    jaxart train classifier FOLDER -o RUN --size 64 --width 16 --batch 32 --steps 600
    python benchmarks/from_scratch.py RUN...

Each RUN is one of `jaxart train classifier` with the model residual and one class each. PyTorch's network (classifier_torch.py) begins with
the same variables and sees the same batches, changed at random in the same ways, at the same learning rate of AdamW with the same decay
and dropout. What it goes without is ours alone: the average of the weights, clipped gradients, and logits shifted by the classes' sizes.
Measured are the pictures that the run kept back; both sides answer by the mean over a picture and its mirror image.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import classifier_torch
import gan_torch
import jax
import numpy as np
import optax
import torch
from timing import describe
from understanding import row, scores

from jaxart import data, runs
from jaxart.image import unit
from jaxart.runs import classifier as kind
from jaxart.runs import labels
from jaxart.runs.run import keys_of


def by_torch(run: runs.Run, images: np.ndarray) -> np.ndarray:
    """Train PyTorch's network as the run was trained; return its logits for pictures."""
    options: Any = run.options
    order, key = keys_of(run)
    recipe = kind.recipe(options, run.facts)
    params: Any = jax.jit(recipe.init)(key).params
    widths = tuple(options.width * times for times in (1, 2, 4, 8))
    network: Any = classifier_torch.ResidualClassifier(len(run.facts["classes"]), widths, dropout=0.2)
    gan_torch.load(network, {"params": jax.device_get(params)})
    trainer = classifier_torch.Trainer(network, learning_rate=options.learning_rate, decay=0.05)
    warm = max(1, options.steps // 20)
    rate: Any = optax.warmup_cosine_decay_schedule(
        0.0, options.learning_rate, warm, options.steps, options.learning_rate / 100
    )
    change = jax.jit(_changed(options))
    for step, batch in zip(range(options.steps), kind.batches(order, options, run.data, 0, (0, 1)), strict=False):
        for group in trainer.optimizer.param_groups:
            group["lr"] = float(rate(step))
        changed = np.asarray(change(jax.random.fold_in(key, step), batch["image"]))
        trainer(classifier_torch.channels_first(changed), torch.from_numpy(batch["label"].astype(np.int64)))
    network.eval()
    with torch.inference_mode():
        both = [network(classifier_torch.channels_first(np.array(each))) for each in (images, images[:, :, ::-1])]
    return ((both[0] + both[1]) / 2).numpy()


def _changed(options: Any) -> Any:
    chosen = tuple(data.AUGMENTATIONS[name] for name in options.augment)
    return lambda key, images: data.augment(jax.random.split(key, len(images)), unit(images), chosen)


def main() -> None:
    """Train PyTorch's network beside each run, print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, ...]]] = {"jaxart": [], "PyTorch": []}
    for folder in arguments.runs:
        run = runs.with_data(runs.open_run(folder))
        dataset = run.data["data"]
        _, kept = labels.parts(run.options, dataset)
        images, label = dataset.column("image")[kept], dataset.column("target")[kept]
        ours = kind.outputs_of(runs.Trained(run.options, run.facts, runs.newest_state(run)), images)
        begin = time.perf_counter()
        rival = by_torch(run, np.asarray(images, np.float32) / 255)
        print(f"  {folder}: {run.options.steps} steps, PyTorch in {time.perf_counter() - begin:.0f} s", flush=True)
        for name, outputs in (("jaxart", ours), ("PyTorch", rival)):
            found[name].append(scores(label, outputs.argmax(1), np.asarray(run.facts["counts"])))
    print(describe())
    print("| | macro F1 | accuracy | recall of the rarest third |", "|---|---|---|---|", sep="\n")
    print("\n".join(row(name, each) for name, each in found.items()))


if __name__ == "__main__":
    main()
