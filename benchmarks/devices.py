"""Question: what does splitting a training step over devices cost? Rival: the same step on one device.

DCGAN at 32 pixels, width 32, a global batch of 64, non-saturating loss, on 1, 2, 4 and 8 simulated devices: they share this machine's
cores, so the ratio shows the overhead of splitting, not the gain of more devices. The global view (`jit`), `shard_map` and `pmap`.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from timing import describe, ratio, table

from jaxart import data, losses, models, training
from jaxart.tasks import generate

BATCH, REPEATS, COUNTS = 64, 9, (1, 2, 4, 8)


def recipe(axis_name: str | None = None) -> training.Recipe:
    """Return the recipe."""
    networks = models.DCGANGenerator(size=32, width=32, axis_name=axis_name), models.DCGANDiscriminator(width=32)
    return generate.gan(*networks, shape=(32, 32, 3), loss=losses.NON_SATURATING, axis_name=axis_name)


def call_of(step: Callable, mesh: Any, batch: data.Batch) -> Callable[[], Any]:
    """Return a call that takes one step from where the last ended."""
    key = jax.random.key(0)
    state = jax.jit(recipe().init)(key)
    held = [state if mesh is None else training.replicate(state, mesh)]
    shards = batch if mesh is None else training.shard_batch(batch, mesh)

    def run() -> None:
        with contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
            held[0], _ = jax.block_until_ready(step(key, held[0], shards, None))

    return run


def main() -> None:
    """Print milliseconds a step."""
    training.simulate_devices(max(COUNTS))
    rng = np.random.default_rng(0)
    batch = {"image": rng.integers(0, 255, (BATCH, 32, 32, 3), np.uint8), "label": np.zeros(BATCH, np.int32)}
    runs = {"one device": call_of(jax.jit(recipe().step), None, batch)}
    for count in COUNTS:
        mesh = training.data_mesh(jax.devices()[:count])
        runs[f"global view, {count}"] = call_of(jax.jit(recipe().step), mesh, batch)
        mapped = training.by_shard_map(recipe(training.AXIS).step, mesh)
        runs[f"shard_map, {count}"] = call_of(jax.jit(mapped), mesh, batch)
        by_pmap = training.by_pmap(recipe(training.AXIS).step, devices=jax.devices()[:count])
        runs[f"pmap, {count}"] = call_of(by_pmap, None, batch)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(REPEATS + 1):  # the first round compiles
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name] += [time.perf_counter() - begin] if number else []
    one = seconds.pop("one device")
    rows = []
    for name, each in seconds.items():
        numbers = {"ours": f"{1000 * statistics.median(each):.0f}", "rival": f"{1000 * statistics.median(one):.0f}"}
        rows.append({"name": f"{name} devices", "unit": "ms", "ratio": ratio(one, each), **numbers})
    table(rows, "split", "one device", describe())


if __name__ == "__main__":
    main()
