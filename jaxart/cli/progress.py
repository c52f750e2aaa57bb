"""What a person sees while something long runs."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jaxart import memory
from jaxart.cli.terminal import format_duration, format_size, messages, say

if TYPE_CHECKING:
    from jaxart.tasks.stylize import Progress

_PLAIN_SECONDS = 20  # between lines where the output is no terminal


class Bar:
    """A bar in a terminal, elsewhere a line now and then: where the work is, its losses, pace, time left and memory.

    A context manager; after it, ``seconds`` is the time spent inside.

    Args:
        total: units of work, in any unit; None until an update tells.
        done: units that were done before.
    """

    def __init__(self, total: float | None = None, *, done: float = 0):
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"))
        self._plain = not messages().is_terminal
        self._bar = Progress(*columns, console=messages(), transient=True, disable=self._plain)
        self._id = self._bar.add_task("compiling", total=total, completed=int(done), status="")
        self._first: tuple[float, float] | None = None  # when, and how much was done then
        self._said = self.seconds = 0.0

    def __enter__(self) -> "Bar":
        self._begin = time.perf_counter()
        self._bar.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self.seconds = time.perf_counter() - self._begin
        self._bar.__exit__(*details)

    def update(self, done: float, where: str, terms: str, *, total: float, pictures: float = 0) -> None:
        """Say how far it is.

        Args:
            done: units of work so far.
            where: step, scale or epoch in words.
            terms: losses in words.
            total: units of work in all.
            pictures: how many a unit of work passes; 0 where that says nothing.
        """
        now = time.perf_counter()
        self._first = self._first or (now, done)
        elapsed, gained = now - self._first[0], done - self._first[1]
        pace = f"{pictures * gained / elapsed:.0f} examples/s" if pictures and gained > 0 else ""
        left = f"{format_duration(elapsed * (total - done) / gained)} left" if gained > 0 else ""
        status = "  ".join(filter(None, (terms, pace, left, format_size(memory.resident()))))
        self._bar.update(self._id, completed=done, total=total, description=where, status=status)
        if self._plain and now - self._said > _PLAIN_SECONDS:
            self._said = now
            say(f"{where}  {status}")


def training_hook(bar: Bar, *, steps: int, batch: int, dataset_size: int) -> Callable[[Any, Any], None]:
    """Return a hook for `training.fit` that shows step, epoch and losses.

    Args:
        bar: to show them on.
        steps: in all.
        batch: examples a step.
        dataset_size: examples an epoch.
    """

    def hook(state: Any, info: Any) -> None:
        step = int(state.step)
        terms = (f"{name} {float(value):.3g}" for name, value in info._asdict().items() if "gradient" not in name)
        where = f"step {step}/{steps}  epoch {step * batch / dataset_size:.1f}"
        bar.update(step, where, "  ".join(terms), total=steps, pictures=batch)

    return hook


def scales_hook(bar: Bar, costs: Sequence[float]) -> "Callable[[Progress], None]":
    """Return a function for `on_step` of a stylization, or of a sheet, that shows scale, step and losses.

    Args:
        bar: to show them on.
        costs: of a step at each scale, in any unit.
    """
    import numpy as np

    def report(progress: "Progress") -> None:
        scale, step, (height, width) = progress.scale, progress.step, progress.sizes[progress.scale]
        work = [cost * steps for cost, steps in zip(costs, progress.steps, strict=True)]
        loss = {name: float(np.mean(value)) for name, value in progress.info._asdict().items()}
        bar.update(
            sum(work[:scale]) + costs[scale] * step,
            f"scale {scale + 1}/{len(costs)} {width}x{height}  step {step}/{progress.steps[scale]}",
            f"loss {loss['loss']:.4f} (content {loss['content']:.4f}, style {loss['style']:.4f})",
            total=sum(work),
        )

    return report
