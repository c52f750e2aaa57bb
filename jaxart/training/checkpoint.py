"""Checkpoints of a run's state, through Orbax."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart.arrays import PyTree


class Checkpoints:
    """The last two checkpoints of a run, in a folder. Each is written whole or not at all.

    Args:
        folder: created on the first save.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        self._manager = None

    def _open(self) -> Any:
        if self._manager is None:
            import orbax.checkpoint as ocp  # over a second to import, and not every run saves

            options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False, create=True)
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        return self._manager

    def save(self, step: int, state: PyTree, notes: dict[str, Any]) -> None:
        """Write state and JSON-able notes under `step`. Later checkpoints, left by a run that was resumed from before them, are dropped."""
        import orbax.checkpoint as ocp

        notes = notes | {"checksums": _checksums(state)}
        args = ocp.args.Composite(state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(notes))
        for later in self.steps():
            if later >= step:
                self._open().delete(later)
        self._open().save(step, args=args, force=True)

    def steps(self) -> list[int]:
        """Return the steps that were saved, the newest first; nothing if there is no folder."""
        return sorted(self._open().all_steps(), reverse=True) if self.folder.is_dir() else []

    def notes(self, step: int) -> dict[str, Any]:
        """Return the notes of a checkpoint."""
        import orbax.checkpoint as ocp

        return self._open().restore(step, args=ocp.args.Composite(notes=ocp.args.JsonRestore()))["notes"]

    def restore(self, step: int, like: PyTree) -> PyTree:
        """Return the state saved at `step`.

        Args:
            step: one of `steps()`.
            like: a state of the same structure, or its `jax.eval_shape`.

        Raises:
            ValueError: the bytes are not those that were saved.
        """
        import orbax.checkpoint as ocp

        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        target = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), like)
        state = self._open().restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
        if _checksums(state) != self.notes(step)["checksums"]:
            raise ValueError(f"checkpoint of step {step} in {self.folder.name} is damaged: its checksums do not match.")
        return state

    def close(self) -> None:
        """Release Orbax's threads."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None


def _checksums(state: PyTree) -> list[str]:
    return [hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest() for leaf in jax.tree.leaves(state)]
