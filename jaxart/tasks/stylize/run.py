"""The verb `stylize`: coarse to fine, one recipe a scale."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.sharding import Mesh

from jaxart import color
from jaxart.arrays import Array, Image, Key, PyTree
from jaxart.image import fit_within, resize
from jaxart.losses import WASSERSTEIN, Moments, StyleLoss
from jaxart.tasks.stylize.prepare import SMALLEST, STYLE_LAYER_WEIGHTS, STYLE_LAYERS, Colors, Init, Stylization, prepare
from jaxart.tasks.stylize.recipe import (
    ADAM,
    WHOLE,
    Frozen,
    Info,
    MemoryMode,
    State,
    carry_over,
    content_features,
    initial_state,
    layer_masks,
    make_step,
    picture,
    style_moments,
    style_targets,
)
from jaxart.tasks.stylize.resume import fingerprint, resumed
from jaxart.tasks.stylize.rows import gather, rows_of, split_frozen, split_state
from jaxart.training import Checkpoints, NotFiniteError, Recipe, fit, one_blas_thread

_PREPARED = 1024  # side of the tiles in which one device extracts features for several


class Progress(NamedTuple):
    """Where a run is. ``image()`` makes the picture as it stands, float32 ``[h, w, 3]``, at the size of its scale."""

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
    init: Init = "content",
    content_layers: tuple[str, ...] = ("relu4_2",),
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    style_layer_weights: tuple[float, ...] = STYLE_LAYER_WEIGHTS,
    style_loss: StyleLoss = WASSERSTEIN,
    optimizer: optax.GradientTransformation = ADAM,
    pooling: Literal["max", "average"] = "max",
    dtype: Any = jnp.float32,
    memory_mode: MemoryMode = WHOLE,
    mesh: Mesh | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> np.ndarray:
    """Paint `content` in the style of `styles`.

    ``loss = w_c mean (F - F_c)^2 + sum_l w_l W2(N(F), N(F_s)) + w_tv TV9``, minimized over pixels, coarse to fine.

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
        content_weight: strength of the content; lower is more painterly. By default 0.01 with VGG-16, 0.015 with VGG-19.
        smoothness_weight: of the nine-point total variation.
        style_scale: size of the paintings relative to the result: larger makes larger strokes. Paintings are never enlarged.
        colors: "style" takes the painting's colors; "luminance" keeps the content's chroma; "transport" first gives the painting the
            mean and covariance of the content's colors.
        masks: ``[S, H', W']`` in [0, 1], where each style acts; resized to the content. Soft masks blend; where all are zero no style acts.
        init: "content", "gray", "uniform", "normal" noise, or "style" (noise with the colors of the styles).
        content_layers: of VGG; their errors are averaged.
        style_layers: of VGG.
        style_layer_weights: one per style layer; normalized to a sum of one.
        style_loss: how statistics are compared: `losses.WASSERSTEIN`, `WASSERSTEIN_CONVERGED`, `GRAM`, `ADAIN` or your own.
        optimizer: any Optax transformation; `optax.lbfgs` gets its value function.
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
        optimizer=optimizer,
        pooling=pooling,
        dtype=dtype,
        memory_mode=memory_mode,
        mesh=mesh,
    )
    return run(job, key=key, on_step=on_step)


def scale_recipe(job: Stylization, index: int) -> Recipe:
    """Return the recipe of one scale; its targets are computed here."""
    with one_blas_thread():
        recipe = _scale_recipe(job, index)  # while it is traced for its shapes there is nothing to wait for
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(recipe.frozen))
        return recipe if traced else jax.block_until_ready(recipe)


def _scale_recipe(job: Stylization, index: int) -> Recipe:
    size, memory_mode, rows = job.sizes[index], job.memory_modes[index], rows_of(job, index)
    tile = (
        memory_mode.tile if rows is None else memory_mode.tile or _PREPARED
    )  # one device prepares what all of them use
    style_network, content_network = (job.network.clone(layers=each) for each in (job.style_layers, job.content_layers))
    look = _Look(size, job.style_scale, job.colors)
    content = _content(job.content, job.variables, None if memory_mode.recompute else content_network, look, tile)
    per_style = [_moments(style, job.content, job.variables, style_network, look, tile) for style in job.styles]
    if job.masks is None:
        masks, targets = None, (style_targets(per_style, job.style_weights, job.style_loss),)
    else:
        masks = layer_masks(_masks_at(job.masks, size), job.style_layers)
        targets = tuple(style_targets([each], (1.0,), job.style_loss) for each in per_style)
    frozen = split_frozen(Frozen(job.variables, content, targets, masks, job.loss_weights), rows)

    def init(key: Key) -> State:
        pictures = (job.content, job.styles, job.style_weights)
        return split_state(_start(key, *pictures, look, job.init, job.optimizer), rows)

    return Recipe(init, scale_step(job, index), frozen, short_run=True)


def scale_step(job: Stylization, index: int) -> Callable:
    """Return the step function, the same for every scale and stylization with these layers, loss, optimizer and memory mode."""
    memory_mode = job.memory_modes[index]
    network: Any = job.network.clone(rematerialize=memory_mode.rematerialize)
    return make_step(
        network,
        job.content_layers,
        job.style_layers,
        job.style_loss,
        job.optimizer,
        memory_mode.tile,
        rows_of(job, index),
    )


class _Look(NamedTuple):
    """How pictures are brought to a scale."""

    size: tuple[int, int]
    style_scale: float
    colors: str


# What a scale begins with, a program each: every program stays in memory.


@functools.partial(jax.jit, static_argnames=("network", "look", "tile"))
def _content(content: Array, variables: PyTree, network: Any, look: _Look, tile: int | None) -> Any:
    """Return the features of the content at a scale by layer; without a network the picture itself."""
    picture = _content_at(content, look)
    return picture if network is None else content_features(network, variables, picture, tile)


@functools.partial(jax.jit, static_argnames=("network", "look", "tile"))
def _moments(
    style: Array, content: Array, variables: PyTree, network: Any, look: _Look, tile: int | None
) -> dict[str, Moments]:
    """Return the moments of a painting at a scale by layer."""
    return style_moments(network, variables, _style_at(style, content, look), tile)


@functools.partial(jax.jit, static_argnames="size")
def _masks_at(masks: Array, size: tuple[int, int]) -> jax.Array:
    return jnp.clip(resize(masks[..., None], size, method="bilinear")[..., 0], 0, 1)


@functools.partial(jax.jit, static_argnames=("look", "init", "optimizer"))
def _start(
    key: Key,
    content: Array,
    styles: tuple[Array, ...],
    style_weights: tuple[float, ...],
    look: _Look,
    init: str,
    optimizer: optax.GradientTransformation,
) -> State:
    """Return the state that a run starts from."""
    paintings = [_style_at(style, content, look) for style in styles]
    return initial_state(_initial_image(key, _content_at(content, look), paintings, style_weights, init), optimizer)


def _content_at(content: Array, look: _Look) -> jax.Array:
    picture = jnp.clip(resize(content, look.size), 0, 1)
    return color.luminance(picture) if look.colors == "luminance" else picture


def _style_at(style: Array, content: Array, look: _Look) -> jax.Array:
    natural = max(style.shape[:2])
    height, width = fit_within(style.shape[:2], min(max(1, round(max(look.size) * look.style_scale)), natural))
    painting = jnp.clip(resize(style, (max(height, SMALLEST), max(width, SMALLEST))), 0, 1)
    if look.colors == "luminance":
        return color.match_mean_deviation(color.luminance(painting), _content_at(content, look))
    if look.colors == "transport":
        return color.match_mean_covariance(painting, _content_at(content, look))
    return painting


def _initial_image(
    key: Key, content: jax.Array, styles: list[jax.Array], style_weights: Sequence[Any], init: str
) -> jax.Array:
    """Return the image a run starts from, ``[H, W, 3]``."""
    if init == "content":
        return content
    if init == "gray":
        return 0.5 + jax.random.uniform(key, content.shape) / 255
    if init == "uniform":
        return jax.random.uniform(key, content.shape)
    noise = jax.random.truncated_normal(key, -2, 2, content.shape)
    if init == "normal":
        return 0.5 + 0.25 * noise
    total: Any = sum(style_weights)
    shares = [weight / total for weight in style_weights]
    mean = sum(share * jnp.mean(style, (0, 1), keepdims=True) for share, style in zip(shares, styles, strict=True))
    variance = sum(share * jnp.var(style, (0, 1), keepdims=True) for share, style in zip(shares, styles, strict=True))
    return mean + jnp.sqrt(variance) * noise


def finished(job: Stylization, image: Array) -> np.ndarray:
    """Return a picture for people: the content's chroma put back where it was asked for."""
    if job.colors == "luminance":
        image = color.with_chroma_of(image, jnp.clip(resize(job.content, image.shape[:2]), 0, 1))
    return np.asarray(image)


def run(
    job: Stylization,
    *,
    key: Key,
    on_step: Callable[[Progress], None] | None = None,
    every: int = 10,
    checkpoints: Path | None = None,
    save_every: int = 50,
    resume: bool = False,
    stop: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Run a prepared stylization.

    Args:
        job: from `prepare`.
        key: typed key.
        on_step: called with a `Progress` about twice a second, and at every multiple of `every` steps.
        every: see `on_step`.
        checkpoints: folder for checkpoints; none are written by default.
        save_every: steps between checkpoints.
        resume: carry on from the newest intact checkpoint; the result is bit for bit that of an uninterrupted run on the same machine.
        stop: asked about twice a second; true ends the run, and the picture as it stands is returned at the size of its scale.

    Returns:
        float32 ``[h, w, 3]`` in [0, 1].

    Raises:
        training.NotFiniteError: a loss term was not finite.
        ValueError: `resume` with checkpoints of another stylization, or without any.
    """
    store = None if checkpoints is None else Checkpoints(checkpoints)
    start, *keys = jax.random.split(key, len(job.sizes) + 1)
    every = every if store is None else int(np.gcd(every, save_every))
    identity = fingerprint(job, key) if store else {}
    first, rows = 0, None
    state: Any = None
    if resume:
        if store is None:
            raise ValueError("resume: expected the folder of the checkpoints.")
        first, state = resumed(job, store, identity)
    try:
        for index in range(first, len(job.sizes)):
            recipe, rows = scale_recipe(job, index), rows_of(job, index)
            state = _entered(state, job, index, recipe, start)
            hooks = (*_report(job, index, on_step), *_save(job, index, store, save_every, identity))
            state, _ = fit(
                recipe,
                key=keys[index],
                steps=job.steps[index],
                state=state,
                donate=True,
                every=every,
                hooks=hooks,
                stop=stop,
            )
            del recipe  # with the devices' copies of the network, before the next scale's are made
            state = gather(state, rows)
            if int(state.step) < job.steps[index]:
                _checkpoint(job, index, store, identity, state)
                return finished(job, picture(state))
        return finished(job, _of_size(picture(state), job.result_size))
    except NotFiniteError as error:
        error.state = gather(error.state, rows)
        raise
    finally:
        if store is not None:
            store.close()


def _entered(state: State | None, job: Stylization, index: int, recipe: Recipe, key: Key) -> State:
    """Return the state with which a scale starts: from scratch, carried over, or resumed within it."""
    if state is None:
        return recipe.init(key)
    size = job.sizes[index]
    at_size: Any = state if state.image.shape[:2] == size else carry_over(state, size, job.optimizer)
    return split_state(at_size, rows_of(job, index))


def _of_size(image: jax.Array, size: tuple[int, int]) -> jax.Array:
    return image if image.shape[:2] == size else jnp.clip(resize(image, size), 0, 1)


Hook = Callable[[State, Info], None]


def _report(job: Stylization, index: int, on_step: Callable[[Progress], None] | None) -> tuple[Hook, ...]:
    if on_step is None:
        return ()

    def report(state: State, info: Info) -> None:
        def image() -> np.ndarray:
            return finished(job, gather(picture(state), rows_of(job, index)))

        on_step(Progress(index, job.sizes, int(state.step), job.steps, info, image))

    return (report,)


def _save(
    job: Stylization, index: int, store: Checkpoints | None, save_every: int, identity: dict[str, str]
) -> tuple[Hook, ...]:
    if store is None:
        return ()

    def save(state: State, info: Info) -> None:
        del info
        if int(state.step) % save_every == 0 or int(state.step) == job.steps[index]:
            _checkpoint(job, index, store, identity, gather(state, rows_of(job, index)))

    return (save,)


def _checkpoint(
    job: Stylization, index: int, store: Checkpoints | None, identity: dict[str, str], state: State
) -> None:
    if store is not None:
        step = sum(job.steps[:index]) + int(state.step)
        store.save(step, state, {"scale": index, "stylization": identity, "memory_modes": job.memory_modes})
