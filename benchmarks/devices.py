"""Question: what does splitting a training step over devices cost? Rival: the same step on one device.

DCGAN, a global batch of 64, non-saturating loss, on 1, 2, 4 and 8 simulated devices: they share this machine's cores, so the ratio shows
the overhead of splitting, not the gain of more devices. The global view (`jit`), `shard_map` and `pmap`. `--size 32` (the default) or
`--size 64`: pixels a side, and the networks' width. At the end, how far what one step of SGD changes on 1, 2 and 8 devices is from that
of pure JAX on one. JAXART_NATIVE=0 leaves out the kernel.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from timing import describe, ratio, table

from jaxart import data, losses, models, ops, training
from jaxart.tasks import generate

BATCH, REPEATS, COUNTS = 64, 9, (1, 2, 4, 8)
PAUSE = 0.05  # seconds before each step: threads of the one before spin on for a while
SIZES = (32, 64)  # pixels a side, and the width of the networks


def recipe(size: int, axis_name: str | None = None, **optimizers: Any) -> training.Recipe:
    """Return the recipe, with its own optimizers unless others are given."""
    generator = models.DCGANGenerator(size=size, width=size, axis_name=axis_name)
    networks = generator, models.DCGANDiscriminator(width=size)
    return generate.gan(*networks, shape=(size, size, 3), loss=losses.NON_SATURATING, axis_name=axis_name, **optimizers)


def changes(count: int, batch: data.Batch) -> list[np.ndarray]:
    """Return what a step of SGD, whose changes are the gradients, makes of every array of parameters on some devices."""
    sgd = optax.sgd(1.0)
    plain = recipe(batch["image"].shape[1], generator_optimizer=sgd, discriminator_optimizer=sgd)
    key, mesh = jax.random.key(0), training.data_mesh(jax.devices()[:count])
    state = jax.jit(plain.init)(key)
    with jax.set_mesh(mesh):
        made, _ = jax.jit(plain.step)(key, training.replicate(state, mesh), training.shard_batch(batch, mesh), None)
    parts = zip(*(map(np.asarray, jax.tree.leaves(each)) for each in (state, made)), strict=True)
    return [after - before for before, after in parts if before.dtype == np.float32]


def call_of(step: Callable, mesh: Any, batch: data.Batch) -> Callable[[], Any]:
    """Return a call that takes one step from where the last ended."""
    key = jax.random.key(0)
    state = jax.jit(recipe(batch["image"].shape[1]).init)(key)
    held = [state if mesh is None else training.replicate(state, mesh)]
    shards = batch if mesh is None else training.shard_batch(batch, mesh)

    def run() -> None:
        with contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
            held[0], _ = jax.block_until_ready(step(key, held[0], shards, None))

    return run


def main() -> None:
    """Print milliseconds a step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, choices=SIZES, default=SIZES[0])
    size = parser.parse_known_args()[0].size
    training.simulate_devices(max(COUNTS))
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 255, (BATCH, size, size, 3), np.uint8), "label": np.zeros(BATCH, np.int32)}
    runs = {"one device": call_of(jax.jit(recipe(size).step), None, batch)}
    for count in COUNTS:
        mesh = training.data_mesh(jax.devices()[:count])
        runs[f"global view, {count}"] = call_of(jax.jit(recipe(size).step), mesh, batch)
        mapped = training.by_shard_map(recipe(size, training.AXIS).step, mesh)
        runs[f"shard_map, {count}"] = call_of(jax.jit(mapped), mesh, batch)
        by_pmap = training.by_pmap(recipe(size, training.AXIS).step, devices=jax.devices()[:count])
        runs[f"pmap, {count}"] = call_of(by_pmap, None, batch)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(REPEATS + 1):  # the first round compiles
        for name, run in runs.items():
            time.sleep(PAUSE)
            begin = time.perf_counter()
            run()
            seconds[name] += [time.perf_counter() - begin] if number else []
    one = seconds.pop("one device")
    rows = []
    for name, each in seconds.items():
        numbers = {"ours": f"{1000 * statistics.median(each):.0f}", "rival": f"{1000 * statistics.median(one):.0f}"}
        rows.append({"name": f"{name} devices", "unit": "ms", "ratio": ratio(one, each), **numbers})
    table(rows, "split", "one device", describe())
    with ops.use_native(False):
        expected = changes(1, batch)
    for count in (1, 2, 8):
        scale = max(np.abs(each).max() for each in expected)
        apart = max(np.abs(a - b).max() for a, b in zip(changes(count, batch), expected, strict=True)) / scale
        print(
            f"{count} devices, {ops.convolution_path()}: {apart:.1e} of the largest change from pure JAX on one device"
        )


if __name__ == "__main__":
    main()
