"""Question: does a GAN find all modes of a mixture of Gaussians? Rival: the plain non-saturating loss, on the same seeds.

Ring of 8 (radius 2, deviation 0.02) and 5 x 5 grid (spacing 2, deviation 0.05); 2500 samples; high quality means within three deviations of
a mode, which is covered by one such sample. Protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018). The same plain
networks and rates for both; nothing is tuned to the mixtures. Options: a number of seeds, --default for the default loss alone.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import optax
from timing import describe, table

from jaxart import losses, metrics, models
from jaxart.tasks import generate
from jaxart.training import fit

ANGLES = np.arange(8) * np.pi / 4
RING = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
GRID = np.array(list(itertools.product(range(-4, 5, 2), repeat=2)), float)
MIXTURES = {"ring of 8": (RING, 0.02), "grid of 25": (GRID, 0.05)}
LOSSES = {"relativistic, R1 + R2": (losses.RELATIVISTIC, 0.1), "non-saturating": (losses.NON_SATURATING, 0.0)}
STEPS, BATCH, LATENT, SAMPLES, RATE = 16_000, 256, 2, 2500, 2e-3


def points(centers: np.ndarray, deviation: float, seed: int, first: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of points ``[B, 2]`` from number `first` on."""
    for number in itertools.count(first):
        rng = np.random.default_rng([seed, number])
        chosen = centers[rng.integers(len(centers), size=BATCH)]
        drawn = chosen + deviation * rng.standard_normal((BATCH, 2))
        yield {"image": drawn.astype(np.float32), "label": np.zeros(BATCH, np.int32)}


def play(centers: np.ndarray, deviation: float, loss: losses.AdversarialLoss, gamma: float, seed: int) -> Any:
    """Train on one mixture; return its coverage and the seconds it took."""
    adam = optax.adam(optax.cosine_decay_schedule(RATE, STEPS, alpha=0.05), b1=0.0, b2=0.99)
    network = models.MLPGenerator()
    recipe = generate.gan(
        network,
        models.MLPDiscriminator(),
        shape=(2,),
        latent=LATENT,
        loss=loss,
        r1=gamma,
        r2=gamma,
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        half_life=50_000,
    )
    begin = time.perf_counter()
    stream = lambda first: points(centers, deviation, seed, first)  # noqa: E731
    state, _ = fit(recipe, stream, key=jax.random.key(seed), steps=STEPS, batches_per_call=100, every=1000)
    seconds = time.perf_counter() - begin
    z = generate.draw_latents(jax.random.key(1000 + seed), SAMPLES, latent=LATENT)
    made = network.apply({"params": state.average}, z, np.zeros(SAMPLES, np.int32), train=False)
    return metrics.mode_coverage(np.asarray(made), centers, deviation), seconds


def main() -> None:
    """Print modes and the share of high-quality samples, seed by seed."""
    seeds = next((int(word) for word in sys.argv[1:] if word.isdigit()), 5)
    chosen = dict(list(LOSSES.items())[:1]) if "--default" in sys.argv else LOSSES
    rows = []
    for name, (centers, deviation) in MIXTURES.items():
        for loss, (adversarial, gamma) in chosen.items():
            for seed in range(seeds):
                found, seconds = play(centers, deviation, adversarial, gamma, seed)
                print(name, loss, seed, found, f"{seconds:.0f} s", file=sys.stderr, flush=True)
                quality = f"{100 * found.high_quality:.1f} % high quality, {seconds:.0f} s"
                label = f"{name}, {loss}, seed {seed}: {quality}"
                rows.append(
                    {
                        "name": label,
                        "ours": found.modes,
                        "rival": len(centers),
                        "unit": "modes",
                        "ratio": found.modes / len(centers),
                    }
                )
    table(rows, "found", "there", describe())


if __name__ == "__main__":
    main()
