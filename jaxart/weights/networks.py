"""Networks of our own training as safetensors: half-precision arrays, and beside them what one must know to build and use them.

Compressed ones (`compressed_bytes`) are read by the same functions.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxart.arrays import PyTree
from jaxart.weights.compressed import COMPRESSED, decode
from jaxart.weights.quantized import flat_arrays
from jaxart.weights.readers import WeightsError, in_one_order

FORMAT = "jaxart network 1"
SHIPPED = ("styles", "any_style", "icons", "cracks", "denoise", "inpaint", "upscale_x2", "upscale_x3", "upscale_x4")


class Network(NamedTuple):
    """A trained network.

    Fields:
        params: of the module, float32 NumPy arrays.
        about: JSON values that its kind needs, such as the names of its styles.
    """

    params: PyTree
    about: dict[str, Any]


def shipped(name: str) -> Path:
    """Return the file of a network that comes with the package, one of `SHIPPED`; its model card lies beside it, as NAME.md."""
    return Path(str(files("jaxart.weights") / "shipped" / f"{name}.safetensors"))


def network_file(path: str | Path | None, *, default: str) -> Path:
    """Return the file that a path speaks of: where nothing is there, a network of the package by its name.

    Args:
        path: of a file, or one of `SHIPPED`; None for the default, whatever is there.
        default: one of `SHIPPED`.
    """
    if path is None:
        return shipped(default)
    return shipped(str(path)) if str(path) in SHIPPED and not Path(path).exists() else Path(path)


def network_bytes(network: Network) -> bytes:
    """Return a network as the content of a safetensors file; what stands for numbers is rounded to half precision.

    Args:
        network: whose params are dicts in dicts.

    Raises:
        WeightsError: a number that is not finite in half precision.
    """
    arrays = {name: np.asarray(leaf, np.float16) for name, leaf in flat_arrays(network.params).items()}
    for name, leaf in arrays.items():
        if not np.isfinite(leaf).all():
            raise WeightsError(f"{name}: not finite in half precision.")
    return in_one_order(save(arrays, metadata={"format": FORMAT, "about": json.dumps(network.about, sort_keys=True)}))


def network_kind(path: str | Path) -> str:
    """Return what kind of network a file says it holds; "" where it is no file of `network_bytes` or `compressed_bytes`.

    Args:
        path: of a .safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
        about = json.loads(facts.get("about", "")) if facts.get("format") in (FORMAT, COMPRESSED) else None
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError):
        return ""
    return str(about.get("kind", "")) if isinstance(about, dict) else ""


def read_network(path: str | Path, *, kind: str) -> Network:
    """Read a network that `network_bytes` or `compressed_bytes` wrote. Nothing in the file is run.

    Args:
        path: of a .safetensors file.
        kind: what ``about["kind"]`` must be.

    Raises:
        WeightsError: no such file, damaged, or of another format or kind.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file.")
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            about = _about(path.name, facts, kind)  # before any array is read
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise WeightsError(f"{path.name}: damaged or not a safetensors file ({error}).") from error
    if facts["format"] == COMPRESSED:
        return Network(_tree(path.name, decode(path.name, arrays, facts)), about)
    for name, leaf in arrays.items():
        if leaf.dtype != np.float16 or not np.isfinite(leaf).all():
            raise WeightsError(f"{path.name}: {name} is not of finite numbers in half precision.")
    return Network(_tree(path.name, arrays), about)


def _about(name: str, facts: dict[str, str], kind: str) -> dict[str, Any]:
    if facts.get("format") not in (FORMAT, COMPRESSED):
        raise WeightsError(f"{name}: expected the format {FORMAT!r}, got {facts.get('format')!r}.")
    try:
        about = json.loads(facts.get("about", ""))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{name}: its description is no JSON ({error}).") from error
    found = about.get("kind") if isinstance(about, dict) else None
    if found != kind:
        raise WeightsError(f"{name}: expected a network of the kind {kind!r}, got {found!r}.")
    return about


def _tree(file: str, arrays: dict[str, np.ndarray]) -> PyTree:
    tree: dict[str, Any] = {}
    for name, leaf in arrays.items():
        *branches, last = name.split(".")
        place = tree
        for branch in branches:
            place = place.setdefault(branch, {})
            if not isinstance(place, dict):
                raise WeightsError(f"{file}: {name} lies within another array.")
        if last in place:
            raise WeightsError(f"{file}: {name} is there twice.")
        place[last] = leaf.astype(np.float32)
    return tree
