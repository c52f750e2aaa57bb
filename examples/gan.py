"""A GAN from the pieces: on one device, on all of them, and with pmap.

    python examples/gan.py            # one device
    python examples/gan.py --all      # all devices: the same program on a sharded batch
    python examples/gan.py --pmap     # the loop by hand, a step per device

Draws rings of random size, 16 x 16, for 1500 steps: about 100 seconds on 2 CPU cores. Writes rings.png, on which most of the 64 pictures
should be one clean ring.
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np

import jaxart
from jaxart import models, training
from jaxart.tasks import generate

SEED, STEPS, BATCH, LATENT, SHAPE = 0, 1500, 64, 16, (16, 16, 1)


def batches(first):
    """Yield pictures of rings; batch number n is the same whenever it is asked for."""
    rows, columns = np.mgrid[:16, :16] - 7.5
    for number in itertools.count(first):
        rng = np.random.default_rng([SEED, number])
        radius, x, y = rng.uniform(2.5, 5, (BATCH, 1, 1)), *rng.uniform(-2, 2, (2, BATCH, 1, 1))
        distance = np.abs(np.hypot(columns - x, rows - y) - radius)
        yield {"image": (255 * np.exp(-(distance**2))).astype(np.uint8)[..., None], "label": np.zeros(BATCH, np.int32)}


def recipe(axis_name=None):
    """Return the recipe; per device, the batch's statistics are averaged over `axis_name`."""
    generator = models.DCGANGenerator(size=16, channels=1, width=32, axis_name=axis_name)
    discriminator = models.DCGANDiscriminator(width=32)
    return generator, generate.gan(
        generator, discriminator, shape=SHAPE, latent=LATENT, r1=0.2, r2=0.2, penalty_every=4, axis_name=axis_name
    )


def by_hand(key):
    """Run the step per device through pmap; `fit` is not needed, a recipe is pure functions."""
    _, parts = recipe(training.AXIS)
    step, lazy = (training.by_pmap(each) for each in (parts.step, parts.lazy[0][1]))
    state = jax.jit(parts.init)(key)
    for number, batch in zip(range(STEPS), batches(0), strict=False):
        run = lazy if number % 4 == 3 else step
        state, _ = run(jax.random.fold_in(key, number), state, batch, None)
    return state


def main() -> None:
    """Train and write a sheet."""
    key, (generator, parts) = jax.random.key(SEED), recipe()
    if "--pmap" in sys.argv:
        state = by_hand(key)
    else:
        mesh = training.data_mesh() if "--all" in sys.argv else None
        state, _ = training.fit(parts, batches, key=key, steps=STEPS, mesh=mesh)
    state = jax.tree.map(np.asarray, state)
    draw = generate.generator_of(generator, {**state.generator, "params": state.average})
    z = generate.draw_latents(jax.random.key(1), 64, latent=LATENT)
    images = generate.pictures(draw, z, jnp.zeros(64, jnp.int32))
    print(jaxart.write("rings.png", jaxart.io.grid(images, columns=8)))


if __name__ == "__main__":
    main()
