"""The command tune: a search for the settings of a kind of run."""

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from jaxart.cli.options import Data
from jaxart.cli.progress import Bar, training_hook
from jaxart.cli.runs import GROUPS, Place, by_source, flags_of, mesh_at, places_of
from jaxart.cli.terminal import interruptible, say, show, table
from jaxart.runs import KINDS, Kind
from jaxart.runs.options import TRAINING

if TYPE_CHECKING:
    from jaxart.runs import Study
    from jaxart.training import Trial

_SEARCH = Group("The search", sort_key=0)


@dataclasses.dataclass(frozen=True)
class Search:
    """How settings are searched for."""

    search: Annotated[
        Literal["bayes", "forest", "random", "grid"],
        Parameter(
            group=_SEARCH,
            help="bayes, forest: learn from the trials before; random; grid: all combinations.",
        ),
    ] = "bayes"
    trials: Annotated[
        int,
        Parameter(group=_SEARCH, help="In all, those of the study so far included; the first has the flags as given."),
    ] = 20
    together: Annotated[
        int,
        Parameter(
            group=_SEARCH,
            help="Trials to train at a time as one program; they may differ in learning_rate and weight_decay. On a GPU or TPU it saves "
            "most where networks are small; on a CPU, compiling.",
        ),
    ] = 1
    space: Annotated[
        tuple[str, ...],
        Parameter(
            group=_SEARCH,
            consume_multiple=True,
            help="What is searched: learning_rate=1e-4:1e-2:log (a span), dropout=0:0.5, model=residual,vit (choices). [the kind's]",
        ),
    ] = ()
    points: Annotated[int, Parameter(group=_SEARCH, help="Of grid: of each span.")] = 3
    no_prune: Annotated[
        bool,
        Parameter(group=_SEARCH, help="Train every trial to its end, even one worse than the median of those before."),
    ] = False
    held_out: Annotated[
        tuple[Path, ...],
        Parameter(
            group=_SEARCH,
            consume_multiple=True,
            help="Data to score trials on, as many places as DATA has. [what a run keeps back of its data]",
        ),
    ] = ()
    storage: Annotated[
        str | None,
        Parameter(group=_SEARCH, help="URL of a database that many machines share (of Optuna). [OUTPUT/study.db]"),
    ] = None


def tune_app() -> App:
    """Return the command `tune` with one command for each kind that can be tuned."""
    kinds = {name: kind for name, kind in KINDS.items() if kind.tuning is not None}
    app = App(name="tune", help=f"Search for the settings with which a run does best: {' or '.join(kinds)}.")
    for name, kind in kinds.items():
        app.command(_tuning_of(name, kind), name=name)
    return app


def _tuning_of(name: str, kind: Kind) -> Callable[..., int]:
    """Return the function whose signature has the flags of the search and those of `train`."""
    flags, further = flags_of(kind.options), places_of(kind)
    defaults, nowhere = flags(), further()

    def begin(
        *data: Data,
        output: Annotated[
            Path, Parameter(name=["--output", "-o"], help="The folder of the study; one that is there is carried on.")
        ],
        how: Annotated[Search, Parameter(name="*")] = Search(),
        places: Annotated[further, Parameter(name="*")] = nowhere,  # pyright: ignore[reportInvalidTypeForm]
        options: Annotated[flags, Parameter(name="*")] = defaults,  # pyright: ignore[reportInvalidTypeForm]
        devices: Annotated[
            int | None,
            Parameter(group=GROUPS[TRAINING], help="How many to use; on a CPU, how many to simulate. [all]"),
        ] = None,
    ) -> int:
        chosen = kind.options(**{field.name: getattr(options, field.name) for field in dataclasses.fields(options)})
        where = by_source(name, data, vars(places))
        return _tune(name, where, output, chosen, how, devices)

    begin.__doc__ = f"""Search for the settings with which {name}s do best. Each trial is a run in the folder OUTPUT.

    Ctrl-C saves and ends, and the same command carries on, after a crash too. Needs Optuna (pip install 'jaxart[tune]').

    Example: `jaxart tune {name} {" ".join(f"{source}/" for source in kind.sources)} -o study --space learning_rate=1e-4:1e-2:log`
    """
    return begin


def _tune(kind: str, data: dict[str, Any], output: Path, options: Any, how: Search, devices: int | None) -> int:
    from jaxart import runs

    mesh = mesh_at(Place(devices=devices))
    held_out = by_source(kind, how.held_out) if how.held_out else None
    with Bar() as bar, interruptible() as interrupted:

        def hooks(run: runs.Run) -> tuple[Any, ...]:
            examples = sum(source.examples for source in run.sources.values())
            return (training_hook(bar, steps=run.options.steps, batch=run.options.batch, dataset_size=examples),)

        study = runs.tune(
            kind,
            data,
            output,
            options=options,
            space=_space(how.space),
            search=how.search,
            trials=how.trials,
            together=how.together,
            points=how.points,
            prune=not how.no_prune,
            held_out=held_out,
            storage=how.storage,
            mesh=mesh,
            hooks=hooks,
            stop=interrupted,
            tell=_tell,
        )
    _show(study)
    _say_best(study, kind, data)
    if not study.finished:
        say("Interrupted and saved: the same command carries on.")
    return 0 if study.finished else 130


def _space(words: tuple[str, ...]) -> dict[str, str] | None:
    pairs = [word.partition("=") for word in words]
    for name, equals, values in pairs:
        if not (name and equals and values):
            raise ValueError(
                f"--space: expected NAME=VALUES, such as dropout=0:0.5 or model=residual,vit, got {name!r}."
            )
    return {name: values for name, _, values in pairs} or None


def _tell(trial: "Trial") -> None:
    score = "" if trial.score is None else f", {trial.score:.4g}"
    say(f"{trial.state}{score}: {_settings(trial)}")


def _settings(trial: "Trial") -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in trial.point.items()
    )


def _show(study: "Study") -> None:
    """Print the trials that count; those that were interrupted are lost, and were begun anew."""
    rows = [
        (
            _name(study, trial),
            "" if trial.score is None else f"{trial.score:.4f}",
            trial.state,
            "" if trial.seconds is None else f"{trial.seconds:.0f}",
            _settings(trial),
        )
        for trial in study.tuned.trials
        if trial.state != "lost"
    ]
    show(table(rows, columns=("trial", study.measure, "state", "seconds", "settings")))


def _name(study: "Study", trial: "Trial") -> str:
    return study.runs[trial.number].name if trial.number in study.runs else f"{trial.number}, elsewhere"


def _say_best(study: "Study", kind: str, data: dict[str, Any]) -> None:
    """Print the best settings as the command that trains with them, and where all trials stand."""
    from jaxart import runs

    best, default = study.tuned.best, study.tuned.default
    if best is None:
        say("No trial is complete yet.")
    else:
        given = "" if default is None or default.score is None else f", of the given settings {default.score:.4f}"
        say(f"Best: {study.folder / _name(study, best)}, {study.measure} {best.score:.4f}{given}")
        paths = [path for each in data.values() for path in (each if isinstance(each, tuple) else (each,))]
        words = ("jaxart", "train", kind, *map(str, paths), "-o", str(study.folder / "best"))
        show(shlex.join([*words, *runs.words_of(study.options)]))
    plot = study.folder / "trials.png"
    hint = str(plot) if plot.is_file() else "for a plot: pip install 'jaxart[plots]'"
    say(f"{study.folder / 'trials.csv'}, {hint}")
