"""Checkpoints of a run's state, through Orbax."""

import contextlib
import gc
import hashlib
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart.arrays import PyTree
from jaxart.ops import native_in_use


class DifferentRunError(ValueError):
    """The checkpoints belong to another run."""


class Checkpoints:
    """The latest checkpoints of a run, and the best ones, in a folder. Each is written whole or not at all.

    Args:
        folder: created on the first save.
        keep: number of the latest to keep, at least 1.
        best: number of those with the highest score to keep besides.
        read_only: never write to the folder, not even to clean it up.
    """

    def __init__(self, folder: str | Path, *, keep: int = 2, best: int = 0, read_only: bool = False):
        self.folder, self._keep, self._best, self._read_only = Path(folder).absolute(), keep, best, read_only
        self._manager = None
        self._intact: dict[int, str] = {}  # the notes of what was written or verified here

    def _open(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp  # over a second to import, and not every run saves

            policies = ocp.checkpoint_managers
            kept: list[Any] = [policies.LatestN(self._keep)]
            if self._best:
                kept.append(policies.BestN(get_metric_fn=lambda scores: scores["score"], n=self._best))
            with _quiet():
                options = ocp.CheckpointManagerOptions(
                    preservation_policy=_UpToTheLastSaved(policies.AnyPreservationPolicy(kept)),
                    enable_async_checkpointing=False,
                    create=not self._read_only,
                    read_only=self._read_only,
                )
                self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def save(self, step: int, state: PyTree, notes: dict[str, Any], *, score: float | None = None) -> None:
        """Write state and JSON-able notes under `step`, unless they are known to be there already.

        Later checkpoints, left by a run that was resumed from before them, are dropped once this one is written.

        Args:
            step: steps done.
            state: arrays, the same in all processes.
            notes: returned by `notes`.
            score: higher is better; keeps the checkpoint among the best.

        Raises:
            OSError: it cannot be written.
        """
        import orbax.checkpoint as ocp

        notes = notes | {"checksums": _checksums(state), "convolution": _convolution()}
        args = ocp.args.Composite(state=ocp.args.StandardSave(_present(state)), notes=ocp.args.JsonSave(notes))
        described = json.dumps(notes, sort_keys=True)
        if step in self.steps():
            if self._intact.get(step) == described:
                return self._drop_after(step)
            self._delete(step)  # Orbax replaces nothing
        failure = None
        with _quiet():
            try:
                self._open().save(step, args=args, metrics=None if score is None else {"score": score}, force=True)
            except Exception as error:  # of many kinds, from C++ too
                failure = str(error).splitlines()[0]
            if failure is not None:
                gc.collect()  # what the error held prints tracebacks when it is collected: now, not at the program's end
        if failure is not None:
            raise OSError(
                f"the checkpoint of step {step} cannot be written to {self.folder}: is the disk full? Those before it are intact. "
                f"({failure})"
            )
        self._intact[step] = described
        self._drop_after(step)

    def _drop_after(self, step: int) -> None:
        for later in self.steps():
            if later > step:
                self._delete(later)

    def _delete(self, step: int) -> None:
        self._intact.pop(step, None)
        self._open().delete(step)

    def steps(self) -> list[int]:
        """Return the steps that were saved, the newest first; nothing if there is no folder."""
        return sorted(self._open().all_steps(), reverse=True) if self.folder.is_dir() else []

    def notes(self, step: int) -> dict[str, Any]:
        """Return the notes of a checkpoint."""
        import orbax.checkpoint as ocp

        return self._open().restore(step, args=ocp.args.Composite(notes=ocp.args.JsonRestore()))["notes"]

    def restore(self, step: int, like: PyTree, *, sharding: jax.sharding.Sharding | None = None) -> PyTree:
        """Return the state saved at `step`.

        Args:
            step: one of `steps()`.
            like: a state of the same structure, or its `jax.eval_shape`.
            sharding: where the arrays go; the first device by default.

        Raises:
            ValueError: the bytes are not those that were saved.
        """
        import orbax.checkpoint as ocp

        here = sharding or jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), _present(like))
        saved = self._open().restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
        state = like._replace(**saved) if isinstance(saved, dict) and hasattr(like, "_replace") else saved
        notes = self.notes(step)
        if _checksums(state) != notes["checksums"]:
            raise ValueError(f"checkpoint of step {step} in {self.folder.name} is damaged: its checksums do not match.")
        self._intact[step] = json.dumps(notes, sort_keys=True)
        return state

    def newest(
        self, like: Callable[[dict[str, Any]], PyTree], *, sharding: jax.sharding.Sharding | None = None
    ) -> tuple[PyTree, dict[str, Any]]:
        """Return the state and the notes of the newest intact checkpoint; warn of damaged ones.

        Args:
            like: function from a checkpoint's notes to the `like` of `restore`. It may raise `DifferentRunError`, which is passed on.
            sharding: as in `restore`.

        Raises:
            ValueError: there is none, or none that can be read.
        """
        steps = self.steps()
        if not steps:
            raise ValueError(f"resume: no checkpoint found in {self.folder.name}; they are written as a run goes on.")
        for step in steps:
            try:
                notes = self.notes(step)
                state = self.restore(step, like(notes), sharding=sharding)
            except DifferentRunError:
                raise
            except Exception as error:  # Orbax raises many kinds on a damaged folder
                warnings.warn(
                    f"checkpoint of step {step} cannot be read ({error}); trying the one before.", stacklevel=2
                )
            else:
                _tell_of_another_path(notes.get("convolution"))
                return state, notes
        raise ValueError(f"resume: none of the {len(steps)} checkpoints in {self.folder.name} can be read.")

    def close(self) -> None:
        """Release Orbax's threads."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None


def _present(state: Any) -> Any:
    """Return the fields of a state that it has: those that are None are not saved, so that checkpoints outlive fields that are added."""
    if not hasattr(state, "_asdict"):
        return state
    return {name: value for name, value in state._asdict().items() if value is not None}


def _convolution() -> str:
    """Return what computes convolutions here, as checkpoints note it."""
    return "compiled kernel" if native_in_use() else "XLA"


def _tell_of_another_path(before: str | None) -> None:
    now = _convolution()
    if before not in (None, now):
        warnings.warn(
            f"the run was computed with the convolutions of {before} and goes on with those of {now}: it continues to rounding, not bit "
            "for bit.",
            stacklevel=3,
        )


class _UpToTheLastSaved:
    """Apply a policy to the checkpoints up to the one that was just saved, the last of the list; `Checkpoints` drops the later ones itself.

    Without it they would count among the latest, and the one just saved would be deleted in their place.
    """

    def __init__(self, policy: Any):
        self._policy = policy

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return which checkpoints Orbax is to keep."""
        saved = checkpoints[-1].step
        among = [each for each in checkpoints if each.step <= saved]
        kept = self._policy.should_preserve(among, context=context)
        dropped = {each.step for each, keep in zip(among, kept, strict=True) if not keep}
        return [each.step not in dropped for each in checkpoints]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tracebacks that Orbax's threads print for an error that is raised here anyway."""
    loggers, hook = [logging.getLogger(name) for name in ("absl", "asyncio")], sys.unraisablehook
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    sys.unraisablehook = lambda unraisable: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = hook
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _checksums(state: PyTree) -> list[str]:
    return [hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest() for leaf in jax.tree.leaves(state)]
