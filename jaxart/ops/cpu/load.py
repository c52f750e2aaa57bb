"""Find a library of the kernel for this computer, test it in a process of its own, and make its functions known to XLA."""

import ctypes
import functools
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from jaxart.cache import cache_folder
from jaxart.ops.cpu.build import LIBRARIES, BuildError, compile_library, compiler, levels_here, library_name

TARGETS = ("jaxart_convolve", "jaxart_input_gradient", "jaxart_kernel_gradient")
_TEST = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).jaxart_self_test())"
_log = logging.getLogger("jaxart")


class Kernel(NamedTuple):
    """The outcome: the ``level`` of the library in use, or None, and ``why`` in words."""

    level: str | None
    why: str


@functools.cache
def kernel() -> Kernel:
    """Load the kernel on the first call. Whatever is wrong with it, the answer is a reason, and one line in the log."""
    failures = []
    for library in _candidates(failures):
        try:
            _check(library)
            _register(library)
        except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
            failures.append(f"{library.name}: {_first_line(error)}")
        else:
            origin = "from the package" if library.parent == LIBRARIES else f"compiled here, {library}"
            return Kernel(library.name.split("-")[1], origin)
    why = "; ".join(failures) or "none for this processor"
    _log.warning("jaxart: no compiled kernel, convolutions are slower (%s). JAXART_NATIVE=0 stops this notice.", why)
    return Kernel(None, why)


def _candidates(failures: list[str]) -> Iterator[Path]:
    """Yield the package's libraries for this processor, then the one in the cache, compiled if it is not there yet."""
    for level in levels_here():
        library = LIBRARIES / library_name(level)
        if library.is_file():
            yield library
    for level in levels_here()[:1]:
        library = cache_folder() / "native" / f"jaxlib-{jax.lib.__version__}" / library_name(level)
        try:
            if not library.is_file():
                compiler()
                _log.warning("jaxart: compiling the convolution kernel for this computer, once")
                compile_library(level, library, include=jax.ffi.include_dir())
        except (BuildError, OSError) as error:
            failures.append(_first_line(error))
        else:
            yield library


def _check(library: Path) -> None:
    """Run the library's own test in another process, so that a crash stays there.

    Raises:
        RuntimeError: it crashed or found wrong results.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TEST, str(library)], capture_output=True, text=True, timeout=60
    )
    if done.returncode < 0:
        raise RuntimeError(f"it crashed in its test (signal {-done.returncode}); delete it to have it compiled anew")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["wrong results"]
        raise RuntimeError(f"it failed its test ({last[0]}); delete it to have it compiled anew")


def _register(library: Path) -> None:
    loaded = ctypes.CDLL(str(library))
    for name in TARGETS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
