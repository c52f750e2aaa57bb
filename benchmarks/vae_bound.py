"""Question: how good a density is the VAE? Rival: the linear one of equal latent size, probabilistic PCA, exact.

    python benchmarks/vae_bound.py DATA        # Fashion-MNIST's IDX files, or any data that comes in train and test

Nats per test picture, of pixels in [0, 1] spread evenly over their 1/256. The VAE's number is a lower bound of its log density (one draw
of z a picture), PCA's is the log density itself.
"""

import functools
import math
import sys
import time

import jax
import numpy as np
import optax
from timing import describe, table

from jaxart import data, models
from jaxart.tasks import generate
from jaxart.training import fit

SIZE, LATENT, STEPS, BATCH = 32, 32, 4000, 64


def main() -> None:
    """Train on the one part, print both numbers on the other."""
    paths = [word for word in sys.argv[1:] if not word.startswith("--")]
    if not paths:
        sys.exit("vae_bound: expected a folder of data that comes in train and test.")
    train, test = (data.load(paths[0], size=SIZE, channels=1, split=split) for split in ("train", "test"))
    encoder, decoder = models.VAEEncoder(latent=LATENT), models.VAEDecoder(size=SIZE, channels=1)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, STEPS, alpha=0.1))
    recipe = generate.vae(encoder, decoder, shape=(SIZE, SIZE, 1), latent=LATENT, optimizer=optimizer)
    keys = jax.random.split(jax.random.key(0), 3)
    begin = time.perf_counter()
    batches = functools.partial(stream, keys[0], train)
    state, _ = fit(recipe, batches, key=keys[1], steps=STEPS, batches_per_call=4, every=100)
    seconds = time.perf_counter() - begin
    program = jax.jit(functools.partial(generate.evidence, encoder, decoder, state.average))
    bounds = []
    images, labels = test.column("image"), test.column("label")
    for first in range(0, test.count // 500 * 500, 500):
        part = slice(first, first + 500)
        terms = program(jax.random.split(jax.random.fold_in(keys[2], first), 500), images[part], labels[part])
        bounds.append(np.asarray(terms[0] - terms[1], np.float64))
    spread = np.random.default_rng(0)
    flat = [
        ((each + spread.random(each.shape, np.float32)) / 256).reshape(len(each), -1)
        for each in (train.column("image"), images)
    ]
    linear = generate.pca_log_likelihood(*flat, latent=LATENT).mean()
    bound = np.concatenate(bounds).mean()
    label = f"{LATENT} latent dimensions, {STEPS} steps of {BATCH}, {seconds:.0f} s"
    row = {"name": label, "ours": f"{bound:.0f}", "rival": f"{linear:.0f}", "unit": "nats", "ratio": math.nan}
    table([row], "VAE's bound", "PCA-Gaussian", describe())


def stream(key: jax.Array, train: data.Dataset, first: int):
    """Return the batches from `first` on."""
    return data.batches(key, train, BATCH, first=first)


if __name__ == "__main__":
    main()
