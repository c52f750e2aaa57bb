"""What tuning and compressing ask of segmenters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxart.arrays import PyTree
from jaxart.runs import segmenter as kind
from jaxart.runs.kind import Facts, Trained, Tuning
from jaxart.runs.options import SegmenterOptions
from jaxart.training import Recipe


def tuning(options: SegmenterOptions, facts: Facts) -> Tuning:
    """Return how settings of segmenters are searched for; they keep nothing back.

    Args:
        options: of trial 0.
        facts: of its data.
    """
    del facts
    rate, decay, dice = options.learning_rate, options.weight_decay, options.dice_weight
    space = {
        "learning_rate": f"{min(1e-4, rate)}:{max(1e-2, rate)}:log",
        "weight_decay": f"0:{max(1.0, decay)}",
        "dice_weight": f"0:{max(2.0, dice)}",
    }
    return Tuning("mean IoU", True, False, space, fixed=("features", "weights"))


def renewed(trained: Trained, params: PyTree) -> Trained:
    """Return a segmenter with other params.

    Args:
        trained: with a state.
        params: as those of `segmenter.network`.
    """
    own = jax.tree.map(jnp.asarray, params)
    return trained._replace(state=trained.state._replace(params=own, average=own))


def wrapped(options: SegmenterOptions, facts: Facts, wrap: Callable[[Any], Any]) -> Recipe:
    """Return the recipe with another optimizer.

    Args:
        options: of the run.
        facts: of its data.
        wrap: ``optimizer -> optimizer``.
    """
    return kind.recipe(options, facts, wrap)


def varied(options: SegmenterOptions, facts: Facts) -> Recipe:
    """Return the recipe with the learning rate and the weight decay in the state of its optimizer.

    Args:
        options: of the run.
        facts: of its data.
    """
    return kind.recipe(options, facts, lambda usual: kind.varied_optimizer(options))


def timed(trained: Trained) -> tuple[Callable[..., PyTree], tuple]:
    """Return what segments a picture of the size that it learned from, and its arguments.

    Args:
        trained: with a state.
    """
    model, side = kind.model_of(trained), trained.options.size
    return model.network.apply, (model.variables, jnp.full((1, side, side, 3), 0.5))
