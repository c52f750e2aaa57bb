"""The command translate: pictures of one set into those of another, by a run of `train translate`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.files import given_pictures, one_after_another, written_name
from jaxart.cli.options import picture, running
from jaxart.cli.painting import write_result
from jaxart.cli.terminal import MemorySize, format_size, say

if TYPE_CHECKING:
    from jaxart.tasks.translate import Translation


def translate(
    run: Annotated[Path, Parameter(help="The folder of a run of `train translate`, or a .safetensors of `export`.")],
    first: Annotated[Path, Parameter(name="PICTURES", help="A picture, several, or a folder of them.")],
    /,
    *more: Annotated[Path, Parameter(name="PICTURES", help="Further pictures.")],
    output: Annotated[
        Path,
        Parameter(
            name=["--output", "-o"],
            group=picture,
            help="The result: .png .jpg .webp .tif; a folder for several pictures or a folder of them.",
        ),
    ],
    back: Annotated[
        bool, Parameter(group=picture, help="From B to A; runs of the methods cyclegan and cyclic-vae alone.")
    ] = False,
    size: Annotated[
        int | None, Parameter(group=picture, help="Shrink larger pictures to this long side first, pixels. [their own]")
    ] = None,
    bits: Annotated[
        Literal[8, 16], Parameter(group=picture, help="Of each channel of the result; 16 for .png and .tif.")
    ] = 8,
    max_memory: Annotated[
        MemorySize | None,
        Parameter(
            group=running,
            help="Memory that may be used: 1.5GiB, 1500MB, or a number in GiB. Larger pictures are cut into tiles. [what is free]",
        ),
    ] = None,
) -> int:
    """Translate pictures, of any size and format, with what `jaxart train translate A B` has learned.

    The network has seen parts of pictures of the run's --size; of much larger pictures it changes the grain, not the forms. `--size`
    shrinks them first.

    Example: `jaxart translate run photo.jpg -o painting.png`
    """
    from jaxart import io
    from jaxart.tasks import translate as task

    if size is not None and size < 1:
        raise ValueError(f"--size: expected at least 1 pixel, got {size}.")
    single = not more and not first.is_dir()
    if single:
        io.check_writable(output, bits=bits)
    pictures = given_pictures(first, more)
    keep_compiled_programs()
    model = _model(run)
    task.params_toward(model, back=back)  # or it has not learned that way
    one = _translator(model, back=back, size=size, bits=bits, limit=max_memory)
    if single:
        return one(first, output)
    output.mkdir(parents=True, exist_ok=True)
    targets = [written_name(path, pictures, output, bits) for path in pictures]
    jobs = list(zip(pictures, targets, strict=True))
    return one_after_another(jobs, lambda job: one(*job), folder=output, name=lambda job: job[0].name)


def _model(run: Path) -> "Translation":
    """Return what a run, or a file of it, has learned."""
    from jaxart import runs
    from jaxart.tasks import translate as task

    if run.is_file():
        return task.load_translation(run)
    found = runs.open_run(run)
    if found.kind != "translate":
        raise ValueError(
            f"{run}: a run of the kind {found.kind}, which translates no pictures; expected one of `jaxart train translate`."
        )
    from jaxart.runs.translate import model_of

    return model_of(runs.Trained(found.options, found.facts, runs.newest_state(found)))


def _translator(
    model: "Translation", *, back: bool, size: int | None, bits: Literal[8, 16], limit: int | None
) -> Callable[[Path, Path], int]:
    """Return a function that translates a picture from a file to a file."""
    import numpy as np

    from jaxart import io
    from jaxart.image import fit_within, resize
    from jaxart.tasks import translate as task

    def one(path: Path, output: Path) -> int:
        begin = time.perf_counter()
        given = io.read_picture(path)
        pixels = io.on_white(given)
        if size is not None and max(pixels.shape[:2]) > size:
            pixels = np.clip(resize(pixels, fit_within(pixels.shape[:2], size)), 0, 1)
        tile = task.fitting_tile(model.network, pixels.shape[:2], _free(limit))
        try:
            made = task.translate(model, pixels, back=back, tile=tile)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        write_result(output, made, alpha=given.alpha, bits=bits)
        tiles = "" if tile is None else f", in tiles of {tile}"
        say(f"{output}: {made.shape[1]} x {made.shape[0]}{tiles}, {time.perf_counter() - begin:.1f} s")
        return 0

    return one


def _free(limit: int | None) -> int | None:
    """Return the bytes that a picture may still take: what is allowed, or free, less what the process has."""
    import jax

    from jaxart import memory

    device = jax.devices()[0]
    if device.platform != "cpu":
        return limit or (device.memory_stats() or {}).get("bytes_limit")
    if limit is None:
        return memory.available()
    if limit <= (taken := memory.resident()):
        raise ValueError(
            f"--max-memory: the program takes {format_size(taken)} already, got {format_size(limit)}: allow more."
        )
    return limit - taken
