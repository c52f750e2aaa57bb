"""Question: how fast is one step of `stylize` at 256 px? Rival: the same arithmetic in PyTorch on the CPU, interleaved.

The rival's matrix root is 12 coupled Newton-Schulz steps, and its derivative 12 Newton steps for a Lyapunov equation;
ours is the derivative of the 12 steps themselves, as is the rival's with automatic differentiation through them. Loss
and gradient are compared first, the latter with the second rival. Without PyTorch only our figures are printed.
"""

import importlib.util
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from timing import describe, interleave, ratio, table

from jaxart import memory

os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")  # compile times are those of a first run
SIZE, STEPS, REPEATS, SEVERAL = 256, 30, 5, 5
MEMORY_SIZES = (256, 512, 1024)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYER, EPSILON, ROOT_STEPS, DECAY = "relu4_2", 1e-4, 12, 0.99
RATE, BETAS = 0.02, (0.9, 0.99)
EAGER, THROUGH = "eager", "eager, autograd through the root"
Row = dict[str, Any]


class Ours:
    """Our step: one compiled program that is called for any number of steps."""

    def __init__(self, size: int = SIZE) -> None:
        import jax

        from jaxart import io, samples, weights
        from jaxart.tasks import stylize as task
        from jaxart.training import compile_steps

        content, style = (io.read(samples.path(name)) for name in ("coffee", "church_at_auvers"))
        self.job = task.prepare(content, style, variables=weights.load("vgg16"), size=size, min_size=size)
        self.recipe, self.key = task.scale_recipe(self.job, 0), jax.random.key(0)
        self.restart()
        begin = time.perf_counter()
        self.program = compile_steps(self.recipe, key=self.key, state=self.state)
        self.compile_seconds = time.perf_counter() - begin

    def restart(self) -> None:
        """Go back to the content picture."""
        self.state, self.done = self.recipe.init(self.key), 0

    def advance(self, steps: int) -> float:
        """Take steps in one call; return the loss that the last one began with."""
        from jaxart.training import Limits

        self.done += steps
        limits = Limits(np.int32(self.done))
        self.state, info, left = self.program(self.key, self.state, None, self.recipe.frozen, limits)
        if int(left) < 0:
            sys.exit("stylize_step: a loss was not finite.")
        return float(info.loss)

    def first_gradient(self) -> np.ndarray:
        """Return the gradient of the first step ``[H, W, 3]``, read off Adam's first moment after it."""
        return np.asarray(self.state.opt_state[0].mu) / (1 - BETAS[0])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the rival needs: weights, pictures at this size and strengths."""
        from vgg_features import torch_arrays

        from jaxart.image import fit_within, resize

        self.restart()
        painting = self.job.styles[0]
        style = np.clip(resize(painting, fit_within(painting.shape[:2], max(self.job.sizes[0]))), 0, 1)
        pictures = {"content": np.asarray(self.state.image), "style": np.asarray(style)}
        strengths = {f"{name} strength": np.asarray(value) for name, value in self.job.loss_weights.items()}
        return torch_arrays(self.job.variables) | pictures | strengths


def newton_schulz(matrix: Any) -> Any:
    """Return ``A^(1/2)`` of a tensor after 12 coupled steps."""
    import torch

    norm, eye = torch.linalg.norm(matrix), torch.eye(matrix.shape[0])
    y, z = matrix / norm, eye
    for _ in range(ROOT_STEPS):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return y * torch.sqrt(norm)


def lyapunov(root: Any, right: Any) -> Any:
    """Solve ``Y X + X Y = G`` for X: Newton's iteration for the sign of [[Y, G], [0, -Y]], block by block."""
    import torch

    norm, eye = torch.linalg.norm(root), torch.eye(root.shape[0])
    a, q = root / norm, right / norm
    for _ in range(ROOT_STEPS):
        square = a @ a
        q = (q @ (3 * eye - square) - a.mT @ (a.mT @ q - q @ a)) / 2
        a = a @ (3 * eye - square) / 2
    return q / 2


def lyapunov_root() -> Callable[[Any], Any]:
    """Return `newton_schulz` with the Lyapunov equation as its derivative."""
    import torch

    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, matrix: Any) -> Any:
            root = newton_schulz(matrix)
            ctx.save_for_backward(root)
            return root

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return lyapunov(ctx.saved_tensors[0], gradients[0])

    return Root.apply


def nine_point(image: Any) -> Any:
    """Return the nine-point total variation of ``[1, 3, H, W]``."""
    import torch
    from vgg_features import repeat_border

    x = repeat_border(image)
    here, right, below, diagonal = x[..., :-1, :-1], x[..., :-1, 1:], x[..., 1:, :-1], x[..., 1:, 1:]
    straight = torch.mean((right - here) ** 2) + torch.mean((below - here) ** 2)
    return 2 * (straight / 3 + (torch.mean((diagonal - here) ** 2) + torch.mean((below - right) ** 2)) / 12)


def gaussian(features: Any) -> tuple[Any, Any]:
    """Return mean and covariance of features ``[1, C, h, w]`` by way of raw moments."""
    import torch

    pixels = features[0].flatten(1)
    mean, second = pixels.mean(1), pixels @ pixels.T / pixels.shape[1]
    return mean, second - torch.outer(mean, mean) + EPSILON * torch.eye(len(mean))


def symmetric_root(matrix: Any) -> Any:
    """Return ``A^(1/2)`` exactly; for targets, which are prepared once."""
    import torch

    values, vectors = torch.linalg.eigh(matrix)
    return vectors * torch.sqrt(torch.clamp(values, min=0)) @ vectors.T


class Rival:
    """The same step in PyTorch: eager or compiled, with the derivative of `root`."""

    def __init__(self, arrays: dict[str, np.ndarray], *, root: Any = None, compiled: bool = False) -> None:
        import torch
        from vgg_features import torch_features

        self.weights = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.features, self.root = torch_features, root or lyapunov_root()
        with torch.no_grad():
            self.content = self.extract(self.picture("content"), (CONTENT_LAYER,))[CONTENT_LAYER]
            style = self.extract(self.picture("style"), STYLE_LAYERS)
            gaussians = {name: gaussian(style[name]) for name in STYLE_LAYERS}
            self.targets = {name: (m, symmetric_root(c), torch.trace(c)) for name, (m, c) in gaussians.items()}
        self.loss = torch.compile(self.objective) if compiled else self.objective
        self.restart()

    def picture(self, name: str) -> Any:
        return self.weights[name].permute(2, 0, 1)[None].contiguous()

    def extract(self, image: Any, layers: tuple[str, ...]) -> dict[str, Any]:
        return self.features(self.weights, image, layers, "replicate")

    def objective(self, image: Any) -> Any:
        """Return the loss of ``[1, 3, H, W]``."""
        import torch

        found = self.extract(image, (*STYLE_LAYERS, CONTENT_LAYER))
        style = torch.zeros(())
        for strength, name in zip(self.weights["style strength"], STYLE_LAYERS, strict=True):
            mean, covariance = gaussian(found[name])
            target_mean, target_root, target_trace = self.targets[name]
            cross = torch.trace(self.root(target_root @ covariance @ target_root))
            traces = (target_trace + torch.trace(covariance) - 2 * cross) / len(mean)
            style = style + strength * (torch.mean((mean - target_mean) ** 2) + traces)
        content = self.weights["content strength"] * torch.mean((found[CONTENT_LAYER] - self.content) ** 2)
        return content + style + self.weights["smoothness strength"] * nine_point(image)

    def restart(self) -> None:
        """Go back to the content picture."""
        import torch

        self.image = self.picture("content").clone().requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.image], lr=RATE, betas=BETAS, eps=1e-8)
        self.average = (1 - DECAY) * self.image.detach()

    def advance(self, steps: int) -> float:
        """Take steps; return the loss that the last one began with."""
        import torch

        loss = torch.zeros(())
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.loss(self.image)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                self.image.clamp_(0, 1)
                self.average.mul_(DECAY).add_(self.image, alpha=1 - DECAY)
        return loss.item()

    def first_gradient(self) -> np.ndarray:
        """Return the gradient of the last step ``[H, W, 3]``."""
        return self.image.grad[0].permute(1, 2, 0).numpy()


def row(name: str, ours: list[float], rival: list[float] | None, unit: str, digits: int = 2) -> Row:
    """Return a row of medians; the ratio is that of the rounds, above 1 where ours needs less."""
    shown = [statistics.median(values) if values else math.nan for values in (ours, rival)]
    texts = [f"{value:.{digits}f}" if math.isfinite(value) else "-" for value in shown]
    quotient = ratio(rival, ours) if rival else math.nan
    return {"name": name, "ours": texts[0], "rival": texts[1], "unit": unit, "ratio": quotient}


def check(ours: Ours, rivals: dict[str, Rival]) -> list[Row]:
    """Return loss and length of the gradient of the first step; leave with an error where the sides disagree."""
    loss, losses = ours.advance(1), {name: rival.advance(1) for name, rival in rivals.items()}
    gradient, gradients = ours.first_gradient(), {name: rival.first_gradient() for name, rival in rivals.items()}
    off = max(abs(loss / each - 1) for each in losses.values())
    turned = {name: float(np.linalg.norm(gradient - each) / np.linalg.norm(each)) for name, each in gradients.items()}
    print(f"first step: losses differ by {off:.1e}, gradients by", end=" ", file=sys.stderr)
    print(", ".join(f"{each:.1e} ({name})" for name, each in turned.items()), file=sys.stderr)
    if not (off < 1e-3 and turned[THROUGH] < 1e-2):
        sys.exit("stylize_step: the two sides do not compute the same.")
    length, lengths = float(np.linalg.norm(gradient)), {name: float(np.linalg.norm(gradients[name])) for name in rivals}
    return [
        row(f"{what} of the first step / {name}", [mine], [theirs[name]], "", 5)
        for name in (EAGER, THROUGH)
        for what, mine, theirs in (("loss", loss, losses), ("gradient's length", length, lengths))
    ]


def step_rows(ours: Ours, rivals: dict[str, Rival]) -> list[Row]:
    """Return milliseconds a step, one and several a call, against every rival."""
    runs: dict[str, Callable[[], Any]] = {
        "one": lambda: ours.advance(1),
        "several": lambda: ours.advance(SEVERAL),
    }
    runs |= {name: lambda rival=rival: rival.advance(1) for name, rival in rivals.items()}
    seconds = interleave(runs, repeats=REPEATS)
    single = [1000 * each for each in seconds["one"]]
    shared = [1000 * each / SEVERAL for each in seconds["several"]]
    rows = []
    for name in rivals or {"": None}:
        rival = [1000 * each for each in seconds[name]] if name else None
        rows += [
            row(f"step, one a call{name and ' / '}{name}", single, rival, "ms", 1),
            row(f"step, {SEVERAL} a call{name and ' / '}{name}", shared, rival, "ms", 1),
        ]
    return rows


def same_loss(ours: Ours, rival: Rival | None) -> Row:
    """Return seconds, compiling excluded, to the loss that the rival has after 30 steps; ours is read at every step."""
    target, limit = -math.inf, STEPS if rival is None else -1
    taken = 0

    def to_target() -> None:
        nonlocal taken
        ours.restart()
        taken = next((n for n in range(1, 2 * STEPS) if ours.advance(1) <= target or n == limit), 0)

    def fixed() -> None:
        nonlocal target
        if rival is not None:
            rival.restart()
            target = rival.advance(STEPS)

    seconds = interleave({"rival": fixed, "ours": to_target}, repeats=1)
    if taken == 0:
        sys.exit(f"stylize_step: the loss {target:.5f} was not reached in {2 * STEPS} steps.")
    name = f"loss after {STEPS} steps (ours in {taken})" if rival else f"{STEPS} steps"
    return row(name, seconds["ours"], seconds["rival"] if rival else None, "s")


def measure_memory(side: str, size: int, arrays: Path) -> None:
    """Print the peak of a process that does five steps; it runs as a process of its own."""
    if side == "ours":
        from jaxart.training import one_blas_thread

        worker = Ours(size)
        with one_blas_thread():
            worker.advance(5)
    else:
        Rival(dict(np.load(arrays))).advance(5)
    print(memory.peak() / 2**20)


def memory_row(size: int, sides: tuple[str, ...]) -> Row:
    """Return the peak of whole processes: start, five steps, and for ours compiling."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        if "rival" in sides:
            np.savez(path, allow_pickle=False, **Ours(size).arrays())  # pyright: ignore[reportArgumentType]
        for side in sides:
            command = [sys.executable, __file__, "--memory", side, str(size), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[side] = [float(done.stdout.split()[-1])]
    return row(f"peak of a process at {size} px, 5 steps", found["ours"], found.get("rival"), "MiB", 0)


def choose_threads(rival: Rival) -> None:
    """Give torch the quicker of one thread and its default; beside other work its threads wait for each other."""
    import torch

    seconds = {}
    for threads in (torch.get_num_threads(), 1):
        torch.set_num_threads(threads)
        rival.advance(1)
        begin = time.perf_counter()
        rival.advance(1)
        seconds[threads] = time.perf_counter() - begin
    torch.set_num_threads(min(seconds, key=lambda threads: seconds[threads]))
    rival.restart()
    told = ", ".join(f"{threads} threads {each:.2f} s" for threads, each in seconds.items())
    print(f"torch, one step: {told}; {torch.get_num_threads()} chosen", file=sys.stderr)


def make_rivals(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Rival], list[float] | None]:
    """Return the rivals that work here, and the seconds of `torch.compile`, None if it does not work."""
    rivals = {EAGER: Rival(arrays), THROUGH: Rival(arrays, root=newton_schulz)}
    choose_threads(rivals[EAGER])
    if "--eager" in sys.argv:  # torch.compile takes minutes
        return rivals, None
    try:
        compiled = Rival(arrays, compiled=True)
        begin = time.perf_counter()
        compiled.advance(1)
        first = time.perf_counter() - begin
        begin = time.perf_counter()
        compiled.advance(1)
        seconds = first - (time.perf_counter() - begin)
        compiled.restart()
        return rivals | {"torch.compile": compiled}, [seconds]
    except Exception as error:  # no C++ compiler, or one of many kinds of the compiler's own
        print(f"torch.compile does not work here: {type(error).__name__}", file=sys.stderr)
        return rivals, None


def main() -> None:
    """Print times, memory and compile times of both sides."""
    from jaxart.training import one_blas_thread

    with_torch = importlib.util.find_spec("torch") is not None
    ours = Ours()
    arrays = ours.arrays()
    rivals, compile_seconds = make_rivals(arrays) if with_torch else ({}, None)
    with one_blas_thread():
        rows = check(ours, rivals) if with_torch else []
        rows += step_rows(ours, rivals)
        rows.append(same_loss(ours, rivals.get(EAGER)))
    rows.append(row("compiling", [ours.compile_seconds], compile_seconds, "s", 1))
    rows += [memory_row(size, ("ours", "rival") if with_torch else ("ours",)) for size in MEMORY_SIZES]
    table(rows, "ours", "PyTorch", describe())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
