"""A run as a value: begun, opened, with its data read."""

import dataclasses
import importlib.util
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxart import data as shelf
from jaxart import training, weights
from jaxart.arrays import check_choice
from jaxart.runs import folder as files
from jaxart.runs import legacy
from jaxart.runs.kind import KINDS, Facts, Kind
from jaxart.runs.options import RunOptions

Where = str | Path | Sequence[str | Path]  # a path, or several files
Paths = Where | Mapping[str, Where]


class Run(NamedTuple):
    """A run as a value; its folder holds everything else.

    Fields:
        folder: of the run.
        kind: name in `KINDS`.
        options: the kind's dataclass.
        sources: where the data is.
        facts: what was read off the data.
        data: the data itself, empty until it is needed.
        began_as: see `Manifest`.
    """

    folder: Path
    kind: str
    options: Any
    sources: dict[str, files.Source]
    facts: Facts
    data: dict[str, shelf.Dataset] = {}  # noqa: RUF012  never written to
    began_as: int = files.FORMAT


def prepare(kind: str, data: Paths, folder: str | Path, *, options: RunOptions | None = None) -> Run:
    """Read the data of a run and check that it serves; write nothing.

    Args:
        kind: name in `KINDS`.
        data: a path, or one by each name of the kind's sources; several files where the kind takes them.
        folder: of the run, new.
        options: the kind's dataclass, such as ``GanOptions(steps=200, size=32)``; its defaults where it is left out.

    Returns:
        A `Run`.

    Raises:
        ValueError: an unknown kind, options of another kind, sources that are not the kind's, data that does not serve.
    """
    known = _kind(kind)
    chosen, paths = _checked(options or known.options(), known), by_source(kind, known, data)
    datasets = {name: known.load(chosen, name, path) for name, path in paths.items()}
    chosen = _settled(chosen, known, datasets)
    sources = {name: _source(path, shelf.digest(datasets[name]), datasets[name].count) for name, path in paths.items()}
    run = Run(Path(folder), kind, chosen, sources, known.facts(chosen, datasets), datasets)
    jax.eval_shape(
        recipe_of(run).init, keys_of(run)[1]
    )  # what is wrong with the options is said before anything is written
    return run


def _checked(options: RunOptions, kind: Kind) -> RunOptions:
    """Return options with absolute paths, once their numbers can serve."""
    if type(options) is not kind.options:
        raise ValueError(f"options: expected {kind.options.__name__}, got {type(options).__name__}.")
    least_steps = 1 if kind.settled is None else 0
    for name, least in {
        "batch": 1,
        "steps": least_steps,
        "save_every": 1,
        "sample_every": 1,
        "max_nonfinite_steps": 0,
    }.items():
        if getattr(options, name) < least:
            raise ValueError(f"{name}: expected at least {least}, got {getattr(options, name)}.")
    if options.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise ValueError("tensorboard: tensorboardX is not installed (pip install 'jaxart[tensorboard]').")
    paths: Any = {name: value.absolute() for name, value in vars(options).items() if isinstance(value, Path)}
    return dataclasses.replace(options, **paths)


def _settled(options: Any, kind: Kind, data: dict[str, shelf.Dataset]) -> Any:
    """Return options without any that are left to the data."""
    return options if kind.settled is None else kind.settled(options, data)


def with_options(run: Run, folder: str | Path, options: RunOptions) -> Run:
    """Return a prepared run with other options on the same data, which must be read the same way; write nothing.

    Args:
        run: with its data.
        folder: of the other run, new.
        options: of the other run.

    Raises:
        ValueError: as `prepare`.
    """
    known = KINDS[run.kind]
    chosen = _settled(_checked(options, known), known, run.data)
    made = run._replace(folder=Path(folder), options=chosen, facts=known.facts(chosen, run.data))
    jax.eval_shape(recipe_of(made).init, keys_of(made)[1])
    return made


def begin(kind: str, data: Paths, folder: str | Path, *, options: RunOptions | None = None) -> Run:
    """Make the folder of a new run and write its manifest; `train` then trains it.

    Args:
        kind: name in `KINDS`.
        data: a path, or one by each name of the kind's sources.
        folder: of the run, new.
        options: as in `prepare`.

    Returns:
        A `Run`.

    Raises:
        ValueError: as `prepare`; or the folder holds a run already.

    Example:
        ``run = begin("gan", "drawings/", "run", options=GanOptions(steps=200, size=32))``
    """
    if training.this_process()[0] == 0:
        _refuse_a_run(Path(folder))
    return write(prepare(kind, data, folder, options=options))


def write(run: Run) -> Run:
    """Make the folder of a prepared run: what `begin` does after `prepare`.

    Raises:
        ValueError: the folder holds a run already.
    """
    if training.this_process()[0] == 0:
        with files.locked(run.folder):
            _refuse_a_run(run.folder)
            if KINDS[run.kind].keeps_data:
                files.write_data(run.folder, run.data)
            files.write_manifest(run.folder, manifest_of(run))
            failures = [reason for dataset in run.data.values() for reason in dataset.failures]
            if failures:
                (run.folder / "failures.txt").write_text("\n".join(failures) + "\n", encoding="utf-8")
    training.any_process(False)  # the others wait until it is there
    return run


def open_run(folder: str | Path) -> Run:
    """Return the run of a folder, whichever place it was moved to; its data is read when it is needed.

    Args:
        folder: of a run, of this version's format or an older one. It is not written to.

    Raises:
        ValueError: no run there, or one that this version cannot read: a newer format, an unknown kind or unknown options.
    """
    folder = Path(folder)
    found = files.read_manifest(folder)
    if found.kind not in KINDS:
        raise ValueError(
            f"{folder}: a run of the kind {found.kind!r}, written by jaxart {found.jaxart} and carried on by `{found.resume}`; known here: "
            f"{', '.join(KINDS)}."
        )
    options = options_of(folder, KINDS[found.kind].options, found)
    return Run(folder, found.kind, options, found.sources, found.facts, {}, found.began_as)


def opened(source: str | Path | None = None) -> Run | Path:
    """Return the run of a folder; a file as it is, which stands for its generator.

    Args:
        source: folder of a run, or a flow's .safetensors; by default the flow in the package, "icons".

    Raises:
        ValueError: as `open_run`.
    """
    file = weights.network_file(source, default="icons")
    return file if file.is_file() else open_run(file)


def with_data(run: Run, data: Paths | None = None) -> Run:
    """Return the run with its data read.

    Args:
        run: any.
        data: where it is now, if it moved.

    Raises:
        ValueError: it is gone, or it is not what the run began with.
    """
    if run.data and data is None:
        return run
    kind = KINDS[run.kind]
    if kind.keeps_data and data is None:
        return run._replace(data=files.read_data(run.folder, run.sources))
    where = {name: [source.path, *source.more] for name, source in run.sources.items()} if data is None else data
    datasets, paths = {}, by_source(run.kind, kind, where)
    for name, path in paths.items():
        if gone := [each for each in ([path] if isinstance(path, Path) else path) if not each.exists()]:
            raise ValueError(
                f"{run.folder}: its data {gone[0]} is gone. If it moved, resume the run with its new place (data, or --data)."
            )
        datasets[name] = kind.load(run.options, name, path)
        found = (legacy.digest if run.began_as == 1 else shelf.digest)(datasets[name])
        if found != run.sources[name].digest:
            raise ValueError(
                f"{path}: not the {name} that the run began with; it would not be the same run. Begin a new one, or bring that back."
            )
    sources = {name: _source(paths[name], source.digest, source.examples) for name, source in run.sources.items()}
    return run._replace(data=datasets, sources=sources)


def recipe_of(run: Run) -> training.Recipe:
    """Return the recipe of a run; what is frozen and made of the data is left out."""
    return KINDS[run.kind].recipe(run.options, run.facts)


def whole_recipe_of(run: Run) -> training.Recipe:
    """Return the recipe of a run with its data, whole: what `fit` takes."""
    recipe, frozen = recipe_of(run), KINDS[run.kind].frozen
    return recipe if frozen is None else recipe._replace(frozen=frozen(run.options, run.data))


def keys_of(run: Run) -> jax.Array:
    """Return the keys of the data's order and of the steps."""
    return jax.random.split(jax.random.key(run.options.seed))


def checkpoints_of(run: Run, *, read_only: bool = False) -> training.Checkpoints:
    """Return the checkpoints of a run, to be closed.

    Args:
        run: any.
        read_only: see `training.Checkpoints`.
    """
    make = legacy.OldCheckpoints if run.began_as == 1 else training.Checkpoints
    return make(run.folder / "checkpoints", read_only=read_only)


def _kind(name: str) -> Kind:
    check_choice("kind", name, KINDS)
    return KINDS[name]


def by_source(name: str, kind: Kind, data: Paths) -> dict[str, Path | tuple[Path, ...]]:
    """Return the absolute path of each source of a kind; a tuple where it is several files.

    Args:
        name: of the kind.
        kind: whose sources are wanted.
        data: as it was handed in.

    Raises:
        ValueError: other sources than the kind's, or several files for a source that is one.
    """
    found = dict(data) if isinstance(data, Mapping) else {kind.sources[0]: data}
    if set(found) != set(kind.sources):
        raise ValueError(
            f"data: a run of the kind {name} needs {', '.join(kind.sources)}, got {', '.join(found) or 'nothing'}."
        )
    return {source: _absolute(source, kind, found[source]) for source in kind.sources}


def _absolute(source: str, kind: Kind, where: Where) -> Path | tuple[Path, ...]:
    paths = tuple(Path(each).absolute() for each in ([where] if isinstance(where, (str, Path)) else where))
    if len(paths) > 1 and source in kind.several:
        return paths
    if len(paths) != 1:
        raise ValueError(f"{source}: expected one folder or file, got {len(paths)}.")
    return paths[0]


def _source(path: Path | tuple[Path, ...], digest: str, examples: int) -> files.Source:
    first, *more = (str(each) for each in ([path] if isinstance(path, Path) else path))
    return files.Source(first, digest, examples, tuple(more))


def options_of(folder: Path, made: type[RunOptions], manifest: files.Manifest) -> Any:
    """Return the options that a manifest tells.

    Args:
        folder: of the run, for messages.
        made: dataclass of the kind's options.
        manifest: as it was read.

    Raises:
        ValueError: options are missing, or there are some that this version does not know.
    """
    made_of = [field.name for field in dataclasses.fields(made)]
    missing = (
        sorted(set(made_of) - set(manifest.options) - set(_before(made))) if manifest.format == files.FORMAT else []
    )
    if missing or set(manifest.sources) != set(KINDS[manifest.kind].sources):
        raise ValueError(
            f"{folder}: run.json is incomplete ({', '.join(missing) or 'its data'}); bring back the one that was written."
        )
    unknown = sorted(set(manifest.options) - set(made_of))
    if unknown:
        raise ValueError(
            f"{folder}: options that this version does not know: {', '.join(unknown)}. Use jaxart {manifest.jaxart}."
        )
    values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in manifest.options.items()}
    return made(**_before(made) | values)


def _before(made: type[RunOptions]) -> dict[str, Any]:
    """Return what runs had of the fields that were added since."""
    hints = typing.get_type_hints(made, include_extras=True)
    told = {name: typing.get_args(hint)[1] for name, hint in hints.items()}
    return {name: option.before for name, option in told.items() if option.before is not ...}


def manifest_of(run: Run) -> files.Manifest:
    """Return the manifest of a run, as it will be read."""
    options: Any = json.loads(json.dumps(dataclasses.asdict(run.options), default=str))  # tuples become lists
    return files.Manifest(run.kind, options, run.sources, run.facts, run.options.steps, began_as=run.began_as)


def _refuse_a_run(folder: Path) -> None:
    if (folder / files.MANIFEST).exists():
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
    if files.saved_steps(folder):
        raise ValueError(
            f"{folder} holds checkpoints of a run whose {files.MANIFEST} is missing: choose another folder."
        )
