"""Question: what do memory and time of one gradient step cost per memory mode and size? Rival: the same step in PyTorch,
whole and checkpointed.

Each measurement is a process of its own that takes two steps at one size (at 8K one); the last is timed, and the peak is the
kernel's figure for the whole process. `--sizes` and `--memory-modes` choose: `--sizes 7680 --memory-modes 3` takes 8K in tiles of 512.
Every run goes to 4K and takes half an hour or more by default; what would not fit in the free memory is left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stylize_step import Rival
from timing import describe

from jaxart import memory

SIZES = ((256, 256), (512, 512), (1024, 1024), (2048, 2048), (2160, 3840), (4320, 7680))  # height, width
PYTORCH_BYTES, PYTORCH_CHECKPOINTED_BYTES = 2350, 1450  # a pixel, about


def picture(size: tuple[int, int]) -> np.ndarray:
    """Return a picture with structure at all scales, ``[H, W, 3]``."""
    from jaxart import io, samples
    from jaxart.image import resize

    return np.clip(np.asarray(resize(io.read(samples.path("coffee")), size)), 0, 1)


def measure_ours(size: tuple[int, int], memory_mode: int) -> dict[str, float]:
    """Take two steps on a memory_mode, at 8K one; return seconds, peak and what `plan` predicts."""
    import jax

    from jaxart import io, samples, weights
    from jaxart.tasks import stylize as task
    from jaxart.training import Limits, compile_steps, one_blas_thread

    job = task.prepare(
        picture(size),
        io.read(samples.path("church_at_auvers")),
        variables=weights.load("vgg16"),
        size=max(size),
        min_size=max(size),
        memory_mode=task.MEMORY_MODES[memory_mode],
    )
    key = jax.random.key(0)
    predicted = task.needed_memory(job, key=key)
    recipe = task.scale_recipe(job, 0)
    state, seconds = recipe.init(key), 0.0
    program = compile_steps(recipe, key=key, state=state)
    for step in (1,) if max(size) > 4096 else (1, 2):
        begin = time.perf_counter()
        with one_blas_thread():
            state, info, _ = jax.block_until_ready(program(key, state, None, recipe.frozen, Limits(np.int32(step))))
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak": memory.peak(), "predicted": predicted, "loss": float(info.loss)}


class Checkpointed(Rival):
    """The rival that computes each block of the network anew for the derivative."""

    def extract(self, image: Any, layers: tuple[str, ...]) -> dict[str, Any]:
        from torch.utils.checkpoint import checkpoint
        from vgg_features import BLOCKS

        x = (image - self.weights["mean"].view(1, 3, 1, 1)) / self.weights["std"].view(1, 3, 1, 1)
        found: dict[str, Any] = {}
        for block, count in enumerate(BLOCKS, start=1):
            names = [f"relu{block}_{index + 1}" for index in range(count)]
            wanted = [name for name in names if name in layers]
            last = len(found) + len(wanted) == len(layers)
            steps = names.index(wanted[-1]) + 1 if last else count
            x, *parts = checkpoint(self.block, x, block, steps, tuple(wanted), not last, use_reentrant=False)  # pyright: ignore
            found |= dict(zip(wanted, parts, strict=True))
            if last:
                break
        return found

    def block(self, x: Any, block: int, steps: int, wanted: tuple[str, ...], pooled: bool) -> tuple[Any, ...]:
        """Return what goes on to the next block, and the layers wanted of this one."""
        import torch
        from vgg_features import repeat_border

        functional, parts = torch.nn.functional, []
        for index in range(1, steps + 1):
            first = (block, index) == (1, 1)
            kernel, bias = (self.weights[f"conv{block}_{index}.{name}"] for name in ("kernel", "bias"))
            x = functional.conv2d(repeat_border(x) if first else x, kernel, bias, padding=0 if first else 1)
            x = functional.relu(x)
            parts += [x] if f"relu{block}_{index}" in wanted else []
        return (functional.max_pool2d(x, 2) if pooled else x, *parts)


def measure_rival(arrays: Path, checkpointed: bool) -> dict[str, float]:
    """Take two steps in PyTorch; return seconds and peak."""
    rival = (Checkpointed if checkpointed else Rival)(dict(np.load(arrays)))
    seconds = loss = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        loss = rival.advance(1)
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak": memory.peak(), "loss": loss}


def in_process(*arguments: object) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"large_pictures: {' '.join(map(str, arguments))} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rival_arrays(size: tuple[int, int], path: Path) -> None:
    """Write what the rival needs at this size, as ours prepares it; meant for a process of its own."""
    import stylize_step

    from jaxart import io, samples, weights
    from jaxart.image import fit_within, resize
    from jaxart.tasks import stylize as task

    ours = stylize_step.Ours.__new__(stylize_step.Ours)
    ours.job = task.prepare(
        picture(size), io.read(samples.path("church_at_auvers")), variables=weights.load("vgg16"), size=max(size),
        min_size=max(size),
    )  # fmt: skip
    import jax

    ours.recipe, ours.key = task.scale_recipe(ours.job, 0), jax.random.key(0)
    arrays, painting = ours.arrays(), ours.job.styles[0]  # ours never enlarges a painting
    side = min(max(size), max(painting.shape[:2]))
    arrays["style"] = np.clip(np.asarray(resize(painting, fit_within(painting.shape[:2], side))), 0, 1)
    np.savez(path, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType]


def rows_of(size: tuple[int, int], memory_modes: list[int], folder: Path, *, rivals: bool) -> Iterator[str]:
    """Measure one size; yield lines of the table."""
    from jaxart.tasks import stylize as task

    measurements = [(task.MEMORY_MODES[memory_mode].name, ("ours", *size, memory_mode)) for memory_mode in memory_modes]
    path = folder / f"{size[1]}.npz"
    for name, each, checkpointed in (
        ("PyTorch", PYTORCH_BYTES, 0),
        ("PyTorch, checkpointed", PYTORCH_CHECKPOINTED_BYTES, 1),
    ):
        if rivals and size[0] * size[1] * each < 0.8 * (memory.available() or 0):
            measurements += [(name, ("rival", path, checkpointed))]
    for name, arguments in measurements:
        if arguments[0] == "rival" and not path.exists():
            in_process("arrays", *size, path)
        each = in_process(*arguments)
        seconds = f"{each['seconds']:.2f} | {each['seconds'] / (size[0] * size[1] / 1e6):.2f}"
        off = f"{each['peak'] / each['predicted']:.2f}" if "predicted" in each else "-"
        yield f"| {size[1]} x {size[0]} | {name} | {seconds} | {each['peak'] / 2**20:.0f} | {off} |"


def main() -> None:
    """Print a table of seconds and peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 2048, 3840], help="long sides")
    parser.add_argument(
        "--memory-modes", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="numbers of the memory modes, from 0"
    )
    parser.add_argument("--alone", action="store_true", help="without PyTorch")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        kind, *rest = options.measure
        if kind == "ours":
            print(json.dumps(measure_ours((int(rest[0]), int(rest[1])), int(rest[2]))))
        elif kind == "arrays":
            rival_arrays((int(rest[0]), int(rest[1])), Path(rest[2]))
            print("{}")
        else:
            print(json.dumps(measure_rival(Path(rest[0]), bool(int(rest[1])))))
        return
    facts = describe()
    print(f"{facts['device']}, {facts['threads']} threads, {facts['versions']}\n")
    print("| size | memory mode | s/step | s/megapixel | peak MiB | peak / predicted |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in (each for each in SIZES if max(each) in options.sizes):
            side = max(size)
            useful = (side <= 2048, side <= 2048, side > 1024, side > 512, side > 256)
            memory_modes = [memory_mode for memory_mode in options.memory_modes if useful[memory_mode]]
            for line in rows_of(size, memory_modes, Path(folder), rivals=not options.alone):
                print(line, flush=True)


if __name__ == "__main__":
    main()
