"""Check what a wheel carries: `python check_wheel.py WHEEL`. Prints its size; exits with a message about the first thing amiss."""

import re
import shutil
import sys
import zipfile
from pathlib import Path

NEEDED = (
    r"jaxart/py\.typed",
    r"jaxart/samples/.*\.(jpg|png)",
    r"jaxart/samples/SOURCES\.md",
    *(
        rf"jaxart/weights/shipped/{name}\.{suffix}"
        for name in (
            "styles",
            "any_style",
            "icons",
            "cracks",
            "denoise",
            "inpaint",
            "upscale_x2",
            "upscale_x3",
            "upscale_x4",
        )
        for suffix in ("safetensors", "md")
    ),
    r"jaxart/ops/cpu/convolution\.cc",
    r"jaxart/ops/cpu/winograd\.h",
    r"jaxart-[^/]*\.dist-info/licenses/LICENSE",
    r"jaxart-[^/]*\.dist-info/entry_points\.txt",
)
KERNELS = r"jaxart/ops/cpu/libraries/convolution-\w+-\w+\.so"
FOREIGN = r"(tests|benchmarks|docs|examples|build|\.ci)/|.*(__pycache__|\.pyc$|\.run/)"
NETWORKS = r"jaxart/weights/shipped/\w+\.safetensors"
LARGEST_NETWORK, LARGEST_REST = 4 << 20, 2 << 20  # bytes, compressed: of each network, of all else together


def main(wheel: Path) -> None:
    """Check one wheel."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {each.filename: each.compress_size for each in archive.infolist()}
        names = list(sizes)
        version = re.search(r"^Version: (.*)$", archive.read(_one(names, r".*/METADATA")).decode(), re.M)
        stated = re.search(r'__version__ = "(.*)"', archive.read("jaxart/version.py").decode())
    for pattern in NEEDED:
        _one(names, pattern)
    if foreign := [name for name in names if re.match(FOREIGN, name)]:
        sys.exit(f"{wheel.name}: does not belong there: {foreign[:5]}")
    if not version or not stated or version[1] != stated[1]:
        sys.exit(f"{wheel.name}: two versions, {version} and {stated}")
    if shutil.which("c++"):
        _one(names, KERNELS)
    if ("py3-none-any" in wheel.name) == any(re.fullmatch(KERNELS, name) for name in names):
        sys.exit(f"{wheel.name}: libraries and the platform in its name do not go together")
    networks = [size for name, size in sizes.items() if re.fullmatch(NETWORKS, name)]
    for what, size, most in (
        ("a network", max(networks), LARGEST_NETWORK),
        ("all but networks", wheel.stat().st_size - sum(networks), LARGEST_REST),
    ):
        if size > most:
            sys.exit(f"{wheel.name}: {what}: {size / 2**20:.1f} MiB, expected at most {most >> 20}")
    kernels = sum(bool(re.fullmatch(KERNELS, name)) for name in names)
    print(f"{wheel.name}: {wheel.stat().st_size >> 10} KiB, {len(names)} files, {kernels} compiled kernels")


def _one(names: list[str], pattern: str) -> str:
    """Return the first name that matches."""
    found = next((name for name in names if re.fullmatch(pattern, name)), None)
    return found or sys.exit(f"the wheel has no {pattern}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
