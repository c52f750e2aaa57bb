"""Networks of instant style as ONNX files, for programs without JAX.

The graph says the same as `models.ManyStyleNet` and `models.AnyStyleNet`, with ONNX's own operators and for one picture. Inside, features
are ``[1, C, H, W]``. References: the operators of ONNX, https://onnx.ai/onnx/operators.
"""

import importlib.util
import json
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxart.arrays import PyTree
from jaxart.models.stylenet import EPSILON
from jaxart.tasks.stylize.any_style import AnyStyleModel
from jaxart.tasks.stylize.instant import StyleModel
from jaxart.version import __version__

_OPSET, _IR_VERSION = 18, 8  # those of ONNX 1.13, so that runtimes since 2023 read it
_SIDES = ("height", "width")


class _Graph(NamedTuple):
    """What has been written so far. Values are known by names; nodes are (operator, inputs, output, attributes)."""

    nodes: list[tuple[str, list[str], str, dict[str, Any]]]
    constants: dict[str, np.ndarray]


def export_onnx(model: StyleModel | AnyStyleModel) -> bytes:
    """Return a network with its weights as the content of an ONNX file, for pictures of any size. It needs the package onnx.

    Its inputs are ``image [height, width, 3]`` in [0, 1], float32, and ``mix [styles]``, the weight of each style; one of any style takes
    ``painting [painting_height, painting_width, 3]`` in [0, 1] instead, best with a long side of 512 pixels. The output is
    ``picture [height, width, 3]`` in [0, 1]. The file's metadata hold what is known of the network as JSON, "names" of the styles among it.

    Args:
        model: of many styles or of any; written in float32, whatever the module's dtype.

    Raises:
        ValueError: the package onnx is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ValueError("ONNX files need the package onnx, which is not installed (pip install 'jaxart[onnx]').")
    graph, params = _Graph([], {}), jax.device_get(model.variables["params"])
    if isinstance(model, AnyStyleModel):
        style, second = (
            _encoded(graph, "painting", params["encoder"]),
            {"painting": ["painting_height", "painting_width", 3]},
        )
    else:
        style, second = "mix", {"mix": [len(model.names)]}
    _painted(graph, style, params["painter"], model.network)
    return _serialized(graph, {"image": [*_SIDES, 3], **second}, model.about)


def _serialized(graph: _Graph, inputs: dict[str, list], about: dict[str, Any]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def described(values: dict[str, list]) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]

    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(name, taken, [made], **form) for name, taken, made, form in graph.nodes],
            "jaxart",
            described(inputs),
            described({"picture": [*_SIDES, 3]}),
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="jaxart",
        producer_version=__version__,
    )
    helper.set_model_props(model, {name: json.dumps(value) for name, value in about.items()})
    return model.SerializeToString(deterministic=True)


def _node(graph: _Graph, operator: str, *inputs: str | np.ndarray, output: str = "", **attributes: Any) -> str:
    """Write a node and return the name of what it makes; arrays among its inputs become constants."""
    names = []
    for each in inputs:
        if not isinstance(each, str):
            name = f"constant{len(graph.constants)}"
            graph.constants[name] = np.ascontiguousarray(each)
            each = name
        names.append(each)
    output = output or f"{operator.lower()}{len(graph.nodes)}"
    graph.nodes.append((operator, names, output, attributes))
    return output


def _whole(*numbers: int) -> np.ndarray:
    return np.asarray(numbers, np.int64)


def _numbers(*numbers: float) -> np.ndarray:
    return np.asarray(numbers, np.float32)


def _begun(graph: _Graph, image: str) -> str:
    """Turn a picture ``[H, W, 3]`` in [0, 1] into features ``[1, 3, H, W]`` in [-1, 1]."""
    doubled = _node(graph, "Mul", image, _numbers(2))
    centered = _node(graph, "Sub", doubled, _numbers(1))
    turned = _node(graph, "Transpose", centered, perm=[2, 0, 1])
    return _node(graph, "Unsqueeze", turned, _whole(0))


def _continued(graph: _Graph, image: str, stride: int) -> str:
    """Repeat the border of a picture below and right, so that its sides are multiples of `stride`."""
    missing = _node(graph, "Mod", _node(graph, "Neg", _sides(graph, image)), _whole(stride))
    pads = _node(graph, "Concat", _whole(0, 0, 0), missing, _whole(0), axis=0)
    return _node(graph, "Pad", image, pads, mode="edge")


def _ended(graph: _Graph, x: str) -> str:
    """Turn numbers ``[H, W, 3]`` into the colors of the picture, cropped."""
    colors = _node(graph, "Sigmoid", x)
    return _node(graph, "Slice", colors, _whole(0, 0), _sides(graph, "image"), _whole(0, 1), output="picture")


def _sides(graph: _Graph, image: str) -> str:
    return _node(graph, "Shape", image, start=0, end=2)


def _channels_last(graph: _Graph, x: str) -> str:
    return _node(graph, "Transpose", _node(graph, "Squeeze", x, _whole(0)), perm=[1, 2, 0])


def _bordered(graph: _Graph, x: str, pad: int) -> str:
    return _node(graph, "Pad", x, _whole(*(0, 0, pad, pad) * 2), mode="edge") if pad else x


def _convolved(graph: _Graph, x: str, params: PyTree, *, stride: int = 1, up: bool = False) -> str:
    """Write a `BorderConvolution`."""
    kernel = params["kernel"].transpose(3, 2, 0, 1)
    if up:
        x = _resized(graph, x)
    x = _bordered(graph, x, (kernel.shape[-1] - 1) // 2)
    bias = [params["bias"]] if "bias" in params else []
    return _node(graph, "Conv", x, kernel, *bias, strides=[stride, stride])


def _resized(graph: _Graph, x: str) -> str:
    """Double a picture by nearest neighbors."""
    form = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return _node(graph, "Resize", x, "", _numbers(1, 1, 2, 2), **form)


def _normalized(graph: _Graph, x: str, scale: str | np.ndarray, shift: str | np.ndarray) -> str:
    return _node(graph, "InstanceNormalization", x, scale, shift, epsilon=EPSILON)


def _moments(graph: _Graph, x: str) -> list[str]:
    """Write the means and deviations of channels, ``[C]`` each."""
    axes = _whole(0, 2, 3)
    mean = _node(graph, "ReduceMean", x, axes, keepdims=1)
    away = _node(graph, "Sub", x, mean)
    variance = _node(graph, "ReduceMean", _node(graph, "Mul", away, away), axes, keepdims=0)
    deviation = _node(graph, "Sqrt", _node(graph, "Add", variance, _numbers(EPSILON)))
    return [_node(graph, "Squeeze", mean, axes), deviation]


def _linear(graph: _Graph, style: str, kernel: np.ndarray, bias: np.ndarray) -> str:
    return _node(graph, "Add", _node(graph, "MatMul", style, kernel), bias)


def _encoded(graph: _Graph, painting: str, params: PyTree) -> str:
    """Write the part that makes a style ``[D]`` of a painting."""
    x = _begun(graph, painting)
    found = _moments(graph, x)
    for level in range(1, 5):
        x = _node(graph, "Relu", _convolved(graph, x, params[f"level{level}"], stride=2))
        found += _moments(graph, x)
    hidden = _linear(graph, _node(graph, "Concat", *found, axis=0), **params["hidden"])
    return _linear(graph, _node(graph, "Relu", hidden), **params["style"])


def _painted(graph: _Graph, style: str, params: PyTree, network: Any) -> str:
    """Write a `StylePainter`."""

    def normed(x: str, name: str, *, relu: bool = True, **form: Any) -> str:
        scale, shift = (params[f"{name}_norm"][each] for each in ("scale", "shift"))
        scale = _linear(graph, style, scale["kernel"], scale["bias"] + 1)
        x = _convolved(graph, x, params[name], **form)
        x = _normalized(graph, x, scale, _linear(graph, style, **shift))
        return _node(graph, "Relu", x) if relu else x

    def block(x: str, name: str, spacing: int) -> str:
        inner = _filtered(graph, normed(x, f"{name}_1"), style, params[f"{name}_filter"], spacing)
        return _node(graph, "Add", x, normed(inner, f"{name}_2", relu=False))

    def with_coarse(x: str) -> str:
        y = before = _node(graph, "AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        for number in range(1, network.coarse_blocks + 1):
            y = block(y, f"coarse{number}", number + 1)
        gate = _node(graph, "Unsqueeze", _linear(graph, style, **params["coarse_kept"]), _whole(1, 2))
        added = _node(graph, "Mul", gate, _node(graph, "Sub", y, before))
        return _node(graph, "Add", x, _resized(graph, added))

    x = _node(graph, "SpaceToDepth", _begun(graph, _continued(graph, "image", network.stride)), blocksize=2)
    x = fine = normed(x, "first")
    x = normed(x, "down", stride=2)
    middle = network.blocks // 2
    for number in range(1, middle + 1):
        x = block(x, f"block{number}", number)
    x = with_coarse(x) if network.coarse_blocks else x
    for number in range(middle + 1, network.blocks + 1):
        x = block(x, f"block{number}", number)
    kept = _node(graph, "Unsqueeze", _linear(graph, style, **params["kept"]), _whole(1, 2))
    x = _node(graph, "Add", normed(x, "up", relu=False, up=True), _node(graph, "Mul", kept, fine))
    x = _convolved(graph, _node(graph, "Relu", x), params["picture"])
    return _ended(graph, _colored(graph, _node(graph, "DepthToSpace", x, blocksize=2), style, params["colors"]))


def _filtered(graph: _Graph, x: str, style: str, params: PyTree, spacing: int) -> str:
    """Filter each channel by its own 3 x 3 kernel, the identity plus a linear function of the style."""
    kernel, bias = (params["kernel"][each] for each in ("kernel", "bias"))
    channels = bias.size // 9
    turned = kernel.reshape(-1, 9, channels).swapaxes(1, 2).reshape(len(kernel), -1)  # a channel's nine side by side
    identity = np.eye(9, dtype=np.float32)[4]
    made = _linear(graph, style, turned, (bias.reshape(9, channels).T + identity).reshape(-1))
    made = _node(graph, "Reshape", made, _whole(channels, 1, 3, 3))
    form = {"group": channels, "dilations": [spacing, spacing]}
    return _node(graph, "Conv", _bordered(graph, x, spacing), made, **form)


def _colored(graph: _Graph, x: str, style: str, params: PyTree) -> str:
    """Normalize colors, mix them by a matrix, the identity plus a linear function of the style, and shift them: ``[H, W, 3]``."""
    x = _normalized(graph, x, _numbers(1, 1, 1), _numbers(0, 0, 0))
    kernel, bias = (params["matrix"][each] for each in ("kernel", "bias"))
    matrix = _linear(graph, style, kernel, bias + np.eye(3, dtype=np.float32).reshape(-1))
    mixed = _node(graph, "MatMul", _channels_last(graph, x), _node(graph, "Reshape", matrix, _whole(3, 3)))
    return _node(graph, "Add", mixed, _linear(graph, style, **params["shift"]))
