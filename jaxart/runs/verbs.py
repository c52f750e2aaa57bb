"""What one does with a run: begin, open, train, dry run, sample, score, export."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxart import data as shelf
from jaxart import io, metrics, training
from jaxart.arrays import check_choice
from jaxart.ops import compiler_options
from jaxart.runs import folder as files
from jaxart.runs import legacy
from jaxart.runs.kind import KINDS, Facts, Generator, Kind, Trained
from jaxart.runs.options import RunOptions
from jaxart.runs.pictures import draw, latent_walk, make
from jaxart.training.sharding import Hook

Paths = str | Path | Mapping[str, str | Path]
PLATFORMS = ("cpu", "cuda", "tpu")
_BATCHES_PER_CALL = 4
_REPORT_EVERY = 100  # steps between lines of the log, at most


class Run(NamedTuple):
    """A run as a value; its folder holds everything else.

    Fields:
        folder: of the run.
        kind: name in `KINDS`.
        options: the kind's dataclass.
        sources: where the data is.
        facts: what was read off the data.
        data: the data itself, or nothing if it was not needed yet.
        began_as: see `Manifest`.
    """

    folder: Path
    kind: str
    options: Any
    sources: dict[str, files.Source]
    facts: Facts
    data: dict[str, shelf.Dataset] | None = None
    began_as: int = files.FORMAT


class Program(NamedTuple):
    """A compiled step: what it is, its floating point operations, the bytes of its arguments and temporaries."""

    name: str
    operations: float
    bytes: int


class DryRun(NamedTuple):
    """What a run would take.

    Fields:
        parameters: numbers of them by network.
        programs: the step, and what is added to it now and then.
        batch: the first batch.
    """

    parameters: dict[str, int]
    programs: list[Program]
    batch: shelf.Batch


def prepare(kind: str, data: Paths, folder: str | Path, options: RunOptions | None = None, **changes: Any) -> Run:
    """Read the data of a run and check that it serves; write nothing.

    Args:
        kind: name in `KINDS`.
        data: a path, or one by each name of the kind's sources.
        folder: of the run, new.
        options: the kind's dataclass; its defaults where it is left out.
        **changes: of fields of `options`.

    Returns:
        A `Run`.

    Raises:
        ValueError: an unknown kind or option, sources that are not the kind's, data that does not serve.
    """
    known = _kind(kind)
    chosen = _changed(options or known.options(), changes)
    paths = _by_source(kind, known, data)
    datasets = {name: known.load(chosen, name, path) for name, path in paths.items()}
    sources = {
        name: files.Source(str(path), shelf.digest(datasets[name]), datasets[name].count)
        for name, path in paths.items()
    }
    return Run(Path(folder), kind, chosen, sources, known.facts(chosen, datasets), datasets)


def begin(kind: str, data: Paths, folder: str | Path, options: RunOptions | None = None, **changes: Any) -> Run:
    """Make the folder of a new run and write its manifest; `train` then trains it.

    Args and Returns: as `prepare`.

    Raises:
        ValueError: as `prepare`; or the folder holds a run already.

    Example:
        ``run = begin("gan", "drawings/", "run", steps=200, size=32)``
    """
    _refuse_a_run(Path(folder))
    return write(prepare(kind, data, folder, options, **changes))


def write(run: Run) -> Run:
    """Make the folder of a prepared run: what `begin` does after `prepare`.

    Raises:
        ValueError: the folder holds a run already.
    """
    if training.this_process()[0] == 0:
        with files.locked(run.folder):
            _refuse_a_run(run.folder)
            failures = [reason for dataset in (run.data or {}).values() for reason in dataset.failures]
            if failures:
                (run.folder / "failures.txt").write_text("\n".join(failures) + "\n", encoding="utf-8")
            files.write_manifest(run.folder, _manifest(run))
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
            f"{folder}: a run of the kind {found.kind!r}, written by jaxart {found.jaxart}; known here: {', '.join(KINDS)}."
        )
    options = _options(folder, KINDS[found.kind].options, found)
    return Run(folder, found.kind, options, found.sources, found.facts, None, found.began_as)


def train(
    run: Run,
    *,
    steps: int | None = None,
    data: Paths | None = None,
    mesh: Mesh | None = None,
    hooks: tuple[Hook, ...] = (),
    stop: Callable[[], bool] | None = None,
) -> Any:
    """Train a run to its end: from its newest intact checkpoint, or from the beginning. Both give the same bits.

    Args:
        run: from `begin` or `open_run`.
        steps: a new count at which to end, kept in the manifest.
        data: where the data is now, if it moved; its content must be the same.
        mesh: devices, see `training.data_mesh`; by default one. May differ from that of the run so far.
        hooks: called ``hook(state, info)`` on the first process, beside what is logged and sampled into the folder.
        stop: asked after each call to the device; true saves and ends.

    Returns:
        The state; ``state.step`` is below the run's steps if it was stopped.

    Raises:
        LockedError: another process trains the run.
        training.NotFiniteError: a value was not finite too often.
        ValueError: the data is gone or has changed; checkpoints that cannot be read or written.
    """
    run = with_data(run, data)
    if steps is not None:
        run = run._replace(options=_changed(run.options, {"steps": steps}))
    if training.this_process()[0] != 0:
        return _train(run, mesh, hooks, stop)
    with files.locked(run.folder):
        if files.read_manifest(run.folder) != _manifest(run):
            files.write_manifest(run.folder, _manifest(run))
        return _train(run, mesh, hooks, stop)


def with_data(run: Run, data: Paths | None = None) -> Run:
    """Return the run with its data read.

    Args:
        run: any.
        data: where it is now, if it moved.

    Raises:
        ValueError: it is gone, or it is not what the run began with.
    """
    if run.data is not None and data is None:
        return run
    kind = KINDS[run.kind]
    paths = {name: Path(source.path) for name, source in run.sources.items()}
    paths |= {} if data is None else _by_source(run.kind, kind, data)
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


def dry_run(run: Run) -> DryRun:
    """Compile what a run would do, and do none of it.

    Args:
        run: from `prepare`, `begin` or `open_run`.
    """
    run = with_data(run)
    kind, recipe, (order, key) = KINDS[run.kind], _recipe(run), _keys(run)
    state = jax.eval_shape(recipe.init, key)
    batch = next(iter(kind.batches(order, run.options, run.data or {}, 0, (0, 1))))
    stack = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((_BATCHES_PER_CALL, *leaf.shape), leaf.dtype), batch)
    programs = []
    for name, step in (("a step", recipe.step), *((f"every {k} steps", lazy) for k, lazy in recipe.lazy)):
        single = jax.jit(step).lower(key, state, batch, None).compile(compiler_options=compiler_options())
        facts: Any = single.cost_analysis()
        memory: Any = training.compile_steps(recipe, key=key, state=state, batches=stack, step=step).memory_analysis()
        programs.append(
            Program(name, float(facts["flops"]), memory.temp_size_in_bytes + memory.argument_size_in_bytes)
        )
    return DryRun({name: _size(params) for name, params in kind.parameters(state).items()}, programs, batch)


def newest_state(run: Run) -> Any:
    """Return the newest intact state of a run; warn of damaged checkpoints. Writes nothing.

    Raises:
        ValueError: there is none yet, or none that can be read.
    """
    if not files.saved_steps(run.folder):
        raise ValueError(f"{run.folder}: no checkpoint yet; train it first.")
    recipe, key = _recipe(run), _keys(run)[1]
    saved = _checkpoints(run, read_only=True)
    try:
        return saved.newest(lambda notes: jax.eval_shape(recipe.init, key))[0]
    finally:
        saved.close()


def generator(run: Run) -> Generator:
    """Return the generator of a run as it stands.

    Raises:
        ValueError: runs of its kind make no pictures, or it has no checkpoint.
    """
    return _ability(run, "generator", "makes no pictures")(_trained(run))


def sample(run: Run, count: int = 64, *, seed: int = 0, label: str | None = None) -> np.ndarray:
    """Make pictures with a run's generator.

    Args:
        run: of a kind with a generator.
        count: how many.
        seed: picture i depends on the seed and i alone.
        label: one class; by default eight of each class, in turn.

    Returns:
        float32 ``[count, H, W, C]`` in [0, 1]; ``io.grid(pictures, columns=8)`` puts them side by side.

    Raises:
        ValueError: as `generator`; or an unknown label.
    """
    found = generator(run)
    return make(found, *draw(found, seed, count, label))


def walk(run: Run, *, stops: int = 8, frames: int = 12, seed: int = 0, label: str | None = None) -> np.ndarray:
    """Make a looping walk through what a run's generator can make.

    Args:
        run: of a kind with a generator.
        stops: random pictures that it passes.
        frames: from one to the next.
        seed: of the stops.
        label: one class; by default the first.

    Returns:
        float32 ``[stops * frames, H, W, C]`` in [0, 1].

    Raises:
        ValueError: as `sample`.
    """
    found = generator(run)
    z, names = draw(found, seed, stops, label)
    path = latent_walk(z, frames=frames)
    return make(found, path, np.full(len(path), names[0]))


def score(
    run: Run, data: Paths, *, count: int = 5000, seed: int = 0, output: str | Path | None = None, **changes: Any
) -> list[metrics.ScoreCard]:
    """Score a run on data that it has not seen, and write the cards.

    Args:
        run: of a kind with scores.
        data: as in `begin`.
        count: examples to make and to compare with.
        seed: of what is drawn.
        output: JSON file for the cards; ``scores.json`` in the run's folder by default.
        **changes: of fields of the options with which `data` is read, such as ``split="test"``.

    Returns:
        The cards.

    Raises:
        ValueError: runs of its kind have no scores, the data was seen in training, no checkpoint.
    """
    run = with_data(run)
    judge, kind = _ability(run, "score", "has no scores"), KINDS[run.kind]
    options = _changed(run.options, changes)
    held_out = {name: kind.load(options, name, path) for name, path in _by_source(run.kind, kind, data).items()}
    for name, dataset in held_out.items():
        if shelf.digest(dataset) == shelf.digest((run.data or {})[name]):
            raise ValueError(
                f"the run was trained on this {name}; scores need examples that it has not seen. Hand in others."
            )
    cards = judge(_trained(run), run.data, held_out, count, seed)
    metrics.write_cards(output or run.folder / "scores.json", cards)
    return cards


def export(run: Run, output: str | Path, *, platforms: tuple[str, ...] = PLATFORMS) -> Path:
    """Write what a run has learned as one file for `jax.export.deserialize`, which needs no jaxart.

    Args:
        run: of a kind that can be exported.
        output: the file.
        platforms: of "cpu", "cuda" and "tpu".

    Returns:
        The path.

    Raises:
        ValueError: runs of its kind cannot be exported, an unknown platform, no checkpoint.
    """
    serialize = _ability(run, "export", "cannot be exported")
    for platform in platforms:
        check_choice("platforms", platform, PLATFORMS)
    content = serialize(_trained(run), tuple(platforms))
    with io.replacing(Path(output)) as partial:
        partial.write_bytes(content)
    return Path(output)


def _train(run: Run, mesh: Mesh | None, hooks: tuple[Hook, ...], stop: Callable[[], bool] | None) -> Any:
    options, (order, key) = run.options, _keys(run)
    every = int(np.gcd(np.gcd(options.save_every, options.sample_every), _REPORT_EVERY))
    batches = functools.partial(_batches, KINDS[run.kind], order, options, run.data)
    saved = _checkpoints(run)
    try:
        state, _ = training.fit(
            _recipe(run),
            batches,
            key=key,
            steps=options.steps,
            mesh=mesh,
            batches_per_call=_BATCHES_PER_CALL,
            every=every,
            hooks=tuple(training.on_first_process(hook) for hook in (*hooks, *_hooks(run, every))),
            stop=stop,
            max_nonfinite_steps=options.max_nonfinite_steps,
            checkpoints=saved,
            save_every=options.save_every,
        )
    finally:
        saved.close()
    return state


def _batches(kind: Kind, key: jax.Array, options: Any, data: dict[str, shelf.Dataset], first: int) -> Any:
    return kind.batches(key, options, data, first, training.this_process())


def _hooks(run: Run, every: int) -> list[Hook]:
    kind, last = KINDS[run.kind], run.options.steps
    logs = [training.log_jsonl(run.folder / "log.jsonl")]
    if run.options.tensorboard:
        logs.append(training.log_tensorboard(run.folder / "tensorboard"))
    found = [training.periodically(every, log, last=last) for log in logs]
    if kind.sample is None:
        return found

    def write_sample(state: Any, info: Any) -> None:
        del info
        (run.folder / "samples").mkdir(exist_ok=True)
        local = jax.tree.map(np.asarray, state)
        assert kind.sample is not None
        kind.sample(
            Trained(run.options, run.facts, local), run.folder / "samples" / f"step{int(state.step):07d}"
        )

    return [*found, training.periodically(run.options.sample_every, write_sample, last=last)]


def _trained(run: Run) -> Trained:
    return Trained(run.options, run.facts, newest_state(run))


def _recipe(run: Run) -> training.Recipe:
    return KINDS[run.kind].recipe(run.options, run.facts)


def _keys(run: Run) -> jax.Array:
    """Return the keys of the data's order and of the steps."""
    return jax.random.split(jax.random.key(run.options.seed))


def _checkpoints(run: Run, *, read_only: bool = False) -> training.Checkpoints:
    make = legacy.OldCheckpoints if run.began_as == 1 else training.Checkpoints
    return make(run.folder / "checkpoints", read_only=read_only)


def _ability(run: Run, name: str, lacking: str) -> Any:
    found = getattr(KINDS[run.kind], name)
    if found is None:
        raise ValueError(f"{run.folder}: a run of the kind {run.kind} {lacking}.")
    return found


def _kind(name: str) -> Kind:
    check_choice("kind", name, KINDS)
    return KINDS[name]


def _by_source(name: str, kind: Kind, data: Paths) -> dict[str, Path]:
    found = {kind.sources[0]: data} if isinstance(data, (str, Path)) else dict(data)
    if set(found) != set(kind.sources):
        raise ValueError(
            f"data: a run of the kind {name} needs {', '.join(kind.sources)}, got {', '.join(found) or 'nothing'}."
        )
    return {source: Path(found[source]).absolute() for source in kind.sources}


def _changed(options: Any, changes: dict[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(options)]
    for name in changes:
        check_choice("options", name, known)
    return dataclasses.replace(options, **changes)


def _options(folder: Path, made: type[RunOptions], manifest: files.Manifest) -> Any:
    unknown = sorted(set(manifest.options) - {field.name for field in dataclasses.fields(made)})
    if unknown:
        raise ValueError(
            f"{folder}: options that this version does not know: {', '.join(unknown)}. Use jaxart {manifest.jaxart}."
        )
    return made(**{name: tuple(value) if isinstance(value, list) else value for name, value in manifest.options.items()})


def _manifest(run: Run) -> files.Manifest:
    options: Any = json.loads(json.dumps(dataclasses.asdict(run.options)))  # as they are read: tuples become lists
    return files.Manifest(run.kind, options, run.sources, run.facts, began_as=run.began_as)


def _refuse_a_run(folder: Path) -> None:
    if (folder / files.MANIFEST).exists():
        raise ValueError(
            f"{folder} holds a run already: resume it, or choose another folder."
        )


def _size(tree: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))
