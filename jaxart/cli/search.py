"""The commands about collections: index, search, originality. Flags and printing; the work is in `jaxart.tasks.search`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import format_duration, interruptible, say, show, table

if TYPE_CHECKING:
    import numpy as np

    from jaxart.tasks.search import Features, Index, Originals

_LISTED = 10  # failures and copies that are printed
_CELL = 192  # pixels of a picture on a sheet

IndexFolder = Annotated[Path, Parameter(name="INDEX", help="The folder of `jaxart index`.")]
Pictures = Annotated[Path, Parameter(help="Pictures, or folders of them.")]
Nearest = Annotated[int, Parameter(name=["--nearest", "-k"], help="How many works to name for each picture.")]
Json = Annotated[bool, Parameter(name="--json", help="Print one JSON object a picture, and nothing else.")]
Sheet = Annotated[
    Path | None,
    Parameter(name=["--output", "-o"], help="Draw a sheet too: a row of each picture, with its nearest works."),
]
Collection = Annotated[
    Path | None, Parameter(help="Where the collection is now, if it moved; the sheet shows its pictures.")
]
Weights = Annotated[
    str | None,
    Parameter(name="--features", help="A file of weights, if the index was made with one. [as the index says]"),
]


def index(
    collection: Annotated[Path, Parameter(help="A folder of pictures; those in its subfolders belong to it.")],
    /,
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="The folder of the index, new or to be brought up to date.")
    ],
    features: Annotated[
        str,
        Parameter(
            help="vgg16, vgg19 or a file of their weights: what finds works that are like a picture. none: thumbnails and hashes alone, "
            "which find copies, and need no weights."
        ),
    ] = "vgg16",
    json_: Annotated[bool, Parameter(name="--json", help="Print one JSON object about the index.")] = False,
) -> int:
    """Index a collection, to search it and to tell whether a picture is a copy of a work in it.

    The same command again brings the index up to date: only new and changed files are read. Interrupted, it goes on where it was. A file
    that cannot be read is listed and passed over. Works that are copies of each other are named at the end.

    Example: `jaxart index museum/ -o museum.index`, then `jaxart originality museum.index offered.jpg`
    """
    from jaxart.tasks import search as task

    keep_compiled_programs()
    if not collection.is_dir():  # said before weights are looked for
        raise ValueError(f"{collection}: no such folder of pictures.")
    described = _features(features)
    with Bar() as bar, interruptible() as interrupted:
        made = task.build_index(
            collection, output, features=described, on_progress=_shown(bar, "reading"), stop=interrupted
        )
    if made is None:
        say(f"{output}: interrupted; the same command goes on from here.")
        return 130
    with Bar() as comparing:
        originals = task.originals_of(made, on_progress=_shown(comparing, "comparing works"))
    if json_:
        show_json(_index_facts(made, originals))
        return 0
    say(
        f"{output}: {len(made.files)} pictures, {len(made.failures)} left out, {format_duration(bar.seconds + comparing.seconds)}"
    )
    _say_some([f"left out: {each.name}: {each.reason}" for each in made.failures])
    _say_some(
        [f"copies of each other: {made.files[one].name}, {made.files[two].name}" for one, two in originals.copies]
    )
    return 0


def _index_facts(made: "Index", originals: "Originals") -> dict[str, Any]:
    return {
        "index": str(made.folder),
        "pictures": len(made.files),
        "features": made.features[0] or None,
        "left_out": [each._asdict() for each in made.failures],
        "copies": [[made.files[row].name for row in pair] for pair in originals.copies],
    }


def show_json(value: Any) -> None:
    """Print a value as one line of JSON on standard output."""
    print(json.dumps(value, ensure_ascii=False))


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:_LISTED]:
        say(f"  {line}")
    if len(lines) > _LISTED:
        say(f"  and {len(lines) - _LISTED} more; --json lists all.")


def _shown(bar: Bar, what: str) -> Any:
    def update(done: int, total: int) -> None:
        bar.update(done, f"{what} {done}/{total}", "", total=max(total, 1), pictures=1)

    return update


def _features(name: str) -> "Features | None":
    """Return the features that --features names; None for none.

    Raises:
        WeightsNotFound: with what else can be done.
    """
    from jaxart import weights
    from jaxart.cli.weights import load_weights
    from jaxart.tasks import search as task

    if name == "none":
        return None
    try:
        return task.vgg_features(load_weights(name))
    except weights.WeightsNotFound as error:
        raise weights.WeightsNotFound(f"{error} --features none needs no weights.") from error


def _opened(folder: Path, features: str | None) -> "tuple[Index, Features | None]":
    """Open an index, with the features that it was made with."""
    from jaxart.tasks import search as task

    opened = task.open_index(folder)
    name = opened.features[0]
    described = _features(features or name.partition(" ")[0] or "none")
    task.check_features(opened, described)
    return opened, described


def search(
    index: IndexFolder,
    /,
    *pictures: Pictures,
    nearest: Nearest = 5,
    json_: Json = False,
    output: Sheet = None,
    collection: Collection = None,
    features: Weights = None,
) -> int:
    """Find the works of an indexed collection that are most like a picture.

    With a network's features these are works of like style and subject; in an index made with --features none, the same picture again.

    Example: `jaxart search museum.index photo.jpg -k 8 -o like.png`
    """
    from jaxart import io
    from jaxart.tasks import search as task

    if output is not None:
        io.check_writable(output)
    keep_compiled_programs()
    opened, described = _opened(index, features)
    files, squares = _squares(pictures)
    found = task.search(opened, squares, features=described, k=nearest)
    for file, works in zip(files, found, strict=True):
        if json_:
            show_json(
                {
                    "file": str(file),
                    "nearest": [{"file": each.file, "similarity": round(each.similarity, 4)} for each in works],
                }
            )
        else:
            rows = [(f"{each.similarity:.3f}", each.file) for each in works]
            show(table(rows, columns=("similarity", "work"), title=str(file)))
    if output is not None:
        _draw(output, opened, collection, squares, [[each.file for each in works] for works in found])
    return 0


def originality(
    index: IndexFolder,
    /,
    *pictures: Pictures,
    nearest: Nearest = 3,
    json_: Json = False,
    output: Sheet = None,
    collection: Collection = None,
    features: Weights = None,
) -> int:
    """Tell whether pictures are copies of works in an indexed collection: exact, mirrored, turned, cropped, recolored, compressed.

    A copy is nearer to a work than any of the collection's own works is to another; near, than 99 of 100 are. P is the share of
    the collection's works that come as near to another one or nearer; those that are copies of each other are not counted.

    Example: `jaxart originality museum.index generated/ --json`
    """
    from jaxart import io
    from jaxart.tasks import search as task

    if output is not None:
        io.check_writable(output)
    keep_compiled_programs()
    opened, described = _opened(index, features)
    files, squares = _squares(pictures)
    with Bar() as bar:
        originals = task.originals_of(opened, on_progress=_shown(bar, "comparing works"))
        found = task.passports(
            opened, squares, originals, features=described, k=nearest, on_progress=_shown(bar, "comparing")
        )
    for file, each in zip(files, found, strict=True):
        if json_:
            show_json({"file": str(file), **each._asdict(), "nearest": [work._asdict() for work in each.nearest]})
    if not json_:
        rows = [
            (str(file), each.verdict, f"{each.p_value:.3g}", f"{each.nearest[0].similarity:.3f}", each.nearest[0].file)
            for file, each in zip(files, found, strict=True)
        ]
        show(table(rows, columns=("picture", "verdict", "P", "similarity", "nearest work")))
        verdicts = [each.verdict for each in found]
        say(", ".join(f"{verdicts.count(each)} {each}" for each in ("copy", "near", "original")))
    if output is not None:
        _draw(output, opened, collection, squares, [[work.file for work in each.nearest] for each in found])
    return 0


def _squares(pictures: Sequence[Path]) -> "tuple[list[Path], np.ndarray]":
    """Read pictures, those of folders too; one that cannot be read is an error."""
    import numpy as np

    from jaxart import io
    from jaxart.tasks import search as task

    files = [file for each in pictures for file in (io.pictures_in(each) if each.is_dir() else [each])]
    if not files:
        raise ValueError("expected at least one picture, or a folder of pictures, after INDEX.")
    return files, np.stack([task.read_square(file) for file in files])


def _draw(path: Path, opened: "Index", collection: Path | None, squares: "np.ndarray", works: list[list[str]]) -> None:
    """Write a sheet with a row of each picture and its nearest works; a work that is gone is drawn from its gray thumbnail."""
    from jaxart import io
    from jaxart.tasks import search as task

    io.write(path, task.sheet(opened, squares, works, collection=collection))
    say(f"{path}: each picture, and at its right the nearest works")
