"""Question: how fast is a training step of a generator? Rival: the same networks in PyTorch, eager and compiled.

From the same initial variables, with Adam and averages, batch 32 unless said: DCGAN at 64 pixels and the style-based pair of width 32 at 64
pixels with the non-saturating loss, the latter also with R1 in every step; the residual pair at 32 pixels with the hinge loss; the flow's
U-Net of width 32 at 64 pixels; CycleGAN's four networks of width 32 with 6 blocks at 128 pixels, batch 1 of each set. Pictures a second,
interleaved; ours one step a call and four.

Options: --eager leaves out torch.compile, --only NAME... the cases whose names do not begin so, --channels-last gives PyTorch's networks
and pictures that order of memory, --repeats N. JAXART_NATIVE=0 in the environment leaves out the compiled kernel.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cyclegan_torch
import flow_torch
import gan_torch
import jax
import numpy as np
import stylegan_torch
import torch
from timing import describe, ratio, table

from jaxart import losses, models
from jaxart.tasks import generate, translate
from jaxart.training import Limits, Recipe, compile_steps

BATCH, LATENT, R1, PAUSE = 32, 128, 1.0, 0.02
Run = Callable[[], Any]


class Case(NamedTuple):
    """What is compared.

    Fields:
        recipe: ours.
        columns: of a batch, each with the shape of its pictures.
        rival: ``(state of ours, compiled) -> (trainer, its networks, what draws its arguments from nothing)``.
    """

    recipe: Recipe
    columns: dict[str, tuple[int, ...]]
    rival: Callable[..., tuple[Callable[..., Any], list[Any], Callable[[], tuple]]]


def ours(case: Case, counts: tuple[int, ...]) -> tuple[Any, dict[int, Run]]:
    """Return our initial state on the host, and calls that take so many steps each."""
    recipe, key = case.recipe, jax.random.key(0)
    step = recipe.lazy[0][1] if recipe.lazy else recipe.step  # penalties act in every step
    state: Any = jax.jit(recipe.init)(key)
    first, held, done = jax.device_get(state), [state], [0]

    def take(program: Any, stack: dict[str, np.ndarray], count: int) -> None:
        done[0] += count
        held[0], _, left = program(key, held[0], stack, None, Limits(np.int32(done[0])))
        jax.block_until_ready(left)

    runs = {}
    for count in counts:
        stack = _stack(case, count)
        begin = time.perf_counter()
        program = compile_steps(recipe, key=key, state=state, batches=stack, step=step)
        print(f"  ours, {count} a call, compiles in {time.perf_counter() - begin:.1f} s", file=sys.stderr)
        runs[count] = functools.partial(take, program, stack, count)
    return first, runs


def _stack(case: Case, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    stack = {name: rng.integers(0, 255, (count, *shape), np.uint8) for name, shape in case.columns.items()}
    return {**stack, "label": np.zeros((count, BATCH), np.int32)} if "image" in stack else stack


def rival(case: Case, state: Any, *, compiled: bool, channels_last: bool) -> Run | None:
    """Return a call that takes one step in PyTorch from our variables, or None where PyTorch refuses, which is printed."""
    torch.compiler.reset()
    trainer, networks, draw = case.rival(state, compiled)
    order = torch.channels_last if channels_last else torch.contiguous_format
    for network in networks:
        network.to(memory_format=order)

    def run() -> Any:
        return trainer(*draw())

    begin, name = time.perf_counter(), "torch.compile" if compiled else "PyTorch"
    try:
        run()
    except Exception as error:  # what it says is a finding
        print(f"  {name} refuses: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
        return None
    print(f"  {name}'s first step takes {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return run


def _gan(networks: tuple[Any, Any], size: int, loss: losses.AdversarialLoss, theirs: Any, r1: float = 0.0) -> Case:
    """Return the case of a pair; `theirs` are PyTorch's classes and loss."""

    def start(state: Any, compiled: bool) -> Any:
        make_generator, make_discriminator, their_loss = theirs
        pair = make_generator(), make_discriminator()
        for network, variables in zip(pair, (state.generator, state.discriminator), strict=True):
            gan_torch.load(network, variables)
        trainer = gan_torch.Trainer(*pair, loss=their_loss, compiled=compiled, r1=r1)
        real = _pictures((BATCH, size, size, 3))
        return trainer, list(pair), lambda: (real, (torch.randn(BATCH, LATENT), torch.randn(BATCH, LATENT)))

    recipe = generate.gan(*networks, shape=(size, size, 3), latent=LATENT, loss=loss, r1=r1)
    return Case(recipe, {"image": (BATCH, size, size, 3)}, start)


def _style_based(r1: float) -> Case:
    networks = models.StyleGANGenerator(size=64, width=32), models.StyleGANDiscriminator(width=32)
    theirs = stylegan_torch.StyleGANGenerator, stylegan_torch.StyleGANDiscriminator, gan_torch.NON_SATURATING
    return _gan(networks, 64, losses.NON_SATURATING, theirs, r1)


def _flow() -> Case:
    def start(state: Any, compiled: bool) -> Any:
        network = flow_torch.VelocityNet()
        gan_torch.load(network, {"params": state.params})
        images = _pictures((BATCH, 64, 64, 3))
        return flow_torch.Trainer(network, compiled=compiled), [network], lambda: (images,)

    recipe = generate.flow(models.VelocityNet(width=32, factors=(1, 2, 4, 6)), shape=(64, 64, 3))
    return Case(recipe, {"image": (BATCH, 64, 64, 3)}, start)


def _cycle() -> Case:
    def start(state: Any, compiled: bool) -> Any:
        trainer = cyclegan_torch.trainer_of(state, compiled=compiled)
        pictures = _pictures((1, 128, 128, 3)), _pictures((1, 128, 128, 3))
        return trainer, [trainer.translators, trainer.discriminators], lambda: pictures

    networks = models.Translator(width=32, blocks=6), models.PatchDiscriminator(width=32)
    shape = (128, 128, 3)
    return Case(translate.cyclegan(*networks, shape=shape), {"a": (1, *shape), "b": (1, *shape)}, start)


def _pictures(shape: tuple[int, ...]) -> Any:
    """Return pictures ``[B, C, H, W]`` in [-1, 1]."""
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


CASES: dict[str, Callable[[], Case]] = {
    "DCGAN 64 px": lambda: _gan(
        (models.DCGANGenerator(size=64), models.DCGANDiscriminator()),
        64,
        losses.NON_SATURATING,
        (gan_torch.DCGANGenerator, gan_torch.DCGANDiscriminator, gan_torch.NON_SATURATING),
    ),
    "SNGAN 32 px": lambda: _gan(
        (models.SNGANGenerator(size=32), models.SNGANDiscriminator()),
        32,
        losses.HINGE,
        (gan_torch.SNGANGenerator, gan_torch.SNGANDiscriminator, gan_torch.HINGE),
    ),
    "StyleGAN 64 px": lambda: _style_based(0.0),
    "StyleGAN 64 px, R1": lambda: _style_based(R1),
    "flow 64 px": _flow,
    "CycleGAN 128 px": _cycle,
}


def measure(runs: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """Time the functions in turn, with a pause before each: PyTorch's threads spin on for a while after their work."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(PAUSE)
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def rows_of(name: str, case: Case, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one case; return its rows."""
    print(name, file=sys.stderr)
    state, mine = ours(case, (1, 4))
    theirs = {
        side: rival(case, state, compiled=compiled, channels_last=options.channels_last)
        for side, compiled in (("PyTorch", False), ("torch.compile", True))
        if not (compiled and options.eager)
    }
    refused = [side for side, run in theirs.items() if run is None]
    rivals = {side: run for side, run in theirs.items() if run is not None}
    seconds = measure({**rivals, "ours": mine[1], "ours, 4 a call": mine[4]}, options.repeats)
    seconds["ours, 4 a call"] = [each / 4 for each in seconds["ours, 4 a call"]]
    pictures = sum(shape[0] for shape in case.columns.values())
    rate = {side: f"{pictures / statistics.median(each):.1f}" for side, each in seconds.items()}
    rows = []
    for side in ("ours", "ours, 4 a call"):
        common = {"unit": "pictures/s", "ours": rate[side]}
        for other in rivals:
            numbers = {"rival": rate[other], "ratio": ratio(seconds[other], seconds[side])}
            rows.append({"name": f"{name}: {side} / {other}", **common, **numbers})
        for other in refused:
            rows.append({"name": f"{name}: {side} / {other}", **common, "rival": "refused", "ratio": float("nan")})
    return rows


def main() -> None:
    """Print pictures a second of both sides, and compile times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_known_args()[0]
    chosen = [name for name in CASES if name.startswith(tuple(options.only))]
    if not chosen:
        parser.error(f"--only: no case begins so; there are {', '.join(CASES)}.")
    rows = [row for name in chosen for row in rows_of(name, CASES[name](), options)]
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
