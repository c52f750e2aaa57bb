"""Question: how fast are our convolutions on this machine's CPU? Rival: PyTorch (oneDNN); XLA's own beside them.

Single layers, forward, input gradient and weight gradient, in GFLOP/s; PyTorch in its default layout and in channels_last. Layers of
VGG have their weights transformed beforehand, as a network that is not trained has. Then whole training steps, forward, all
gradients and Adam, of three stacks. `--layers` or `--stacks` runs one half, `--compiled` adds torch.compile to the rivals of the
stacks. JAXART_NATIVE=0 in the environment leaves out the compiled kernel.
"""

import functools
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from timing import describe, table

from jaxart import ops

REPEATS, PAUSE = 15, 0.02
# name, taps, stride, channels in and out, batch, size, frozen
LAYERS = (
    ("3x3 64-64, 1x256x256", 3, 1, 64, 64, 1, 256, True),
    ("3x3 256-256, 1x64x64", 3, 1, 256, 256, 1, 64, True),
    ("3x3 512-512, 1x32x32", 3, 1, 512, 512, 1, 32, True),
    ("3x3 3-64, 1x256x256", 3, 1, 3, 64, 1, 256, True),
    ("4x4 stride 2 3-64, 32x64x64", 4, 2, 3, 64, 32, 64, False),
    ("4x4 stride 2 64-128, 32x32x32", 4, 2, 64, 128, 32, 32, False),
    ("3x3 64-64, 8x64x64", 3, 1, 64, 64, 8, 64, False),
    ("3x3 256-256, 8x16x16", 3, 1, 256, 256, 8, 16, False),
)
Run = Callable[[], Any]


def measure(runs: dict[str, Run]) -> dict[str, list[float]]:
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


def compiled(function: Callable, *operands: Any) -> Run:
    """Return a call of the compiled function that waits for its end."""
    program = jax.jit(function).lower(*operands).compile(compiler_options=ops.compiler_options())
    return lambda: jax.block_until_ready(program(*operands))


def of_xla(images: Any, kernel: Any, *, stride: int, padding: Any = ((1, 1), (1, 1))) -> jax.Array:
    """Convolve as JAX does without us."""
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def jax_runs(x: np.ndarray, k: np.ndarray, stride: int, frozen: bool) -> dict[str, Run]:
    """Return forward, input and weight gradient of ours and of XLA's convolution."""
    images, kernel = jnp.asarray(x), jnp.asarray(k)
    ready = jax.jit(ops.transform_kernel)(kernel) if frozen and min(k.shape[2:]) >= 128 else None
    ours = functools.partial(ops.conv2d, stride=stride, padding=((1, 1), (1, 1)))
    runs = {}
    for side, convolve in (("ours", ours), ("xla", functools.partial(of_xla, stride=stride))):
        extra = {"transformed": ready} if side == "ours" and ready is not None else {}
        g = jnp.ones_like(convolve(images, kernel))

        def forward(x, k, extra, convolve=convolve):
            return convolve(x, k, **extra)

        def to_images(x, k, extra, g, forward=forward):
            return jax.vjp(lambda x: forward(x, k, extra), x)[1](g)[0]

        def to_kernel(x, k, g, convolve=convolve):
            return jax.vjp(lambda k: convolve(x, k), k)[1](g)[0]

        runs[f"{side} forward"] = compiled(forward, images, kernel, extra)
        runs[f"{side} input gradient"] = compiled(to_images, images, kernel, extra, g)
        runs[f"{side} weight gradient"] = compiled(to_kernel, images, kernel, g)
    return runs


def torch_runs(x: np.ndarray, k: np.ndarray, stride: int) -> dict[str, Run]:
    """Return the same of PyTorch, in both memory layouts."""
    import torch

    runs = {}
    for side, layout in (("torch", torch.contiguous_format), ("channels_last", torch.channels_last)):
        images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)
        kernel = torch.from_numpy(k.transpose(3, 2, 0, 1).copy()).to(memory_format=layout)
        g = torch.ones_like(torch.nn.functional.conv2d(images, kernel, stride=stride, padding=1))

        def forward(images=images, kernel=kernel):
            return torch.nn.functional.conv2d(images, kernel, stride=stride, padding=1)

        def backward(images=images, kernel=kernel, g=g, wanted=(True, False, False)):
            settings = (None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1)
            return torch.ops.aten.convolution_backward(g, images, kernel, *settings, list(wanted))

        runs[f"{side} forward"] = forward
        runs[f"{side} input gradient"] = backward
        runs[f"{side} weight gradient"] = functools.partial(backward, wanted=(False, True, False))
    return runs


def layer_rows() -> list[dict[str, Any]]:
    """Return GFLOP/s of every layer and direction."""
    rows, rng = [], np.random.default_rng(0)
    for name, taps, stride, channels, filters, batch, size, frozen in LAYERS:
        x = rng.standard_normal((batch, size, size, channels), np.float32)
        k = rng.standard_normal((taps, taps, channels, filters), np.float32) / np.float32(np.sqrt(taps**2 * channels))
        seconds = measure(jax_runs(x, k, stride, frozen) | torch_runs(x, k, stride))
        billions = 2e-9 * batch * (size // stride) ** 2 * taps**2 * channels * filters
        for way in ("forward", "input gradient", "weight gradient"):
            best = {side: min(seconds[f"{side} {way}"]) for side in ("ours", "xla", "torch", "channels_last")}
            spread = max(statistics.median(seconds[f"{side} {way}"]) / best[side] for side in best)
            rates = {side: billions / second for side, second in best.items()}
            for rival in ("torch", "channels_last"):
                label = f"{name}, {way} / {rival} (XLA {rates['xla']:.0f}, spread {spread:.1f})"
                rows.append(row(label, rates["ours"], rates[rival], "GFLOP/s", rates["ours"] / rates[rival], rival))
    return rows


def row(name: str, ours: float, rival: float, unit: str, quotient: float, side: str) -> dict[str, Any]:
    """Return one row of the table."""
    return {"name": name, "ours": f"{ours:.0f}", "rival": f"{rival:.0f}", "unit": unit, "ratio": quotient, "side": side}


class Jax:
    """The operations of the stacks on ``[N, H, W, C]``."""

    def __init__(self, convolve: Callable) -> None:
        self.convolve = convolve

    def conv(self, x: Any, k: Any, stride: int = 1) -> Any:
        pad = (k.shape[0] - 1) // 2
        return self.convolve(x, k, stride=stride, padding=((pad, pad), (pad, pad)))

    def dense(self, x: Any, k: Any) -> Any:
        return x.reshape(x.shape[0], -1) @ k

    def picture(self, x: Any, side: int) -> Any:
        return x.reshape(x.shape[0], side, side, -1)

    def up(self, x: Any) -> Any:
        n, h, w, c = x.shape
        return jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c)).reshape(n, 2 * h, 2 * w, c)

    def down(self, x: Any) -> Any:
        return ops.avg_pool(x)

    def relu(self, x: Any) -> Any:
        return jax.nn.relu(x)

    def leaky(self, x: Any) -> Any:
        return jnp.where(x > 0, x, 0.2 * x)

    def norm(self, x: Any) -> Any:
        mean = jnp.mean(x, (0, 1, 2), keepdims=True)
        return (x - mean) * jax.lax.rsqrt(jnp.mean((x - mean) ** 2, (0, 1, 2), keepdims=True) + 1e-5)

    def join(self, x: Any, y: Any) -> Any:
        return jnp.concatenate([x, y], -1)


class Torch:
    """The same on ``[N, C, H, W]``."""

    def __init__(self) -> None:
        import torch

        self.functional = torch.nn.functional

    def conv(self, x: Any, k: Any, stride: int = 1) -> Any:
        return self.functional.conv2d(x, k, stride=stride, padding=(k.shape[-1] - 1) // 2)

    def dense(self, x: Any, k: Any) -> Any:
        return x.flatten(1) @ k

    def picture(self, x: Any, side: int) -> Any:
        return x.reshape(x.shape[0], -1, side, side)

    def up(self, x: Any) -> Any:
        return self.functional.interpolate(x, scale_factor=2, mode="nearest")

    def down(self, x: Any) -> Any:
        return self.functional.avg_pool2d(x, 2)

    def relu(self, x: Any) -> Any:
        return self.functional.relu(x)

    def leaky(self, x: Any) -> Any:
        return self.functional.leaky_relu(x, 0.2)

    def norm(self, x: Any) -> Any:
        return self.functional.batch_norm(x, None, None, training=True)

    def join(self, x: Any, y: Any) -> Any:
        import torch

        return torch.cat([x, y], 1)


def dcgan(lib: Any, weights: Any, z: Any) -> Any:
    """Run a generator and a discriminator at 64 px, batch 32."""
    w = iter(weights)
    x = lib.relu(lib.norm(lib.picture(lib.dense(z, next(w)), 4)))
    for _ in range(3):
        x = lib.relu(lib.norm(lib.conv(lib.up(x), next(w))))
    x = lib.conv(lib.up(x), next(w))
    x = lib.leaky(lib.conv(x, next(w), 2))
    for _ in range(3):
        x = lib.leaky(lib.norm(lib.conv(x, next(w), 2)))
    return lib.dense(x, next(w))


DCGAN = [(128, 16 * 512), (3, 512, 256), (3, 256, 128), (3, 128, 64), (3, 64, 3)]
DCGAN += [(4, 3, 64), (4, 64, 128), (4, 128, 256), (4, 256, 512), (16 * 512, 1)]


def residual(lib: Any, weights: Any, z: Any) -> Any:
    """Run a residual generator and discriminator at 32 px, batch 16."""
    w = iter(weights)
    x = lib.picture(lib.dense(z, next(w)), 4)
    for _ in range(3):
        y = lib.conv(lib.up(lib.relu(lib.norm(x))), next(w))
        x = lib.up(x) + lib.conv(lib.relu(lib.norm(y)), next(w))
    x = lib.conv(lib.relu(lib.norm(x)), next(w))
    x = lib.conv(x, next(w))
    for block in range(4):
        y = lib.conv(lib.relu(lib.conv(lib.relu(x), next(w))), next(w))
        x = lib.down(x + y) if block < 2 else x + y
    return lib.dense(lib.relu(x), next(w))


RESIDUAL = [(128, 16 * 128), *[(3, 128, 128)] * 6, (3, 128, 3), (3, 3, 128), *[(3, 128, 128)] * 8, (64 * 128, 1)]


def unet(lib: Any, weights: Any, x: Any) -> Any:
    """Run a U-Net at 128 px, batch 4, 32 to 256 channels."""
    w, kept = iter(weights), []
    for level in range(4):
        x = lib.relu(lib.conv(lib.relu(lib.conv(x, next(w))), next(w)))
        if level < 3:
            kept.append(x)
            x = lib.down(x)
    for _ in range(3):
        x = lib.join(lib.up(x), kept.pop())
        x = lib.relu(lib.conv(lib.relu(lib.conv(x, next(w))), next(w)))
    return lib.conv(x, next(w))


UNET = [(3, 3, 32), (3, 32, 32), (3, 32, 64), (3, 64, 64), (3, 64, 128), (3, 128, 128), (3, 128, 256), (3, 256, 256)]
UNET += [(3, 384, 128), (3, 128, 128), (3, 192, 64), (3, 64, 64), (3, 96, 32), (3, 32, 32), (3, 32, 3)]
STACKS = (
    ("DCGAN pair, 64 px, batch 32", dcgan, DCGAN, (32, 128)),
    ("residual GAN pair, 32 px, batch 16", residual, RESIDUAL, (16, 128)),
    ("U-Net, 128 px, batch 4", unet, UNET, (4, 128, 128, 3)),
)


def jax_step(stack: Callable, convolve: Callable, weights: list[np.ndarray], x: np.ndarray, several: int) -> Run:
    """Return a call that takes `several` steps of Adam in one program."""
    lib, optimizer = Jax(convolve), optax.adam(1e-4)

    def step(_, carry):
        params, memory = carry
        gradient = jax.grad(lambda params: jnp.mean(stack(lib, params, x) ** 2))(params)
        change, memory = optimizer.update(gradient, memory)
        return optax.apply_updates(params, change), memory

    def steps(params, memory):
        if several == 1:  # XLA's own derivative is many times slower still inside a loop
            return step(0, (params, memory))
        return jax.lax.fori_loop(0, several, step, (params, memory))

    params = [jnp.asarray(each) for each in weights]
    carry = [params, optimizer.init(params)]
    begin = time.perf_counter()
    program = jax.jit(steps, donate_argnums=(0, 1)).lower(*carry).compile(compiler_options=ops.compiler_options())
    print(f"compiled in {time.perf_counter() - begin:.1f} s", file=sys.stderr)

    def run() -> None:
        carry[:] = jax.block_until_ready(program(*carry))

    return run


def torch_step(stack: Callable, weights: list[np.ndarray], x: np.ndarray, layout: str, *, fused: bool = False) -> Run:
    """Return a call that takes one step of Adam; `fused` has the loss and its gradients go through torch.compile."""
    import torch

    order = getattr(torch, layout)

    def tensor(array):
        turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        made = torch.from_numpy(turned.copy())
        return made.to(memory_format=order) if array.ndim == 4 else made

    params = [tensor(each).requires_grad_(True) for each in weights]
    data = (
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=order) if x.ndim == 4 else torch.from_numpy(x)
    )
    optimizer, lib = torch.optim.Adam(params, lr=1e-4), Torch()

    def objective(params: list[Any], data: Any) -> Any:
        return torch.mean(stack(lib, params, data) ** 2)

    loss = torch.compile(objective) if fused else objective

    def run() -> None:
        optimizer.zero_grad()
        loss(params, data).backward()
        optimizer.step()

    if fused:
        begin = time.perf_counter()
        run()
        print(f"torch.compile and one step in {time.perf_counter() - begin:.1f} s", file=sys.stderr)

    return run


def stack_rows() -> list[dict[str, Any]]:
    """Return milliseconds of whole training steps."""
    rows, rng = [], np.random.default_rng(0)
    for name, stack, shapes, shape in STACKS:
        weights = [make(rng, each) for each in shapes]
        x = rng.standard_normal(shape, np.float32)
        runs: dict[str, Run] = {}
        for layout in ("contiguous_format", "channels_last"):
            runs[layout] = torch_step(stack, weights, x, layout)
        if "--compiled" in sys.argv:
            runs["compiled"] = torch_step(stack, weights, x, "channels_last", fused=True)
        rivals = tuple(runs)
        runs["ours"] = jax_step(stack, ops.conv2d, weights, x, 1)
        runs["ours, 4 a call"] = jax_step(stack, ops.conv2d, weights, x, 4)
        runs["xla"] = jax_step(stack, of_xla, weights, x, 1)
        best = {side: 1000 * min(times) for side, times in measure(runs).items()}
        best["ours, 4 a call"] /= 4
        for mine in ("ours", "ours, 4 a call"):
            for rival in rivals:
                label = f"{name}: {mine} / {rival} (XLA {best['xla']:.0f})"
                rows.append(row(label, best[mine], best[rival], "ms", best[rival] / best[mine], rival))
    return rows


def make(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return a kernel ``[k, k, C, O]`` or a matrix ``[C, O]`` of unit gain."""
    full = (shape[0], *shape) if len(shape) == 3 else shape
    return rng.standard_normal(full, np.float32) / np.float32(np.sqrt(np.prod(full[:-1])))


def mean_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the geometric mean and the smallest of the ratios, by rival."""
    made = []
    for rival in dict.fromkeys(each["side"] for each in rows):
        ratios = [each["ratio"] for each in rows if each["side"] == rival]
        for what, value in (("geometric mean", statistics.geometric_mean(ratios)), ("smallest", min(ratios))):
            made.append({"name": f"{what} / {rival}", "ours": "", "rival": "", "unit": "", "ratio": value})
    return made


def main() -> None:
    """Print both tables."""
    rows = []
    if "--stacks" not in sys.argv:
        rows = layer_rows()
        rows += mean_rows(rows)
    if "--layers" not in sys.argv:
        rows += stack_rows()
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    main()
