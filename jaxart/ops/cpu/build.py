"""Build the kernel's libraries, one for each level of processor. Standard library only: the build of the package runs this file too."""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LIBRARIES = FOLDER / "libraries"  # those that an installed package carries
_COMMON = ("-O3", "-std=c++17", "-shared", "-fPIC", "-w")
_FLAGS = {
    "avx512": ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
    "neon": (),
}
_MACHINES = {"x86_64": ("avx512", "avx2"), "amd64": ("avx512", "avx2"), "aarch64": ("neon",), "arm64": ("neon",)}
_FEATURES = {"avx512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"}, "avx2": {"avx2", "fma"}}


class BuildError(RuntimeError):
    """There is no C++ compiler, or it failed."""


def levels() -> tuple[str, ...]:
    """Return the levels that can be built for this kind of processor, the fastest first; none for an unknown kind."""
    return _MACHINES.get(platform.machine().lower(), ())


def levels_here() -> tuple[str, ...]:
    """Return those of `levels` that this very processor has. Where it cannot be asked, the lowest: a library is tested before use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = set(next(line for line in lines if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return levels()[-1:]
    return tuple(level for level in levels() if _FEATURES.get(level, set()) <= features)


def library_name(level: str) -> str:
    """Return the file name of a library, which tells its level and its sources.

    Args:
        level: of `levels`.
    """
    sources = [path.read_bytes() for path in sorted(FOLDER.glob("*.h")) + sorted(FOLDER.glob("*.cc"))]
    fingerprint = hashlib.sha256(b"\0".join([*sources, " ".join(_COMMON + _FLAGS[level]).encode()])).hexdigest()[:12]
    return f"convolution-{level}-{fingerprint}.so"


def compiler() -> list[str]:
    """Return the command of the C++ compiler: what CXX names, else c++.

    Raises:
        BuildError: it is not there.
    """
    command = shlex.split(os.environ.get("CXX") or "c++")
    if shutil.which(command[0]) is None:
        raise BuildError(f"no C++ compiler {command[0]!r}")
    return command


def compile_library(level: str, library: Path, *, include: str) -> None:
    """Compile the kernel for a level; the library appears whole or not at all.

    Args:
        level: of `levels`.
        library: the file to write.
        include: folder of XLA's headers, as `jax.ffi.include_dir()` tells it.

    Raises:
        BuildError: there is no compiler, or it failed; the message contains the end of its output.
        OSError: the folder cannot be written to.
    """
    command = [*compiler(), *_COMMON, *_FLAGS[level], f"-I{include}", str(FOLDER / "convolution.cc")]
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        try:
            done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise BuildError(f"{command[0]} cannot be started: {error}") from error
        if done.returncode or not made.exists():
            raise BuildError(f"{command[0]} failed: {_complaint(done)}")
        made.replace(library)


def _complaint(done: subprocess.CompletedProcess) -> str:
    """Return the first error in a compiler's output, or its last line."""
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return next((line for line in lines if "error" in line), lines[-1])[:200]
