"""Where a command runs: devices, other processes, and the programs compiled for them."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jax.sharding import Mesh


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs between runs, so that the second starts at once."""
    import jax

    from jaxart.cache import cache_folder

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def mesh_of(
    devices: int | None,
    *,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> "Mesh | None":
    """Return the mesh that the flags ask for, before anything else touches a device; None for a single device.

    Args:
        devices: --devices: how many, simulated ones on a CPU; None for all. Of several processes each takes all of its own.
        coordinator: --coordinator: HOST:PORT of process 0, or "auto".
        processes: --processes: how many there are.
        process: --process: the number of this one, from 0.

    Raises:
        ValueError: fewer than one device, or more than there are.
    """
    import jax

    from jaxart import training

    if devices is not None and devices < 1:
        raise ValueError(f"--devices: expected at least 1, got {devices}.")
    if devices is not None and devices > 1:
        training.simulate_devices(devices)
    if coordinator == "auto":
        training.connect()
    elif coordinator is not None:
        training.connect(coordinator=coordinator, processes=processes, process=process)
    found = jax.devices()
    if devices is not None and training.this_process()[1] == 1:
        if len(found) < devices:
            raise ValueError(f"--devices {devices}: this machine has {len(found)}; ask for at most that.")
        found = found[:devices]
    return training.data_mesh(found) if len(found) > 1 else None
