"""What is to be done: a stylization, its scales, and how each is computed."""

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxart.arrays import PyTree
from jaxart.losses import StyleLoss
from jaxart.models import VGG
from jaxart.tasks.stylize.optimizers import Optimizer
from jaxart.tasks.stylize.rows import Rows, rows_of
from jaxart.tasks.stylize.terms import SMOOTHNESS, StyleTargets, Term, WeightedTerm, content_term, style_term

SMALLEST = 16  # pixels that VGG needs on the short side to reach relu5_1


class MemoryMode(NamedTuple):
    """How a scale is computed; all give the same gradient. Memory is saved at the price of work.

    Fields:
        rematerialize: compute the first block of VGG anew for the derivative: an eighth less memory.
        tile: largest side of the tiles that are worked on one after another; None takes the picture whole.
        recompute: compute the content's features anew in each step instead of storing them.
    """

    rematerialize: bool = False
    tile: int | None = None
    recompute: bool = False

    @property
    def name(self) -> str:
        """Return what it is called in messages and tables, such as "tiled 512"."""
        where = "whole" if self.tile is None else f"tiled {self.tile}"
        kept = ["rematerialized"] * (self.rematerialize and self.tile is None) + ["targets recomputed"] * self.recompute
        return ", ".join([where, *kept])


WHOLE = MemoryMode()
MEMORY_MODES = (
    WHOLE,
    MemoryMode(True),
    MemoryMode(True, 1024),
    MemoryMode(True, 512),
    MemoryMode(True, 256, True),
)  # quick first, small last


class PaintingTargets(NamedTuple):
    """Style targets of every scale, made once by `painting_targets` and used for many pictures.

    Fields:
        scales: the targets per scale.
        made_for: what they depend on, by name.
    """

    scales: tuple[StyleTargets, ...]
    made_for: dict[str, Any]


class Stylization(NamedTuple):
    """A stylization whose arguments were checked: what `run` runs and `plan` predicts. Made by `prepare`."""

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    masks: np.ndarray | None
    sizes: tuple[tuple[int, int], ...]  # (height, width) per scale
    steps: tuple[int, ...]  # per scale
    result_size: tuple[int, int]
    style_weights: tuple[float, ...]
    style_scale: float
    loss_weights: dict[str, jax.Array]  # of content, style (one per layer) and smoothness
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_loss: StyleLoss
    terms: tuple[WeightedTerm, ...]  # beside content, style and smoothness
    optimizer: Optimizer
    network: VGG
    variables: PyTree
    colors: str
    init: str | np.ndarray
    targets: PaintingTargets | None  # made before; else each scale makes its own
    memory_modes: tuple[MemoryMode, ...]  # per scale
    mesh: Mesh | None  # over which the picture's rows are split


class Scale(NamedTuple):
    """One scale of a stylization.

    Fields:
        job: the stylization.
        index: of the scale, from 0.
        size: (height, width).
        steps: to do.
        memory_mode: how it is computed.
        rows: how the picture is split over devices, or None.
    """

    job: Stylization
    index: int
    size: tuple[int, int]
    steps: int
    memory_mode: MemoryMode
    rows: Rows | None


def scale_of(job: Stylization, index: int) -> Scale:
    """Return the record of one scale.

    Args:
        job: from `prepare`.
        index: of the scale, from 0.
    """
    size = job.sizes[index]
    rows = rows_of(size[0], objective_terms(job), job.network, job.mesh)
    return Scale(
        job=job, index=index, size=size, steps=job.steps[index], memory_mode=job.memory_modes[index], rows=rows
    )


def objective_terms(job: Stylization) -> tuple[Term, ...]:
    """Return the terms of the objective in the order in which they are added up."""
    added = [each.term for each in job.terms]
    return (content_term(job.content_layers), style_term(job.style_layers, job.style_loss), SMOOTHNESS, *added)


def check_additive(terms: tuple[Term, ...], tile: int | None, devices: bool) -> None:
    """Refuse tiles and several devices for terms that do not add up over them.

    Args:
        terms: of the objective.
        tile: of the memory mode.
        devices: whether the picture is split over several.

    Raises:
        ValueError: names the term.
    """
    whole = [term.name for term in terms if not term.additive]
    if whole and (tile is not None or devices):
        ask = "a memory mode without tiles" if tile is not None else "no mesh"
        raise ValueError(
            f"the term {whole[0]!r} is a function of whole feature maps, which do not add up over tiles and devices: expected {ask}. "
            "Choose a smaller size, or another term."
        )


def digest(tree: PyTree) -> str:
    """Return a short string that is equal for equal arrays of equal shapes."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        sha.update(f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


def network_digest(variables: PyTree) -> str:
    """Return a digest of a network's parameters and preprocessing; precomputed kernels, which follow from them, are left out."""
    return digest({name: variables[name] for name in ("params", "preprocessing") if name in variables})
