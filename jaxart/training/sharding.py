"""Devices and processes.

The state is replicated and a batch sharded on its first axis; a step is written for the global batch, so its results do not depend on
the number of devices. `fit(mesh=...)` runs it so by default. A step built with ``axis_name=AXIS`` can be run per device instead, through
`by_shard_map` or `by_pmap`. A task that splits something else, such as the rows of one picture, places the arrays itself (`shard_padded`,
`put`), and `fit` leaves them there.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxart.arrays import Key, PyTree
from jaxart.training.hooks import Hook
from jaxart.training.recipe import Step

AXIS = "batch"


def connect(*, coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
    """Join the processes of a run, before anything else touches a device.

    Without arguments, on Slurm, Cloud TPU and Kubernetes, JAX finds them out; elsewhere the variables ``JAX_COORDINATOR_ADDRESS``,
    ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID`` may give them.

    Args:
        coordinator: "host:port" of process 0.
        processes: their number.
        process: the number of this one, from 0.
    """
    jax.distributed.initialize(coordinator, processes, process)


def simulate_devices(count: int) -> None:
    """Split the CPU into `count` simulated devices, before anything else touches a device.

    Raises:
        ValueError: fewer than one.
    """
    if count < 1:
        raise ValueError(f"simulate_devices: expected at least 1, got {count}.")
    jax.config.update("jax_num_cpu_devices", count)
    patience = "--xla_cpu_collective_call_terminate_timeout_seconds=600"  # many devices on few busy cores wait long
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {patience}".strip()


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return a mesh with one axis over `devices`, all by default."""
    chosen = np.asarray(jax.devices() if devices is None else devices)
    return Mesh(chosen, (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that keeps a whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Copy arrays, equal in all processes, to every device of a mesh.

    Args:
        tree: arrays.
        mesh: from `data_mesh`.
    """
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf), replicated(mesh)), tree)


def batch_sharding(mesh: Mesh, *, axis: int = 0) -> NamedSharding:
    """Return the sharding that splits an axis over the devices.

    Args:
        mesh: from `data_mesh`.
        axis: of the examples.
    """
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def put(tree: PyTree, sharding: NamedSharding) -> PyTree:
    """Give arrays a sharding; under jit too, where `jax.device_put` would do nothing.

    Args:
        tree: arrays, or `jax.ShapeDtypeStruct` of them, which are returned with the sharding.
        sharding: of every leaf.
    """

    def placed(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        traced = isinstance(leaf, Tracer)
        return (jax.lax.with_sharding_constraint if traced else jax.device_put)(leaf, sharding)

    return jax.tree.map(placed, tree)


def shard_padded(array: Any, mesh: Mesh, *, length: int, axis: int = 0) -> Any:
    """Pad an axis with zeros to a length that divides among the devices of a mesh, and split it over them.

    Args:
        array: an array or its `jax.ShapeDtypeStruct`.
        mesh: from `data_mesh`.
        length: of the axis, with the padding.
        axis: which one.
    """
    widths = [(0, length - array.shape[axis] if number == axis else 0) for number in range(array.ndim)]
    shape = tuple(size + added for size, (_, added) in zip(array.shape, widths, strict=True))
    struct = isinstance(array, jax.ShapeDtypeStruct)
    padded = jax.ShapeDtypeStruct(shape, array.dtype) if struct else jnp.pad(array, widths)
    return put(padded, batch_sharding(mesh, axis=axis))


def shard_batch(batch: PyTree, mesh: Mesh, *, axis: int = 0) -> PyTree:
    """Split the examples of a batch over the devices of a mesh.

    Args:
        batch: arrays of this process's examples, along `axis`.
        mesh: from `data_mesh`.
        axis: of the examples.

    Raises:
        ValueError: the number of examples is not a multiple of the number of devices.
    """
    local = len(mesh.local_devices)
    for leaf in jax.tree.leaves(batch):
        if leaf.shape[axis] % local:
            raise ValueError(
                f"a batch of {leaf.shape[axis]} does not divide among {local} devices: "
                f"take a multiple of {local}, or fewer devices."
            )
    sharding = batch_sharding(mesh, axis=axis)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch)


def this_process() -> tuple[int, int]:
    """Return the number of this process and how many there are."""
    return jax.process_index(), jax.process_count()


def example_keys(key: Key, count: int, *, axis_name: str | None = None) -> Key:
    """Return one key per example, folded with its number in the global batch, so that no two devices draw the same numbers.

    Args:
        key: typed key, the same on all devices.
        count: examples here: of the whole batch, or of the device's part under `axis_name`.
        axis_name: the mapped axis under shard_map or pmap.

    Returns:
        typed keys ``[count]``.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * count
    numbers = first + jnp.arange(count)
    numbers = _split_over_mesh(numbers) if axis_name is None else numbers
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)


def _split_over_mesh(numbers: jax.Array) -> jax.Array:
    """Split over the mesh that `fit` has set, if any; else every device would draw, and make, the whole batch."""
    if AXIS not in jax.sharding.get_abstract_mesh().axis_names:
        return numbers
    return jax.lax.with_sharding_constraint(numbers, PartitionSpec(AXIS))


def mean_over(tree: PyTree, axis_name: str | None) -> PyTree:
    """Average over the devices of a mapped axis.

    Args:
        tree: arrays.
        axis_name: the mapped axis; None, for a step on the global batch, returns `tree` unchanged.
    """
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def by_shard_map(step: Step, mesh: Mesh) -> Step:
    """Run a step built with ``axis_name=AXIS`` on each device's part of the batch. The result can be passed to `fit` or jitted.

    ``check_vma=False``: with its default, gradients averaged by hand come out too large by the number of devices.

    Args:
        step: built with ``axis_name=AXIS``.
        mesh: from `data_mesh`.
    """
    whole, split = PartitionSpec(), PartitionSpec(AXIS)

    def per_device(data: Any, state: Any, batch: PyTree, frozen: PyTree) -> tuple[Any, Any]:
        return step(jax.random.wrap_key_data(data), state, batch, frozen)

    mapped = jax.shard_map(
        per_device, mesh=mesh, in_specs=(whole, whole, split, whole), out_specs=(whole, whole), check_vma=False
    )
    return lambda key, state, batch, frozen: mapped(jax.random.key_data(key), state, batch, frozen)


def by_pmap(step: Step, *, devices: Sequence[Any] | None = None) -> Step:
    """Run a step built with ``axis_name=AXIS`` through `jax.pmap`; the batch is split here. Not for use under jit.

    Args:
        step: built with ``axis_name=AXIS``.
        devices: of this process; all of them by default.

    Raises:
        ValueError: when it is called: the batch does not divide among the devices.
    """
    chosen = list(jax.local_devices() if devices is None else devices)
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, None, 0, None), out_axes=None, devices=chosen)

    def split(leaf: Any) -> Any:
        if leaf.shape[0] % len(chosen):
            raise ValueError(f"a batch of {leaf.shape[0]} does not divide among {len(chosen)} devices.")
        return leaf.reshape(len(chosen), -1, *leaf.shape[1:])

    return lambda key, state, batch, frozen: mapped(key, state, jax.tree.map(split, batch), frozen)


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in any process, so that all of them stop at the same step."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def on_first_process(hook: Hook) -> Hook:
    """Let only the first process run a hook that writes."""
    return hook if jax.process_index() == 0 else lambda state, info: None
