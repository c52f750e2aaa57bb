"""The commands stylize and demo."""

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.job import DEFAULTS, Options, in_memory_modes, job_maker
from jaxart.cli.options import Content, Style, picture, running
from jaxart.cli.progress import Bar, losses_of, scales_hook
from jaxart.cli.terminal import format_duration, format_size, interruptible, say

if TYPE_CHECKING:
    import numpy as np

    from jaxart.arrays import Key
    from jaxart.io import Picture
    from jaxart.tasks.stylize import Progress, Stylization

    JobMaker = Callable[[Picture], Stylization]

_LOG_EVERY = 10  # steps between objects in the trace
_LONG = 15 * 60  # seconds: a run predicted to take longer is offered the fast preset
_DISK_BYTES_PER_PIXEL = 160  # two checkpoints and a third being written, of four float32 pictures each, and the result
_DEMO = Options(preset="fast", size=384, steps=60)


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
        Parameter(group=running, help="Write scale, step, losses, seconds and memory of logged steps as JSON lines."),
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
) -> int:
    """Paint a photograph in the style of paintings.

    Ctrl-C writes the picture as it stands, and `--resume` carries on exactly from there. Transparency is kept; any picture format, size and
    shape will do.

    Example: `jaxart stylize harbor.jpg monet.jpg -o harbor-monet.png --preset fast`
    """
    from jaxart import io

    if keeping.save_every is not None and keeping.save_every < 1:
        raise ValueError(f"--save-every: expected at least 1, got {keeping.save_every}.")
    keep_compiled_programs()
    one = functools.partial(
        _one, make_job=job_maker((style, *styles), options), output=output, options=options, keeping=keeping
    )
    if keeping.trace is not None and not keeping.resume:
        keeping.trace.write_text("")
    if not content.is_dir():
        io.check_writable(output, bits=keeping.bits)
        return one(content, resume=keeping.resume, estimate=True)
    output.mkdir(parents=True, exist_ok=True)
    return _folder(content, output, one, resume=keeping.resume)


def demo(
    *,
    output: Annotated[
        Path,
        Parameter(name=["--output", "-o"], help="The result; beside it goes -sheet with content, style and result."),
    ] = Path("jaxart-demo.png"),
    resume: Annotated[bool, Parameter(help="Carry on after an interruption.", negative=())] = False,
) -> int:
    """Stylize a sample photograph with a van Gogh: the whole program in a few minutes on a CPU."""
    from jaxart import io, samples

    io.check_writable(output)
    content, style = samples.path("coffee"), samples.path("church_at_auvers")
    if code := stylize(content, style, output=output, options=_DEMO, keeping=Keeping(resume=resume)):
        return code
    sheet = output.with_name(f"{output.stem}-sheet{output.suffix}")
    io.write(sheet, io.side_by_side([io.read(path) for path in (content, style, output)], height=256))
    say(f"{sheet}: content, style, result")
    return 0


def _folder(content: Path, output: Path, one: Callable[..., int], *, resume: bool) -> int:
    """Stylize every picture of a folder; what fails is listed at the end and stops nothing."""
    from jaxart import io

    pictures, failed = io.pictures_in(content), []
    for number, path in enumerate(pictures, 1):
        target = _target(path, pictures, output)
        say(f"[{number}/{len(pictures)}] {path.name}")
        unfinished = _holds_a_run(_run_folder(target))
        if resume and target.exists() and not unfinished:
            continue
        try:
            code = one(path, output=target, resume=resume and unfinished)
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


def _one(
    content: Path,
    *,
    make_job: "JobMaker",
    output: Path,
    options: Options,
    keeping: Keeping,
    resume: bool,
    estimate: bool = False,
) -> int:
    """Stylize one picture; checkpoints live in OUTPUT.run until it is finished."""
    import jax

    from jaxart import io
    from jaxart.tasks import stylize as task

    photograph = io.read_picture(content)
    job, key, folder = make_job(photograph), jax.random.key(options.seed), _run_folder(output)
    _check_run(folder, resume=resume)
    _check_disk(output, job)
    limit = task.memory_limit(options.max_memory)
    job = in_memory_modes(job, key, options, limit, resumed=folder if resume else None)
    if estimate:
        _check_estimate(job, key, options, limit)
    write = functools.partial(_write, output, alpha=photograph.alpha, bits=keeping.bits)
    image, seconds, interrupted = _run(job, key, output, options, keeping, resume=resume, write=write)
    write(image)
    if interrupted:
        say(f"Interrupted: {output} holds the picture as it stood; --resume carries on.")
        return 130
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{output}: {image.shape[1]} x {image.shape[0]}, {format_duration(seconds)}")
    return 0


def _run(
    job: "Stylization",
    key: "Key",
    output: Path,
    options: Options,
    keeping: Keeping,
    *,
    resume: bool,
    write: "Callable[[np.ndarray], None]",
) -> "tuple[np.ndarray, float, bool]":
    """Return the picture, the seconds that it took, and whether it was interrupted; a step that fails leaves the last good picture."""
    from jaxart.tasks import stylize as task
    from jaxart.training import NotFiniteError

    costs = [task.step_work(job, index) + task.FIXED_PIXELS for index in range(len(job.sizes))]
    with Bar() as bar, interruptible() as interrupted:
        hooks = [scales_hook(bar, costs), *_keepers(output, keeping)]

        def on_step(progress: "Progress") -> None:
            for hook in hooks:
                hook(progress)

        try:
            image = task.run(
                job,
                key=key,
                on_step=on_step,
                checkpoints=_run_folder(output),
                save_every=keeping.save_every or 50,
                resume=resume,
                stop=interrupted,
            )
        except NotFiniteError as error:
            write(task.finished(job, task.picture(error.state)))
            raise ValueError(f"{error} The last good picture is in {output}. {_remedy(options)}") from error
    return image, bar.seconds, interrupted()


def _remedy(options: Options) -> str:
    """Return what may keep the loss finite, in terms of flags."""
    if options.precision != "float32":
        return "Try --precision float32."
    return "Try a lower --content-weight or another --style-loss."


def _check_run(folder: Path, *, resume: bool) -> None:
    """Refuse to resume what is not there, and to begin anew over what is."""
    if resume == _holds_a_run(folder):
        return
    if resume:
        raise ValueError(
            f"resume: no checkpoint found at {folder}. Start without --resume; checkpoints are written as it runs."
        )
    raise ValueError(f"{folder} holds an interrupted run: carry on with --resume, or delete that folder to start anew.")


def _check_estimate(job: "Stylization", key: "Key", options: Options, limit: int | None) -> None:
    """Say which memory mode was taken and why, and on a CPU how long it will take; refuse what will not fit in memory."""
    import jax

    from jaxart.tasks import stylize as task

    memory_mode, automatic = job.memory_modes[-1], options.memory_mode is None
    if limit is not None and memory_mode != task.WHOLE and automatic:
        whole = task.needed_memory(job._replace(memory_modes=(task.WHOLE,) * len(job.memory_modes)), key=key)
        say(f"{memory_mode.name} at the largest scale: whole it needs {format_size(whole)} of {format_size(limit)}")
    if jax.devices()[0].platform != "cpu":
        return
    seconds, most = task.estimate(job, key=key)
    say(f"about {format_duration(seconds)} on this CPU, {format_size(most)} of memory")
    if limit is not None and most > limit and not automatic:
        raise ValueError(
            f"needs {format_size(most)} in the memory mode {memory_mode.name}, but {format_size(limit)} may be used: "
            "leave out --memory-mode."
        )
    if seconds > _LONG and options.preset == "quality":
        _offer_speed()


def _offer_speed() -> None:
    from jaxart.ops import native_in_use

    say("In a hurry? --preset fast makes a smaller picture in a few minutes.")
    if not native_in_use():
        say("With a C++ compiler here, JAXART_NATIVE=1 in the environment makes each step faster.")


def _check_disk(output: Path, job: "Stylization") -> None:
    height, width = job.sizes[-1]
    needed, free = height * width * _DISK_BYTES_PER_PIXEL, shutil.disk_usage(output.absolute().parent).free
    if needed > free:
        raise ValueError(
            f"{output}: {width} x {height} needs {needed / 2**30:.1f} GiB of disk for the picture and its checkpoints, but "
            f"{free / 2**30:.1f} GiB are free: make room there, or choose a smaller size."
        )


def _run_folder(output: Path) -> Path:
    return output.with_name(output.name + ".run")


def _holds_a_run(folder: Path) -> bool:
    """Tell whether a run was interrupted there after its first checkpoint."""
    from jaxart.training import Checkpoints

    checkpoints = Checkpoints(folder)
    try:
        return bool(checkpoints.steps())
    finally:
        checkpoints.close()


def _keepers(output: Path, keeping: Keeping) -> "list[Callable[[Progress], None]]":
    """Return what writes the trace and the snapshots, where they are wanted."""
    trace = [] if keeping.trace is None else [_tracer(keeping.trace)]
    return trace if keeping.save_every is None else [*trace, _snapshots(output, keeping.save_every)]


def _tracer(path: Path) -> "Callable[[Progress], None]":
    """Return a function that appends the first step of a scale, and then every tenth, to a file of JSON lines."""
    import time

    from jaxart import memory

    begin = time.perf_counter()

    def trace(progress: "Progress") -> None:
        if progress.step % _LOG_EVERY and progress.step != 1:
            return
        row: dict[str, Any] = {"scale": progress.scale + 1, "step": progress.step}
        row |= {name: float(value) for name, value in losses_of(progress).items()}
        row |= {"seconds": round(time.perf_counter() - begin, 3), "memory": memory.resident()}
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    return trace


def _snapshots(output: Path, save_every: int) -> "Callable[[Progress], None]":
    """Return a function that keeps a picture at every multiple of `save_every` steps."""
    from jaxart import io

    folder = output.with_name(output.name + ".snapshots")

    def keep(progress: "Progress") -> None:
        if progress.step % save_every == 0:
            folder.mkdir(exist_ok=True)
            io.write(folder / f"scale{progress.scale + 1}-step{progress.step:05d}{output.suffix}", progress.image())

    return keep


def _write(output: Path, image: "np.ndarray", *, alpha: "np.ndarray | None", bits: Literal[8, 16]) -> None:
    """Write the result with the photograph's alpha at its size."""
    import numpy as np

    from jaxart import io
    from jaxart.image import resize

    if alpha is not None:
        alpha = np.clip(resize(alpha[..., None], image.shape[:2])[..., 0], 0, 1)
    io.write(output, image, alpha=alpha, bits=bits)
