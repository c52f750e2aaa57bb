"""Question: can a discriminator's slope be penalized through augmentation, and how fast? Rival: PyTorch's warp, eager and compiled.

R1 differentiates the warp once in the pictures, and training differentiates that again. First, one step of `generate.gan` with ADA, every
change of it drawn in 6 of 10 pictures, and R1, compiled. Then R1 alone of DCGAN's discriminator at 64 pixels, batch 32, through the same
bilinear warp, with its gradient in the parameters: `ops.affine_warp` and `torch.nn.functional.grid_sample`, both with mirrored borders.
Seconds of both are interleaved; what refuses is printed with what it says. Options: --eager leaves out torch.compile, --repeats N.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import gan_torch
import jax
import jax.numpy as jnp
import numpy as np
import torch
from timing import describe, interleave, ratio, table
from torch.nn import functional

from jaxart import losses, models, ops
from jaxart.tasks import generate

BATCH, SIZE = 32, 64


def adaptive_step() -> None:
    """Take a step with ADA and R1 and print the penalty."""
    networks = models.DCGANGenerator(size=SIZE), models.DCGANDiscriminator()
    adapt = generate.Adapt(probability=0.6)
    recipe = generate.gan(
        *networks, shape=(SIZE, SIZE, 3), loss=losses.NON_SATURATING, r1=1.0, penalty_every=1, adapt=adapt
    )
    key, step = jax.random.key(0), recipe.lazy[0][1]
    image = np.random.default_rng(0).integers(0, 255, (BATCH, SIZE, SIZE, 3), np.uint8)
    batch = {"image": image, "label": np.zeros(BATCH, np.int32)}
    _, info = jax.jit(step)(key, jax.jit(recipe.init)(key), batch, None)
    print(
        f"a compiled step with ADA and R1: penalty {info.penalty:.4g}, the discriminator's gradient {info.discriminator_gradient:.4g}"
    )


def matrices() -> np.ndarray:
    """Return turns, scalings and shifts ``[B, 2, 3]`` as `ops.affine_warp` takes them."""
    rng = np.random.default_rng(0)
    angle, scale = rng.uniform(-np.pi, np.pi, BATCH), 2 ** rng.normal(0, 0.2, BATCH)
    turns = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    shift = rng.normal(0, SIZE / 8, (BATCH, 2, 1))
    return np.concatenate([turns.transpose(2, 0, 1), shift], axis=2).astype(np.float32)


def as_grid(moves: np.ndarray) -> torch.Tensor:
    """Return where PyTorch looks up each pixel: (x, y) instead of (row, column), in halves of the side."""
    theta = torch.from_numpy(moves[:, ::-1][:, :, [1, 0, 2]].copy())
    theta[:, :, 2] /= (SIZE - 1) / 2
    return functional.affine_grid(theta, [BATCH, 3, SIZE, SIZE], align_corners=True)


def ours(variables: Any, images: np.ndarray, moves: np.ndarray) -> Callable[[], Any]:
    """Return a call that gives the penalty and its gradient."""
    network = models.DCGANDiscriminator()

    def penalty(params: Any, images: jax.Array, moves: jax.Array) -> jax.Array:
        def judge(images: Any) -> Any:
            return network.apply({"params": params}, ops.affine_warp(images, moves))

        return jnp.mean(losses.gradient_norm_penalty(judge, images))

    program = jax.jit(jax.value_and_grad(penalty), compiler_options=ops.compiler_options())
    return lambda: jax.block_until_ready(program(variables["params"], images, moves))


def rival(variables: Any, images: np.ndarray, moves: np.ndarray, slope: Callable, *, compiled: bool) -> Callable:
    """Return a call that gives the same in PyTorch; `slope` is one of `gan_torch`."""
    network = gan_torch.DCGANDiscriminator()
    gan_torch.load(network, variables)
    real, grid = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), as_grid(moves)

    def judge(images: Any) -> Any:
        return network(functional.grid_sample(images, grid, padding_mode="reflection", align_corners=True))

    def penalty() -> Any:
        return slope(judge, real)

    function = torch.compile(penalty) if compiled else penalty

    def run() -> tuple[Any, tuple[Any, ...]]:
        value = function()
        return value.detach(), torch.autograd.grad(value, list(network.parameters()), allow_unused=True)

    return run


def norm(gradient: list[Any]) -> float:
    """Return the norm of a list of arrays; biases have no second derivative here, which PyTorch calls unused."""
    return sum(float((each**2).sum()) for each in gradient if each is not None) ** 0.5


def main() -> None:
    """Print what each side says, and seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_known_args()[0]
    adaptive_step()
    images = np.random.default_rng(1).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    moves = matrices()
    variables = jax.jit(models.DCGANDiscriminator().init)(jax.random.key(0), images[:1])
    variables = jax.device_get(variables)
    runs = {"ours": ours(variables, images, moves)}
    ways = {"PyTorch": (gan_torch.squared_slope, False)}
    if not options.eager:
        ways["torch.compile, autograd.grad"] = gan_torch.squared_slope, True
        ways["torch.compile, func.grad"] = gan_torch.squared_slope_compiled, True
    for name, (slope, compiled) in ways.items():
        runs[name] = rival(variables, images, moves, slope, compiled=compiled)
    for name, run in list(runs.items()):
        try:
            value, gradient = run()
            print(f"{name}: penalty {float(value):.6g}, gradient {norm(jax.tree.leaves(gradient)):.6g}")
        except Exception as error:  # what it says is the finding
            print(f"{name} refuses: {type(error).__name__}: {str(error).splitlines()[0]}")
            del runs[name]
    seconds = interleave(runs, repeats=options.repeats)
    rows = []
    for name in runs:
        if name != "ours":
            mine, theirs = (statistics.median(seconds[side]) * 1000 for side in ("ours", name))
            numbers = {"ours": f"{mine:.1f}", "rival": f"{theirs:.1f}", "ratio": ratio(seconds[name], seconds["ours"])}
            rows.append({"name": f"R1 through a warp / {name}", "unit": "ms", **numbers})
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
