"""Commands about the program itself: versions, devices, weights."""

import importlib.metadata
import os
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxart import memory, weights
from jaxart.cache import cache_folder
from jaxart.ops import native_in_use
from jaxart.weights import readers
from jaxart.weights.library import from_arrays, keep


def info() -> int:
    """Print versions, devices, memory, folders and weights."""
    import jax

    table = Table(show_header=False, box=None)
    names = ("jaxart", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")
    table.add_row("versions", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
    table.add_row("python", f"{platform.python_version()} on {platform.platform()}")
    table.add_row("devices", ", ".join(str(device) for device in jax.devices()) + f" ({os.cpu_count()} CPU cores)")
    free = memory.available()
    table.add_row("free memory", "unknown" if free is None else f"{free / 2**30:.1f} GiB")
    table.add_row(
        "convolution", "compiled kernel" if native_in_use() else "XLA (JAXART_NATIVE=1 for a compiled kernel)"
    )
    table.add_row("cache", str(cache_folder()))
    table.add_row(
        "weights", ", ".join(name for name in weights.SETS if weights.locate(name).is_file()) or "none in the cache yet"
    )
    Console().print(table)
    return 0


def list_weights() -> int:
    """Print the known sets."""
    table = Table("name", "here", "package", "hub", "license")
    for known in weights.SETS.values():
        here = "yes" if weights.locate(known.name).is_file() else "no"
        table.add_row(known.name, here, known.package or "-", known.hub, known.license)
    for extra in sorted(weights.locate("x").parent.glob("*.safetensors")):
        if extra.stem not in weights.SETS:
            table.add_row(extra.stem, "yes", "-", "-", "as stated by whoever gave the file")
    Console().print(table)
    return 0


def fetch(name: str) -> int:
    """Bring a set into the cache."""
    print(f"{name}: {weights.provide(name)}")
    return 0


def add(name: str, file: Path) -> int:
    """Read a file and keep it in the cache under a name."""
    if Path(name).name != name or name.startswith(".") or Path(name).suffix:
        raise ValueError(f"{name!r}: expected a plain name such as vgg19, without folders or extension.")
    print(f"{name}: {keep(name, from_arrays(readers.read(file), file.name))}")
    return 0
