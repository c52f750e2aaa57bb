"""Generative adversarial networks as a kind of run."""

from collections.abc import Iterator
from typing import Any

from jaxart import data as shelf
from jaxart import losses, models
from jaxart.arrays import Key, PyTree, check_choice
from jaxart.runs import painting, pictures, shared
from jaxart.runs.kind import Facts, Generator, Trained
from jaxart.runs.options import GanOptions
from jaxart.tasks import generate as task
from jaxart.training import Recipe

LOSSES = {
    "relativistic": losses.RELATIVISTIC,
    "non-saturating": losses.NON_SATURATING,
    "saturating": losses.SATURATING,
    "hinge": losses.HINGE,
    "least-squares": losses.LEAST_SQUARES,
    "wasserstein": losses.WASSERSTEIN_CRITIC,
}
NETWORKS = {
    "dcgan": (models.DCGANGenerator, models.DCGANDiscriminator),
    "sngan": (models.SNGANGenerator, models.SNGANDiscriminator),
    "stylegan2": (models.StyleGANGenerator, models.StyleGANDiscriminator),
    "r3gan": (models.R3GANGenerator, models.R3GANDiscriminator),
}

_SMOOTHED = ("dcgan", "sngan")

load, facts, frozen = pictures.load, painting.facts, painting.frozen


def recipe(options: GanOptions, facts: Facts) -> Recipe:
    """Return the recipe of a GAN.

    Args:
        options: of the run.
        facts: the names of the classes, and what a painting is known by.

    Raises:
        ValueError: options that exclude each other.
    """
    _check(options)
    adam = shared.cosine_adam(_learning_rate(options), options.steps, end=0.1, b1=options.beta1, b2=options.beta2)
    policies = tuple(check_choice("diff_augment", name, shelf.POLICIES) for name in options.diff_augment)
    return task.gan(
        *_networks(options, facts),
        shape=(options.size, options.size, options.channels),
        latent=options.latent,
        loss=LOSSES[check_choice("loss", options.loss, LOSSES)],
        r1=options.r1,
        r2=options.r2,
        gradient_penalty=options.gradient_penalty,
        penalty_every=options.penalty_every,
        discriminator_steps=options.discriminator_steps,
        generator_optimizer=adam,
        discriminator_optimizer=adam,
        half_life=options.half_life,
        transform=pictures.transform_of(options),
        augment=shared.partial(shelf.diff_augment, policy=policies) if policies else None,
        adapt=task.Adapt(target=options.ada_target, span=_ada_span(options)) if options.ada else None,
        path_length=options.path_length,
        path_length_every=options.path_length_every,
        style=painting.asked(options, facts),
    )


def batches(
    key: Key, options: GanOptions, data: dict[str, shelf.Dataset], first: int, process: tuple[int, int]
) -> Iterator[shelf.Batch]:
    """Return batches for a step: one for the discriminator's every update.

    Args: see `Kind`.
    """
    size = options.batch * options.discriminator_steps
    return shelf.batches(key, data["data"], size, first=first, process=process)


def parameters(state: task.State) -> dict[str, PyTree]:
    """Return the parameters of both networks."""
    return {name: getattr(state, name)["params"] for name in ("generator", "discriminator")}


def generator(trained: Trained) -> Generator:
    """Return the averaged generator."""
    network, _ = _networks(trained.options, trained.facts)
    variables = {**trained.state.generator, "params": trained.state.average}
    classes = pictures.learned_classes(trained.options, trained.facts)
    return Generator(task.generator_of(network, variables), trained.options.latent, classes)


def styled(trained: Trained) -> task.Styled | None:
    """Return the averaged generator by its styles, where the model has them."""
    _, network, variables = generator(trained).generate
    return task.Styled(network, variables) if hasattr(network, "styles") else None


sample, score, export = pictures.uses_of(generator)


def _check(options: GanOptions) -> None:
    """Refuse options that exclude each other, before anything is compiled."""
    if options.ada and options.diff_augment:
        raise ValueError("ada, diff_augment: expected one of them, got both. Ada alone acts as often as it helps.")
    maker, _ = NETWORKS[check_choice("model", options.model, NETWORKS)]
    if options.path_length and not (hasattr(maker, "styles") and hasattr(maker, "paint")):
        raise ValueError(
            f"path_length: expected a model with styles, got {options.model!r}, which has none. Leave it at 0."
        )


def _learning_rate(options: GanOptions) -> float:
    """Return the rate that was asked for; by default ten times more where weights are N(0, 1) and scaled in use."""
    if options.learning_rate is not None:
        return options.learning_rate
    return 2e-3 if options.model == "stylegan2" else 2e-4


def _ada_span(options: GanOptions) -> float:
    """Return the span that was asked for; by default the paper's, or less where a run is too short to get anywhere in it."""
    return min(500_000, options.batch * options.steps / 4) if options.ada_span is None else options.ada_span


def _networks(options: GanOptions, facts: Facts) -> tuple[Any, Any]:
    make_generator, make_discriminator = NETWORKS[check_choice("model", options.model, NETWORKS)]
    sizes: dict[str, Any] = {"width": options.width, "classes": len(pictures.learned_classes(options, facts))}
    form = {"smooth": options.smooth} if options.model in _SMOOTHED else {}
    generator = make_generator(size=options.size, channels=options.channels, **form, **sizes)
    return generator, make_discriminator(**sizes)
