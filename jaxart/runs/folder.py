"""A run's folder: its manifest run.json, its lock, and what can be told of it without training it. Reading never writes.

run.json      what the run is: kind, options, data sources with digests, facts of the data
lock          held by the process that works on it; the system releases it when the process ends, however it ends
checkpoints/  the newest states
log.jsonl     losses by step
samples/      what the run made as it went on
tensorboard/  the same losses for TensorBoard, where they were asked for
failures.txt  what could not be read of the data
scores.json   score cards
data/         a copy of the data, of kinds whose answers need it
"""

import contextlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxart import io, metrics
from jaxart.data import Dataset, digest
from jaxart.runs import legacy
from jaxart.version import __version__

FORMAT = 2
MANIFEST = "run.json"
CALIBRATION = "calibration.json"
_DATA = "data"
_TRIES = 5


class Source(NamedTuple):
    """Where data came from: its absolute path, the digest of its content, the number of its examples, the paths of further files."""

    path: str
    digest: str
    examples: int
    more: tuple[str, ...] = ()


class Manifest(NamedTuple):
    """The content of run.json.

    Fields:
        kind: name of what is trained.
        options: JSON values by name.
        sources: data by name.
        facts: JSON values that were read off the data and that the recipe needs, such as the names of classes.
        steps: at which it ends.
        resume: the command that carries it on.
        jaxart: version that wrote it.
        began_as: format of the run's first manifest; checkpoints of format 1 have other names for the fields of states.
        format: of this manifest, when it was read.
    """

    kind: str
    options: dict[str, Any]
    sources: dict[str, Source]
    facts: dict[str, Any]
    steps: int
    resume: str = "jaxart resume RUN"
    jaxart: str = __version__
    began_as: int = FORMAT
    format: int = FORMAT


class Summary(NamedTuple):
    """A run as it is listed.

    Fields:
        folder: of the run.
        kind: None if it cannot be read.
        done, steps: steps done at the newest checkpoint, and in all.
        state: "finished", "interrupted", "running", or why it is unreadable.
        score: name and value of the first of the newest score cards, or None.
    """

    folder: Path
    kind: str | None
    done: int
    steps: int
    state: str
    score: tuple[str, float] | None


class LockedError(ValueError):
    """Another process works on the run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        holder = (folder / "lock").read_text(encoding="utf-8").strip() or "unknown"
        super().__init__(
            f"{folder}: another process works on this run (process {holder}). Wait for it, or end it first."
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write run.json in the current format, whole or not at all.

    Args:
        folder: of the run; made if it is missing.
        manifest: its `format` and `jaxart` are those of this version, whatever it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = {name: source._asdict() for name, source in manifest.sources.items()}
    now = {"format": FORMAT, "jaxart": __version__}  # first in the file
    content = now | manifest._asdict() | now | {"sources": sources}
    with io.replacing(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read run.json.

    Args:
        folder: of the run.

    Raises:
        ValueError: there is none, it cannot be read, or a newer version wrote it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder}: no run there ({MANIFEST} is missing).")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, written_by = content["format"], content["jaxart"]
        if version in (1, FORMAT):
            content = legacy.upgrade(content) if version == 1 else content
            sources = {name: Source(**source) for name, source in content.pop("sources").items()}
            return _checked(Manifest(**content, sources=sources))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be read ({error!r}). The checkpoints beside it are untouched.") from error
    raise ValueError(
        f"{path}: written by jaxart {written_by} in format {version}; this is {__version__}, which reads formats 1 to {FORMAT}. "
        f"Use jaxart {written_by} or newer."
    )


def _checked(manifest: Manifest) -> Manifest:
    """Refuse values of other types than those that were written.

    Raises:
        TypeError: one was found.
    """
    expected = {
        "kind": str,
        "options": dict,
        "facts": dict,
        "steps": int,
        "resume": str,
        "jaxart": str,
        "began_as": int,
    }
    found = [(name, getattr(manifest, name), kind) for name, kind in expected.items()]
    for name, source in manifest.sources.items():
        found += [(f"{name}: path", source.path, str), (f"{name}: digest", source.digest, str)]
        found += [(f"{name}: examples", source.examples, int)]
        found += [(f"{name}: more", more, str) for more in source.more]
    for name, value, kind in found:
        if type(value) is not kind:
            raise TypeError(f"{name}: expected {kind.__name__}, got {value!r}")
    return manifest


def write_data(folder: Path, data: Mapping[str, Dataset]) -> None:
    """Keep a copy of a run's data in its folder.

    Args:
        folder: of the run; made if it is missing.
        data: by source.
    """
    (folder / _DATA).mkdir(parents=True, exist_ok=True)
    for name, dataset in data.items():
        with io.replacing(folder / _DATA / f"{name}.npz") as partial, open(partial, "wb") as stream:
            named: Any = {f"column {each}": values for each, values in dataset.columns.items()}
            np.savez_compressed(stream, **named)


def read_data(folder: Path, sources: Mapping[str, Source]) -> dict[str, Dataset]:
    """Read the copy of a run's data that its folder holds: the columns.

    Args:
        folder: of the run.
        sources: as the manifest tells them.

    Raises:
        ValueError: it is missing, damaged, or other data.
    """
    found = {}
    for name, source in sources.items():
        path = folder / _DATA / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as kept:
                found[name] = Dataset({each.removeprefix("column "): kept[each] for each in kept.files})
            known = digest(found[name]) == source.digest
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: cannot be read ({error}); bring back the one that was written.") from error
        if not known:
            raise ValueError(f"{path}: not the {name} that the run began with; bring back the one that was written.")
    return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run. The system lets it go when the process ends, even by a crash.

    Args:
        folder: of the run; made if it is missing.

    Raises:
        LockedError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+", encoding="utf-8") as file:
        for _ in range(_TRIES):  # `is_locked` holds it for a moment
            if held := _acquire(file):
                break
            time.sleep(0.1)
        if not held:
            raise LockedError(folder)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_locked(folder: Path) -> bool:
    """Tell whether a process works on the run."""
    path = folder / "lock"
    if not path.is_file():
        return False
    with open(path, encoding="utf-8") as file:
        return not _acquire(file, shared=True)


def _acquire(file: Any, *, shared: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:  # not a Unix: nothing guards there
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def saved_steps(folder: Path) -> list[int]:
    """Return the steps of a run's checkpoints, newest first, by the names of their folders."""
    names = (path.name for path in (folder / "checkpoints").glob("*") if path.is_dir())
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def summarize(folder: Path) -> Summary:
    """Say of a run what its files tell, without opening its checkpoints."""
    done = next(iter(saved_steps(folder)), 0)
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return Summary(folder, None, done, 0, f"unreadable: {error}", None)
    state = "running" if is_locked(folder) else "finished" if done >= manifest.steps else "interrupted"
    return Summary(folder, manifest.kind, done, manifest.steps, state, _newest_score(folder))


def find(folder: str | Path) -> list[Path]:
    """Return the folders of the runs at and below `folder`, by name.

    Raises:
        ValueError: no such folder.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: not a folder.")
    return sorted(path.parent for path in Path(folder).rglob(MANIFEST))


def _newest_score(folder: Path) -> tuple[str, float] | None:
    try:
        card = metrics.read_cards(folder / "scores.json")[0]
        return card.name, float(card.value)
    except (OSError, ValueError, IndexError, TypeError, AttributeError):
        return None
