"""Making what a run has learned smaller: averaged with others, with fewer channels, pruned, with fewer bits; and what that costs.

Where it trains, its states are kept beside the result, in NAME.work, and the same call carries on; the folder goes when the file is there.
"""

import contextlib
import dataclasses
import functools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxart import data as shelf
from jaxart import io, metrics, training, weights
from jaxart.arrays import PyTree
from jaxart.runs import folder as files
from jaxart.runs.kind import KINDS, Trained
from jaxart.runs.options import RunOptions
from jaxart.runs.results import ability_of, measured_of, trained_of
from jaxart.runs.run import Paths, Run, by_source, with_data
from jaxart.training import Hook, Soup
from jaxart.training.masks import check_pruning

_WORK = ".work"
_SHARE = 3  # of a run's steps, one of so many is fine-tuned by default
_RATE = 0.5  # of its learning rate
_SAVES = 10  # while it is fine-tuned
_TIMES, _WARM = 30, 3  # how often a picture is timed, and before that
_ALL = 10**9  # examples to score


class Pruning(NamedTuple):
    """Which weights become zero.

    Fields:
        share: of zeros in the end.
        pattern: (n, m): leave n of m neighbors; the share is then ``1 - n / m``.
    """

    share: float
    pattern: tuple[int, int] | None = None


class FineTuning(NamedTuple):
    """How a network that was changed is trained on.

    Fields:
        steps: how many; None for a third of the run's, 0 for none.
        learning_rate: None for half of the run's.
    """

    steps: int | None = None
    learning_rate: float | None = None


class Measured(NamedTuple):
    """What a network takes and how good it is.

    Fields:
        bytes: of the file; before, of the arrays as float32.
        scores: by name, on what the run keeps back or on data that was handed in; none where there is neither.
        milliseconds: for a picture, the median; None where the kind says not what to time.
        zeros: share of the weights within.
    """

    bytes: int
    scores: dict[str, float]
    milliseconds: float | None
    zeros: float


class Compressed(NamedTuple):
    """What compressing did.

    Fields:
        path: of the file.
        before: the run.
        after: the file.
        soup: which runs were averaged, if there were several: the run is number 0.
    """

    path: Path
    before: Measured
    after: Measured
    soup: Soup | None


def compress(
    run: Run,
    output: str | Path,
    *,
    prune: Pruning | None = None,
    channels: float | None = None,
    method: Literal["int8", "codebook"] | None = None,
    values: int = 64,
    soup: Sequence[Run] = (),
    tuning: FineTuning | None = None,
    score: Paths | None = None,
    options: RunOptions | None = None,
    mesh: Mesh | None = None,
    hooks: Callable[[int], tuple[Hook, ...]] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Compressed | None:
    """Write what a run has learned as a smaller file, which loads wherever that of `export` does.

    In this order, what of it is asked for: the average with other runs, fewer channels, zeros, and fewer bits. After channels and with
    zeros the network is trained on, on the run's own data.

    Args:
        run: of a kind that `export` writes as .safetensors.
        output: a .safetensors file; NAME.work beside it holds what was trained so far.
        prune: weights to become zero, ever more of them while it is trained on.
        channels: share of the channels within that stay, for networks that can be narrowed.
        method: "int8" for whole numbers, a scale for each channel; "codebook" for few shared values.
        values: of a codebook, 2 to 256.
        soup: other runs of the same data and seed, such as trials of one study. Where a run keeps something back, those are averaged that
            make it better there.
        tuning: how it is trained on, `FineTuning()` by default.
        score: data to measure it on; by default what the run keeps back.
        options: with which that data is read; by default the run's.
        mesh: devices, as in `train`.
        hooks: ``steps -> hooks`` of the training.
        stop: asked after each call to the device; true saves and ends.

    Returns:
        What it did; None if it was stopped.

    Raises:
        ValueError: nothing that is asked for, what the kind cannot do, numbers out of their range, other runs than those that can be
            averaged, the work of another call in the folder, or data that is gone.
    """
    path = _output(output)
    if prune is None and channels is None and method is None and not soup:
        raise ValueError("compress: expected something to do: prune, channels, int8 or values, soup.")
    if method == "codebook" and not 2 <= values <= 256:
        raise ValueError(f"values: expected 2 to 256, got {values}.")
    if prune is not None:
        check_pruning(0.0, prune.share, "tensor", prune.pattern)
    make = ability_of(run, "network", "has no form .safetensors")
    kind = KINDS[run.kind]
    run = with_data(run) if kind.calibration or prune or channels else run
    judge = _judge(run, score, options or run.options)
    first = measured_of(run)._replace(data=run.data)
    params = make(first).params
    trained, mixed = _averaged(run, first, soup) if soup else (first, None)
    if channels is not None:
        trained = ability_of(run, "narrowed", "has no channels that can be left out")(trained, channels)
    if prune is not None or channels is not None:
        trained = _trained_on(run, trained, prune, tuning or FineTuning(), path, mesh, hooks, stop)
        if trained is None:
            return None
    after, content = _content(run, trained, method or ("float" if prune else None), values)
    with io.replacing(path) as partial:
        partial.write_bytes(content)
    shutil.rmtree(_work(path), ignore_errors=True)
    times = _milliseconds([_timed(run, first), _timed(run, after)])
    whole = sum(4 * leaf.size for leaf in jax.tree.leaves(params))
    return Compressed(
        path,
        Measured(whole, judge(first), times[0], training.sparsity(params)),
        Measured(len(content), judge(after), times[1], training.sparsity(make(after).params)),
        mixed,
    )


def _output(output: str | Path) -> Path:
    """Return the path of a .safetensors file that can be written."""
    path = Path(output)
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"{path}: expected a name that ends in .safetensors.")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: no such folder as {path.parent}.")
    return path


def _work(path: Path) -> Path:
    return path.with_suffix(_WORK)


def _judge(run: Run, score: Paths | None, options: RunOptions) -> Callable[[Trained], dict[str, float]]:
    """Return what measures how good a network is: on data that was handed in, or as it was measured on what is kept back."""
    kind, held_out = KINDS[run.kind], {}
    if score is not None:
        measure = ability_of(run, "score", "has no scores")
        for name, path in by_source(run.kind, kind, score).items():
            held_out[name] = kind.load(options, name, path)
            if shelf.digest(held_out[name]) == run.sources[name].digest:
                raise ValueError(f"score: the run was trained on this {name}; hand in others.")
        return lambda trained: {card.score: card.value for card in measure(trained, run.data, held_out, _ALL, 0)}
    return lambda trained: {
        name: value for name, value in trained.measured.get("validation", {}).items() if value is not None
    }


def _remeasured(run: Run, trained: Trained) -> Trained:
    """Return a network with what is measured on what the run keeps back."""
    measure = KINDS[run.kind].calibration
    found = {} if measure is None else {"step": int(trained.state.step), **measure(trained)}
    return trained._replace(measured=found)


def _averaged(run: Run, first: Trained, others: Sequence[Run]) -> tuple[Trained, Soup]:
    """Return the average of runs: of those that make it better on what is kept back, or of all where nothing is."""
    kind, make = KINDS[run.kind], ability_of(run, "network", "has no form .safetensors")
    renewed = ability_of(run, "renewed", "cannot be averaged")
    for other in others:
        if other.kind != run.kind or other.options.seed != run.options.seed or other.facts != run.facts:
            raise ValueError(
                f"soup: {other.folder} is of another kind, seed or data than {run.folder}; they do not mix."
            )
    trees = [make(each).params for each in (first, *map(trained_of, others))]
    if kind.calibration is None or kind.tuning is None:
        every = tuple(range(len(trees)))
        return renewed(first, training.uniform_soup(trees)), Soup(None, every, np.nan, ())
    tuning = kind.tuning(run.options, run.facts)

    def validate(params: PyTree) -> float:
        found = _remeasured(run, renewed(first, params)).measured["validation"][tuning.measure]
        return -np.inf if found is None else found if tuning.higher else -found

    found = training.greedy_soup(trees, validate)
    return renewed(first, found.params), found


def _trained_on(
    run: Run,
    trained: Trained,
    prune: Pruning | None,
    tuning: FineTuning,
    path: Path,
    mesh: Mesh | None,
    hooks: Callable[[int], tuple[Hook, ...]] | None,
    stop: Callable[[], bool] | None,
) -> Trained | None:
    """Return a network that was trained on, pruned meanwhile if that is asked for; None if it was stopped."""
    steps = max(4, run.options.steps // _SHARE) if tuning.steps is None else tuning.steps
    if steps == 0:
        return trained if prune is None else _pruned_at_once(run, trained, prune)
    if steps < 4:
        raise ValueError(f"steps: expected 0 or at least 4, got {steps}.")
    rate = run.options.learning_rate * _RATE if tuning.learning_rate is None else tuning.learning_rate
    wrap = functools.partial(_pruning, prune, steps)
    kind, build = (
        KINDS[run.kind],
        ability_of(run, "wrapped", "cannot be trained on; --int8 and --values need no training"),
    )
    chosen = dataclasses.replace(trained.options, steps=steps, learning_rate=rate)
    params = ability_of(run, "network", "")(trained).params
    recipe = build(chosen, trained.facts, wrap)._replace(
        begin=lambda state: _begun(run, chosen, trained, state, params)
    )
    if kind.frozen is not None:
        recipe = recipe._replace(frozen=kind.frozen(chosen, run.data))
    order, key = jax.random.split(jax.random.fold_in(jax.random.key(chosen.seed), 1))
    told = {"begins as": metrics.content_hash(params), "prune": prune, "steps": steps, "learning rate": rate}
    with contextlib.ExitStack() as stack:
        stack.enter_context(files.locked(_work(path)))
        _check_same(_work(path), told)
        saved = training.Checkpoints(_work(path) / "checkpoints")
        stack.callback(saved.close)
        state, _ = training.fit(
            recipe,
            lambda first: kind.batches(order, chosen, run.data, first, training.this_process()),
            key=key,
            steps=steps,
            mesh=mesh,
            batches_per_call=4,
            every=max(1, steps // _SAVES),
            hooks=hooks(steps) if hooks else (),
            stop=stop,
            max_nonfinite_steps=chosen.max_nonfinite_steps,
            checkpoints=saved,
            save_every=max(1, steps // _SAVES),
        )
    if int(state.step) < steps:
        return None
    local = jax.tree.map(np.asarray, state)
    if prune is not None:
        local = local._replace(average=training.apply_masks(local.average, training.masks_in(local.opt_state)))
    return trained._replace(state=local)


def _begun(run: Run, options: Any, trained: Trained, state: Any, params: PyTree) -> Any:
    renew: Any = KINDS[run.kind].renewed
    return renew(Trained(options, trained.facts, state), params).state


def _pruning(prune: Pruning | None, steps: int, optimizer: Any) -> Any:
    if prune is None:
        return optimizer
    schedule = training.schedule_for(steps, final=prune.share)
    return training.magnitude_pruning(
        optimizer, schedule, prunable=functools.partial(_is_prunable, prune.pattern), pattern=prune.pattern
    )


def _is_prunable(pattern: tuple[int, int] | None, path: str, leaf: Any) -> bool:
    return training.inner_kernels(path, leaf) and (pattern is None or leaf.shape[-2] % pattern[1] == 0)


def _pruned_at_once(run: Run, trained: Trained, prune: Pruning) -> Trained:
    renew = ability_of(run, "renewed", "cannot be pruned")
    params = ability_of(run, "network", "")(trained).params
    prunable = functools.partial(_is_prunable, prune.pattern)
    masks = training.magnitude_masks(params, prune.share, prunable=prunable, pattern=prune.pattern)
    return renew(trained, training.apply_masks(params, masks))


def _check_same(work: Path, told: dict[str, Any]) -> None:
    """Note what a folder's work is for, or check that it is for this."""
    path, told = work / "compress.json", json.loads(json.dumps(told))
    if not path.is_file():
        with io.replacing(path) as partial:
            partial.write_text(json.dumps(told), encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != told:
        what = ", ".join(name for name in told if found.get(name) != told[name])
        raise ValueError(
            f"{work} holds the work of another call ({what} differs): remove it, or choose another name for the result."
        )


def _content(run: Run, trained: Trained, method: Any, values: int) -> tuple[Trained, bytes]:
    """Return the network as the file holds it, with what was measured of it, and the content of the file."""
    make, renew = ability_of(run, "network", ""), KINDS[run.kind].renewed
    if method is None:
        after = _remeasured(run, trained)
        return after, weights.network_bytes(make(after))
    kept = weights.compress(make(trained).params, method=method, values=values)
    after = trained if renew is None else _remeasured(run, renew(trained, weights.restored(kept)))
    return after, weights.compressed_bytes(kept, make(after).about)


def _timed(run: Run, trained: Trained) -> Callable[[], Any] | None:
    ask = KINDS[run.kind].timed
    if ask is None:
        return None
    function, arguments = ask(trained)
    program, placed = jax.jit(function), jax.device_put(arguments)
    return lambda: jax.block_until_ready(program(*placed))


def _milliseconds(programs: Sequence[Callable[[], Any] | None]) -> list[float | None]:
    """Return the median times of programs that are run in turn."""
    seconds: list[list[float]] = [[] for _ in programs]
    for turn in range(_WARM + _TIMES):
        for taken, program in zip(seconds, programs, strict=True):
            if program is not None:
                begin = time.perf_counter()
                program()
                taken += [time.perf_counter() - begin] if turn >= _WARM else []
    return [1000 * float(np.median(taken)) if taken else None for taken in seconds]
