"""The command info."""

from jaxart.cli.terminal import format_size, show, table


def info() -> int:
    """Show versions, devices, memory and where things are kept."""
    import importlib.metadata
    import os
    import platform

    import jax

    from jaxart import memory, weights
    from jaxart.cache import cache_folder
    from jaxart.ops import convolution_path

    packages = ("jaxart", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")
    free = memory.available()
    kept = [name for name in weights.SETS if weights.locate(name).is_file()]
    facts = {
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages),
        "python": f"{platform.python_version()} on {platform.platform()}",
        "devices": f"{', '.join(map(str, jax.devices()))} ({os.cpu_count()} CPU cores)",
        "free memory": "unknown" if free is None else format_size(free),
        "convolution": convolution_path(),
        "cache": str(cache_folder()),
        "weights": ", ".join(kept) or "none in the cache yet",
    }
    show(table(facts.items()))
    return 0
