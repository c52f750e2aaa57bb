"""The commands stylize and demo."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.instant import INSTANT_DEFAULTS, Instant, instant_painter
from jaxart.cli.job import DEFAULTS, Options, job_maker
from jaxart.cli.options import Content, Style, picture, running
from jaxart.cli.painting import paint_one, run_folder
from jaxart.cli.terminal import say

_DEMO = Options(preset="fast", size=384, steps=60)
_INSTANT_DEMO = Options(preset="instant", size=512)


@dataclass(frozen=True)
class Keeping:
    """What is written, and when."""

    bits: Annotated[
        Literal[8, 16], Parameter(group=picture, help="Of each channel of the result; 16 for .png and .tif.")
    ] = 8
    save_every: Annotated[
        int | None, Parameter(group=running, help="Keep a snapshot every N steps, in OUTPUT.snapshots.")
    ] = None
    resume: Annotated[
        bool,
        Parameter(
            group=running, help="Carry on after an interruption, from OUTPUT.run; in a folder, skip what is finished."
        ),
    ] = False
    trace: Annotated[
        Path | None,
        Parameter(
            group=running,
            help="Write step, scale, losses, seconds and memory as JSON lines; of a folder, a file for each picture, TRACE-NAME.jsonl.",
        ),
    ] = None


def stylize(
    content: Content,
    style: Style,
    /,
    *styles: Style,
    output: Annotated[
        Path,
        Parameter(
            name=["--output", "-o"],
            group=picture,
            help="The result: .png .jpg .webp .tif; a folder if CONTENT is one.",
        ),
    ],
    options: Annotated[Options, Parameter(name="*")] = DEFAULTS,
    keeping: Annotated[Keeping, Parameter(name="*")] = Keeping(),
    instant: Annotated[Instant, Parameter(name="*")] = INSTANT_DEFAULTS,
) -> int:
    """Paint a photograph in the style of paintings.

    Ctrl-C writes the picture as it stands, and `--resume` carries on exactly from there. Transparency is kept; any picture format, size and
    shape will do.

    Example: `jaxart stylize harbor.jpg monet.jpg -o harbor-monet.png --preset fast`
    In a second, without a download: `jaxart stylize harbor.jpg scream -o harbor-scream.png --preset instant`
    """
    from jaxart import io

    if keeping.save_every is not None and keeping.save_every < 1:
        raise ValueError(f"--save-every: expected at least 1, got {keeping.save_every}.")
    keep_compiled_programs()
    paintings = (style, *styles)
    one = _painter(paintings, options, keeping, instant)
    if not content.is_dir():
        io.check_writable(output, bits=keeping.bits)
        return one(content, output=output, trace=keeping.trace, resume=keeping.resume, estimate=True)
    output.mkdir(parents=True, exist_ok=True)
    return _folder(content, output, one, keeping=keeping)


def _painter(paintings: tuple[Path, ...], options: Options, keeping: Keeping, instant: Instant) -> Callable[..., int]:
    """Return a function that paints a photograph from a file to a file, in one pass or step by step."""
    if options.preset == "instant":
        if keeping.trace is not None or keeping.save_every is not None:
            raise ValueError("--trace and --save-every have no meaning with --preset instant, which takes one pass.")
        return instant_painter(paintings, options, instant, bits=keeping.bits)
    if instant != INSTANT_DEFAULTS:
        raise ValueError("--strength and --model belong to --preset instant: add it, or take --content-weight.")
    return functools.partial(
        paint_one,
        paintings=paintings,
        make_job=job_maker(paintings, options),
        options=options,
        bits=keeping.bits,
        save_every=keeping.save_every,
    )


def demo(
    *,
    output: Annotated[
        Path,
        Parameter(name=["--output", "-o"], help="The result; beside it goes -sheet with content, style and result."),
    ] = Path("jaxart-demo.png"),
    resume: Annotated[bool, Parameter(help="Carry on after an interruption.", negative=())] = False,
) -> int:
    """Stylize a sample photograph with a van Gogh: the whole program in a few minutes on a CPU.

    Without the weights of VGG-16 (`jaxart[vgg]`) a network in the package paints it in one pass, in seconds.
    """
    from jaxart import io, samples, weights

    io.check_writable(output)
    content, style = samples.path("coffee"), samples.path("church_at_auvers")
    best = weights.at_hand(_DEMO.features)
    if best:
        code = stylize(content, style, output=output, options=_DEMO, keeping=Keeping(resume=resume))
    else:
        code = stylize(content, Path(style.stem), output=output, options=_INSTANT_DEMO)
    if code:
        return code
    sheet = output.with_name(f"{output.stem}-sheet{output.suffix}")
    io.write(sheet, io.side_by_side([io.read(path) for path in (content, style, output)], height=256))
    say(f"{sheet}: content, style, result")
    if not best:
        say(
            "That was --preset instant. The best pictures, in any painting's style, take minutes and VGG-16: "
            "pip install 'jaxart[vgg]', then jaxart demo"
        )
    return 0


def _folder(content: Path, output: Path, one: Callable[..., int], *, keeping: Keeping) -> int:
    """Stylize every picture of a folder; what fails is listed at the end and stops nothing."""
    from jaxart import io
    from jaxart.runs import saved_steps

    resume, trace = keeping.resume, keeping.trace
    pictures, failed, made = io.pictures_in(content), [], {}
    for number, path in enumerate(pictures, 1):
        target = _target(path, pictures, output)
        say(f"[{number}/{len(pictures)}] {path.name}")
        unfinished = bool(saved_steps(run_folder(target)))
        if resume and target.exists() and not unfinished:
            continue
        try:
            own = None if trace is None else trace.with_name(f"{trace.stem}-{target.stem}{trace.suffix}")
            code = one(path, output=target, trace=own, resume=resume and unfinished, made=made)
        except ValueError as error:
            failed.append(str(error))
            continue
        if code:
            return code
    say(f"{len(pictures) - len(failed)} of {len(pictures)} pictures done, {len(failed)} failed.")
    for reason in failed:
        say(f"  {reason}")
    return 2 if failed else 0


def _target(path: Path, pictures: list[Path], output: Path) -> Path:
    """Name a result after its picture; pictures that differ only by extension keep it in the name."""
    from jaxart import io

    suffix = path.suffix.lower() if path.suffix.lower() in io.WRITABLE else ".png"
    alone = sum(other.stem == path.stem for other in pictures) == 1
    return output / f"{path.stem if alone else path.name}{suffix}"
