"""Flows as a kind of run."""

import math
from collections.abc import Iterator

import numpy as np

from jaxart import data as shelf
from jaxart import models, weights
from jaxart.arrays import Key, PyTree
from jaxart.runs import pictures, shared
from jaxart.runs.guidance import with_guidance
from jaxart.runs.kind import Facts, Generator, Guidance, Trained
from jaxart.runs.options import FlowOptions
from jaxart.tasks import generate as task
from jaxart.training import Recipe

_WARM_UP = 500  # steps over which the learning rate rises, a tenth of the run at most

load = pictures.load


def facts(options: FlowOptions, data: dict[str, shelf.Dataset]) -> Facts:
    """Return the names of the classes, and the root mean square of the pictures in [-1, 1].

    Args:
        options: of the run.
        data: by source.

    Raises:
        ValueError: classes are to be learned and there are none.
    """
    found, images = pictures.facts(options, data), data["data"].columns["image"]
    squares = [np.mean((each / 127.5 - 1) ** 2, dtype=np.float64) for each in images]
    return {**found, "scale": round(float(np.sqrt(np.mean(squares))), 3)}


def recipe(options: FlowOptions, facts: Facts) -> Recipe:
    """Return the recipe of a flow.

    Args:
        options: of the run.
        facts: the names of the classes.
    """
    return task.flow(
        network_of(options, facts),
        shape=shape_of(options),
        classes=len(pictures.learned_classes(options, facts)),
        optimizer=shared.cosine_adam(
            options.learning_rate, options.steps, warm_up=min(_WARM_UP, options.steps // 10), end=0.1, b2=0.99
        ),
        half_life=options.half_life,
        time_mean=options.time_mean,
        time_std=options.time_std,
        drop_class=options.drop_class,
        transform=pictures.transform_of(options),
    )


def batches(
    key: Key, options: FlowOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of pictures.

    Args: see `Kind`.
    """
    return shelf.batches(key, data["data"], options.batch, first=first, process=process)


def parameters(state: task.FlowState) -> dict[str, PyTree]:
    """Return the parameters of the network."""
    return {"velocity": state.params}


def generator(trained: Trained) -> Generator:
    """Return the flow of the averaged network: its latents are noise."""
    return generator_of(model_of(trained))


def guided(trained: Trained, guidance: Guidance) -> Generator:
    """Return the flow with its drawing guided.

    Args:
        trained: what the run has come to.
        guidance: by what.

    Raises:
        ValueError: numbers out of their range, a mask without a picture or of another shape.
    """
    return generator_of(model_of(trained), guidance)


def network(trained: Trained) -> weights.Network:
    """Return the flow, to be kept in a file."""
    return task.as_network(model_of(trained))


def model_of(trained: Trained) -> task.FlowModel:
    """Return the flow of the averaged network."""
    options, classes = trained.options, pictures.learned_classes(trained.options, trained.facts)
    solver = task.Solver(
        network_of(options, trained.facts),
        shape_of(options),
        steps=options.sampling_steps,
        guidance=options.guidance,
        autoguidance=options.autoguidance,
        classes=len(classes),
    )
    return task.FlowModel(solver, trained.state.average, classes, options.fit)


def generator_of(model: task.FlowModel, guidance: Guidance | None = None) -> Generator:
    """Return a flow as a generator.

    Args:
        model: of a run or a file.
        guidance: of its drawing.

    Raises:
        ValueError: as `guided`.
    """
    flow = with_guidance(model.solver, model.params, guidance or Guidance(), fit=model.fit)
    return Generator(flow, math.prod(model.solver.shape), model.classes)


sample, score, export = pictures.uses_of(generator)


def shape_of(options: FlowOptions) -> tuple[int, int, int]:
    """Return the shape of a picture."""
    return options.size, options.size, options.channels


def network_of(options: FlowOptions, facts: Facts) -> models.VelocityNet:
    """Return the network of a flow.

    Args:
        options: of the run.
        facts: of its data.
    """
    return models.VelocityNet(
        width=options.width,
        factors=tuple(options.factors),
        blocks=options.blocks,
        squares=options.squares,
        attention=options.attention,
        classes=len(pictures.learned_classes(options, facts)),
        scale=facts["scale"],
    )
