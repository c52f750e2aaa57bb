"""The commands classify and explain: what a run of `train classifier` says of pictures, and why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.files import given_pictures
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import say, show, table

if TYPE_CHECKING:
    from jaxart.runs import Answer
    from jaxart.runs import Trained as Classifier

_AT_ONCE = 32  # pictures

Trained = Annotated[
    Path, Parameter(help="The folder of a run of `train classifier`, or a .safetensors of `export` or `compress`.")
]


def classify(
    run: Trained,
    first: Annotated[Path, Parameter(name="PICTURES", help="A picture, several, or a folder of them.")],
    /,
    *more: Annotated[Path, Parameter(name="PICTURES", help="Further pictures.")],
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print one JSON object a picture: file, label, probability, set, ...")
    ] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="Write the JSON objects to a file.")] = None,
) -> int:
    """Say of pictures what they are: the likeliest class with its probability, and a set of classes that the true one is among.

    Sets hold the true class in 90 of 100 pictures, or in more where most have one likely class, since that is always in the set: the
    heading of the column (in JSON: coverage) says in how many it was of those that the run kept back. A picture that is like none of what
    the run has seen is said to be none of the classes; one in a hundred known ones is, wrongly. What cannot be read is listed, and stops
    nothing.

    Example: `jaxart classify run museum/*.jpg --json > answers.json`
    """
    from jaxart import io, runs

    keep_compiled_programs()
    if output is not None and not output.absolute().parent.is_dir():
        raise ValueError(f"{output}: no such folder as {output.parent}.")
    found, paths = runs.classifier_of(runs.opened(run)), given_pictures(first, more)
    told: list[dict[str, Any]] = []
    failed: list[str] = []
    with Bar(len(paths)) as bar:
        for start in range(0, len(paths), _AT_ONCE):
            told += _answered(found, paths[start : start + _AT_ONCE], failed)
            done = min(start + _AT_ONCE, len(paths))
            bar.update(done, f"picture {done}/{len(paths)}", "", total=len(paths))
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in told)
    if output is not None:
        with io.replacing(output) as partial:
            partial.write_text(lines, encoding="utf-8")
    if as_json:
        show(lines.rstrip("\n"))
    elif told:
        show(
            table(
                [_row(each) for each in told],
                columns=("picture", "answer", "probability", _promise(told[0]["coverage"])),
            )
        )
    for reason in failed:
        say(f"left out: {reason}")
    return 2 if failed else 0


def _promise(coverage: float | None) -> str:
    return "one of these" if coverage is None else f"one of these, in {round(100 * coverage)} of 100"


def _answered(run: "Classifier", paths: list[Path], failed: list[str]) -> list[dict[str, Any]]:
    from jaxart import io, runs

    read, pictures = [], []
    for path in paths:
        try:
            pictures.append(io.read_picture(path))
            read.append(path)
        except (ValueError, OSError) as error:
            failed.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    answers = runs.classify(run, pictures) if pictures else []
    return [_object(path, answer) for path, answer in zip(read, answers, strict=True)]


def _object(path: Path, answer: "Answer") -> dict[str, Any]:
    told = {"file": str(path), **answer._asdict()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _row(told: dict[str, Any]) -> tuple[str, str, str, str]:
    if told["probability"] is None:
        values = ", ".join(f"{name} {value:.4g}" for name, value in told["probabilities"].items())
        return told["file"], told["label"] or values, "", ""
    answer = told["label"] or "none of these"
    return told["file"], answer, f"{told['probability']:.2f}", ", ".join(told["set"])


def explain(
    run: Annotated[
        Path,
        Parameter(
            help="The folder of a run of `train classifier` or `train appraiser`, or a .safetensors of a classifier."
        ),
    ],
    picture: Annotated[Path, Parameter(name="PICTURE", help="A picture; for an appraiser a table of lots.")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="For a picture: the picture and the maps, side by side."),
    ] = None,
    row: Annotated[int | None, Parameter(help="For a table: the number of the lot, from 1 on.")] = None,
    classes: Annotated[
        tuple[str, ...],
        Parameter(name="--class", consume_multiple=True, help="To be explained; a row each. [the likeliest]"),
    ] = (),
    method: Annotated[
        Literal["grad-cam", "hires-cam", "integrated-gradients", "smooth-grad", "occlusion"] | None,
        Parameter(
            help="grad-cam, hires-cam: where the last maps speak for the class; integrated-gradients, smooth-grad: "
            "by pixels; occlusion: what is missed when it is covered. [grad-cam, else integrated-gradients]"
        ),
    ] = None,
    seed: Annotated[int, Parameter(help="Of what smooth-grad draws.")] = 0,
) -> int:
    """Show where in a picture the reasons for an answer are: the picture, the map, and one over the other; or why a lot is worth what it
    is.

    Of a lot it prints what each word, each cell of its row and its picture multiply its value by.

    Example: `jaxart explain run painting.jpg -o why.png`

    Example: `jaxart explain RUN lots.csv --row 12`
    """
    from jaxart import io, runs
    from jaxart.cli.appraise import explain_row

    keep_compiled_programs()
    found = runs.opened(run)
    if isinstance(found, runs.Run) and found.kind == "appraiser":
        return explain_row(found, picture, row)
    if output is None:
        raise ValueError("--output: expected the file for the picture and its maps, such as -o why.png.")
    io.check_writable(output)
    reasons = runs.explain(found, io.read_picture(picture), classes=classes, method=method, seed=seed)
    io.write(output, runs.reasons_sheet(reasons))
    say(f"{output}: {reasons.method}, of {', '.join(reasons.maps)}")
    return 0
