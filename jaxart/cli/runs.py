"""The commands about runs: train, resume, generate, score, export, runs. Flags and printing; the work is in `jaxart.runs`."""

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from jaxart.cli.options import Data
from jaxart.cli.progress import Bar, training_hook
from jaxart.cli.terminal import format_duration, format_size, interruptible, say, show, table
from jaxart.runs import KINDS, Kind, RunOptions
from jaxart.runs.options import DATA, NETWORK, TRAINING

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from jaxart.runs import Guidance, Run

GROUPS = {name: Group(name, sort_key=number) for number, name in enumerate((DATA, NETWORK, TRAINING), 1)}
_GUIDE = Group("Guiding a flow", sort_key=len(GROUPS) + 2)
_PLACE = Group("Devices", sort_key=len(GROUPS) + 1)

RunFolder = Annotated[Path, Parameter(help="The folder of a run.")]
Generated = Annotated[
    Path | None,
    Parameter(
        name="RUN",
        help="The folder of a run, or a flow's .safetensors of `export`. [icons, the flow in the package]",
    ),
]
Output = Annotated[Path, Parameter(name=["--output", "-o"], help="The result.")]


@dataclass(frozen=True)
class Place:
    """Where a run runs: nothing of what it is."""

    devices: Annotated[
        int | None, Parameter(group=_PLACE, help="How many to use; on a CPU, how many to simulate. [all]")
    ] = None
    coordinator: Annotated[
        str | None,
        Parameter(group=_PLACE, help="HOST:PORT of process 0, for a run of several processes; auto on Slurm and TPU."),
    ] = None
    processes: Annotated[int | None, Parameter(group=_PLACE, help="How many processes.")] = None
    process: Annotated[int | None, Parameter(group=_PLACE, help="The number of this process, from 0.")] = None


@dataclass(frozen=True)
class Guide:
    """What guides a flow; see `runs.Guidance`."""

    steps: Annotated[int | None, Parameter(group=_GUIDE, help="From noise to a picture. [the run's]")] = None
    guidance: Annotated[
        float | None, Parameter(group=_GUIDE, help="With classes: more draws what is more typical of them. [the run's]")
    ] = None
    autoguidance: Annotated[
        float | None,
        Parameter(group=_GUIDE, help="More draws clearer: 0.5 for drawings on white, less for paintings. [the run's]"),
    ] = None
    like: Annotated[Path | None, Parameter(group=_GUIDE, help="A picture to be varied.")] = None
    strength: Annotated[float, Parameter(group=_GUIDE, help="How much of it is made anew, above 0, up to 1.")] = 0.5
    fill: Annotated[Path | None, Parameter(group=_GUIDE, help="A picture to be filled where the mask is white.")] = None
    mask: Annotated[Path | None, Parameter(group=_GUIDE, help="A picture of the same size, black and white.")] = None
    repeats: Annotated[int, Parameter(group=_GUIDE, help="More fit what is filled better to the rest.")] = 4
    style: Annotated[Path | None, Parameter(group=_GUIDE, help="A painting, toward whose style it draws.")] = None
    style_strength: Annotated[float, Parameter(group=_GUIDE, help="How far, 0 to about 1.")] = 0.5


def train_app() -> App:
    """Return the command `train` with one command for each kind in `KINDS`."""
    app = App(name="train", help=f"Train on your own data: {' or '.join(KINDS)}.")
    for name, kind in KINDS.items():
        app.command(_training_of(name, kind), name=name)
    return app


def _training_of(name: str, kind: Kind) -> Callable[..., int]:
    """Return the function whose signature has the kind's options as flags."""
    flags, further = flags_of(kind.options), places_of(kind)
    defaults, nowhere = flags(), further()

    def begin(
        *data: Data,
        output: Annotated[Path, Parameter(name=["--output", "-o"], help="The folder of the run, new.")],
        places: Annotated[further, Parameter(name="*")] = nowhere,  # pyright: ignore[reportInvalidTypeForm]
        options: Annotated[flags, Parameter(name="*")] = defaults,  # pyright: ignore[reportInvalidTypeForm]
        place: Annotated[Place, Parameter(name="*")] = Place(),
        dry_run: Annotated[
            bool,
            Parameter(
                group=GROUPS[TRAINING],
                help="Print parameters, operations, memory and the first batch; train nothing.",
            ),
        ] = False,
    ) -> int:
        chosen = kind.options(**{field.name: getattr(options, field.name) for field in dataclasses.fields(options)})
        return _begin(name, by_source(name, data, vars(places)), output, chosen, place, dry_run)

    begin.__doc__ = kind.summary
    return begin


def flags_of(options: type[RunOptions]) -> type:
    """Return a dataclass like `options` with the help of each field where the parser of flags looks for it."""
    fields = []
    for name, hint in typing.get_type_hints(options, include_extras=True).items():
        kind, option = typing.get_args(hint)
        many = typing.get_origin(kind) is tuple
        group = GROUPS.setdefault(option.group, Group(option.group, sort_key=len(GROUPS)))
        default = next(field.default for field in dataclasses.fields(options) if field.name == name)
        parameter = Parameter(
            name=option.flag,
            negative=f"--no-{name.replace('_', '-')}" if default is True else (),
            group=group,
            help=option.help,
            consume_multiple=True if many else None,
        )
        fields.append((name, Annotated[kind, parameter], dataclasses.field(default=default)))
    made = dataclasses.make_dataclass(options.__name__, fields, frozen=True)
    made.__module__ = __name__  # or it passes for one of Python's own types, which have no flags
    return made


def places_of(kind: Kind) -> type:
    """Return a dataclass with a flag for each source after the first."""
    flag = Annotated[Path | None, Parameter(group=GROUPS[DATA], help="The same as at its place among the arguments.")]
    made = dataclasses.make_dataclass("Places", [(name, flag, None) for name in kind.sources[1:]], frozen=True)
    made.__module__ = __name__
    return made


def _begin(name: str, data: "dict[str, Any]", output: Path, options: RunOptions, place: Place, dry_run: bool) -> int:
    from jaxart import runs

    if (output / "run.json").exists():  # asked before processes meet, after which the first may have written it
        raise ValueError(
            f"{output} holds a run already: `jaxart resume {output}` carries it on, or choose another folder."
        )
    mesh = mesh_at(place)
    if mesh is not None and options.batch % mesh.size:
        raise ValueError(f"--batch: a batch of {options.batch} does not divide among {mesh.size} devices.")
    run = runs.prepare(name, data, output, options=options)
    return _print_dry_run(run) if dry_run else _train(runs.write(run), mesh)


def resume(
    run: RunFolder,
    /,
    *,
    steps: Annotated[int | None, Parameter(help="A new count at which to end.")] = None,
    data: Annotated[
        tuple[Path, ...] | None, Parameter(consume_multiple=True, help="Where its data is now, if it moved.")
    ] = None,
    place: Annotated[Place, Parameter(name="*")] = Place(),
) -> int:
    """Carry on with an interrupted run, exactly as if it had not been interrupted. Devices may differ from those so far.

    With --steps it becomes a longer run: the learning rate follows the new count.
    """
    from jaxart import runs

    mesh, found = mesh_at(place), runs.open_run(run)
    moved = None if data is None else by_source(found.kind, data)
    return _train(found, mesh, steps=steps, data=moved)


def _train(run: "Run", mesh: "Mesh | None", *, steps: int | None = None, data: Any = None) -> int:
    from jaxart import runs, training

    run = runs.with_data(run, data)
    _say_data(run)
    options = run.options if steps is None else dataclasses.replace(run.options, steps=steps)
    begin, size = next(iter(runs.saved_steps(run.folder)), 0), sum(source.examples for source in run.sources.values())
    with Bar(options.steps, done=begin) as bar, interruptible() as interrupted:
        shown = training_hook(bar, steps=options.steps, batch=options.batch, dataset_size=size)
        try:
            state = runs.train(run, steps=steps, mesh=mesh, hooks=(shown,), stop=interrupted)
        except training.NotFiniteError as error:
            remedy = " Begin a new run with a lower --learning-rate." if hasattr(options, "learning_rate") else ""
            raise ValueError(f"{error} The last checkpoint is in {run.folder}.{remedy}") from error
    done = int(state.step)
    if training.this_process()[0] == 0:
        say(f"{run.folder}: {done} of {options.steps} steps, {format_duration(bar.seconds)}")
        best = runs.best_step(run.folder)
        if done == options.steps and best is not None:
            say(f"The weights of step {best} answer.")
        for line in _measured(run) if done == options.steps else ():
            say(line)
        if done < options.steps:
            say(f"Interrupted and saved: `jaxart resume {run.folder}` carries on.")
    return 130 if done < options.steps else 0


def _measured(run: "Run") -> list[str]:
    """Return what was measured when training ended, in words."""
    import json

    from jaxart.runs.folder import CALIBRATION

    told = KINDS[run.kind].told
    return [] if told is None else told(json.loads((run.folder / CALIBRATION).read_text(encoding="utf-8")))


def _print_dry_run(run: "Run") -> int:
    import numpy as np

    from jaxart import runs

    _say_data(run)
    found = runs.dry_run(run)
    for name, count in found.parameters.items():
        show(f"{name}: {count:,} parameters")
    for program in found.programs:
        show(f"{program.name}: {program.operations / 1e9:.2f} GFLOP as compiled, {format_size(program.bytes)}")
    for name, column in found.batch.items():
        values = np.asarray(column)
        show(
            f"first batch: {name} {values.dtype} {values.shape}, {values.min()} to {values.max()}, mean {values.mean():.1f}"
        )
    return 0


def generate(
    run: Generated = None,
    /,
    *,
    output: Output,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="How many pictures.")] = 64,
    seed: Annotated[int, Parameter(help="Picture i depends on the seed and i alone.")] = 0,
    label: Annotated[str | None, Parameter(help="One class; by default a row of each.")] = None,
    separate: Annotated[bool, Parameter(help="Write each picture to its own file in the folder OUTPUT.")] = False,
    truncation: Annotated[
        tuple[float, ...],
        Parameter(
            consume_multiple=True,
            help="With styles (stylegan2): 1 changes nothing, 0.7 makes likelier and more alike pictures; several make a row of "
            "each picture. [1]",
        ),
    ] = (),
    nearest: Annotated[
        bool,
        Parameter(
            help="Write OUTPUT-nearest.png too, each picture beside that of the run's data which is most like it, and OUTPUT.json, "
            "which says what is a copy.",
        ),
    ] = False,
    guide: Annotated[Guide, Parameter(name="*")] = Guide(),
) -> int:
    """Make pictures with a trained generator, on one sheet or as files.

    Without a run the flow in the package draws icons. A flow can be guided: by a picture that it varies (--like), by one that it fills
    (--fill, --mask), toward a painting's style (--style).

    Example: `jaxart generate RUN -o filled.png --fill torn.jpg --mask hole.png -n 8`
    """
    import numpy as np

    from jaxart import io, runs
    from jaxart.cli.devices import keep_compiled_programs

    keep_compiled_programs()
    if not separate:
        io.check_writable(output)
    opened, guidance = runs.opened(run), _guidance(guide)
    known = runs.known_pictures(opened) if nearest else None
    sweep = [
        runs.sample(opened, count, seed=seed, label=label, guidance=guidance, truncation=each)
        for each in truncation or (None,)
    ]
    images = np.stack(sweep, axis=1).reshape(-1, *sweep[0].shape[1:])
    if separate:
        output.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            io.write(output / f"{number:05d}.png", io.grid(image[None], columns=1))
    else:
        io.write(output, io.grid(images, columns=len(sweep) if len(sweep) > 1 else 8))
    say(f"{output}: {len(images)} pictures")
    if known is not None:
        found = runs.write_origins(output.with_suffix(".json"), images, known, seed=seed)
        io.write(output.with_name(f"{output.stem}-nearest.png"), runs.nearest_sheet(images, known, found))
        verdicts = found.verdicts()
        say(", ".join(f"{verdicts.count(each)} {each}" for each in ("copy", "near", "original")))
    return 0


def _guidance(guide: Guide) -> "Guidance | None":
    """Read what guides; None where nothing was asked for."""
    from jaxart import io, runs

    if guide == Guide():
        return None
    if (guide.fill is None) != (guide.mask is None) or (guide.fill and guide.like):
        raise ValueError("--fill and --mask belong together, and without --like.")
    picture, mask, style = (
        None if path is None else io.read(path) for path in (guide.fill or guide.like, guide.mask, guide.style)
    )
    return runs.Guidance(
        steps=guide.steps,
        weight=guide.guidance,
        autoguidance=guide.autoguidance,
        picture=picture,
        strength=guide.strength,
        mask=mask,
        repeats=guide.repeats,
        style=style,
        style_strength=guide.style_strength,
    )


def score(
    run: RunFolder,
    /,
    *data: Data,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="Pictures to make and to compare with.")] = 5000,
    seed: Annotated[int, Parameter(help="Of what is drawn.")] = 0,
    split: Annotated[
        Literal["train", "test"], Parameter(help="Of data that comes in two: IDX files, or folders train and test.")
    ] = "test",
    labels: Annotated[
        Path | None, Parameter(help="A CSV for DATA with columns file,label, instead of subfolders.")
    ] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Cards as JSON. [RUN/scores.json]")] = None,
    plots: Annotated[
        Path | None,
        Parameter(
            help="Of classifiers: a folder for confusion matrix, reliability diagram, ROC and precision-recall curves as PNG files "
            "(pip install 'jaxart[plots]')."
        ),
    ] = None,
) -> int:
    """Score a run on DATA, which it should not have seen.

    For generators, distances are on features of a small classifier that is trained on the run's own data where that has classes, else
    of VGG-16. They compare runs with each other; they are no FID.
    """
    from jaxart import runs
    from jaxart.cli.devices import keep_compiled_programs

    keep_compiled_programs()
    found = runs.open_run(run)
    known = {field.name for field in dataclasses.fields(found.options)}
    changes = {name: value for name, value in {"split": split, "labels": labels}.items() if name in known}
    options = dataclasses.replace(found.options, **changes)
    path = output or run / "scores.json"
    where = by_source(found.kind, data)
    cards = runs.score(found, where, count=count, seed=seed, options=options, output=path, plots=plots)
    rows = [(card.name, f"{card.value:.4g}", f"{card.low:.4g} to {card.high:.4g}", str(card.n_fake)) for card in cards]
    show(table(rows, columns=("score", "value", "95 % interval", "made")))
    say(str(path) if plots is None else f"{path}, plots in {plots}")
    return 0


def export(
    source: Annotated[
        Path,
        Parameter(
            help="The folder of a run; or a network: a .safetensors of `export`, or styles, the one in the package."
        ),
    ],
    /,
    *,
    output: Output,
    platforms: Annotated[tuple[str, ...], Parameter(consume_multiple=True, help="cpu cuda tpu.")] = (
        "cpu",
        "cuda",
        "tpu",
    ),
) -> int:
    """Write what was learned as one file that JAX runs without this program (jax.export); as .safetensors, its weights.

    `jaxart stylize photo.jpg STYLE -o result.png --preset instant --model FILE.safetensors` paints with those of `train style` and
    `train any-style`. As .onnx, these networks paint pictures of any size in programs without JAX (pip install 'jaxart[onnx]').

    Example: `jaxart export styles -o styles.onnx`
    """
    from jaxart import runs, weights
    from jaxart.cli.devices import keep_compiled_programs

    keep_compiled_programs()
    if weights.network_file(source, default="styles").is_file():
        path = runs.export_network(source, output, platforms=platforms)
    else:
        path = runs.export(runs.open_run(source), output, platforms=platforms)
    forms = {".safetensors": "weights", ".onnx": "ONNX"}
    target = forms.get(path.suffix.lower(), f"for {', '.join(platforms)}")
    say(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {target}")
    return 0


def runs(folder: Annotated[Path, Parameter(help="Where to look, with all folders in it.")] = Path(), /) -> int:
    """List the runs in a folder: kind, steps, state (finished, interrupted, running, unreadable) and newest score."""
    from jaxart.runs import find, summarize

    found = [summarize(each) for each in find(folder)]
    if not found:
        say(f"{folder}: no runs in it.")
        return 0
    rows = [
        (
            str(each.folder),
            each.kind or "",
            f"{each.done} of {each.steps}",
            each.state.partition(":")[0],
            "" if each.score is None else f"{each.score[0]} {each.score[1]:.4g}",
        )
        for each in found
    ]
    show(table(rows, columns=("run", "kind", "steps", "state", "newest score")))
    for each in found:
        if each.state.startswith("unreadable"):
            say(f"{each.folder}: {each.state}")
    return 0


def by_source(kind: str, data: tuple[Path, ...], flags: "dict[str, Path | None] | None" = None) -> "dict[str, Any]":
    """Give arguments to the sources that no flag names, in their order; the first takes more than one where it is all that is left."""
    named = {name: path for name, path in (flags or {}).items() if path is not None}
    sources = [name for name in KINDS[kind].sources if name not in named]
    if len(sources) == 1 and len(data) > 1 and sources[0] in KINDS[kind].several:
        return {sources[0]: data, **named}
    if len(data) != len(sources):
        raise ValueError(
            f"DATA: a run of the kind {kind} needs {len(KINDS[kind].sources)} ({', '.join(KINDS[kind].sources)}), got "
            f"{len(data) + len(named)}: {' '.join(map(str, (*data, *named.values())))}"
        )
    return dict(zip(sources, data, strict=True)) | named


def _say_data(run: "Run") -> None:
    from jaxart import runs, training

    if training.this_process()[0] != 0:
        return
    for name, dataset in run.data.items():
        classes = "".join(f", {len(names)} classes" for names in dataset.classes.values() if names)
        say(f"{run.sources[name].path}: {dataset.count} examples{classes}")
        for reason in dataset.failures:
            say(f"  left out: {reason}")
    describe = KINDS[run.kind].found
    if describe is not None and not runs.saved_steps(run.folder):
        headings, rows = describe(run.options, run.facts)
        show(table(rows, columns=headings))


def mesh_at(place: Place) -> "Mesh | None":
    from jaxart.cli.devices import keep_compiled_programs, mesh_of

    mesh = mesh_of(place.devices, coordinator=place.coordinator, processes=place.processes, process=place.process)
    keep_compiled_programs()
    return mesh
