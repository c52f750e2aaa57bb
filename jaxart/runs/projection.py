"""Projection of a picture into the latent space of a run's generator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxart import data as shelf
from jaxart import io, models, training
from jaxart import weights as sets
from jaxart.arrays import Image, check_choice
from jaxart.runs.pictures import draw
from jaxart.runs.points import Steered, painted, picture_shape, random_points, stacked, steered_of
from jaxart.runs.run import Run
from jaxart.tasks import generate as task


class Projected(NamedTuple):
    """What a projection found.

    Fields:
        latent: for `write_latent`, `edit` and `walk`.
        picture: of it, ``[H, W, C]`` in [0, 1].
        target: the picture that was asked for, as the run sees it.
        error: root mean square of the difference of their pixels.
        distance: of their features, as it was minimized; None for flows, which are inverted.
        usual: the median distance of random pictures from the target.
    """

    latent: task.Latent
    picture: np.ndarray
    target: np.ndarray
    error: float
    distance: float | None = None
    usual: float | None = None


def project(
    run: Run | Path | Steered,
    picture: Image,
    *,
    space: Literal["w", "w+", "z"] | None = None,
    steps: int = 500,
    seed: int = 0,
    label: str | None = None,
    weights: str = "vgg16",
    hooks: tuple[training.Hook, ...] = (),
    stop: Callable[[], bool] | None = None,
) -> Projected:
    """Look for the latent of which a run's generator makes a picture.

    With styles by optimizing w and the noise, else z, toward the features that VGG-16 sees in the picture; a flow is integrated backwards.

    Args:
        run: of a kind with a generator; or what `steered_of` made of it, which saves reading it again.
        picture: ``[H, W, 3]`` in [0, 1] of any size; it is brought to the run's as its data was.
        space: "w" (one style for all layers) and "w+" (one for each: nearer, harder to edit) for generators with styles; "z" for others.
            By default the first that fits.
        steps: of the optimization.
        seed: of what is drawn.
        label: class of the picture; by default the first.
        weights: "vgg16" or a file of its weights.
        hooks: called ``hook(state, info)`` as by `training.fit`.
        stop: as in `training.fit`; what was found until then is returned.

    Raises:
        ValueError: a kind without a generator, no checkpoint, an unknown label or a space that the generator has not.
        weights.WeightsNotFound: no weights of VGG-16.
    """
    steered = steered_of(run)
    chosen, target = _space(steered, space), _target(steered, picture)
    number = int(draw(steered.generator, seed, 1, label)[1][0])
    if _invertible(steered.generator.generate):
        z = task.invert(steered.generator.generate, target[None], np.full(1, number, np.int32))
        latent = task.Latent("z", z, None, number, steered.digest)
        return _projected(steered, latent, target)
    features = models.VGG(depth=16, layers=task.PROJECTION_LAYERS)
    variables = features.freeze(sets.load(weights))
    key_start, key_fit = jax.random.split(jax.random.key(seed))
    known: Any = {"steps": steps, "label": number, "latent": steered.generator.latent, "key": key_start}
    if steered.styled is not None:
        recipe = task.project_styles(steered.styled, features, variables, target, space=chosen, **known)
    else:
        recipe = task.project_latent(steered.generator.generate, features, variables, target, **known)
    state, _ = training.fit(recipe, key=key_fit, steps=steps, hooks=hooks, stop=stop)
    found = _projected(steered, task.projected(recipe, state, run=steered.digest), target)
    random = painted(steered, random_points(steered, seed, 16, None, None))
    distance, *others = task.distances(features, variables, np.concatenate([found.picture[None], random]), target)
    return found._replace(distance=float(distance), usual=float(np.median(others)))


def _projected(steered: Steered, latent: task.Latent, target: np.ndarray) -> Projected:
    made = painted(steered, stacked(steered, [latent]))[0]
    return Projected(latent, made, target, float(np.sqrt(np.mean((made - target) ** 2))))


def _invertible(generate: task.Generate) -> bool:
    return isinstance(generate.network, task.Solver) and generate.network.heun


def _space(steered: Steered, space: str | None) -> Any:
    known = ("z",) if steered.styled is None else ("w", "w+")
    if space is not None and check_choice("space", space, task.SPACES) not in known:
        has = "no styles, so its space is" if known == ("z",) else "styles, so its spaces are"
        raise ValueError(f"space: the generator of {steered.folder} has {has} {' and '.join(known)}, got {space}.")
    return space or known[0]


def _target(steered: Steered, picture: Image) -> np.ndarray:
    """Return a picture of the generator's size and channels, float32 in [0, 1]."""
    size, _, channels = picture_shape(steered.generator)
    shape = shelf.Shape(size, channels, steered.fit)
    return shelf.shaped(io.Picture(np.asarray(picture)), shape).astype(np.float32) / 255
