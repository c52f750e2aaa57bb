"""What tuning and compressing ask of classifiers: settings, other params, a pruned recipe, fewer channels, and what to time."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxart import models
from jaxart.arrays import PyTree
from jaxart.runs import answers, labels
from jaxart.runs import classifier as kind
from jaxart.runs.kind import Facts, Trained, Tuning
from jaxart.runs.options import ClassifierOptions
from jaxart.tasks import classify as task
from jaxart.training import ChannelGroup, Place, Recipe, drop_channels


def tuning(options: ClassifierOptions, facts: Facts) -> Tuning:
    """Return how settings of classifiers are searched for.

    Args:
        options: of trial 0, which the spans take in.
        facts: of its data.

    Raises:
        ValueError: options that exclude each other.
    """
    labels.check_options(options)
    measure = "R2" if options.task == "numbers" else "macro F1"
    if kind.by_kernel(options, facts["train"]):
        low, high = min(0.005, options.ridge), max(0.5, options.ridge)
        return Tuning(measure, True, True, {"ridge": f"{low}:{high}:log"}, {}, fixed=("features", "weights"))
    values = {name: kind.chosen(options, name) for name in ("weight_decay", "dropout")}
    values["smoothing"] = kind.smoothing_of(options)
    found = {"learning_rate": options.learning_rate, **values}
    spans = {"learning_rate": (1e-4, 1e-2), "weight_decay": (0.0, 2.0), "dropout": (0.0, 0.8), "smoothing": (0.0, 0.4)}
    if options.task != "label" or options.scheme != "softmax" or kind.balance_of(options) == "focal":
        del spans["smoothing"]
    if options.features == "none" and options.model == "rows":
        del spans["dropout"]
    space = {name: f"{min(low, found[name])}:{max(high, found[name])}" for name, (low, high) in spans.items()}
    space["learning_rate"] += ":log"
    return Tuning(measure, True, True, space, values, fixed=("features", "weights"))


def renewed(trained: Trained, params: PyTree) -> Trained:
    """Return a classifier with other params.

    Args:
        trained: with a state.
        params: as those of `classifier.network`.
    """
    average = jax.tree.map(jnp.asarray, params["classifier"])
    scaling = task.Scaling(**params["scaling"]) if "scaling" in params else None
    return trained._replace(state=trained.state._replace(params=average, average=average, scaling=scaling))


def wrapped(options: ClassifierOptions, facts: Facts, wrap: Callable[[Any], Any]) -> Recipe:
    """Return the recipe with another optimizer.

    Args:
        options: of the run.
        facts: of its data.
        wrap: ``optimizer -> optimizer``.

    Raises:
        ValueError: a kernel, which is solved, not trained.
    """
    if isinstance(kind.network_of(options, facts), models.KernelHead):
        raise ValueError("prune, channels: a kernel is not trained, so nothing of it can be pruned; take --int8.")
    return kind.recipe(options, facts, wrap)


def varied(options: ClassifierOptions, facts: Facts) -> Recipe:
    """Return the recipe with the learning rate and the weight decay in the state of its optimizer.

    Args:
        options: of the run.
        facts: of its data.

    Raises:
        ValueError: a kernel, which has neither.
    """
    if kind.by_kernel(options, facts["train"]):
        raise ValueError("together: a kernel is not trained but solved; leave it out, or take --head network.")
    return kind.recipe(options, facts, lambda usual: kind.varied_optimizer(options))


def narrowed(trained: Trained, keep: float) -> Trained:
    """Return a residual network with fewer channels within its blocks, or a head with fewer hidden units.

    Args:
        trained: with a state.
        keep: share of them that stays.

    Raises:
        ValueError: a share outside of (0, 1], or another network.
    """
    found = trained.state.average
    if trained.options.features == "none" and trained.options.model == "residual":
        small = task.narrow(task.Classifier(kind.network_of(trained.options, trained.facts), found), keep=keep)
        options = dataclasses.replace(trained.options, inner=trained.options.inner * keep)
        return trained._replace(
            options=options, state=trained.state._replace(params=small.params, average=small.params)
        )
    if trained.options.features == "none" or "hidden" not in found:
        what = (
            "head without a hidden layer" if trained.options.features != "none" else f"network {trained.options.model}"
        )
        raise ValueError(
            f"channels: a {what} has none that can be left out; the network residual has, and a head with a hidden layer. Take --int8."
        )
    group = ChannelGroup(
        (Place("hidden/kernel", -1),), (Place("hidden/bias", -1),), consumers=(Place("outputs/kernel", -2),)
    )
    average = jax.tree.map(jnp.asarray, drop_channels(found, [group], keep=keep))
    options = dataclasses.replace(trained.options, hidden=average["hidden"]["bias"].shape[0])
    return trained._replace(options=options, state=trained.state._replace(params=average, average=average))


def timed(trained: Trained) -> tuple[Callable[..., PyTree], tuple]:
    """Return what answers for a picture, and its arguments: VGG-16 too, where its features are looked at.

    Args:
        trained: with a state.
    """
    side = labels.side_of(trained.options)
    apply, variables = answers.whole(trained)
    return apply, (variables, jnp.full((1, side, side, 3), 0.5))
