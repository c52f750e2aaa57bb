"""One scale of a stylization as a `Recipe`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer

from jaxart.tasks.stylize.job import Scale, Stylization, objective_terms, scale_of
from jaxart.tasks.stylize.step import make_step
from jaxart.tasks.stylize.targets import check_targets, frozen_at, start
from jaxart.training import Recipe, one_blas_thread


def scale_recipe(job: Stylization, index: int) -> Recipe:
    """Return the recipe of one scale; its targets are computed here.

    Args:
        job: from `prepare`.
        index: of the scale, from 0.

    Raises:
        ValueError: targets that were made for something else.
    """
    check_targets(job)
    return recipe_of(scale_of(job, index))


def recipe_of(scale: Scale) -> Recipe:
    """Return the recipe of a scale; its targets are computed here."""
    with one_blas_thread():
        recipe = Recipe(functools.partial(start, scale), step_of(scale), frozen_at(scale), short_run=True)
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(recipe.frozen))
        return recipe if traced else jax.block_until_ready(recipe)  # while it is traced there is nothing to wait for


def step_of(scale: Scale) -> Callable:
    """Return the step function, the same for every scale and stylization with these terms, optimizer and memory mode."""
    job, memory_mode = scale.job, scale.memory_mode
    network: Any = job.network.clone(rematerialize=memory_mode.rematerialize)
    return make_step(
        network, objective_terms(job), job.optimizer.transformation, tile=memory_mode.tile, rows=scale.rows
    )
