"""A contact sheet: one photograph in many styles and with many content weights, stylized together by one program."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import memory
from jaxart.arrays import Image, Key, check_image
from jaxart.image import resize
from jaxart.tasks.stylize.job import Stylization, scale_of
from jaxart.tasks.stylize.paint import Progress, finished
from jaxart.tasks.stylize.recipe import recipe_of, step_of
from jaxart.tasks.stylize.step import Frozen, Info, State, carry_over, picture
from jaxart.tasks.stylize.targets import check_targets
from jaxart.training import NotFiniteError, Recipe, Step, fit

# What the pictures of a sheet may differ in.
_OWN = ("styles", "style_weights", "style_scale", "loss_weights", "init", "targets")
# Axes of the pictures: they share the count of steps, the network, the content and the masks.
_STATE = State(**dict[str, Any](step=None, image=0, opt_state=0, average=0))
_FROZEN = Frozen(**dict[str, Any](variables=None, aligned=None, targets=0, weights=0))


class NotFiniteSheetError(NotFiniteError):
    """A loss term of one of the pictures was not finite. `state` is the group's last good one, `pictures` are all as they stood."""

    def __init__(self, error: NotFiniteError, pictures: np.ndarray):
        super().__init__(error.term, error.step, error.state)
        self.pictures = pictures


def variations(job: Stylization, styles: Sequence[Image], content_weights: Sequence[float]) -> list[Stylization]:
    """Return a stylization in every style with every content weight, style by style; everything else is that of `job`.

    Args:
        job: from `prepare`.
        styles: paintings ``[h, w, 3]``, one at a time.
        content_weights: at least 0.

    Raises:
        ValueError: no style or no weight, a weight below 0 or not finite, or a style that is no picture.
    """
    if not len(styles) or not len(content_weights):
        raise ValueError("variations: expected at least one style and one content weight.")
    if not all(0 <= weight < float("inf") for weight in content_weights):
        raise ValueError(f"content weights: expected numbers of at least 0, got {tuple(content_weights)}.")
    paintings = [check_image(f"style {number}", style) for number, style in enumerate(styles, 1)]
    loss_weights = [job.loss_weights | {"content": jnp.float32(weight)} for weight in content_weights]
    return [
        job._replace(styles=(painting,), style_weights=(1.0,), loss_weights=each, targets=None)
        for painting in paintings
        for each in loss_weights
    ]


def run_sheet(
    jobs: Sequence[Stylization],
    *,
    key: Key,
    group: int | None = None,
    on_step: Callable[[Progress], None] | None = None,
    every: int = 10,
    stop: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Run several stylizations of one photograph together, as one program; each gives, to rounding, what `run` gives for it.

    Args:
        jobs: from `variations`, or others that differ in nothing but styles, style_weights, style_scale, loss_weights, init and targets.
        key: typed key, the same for every picture.
        group: how many pictures are worked on at once, from `plan_sheet`; all by default. All groups finish a scale before the next.
        on_step: as in `run`. The `Progress` counts the steps of all groups, its info has one number per picture of the group, and its
            ``image()`` gives all pictures.
        every: as in `run`.
        stop: as in `run`: true ends it, and the pictures as they stand are returned.

    Returns:
        float32 ``[N, h, w, 3]`` in [0, 1]. After a `stop` in the first scale, a picture whose group had not begun is white.

    Raises:
        ValueError: no jobs, jobs that differ in more or are for several devices, targets made for something else, or a group below one.
        NotFiniteSheetError: a loss term of one of the pictures was not finite; ``error.pictures`` holds all as they stood.
    """
    check_alike(jobs)
    job, groups = jobs[0], _groups(jobs, len(jobs) if group is None else group)
    start, *keys = jax.random.split(key, len(job.sizes) + 1)
    states: list[State | None] = [None] * len(groups)
    steps = tuple(len(groups) * each for each in job.steps)

    def report(index: int, number: int, state: State, info: Info) -> None:
        states[number] = state
        done = number * job.steps[index] + int(state.step)
        if on_step is not None:
            on_step(Progress(index, job.sizes, done, steps, info, lambda: _pictures(jobs, states)))

    for index, number in itertools.product(range(len(job.sizes)), range(len(groups))):
        recipe = _recipe(groups[number], index)
        memory.release()  # what the scale before has freed
        try:
            state, _ = fit(
                recipe,
                key=keys[index],
                steps=job.steps[index],
                state=_entered(states[number], job, index, recipe, start),
                donate=True,
                every=every,
                hooks=(functools.partial(report, index, number),),
                stop=stop,
            )
        except NotFiniteError as error:
            states[number] = error.state
            raise NotFiniteSheetError(error, _pictures(jobs, states)) from error
        states[number] = state
        if int(state.step) < job.steps[index]:
            break
    return _pictures(jobs, states)


def sheet_recipe(jobs: Sequence[Stylization], index: int) -> Recipe:
    """Return the recipe of one scale of several stylizations at once: the step of `scale_recipe`, mapped over the pictures.

    Args:
        jobs: as in `run_sheet`.
        index: of the scale.

    Raises:
        ValueError: as `run_sheet`.
    """
    check_alike(jobs)
    return _recipe(jobs, index)


def _recipe(jobs: Sequence[Stylization], index: int) -> Recipe:
    recipes = [recipe_of(scale_of(job, index)) for job in jobs]
    inits = [recipe.init for recipe in recipes]
    targets, weights = (_stack([getattr(each.frozen, name) for each in recipes]) for name in ("targets", "weights"))
    frozen = recipes[0].frozen._replace(targets=targets, weights=weights)

    def init(key: Key) -> State:
        return _stack([each(key) for each in inits])._replace(step=jnp.int32(0))

    return Recipe(init, sheet_step(jobs, index), frozen, short_run=True)


def sheet_step(jobs: Sequence[Stylization], index: int) -> Step:
    """Return the step function of a sheet, the same for any pictures for which that of one picture is the same.

    Args:
        jobs: as in `run_sheet`.
        index: of the scale.
    """
    return _mapped(step_of(scale_of(jobs[0], index)))


@functools.lru_cache(maxsize=32)
def _mapped(step: Step) -> Step:
    return jax.vmap(step, in_axes=(None, _STATE, None, _FROZEN), out_axes=(_STATE, 0))


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def check_alike(jobs: Sequence[Stylization]) -> None:
    """Find out whether stylizations can share a program.

    Raises:
        ValueError: as `run_sheet`.
    """
    if not jobs:
        raise ValueError("sheet: expected at least one stylization.")
    if jobs[0].mesh is not None:
        raise ValueError("sheet: expected stylizations on one device, got a mesh; leave `mesh` out.")
    if not jobs[0].style_loss.additive:
        raise ValueError(
            f"sheet: the style loss {jobs[0].style_loss.name} has targets of another size for each painting; run them one by one."
        )

    def same(one: Any, other: Any) -> bool:
        leaves, others = (jax.tree.flatten(each) for each in (one, other))
        return leaves[1] == others[1] and all(map(_equal, leaves[0], others[0]))

    shared = [name for name in Stylization._fields if name not in _OWN]
    for number, job in enumerate(jobs[1:], 2):
        other = [name for name in shared if not same(getattr(jobs[0], name), getattr(job, name))]
        if other:
            raise ValueError(
                f"sheet: stylization {number} and the first differ in {', '.join(other)}; they may differ in {', '.join(_OWN)}. "
                "Make them of one by `variations`, so that they share the arrays of content and network."
            )
    for job in jobs:
        check_targets(job)


def _equal(one: Any, other: Any) -> bool:
    return one is other or (not isinstance(one, np.ndarray | jax.Array) and one == other)


def group_sizes(count: int, most: int) -> tuple[int, int]:
    """Return (groups, pictures in each) for `count` pictures; the last group may need filling up.

    Args:
        count: of all pictures.
        most: at once, at least 1.

    Raises:
        ValueError: `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"group: expected at least 1, got {most}.")
    groups = -(-count // most)
    return groups, -(-count // groups)


def _groups(jobs: Sequence[Stylization], most: int) -> list[Sequence[Stylization]]:
    """Cut into groups of one size, which share a program; the last is filled up with copies, whose results are dropped."""
    groups, size = group_sizes(len(jobs), most)
    filled = [*jobs, *[jobs[-1]] * (groups * size - len(jobs))]
    return [filled[begin : begin + size] for begin in range(0, len(filled), size)]


def _entered(state: State | None, job: Stylization, index: int, recipe: Recipe, key: Key) -> State:
    """Return the state with which a group starts a scale."""
    if state is None:
        return recipe.init(key)
    carry = functools.partial(carry_over, size=job.sizes[index], optimizer=job.optimizer.transformation)
    return jax.vmap(carry, in_axes=(_STATE,), out_axes=_STATE)(state)


def _pictures(jobs: Sequence[Stylization], states: Sequence[State | None]) -> np.ndarray:
    """Return all pictures as they stand, at the size of the result."""
    job, size, members = jobs[0], jobs[0].result_size, -(-len(jobs) // len(states))
    sheet = np.ones((len(jobs), *size, 3), np.float32)
    for number, state in enumerate(states):
        if state is None:
            continue
        images = picture(state)
        images = images if images.shape[1:3] == size else jnp.clip(resize(images, size), 0, 1)
        for place, image in zip(sheet[number * members :], images, strict=False):
            place[:] = finished(job, image)
    return sheet
