"""Run folders of format 1, written by jaxart 0.1.0: read as today's."""

import hashlib
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxart.arrays import PyTree
from jaxart.training import Checkpoints

if TYPE_CHECKING:
    from jaxart.data import Dataset  # which takes a while to import, and a stylization's folder needs none

_RENAMED_OPTIONS = {"skips": "max_nonfinite_steps"}
_DROPPED_OPTIONS = ("dry_run", "devices", "coordinator", "processes", "process")  # where it ran, not what
_OLD_FIELDS = {
    "opt_state": "optimizer",
    "generator_opt_state": "generator_optimizer",
    "discriminator_opt_state": "discriminator_optimizer",
}


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a run.json of format 1 as that of a `Manifest`.

    Raises:
        KeyError: something is missing in it.
    """
    options = {
        _RENAMED_OPTIONS.get(name, name): value
        for name, value in content["options"].items()
        if name not in _DROPPED_OPTIONS
    }
    return {
        "kind": content["kind"],
        "options": options,
        "sources": {"data": {"path": content["data"], "digest": content["digest"], "examples": content["examples"]}},
        "facts": {"classes": content["classes"]},
        "steps": options["steps"],
        "jaxart": content["jaxart"],
        "began_as": 1,
        "format": 1,
    }


def digest(dataset: "Dataset") -> str:
    """Return the SHA-256 of the columns "image" and "label" and of the label's classes, as format 1 kept it."""
    images, labels = dataset.column("image"), dataset.column("label")
    content = hashlib.sha256(repr((images.dtype.name, images.shape, dataset.classes.get("label", ()))).encode())
    for array in (images, labels):
        content.update(np.ascontiguousarray(array).data.cast("B"))
    return content.hexdigest()


class OldCheckpoints(Checkpoints):
    """Checkpoints of a run that began in format 1: where a state has old names of fields, it is read by them. The leaves are the same."""

    def restore(self, step: int, like: PyTree, *, sharding: jax.sharding.Sharding | None = None) -> PyTree:
        """Return the state saved at `step`, under today's names or the old ones.

        Args and Raises: as `Checkpoints.restore`.
        """
        fields: tuple[str, ...] = like._fields
        if not _has_old_names(self.folder / str(step)):
            return super().restore(step, like, sharding=sharding)
        names = [_OLD_FIELDS.get(name, name) for name in fields]
        old = super().restore(step, namedtuple(type(like).__name__, names)(*like), sharding=sharding)
        return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(old))


def _has_old_names(checkpoint: Path) -> bool:
    names = (checkpoint / "state" / "_METADATA").read_text(encoding="utf-8")
    return any(f"'{old}'" in names for old in _OLD_FIELDS.values())
