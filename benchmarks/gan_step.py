"""Question: how fast is a training step of a GAN, discriminator and generator? Rival: the same pairs in PyTorch, eager and compiled.

DCGAN at 64 pixels with the non-saturating loss, batch 32, and the residual pair at 32 pixels with the hinge loss, batch 32, both from the
same initial variables; Adam and the generator's average included, no penalties. Pictures a second, interleaved; ours one step a call and
four. Option: --eager leaves out torch.compile. JAXART_NATIVE=0 in the environment leaves out the compiled kernel.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gan_torch
import jax
import numpy as np
import torch
from timing import describe, ratio, table

from jaxart import losses, models
from jaxart.tasks import generate
from jaxart.training import Limits, compile_steps

BATCH, LATENT, REPEATS, PAUSE = 32, 128, 7, 0.02


class Ours:
    """One of our pairs, with programs that take one step and four."""

    def __init__(self, generator: Any, discriminator: Any, size: int, loss: losses.AdversarialLoss):
        self.recipe = generate.gan(generator, discriminator, shape=(size, size, 3), latent=LATENT, loss=loss)
        self.key, self.size = jax.random.key(0), size
        self.state: Any = jax.jit(self.recipe.init)(self.key)
        self.done, self.seconds = 0, {}

    def steps(self, count: int) -> Callable[[], None]:
        """Return a call that takes `count` steps."""
        image = np.random.default_rng(0).integers(0, 255, (count, BATCH, self.size, self.size, 3), np.uint8)
        stack = {"image": image, "label": np.zeros((count, BATCH), np.int32)}
        begin = time.perf_counter()
        program = compile_steps(self.recipe, key=self.key, state=self.state, batches=stack)
        self.seconds[count] = time.perf_counter() - begin

        def run() -> None:
            self.done += count
            limits = Limits(np.int32(self.done))
            self.state, _, left = program(self.key, self.state, stack, None, limits)
            jax.block_until_ready(left)

        return run


def rival(pair: tuple[Any, ...], ours: Ours, *, compiled: bool) -> tuple[Callable[[], Any], float]:
    """Return a call that takes one step in PyTorch from our variables, and the seconds of its first."""
    size, make_generator, make_discriminator, loss = pair
    generator, discriminator = make_generator(), make_discriminator()
    with torch.no_grad():
        gan_torch.load(generator, ours.state.generator)
        gan_torch.load(discriminator, ours.state.discriminator)
    trainer = gan_torch.Trainer(generator, discriminator, loss=loss, compiled=compiled)
    real = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (BATCH, 3, size, size)).astype(np.float32))

    def run() -> Any:
        return trainer(real, (torch.randn(BATCH, LATENT), torch.randn(BATCH, LATENT)))

    begin = time.perf_counter()
    run()
    return run, time.perf_counter() - begin


PAIRS = {
    "DCGAN 64 px": (
        (models.DCGANGenerator(size=64), models.DCGANDiscriminator(), 64, losses.NON_SATURATING),
        (64, gan_torch.DCGANGenerator, gan_torch.DCGANDiscriminator, gan_torch.NON_SATURATING),
    ),
    "SNGAN 32 px": (
        (models.SNGANGenerator(size=32), models.SNGANDiscriminator(), 32, losses.HINGE),
        (32, gan_torch.SNGANGenerator, gan_torch.SNGANDiscriminator, gan_torch.HINGE),
    ),
}


def measure(runs: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Time the functions in turn, with a pause before each: PyTorch's threads spin on for a while after their work."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            time.sleep(PAUSE)
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Print pictures a second of both sides, and compile times."""
    rows = []
    for name, (mine, theirs) in PAIRS.items():
        ours = Ours(*mine)
        runs: dict[str, Callable[[], Any]] = {}
        runs["PyTorch"], _ = rival(theirs, ours, compiled=False)
        if "--eager" not in sys.argv:
            runs["torch.compile"], first = rival(theirs, ours, compiled=True)
            print(f"{name}: torch.compile and one step {first:.1f} s", file=sys.stderr)
        rivals = tuple(runs)
        runs["ours"], runs["ours, 4 a call"] = ours.steps(1), ours.steps(4)
        print(f"{name}: ours compiles in {ours.seconds[1]:.1f} s, 4 a call {ours.seconds[4]:.1f} s", file=sys.stderr)
        seconds = measure(runs)
        seconds["ours, 4 a call"] = [each / 4 for each in seconds["ours, 4 a call"]]
        rate = {side: BATCH / statistics.median(each) for side, each in seconds.items()}
        for side in ("ours", "ours, 4 a call"):
            for other in rivals:
                quotient = ratio(seconds[other], seconds[side])
                numbers = {"ours": f"{rate[side]:.1f}", "rival": f"{rate[other]:.1f}", "ratio": quotient}
                rows.append({"name": f"{name}: {side} / {other}", "unit": "pictures/s", **numbers})
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
