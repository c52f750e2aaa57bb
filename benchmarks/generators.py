"""Question: which generator draws best after the same time on the same pictures? Rivals: each other.

    python benchmarks/generators.py DATA HELD_OUT -o FOLDER --size 64 --minutes 60 [--only sngan flow] [--conditional]

Trains each of `MODELS` on DATA as a run in FOLDER/NAME, for as many steps as fit into the minutes (found by timing a few), or carries on
with it; scores it against HELD_OUT, of which none was seen, and prints the table: distances on features of VGG-16, precision and recall,
the spectrum, near copies, milliseconds a picture. FOLDER/NAME/samples has the sheets. Times hold for a quiet machine.
"""

import argparse
import dataclasses
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import jax
from timing import describe

from jaxart import metrics, runs
from jaxart.runs.run import recipe_of
from jaxart.training import fit

SMALL: dict[str, Any] = {"width": 32, "batch": 32}  # so that thousands of steps fit
FEW = ("color", "translation", "cutout")
MODELS: dict[str, tuple[str, Any]] = {
    "dcgan": ("gan", runs.GanOptions(model="dcgan", **SMALL, diff_augment=FEW)),
    "sngan": ("gan", runs.GanOptions(model="sngan", **SMALL, diff_augment=FEW)),
    "sngan before": ("gan", runs.GanOptions(model="sngan", **SMALL, smooth=False, diff_augment=FEW)),
    "stylegan2": ("gan", runs.GanOptions(model="stylegan2", **SMALL, ada=True)),
    "r3gan": ("gan", runs.GanOptions(model="r3gan", **SMALL, ada=True)),
    "flow": ("flow", runs.FlowOptions(width=28, factors=(1, 2, 3, 4), half_life=20_000, guidance=1.0)),
}
_TIMED = 32  # steps, to find out how many fit


def seconds_per_step(kind: str, data: Path, folder: Path, options: Any) -> float:
    """Time a few steps of a run that is thrown away."""
    few = dataclasses.replace(options, steps=_TIMED, save_every=_TIMED, sample_every=_TIMED)
    run = runs.prepare(kind, data, folder, options=few)
    seen: list[tuple[int, float]] = []

    def stream(first: int) -> Any:
        return runs.KINDS[kind].batches(jax.random.key(0), few, run.data, first, (0, 1))

    def tick(state: Any, info: Any) -> None:
        jax.block_until_ready(state)
        seen.append((int(state.step), time.perf_counter()))

    fit(recipe_of(run), stream, key=jax.random.key(0), steps=_TIMED, hooks=(tick,))
    (first, begin), (last, end) = seen[len(seen) // 3], seen[-1]  # the first ones compile
    return (end - begin) / (last - first)


def trained(name: str, arguments: argparse.Namespace) -> tuple[runs.Run, float]:
    """Return a model's run, trained to its end, and the minutes that this call took for it."""
    folder = arguments.output / name.replace(" ", "-")
    if (folder / "run.json").is_file():
        run = runs.open_run(folder)
    else:
        kind, options = MODELS[name]
        shared = {"size": arguments.size, "conditional": arguments.conditional, "channels": arguments.channels}
        if kind == "flow" and arguments.autoguidance is not None:
            shared["autoguidance"] = arguments.autoguidance
        options = dataclasses.replace(options, **shared)
        each = seconds_per_step(kind, arguments.data, folder, options)
        steps = round(60 * arguments.minutes / each)
        options = dataclasses.replace(
            options, steps=steps, save_every=max(1, steps // 20), sample_every=max(1, steps // 10)
        )
        print(f"{name}: {1000 * each:.0f} ms a step, {steps} steps", file=sys.stderr, flush=True)
        run = runs.begin(kind, arguments.data, folder, options=options)
    begin = time.perf_counter()
    if max(runs.saved_steps(folder), default=0) < run.options.steps:
        runs.train(run)
    return run, (time.perf_counter() - begin) / 60


def milliseconds(run: runs.Run) -> float:
    """Return the time of a picture, of batches of 64."""
    runs.sample(run, 64)
    times = []
    for seed in range(3):
        begin = time.perf_counter()
        runs.sample(run, 64, seed=seed)
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times) / 64


def row(name: str, run: runs.Run, minutes: float, cards: list[metrics.ScoreCard]) -> str:
    """Return a line of the table."""
    found = {card.name: card for card in cards}
    values = [f"{card.value:.4g} ({card.low:.3g} to {card.high:.3g})" for card in found.values()]
    return f"| {name} | {run.options.steps} | {minutes:.0f} | {milliseconds(run):.1f} | " + " | ".join(values) + " |"


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--count", type=int, default=1000, help="pictures made for the scores")
    parser.add_argument("--autoguidance", type=float, help="of the flow, see autoguidance.py")
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=list(MODELS))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in arguments.only:
        run, minutes = trained(name, arguments)
        held_out = dataclasses.replace(run.options, split="test")  # of IDX files; a folder is read whole
        cards = runs.score(run, arguments.held_out, count=arguments.count, options=held_out)
        if not lines:
            names = [card.name for card in cards]
            lines += [
                f"| model | steps | minutes | ms a picture | {' | '.join(names)} |",
                "|" + "---|" * (4 + len(names)),
            ]
        lines.append(row(name, run, minutes, cards))
        print(lines[-1], file=sys.stderr, flush=True)
    print(describe(), jax.device_count(), *lines, sep="\n")


if __name__ == "__main__":
    main()
