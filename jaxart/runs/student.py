"""Students of flows as a kind of run: they learn from what the teacher draws."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import data as shelf
from jaxart import io, metrics, models, weights
from jaxart.arrays import Key, PyTree
from jaxart.cache import cache_folder
from jaxart.runs import flow, pictures, shared
from jaxart.runs.kind import Facts, Generator, Trained
from jaxart.runs.options import FlowOptions, StudentOptions
from jaxart.runs.results import newest_state
from jaxart.runs.run import Run, manifest_of, open_run
from jaxart.tasks import generate as task
from jaxart.training import Recipe

FEATURES = ("relu1_2", "relu2_2", "relu3_3")  # of VGG-16
_SEED = 0  # of what teachers draw
_WARM_UP = 100  # steps over which the learning rate rises, a tenth of the run at most


def load(options: StudentOptions, source: str, path: Path) -> shelf.Dataset:
    """Read pictures as the teacher reads them.

    Args:
        options: of the run.
        source: there is one.
        path: of the pictures that the teacher learned from, or of others to score with.

    Raises:
        ValueError: no teacher, or a run of another kind; fewer pairs than a batch.
    """
    if options.pairs < options.batch:
        raise ValueError(f"pairs: expected at least a batch, {options.batch}, got {options.pairs}.")
    taught = _teacher(options).options
    return flow.load(dataclasses.replace(taught, split=options.split or taught.split), source, path)


def facts(options: StudentOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the teacher's facts and options, and what its drawings are known by.

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: other pictures than those the teacher learned from, or a teacher that is not trained yet.
    """
    teacher = _teacher(options)
    if teacher.sources["data"].digest != shelf.digest(data["data"]):
        raise ValueError(f"data: expected the pictures that the teacher learned from: {teacher.sources['data'].path}")
    identity = _identity(_trained(teacher), options.pairs)
    return {**teacher.facts, "teacher": manifest_of(teacher).options, "drawings": identity}


def recipe(options: StudentOptions, facts: Facts) -> Recipe:
    """Return the recipe of a student; it begins with the teacher's weights.

    Args:
        options: of the run.
        facts: the teacher's.
    """
    taught = _of_teacher(facts)
    return task.student(
        flow.network_of(taught, facts),
        features=models.VGG(depth=16, layers=FEATURES),
        shape=flow.shape_of(taught),
        looks=options.looks,
        pixel_weight=options.pixel_weight,
        start=functools.partial(_first_params, options, facts["drawings"]),
        optimizer=shared.cosine_adam(
            options.learning_rate, options.steps, warm_up=min(_WARM_UP, options.steps // 10), b2=0.99
        ),
        half_life=options.half_life,
    )


def frozen(options: StudentOptions, data: dict[str, shelf.Dataset]) -> PyTree:
    """Return the variables of VGG-16, which compares pictures.

    Args:
        options: of the run.
        data: not looked at.
    """
    del data
    return weights.load(options.weights or "vgg16")


def batches(
    key: Key, options: StudentOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of what the teacher draws, with the noise of which it was drawn; the first call has it draw, unless the cache has it.

    Args: see `Kind`.
    """
    del data
    drawn = _drawings(options)
    for batch in shelf.batches(key, drawn, options.batch, first=first, process=process):
        yield {**batch, "noise": _noise(batch["number"], batch["image"].shape[1:])}


def parameters(state: task.FlowState) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"velocity": state.params}


def generator(trained: Trained) -> Generator:
    """Return the averaged network as a flow of as many steps as it may look."""
    return flow.generator_of(model_of(trained))


def network(trained: Trained) -> weights.Network:
    """Return the student, to be kept in a file."""
    return task.as_network(model_of(trained))


def model_of(trained: Trained) -> task.FlowModel:
    """Return the flow of the averaged network, with the solver of a student."""
    model = flow.model_of(Trained(_of_teacher(trained.facts), trained.facts, trained.state))
    return model._replace(
        solver=model.solver._replace(steps=trained.options.looks, guidance=1.0, autoguidance=0.0, heun=False)
    )


sample, score, export = pictures.uses_of(generator)


def _teacher(options: StudentOptions) -> Run:
    if options.teacher is None:
        raise ValueError("teacher: expected the folder of a trained run of the kind flow.")
    run = open_run(options.teacher)
    if run.kind != "flow":
        raise ValueError(
            f"{options.teacher}: expected a run of the kind flow as the teacher, got one of the kind {run.kind}."
        )
    return run


def _of_teacher(facts: Facts) -> FlowOptions:
    told: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["teacher"].items()}
    return FlowOptions(**told)


def _trained(teacher: Run) -> Trained:
    return Trained(teacher.options, teacher.facts, newest_state(teacher))


def _identity(trained: Trained, pairs: int) -> str:
    """Return what determines a teacher's drawings, as a name."""
    told = json.dumps([dataclasses.asdict(trained.options), trained.facts, pairs, _SEED], default=str, sort_keys=True)
    return hashlib.sha256((told + metrics.content_hash(trained.state.average)).encode()).hexdigest()[:32]


def _unchanged(options: StudentOptions, identity: str) -> Trained:
    trained = _trained(_teacher(options))
    if _identity(trained, options.pairs) != identity:
        raise ValueError(f"{options.teacher}: the teacher was trained on since this run began. Begin a new one.")
    return trained


def _first_params(options: StudentOptions, identity: str) -> PyTree:
    return _unchanged(options, identity).state.average


def _drawings(options: StudentOptions) -> shelf.Dataset:
    """Return what the teacher draws: columns "image", "label" and "number", of the latent."""
    trained = _trained(_teacher(options))
    kept = cache_folder() / "drawings" / f"{_identity(trained, options.pairs)}.npz"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        drawn = _drawn(flow.generator(trained), options.pairs)
        with io.replacing(kept) as partial, open(partial, "wb") as stream:
            np.savez(stream, **drawn)
    with np.load(kept, allow_pickle=False) as found:
        return shelf.from_arrays({name: found[name] for name in found.files})


def _drawn(generator: Generator, count: int) -> dict[str, Any]:
    z = task.draw_latents(jax.random.key(_SEED), count, latent=generator.latent)
    number = np.arange(count, dtype=np.int32)
    label = number % max(1, len(generator.classes))
    images = np.rint(255 * task.pictures(generator.generate, z, jnp.asarray(label))).astype(np.uint8)
    return {"image": images, "label": label, "number": number}


@functools.partial(jax.jit, static_argnums=1)
def _noise(numbers: Any, shape: tuple[int, ...]) -> jax.Array:
    """Return the latents of the drawings of these numbers, as pictures: what `draw_latents` drew."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(_SEED)))(numbers)
    size = int(np.prod(shape))
    return jax.vmap(lambda each: jax.random.normal(each, (size,)).reshape(shape))(keys)
