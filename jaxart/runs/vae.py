"""Variational autoencoders as a kind of run."""

from collections.abc import Iterator
from typing import Any

from jaxart import data as shelf
from jaxart import models
from jaxart.arrays import Key, PyTree
from jaxart.runs import painting, pictures, shared
from jaxart.runs.kind import Facts, Generator, Trained
from jaxart.runs.options import VaeOptions
from jaxart.tasks import generate as task
from jaxart.training import Recipe

load, facts, frozen = pictures.load, painting.facts, painting.frozen


def recipe(options: VaeOptions, facts: Facts) -> Recipe:
    """Return the recipe of a VAE.

    Args:
        options: of the run.
        facts: the names of the classes, and what a painting is known by.

    Raises:
        ValueError: another painting than the one the run began with.
    """
    return task.vae(
        *_networks(options, facts),
        shape=(options.size, options.size, options.channels),
        latent=options.latent,
        optimizer=shared.cosine_adam(options.learning_rate, options.steps, end=0.1),
        half_life=options.half_life,
        transform=pictures.transform_of(options),
        style=painting.asked(options, facts),
    )


def batches(
    key: Key, options: VaeOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches of pictures.

    Args: see `Kind`.
    """
    return shelf.batches(key, data["data"], options.batch, first=first, process=process)


def parameters(state: task.VAEState) -> dict[str, PyTree]:
    """Return the parameters of both networks."""
    return dict(state.params)


def generator(trained: Trained) -> Generator:
    """Return the averaged decoder."""
    _, network = _networks(trained.options, trained.facts)
    classes = pictures.learned_classes(trained.options, trained.facts)
    return Generator(task.decoder_of(network, trained.state.average["decoder"]), trained.options.latent, classes)


sample, score, export = pictures.uses_of(generator)


def _networks(options: VaeOptions, facts: Facts) -> tuple[Any, Any]:
    sizes: dict[str, Any] = {"width": options.width, "classes": len(pictures.learned_classes(options, facts))}
    encoder = models.VAEEncoder(latent=options.latent, **sizes)
    return encoder, models.VAEDecoder(size=options.size, channels=options.channels, **sizes)
