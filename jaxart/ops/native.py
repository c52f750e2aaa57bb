"""A compiled convolution for CPUs (the folder cpu), direct and in Winograd's form, built on demand; off unless asked for."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array
from jaxart.cache import cache_folder
from jaxart.ops.winograd import Pads, Pair

_FOLDER = Path(__file__).with_name("cpu")
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-w")
_TARGETS = ("jaxart_convolve", "jaxart_input_gradient", "jaxart_kernel_gradient")
LEAST = 16  # channels that fill the kernel's vectors; on both sides, those from which Winograd's form pays (as in winograd.h)
_state = {"asked": os.environ.get("JAXART_NATIVE", "") not in ("", "0"), "loaded": False}


def use_native(on: bool = True) -> None:
    """Let convolutions on a CPU use the compiled kernel, in programs traced from now on.

    The first call compiles it, in some ten seconds, into `cache.cache_folder()`. JAXART_NATIVE=1 in the environment asks for the same at
    the first convolution. It is float32 only and does not support sharding, so it is not used where a process has several CPU devices.

    Args:
        on: False goes back to XLA's convolution.

    Raises:
        RuntimeError: there is no C++ compiler (c++, or the one that CXX names), or it failed; the message contains its output.
    """
    _state["asked"] = on
    if on:
        _load()


def native_in_use() -> bool:
    """Tell whether convolutions on a CPU take the compiled kernel; loads it if it was asked for."""
    if not _state["asked"] or jax.local_device_count("cpu") > 1:
        return False
    _load()
    return True


def _load() -> None:
    if _state["loaded"]:
        return
    library = ctypes.CDLL(str(_built()))
    for name in _TARGETS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    _state["loaded"] = True


def _built() -> Path:
    """Return the library for these sources, processor, compiler and jaxlib, compiled if it is not there yet."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(
            f"native convolution: no C++ compiler {compiler[0]!r} was found. Install one (Debian: apt install g++), name it with CXX, "
            "or leave JAXART_NATIVE unset: everything works without."
        )
    command = [*compiler, *_FLAGS, f"-I{jax.ffi.include_dir()}", str(_FOLDER / "convolution.cc")]
    sources = [each.read_bytes() for each in sorted(_FOLDER.iterdir())]
    names = [each.encode() for each in (_processor(), " ".join(command), jax.lib.__version__)]
    fingerprint = hashlib.sha256(b"\0".join(sources + names)).hexdigest()[:16]
    library = cache_folder() / "native" / f"convolution-{fingerprint}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"native convolution: {compiler[0]} failed: {done.stderr.strip()[-800:]}")
        made.replace(library)
    return library


def _processor() -> str:
    """Return what -march=native depends on, so that a cache shared by machines holds a library for each."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor()


def convolve(images: Array, kernel: Array, stride: int, pads: Pads, winograd: bool) -> jax.Array:
    """Correlate images with a kernel, as `ops.conv2d`, float32.

    Args:
        images: ``[N, H, W, C]``.
        kernel: ``[kh, kw, C, O]``.
        stride: step in both directions.
        pads: zeros around the images; negative ones crop.
        winograd: allow Winograd's form.

    Returns:
        ``[N, H', W', O]``.
    """
    size = [(images.shape[1 + a] + sum(pads[a]) - kernel.shape[a]) // stride + 1 for a in (0, 1)]
    shape = (images.shape[0], *size, kernel.shape[3])
    return _call("jaxart_convolve", shape, images, kernel, stride, pads, winograd)


def suits(channels: int, dtype: Any) -> bool:
    """Tell whether the compiled convolution is in use and worth calling.

    Args:
        channels: of the side that fills the vectors.
        dtype: of the arrays.
    """
    return channels >= LEAST and dtype == jnp.float32 and native_in_use()


def suits_input_gradient(kernel: Array, stride: int) -> bool:
    """Tell whether `input_gradient` supports a kernel; it has Winograd's form only.

    Args:
        kernel: ``[kh, kw, C, O]``.
        stride: step in both directions.
    """
    return (*kernel.shape[:2], stride) in ((3, 3, 1), (4, 4, 2)) and min(kernel.shape[2:]) >= LEAST


def input_gradient(cotangent: Array, kernel: Array, size: Pair, stride: int, pads: Pads) -> jax.Array:
    """Return the gradient of `convolve` with respect to its images.

    Args:
        cotangent: ``[N, H', W', O]``.
        kernel: as in `convolve`.
        size: (H, W) of the images.
        stride: as in `convolve`.
        pads: as in `convolve`.

    Returns:
        ``[N, H, W, C]``.
    """
    shape = (cotangent.shape[0], *size, kernel.shape[2])
    return _call("jaxart_input_gradient", shape, cotangent, kernel, stride, pads, True)


def kernel_gradient(
    images: Array, cotangent: Array, kernel_size: Pair, stride: int, pads: Pads, winograd: bool
) -> jax.Array:
    """Return the gradient of `convolve` with respect to its kernel.

    Args:
        images: as in `convolve`.
        cotangent: ``[N, H', W', O]``.
        kernel_size: (kh, kw).
        stride: as in `convolve`.
        pads: as in `convolve`.
        winograd: as in `convolve`.

    Returns:
        ``[kh, kw, C, O]``.
    """
    shape = (*kernel_size, images.shape[3], cotangent.shape[3])
    return _call("jaxart_kernel_gradient", shape, images, cotangent, stride, pads, winograd)


def _call(target: str, shape: tuple, left: Array, right: Array, stride: int, pads: Pads, winograd: bool):
    call = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(shape, jnp.float32), vmap_method="sequential")
    geometry = {"stride": np.int64(stride), "top": np.int64(pads[0][0]), "left": np.int64(pads[1][0])}
    return call(left, right, **geometry, winograd=np.bool_(winograd))
