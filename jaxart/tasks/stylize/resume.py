"""Resuming: which checkpoints belong to a stylization, and the state of the newest intact one."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Key
from jaxart.tasks.stylize.prepare import Stylization
from jaxart.tasks.stylize.recipe import MemoryMode, State, initial_state
from jaxart.training import Checkpoints, DifferentRunError


def fingerprint(job: Stylization, key: Key) -> dict[str, str]:
    """Return short strings that are equal only for runs with the same result, by name, so that an error can name what differs."""

    def digest(*arrays: Any) -> str:
        sha = hashlib.sha256()
        for array in arrays:
            sha.update(np.asarray(array).tobytes())
        return sha.hexdigest()[:16]

    kernels = [leaves["kernel"] for leaves in job.variables["params"].values()]
    return {
        "content": digest(job.content),
        "styles": digest(*job.styles),
        "masks": digest(job.masks if job.masks is not None else 0),
        "sizes and steps": str([*zip(job.sizes, job.steps, strict=True)]),
        "weights of the terms": str([np.asarray(value).tolist() for value in job.loss_weights]),
        "weights and scale of the styles": str((job.style_weights, job.style_scale)),
        "layers, network": str((job.content_layers, job.style_layers, job.network)),
        "features": digest(*kernels),
        "colors and init": f"{job.colors} {job.init}",
        "optimizer": str(jax.tree.structure(job.optimizer.init(jnp.zeros(1)))),
        "seed": digest(jax.random.key_data(key)),
    }


def resumed(job: Stylization, checkpoints: Checkpoints, identity: dict[str, str]) -> tuple[int, State]:
    """Return (scale, state) of the newest intact checkpoint; warn of damaged ones.

    Raises:
        ValueError: there is none, or they belong to another stylization.
    """

    def like(notes: dict[str, Any]) -> State:
        _check_same(notes["stylization"], identity)
        image = jax.ShapeDtypeStruct((*job.sizes[notes["scale"]], 3), jnp.float32)
        return jax.eval_shape(lambda x: initial_state(x, job.optimizer), image)

    state, notes = checkpoints.newest(like)
    return notes["scale"], state


def noted_memory_modes(folder: Path) -> tuple[MemoryMode, ...] | None:
    """Return the memory modes of the run whose checkpoints are in a folder, or None. In other modes it continues to rounding."""
    checkpoints = Checkpoints(folder)
    try:
        for step in checkpoints.steps():
            try:
                return tuple(MemoryMode(*each) for each in checkpoints.notes(step)["memory_modes"])
            except Exception:  # a damaged checkpoint; `resumed` says so
                continue
        return None
    finally:
        checkpoints.close()


def _check_same(saved: dict[str, str], now: dict[str, str]) -> None:
    changed = [name for name in now if saved.get(name) != now[name]]
    if changed:
        raise DifferentRunError(
            f"resume: the checkpoints are of another run; different: {', '.join(changed)}. Use the same arguments, or start anew."
        )
