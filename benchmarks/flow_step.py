"""Question: how fast is a training step of a flow? Rival: the same U-Net in PyTorch, eager and compiled.

`models.VelocityNet` of width 32 at 64 pixels, batch 32, from the same initial parameters; Adam and the average included. Pictures a
second, interleaved; ours one step a call and four. Option: --eager leaves out torch.compile.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import flow_torch
import gan_torch
import jax
import numpy as np
import torch
from gan_step import measure
from timing import describe, ratio, table

from jaxart import models
from jaxart.tasks import generate
from jaxart.training import Limits, compile_steps

BATCH, SIZE = 32, 64
NETWORK = models.VelocityNet(width=32, factors=(1, 2, 4, 6))


class Ours:
    """Our recipe, with programs that take one step and four."""

    def __init__(self) -> None:
        self.recipe, self.key, self.done = generate.flow(NETWORK, shape=(SIZE, SIZE, 3)), jax.random.key(0), 0
        self.state: Any = jax.jit(self.recipe.init)(self.key)

    def steps(self, count: int) -> Callable[[], None]:
        """Return a call that takes `count` steps."""
        image = np.random.default_rng(0).integers(0, 255, (count, BATCH, SIZE, SIZE, 3), np.uint8)
        stack = {"image": image, "label": np.zeros((count, BATCH), np.int32)}
        begin = time.perf_counter()
        program = compile_steps(self.recipe, key=self.key, state=self.state, batches=stack)
        print(f"ours, {count} a call, compiles in {time.perf_counter() - begin:.1f} s", file=sys.stderr)

        def run() -> None:
            self.done += count
            self.state, _, left = program(self.key, self.state, stack, None, Limits(np.int32(self.done)))
            jax.block_until_ready(left)

        return run


def rival(ours: Ours, *, compiled: bool) -> Callable[[], Any]:
    """Return a call that takes one step in PyTorch from our parameters."""
    network = flow_torch.VelocityNet()
    gan_torch.load(network, {"params": ours.state.params})
    trainer = flow_torch.Trainer(network, compiled=compiled)
    images = np.random.default_rng(0).uniform(-1, 1, (BATCH, 3, SIZE, SIZE)).astype(np.float32)
    begin = time.perf_counter()
    trainer(torch.from_numpy(images))
    print(f"PyTorch's first step takes {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return lambda: trainer(torch.from_numpy(images))


def main() -> None:
    """Print pictures a second of both sides."""
    ours = Ours()
    runs: dict[str, Callable[[], Any]] = {"PyTorch": rival(ours, compiled=False)}
    if "--eager" not in sys.argv:
        runs["torch.compile"] = rival(ours, compiled=True)
    rivals = tuple(runs)
    runs["ours"], runs["ours, 4 a call"] = ours.steps(1), ours.steps(4)
    seconds = measure(runs)
    seconds["ours, 4 a call"] = [each / 4 for each in seconds["ours, 4 a call"]]
    rate = {side: BATCH / statistics.median(each) for side, each in seconds.items()}
    rows = [
        {
            "name": f"flow 64 px: {side} / {other}",
            "unit": "pictures/s",
            "ours": f"{rate[side]:.1f}",
            "rival": f"{rate[other]:.1f}",
            "ratio": ratio(seconds[other], seconds[side]),
        }
        for side in ("ours", "ours, 4 a call")
        for other in rivals
    ]
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
