"""The verb `stylize`: coarse to fine, one recipe a scale."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxart import color
from jaxart.arrays import Array, Image, Key, PyTree
from jaxart.image import resize
from jaxart.losses import WASSERSTEIN, StyleLoss
from jaxart.tasks.stylize.arguments import STYLE_LAYER_WEIGHTS, STYLE_LAYERS, Colors, Init, prepare
from jaxart.tasks.stylize.choose import compiled_bytes, lower_mode
from jaxart.tasks.stylize.job import WHOLE, MemoryMode, PaintingTargets, Scale, Stylization, scale_of
from jaxart.tasks.stylize.keep import Keeper, fingerprint, restored, save
from jaxart.tasks.stylize.optimizers import ADAM, Optimizer
from jaxart.tasks.stylize.recipe import recipe_of
from jaxart.tasks.stylize.rows import gather, split_state
from jaxart.tasks.stylize.step import Info, State, carry_over, picture
from jaxart.tasks.stylize.targets import check_targets
from jaxart.tasks.stylize.terms import WeightedTerm
from jaxart.training import Checkpoints, NotFiniteError, Recipe, fit
from jaxart.training.sharding import Hook


class Progress(NamedTuple):
    """Where a run is.

    ``info`` is a NamedTuple of the loss and its weighted terms by name. ``image()`` makes the picture as it stands, float32 ``[h, w, 3]``,
    at the size of its scale.
    """

    scale: int
    sizes: tuple[tuple[int, int], ...]
    step: int
    steps: tuple[int, ...]
    info: Info
    image: Callable[[], np.ndarray]


def stylize(
    content: Image,
    styles: Image | Sequence[Image],
    *,
    key: Key,
    variables: PyTree,
    size: int = 512,
    min_size: int = 128,
    steps: int = 500,
    last_steps: int | None = None,
    style_weights: Sequence[float] | None = None,
    content_weight: float | None = None,
    smoothness_weight: float = 2.0,
    style_scale: float = 1.0,
    colors: Colors = "style",
    masks: Image | None = None,
    init: Init | Image = "content",
    content_layers: tuple[str, ...] = ("relu4_2",),
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    style_layer_weights: tuple[float, ...] = STYLE_LAYER_WEIGHTS,
    style_loss: StyleLoss = WASSERSTEIN,
    terms: Sequence[WeightedTerm] = (),
    targets: PaintingTargets | None = None,
    optimizer: Optimizer | optax.GradientTransformation = ADAM,
    pooling: Literal["max", "average"] = "max",
    dtype: Any = jnp.float32,
    memory_mode: MemoryMode = WHOLE,
    mesh: Mesh | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> np.ndarray:
    """Paint `content` in the style of `styles`.

    ``loss = w_c mean (F - F_c)^2 + sum_l w_l W2(N(F), N(F_s)) + w_tv TV9 + terms``, minimized over pixels, coarse to fine.

    Args:
        content: ``[H, W, 3]``, float in [0, 1] or uint8.
        styles: one painting ``[h, w, 3]``, or several.
        key: typed key, for `init` with noise.
        variables: of VGG-16 or VGG-19, from `weights.load`.
        size: long side of the result, pixels.
        min_size: long side of the first scale at least; neighboring scales differ by the root of two.
        steps: per scale; the first and cheapest takes twice as many.
        last_steps: at the largest scale; from the first to it the number falls by equal factors. As `steps` by default. Large scales only
            refine what small ones have settled, and cost the most.
        style_weights: one per style, not negative; equal by default. Their statistics are averaged. Ignored with masks.
        content_weight: of the content term; lower is more painterly. By default 0.01 with VGG-16, 0.015 with VGG-19.
        smoothness_weight: of the nine-point total variation.
        style_scale: size of the paintings relative to the result: larger makes larger strokes. Paintings are never enlarged.
        colors: "style" takes the painting's colors; "luminance" keeps the content's chroma; "transport" first gives the painting the
            mean and covariance of the content's colors.
        masks: ``[S, H', W']`` in [0, 1], where each style acts; resized to the content. Soft masks blend; where all are zero no style acts.
        init: "content", "gray", "uniform", "normal" noise, "style" (noise with the colors of the styles), or a picture ``[h, w, 3]`` of any
            size, which is resized to the first scale.
        content_layers: of VGG; their errors are averaged.
        style_layers: of VGG.
        style_layer_weights: one per style layer; normalized to a sum of one.
        style_loss: how styles are compared: one of `losses.STYLE_LOSSES` or your own. Those of whole feature maps ("patch", "histogram",
            "sliced") work on whole pictures, without masks, on one device.
        terms: further terms of the objective, see `WeightedTerm`.
        targets: from `painting_targets`: the style targets of an earlier stylization with the same styles and sizes.
        optimizer: any Optax transformation; `optax.lbfgs` gets its value function. Only one with a name, ``Optimizer(optax.adam(0.1),
            name="adam(0.1)")``, can be resumed.
        pooling: of VGG.
        dtype: of VGG's activations; their statistics are float32.
        memory_mode: one of `tasks.stylize.MEMORY_MODES`: how memory is saved at the price of work, with the same gradient.
            For pictures of any size, let
            `choose_memory_modes` take it by memory: ``run(choose_memory_modes(prepare(...), key=key), key=key)``.
        mesh: from `training.data_mesh`: the picture's rows are split over its devices, with the same gradient. A scale takes as many of
            them as get at least the rows that features look beyond, 64 each for relu5_1. By default one device.
        on_step: called with a `Progress` about twice a second.

    Returns:
        float32 ``[h, w, 3]`` in [0, 1], with `size` as its long side.

    Raises:
        ValueError: an argument out of its range; the message names it.
        training.NotFiniteError: a loss term was not finite; ``error.state`` holds the last good state.

    Reference: Gatys et al. 2016; the recipe (scales, Wasserstein style loss, averaged Adam iterate) is that of the program
    style-transfer-pytorch. Departure: the total variation's mean runs over one row and column more.
    """
    job = prepare(
        content,
        styles,
        variables=variables,
        size=size,
        min_size=min_size,
        steps=steps,
        last_steps=last_steps,
        style_weights=style_weights,
        content_weight=content_weight,
        smoothness_weight=smoothness_weight,
        style_scale=style_scale,
        colors=colors,
        masks=masks,
        init=init,
        content_layers=content_layers,
        style_layers=style_layers,
        style_layer_weights=style_layer_weights,
        style_loss=style_loss,
        terms=terms,
        targets=targets,
        optimizer=optimizer,
        pooling=pooling,
        dtype=dtype,
        memory_mode=memory_mode,
        mesh=mesh,
    )
    return run(job, key=key, on_step=on_step)


def finished(job: Stylization, image: Array) -> np.ndarray:
    """Return the picture to show or to write: the content's chroma put back where it was asked for.

    Args:
        job: from `prepare`.
        image: ``[h, w, 3]``, from `picture`.
    """
    if job.colors == "luminance":
        image = color.with_chroma_of(image, jnp.clip(resize(job.content, image.shape[:2]), 0, 1))
    return np.asarray(image)


def run(
    job: Stylization,
    *,
    key: Key,
    on_step: Callable[[Progress], None] | None = None,
    every: int = 10,
    checkpoints: Path | Checkpoints | None = None,
    save_every: int = 50,
    resume: bool = False,
    stop: Callable[[], bool] | None = None,
    max_memory: int | None = None,
    tell: Callable[[str], Any] = warnings.warn,
) -> np.ndarray:
    """Run a prepared stylization.

    Args:
        job: from `prepare`.
        key: typed key.
        on_step: called with a `Progress` about twice a second, and at every multiple of `every` steps.
        every: see `on_step`.
        checkpoints: their folder, or one opened before, which stays open; none are written by default.
        save_every: steps between checkpoints.
        resume: carry on from the newest intact checkpoint; the result is bit for bit that of an uninterrupted run on the same machine.
        stop: asked about twice a second; true ends the run, and the picture as it stands is returned at the size of its scale.
        max_memory: bytes, as in `choose_memory_modes`: a scale whose compiled program says that it needs more goes on in the next lower
            memory mode. Without a limit, and for a run that is resumed, the job's memory modes stand.
        tell: called with a line where a memory mode was changed.

    Returns:
        float32 ``[h, w, 3]`` in [0, 1].

    Raises:
        training.NotFiniteError: a loss term was not finite; ``error.state`` holds the last good `State`.
        ValueError: `resume` with checkpoints of another stylization or of jaxart 0.1, or without any, or of a loss or optimizer without a
            name, or a term without settings.
    """
    if resume and checkpoints is None:
        raise ValueError("resume: expected the folder of the checkpoints.")
    check_targets(job)
    start, *keys = jax.random.split(key, len(job.sizes) + 1)
    store = checkpoints if isinstance(checkpoints, Checkpoints | None) else Checkpoints(checkpoints)
    keeper = None if store is None else Keeper(store, fingerprint(job, key), save_every)
    every = every if store is None else int(np.gcd(every, save_every))
    try:
        first, state = restored(job, keeper) if resume and keeper is not None else (0, None)
        for index in range(first, len(job.sizes)):
            scale, recipe, state = _begun(scale_of(job, index), state, start, None if resume else max_memory, tell)
            job = scale.job
            hooks = (*_report(scale, on_step), *_save(scale, keeper))
            state = _fitted(scale, recipe, state, keys[index], every, hooks, stop)
            del recipe  # with the devices' copies of the network, before the next scale's are made
            if int(state.step) < scale.steps:
                save(keeper, scale, state)
                return finished(job, picture(state))
        return finished(job, _of_size(picture(state), job.result_size))
    finally:
        if store is not None and store is not checkpoints:
            store.close()


def _begun(
    scale: Scale, state: State | None, key: Key, limit: int | None, tell: Callable[[str], Any]
) -> tuple[Scale, Recipe, State]:
    """Return a scale in a memory mode whose compiled program fits in memory, its recipe and its first state."""
    recipe = recipe_of(scale)
    entered = _entered(scale, recipe, state, key)
    while limit is not None and (needed := compiled_bytes(recipe, entered, key)) > limit:
        lower = lower_mode(scale)
        if lower is None:
            break
        (height, width), names = scale.size, (scale.memory_mode.name, lower.name)
        tell(
            f"{width} x {height} needs {needed / 2**30:.2f} of {limit / 2**30:.2f} GiB ({names[0]}): {names[1]} instead."
        )
        modes = list(scale.job.memory_modes)
        modes[scale.index] = lower
        scale = scale_of(scale.job._replace(memory_modes=tuple(modes)), scale.index)
        recipe = recipe_of(scale)
    return scale, recipe, entered


def _fitted(
    scale: Scale,
    recipe: Recipe,
    state: State,
    key: Key,
    every: int,
    hooks: tuple[Hook, ...],
    stop: Callable[[], bool] | None,
) -> Any:
    """Run the steps of a scale; what it returns and what an error holds is on one device."""
    try:
        state, _ = fit(
            recipe, key=key, steps=scale.steps, state=state, donate=True, every=every, hooks=hooks, stop=stop
        )
        return gather(state, scale.rows)
    except NotFiniteError as error:
        error.state = gather(error.state, scale.rows)
        raise


def _entered(scale: Scale, recipe: Recipe, state: State | None, key: Key) -> State:
    """Return the state with which a scale starts: from scratch, carried over, or resumed within it."""
    if state is None:
        return recipe.init(key)
    here = state.image.shape[:2] == scale.size
    at_size: Any = state if here else carry_over(state, scale.size, scale.job.optimizer.transformation)
    return split_state(at_size, scale.rows)


def _of_size(image: jax.Array, size: tuple[int, int]) -> jax.Array:
    return image if image.shape[:2] == size else jnp.clip(resize(image, size), 0, 1)


def _report(scale: Scale, on_step: Callable[[Progress], None] | None) -> tuple[Hook, ...]:
    if on_step is None:
        return ()
    job = scale.job

    def report(state: State, info: Info) -> None:
        def image() -> np.ndarray:
            return finished(job, gather(picture(state), scale.rows))

        on_step(Progress(scale.index, job.sizes, int(state.step), job.steps, info, image))

    return (report,)


def _save(scale: Scale, keeper: Keeper | None) -> tuple[Hook, ...]:
    if keeper is None:
        return ()

    def hook(state: State, info: Info) -> None:
        del info
        if int(state.step) % keeper.save_every == 0 or int(state.step) == scale.steps:
            save(keeper, scale, gather(state, scale.rows))

    return (hook,)
