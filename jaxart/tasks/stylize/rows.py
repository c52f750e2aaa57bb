"""A picture split by rows over devices: how many take part, padding, and bringing it together."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from jaxart.arrays import PyTree
from jaxart.models import VGG
from jaxart.ops import sharded_rows
from jaxart.tasks.stylize.terms import Term, terms_halo
from jaxart.training import data_mesh, put, replicated, shard_padded


class Rows(NamedTuple):
    """How a picture's rows are split over devices; arrays are padded below with zeros, which no sum counts and no step changes.

    Fields:
        mesh: the devices.
        height: rows of the picture.
        padded: rows of the arrays, a multiple of the number of devices.
        read: rows that each device reads, its neighbors' at its borders included.
    """

    mesh: Mesh
    height: int
    padded: int
    read: int


def rows_of(height: int, terms: tuple[Term, ...], network: VGG, mesh: Mesh | None) -> Rows | None:
    """Return how the rows of a picture are split; None for one device.

    Args:
        height: of the picture.
        terms: of the objective; as many devices take part as each get the rows that they look beyond.
        network: its layers are those of all terms.
        mesh: the devices there are; None for one.
    """
    halo, align = terms_halo(terms, network)
    devices = [] if mesh is None else list(mesh.devices.flat)[: height // halo]
    if len(devices) < 2:
        return None
    own, read = sharded_rows(height, len(devices), halo=halo, align=align)
    return Rows(data_mesh(devices), height, own * len(devices), read)


def split_state(state: PyTree, rows: Rows | None) -> Any:
    """Pad and split what has the picture's shape, such as Adam's moments; the rest goes to every device.

    Args:
        state: of a scale; leaves ``[..., H, W, C]`` are split.
        rows: how; None leaves all as it is.
    """
    if rows is None:
        return state

    def split(leaf: Any) -> Any:
        if leaf.ndim < 3:
            return put(leaf, replicated(rows.mesh))
        return shard_padded(leaf, rows.mesh, length=rows.padded, axis=leaf.ndim - 3)  # L-BFGS keeps several pictures

    return jax.tree.map(split, state)


def split_aligned(tree: PyTree, rows: Rows) -> PyTree:
    """Pad and split arrays of the picture's size, or of features of stride s, ``[H // s, W // s, C]``.

    Args:
        tree: pytree of such arrays.
        rows: how.
    """

    def split(leaf: Any) -> Any:
        stride = next(each for each in (1 << power for power in range(10)) if leaf.shape[0] == rows.height // each)
        return shard_padded(leaf, rows.mesh, length=rows.padded // stride)

    return jax.tree.map(split, tree)


def gather(tree: PyTree, rows: Rows | None) -> Any:
    """Bring a state, or a picture, of any number of devices to the first of them, without its padding.

    Args:
        tree: leaves ``[..., H, W, C]`` lose their padding.
        rows: how they are split; None leaves all as it is.
    """
    if rows is None:
        return tree

    def whole(leaf: jax.Array) -> jax.Array:
        leaf = jax.device_put(leaf, rows.mesh.devices.flat[0])
        return leaf if leaf.ndim < 3 else leaf[..., : rows.height, :, :]

    return jax.tree.map(whole, tree)
