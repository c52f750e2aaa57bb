"""Keeping a stylization: which checkpoints belong to it, saving, and the state of the newest intact one."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Key
from jaxart.tasks.stylize.job import MemoryMode, Scale, Stylization, digest, network_digest
from jaxart.tasks.stylize.step import State, initial_state
from jaxart.tasks.stylize.terms import WeightedTerm
from jaxart.training import Checkpoints, DifferentRunError

# What changes the result by rounding at most; every other field of a stylization is part of its fingerprint.
ROUNDING_FIELDS = ("memory_modes", "mesh", "targets")


class Keeper(NamedTuple):
    """Where a run is kept.

    Fields:
        checkpoints: its folder, opened.
        fingerprint: of the run, from `fingerprint`.
        save_every: steps between checkpoints.
    """

    checkpoints: Checkpoints
    fingerprint: dict[str, str]
    save_every: int


def fingerprint(job: Stylization, key: Key) -> dict[str, str]:
    """Return short strings that are equal only for runs with the same result, by name, so that an error can name what differs.

    Args:
        job: from `prepare`.
        key: typed key of the run.
    """
    return {
        "content": digest(job.content),
        "styles": digest(job.styles),
        "masks": digest(job.masks),
        "sizes and steps": str((job.sizes, job.steps, job.result_size)),
        "weights of the terms": str({name: np.asarray(value).tolist() for name, value in job.loss_weights.items()}),
        "weights and scale of the styles": str((job.style_weights, job.style_scale)),
        "layers, network": str((job.content_layers, job.style_layers, job.network)),
        "features": network_digest(job.variables),
        "style loss": str(job.style_loss.name),
        "other terms": str([_described(each) for each in job.terms]),
        "optimizer": str(job.optimizer.name),
        "colors": job.colors,
        "init": job.init if isinstance(job.init, str) else digest(job.init),
        "seed": digest(jax.random.key_data(key)),
    }


def _described(each: WeightedTerm) -> tuple:
    term = each.term
    return (term.name, term.settings, term.layers, float(each.weight), digest(each.pictures), digest(each.targets))


def save(keeper: Keeper | None, scale: Scale, state: State) -> None:
    """Write a checkpoint.

    Args:
        keeper: where; None writes nothing.
        scale: the one that the state is of.
        state: on one device.
    """
    if keeper is not None:
        job = scale.job
        step = sum(job.steps[: scale.index]) + int(state.step)
        notes = {"scale": scale.index, "stylization": keeper.fingerprint, "memory_modes": job.memory_modes}
        keeper.checkpoints.save(step, state, notes)


def restored(job: Stylization, keeper: Keeper) -> tuple[int, State]:
    """Return (scale, state) of the newest intact checkpoint; warn of damaged ones.

    Args:
        job: from `prepare`.
        keeper: of the run.

    Raises:
        ValueError: there is none, they belong to another stylization or to jaxart 0.1, the style loss or the optimizer has no name, or a
            term no settings.
    """
    _check_named(job)

    def like(notes: dict[str, Any]) -> State:
        _check_version(notes)
        _check_same(notes["stylization"], keeper.fingerprint)
        image = jax.ShapeDtypeStruct((*job.sizes[notes["scale"]], 3), jnp.float32)
        return jax.eval_shape(lambda x: initial_state(x, job.optimizer.transformation), image)

    state, notes = keeper.checkpoints.newest(like)
    return notes["scale"], state


def _check_named(job: Stylization) -> None:
    """Refuse what cannot be told from another with the same shapes."""
    given = (
        ("optimizer", job.optimizer.name, 'Optimizer(optax.adam(0.1), name="adam(0.1)")'),
        ("style_loss", job.style_loss.name, 'StyleLoss(target, distance, name="mine(power=3)")'),
    )
    for what, name, example in given:
        if name is None:
            raise ValueError(
                f"resume: the {what} has no name by which the checkpoints could know it. Give its name and settings from the start, "
                f"such as {example}."
            )
    for name in (each.term.name for each in job.terms if each.term.settings is None):
        raise ValueError(
            f"resume: the term {name!r} has no settings by which the checkpoints could know it. Give them from the start, "
            'such as Term(..., settings="power=3"), or "" if it has none.'
        )


def noted_memory_modes(folder: Path | Checkpoints) -> tuple[MemoryMode, ...] | None:
    """Return the memory modes of the run whose checkpoints are in a folder, or None. In other modes it continues to rounding."""
    checkpoints = folder if isinstance(folder, Checkpoints) else Checkpoints(folder, read_only=True)
    try:
        for step in checkpoints.steps():
            try:
                return tuple(MemoryMode(*each) for each in checkpoints.notes(step)["memory_modes"])
            except Exception:  # a damaged checkpoint; `restored` says so
                continue
        return None
    finally:
        if checkpoints is not folder:
            checkpoints.close()


def _check_version(notes: dict[str, Any]) -> None:
    if "rungs" in notes:  # what 0.1 called the memory modes
        raise DifferentRunError(
            "resume: the checkpoints were written by jaxart 0.1 and cannot be continued by this version. Finish the run with 0.1, or start "
            "anew in another folder."
        )


def _check_same(saved: dict[str, str], now: dict[str, str]) -> None:
    changed = [name for name in now if saved.get(name) != now[name]]
    if changed:
        raise DifferentRunError(
            f"resume: the checkpoints are of another run; different: {', '.join(changed)}. Use the same arguments, or start anew."
        )
