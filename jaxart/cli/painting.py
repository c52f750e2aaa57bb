"""One stylization from a file to a file: what it will take, its checkpoints in OUTPUT.run, its trace and snapshots."""

import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

from jaxart.cli.job import Options, in_memory_modes
from jaxart.cli.progress import Bar, scales_hook
from jaxart.cli.terminal import format_duration, format_size, interruptible, say

if TYPE_CHECKING:
    import numpy as np

    from jaxart.arrays import Key
    from jaxart.io import Picture
    from jaxart.runs.folder import Manifest
    from jaxart.tasks.stylize import Progress, Stylization

    JobMaker = Callable[[Picture], Stylization]

_LOG_EVERY = 10  # steps between objects in the trace
_LONG = 15 * 60  # seconds: a run predicted to take longer is offered the fast preset
_DISK_BYTES_PER_PIXEL = 160  # two checkpoints and a third being written, of four float32 pictures each, and the result


def paint_one(
    content: Path,
    *,
    paintings: tuple[Path, ...],
    make_job: "JobMaker",
    output: Path,
    options: Options,
    bits: Literal[8, 16],
    save_every: int | None,
    trace: Path | None,
    resume: bool,
    made: "dict | None" = None,
    estimate: bool = False,
) -> int:
    """Stylize one picture; checkpoints live in OUTPUT.run until it is finished. `made` hands style targets on to the next."""
    import jax

    from jaxart import io
    from jaxart.runs.folder import locked, write_manifest
    from jaxart.tasks import stylize as task

    photograph = io.read_picture(content)
    job, key, folder = make_job(photograph), jax.random.key(options.seed), run_folder(output)
    _check_run(folder, resume=resume)
    _check_disk(output, job)
    limit = task.memory_limit(options.max_memory)
    job = in_memory_modes(job, key, options, limit, resumed=folder / "checkpoints" if resume else None)
    job = job if made is None else _with_targets(job, made)
    if estimate:
        _check_estimate(job, key, options, limit)
    write = functools.partial(write_result, output, alpha=photograph.alpha, bits=bits)
    with locked(folder):
        if trace is not None and not resume:
            trace.write_text("")
        if not resume:
            write_manifest(folder, _manifest(job, content, paintings, options))
        hooks = _keepers(output, trace, save_every)
        checked = limit if options.memory_mode is None else None
        image, seconds, interrupted = _run(
            job, key, output, options, hooks, save_every or 50, resume=resume, write=write, max_memory=checked
        )
        write(image)
        if interrupted:
            say(f"Interrupted: {output} holds the picture as it stood; --resume carries on.")
            return 130
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{output}: {image.shape[1]} x {image.shape[0]}, {format_duration(seconds)}")
    return 0


def _with_targets(job: "Stylization", made: dict) -> "Stylization":
    """Take the style targets of the picture before if its sizes are the same, or make them and keep them in place of those."""
    from jaxart.tasks import stylize as task

    if job.colors != "style":  # the painting takes on the colors of each photograph
        return job
    if not job.style_loss.additive:  # whole feature maps are too large to keep beside a picture
        return job
    alike = (job.sizes, job.memory_modes)
    if alike not in made:
        made.clear()  # before the next are made
        made[alike] = task.painting_targets(job)
    return job._replace(targets=made[alike])


def _run(
    job: "Stylization",
    key: "Key",
    output: Path,
    options: Options,
    keepers: "list[Callable[[Progress], None]]",
    save_every: int,
    *,
    resume: bool,
    write: "Callable[[np.ndarray], None]",
    max_memory: int | None,
) -> "tuple[np.ndarray, float, bool]":
    """Return the picture, the seconds that it took, and whether it was interrupted; a step that fails leaves the last good picture."""
    from jaxart.tasks import stylize as task
    from jaxart.training import NotFiniteError

    costs = [task.step_work(job, index) + task.FIXED_PIXELS for index in range(len(job.sizes))]
    with Bar() as bar, interruptible() as interrupted:
        hooks = [scales_hook(bar, costs), *keepers]

        def on_step(progress: "Progress") -> None:
            for hook in hooks:
                hook(progress)

        try:
            image = task.run(
                job,
                key=key,
                on_step=on_step,
                checkpoints=run_folder(output) / "checkpoints",
                save_every=save_every,
                resume=resume,
                stop=interrupted,
                max_memory=max_memory,
                tell=say,
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


def _manifest(job: "Stylization", content: Path, paintings: tuple[Path, ...], options: Options) -> "Manifest":
    """Return what OUTPUT.run says of itself."""
    from jaxart.runs.folder import Manifest, Source

    paths = {"content": content, **{f"style {number}": path for number, path in enumerate(paintings, 1)}}
    sources = {name: Source(str(path.absolute()), _file_digest(path), 1) for name, path in paths.items()}
    chosen = json.loads(json.dumps(dataclasses.asdict(options), default=str))
    return Manifest("stylize", chosen, sources, {}, sum(job.steps), resume="jaxart stylize ... --resume")


def _file_digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_run(folder: Path, *, resume: bool) -> None:
    """Refuse to resume what is not there, and to begin anew over what is."""
    from jaxart.runs import LockedError, saved_steps
    from jaxart.runs.folder import is_locked

    if is_locked(folder):
        raise LockedError(folder)
    if any(path.name.isdecimal() for path in folder.glob("*")):
        raise ValueError(
            f"{folder} holds an interrupted run of jaxart 0.1: finish it with that version, or delete that folder to start anew."
        )
    if resume == bool(saved_steps(folder)):
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
        say("In a hurry? --preset fast makes a smaller picture in a few minutes.")


def _check_disk(output: Path, job: "Stylization") -> None:
    height, width = job.sizes[-1]
    needed, free = height * width * _DISK_BYTES_PER_PIXEL, shutil.disk_usage(output.absolute().parent).free
    if needed > free:
        raise ValueError(
            f"{output}: {width} x {height} needs {needed / 2**30:.1f} GiB of disk for the picture and its checkpoints, but "
            f"{free / 2**30:.1f} GiB are free: make room there, or choose a smaller size."
        )


def run_folder(output: Path) -> Path:
    return output.with_name(output.name + ".run")


def _keepers(output: Path, trace: Path | None, save_every: int | None) -> "list[Callable[[Progress], None]]":
    """Return what writes the trace and the snapshots, where they are wanted."""
    traces = [] if trace is None else [_tracer(trace)]
    return traces if save_every is None else [*traces, _snapshots(output, save_every)]


def _tracer(path: Path) -> "Callable[[Progress], None]":
    """Return a function that logs the first step of a scale, and then every tenth; steps are counted over all scales."""
    from jaxart import memory
    from jaxart.training import log_jsonl

    log = log_jsonl(path)

    def trace(progress: "Progress") -> None:
        if progress.step % _LOG_EVERY and progress.step != 1:
            return
        step = sum(progress.steps[: progress.scale]) + progress.step
        losses = progress.info._asdict()
        log(SimpleNamespace(step=step), {"scale": progress.scale + 1, **losses, "memory": memory.resident()})

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


def write_result(output: Path, image: "np.ndarray", *, alpha: "np.ndarray | None", bits: Literal[8, 16]) -> None:
    """Write a result with the photograph's alpha at its size.

    Args:
        output: the file.
        image: ``[h, w, 3]`` in [0, 1].
        alpha: of the photograph, ``[H, W]``, or None.
        bits: of each channel.
    """
    import numpy as np

    from jaxart import io
    from jaxart.image import resize

    if alpha is not None:
        alpha = np.clip(resize(alpha[..., None], image.shape[:2])[..., 0], 0, 1)
    io.write(output, image, alpha=alpha, bits=bits)
