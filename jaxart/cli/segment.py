"""The command segment: the regions of pictures, by a run of `train segmenter`."""

import functools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.files import given_pictures, one_after_another, result_name
from jaxart.cli.options import picture
from jaxart.cli.terminal import say, show

if TYPE_CHECKING:
    from jaxart.tasks.segment import Segmentation


class _Job(NamedTuple):
    """A picture and the files that are made of it."""

    picture: Path
    mask: Path
    overlay: Path | None


def segment(
    run: Annotated[Path, Parameter(help="The folder of a run of `train segmenter`, or a .safetensors of `export`.")],
    first: Annotated[Path, Parameter(name="PICTURES", help="A picture, several, or a folder of them.")],
    /,
    *more: Annotated[Path, Parameter(name="PICTURES", help="Further pictures.")],
    output: Annotated[
        Path,
        Parameter(
            name=["--output", "-o"],
            group=picture,
            help="The mask, .png with a palette; a folder for several pictures or a folder of them.",
        ),
    ],
    overlay: Annotated[
        Path | None,
        Parameter(group=picture, help="Write the picture under the colors of the classes too; a folder for several."),
    ] = None,
    size: Annotated[
        int | None,
        Parameter(
            group=picture,
            help="Short side at which pictures are looked at, pixels; masks have the size of the picture. 0 for its own. [the run's]",
        ),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", group=picture, help="Print one object a picture: file, mask, size, shares.")
    ] = False,
) -> int:
    """Say of every pixel of pictures which class it is of, with what `jaxart train segmenter IMAGES MASKS` has learned.

    Prints what part of the picture each class has. Masks have the numbers of those that the run learned from; where these had colors, or
    classes were given names, 0, 1, ... in their order.

    Example: `jaxart segment run photo.jpg -o mask.png --overlay overlay.png`
    """
    if size is not None and size < 0:
        raise ValueError(f"--size: expected at least 1 pixel, or 0 for the picture's own, got {size}.")
    jobs = _jobs(first, more, output, overlay)
    keep_compiled_programs()
    model = _model(run)
    side = model.about.get("size") if size is None else size or None
    if len(jobs) == 1 and jobs[0].mask == output:
        _write_one(model, jobs[0], side=side, as_json=as_json)
        return 0
    for folder in (output, overlay):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    work = functools.partial(_write_one, model, side=side, as_json=as_json)
    return one_after_another(jobs, work, folder=output)


def _jobs(first: Path, more: tuple[Path, ...], output: Path, overlay: Path | None) -> list[_Job]:
    """Return what is to be made; one picture has the files that were named, several have theirs in folders."""
    from jaxart import io

    if not more and not first.is_dir():
        io.check_writable(output, suffixes=(".png",))
        if overlay is not None:
            io.check_writable(overlay)
        return [_Job(first, output, overlay)]
    pictures = given_pictures(first, more)
    names = [result_name(path, pictures, ".png") for path in pictures]
    return [
        _Job(path, output / name, None if overlay is None else overlay / name)
        for path, name in zip(pictures, names, strict=True)
    ]


def _model(run: Path) -> "Segmentation":
    """Return what a run, or a file of it, has learned."""
    from jaxart import runs
    from jaxart.tasks import segment as task

    if run.is_file():
        return task.load_segmentation(run)
    found = runs.open_run(run)
    if found.kind != "segmenter":
        raise ValueError(
            f"{run}: a run of the kind {found.kind}, which finds no regions; expected one of `jaxart train segmenter`."
        )
    from jaxart.runs.segmenter import model_of

    return model_of(runs.Trained(found.options, found.facts, runs.newest_state(found)))


def _write_one(model: "Segmentation", job: _Job, *, side: int | None, as_json: bool) -> None:
    """Write the mask of a picture, and the overlay if it is wanted; print the shares of the classes."""
    from jaxart import io
    from jaxart.tasks import segment as task

    begin = time.perf_counter()
    pixels = io.read(job.picture)
    height, width = pixels.shape[:2]
    large = side is None and max(height, width) > task.TILE
    found = task.segment(model, pixels, side=side, tile=task.TILE if large else None)
    io.write_mask(job.mask, *task.numbered(model, found))
    if job.overlay is not None:
        io.write(job.overlay, task.overlay(pixels, found, model.colors))
    parts = task.shares(found, model.classes)
    if as_json:
        told = {"file": str(job.picture), "mask": str(job.mask), "size": [width, height], "shares": parts}
        show(json.dumps(told))
    else:
        listed = sorted(parts.items(), key=lambda part: -part[1])
        show(f"{job.picture}: " + ", ".join(f"{name} {100 * part:.1f} %" for name, part in listed if part))
    say(f"{job.mask}: {width} x {height}, {time.perf_counter() - begin:.1f} s")
