"""Plain functions ``hook(state, info)`` that `fit` calls: what is measured and logged, and how often."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxart.io import replacing

Hook = Callable[[Any, Any], Any]  # (state, info)


def periodically(every: int, hook: Hook, *, last: int | None = None) -> Hook:
    """Call a hook only at multiples of `every` steps, and at step `last`.

    Args:
        every: steps, at least 1; `fit(every=...)` must divide it.
        hook: what to call.
        last: a step at which to call it too, such as the last of the run.

    Raises:
        ValueError: `every` is below 1.
    """
    if every < 1:
        raise ValueError(f"periodically: expected every of at least 1 step, got {every}.")

    def call(state: Any, info: Any) -> None:
        if int(state.step) % every == 0 or int(state.step) == last:
            hook(state, info)

    return call


def evaluate(measure: Callable[[Any], Mapping[str, Any]], *hooks: Hook) -> Hook:
    """Hand the scores of a state to hooks, in the place of the step's info.

    ``periodically(500, evaluate(measure, log_jsonl("scores.jsonl")))`` scores every 500th state, on held-out data say; training goes on as
    it would without. With several processes all must measure and only the first should write:
    ``evaluate(measure, on_first_process(log_jsonl(...)))``.

    Args:
        measure: ``measure(state) -> {name: scalar}``. It must not keep the state, whose buffers the next step uses up.
        hooks: called ``hook(state, scores)``, such as `log_jsonl` and `log_tensorboard`.

    Raises:
        ValueError: when it is called: what was measured is no dict of scalars.
    """

    def call(state: Any, info: Any) -> None:
        del info
        scores = measure(state)
        if not isinstance(scores, Mapping):
            raise ValueError(f"measure: expected a dict of scalars by name, got {type(scores).__name__}.")
        for name, value in scores.items():
            if np.shape(value):
                raise ValueError(
                    f"measure: expected scalars, got {name!r} of shape {list(np.shape(value))}. Take its mean."
                )
        for hook in hooks:
            hook(state, scores)

    return call


class EarlyStop(NamedTuple):
    """What ends a training whose score no longer improves, in two functions for `fit`.

    Fields:
        hook: notes a score; called as other hooks are, mostly through `periodically` and `evaluate`.
        stop: for `fit(stop=...)`: whether the score has not improved for long.
    """

    hook: Hook
    stop: Callable[[], bool]


def out_of_patience(scores: Sequence[float], patience: int, *, higher: bool = True, margin: float = 0.0) -> bool:
    """Tell whether the last scores are all no better than the best before them. A score that is not finite is no improvement.

    Args:
        scores: in their order.
        patience: how many of the last, at least 1.
        higher: whether higher is better.
        margin: what a score must be better by to count.

    >>> out_of_patience([0.5, 0.7, 0.6, 0.7], 2), out_of_patience([0.5, 0.7, 0.6, 0.8], 2)
    (True, False)
    """
    best, waited = -math.inf, 0
    for score in scores:
        value = score if higher else -score
        if math.isfinite(value) and value > best + (margin if math.isfinite(best) else 0.0):
            best, waited = value, 0
        else:
            waited += 1
    return waited >= patience


def stop_early(
    patience: int, name: str, *, higher: bool = True, margin: float = 0.0, log: str | Path | None = None
) -> EarlyStop:
    """End a training when a score has not improved for `patience` evaluations.

    ``early = stop_early(5, "accuracy", log="scores.jsonl")`` and ``fit(..., stop=early.stop, hooks=(periodically(500, evaluate(measure,
    log_jsonl("scores.jsonl"), early.hook)),))``. The state that `fit` returns is the last; `Checkpoints(best=1)` keeps the best.

    A run that is resumed ends at the same step if it has the log: scores of steps before the first one that the hook sees are read from it,
    and those of later steps, which the run is about to repeat, are forgotten. A run that had ended early goes on to its next evaluation
    unless `out_of_patience` is asked before.

    Args:
        patience: evaluations, at least 1.
        name: of the score.
        higher: whether higher is better.
        margin: what a score must be better by to count.
        log: file of `log_jsonl` that holds the scores of an earlier part of the run, if any.

    Raises:
        ValueError: `patience` is below 1; when the hook is called: there is no such score.
    """
    if patience < 1:
        raise ValueError(f"stop_early: expected patience of at least 1 evaluation, got {patience}.")
    scores = {} if log is None else _logged(Path(log), name)
    seen: list[int] = []

    def hook(state: Any, info: Any) -> None:
        terms, step = _terms(info), int(state.step)
        if name not in terms:
            raise ValueError(f"stop_early: expected a score {name!r}, got {', '.join(terms)}.")
        for later in [each for each in scores if each >= step]:
            del scores[later]
        scores[step] = terms[name]
        seen[:] = [step]

    def stop() -> bool:
        told = [scores[step] for step in sorted(scores)]
        return bool(seen) and out_of_patience(told, patience, higher=higher, margin=margin)

    return EarlyStop(hook, stop)


def _logged(path: Path, name: str) -> dict[int, float]:
    """Return the scores of a log by their steps; null is NaN."""
    if not path.exists():
        return {}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if _is_before(line, 2**63))
    return {row["step"]: math.nan if row[name] is None else float(row[name]) for row in rows if name in row}


def _terms(info: Any) -> dict[str, float]:
    """Return the terms of an info, or scores, by name."""
    named = info if isinstance(info, Mapping) else info._asdict()
    return {name: float(value) for name, value in named.items()}


def log_jsonl(path: str | Path) -> Hook:
    """Write step, seconds and the terms of info as one JSON object a line; a value that is not finite becomes null.

    A run that is resumed, or goes back to a checkpoint, drops the lines of the steps that it is about to repeat. So a file has one writer.

    Args:
        path: of the file; appended to.
    """
    path, begin = Path(path), time.perf_counter()
    newest = None

    def log(state: Any, info: Any) -> None:
        nonlocal newest
        step = int(state.step)
        if newest is None or step <= newest:
            _drop_from(path, step)
        newest = step
        row = {name: value if math.isfinite(value) else None for name, value in _terms(info).items()}
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, "seconds": round(time.perf_counter() - begin, 3)} | row) + "\n")

    return log


def _drop_from(path: Path, step: int) -> None:
    """Keep the whole lines of earlier steps."""
    if not path.exists():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _is_before(line, step)]
    with replacing(path) as partial:
        partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _is_before(line: str, step: int) -> bool:
    """Tell whether a line is a row of an earlier step, and not one that was being written when the process was killed."""
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] < step


def log_tensorboard(folder: str | Path) -> Hook:
    """Write the terms of info for TensorBoard. Needs the package tensorboardX (``pip install 'jaxart[tensorboard]'``).

    Args:
        folder: of the event files.

    Raises:
        ImportError: tensorboardX is not installed.
    """
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    writer = SummaryWriter(str(folder))

    def log(state: Any, info: Any) -> None:
        for name, value in _terms(info).items():
            writer.add_scalar(name, value, int(state.step))
        writer.flush()

    return log
