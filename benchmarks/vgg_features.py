"""Question: are VGG-16's features those of PyTorch? Rival: the same network from torch's conv2d, relu and max_pool2d.

Compares six layers in float32 and, in float64, the gradient of the sum of their mean squares with respect to the
picture, with zeros and with the repeated border as padding of the first convolution. Exits with an error where the
largest difference, relative to the largest value, is above 1e-4.

In float32 a rounding error can move a pool's maximum, and with it the gradient, to another pixel; hence float64. In
evenly black areas features tie, and there ours share the gradient where torch gives it all to the first; hence a little
noise on the picture.
"""

import importlib
import importlib.util
import sys
from typing import Any

import numpy as np
from timing import describe, table

torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
BLOCKS = (2, 2, 3, 3, 3)
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1")
ALLOWED = 1e-4


def torch_arrays(variables: Any) -> dict[str, np.ndarray]:
    """Return the weights as torch keeps them, by name: kernels OIHW, and mean and std of RGB."""
    arrays = {name: np.asarray(variables["preprocessing"][name], np.float32) for name in ("mean", "std")}
    for name, leaves in variables["params"].items():
        arrays[f"{name}.kernel"] = np.ascontiguousarray(np.asarray(leaves["kernel"]).transpose(3, 2, 0, 1))
        arrays[f"{name}.bias"] = np.array(leaves["bias"])
    return arrays


def repeat_border(image: Any) -> Any:
    """Pad ``[..., H, W]`` by one pixel; torch.compile rejects its own derivative of torch's replicating pad."""
    wide = torch.cat([image[..., :1], image, image[..., -1:]], dim=-1)
    return torch.cat([wide[..., :1, :], wide, wide[..., -1:, :]], dim=-2)


def torch_features(weights: dict[str, Any], image: Any, layers: tuple[str, ...], first_padding: str) -> dict[str, Any]:
    """Return layers of VGG-16 ``[1, C, h, w]`` of a tensor ``[1, 3, H, W]``; stops at the deepest one asked for."""
    functional = torch.nn.functional
    x = (image - weights["mean"].view(1, 3, 1, 1)) / weights["std"].view(1, 3, 1, 1)
    features = {}
    for block, count in enumerate(BLOCKS, start=1):
        for index in range(1, count + 1):
            padding = 1
            if (block, index) == (1, 1) and first_padding == "replicate":
                x, padding = repeat_border(x), 0
            kernel, bias = (weights[f"conv{block}_{index}.{name}"] for name in ("kernel", "bias"))
            x = functional.relu(functional.conv2d(x, kernel, bias, padding=padding))
            if f"relu{block}_{index}" in layers:
                features[f"relu{block}_{index}"] = x
            if len(features) == len(layers):
                return features
        x = functional.max_pool2d(x, 2)
    raise ValueError(f"expected layers relu1_1 to relu5_3, got {layers}.")


def rival(variables: Any, image: np.ndarray, first_padding: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return torch's features by layer, ``[h, w, C]``, and the gradient, ``[H, W, 3]``, in the picture's precision."""
    weights = {name: torch.from_numpy(array.astype(image.dtype)) for name, array in torch_arrays(variables).items()}
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).requires_grad_(True)
    features = torch_features(weights, pixels, LAYERS, first_padding)
    torch.stack([torch.mean(layer**2) for layer in features.values()]).sum().backward()
    maps = {name: layer.detach()[0].permute(1, 2, 0).numpy() for name, layer in features.items()}
    return maps, pixels.grad[0].permute(1, 2, 0).numpy()


def ours(variables: Any, image: np.ndarray, first_padding: Any) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return our features by layer, ``[h, w, C]``, and the gradient, ``[H, W, 3]``, in the picture's precision."""
    import jax
    import jax.numpy as jnp

    from jaxart.models import VGG

    jax.config.update("jax_enable_x64", image.dtype == np.float64)
    network = VGG(depth=16, layers=LAYERS, first_padding=first_padding, dtype=image.dtype)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf, image.dtype), variables)

    def objective(pixels):
        features: Any = network.apply(weights, pixels[None])
        return sum(jnp.mean(layer**2) for layer in features.values()), features

    gradient, features = jax.jit(jax.grad(objective, has_aux=True))(jnp.asarray(image))
    return {name: np.asarray(layer[0]) for name, layer in features.items()}, np.asarray(gradient)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference divided by the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def compare() -> list[dict[str, Any]]:
    """Return one row for each layer and padding."""
    from jaxart import image, io, samples, weights

    variables = weights.load("vgg16")
    picture = io.read(samples.path("coffee"))
    picture = np.clip(np.asarray(image.resize(picture, image.fit_within(picture.shape[:2], 256))), 0, 1)
    picture += np.random.default_rng(0).uniform(-1e-3, 1e-3, picture.shape).astype(np.float32)
    rows = []
    for padding in ("zeros", "replicate"):
        maps, expected_maps = (side(variables, picture, padding)[0] for side in (ours, rival))
        slopes, expected_slopes = (side(variables, picture.astype(np.float64), padding)[1] for side in (ours, rival))
        errors = {name: relative_error(maps[name], expected_maps[name]) for name in LAYERS}
        errors["gradient in float64"] = relative_error(slopes, expected_slopes)
        for name, error in errors.items():
            row = {"name": f"{name}, {padding}", "ours": f"{error:.1e}", "rival": f"{ALLOWED:.0e}", "unit": "relative"}
            rows.append(row | {"ratio": ALLOWED / error if error else float("inf")})
    return rows


def main() -> None:
    """Print the error of each layer; leave with an error where one is above what is allowed."""
    if torch is None:
        sys.exit("vgg_features: this comparison needs PyTorch.")
    rows = compare()
    table(rows, "largest error", "allowed", describe())
    wrong = [row["name"] for row in rows if not row["ratio"] >= 1]
    if wrong:
        sys.exit(f"above {ALLOWED:.0e}: {'; '.join(wrong)}")


if __name__ == "__main__":
    main()
