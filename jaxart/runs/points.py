"""Places in a generator's latent space: of seeds, of files, and painted. What is read from a file is checked here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import metrics
from jaxart.runs import flow
from jaxart.runs.kind import Generator
from jaxart.runs.pictures import draw, make
from jaxart.runs.results import NO_PICTURES, ability_of, styled_of, trained_of
from jaxart.runs.run import Run
from jaxart.tasks import generate as task


class Steered(NamedTuple):
    """A run's generator as it stands, read once: what steers a run takes it instead.

    Fields:
        folder: of the run, or the flow's file.
        fit: "crop" or "pad", how pictures are brought to its size.
        generator: of latents.
        styled: the same by its styles, if it has any.
        digest: of its weights.
    """

    folder: Path
    fit: str
    generator: Generator
    styled: task.Styled | None
    digest: str


class Points(NamedTuple):
    """Places in the latent space: styles ``[N, layers, D]`` or latents ``[N, L]``; noise maps ``[N, h, w, 1]`` or None; labels ``[N]``."""

    code: Any
    noise: tuple[Any, ...] | None
    label: Any


def steered_of(run: Run | Path | Steered) -> Steered:
    """Return what a run is steered by.

    Args:
        run: any, or a flow's file; what is steered already is returned as it is.

    Raises:
        ValueError: runs of its kind make no pictures, or it has no checkpoint.
        weights.WeightsError: a file that holds no flow.
    """
    if isinstance(run, Steered):
        return run
    if isinstance(run, Path):
        model = task.load_flow(run)
        return Steered(run, model.fit, flow.generator_of(model), None, metrics.content_hash(model.params))
    make_generator = ability_of(run, "generator", NO_PICTURES)
    trained = trained_of(run)
    found = make_generator(trained)
    fit, digest = getattr(run.options, "fit", "crop"), metrics.content_hash(found.generate.variables)
    return Steered(run.folder, fit, found, styled_of(run, trained), digest)


def picture_shape(generator: Generator) -> tuple[int, int, int]:
    """Return the shape of a generator's pictures: height, width, channels."""
    one = jax.ShapeDtypeStruct((1, generator.latent), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    _, height, width, channels = jax.eval_shape(generator.generate, *one).shape
    return height, width, channels


def random_points(steered: Steered, seed: int, count: int, label: str | None, truncation: float | None) -> Points:
    """Return those of a seed: `count` of them, of one class or of each in turn; truncation is for styles."""
    z, labels = draw(steered.generator, seed, count, label)
    if steered.styled is None:
        if truncation is not None:
            raise ValueError("truncation: this generator has no styles to pull to their average; stylegan2 has.")
        return Points(z, None, labels)
    amount = 1.0 if truncation is None else truncation
    return Points(task.styles_of(steered.styled, z, labels, truncation=amount), None, np.zeros(count, np.int32))


def latents_of(steered: Steered, points: Points) -> list[task.Latent]:
    """Return points one by one, as they can be kept."""
    found = []
    for number, code in enumerate(np.asarray(points.code)):
        space = "z" if steered.styled is None else "w" if np.array_equal(code, code[:1].repeat(len(code), 0)) else "w+"
        code = code[None] if space == "z" else code[:1] if space == "w" else code
        noise = points.noise and tuple(np.asarray(each[number : number + 1]) for each in points.noise)
        found.append(task.Latent(space, code, noise, int(points.label[number]), steered.digest))
    return found


def points_of(steered: Steered, latents: Sequence[task.Latent]) -> Points:
    """Return latents together, once it is sure that they are this run's."""
    if not latents:
        raise ValueError("latents: expected at least one.")
    for latent in latents:
        if latent.run != steered.digest:
            raise ValueError(
                f"latent: it belongs to other weights than those of {steered.folder}: to another run, or this one was trained on since. "
                "Project the picture again."
            )
        _check_shapes(steered, latent)
    return stacked(steered, latents)


def _check_shapes(steered: Steered, latent: task.Latent) -> None:
    if steered.styled is None:
        fits = latent.space == "z" and np.shape(latent.code) == (1, steered.generator.latent) and latent.noise is None
    else:
        network, maps = steered.styled.network, jax.tree.leaves(steered.styled.variables["noise"])
        rows = {"w": 1, "w+": network.layers}.get(latent.space)
        shapes = None if latent.noise is None else [np.shape(each) for each in latent.noise]
        fits = np.shape(latent.code) == (rows, network.dimensions)
        fits = fits and shapes in (None, [each.shape for each in maps])
    if not fits or latent.label >= max(1, len(steered.generator.classes)):
        raise ValueError("latent: damaged: its numbers have not the shape of this run's latents.")


def stacked(steered: Steered, latents: Sequence[task.Latent]) -> Points:
    """Return latents of this generator together."""
    labels = np.array([latent.label for latent in latents], np.int32)
    if steered.styled is None:
        return Points(np.concatenate([latent.code for latent in latents]), None, labels)
    layers, dimensions = steered.styled.network.layers, steered.styled.network.dimensions
    code = np.stack([np.broadcast_to(latent.code, (layers, dimensions)) for latent in latents])
    if all(latent.noise is None for latent in latents):
        return Points(code, None, labels)
    stored = tuple(np.asarray(each) for each in jax.tree.leaves(steered.styled.variables["noise"]))
    noise = zip(*(latent.noise or stored for latent in latents), strict=True)
    return Points(code, tuple(np.concatenate(maps) for maps in noise), labels)


def painted(steered: Steered, points: Points) -> np.ndarray:
    """Return the pictures of points, ``[N, H, W, C]`` in [0, 1]."""
    if steered.styled is None:
        return make(steered.generator, points.code, points.label)
    return task.paintings(steered.styled, points.code, noise=points.noise)
