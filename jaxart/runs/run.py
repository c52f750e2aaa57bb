"""A run as a value: begun, opened, with its data read."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxart import data as shelf
from jaxart import training
from jaxart.arrays import check_choice
from jaxart.runs import folder as files
from jaxart.runs import legacy
from jaxart.runs.kind import KINDS, Facts, Kind
from jaxart.runs.options import RunOptions

Paths = str | Path | Mapping[str, str | Path]


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
        data: a path, or one by each name of the kind's sources.
        folder: of the run, new.
        options: the kind's dataclass, such as ``GanOptions(steps=200, size=32)``; its defaults where it is left out.

    Returns:
        A `Run`.

    Raises:
        ValueError: an unknown kind, options of another kind, sources that are not the kind's, data that does not serve.
    """
    known = _kind(kind)
    chosen = options or known.options()
    if type(chosen) is not known.options:
        raise ValueError(f"options: expected {known.options.__name__}, got {type(chosen).__name__}.")
    files_named = {name: value.absolute() for name, value in vars(chosen).items() if isinstance(value, Path)}
    chosen, paths = dataclasses.replace(chosen, **files_named), by_source(kind, known, data)
    datasets = {name: known.load(chosen, name, path) for name, path in paths.items()}
    sources = {
        name: files.Source(str(path), shelf.digest(datasets[name]), datasets[name].count)
        for name, path in paths.items()
    }
    return Run(Path(folder), kind, chosen, sources, known.facts(chosen, datasets), datasets)


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
            failures = [reason for dataset in run.data.values() for reason in dataset.failures]
            if failures:
                (run.folder / "failures.txt").write_text("\n".join(failures) + "\n", encoding="utf-8")
            files.write_manifest(run.folder, manifest_of(run))
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
    options = _options(folder, KINDS[found.kind].options, found)
    return Run(folder, found.kind, options, found.sources, found.facts, {}, found.began_as)


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
    paths = {name: Path(source.path) for name, source in run.sources.items()}
    paths |= {} if data is None else by_source(run.kind, kind, data)
    datasets = {}
    for name, path in paths.items():
        if not path.exists():
            raise ValueError(
                f"{run.folder}: its data {path} is gone. If it moved, say where it is now (data, or --data)."
            )
        datasets[name] = kind.load(run.options, name, path)
        found = (legacy.digest if run.began_as == 1 else shelf.digest)(datasets[name])
        if found != run.sources[name].digest:
            raise ValueError(
                f"{path} has changed since the run began; it would not be the same run. Begin a new one, or bring the data back."
            )
    sources = {name: source._replace(path=str(paths[name])) for name, source in run.sources.items()}
    return run._replace(data=datasets, sources=sources)


def recipe_of(run: Run) -> training.Recipe:
    """Return the recipe of a run."""
    return KINDS[run.kind].recipe(run.options, run.facts)


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


def by_source(name: str, kind: Kind, data: Paths) -> dict[str, Path]:
    """Return the absolute path of each source of a kind.

    Args:
        name: of the kind.
        kind: whose sources are wanted.
        data: as it was handed in.

    Raises:
        ValueError: other sources than the kind's.
    """
    found = {kind.sources[0]: data} if isinstance(data, (str, Path)) else dict(data)
    if set(found) != set(kind.sources):
        raise ValueError(
            f"data: a run of the kind {name} needs {', '.join(kind.sources)}, got {', '.join(found) or 'nothing'}."
        )
    return {source: Path(found[source]).absolute() for source in kind.sources}


def _options(folder: Path, made: type[RunOptions], manifest: files.Manifest) -> Any:
    unknown = sorted(set(manifest.options) - {field.name for field in dataclasses.fields(made)})
    if unknown:
        raise ValueError(
            f"{folder}: options that this version does not know: {', '.join(unknown)}. Use jaxart {manifest.jaxart}."
        )
    values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in manifest.options.items()}
    return made(**values)


def manifest_of(run: Run) -> files.Manifest:
    """Return the manifest of a run, as it will be read."""
    options: Any = json.loads(json.dumps(dataclasses.asdict(run.options), default=str))  # tuples become lists
    return files.Manifest(run.kind, options, run.sources, run.facts, run.options.steps, began_as=run.began_as)


def _refuse_a_run(folder: Path) -> None:
    if (folder / files.MANIFEST).exists():
        raise ValueError(f"{folder} holds a run already: resume it, or choose another folder.")
