"""A picture split by rows over devices: how many take part, padding, and bringing it together."""

from typing import Any

import jax

from jaxart.arrays import PyTree
from jaxart.models import vgg_halo, vgg_stride
from jaxart.ops import sharded_rows
from jaxart.tasks.stylize.prepare import Stylization
from jaxart.tasks.stylize.recipe import Frozen, Rows, State
from jaxart.training import data_mesh, put, replicated, shard_padded


def rows_of(job: Stylization, index: int) -> Rows | None:
    """Return how the rows of a scale are split: over as many devices as each get the rows that features look beyond; None for one."""
    height, (halo, align) = job.sizes[index][0], vgg_halo(job.network.depth, job.network.layers)
    devices = [] if job.mesh is None else list(job.mesh.devices.flat)[: height // halo]
    if len(devices) < 2:
        return None
    own, read = sharded_rows(height, len(devices), halo=halo, align=align)
    return Rows(data_mesh(devices), height, own * len(devices), read)


def split_state(state: State, rows: Rows | None) -> State:
    """Pad and split what has the picture's shape, such as Adam's moments; the rest goes to every device."""

    if rows is None:
        return state

    def split(leaf: Any) -> Any:
        if leaf.ndim < 3:
            return put(leaf, replicated(rows.mesh))
        return shard_padded(leaf, rows.mesh, length=rows.padded, axis=leaf.ndim - 3)  # L-BFGS keeps several pictures

    return jax.tree.map(split, state)


def split_frozen(frozen: Frozen, rows: Rows | None) -> Frozen:
    """Pad and split content and masks; the rest goes to every device."""
    if rows is None:
        return frozen

    def split(layer: Any, name: str) -> Any:
        return shard_padded(layer, rows.mesh, length=rows.padded // vgg_stride(name))

    def by_layer(layers: dict[str, Any]) -> dict[str, Any]:
        return {name: split(layer, name) for name, layer in layers.items()}

    content = by_layer(frozen.content) if isinstance(frozen.content, dict) else split(frozen.content, "image")
    masks = None if frozen.masks is None else by_layer(frozen.masks)
    placed = put(frozen._replace(content=None, masks=None), replicated(rows.mesh))
    return placed._replace(content=content, masks=masks)


def gather(tree: PyTree, rows: Rows | None) -> PyTree:
    """Bring a state, or a picture, of any number of devices to the first of them, without its padding."""
    if rows is None:
        return tree

    def whole(leaf: jax.Array) -> jax.Array:
        leaf = jax.device_put(leaf, rows.mesh.devices.flat[0])
        return leaf if leaf.ndim < 3 else leaf[..., : rows.height, :, :]

    return jax.tree.map(whole, tree)
