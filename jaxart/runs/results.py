"""What a run has come to: its newest state, and pictures, scores and files made of it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics, weights
from jaxart.arrays import check_choice
from jaxart.runs import flow
from jaxart.runs import folder as files
from jaxart.runs.kind import KINDS, Generator, Guidance, Trained
from jaxart.runs.options import RunOptions
from jaxart.runs.pictures import draw, make
from jaxart.runs.run import Paths, Run, by_source, checkpoints_of, keys_of, recipe_of, with_data
from jaxart.runs.trainer import calibrate
from jaxart.tasks import stylize
from jaxart.tasks.generate import PLATFORMS, Styled, load_flow, paintings, styles_of

NO_PICTURES = "makes no pictures from latents; expected one of `jaxart train gan`, `flow`, `student` or `vae`"


def newest_state(run: Run) -> Any:
    """Return the newest intact state of a run; warn of damaged checkpoints. Writes nothing.

    Raises:
        ValueError: there is none yet, or none that can be read.
    """
    if not files.saved_steps(run.folder):
        raise ValueError(f"{run.folder}: no checkpoint yet; train it first.")
    recipe, key = recipe_of(run), keys_of(run)[1]
    saved = checkpoints_of(run, read_only=True)
    try:
        return saved.newest(lambda notes: jax.eval_shape(recipe.init, key))[0]
    finally:
        saved.close()


def generator(run: Run | Path) -> Generator:
    """Return the generator of a run as it stands, or that of a flow's file.

    Args:
        run: of a kind with a generator, or a .safetensors of `export`.

    Raises:
        ValueError: runs of its kind make no pictures, or it has no checkpoint.
        weights.WeightsError: a file that holds no flow.
    """
    if isinstance(run, Path):
        return flow.generator_of(load_flow(run))
    return ability_of(run, "generator", NO_PICTURES)(trained_of(run))


def sample(
    run: Run | Path,
    count: int = 64,
    *,
    seed: int = 0,
    label: str | None = None,
    guidance: Guidance | None = None,
    truncation: float | None = None,
) -> np.ndarray:
    """Make pictures with a run's generator.

    Args:
        run: of a kind with a generator, or a flow's file.
        count: how many.
        seed: picture i depends on the seed and i alone.
        label: one class; by default eight of each class, in turn.
        guidance: what guides it, for kinds that can be guided (flows).
        truncation: for generators with styles: 1 changes nothing, less gives likelier and less varied pictures, 0 their average.

    Returns:
        float32 ``[count, H, W, C]`` in [0, 1]; ``io.grid(pictures, columns=8)`` puts them side by side.

    Raises:
        ValueError: as `generator`; an unknown label; guidance that its kind does not know, or that does not fit; truncation without
            styles.
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}.")
    found, styled = _drawn_by(run, guidance)
    z, labels = draw(found, seed, count, label)
    if truncation is None:
        return make(found, z, labels)
    if styled is None:
        raise ValueError("truncation: this generator has no styles to pull to their average; stylegan2 has.")
    return paintings(styled, styles_of(styled, z, labels, truncation=truncation))


def _drawn_by(run: Run | Path, guidance: Guidance | None) -> tuple[Generator, Styled | None]:
    """Return a generator, guided where it was asked for, and the same by its styles."""
    if isinstance(run, Path):
        return flow.generator_of(load_flow(run), guidance), None
    if guidance is not None:
        return ability_of(run, "guided", "cannot be guided; a flow can")(trained_of(run), guidance), None
    trained = trained_of(run)
    return ability_of(run, "generator", NO_PICTURES)(trained), styled_of(run, trained)


def styled_of(run: Run, trained: Trained) -> Styled | None:
    """Return the generator of a run by its styles; None where it has none.

    Args:
        run: any.
        trained: what it has come to.
    """
    found = KINDS[run.kind].styled
    return None if found is None else found(trained)


def score(
    run: Run,
    data: Paths,
    *,
    count: int = 5000,
    seed: int = 0,
    options: RunOptions | None = None,
    output: str | Path | None = None,
    plots: str | Path | None = None,
) -> list[metrics.ScoreCard]:
    """Score a run on data that it has not seen, and write the cards.

    Args:
        run: of a kind with scores.
        data: as in `begin`.
        count: examples to make and to compare with.
        seed: of what is drawn.
        options: with which `data` is read; by default the run's.
        output: JSON file for the cards; ``scores.json`` in the run's folder by default.
        plots: folder for plots, for kinds that have them (classifiers); they need matplotlib.

    Returns:
        The cards.

    Raises:
        ValueError: runs of its kind have no scores or plots, the data was seen in training, no checkpoint, no matplotlib.
    """
    judge, kind = ability_of(run, "score", "has no scores"), KINDS[run.kind]
    draw = None if plots is None else ability_of(run, "plots", "has no plots")
    if draw is not None and importlib.util.find_spec("matplotlib") is None:
        raise ValueError("plots: matplotlib is not installed: pip install 'jaxart[plots]'.")
    path = Path(output or run.folder / "scores.json")
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}.")
    _check_folder(path)
    trained, run, options = trained_of(run), with_data(run), options or run.options
    held_out = {name: kind.load(options, name, path) for name, path in by_source(run.kind, kind, data).items()}
    for name, dataset in held_out.items():
        if shelf.digest(dataset) == shelf.digest(run.data[name]):
            raise ValueError(
                f"the run was trained on this {name}; scores need examples that it has not seen. Hand in others."
            )
    cards = judge(trained, run.data, held_out, count, seed)
    metrics.write_cards(path, cards)
    if draw is not None:
        Path(plots or "").mkdir(parents=True, exist_ok=True)
        draw(measured_of(run), held_out, Path(plots or ""))
    return cards


def export(run: Run, output: str | Path, *, platforms: tuple[str, ...] = PLATFORMS) -> Path:
    """Write what a run has learned as one file: for `jax.export.deserialize`, which needs no jaxart, as .onnx, or as .safetensors.

    Args:
        run: of a kind that can be exported.
        output: the file; with the suffix .onnx for programs without JAX, with .safetensors its weights in half precision, as
            `weights.read_network` reads them.
        platforms: of "cpu", "cuda" and "tpu"; ignored for .onnx and .safetensors.

    Returns:
        The path.

    Raises:
        ValueError: runs of its kind cannot be exported in this form, an unknown platform, no checkpoint, or ONNX is not installed.
    """
    form = _form(output)
    if form is not None:
        make = ability_of(run, form, f"has no form {Path(output).suffix}: choose another suffix")
        _check_folder(Path(output))
        made = make(measured_of(run) if form == "network" else trained_of(run))
        return _written(Path(output), weights.network_bytes(made) if form == "network" else made)
    serialize = ability_of(run, "export", "cannot be exported")
    _check_folder(Path(output))
    _check_platforms(platforms)
    return _written(Path(output), serialize(trained_of(run), tuple(platforms)))


def export_network(source: str | Path, output: str | Path, *, platforms: tuple[str, ...] = PLATFORMS) -> Path:
    """Write a network of instant style as `export` does that of a run.

    Args:
        source: its .safetensors file, or the name of a network in the package, such as "styles".
        output: the file, with the suffix .onnx, or another for `jax.export.deserialize`.
        platforms: as in `export`.

    Returns:
        The path.

    Raises:
        weights.WeightsError: no such file, or one that holds no such network.
        ValueError: a result that would be what the source is, an unknown platform, or ONNX is not installed.
    """
    form = _form(output)
    if form == "network":
        raise ValueError(f"{output}: {source} is a file of this form already; expected .onnx or another suffix.")
    model = stylize.load_network(source)
    _check_folder(Path(output))
    if form == "onnx":
        return _written(Path(output), stylize.export_onnx(model))
    _check_platforms(platforms)
    return _written(Path(output), stylize.export_styles(model, platforms=platforms))


def _form(output: str | Path) -> str | None:
    """Return which ability of a kind makes a file of this name, where it is not "export"."""
    return {".safetensors": "network", ".onnx": "onnx"}.get(Path(output).suffix.lower())


def _check_platforms(platforms: tuple[str, ...]) -> None:
    if not platforms:
        raise ValueError(f"platforms: expected at least one of {', '.join(PLATFORMS)}.")
    for platform in platforms:
        check_choice("platforms", platform, PLATFORMS)


def _written(path: Path, content: bytes) -> Path:
    with io.replacing(path) as partial:
        partial.write_bytes(content)
    return path


def _check_folder(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{path}: no such folder as {path.parent}.")


def trained_of(run: Run) -> Trained:
    """Return what a run has come to."""
    return Trained(run.options, run.facts, newest_state(run))


def measured_of(run: Run) -> Trained:
    """Return what a run has come to, with what was measured when it ended: measured now where that is missing or of another step.

    Args:
        run: any; of a kind without a calibration nothing is measured.
    """
    trained = trained_of(run)
    if KINDS[run.kind].calibration is None:
        return trained
    path = run.folder / files.CALIBRATION
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if told.get("step") != int(trained.state.step):
        calibrate(with_data(run), trained.state)
        told = json.loads(path.read_text(encoding="utf-8"))
    return trained._replace(measured=told)


def ability_of(run: Run, name: str, lacking: str) -> Any:
    """Return a function of a run's kind.

    Args:
        run: any.
        name: of the field of `Kind`.
        lacking: what to say of kinds that have none.

    Raises:
        ValueError: the kind has none.
    """
    found = getattr(KINDS[run.kind], name)
    if found is None:
        raise ValueError(f"{run.folder}: a run of the kind {run.kind} {lacking}.")
    return found
