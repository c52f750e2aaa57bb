"""Question: how fast does the residual classifier train, and classify? Rival: the same network in PyTorch, eager and compiled.

Widths 32, 64, 128, 256, two blocks each, 64 x 64 pixels, batch 64, from the same variables; what both make of them is compared first. A
step is loss, gradient and AdamW, without augmentation and dropout. Pictures a second, interleaved; steps of ours one a call and four.

Options: --eager leaves out torch.compile, --channels-last gives PyTorch's network and pictures that order of memory, --size and --batch,
--repeats N. JAXART_NATIVE=0 in the environment leaves out the compiled kernel.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import classifier_torch
import gan_torch
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from generator_step import measure
from timing import describe, ratio, table

from jaxart import models, ops
from jaxart.training import Limits, Recipe, compile_steps, gradient_update

CLASSES, RATE, DECAY, COUNTS = 10, 1e-3, 0.05, (1, 4)
Run = Callable[[], Any]


class State(NamedTuple):
    """What one step hands to the next."""

    step: jax.Array
    params: Any
    opt_state: Any


class Info(NamedTuple):
    """The mean cross-entropy."""

    loss: jax.Array


def recipe(network: models.ResidualClassifier, shape: tuple[int, ...]) -> Recipe:
    """Return the recipe: cross-entropy, AdamW, kernels alone decay."""
    decays = functools.partial(jax.tree.map, lambda leaf: leaf.ndim > 1)
    optimizer = optax.adamw(RATE, 0.9, 0.999, weight_decay=DECAY, mask=decays)

    def init(key: Any) -> State:
        params = network.init(key, jnp.zeros((1, *shape)))["params"]
        return State(jnp.int32(0), params, optimizer.init(params))

    def step(key: Any, state: State, batch: Any, frozen: Any) -> tuple[State, Info]:
        del key, frozen

        def objective(params):
            logits, _ = network.apply({"params": params}, batch["image"], train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean(), None

        done = gradient_update(objective, optimizer, state.params, state.opt_state)
        return State(state.step + 1, done.params, done.opt_state), Info(done.loss)

    return Recipe(init, step)


def pictures(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures ``[B, size, size, 3]`` in [0, 1] and labels ``[B]``."""
    rng = np.random.default_rng(0)
    return rng.random((batch, size, size, 3), np.float32), rng.integers(0, CLASSES, batch, np.int32)


def ours(options: argparse.Namespace) -> tuple[Any, dict[str, Run]]:
    """Return our params on the host, and calls that take a step, four steps, or classify."""
    network = models.ResidualClassifier(CLASSES, dropout=0.0)
    images, labels = pictures(options.batch, options.size)
    trained, key = recipe(network, images.shape[1:]), jax.random.key(0)
    state: Any = jax.jit(trained.init)(key)
    first, held, done = jax.device_get(state.params), [state], [0]

    def take(program: Any, stack: dict[str, Any], count: int) -> None:
        done[0] += count
        held[0], _, left = program(key, held[0], stack, None, Limits(np.int32(done[0])))
        jax.block_until_ready(left)

    runs: dict[str, Run] = {}
    for count in COUNTS:
        stack = {"image": np.stack([images] * count), "label": np.stack([labels] * count)}
        begin = time.perf_counter()
        program = compile_steps(trained, key=key, state=state, batches=stack)
        print(f"  ours, {count} a call, compiles in {time.perf_counter() - begin:.1f} s", file=sys.stderr)
        runs[f"step, {count} a call"] = functools.partial(take, program, stack, count)
    classify = jax.jit(lambda params, x: network.apply({"params": params}, x), compiler_options=ops.compiler_options())
    params = jax.device_put(first)
    runs["inference"] = lambda: jax.block_until_ready(classify(params, images))
    return first, runs


def rival(options: argparse.Namespace, params: Any, *, compiled: bool) -> dict[str, Run]:
    """Return calls that take a step, or classify, in PyTorch."""
    torch.compiler.reset()
    order = torch.channels_last if options.channels_last else torch.contiguous_format
    networks: list[Any] = [classifier_torch.ResidualClassifier(CLASSES) for _ in range(2)]
    for each in networks:
        gan_torch.load(each, {"params": params})
        each.to(memory_format=order)
    trained, used = networks
    images, labels = pictures(options.batch, options.size)
    batch = classifier_torch.channels_first(images).contiguous(memory_format=order)
    answers = torch.from_numpy(labels).long()
    trainer = classifier_torch.Trainer(trained, compiled=compiled, learning_rate=RATE, decay=DECAY)
    used.eval().requires_grad_(False)
    classify = torch.compile(used) if compiled else used

    def infer() -> Any:
        with torch.inference_mode():
            return classify(batch)

    begin = time.perf_counter()
    trainer(batch, answers)
    infer()
    name = "torch.compile" if compiled else "PyTorch"
    print(f"  {name}'s first calls take {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return {"step": lambda: trainer(batch, answers), "inference": infer}


def rows_of(name: str, mine: dict[str, list[float]], theirs: dict[str, list[float]], batch: int) -> list[dict]:
    """Return the rows of a step or of inference, each of ours against each of theirs."""
    rows = []
    for side, seconds in mine.items():
        for other, rivals in theirs.items():
            rates = [f"{batch / statistics.median(each):.1f}" for each in (seconds, rivals)]
            row = {"name": f"{name}{side} / {other}", "unit": "pictures/s", "ours": rates[0], "rival": rates[1]}
            rows.append({**row, "ratio": ratio(rivals, seconds)})
    return rows


def compared(options: argparse.Namespace) -> list[dict]:
    """Measure; return the rows."""
    params, mine = ours(options)
    sides = {"PyTorch": False} if options.eager else {"PyTorch": False, "torch.compile": True}
    theirs = {side: rival(options, params, compiled=compiled) for side, compiled in sides.items()}
    steps = {name: run for name, run in mine.items() if name != "inference"}
    seconds = measure({**{side: runs["step"] for side, runs in theirs.items()}, **steps}, options.repeats)
    taken = {f", {count} a call": [s / count for s in seconds[f"step, {count} a call"]] for count in COUNTS}
    rows = rows_of("step", taken, {side: seconds[side] for side in theirs}, options.batch)
    uses = {**{side: runs["inference"] for side, runs in theirs.items()}, "ours": mine["inference"]}
    seconds = measure(uses, 3 * options.repeats)
    return rows + rows_of("inference", {"": seconds["ours"]}, {side: seconds[side] for side in theirs}, options.batch)


def main() -> None:
    """Print how far both sides differ, pictures a second of each, and compile times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_known_args()[0]
    logits, gradients = classifier_torch.differences((options.size, options.size))
    print(f"  logits differ by {logits:.1e}, gradients by {gradients:.1e} of the largest", file=sys.stderr)
    table(compared(options), "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
