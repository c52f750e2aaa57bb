"""Ending a run whose reports no longer improve, with the weights of the best one.

Reports are what a run writes to its samples as JSON, with a number "watched": the higher, the better. They and the best state are in its
folder, so a run that is resumed ends at the same step with the same bits.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxart import training
from jaxart.arrays import key_words
from jaxart.runs.run import Run, keys_of
from jaxart.training import Checkpoints, Hook

_FOLDER = "best"


class Patience(NamedTuple):
    """What ends a run early.

    Fields:
        hook: keeps the state of the best report so far; on all processes, after the hook that writes reports.
        stop: whether it is enough, as far as the hook has seen; for `fit`.
        out: ``step -> bool``: whether it is enough by the reports up to a step; asked on all processes.
        finish: ``(state, checkpoints) -> state``: make the best state the last of the run, and save it as that.
    """

    hook: Hook
    stop: Callable[[], bool]
    out: Callable[[int], bool]
    finish: Callable[[Any, Checkpoints], Any]


def patience_of(run: Run) -> Patience | None:
    """Return what ends a run early; None where its options do not ask for that.

    Args:
        run: any.
    """
    reports = getattr(run.options, "patience", 0)
    if not reports:
        return None

    seen = [0]

    def keep(state: Any, info: Any) -> None:
        del info
        seen[0] = int(state.step)
        if training.any_process(_first_process() and _is_best(_watched(run.folder, seen[0]))):
            kept = _best(run)
            kept.save(seen[0], state, {})
            kept.close()

    def stop() -> bool:
        return _first_process() and training.out_of_patience(_watched(run.folder, seen[0]), reports)

    def out(step: int) -> bool:
        told = _watched(run.folder, step) if _first_process() else []
        return training.any_process(training.out_of_patience(told, reports))

    def finish(state: Any, saved: Checkpoints) -> Any:
        kept = _best(run)
        if kept.steps():
            state = kept.newest(lambda notes: state)[0]._replace(step=jnp.int32(run.options.steps))
            saved.save(run.options.steps, state, {"key": key_words(keys_of(run)[1]), "rollbacks": 0})
        kept.close()
        return state

    hook = training.periodically(run.options.sample_every, keep, last=run.options.steps)
    return Patience(hook, stop, out, finish)


def refuse_longer(run: Run, steps: int | None, done: int) -> None:
    """Refuse more steps for a run that has ended early.

    Args:
        run: as it is in its folder.
        steps: that are asked for.
        done: so far.

    Raises:
        ValueError: it has ended early.
    """
    patience, ends = patience_of(run), run.options.steps
    if patience is not None and steps is not None and steps > ends and done >= ends and patience.out(done):
        raise ValueError(
            f"{run.folder}: ended early, as {run.options.patience} reports were no better than the best; more steps make it no longer. "
            "Begin a new run with more patience."
        )


def best_step(folder: Path) -> int | None:
    """Return the step whose weights answer in a run that ended by patience; None in others.

    Args:
        folder: of a run.
    """
    kept = Checkpoints(folder / _FOLDER, read_only=True)
    steps = kept.steps()
    kept.close()
    return max(steps, default=None)


def _first_process() -> bool:
    return training.this_process()[0] == 0


def _best(run: Run) -> Checkpoints:
    return Checkpoints(run.folder / _FOLDER, keep=1)


def _watched(folder: Path, until: int) -> list[float]:
    """Return what is watched of the reports up to a step, in their order."""
    told = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "samples").glob("step*.json"))]
    return [math.nan if each["watched"] is None else each["watched"] for each in told if each["step"] <= until]


def _is_best(told: list[float]) -> bool:
    """Tell whether the last is better than all before it; the first is kept whatever it is."""
    before = [each for each in told[:-1] if math.isfinite(each)]
    return len(told) == 1 or (math.isfinite(told[-1]) and told[-1] > max(before, default=-math.inf))
