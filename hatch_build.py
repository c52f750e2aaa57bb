"""Build hook: compile the convolution kernel into wheels and editable installs where there is a C++ compiler; without one, go on without.

The package works without the kernel, and compiles it on first use if a compiler appears later. JAXART_NATIVE=0 leaves it out.
"""

import functools
import importlib.util
import os
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent


def _build_module():
    """Load jaxart/ops/cpu/build.py alone: the package itself cannot be imported while it is built."""
    spec = importlib.util.spec_from_file_location("build_kernel", ROOT / "jaxart/ops/cpu/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reason_not_to() -> str | None:
    build = _build_module()
    if os.environ.get("JAXART_NATIVE") == "0":
        return "JAXART_NATIVE=0"
    if not build.levels():
        return "none for this kind of processor"
    try:
        build.compiler()
    except build.BuildError as error:
        return str(error)
    return None


class KernelHook(BuildHookInterface):
    """Compiles a library for every level of this kind of processor; an editable install needs that of this processor alone."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what compiling needs: the headers that come with jaxlib."""
        return [] if self.target_name != "wheel" or _reason_not_to() else ["jaxlib>=0.10"]

    def initialize(self, version: str, build_data: dict) -> None:
        """Compile, and add the libraries to the wheel; an editable install gets them in its source folder."""
        if self.target_name != "wheel":
            return
        build = _build_module()
        reason = _reason_not_to()
        if reason is None:
            editable = version == "editable"
            self._made = tempfile.TemporaryDirectory()  # until the wheel is written, when the hook goes
            folder = build.LIBRARIES if editable else Path(self._made.name)
            try:
                libraries = self._compiled(build, build.levels_here() if editable else build.levels(), folder)
            except (build.BuildError, OSError, ImportError) as error:
                reason = str(error)
            else:
                if not editable:
                    inside = build.LIBRARIES.relative_to(ROOT)
                    build_data["force_include"] |= {str(each): str(inside / each.name) for each in libraries}
                    build_data["tag"] = f"py3-none-{_platform()}"
                    build_data["pure_python"] = False
        if reason is not None:
            self.app.display_warning(
                f"jaxart: without the compiled kernel ({reason}); everything works, slower on CPUs."
            )

    @staticmethod
    def _compiled(build, levels: tuple[str, ...], folder: Path) -> list[Path]:
        import jaxlib

        include = str(Path(jaxlib.__file__).parent / "include")
        missing = {level: folder / build.library_name(level) for level in levels}
        libraries = list(missing.values())
        for other in set(folder.glob("*.so")) - set(libraries):
            other.unlink()  # of earlier sources
        missing = {level: library for level, library in missing.items() if not library.is_file()}
        with ThreadPoolExecutor() as pool:
            list(pool.map(functools.partial(build.compile_library, include=include), missing, missing.values()))
        return libraries


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
