"""What a person sees while something long runs, the trace a program may read, and how a run is interrupted."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from jaxart import memory
from jaxart.cache import cache_folder
from jaxart.tasks import stylize as task

_LOG_EVERY = 10  # steps between objects in the trace
_PLAIN_SECONDS = 20  # between lines where the output is no terminal


def duration(seconds: float) -> str:
    """Return seconds as people say them: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs between runs, so that the second starts at once."""
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


class interruptible:
    """Turn the first Ctrl-C (and SIGTERM) into a question that the loop asks; the second interrupts at once."""

    def __enter__(self) -> Callable[[], bool]:
        self._asked = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self._asked

    def _ask(self, number, frame):
        del number, frame
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Steps:
    """Show step, epoch, terms, pictures a second, time left and memory of a training run. A hook for `fit`."""

    def __init__(self, console: Console, begin: int, steps: int, *, dataset_size: int, batch: int):
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._steps, self._size, self._batch = console, steps, dataset_size, batch
        self._begin_step, self._first, self._said = begin, None, 0.0

    def __enter__(self) -> "Steps":
        self._begin = time.perf_counter()
        self._bar.__enter__()
        self._bar_id = self._bar.add_task("compiling", total=self._steps, completed=self._begin_step, status="")
        return self

    def __exit__(self, *details) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._bar.__exit__(*details)

    def __call__(self, state, info) -> None:
        step, now = int(state.step), time.perf_counter()
        if self._first is None:
            self._first = (now, step)
        elapsed, gained = now - self._first[0], step - self._first[1]
        pace = f"{self._batch * gained / elapsed:.0f} pictures/s  " if gained else ""
        left = f"{duration(elapsed * (self._steps - step) / gained)} left  " if gained else ""
        terms = "  ".join(
            f"{name} {float(value):.3g}" for name, value in info._asdict().items() if "gradient" not in name
        )
        status = f"{terms}  {pace}{left}{memory.resident() / 2**20:.0f} MiB"
        where = f"step {step}/{self._steps}  epoch {step * self._batch / self._size:.1f}"
        self._bar.update(self._bar_id, completed=step, description=where, status=status)
        if not self._console.is_terminal and now - self._said > _PLAIN_SECONDS:
            self._said = now
            self._console.print(f"{where}  {status}", highlight=False, markup=False, soft_wrap=True)


class Reporter:
    """Show scale, step, losses, time left and memory; write the trace; keep snapshots. Call it with a `Progress`."""

    def __init__(
        self, console: Console, job: task.Stylization, trace: Path | None, keep: Callable[[task.Progress], None] | None
    ):
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._console, self._trace, self._keep = console, trace, keep
        self._cost = [task.step_work(job, index) + task.FIXED_PIXELS for index in range(len(job.sizes))]
        self._total = sum(cost * steps for cost, steps in zip(self._cost, job.steps, strict=True))
        self._first: tuple[float, float] | None = None
        self._said = 0.0

    def __enter__(self) -> "Reporter":
        self._begin = time.perf_counter()
        self._bar.__enter__()
        self._bar_id = self._bar.add_task("starting", total=self._total, status="")
        return self

    def __exit__(self, *details) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._bar.__exit__(*details)

    def __call__(self, progress: task.Progress) -> None:
        scale, now = progress.scale, time.perf_counter()
        before = sum(cost * steps for cost, steps in zip(self._cost[:scale], progress.steps, strict=False))
        done = before + self._cost[scale] * progress.step
        self._first = self._first or (now, done)
        elapsed, gained = now - self._first[0], done - self._first[1]
        left = duration(elapsed * (self._total - done) / gained) + " left" if gained > 0 else ""
        height, width = progress.sizes[scale]
        where = (
            f"scale {scale + 1}/{len(progress.sizes)} {width}x{height}  step {progress.step}/{progress.steps[scale]}"
        )
        # A sheet has one number for each picture.
        loss = {name: np.mean(value) for name, value in progress.info._asdict().items()}
        terms = f"loss {loss['loss']:.4f} (content {loss['content']:.4f}, style {loss['style']:.4f})"
        status = f"{terms}  {left}  {memory.resident() / 2**20:.0f} MiB"
        self._bar.update(self._bar_id, completed=done, description=where, status=status)
        if not self._console.is_terminal and now - self._said > _PLAIN_SECONDS:
            self._said = now
            self._console.print(f"{where}  {status}", highlight=False, markup=False, soft_wrap=True)
        if self._trace and (progress.step % _LOG_EVERY == 0 or progress.step == 1):
            self._log(self._trace, progress, now - self._begin)
        if self._keep:
            self._keep(progress)

    def _log(self, trace: Path, progress: task.Progress, seconds: float) -> None:
        terms = {name: float(value) for name, value in progress.info._asdict().items()}
        row = {
            "scale": progress.scale + 1,
            "step": progress.step,
            **terms,
            "seconds": round(seconds, 3),
            "memory": memory.resident(),
        }
        with open(trace, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
