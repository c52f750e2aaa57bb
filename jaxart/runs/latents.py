"""Files of latents: safetensors, with what kind of latent it is and of which weights beside the numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxart import io
from jaxart.tasks.generate import SPACES, Latent

FORMAT = "jaxart latent 1"
SUFFIX = ".safetensors"


def write_latent(path: str | Path, latent: Latent) -> Path:
    """Write a latent, atomically.

    Args:
        path: with the suffix .safetensors, in an existing folder.
        latent: such as `project` finds.

    Returns:
        The path.

    Raises:
        io.ImageError: another suffix, or no such folder.
    """
    path = io.check_writable(path, suffixes=(SUFFIX,))
    maps = {f"noise.{number}": each for number, each in enumerate(latent.noise or ())}
    arrays = {name: np.asarray(each, np.float32) for name, each in {"code": latent.code, **maps}.items()}
    about = {"space": latent.space, "label": latent.label, "run": latent.run}
    with io.replacing(path) as partial:
        partial.write_bytes(save(arrays, metadata={"format": FORMAT, "about": json.dumps(about, sort_keys=True)}))
    return path


def read_latent(path: str | Path) -> Latent:
    """Read a latent that `write_latent` wrote. Nothing in the file is run; whether it fits a run is asked where it is used.

    Args:
        path: of the file.

    Raises:
        ValueError: no such file, damaged, or no file of a latent.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected one that `project` wrote.")
    try:
        with safe_open(path, framework="np") as file:
            about = _about(path, file.metadata() or {})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise ValueError(f"{path}: damaged or not a safetensors file ({error}).") from error
    names = [f"noise.{number}" for number in range(len(arrays) - 1)]
    if set(arrays) != {"code", *names}:
        raise ValueError(f"{path}: damaged: expected code and noise maps, got {', '.join(arrays) or 'nothing'}.")
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.ndim != (2 if name == "code" else 4) or not np.isfinite(array).all():
            raise ValueError(f"{path}: damaged: {name} is not of finite numbers in the shape of a latent.")
    noise = tuple(arrays[name] for name in names)
    return Latent(about["space"], arrays["code"], noise or None, about["label"], about["run"])


def _about(path: Path, facts: dict[str, str]) -> dict[str, Any]:
    if facts.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a file of the format {FORMAT!r}, which `project` writes, got {facts.get('format')!r}."
        )
    try:
        about = json.loads(facts.get("about", ""))
        known = about["space"] in SPACES and isinstance(about["label"], int) and isinstance(about["run"], str)
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known or about["label"] < 0:
        raise ValueError(f"{path}: damaged: its description is none of a latent.")
    return about
