"""Question: how fast is a restorer, and what memory do large pictures take? Rival: the same network in PyTorch, eager and compiled.

    pip install torch==2.13.0
    python benchmarks/restorer_speed.py [--side 512] [--repeats 7] [--no-native]
    python benchmarks/restorer_speed.py --large

The network is the package's `models.Restorer()` with weights drawn at random: what it takes does not depend on them. A row each for what
takes noise away and what enlarges twice. --no-native leaves out the compiled kernel. With --large, 4000 x 3000 pixels are denoised and
enlarged twice in tiles, each in a process of its own: seconds, and the most memory beyond the process and the pictures.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
import torch
from timing import describe, interleave, ratio, table

from jaxart import models
from jaxart.ops import use_native
from jaxart.tasks import restore

TASKS = {"denoise": (1, 1), "upscale": (2, 0)}  # scale, squares


def network_of(task: str) -> models.Restorer:
    """Return our network of a task."""
    scale, squares = TASKS[task]
    return models.Restorer(restore.outputs_of(task, scale), squares=squares)


class Torch(torch.nn.Module):
    """The same in PyTorch."""

    def __init__(self, network: models.Restorer):
        super().__init__()
        self.squares, self.depth, self.blocks = network.squares, network.depth, network.blocks
        width, layer = network.width, functools.partial(torch.nn.Conv2d, bias=False)
        self.first = layer(4 * 4**self.squares, width, 3, padding=1)
        self.last = layer(width, network.outputs * 4**self.squares, 3, padding=1)
        levels = [width << level for level in range(self.depth)]
        pair = lambda c: torch.nn.ModuleList([layer(c, c, 3, padding=1), layer(c, c, 3, padding=1)])  # noqa: E731
        blocks = lambda c: torch.nn.ModuleList([pair(c) for _ in range(self.blocks)])  # noqa: E731
        self.down = torch.nn.ModuleList([blocks(c) for c in levels])
        self.up = torch.nn.ModuleList([blocks(c) for c in levels[:-1]])
        self.to_coarse = torch.nn.ModuleList([layer(4 * c, 2 * c, 1) for c in levels[:-1]])
        self.to_fine = torch.nn.ModuleList([layer(2 * c, 4 * c, 1) for c in levels[:-1]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Restore ``[B, 4, H, W]``."""
        to_depth, to_space = torch.nn.functional.pixel_unshuffle, torch.nn.functional.pixel_shuffle
        for _ in range(self.squares):
            x = to_depth(x, 2)
        x, made = self.first(x), []
        for level in range(self.depth):
            for one, two in self.down[level]:  # pyright: ignore[reportGeneralTypeIssues]
                x = x + two(torch.relu(one(x)))
            if level < self.depth - 1:
                made.append(x)
                x = self.to_coarse[level](to_depth(x, 2))
        for level in reversed(range(self.depth - 1)):
            x = to_space(self.to_fine[level](x), 2) + made.pop()
            for one, two in self.up[level]:  # pyright: ignore[reportGeneralTypeIssues]
                x = x + two(torch.relu(one(x)))
        x = self.last(x)
        for _ in range(self.squares):
            x = to_space(x, 2)
        return x


def compare(side: int, repeats: int, native: bool) -> None:
    """Print the table."""
    torch.set_num_threads(2)
    rows = []
    for task in TASKS:
        network, given = network_of(task), np.random.default_rng(0).random((1, side, side, 4), np.float32)
        with use_native(native):
            variables = jax.jit(network.init)(jax.random.key(0), given[:, :64, :64])
            apply = jax.jit(network.apply).lower(variables, given).compile()
        eager = Torch(network).eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        theirs = torch.from_numpy(given).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        compiled = torch.compile(eager)
        for name, rival in (("eager", eager), ("compiled", compiled)):
            with torch.inference_mode():
                seconds = interleave(
                    {
                        "ours": lambda: jax.block_until_ready(apply(variables, given)),  # noqa: B023
                        "rival": lambda: rival(theirs),  # noqa: B023
                    },
                    repeats=repeats,
                )
            rows.append(
                {
                    "name": f"{task}, {side} x {side} / PyTorch {name}",
                    "ours": f"{np.median(seconds['ours']) / side**2 * 1e6:.3f}",
                    "rival": f"{np.median(seconds['rival']) / side**2 * 1e6:.3f}",
                    "unit": "s / MP",
                    "ratio": ratio(seconds["rival"], seconds["ours"]),
                }
            )
    table(rows, "ours", "PyTorch", describe())


def large(task: str) -> dict[str, Any]:
    """Restore 4000 x 3000 pixels in tiles; return seconds, and GiB at most beyond the process and what is read and written."""
    network, scale = network_of(task), TASKS[task][0]
    params = jax.jit(network.init)(jax.random.key(0), np.zeros((1, 64, 64, 4), np.float32))["params"]
    model = restore.Restoration(network, params, task, scale, {})
    given = np.random.default_rng(0).random((3000, 4000, 4), np.float32)
    restore.apply_restorer(model, given[:1200, :1200])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    begin = time.perf_counter()
    made = restore.apply_restorer(model, given)
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"task": task, "seconds": seconds, "before": before, "after": after, "result": made.nbytes / 2**30}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-native", action="store_true", help="without the compiled kernel")
    parser.add_argument("--large", action="store_true", help="4000 x 3000 pixels in tiles")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(large(arguments.one)))
    elif arguments.large:
        print("| | seconds | GiB at most | after 1200 x 1200 | the result |\n|---|---|---|---|---|")
        for task in TASKS:
            told = subprocess.run([sys.executable, __file__, "--one", task], capture_output=True, text=True, check=True)
            row = json.loads(told.stdout.splitlines()[-1])
            print(
                f"| {task} | {row['seconds']:.1f} | {row['after']:.2f} | {row['before']:.2f} | {row['result']:.2f} |",
                flush=True,
            )
    else:
        compare(arguments.side, arguments.repeats, not arguments.no_native)


if __name__ == "__main__":
    main()
