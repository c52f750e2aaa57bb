"""The command compress: what a run has learned in a smaller file."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from jaxart.cli.progress import Bar, training_hook
from jaxart.cli.runs import Place, RunFolder, by_source, mesh_at
from jaxart.cli.terminal import interruptible, say, show, table

if TYPE_CHECKING:
    from jaxart.runs import Compressed, Measured, Run

_SMALLER = Group("How it becomes smaller", sort_key=1)
_TRAINED = Group("Training it on", sort_key=2)
_MEASURED = Group("Measuring it", sort_key=3)


def compress(
    run: RunFolder,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The result, .safetensors.")],
    soup: Annotated[
        tuple[Path, ...],
        Parameter(
            group=_SMALLER,
            consume_multiple=True,
            help="Other runs of the same data and seed, such as trials of a study, to be averaged with it where that makes it better.",
        ),
    ] = (),
    channels: Annotated[
        float | None,
        Parameter(
            group=_SMALLER,
            help="Share of the channels within that stay: faster everywhere. For residual networks and heads of layers.",
        ),
    ] = None,
    prune: Annotated[
        float | None, Parameter(group=_SMALLER, help="Share of the weights within that become zero, such as 0.8.")
    ] = None,
    pattern: Annotated[
        str | None, Parameter(group=_SMALLER, help="Of --prune: N:M, such as 2:4: N of M neighbors stay.")
    ] = None,
    int8: Annotated[
        bool, Parameter(group=_SMALLER, help="Weights as whole numbers of 8 bits, with a scale for each channel.")
    ] = False,
    values: Annotated[
        int | None, Parameter(group=_SMALLER, help="Weights as one of so many values, 2 to 256; 16 take 4 bits.")
    ] = None,
    steps: Annotated[
        int | None,
        Parameter(
            group=_TRAINED,
            help="After --channels, with --prune: on the run's own data; 0 for none. [a third of the run's]",
        ),
    ] = None,
    learning_rate: Annotated[float | None, Parameter(group=_TRAINED, help="At most. [half of the run's]")] = None,
    devices: Annotated[int | None, Parameter(group=_TRAINED, help="How many to use. [all]")] = None,
    score: Annotated[
        tuple[Path, ...],
        Parameter(group=_MEASURED, consume_multiple=True, help="Data to measure it on. [what the run keeps back]"),
    ] = (),
    labels: Annotated[
        Path | None,
        Parameter(group=_MEASURED, help="Of --score: a CSV with columns file,label, instead of subfolders."),
    ] = None,
) -> int:
    """Write what a run has learned as a smaller file, and print bytes, scores and time for a picture before and after.

    The file loads wherever that of `export` does: `jaxart classify SMALL.safetensors picture.jpg`. Where it trains, Ctrl-C saves and ends,
    and the same command carries on, after a crash too.

    Example: `jaxart compress run -o small.safetensors --prune 0.8 --int8`
    """
    from jaxart import runs

    if int8 and values is not None:
        raise ValueError("--int8, --values: expected one of them.")
    mesh, found = mesh_at(Place(devices=devices)), runs.open_run(run)
    with Bar() as bar, interruptible() as interrupted:
        done = runs.compress(
            found,
            output,
            prune=_pruning(prune, pattern),
            channels=channels,
            method="int8" if int8 else "codebook" if values is not None else None,
            values=64 if values is None else values,
            soup=[runs.open_run(each) for each in soup],
            tuning=runs.FineTuning(steps, learning_rate),
            score=by_source(found.kind, score) if score else None,
            options=_reading(found, labels),
            mesh=mesh,
            hooks=lambda steps: (_hook(bar, found, steps),),
            stop=interrupted,
        )
    if done is None:
        say("Interrupted and saved: the same command carries on.")
        return 130
    _show(done)
    return 0


def _pruning(share: float | None, pattern: str | None) -> Any:
    from jaxart import runs

    if pattern is None:
        return None if share is None else runs.Pruning(share)
    words = pattern.split(":")
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        raise ValueError(f"--pattern: expected N:M, such as 2:4, got {pattern!r}.")
    n, m = map(int, words)
    return runs.Pruning(1 - n / m if share is None else share, (n, m))


def _reading(run: "Run", labels: Path | None) -> Any:
    """Return the options with which data to measure on is read."""
    known = {field.name for field in dataclasses.fields(run.options)}
    changes = {name: value for name, value in {"split": "test", "labels": labels}.items() if name in known}
    return dataclasses.replace(run.options, **changes)


def _hook(bar: Bar, run: "Run", steps: int) -> Any:
    examples = sum(source.examples for source in run.sources.values())
    return training_hook(bar, steps=steps, batch=run.options.batch, dataset_size=examples)


def _show(done: "Compressed") -> None:
    before, after = done.before, done.after
    rows = [("bytes, as float32 before", f"{before.bytes:,}", f"{after.bytes:,}", _ratio(before.bytes, after.bytes))]
    rows += [(name, f"{value:.4f}", *_later(value, after, name)) for name, value in before.scores.items()]
    rows.append(("share of zeros", f"{before.zeros:.2f}", f"{after.zeros:.2f}", ""))
    if before.milliseconds is not None and after.milliseconds is not None:
        change = _ratio(before.milliseconds, after.milliseconds)
        rows.append(("ms a picture", f"{before.milliseconds:.2f}", f"{after.milliseconds:.2f}", change))
    show(table(rows, columns=("", "before", "after", "change")))
    if done.soup is not None:
        say(
            f"averaged: {', '.join('the run' if each == 0 else f'number {each} of --soup' for each in done.soup.members)}"
        )
    say(str(done.path))


def _ratio(before: float, after: float) -> str:
    return f"x {after / before:.3f}" if before else ""


def _later(value: float, after: "Measured", name: str) -> tuple[str, str]:
    found = after.scores.get(name)
    return ("", "") if found is None else (f"{found:.4f}", f"{found - value:+.4f}")
