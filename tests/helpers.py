"""What several test files make their inputs and processes with."""

import functools
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from jaxart.models.vgg import CHANNELS, CONVOLUTIONS


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that a test starts: one CPU device, programs compiled as here."""
    flags = os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=8", "").strip()
    return {**os.environ, "XLA_FLAGS": flags, **more}


def random_torchvision(depth: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights in torchvision's layout, features.N.weight OIHW, small enough not to explode."""
    rng, arrays, index, previous = np.random.default_rng(seed), {}, 0, 3
    for channels, count in zip(CHANNELS, CONVOLUTIONS[depth], strict=True):
        for _ in range(count):
            kernel = rng.standard_normal((channels, previous, 3, 3), np.float32) * np.sqrt(2 / (9 * previous))
            arrays[f"features.{index}.weight"] = kernel.astype(np.float32)
            arrays[f"features.{index}.bias"] = rng.standard_normal(channels).astype(np.float32) * 0.1
            index, previous = index + 2, channels
        index += 1
    return arrays


def example(name: str) -> ModuleType:
    """Return a program of the folder examples, as a module."""
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def gelu(x):
    """Return JAX's default GELU, by its formula, in NumPy."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x):
    """Return the logistic function, in NumPy."""
    return 1 / (1 + np.exp(-x))


def close(got, expected, tolerance=2e-5):
    """Compare arrays in any tree."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), got, expected)
