"""What the commands stylize, plan and demo do."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from jaxart import io, samples, training, weights
from jaxart.cli import PRESETS, Options
from jaxart.cli.progress import Reporter, duration, interruptible, keep_compiled_programs
from jaxart.ops import native_in_use
from jaxart.tasks import stylize as task
from jaxart.training import Checkpoints, NotFiniteError

_LONG = 15 * 60  # seconds: a run predicted to take longer is offered the fast preset
_DISK_BYTES_PER_PIXEL = 160  # two checkpoints and a third being written, of four float32 pictures each, and the result
_DEMO = Options(preset="fast", size=384, steps=60)


def stylize(
    content: Path,
    styles: tuple[Path, ...],
    output: Path,
    options: Options,
    *,
    bits: Literal[8, 16] = 8,
    save_every: int | None = None,
    resume: bool = False,
    trace: Path | None = None,
) -> int:
    """Stylize one picture or a folder of them; return the exit code."""
    if save_every is not None and save_every < 1:
        raise ValueError(f"--save-every: expected at least 1, got {save_every}.")
    keep_compiled_programs()
    console = Console(stderr=True)
    one = functools.partial(
        _one,
        job_of=_job_maker(styles, options),
        options=options,
        console=console,
        bits=bits,
        save_every=save_every,
        trace=trace,
    )
    if trace is not None and not resume:
        trace.write_text("")
    if not content.is_dir():
        io.check_writable(output, bits=bits)
        return one(content, output, resume=resume, estimate=True)
    output.mkdir(parents=True, exist_ok=True)
    return _folder(content, output, one, console, resume)


def _folder(content: Path, output: Path, one: Callable[..., int], console: Console, resume: bool) -> int:
    """Stylize every picture of a folder; what fails is listed at the end and stops nothing."""
    pictures, failed = io.pictures_in(content), []
    for number, picture in enumerate(pictures, 1):
        target = _target(picture, pictures, output)
        console.print(f"[{number}/{len(pictures)}] {picture.name}", highlight=False, markup=False)
        unfinished = _holds_a_run(_run_folder(target))
        if resume and target.exists() and not unfinished:
            continue
        try:
            code = one(picture, target, resume=resume and unfinished)
        except ValueError as error:
            failed.append(str(error))
            continue
        if code:
            return code
    done = len(pictures) - len(failed)
    console.print(f"{done} of {len(pictures)} pictures done, {len(failed)} failed.", highlight=False)
    for reason in failed:
        console.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    return 2 if failed else 0


def _target(picture: Path, pictures: list[Path], output: Path) -> Path:
    """Name a result after its picture; pictures that differ only by extension keep it in the name."""
    suffix = picture.suffix.lower() if picture.suffix.lower() in io.WRITABLE else ".png"
    alone = sum(other.stem == picture.stem for other in pictures) == 1
    return output / f"{picture.stem if alone else picture.name}{suffix}"


def _one(
    content: Path,
    output: Path,
    *,
    job_of: Callable[[io.Picture], task.Stylization],
    options: Options,
    console: Console,
    bits: Literal[8, 16],
    save_every: int | None,
    trace: Path | None,
    resume: bool,
    estimate: bool = False,
) -> int:
    """Stylize one picture; checkpoints live in OUTPUT.run until it is finished."""
    picture = io.read_picture(content)
    job = job_of(picture)
    key = jax.random.key(options.seed)
    folder = _run_folder(output)
    if resume != _holds_a_run(folder):
        missing = (
            f"resume: no checkpoint found at {folder}. Start without --resume; checkpoints are written as it runs."
        )
        left = f"{folder} holds an interrupted run: carry on with --resume, or delete that folder to start anew."
        raise ValueError(missing if resume else left)
    _check_disk(output, job)
    limit = task.memory_limit(_bytes(options))
    job = _in_memory_modes(job, key, options, limit, folder if resume else None)
    if estimate:
        _check_estimate(job, key, console, options, limit)
    with Reporter(console, job, trace, _snapshots(output, save_every)) as report, interruptible() as interrupted:
        try:
            image = task.run(
                job,
                key=key,
                on_step=report,
                checkpoints=folder,
                save_every=save_every or 50,
                resume=resume,
                stop=interrupted,
            )
        except NotFiniteError as error:
            _write(output, task.finished(job, task.picture(error.state)), picture.alpha, bits)
            raise ValueError(f"{content}: {error} The last good picture is in {output}.") from error
    _write(output, image, picture.alpha, bits)
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if interrupted():
        say(f"Interrupted: {output} holds the picture as it stood; --resume carries on.")
        return 130
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{output}: {image.shape[1]} x {image.shape[0]}, {duration(report.seconds)}")
    return 0


def plan(content: Path, styles: tuple[Path, ...], options: Options) -> int:
    """Print what a stylization will need."""
    keep_compiled_programs()
    first = io.pictures_in(content)[0] if content.is_dir() else content
    job = _job_maker(styles, options)(io.read_picture(first))
    key, limit = jax.random.key(options.seed), task.memory_limit(_bytes(options))
    job = _in_memory_modes(job, key, options, limit)
    rows = task.plan(job, key=key)
    table = Table("scale", "size", "steps", "s/step", "time", "peak memory", "memory mode")
    for number, row in enumerate(rows, 1):
        cells = (f"{row.step_seconds:.2f}", duration(row.seconds), f"{row.bytes / 2**20:.0f} MiB", row.memory_mode.name)
        table.add_row(str(number), f"{row.size[1]} x {row.size[0]}", str(row.steps), *cells)
    console = Console()
    console.print(table)
    console.print(
        f"together {duration(sum(row.seconds for row in rows))}, at most {max(row.bytes for row in rows) / 2**20:.0f} MiB"
        + ("" if limit is None else f" of {limit / 2**20:.0f} MiB"),
        highlight=False,
    )
    console.print(_modes_table(task.compare_memory_modes(job, key=key, max_memory=limit)))
    if content.is_dir():
        console.print(
            f"for {first.name}, the first of {len(io.pictures_in(content))} pictures", highlight=False, markup=False
        )
    return 0


def _modes_table(rows: list[task.ModePlan]) -> Table:
    table = Table("memory mode at the largest scale", "s/step", "peak memory", "largest size that fits")
    for row in rows:
        largest = "unknown" if row.largest is None else f"{row.largest[1]} x {row.largest[0]}"
        table.add_row(row.memory_mode.name, f"{row.step_seconds:.2f}", f"{row.bytes / 2**20:.0f} MiB", largest)
    return table


def demo(output: Path, *, resume: bool = False) -> int:
    """Stylize the samples."""
    io.check_writable(output)
    content, style = samples.path("coffee"), samples.path("church_at_auvers")
    if code := stylize(content, (style,), output, _DEMO, resume=resume):
        return code
    sheet = output.with_name(f"{output.stem}-sheet{output.suffix}")
    io.write(sheet, io.side_by_side([io.read(path) for path in (content, style, output)], height=256))
    Console(stderr=True).print(f"{sheet}: content, style, result", highlight=False, soft_wrap=True)
    return 0


def _job_maker(styles: tuple[Path, ...], options: Options) -> Callable[[io.Picture], task.Stylization]:
    """Read styles, masks and weights once; return a function from a content picture to its job."""
    mesh = _mesh(options.devices)
    chosen = {name: getattr(options, name) for name in ("size", "min_size", "steps", "last_steps")}
    sizes = PRESETS[options.preset] | {name: value for name, value in chosen.items() if value is not None}
    paintings = [io.read(style) for style in styles]
    masks = None if options.mask is None else [io.read(mask) for mask in options.mask]
    variables = jax.device_put(weights.load(options.features))

    def make(picture: io.Picture) -> task.Stylization:
        rgb = on_white(picture)
        return task.prepare(
            rgb,
            paintings,
            variables=variables,
            masks=None if masks is None else _stacked(masks, rgb.shape[:2]),
            style_weights=options.style_weights,
            content_weight=options.content_weight,
            style_scale=options.style_scale,
            colors=options.colors,
            init=options.init,
            size=sizes["size"],
            min_size=sizes["min_size"],
            steps=sizes["steps"],
            last_steps=sizes.get("last_steps"),
            dtype=getattr(jax.numpy, options.precision),
            memory_mode=_memory_mode(options),
            mesh=mesh,
        )

    return make


def _mesh(count: int) -> Mesh | None:
    """Return the mesh of that number of devices, simulated ones on a CPU; None for one."""
    if count != 1:
        training.simulate_devices(count)
    devices = jax.devices()[:count]
    if len(devices) < count:
        raise ValueError(f"--devices {count}: this machine has {len(devices)}.")
    return training.data_mesh(devices) if count > 1 else None


def on_white(picture: io.Picture) -> np.ndarray:
    """Return the colors that a picture has on white, ``[H, W, 3]``."""
    if picture.alpha is None:
        return picture.rgb
    return picture.rgb * picture.alpha[..., None] + 1 - picture.alpha[..., None]


def _stacked(masks: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    from jaxart.image import resize

    return np.stack([np.clip(resize(mask, size, method="bilinear")[..., 0], 0, 1) for mask in masks])


def _memory_mode(options: Options) -> task.MemoryMode:
    """Return the memory mode that was asked for; the first where none was."""
    tile = options.tile if options.memory_mode == "tiled" else None
    return task.MemoryMode(rematerialize=options.memory_mode in ("rematerialized", "tiled"), tile=tile)


def _in_memory_modes(
    job: task.Stylization, key: Any, options: Options, limit: int | None, resumed: Path | None = None
) -> task.Stylization:
    """Take the memory modes that were asked for, else those of the run that is resumed, else what fits in memory."""
    if options.memory_mode is not None:
        return job
    noted = None if resumed is None else task.noted_memory_modes(resumed)
    if noted is not None:
        return job._replace(memory_modes=noted)
    return task.choose_memory_modes(job, key=key, max_memory=limit)


def _bytes(options: Options) -> int | None:
    return None if options.max_memory is None else int(options.max_memory * 2**30)


def _check_estimate(job: task.Stylization, key: Any, console: Console, options: Options, limit: int | None) -> None:
    """Say which memory mode was taken and why, and on a CPU how long it will take; refuse what will not fit in memory."""
    say = functools.partial(console.print, highlight=False)
    memory_mode = job.memory_modes[-1]
    if limit is not None and memory_mode != task.WHOLE and options.memory_mode is None:
        whole = task.needed_memory(job._replace(memory_modes=(task.WHOLE,) * len(job.memory_modes)), key=key)
        say(f"{memory_mode.name} at the largest scale: whole it needs {whole / 2**30:.1f} of {limit / 2**30:.1f} GiB")
    if jax.devices()[0].platform != "cpu":
        return
    seconds, most = task.estimate(job, key=key)
    say(f"about {duration(seconds)} on this CPU, {most / 2**20:.0f} MiB of memory")
    if limit is not None and most > limit and options.memory_mode is not None:
        raise ValueError(
            f"needs {most / 2**30:.1f} GiB in the memory mode {memory_mode.name}, but {limit / 2**30:.1f} GiB may be used: "
            "leave out --memory-mode."
        )
    if seconds > _LONG and options.preset == "quality":
        say("In a hurry? --preset fast makes a smaller picture in a few minutes.")
        if not native_in_use():
            say("With a C++ compiler here, JAXART_NATIVE=1 in the environment makes each step faster.")


def _check_disk(output: Path, job: task.Stylization) -> None:
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
    kept = Checkpoints(folder)
    try:
        return bool(kept.steps())
    finally:
        kept.close()


def _snapshots(output: Path, save_every: int | None) -> Callable[[task.Progress], None] | None:
    """Return a function that keeps a picture at every multiple of `save_every` steps."""
    if save_every is None:
        return None
    folder = output.with_name(output.name + ".snapshots")

    def keep(progress: task.Progress) -> None:
        if progress.step % save_every == 0:
            folder.mkdir(exist_ok=True)
            io.write(folder / f"scale{progress.scale + 1}-step{progress.step:05d}{output.suffix}", progress.image())

    return keep


def _write(output: Path, image: np.ndarray, alpha: np.ndarray | None, bits: Literal[8, 16]) -> None:
    if alpha is not None:
        from jaxart.image import resize

        alpha = np.clip(resize(alpha[..., None], image.shape[:2])[..., 0], 0, 1)
    io.write(output, image, alpha=alpha, bits=bits)
