"""The painter of `models.AnyStyleNet` written in PyTorch, as one would write it there: channels last, inference mode."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

_EPSILON = 1e-5


def painter(params: dict[str, Any], style: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from a photograph ``[H, W, 3]``, sides multiples of 8, to the picture in a style ``[D]``."""
    net, vector = params["painter"], torch.from_numpy(np.array(style))

    def head(layer: dict[str, Any]) -> torch.Tensor:
        kernel, bias = (torch.from_numpy(np.array(layer[name])) for name in ("kernel", "bias"))
        return vector @ kernel + bias

    def kernel(name: str) -> torch.Tensor:
        return torch.from_numpy(np.transpose(net[name]["kernel"], (3, 2, 0, 1)).copy()).contiguous(
            memory_format=torch.channels_last
        )

    norms = {
        name: (1 + head(layer["scale"]), head(layer["shift"])) for name, layer in net.items() if name.endswith("_norm")
    }
    filters = {name: _depthwise(head(layer["kernel"])) for name, layer in net.items() if name.endswith("_filter")}
    blocks, coarse_blocks = (sum(name.startswith(kind) for name in filters) for kind in ("block", "coarse"))
    kernels = {name: kernel(name) for name, layer in net.items() if np.ndim(layer.get("kernel")) == 4}
    gate = head(net["coarse_kept"]) if coarse_blocks else torch.zeros(())
    kept, bias = head(net["kept"]), torch.from_numpy(np.array(net["picture"]["bias"]))
    matrix, shift = torch.eye(3) + head(net["colors"]["matrix"]).reshape(3, 3), head(net["colors"]["shift"])

    def convolved(x: torch.Tensor, name: str, pad: int, stride: int = 1) -> torch.Tensor:
        padded = functional.pad(x, (pad,) * 4, mode="replicate") if pad else x
        return functional.conv2d(padded, kernels[name], stride=stride)

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        scale, moved = norms[f"{name}_norm"]
        return functional.batch_norm(x, None, None, scale, moved, training=True, eps=_EPSILON)

    def block(x: torch.Tensor, name: str, spacing: int) -> torch.Tensor:
        y = torch.relu(normed(convolved(x, f"{name}_1", 1), f"{name}_1"))
        y = functional.pad(y, (spacing,) * 4, mode="replicate")
        y = functional.conv2d(y, filters[f"{name}_filter"], groups=y.shape[1], dilation=spacing)
        return x + normed(convolved(y, f"{name}_2", 0), f"{name}_2")

    def with_coarse(x: torch.Tensor) -> torch.Tensor:
        y = before = functional.avg_pool2d(x, 2)
        for n in range(1, coarse_blocks + 1):
            y = block(y, f"coarse{n}", n + 1)
        return x + functional.interpolate(gate[:, None, None] * (y - before), scale_factor=2.0, mode="nearest")

    def paint(photo: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = 2 * torch.from_numpy(photo).permute(2, 0, 1)[None] - 1
            x = _halved(x).contiguous(memory_format=torch.channels_last)
            x = fine = torch.relu(normed(convolved(x, "first", 1), "first"))
            x = torch.relu(normed(convolved(x, "down", 1, 2), "down"))
            for n in range(1, blocks + 1):
                x = block(x, f"block{n}", n)
                x = with_coarse(x) if n == blocks // 2 and coarse_blocks else x
            y = convolved(functional.interpolate(x, scale_factor=2.0, mode="nearest"), "up", 1)
            x = torch.relu(normed(y, "up") + kept[:, None, None] * fine)
            x = convolved(x, "picture", 1) + bias[:, None, None]
            x = _doubled(x)
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
            x = (x - mean) / torch.sqrt(variance + _EPSILON)
            x = torch.sigmoid(torch.einsum("bchw,cd->bdhw", x, matrix) + shift[:, None, None])
            return x[0].permute(1, 2, 0).contiguous().numpy()

    return paint


def _depthwise(values: torch.Tensor) -> torch.Tensor:
    """Return the filters ``[C, 1, 3, 3]`` of ``[9 C]``, the identity added."""
    kernel = values.reshape(3, 3, -1).permute(2, 0, 1)[:, None].clone()
    kernel[:, :, 1, 1] += 1
    return kernel


def _halved(x: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = x.shape
    x = x.reshape(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, channels // 4, 2 * height, 2 * width)
