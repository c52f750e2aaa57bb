"""Appraisers as a kind of run: networks that are checked on lots they never saw, then networks that learn from all lots and answer."""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics
from jaxart.arrays import Key, PyTree
from jaxart.runs import lot_table
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.options import AppraiserOptions
from jaxart.tasks import appraise as task
from jaxart.training import Recipe, in_turn

CHECKED, FINAL = "checked", "final"  # the networks that never see the test, and those that answer
_EPOCHS = 10  # times that networks see each lot
_LESSONS: "collections.OrderedDict[str, task.Lesson]" = (
    collections.OrderedDict()
)  # those used last, which take seconds each

load = lot_table.load


def settled(options: AppraiserOptions, data: dict[str, shelf.Dataset]) -> AppraiserOptions:
    """Return options with a batch that there are lots for, and the steps in which networks see each lot often enough.

    Args:
        options: of the run.
        data: by source.
    """
    rows = rows_by_part(options, data["lots"])
    batch = min(options.batch, *map(len, rows.values()))
    steps = options.steps or max(2 * len(rows), round(_EPOCHS * sum(map(len, rows.values())) / batch))
    return dataclasses.replace(options, batch=batch, steps=steps)


def facts(options: AppraiserOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return what the columns are, how many lots there are for what, and the shapes of what networks read.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: nothing to value lots by, or lots that cannot be divided.
    """
    dataset = data["lots"]
    columns = lot_table.columns_of(options, lot_table.records_of(dataset))
    rows = rows_by_part(options, dataset)
    shapes = {part: task.lot_shapes(lesson_of(options, dataset, part))._asdict() for part in rows}
    return {
        "columns": [list(column) for column in columns],
        "artist": lot_table.artist_column(options, columns),
        "lots": dataset.count,
        "parts": {part: len(each) for part, each in rows.items()},
        "shapes": json.loads(json.dumps(shapes)),
    }


def found(options: AppraiserOptions, facts: Facts) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return what the columns were found to be, as a table for people.

    Args:
        options: of the run.
        facts: of its data.
    """
    del options
    rows = [
        (name, kind, why, f"{distinct:,}", f"{100 * missing:.0f} %")
        for name, kind, why, distinct, missing in facts["columns"]
    ]
    return ("column", "is", "because", "values", "missing"), rows


def recipe(options: AppraiserOptions, facts: Facts) -> Recipe:
    """Return the recipe: of the networks that are checked, then of those that answer.

    Args:
        options: of the run.
        facts: of its data.
    """
    until = _until(options, facts)
    made = []
    for part, shapes in facts["shapes"].items():
        steps = until if part == CHECKED else options.steps - until
        optimizer = task.lot_optimizer(options.learning_rate, options.weight_decay, steps)
        values: Any = {name: tuple(each) if isinstance(each, list) else each for name, each in shapes.items()}
        known = task.LotShapes(**values)
        made.append(task.lot_recipe(known, members=options.members, optimizer=optimizer, width=options.width))
    return made[0] if len(made) == 1 else in_turn(made[0], made[1], until=until)


def frozen(options: AppraiserOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return what networks learn from.

    Args:
        options: of the run.
        data: by source.
    """
    known = tuple(lesson_of(options, data["lots"], part).known for part in rows_by_part(options, data["lots"]))
    return known[0] if len(known) == 1 else known


def batches(
    key: Key, options: AppraiserOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return numbers of lots: of those that the networks whose turn it is learn from.

    Args: see `Kind`.
    """
    rows = rows_by_part(options, data["lots"])
    until = _until(options, {"parts": {part: len(each) for part, each in rows.items()}})

    def make(part: str, first: int) -> Iterator[shelf.Batch]:
        numbers = shelf.Dataset({"row": np.arange(len(rows[part]), dtype=np.int32)})
        return shelf.batches(key, numbers, options.batch, first=first, process=process)

    if CHECKED not in rows:
        return make(FINAL, first)
    early = itertools.islice(make(CHECKED, min(first, until)), max(0, until - first))
    return itertools.chain(early, make(FINAL, max(0, first - until)))


def parameters(state: Any) -> dict[str, PyTree]:
    """Return the parameters of the networks that answer, and of those that are checked."""
    if hasattr(state, "params"):
        return {FINAL: state.params}
    return {CHECKED: state.first.params, FINAL: state.second.params}


def sample(trained: Trained, path: Path) -> None:
    """Write a report as JSON: R2 of lots, each by the network that is kept from it.

    Args:
        trained: with its data.
        path: without a suffix.
    """
    step, until = int(trained.state.step), _until(trained.options, trained.facts)
    part = CHECKED if step <= until and CHECKED in trained.facts["parts"] else FINAL
    lesson = lesson_of(trained.options, trained.data["lots"], part)
    network = task.lot_network(task.lot_shapes(lesson), width=trained.options.width)
    said = np.asarray(task.guess_own(network, _state_of(trained.state, part).average, lesson.known).mean)
    told = {"R2": metrics.r_squared(np.asarray(lesson.known.targets), said)}
    with io.replacing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps({"step": step, "networks": part, "validation": told}, indent=1), encoding="utf-8")


def rows_by_part(options: AppraiserOptions, dataset: shelf.Dataset) -> dict[str, np.ndarray]:
    """Return which lots networks learn from: those that are checked, where there is a test, and those that answer.

    Args:
        options: of the run.
        dataset: from `load`.
    """
    train, test = lot_table.parts(options, dataset)
    every = {FINAL: np.arange(dataset.count)}
    return {CHECKED: train} | every if len(test) else every


def lesson_of(options: AppraiserOptions, dataset: shelf.Dataset, part: str) -> task.Lesson:
    """Return what a part's networks learn from.

    Args:
        options: of the run.
        dataset: from `load`.
        part: `CHECKED` or `FINAL`.
    """
    told = {name: value for name, value in vars(options).items() if name not in ("steps", "batch")}
    name = f"{shelf.digest(dataset)} {part} {told}"
    if name not in _LESSONS:
        _LESSONS[name] = _lesson(options, dataset, part)
        while len(_LESSONS) > 2:
            _LESSONS.popitem(last=False)
    _LESSONS.move_to_end(name)
    return _LESSONS[name]


def _lesson(options: AppraiserOptions, dataset: shelf.Dataset, part: str) -> task.Lesson:
    rows = rows_by_part(options, dataset)[part]
    records = lot_table.records_of(dataset)
    return task.learn_lots(
        jax.random.fold_in(jax.random.key(options.seed), 1),
        {name: cells[rows] for name, cells in records.items()},
        lot_table.columns_of(options, records),
        dataset.column(lot_table.PRICE)[rows],
        group=options.group,
        missing=options.missing,
        date=options.date,
        **pictures_of(options, dataset, part, rows),
        members=options.members,
    )


def pictures_of(options: AppraiserOptions, dataset: shelf.Dataset, part: str, rows: np.ndarray) -> dict[str, Any]:
    """Return features of pictures and which lots have one, as `task.value_lots` takes them; nothing where there are none.

    Args:
        options: of the run.
        dataset: from `load`.
        part: whose scale they are to be brought to.
        rows: of the lots.
    """
    if lot_table.PICTURE not in dataset.columns:
        return {}
    features, pictured = (dataset.column(name)[rows] for name in (lot_table.PICTURE, lot_table.PICTURED))
    return scaled_pictures(options, dataset, part, features, pictured)


def scaled_pictures(
    options: AppraiserOptions, dataset: shelf.Dataset, part: str, features: np.ndarray, pictured: np.ndarray
) -> dict[str, Any]:
    """Return features of pictures on the scale of a part's lots; nothing where none of these has a picture.

    Args:
        options: of the run.
        dataset: from `load`.
        part: `CHECKED` or `FINAL`.
        features: ``[N, P]``, as they were read.
        pictured: bool ``[N]``.
    """
    known = rows_by_part(options, dataset)[part]
    seen, there = (dataset.column(name)[known] for name in (lot_table.PICTURE, lot_table.PICTURED))
    if not there.any():
        return {}
    scaling = task.learn_picture_scaling(seen, there)
    return {lot_table.PICTURE: task.scaled_pictures(scaling, features), lot_table.PICTURED: pictured}


def _until(options: AppraiserOptions, facts: Facts) -> int:
    """Return after how many steps the networks that answer have their turn."""
    counts = facts["parts"]
    return round(options.steps * counts.get(CHECKED, 0) / sum(counts.values()))


def _state_of(state: Any, part: str) -> Any:
    """Return the state of a part's networks."""
    if hasattr(state, "params"):
        return state
    return state.first if part == CHECKED else state.second


def appraiser_of(trained: Trained, part: str, process: dict[str, Any]) -> task.Appraiser:
    """Return a part's networks with all that they need to value lots.

    Args:
        trained: with its data.
        part: `CHECKED` or `FINAL`.
        process: params, from `task.fit_process`.
    """
    lesson = lesson_of(trained.options, trained.data["lots"], part)
    return task.as_appraiser(lesson, _state_of(trained.state, part).average, process, width=trained.options.width)
