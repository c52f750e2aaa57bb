"""The verb `stylize`: coarse to fine, one recipe a scale."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import color
from jaxart.arrays import Array, Image, Key, PyTree, check_choice, check_image
from jaxart.image import fit_within, pyramid, resize
from jaxart.losses import WASSERSTEIN, StyleLoss
from jaxart.models import VGG, vgg_depth
from jaxart.tasks.stylize.recipe import (
    ADAM,
    Frozen,
    Info,
    State,
    Strengths,
    carry_over,
    content_features,
    initial_state,
    layer_masks,
    make_step,
    picture,
    style_moments,
    style_targets,
)
from jaxart.training import Checkpoints, Recipe, fit

Colors = Literal["style", "luminance", "transport"]
Init = Literal["content", "gray", "uniform", "normal", "style"]
COLORS: tuple[str, ...] = get_args(Colors)
INITS: tuple[str, ...] = get_args(Init)

CONTENT_WEIGHT = {16: 0.01, 19: 0.015}  # by depth of VGG, chosen by looking (docs/gallery.md)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_LAYER_WEIGHTS = (256.0, 64.0, 16.0, 4.0, 1.0)
_SMALLEST = 16  # pixels that VGG needs on the short side to reach relu5_1


class Stylization(NamedTuple):
    """A stylisation whose arguments were checked: what `run` runs and `plan` predicts. Made by `prepare`."""

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    masks: np.ndarray | None
    sizes: tuple[tuple[int, int], ...]  # (height, width) per scale
    steps: tuple[int, ...]  # per scale
    result_size: tuple[int, int]
    style_weights: tuple[float, ...]
    style_scale: float
    strengths: Strengths
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_loss: StyleLoss
    optimizer: optax.GradientTransformation
    network: VGG
    variables: PyTree
    colors: str
    init: str


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
    on_step: Callable[[Progress], None] | None = None,
) -> np.ndarray:
    """Paint `content` in the style of `styles`.

    ``loss = w_c mean (F - F_c)^2 + sum_l w_l W2(N(F), N(F_s)) + w_tv TV9``, minimised over pixels, coarse to fine.

    Args:
        content: ``[H, W, 3]``, float in [0, 1] or uint8.
        styles: one painting ``[h, w, 3]``, or several.
        key: typed key, for `init` with noise.
        variables: of VGG-16 or VGG-19, from `weights.load`.
        size: long side of the result, pixels.
        min_size: long side of the first scale at least; neighbouring scales differ by the root of two.
        steps: per scale; the first and cheapest takes twice as many.
        style_weights: one per style, not negative; equal by default. The statistics of the styles are averaged. With masks they are ignored.
        content_weight: strength of the content; lower is more painterly. By default 0.01 with VGG-16, 0.015 with VGG-19.
        smoothness_weight: of the nine-point total variation.
        style_scale: size of the paintings relative to the result: larger makes larger strokes. Paintings are never enlarged.
        colors: "style" takes the painting's colours; "luminance" keeps the content's chroma; "transport" first gives the painting the
            mean and covariance of the content's colours.
        masks: ``[S, H', W']`` in [0, 1], where each style acts; resized to the content. Soft masks blend; where all are zero no style acts.
        init: "content", "gray", "uniform", "normal" noise, or "style" (noise with the colours of the styles).
        content_layers: of VGG; their errors are averaged.
        style_layers: of VGG.
        style_layer_weights: one per style layer; normalised to a sum of one.
        style_loss: how statistics are compared: `losses.WASSERSTEIN`, `WASSERSTEIN_CONVERGED`, `GRAM`, `ADAIN` or your own.
        optimizer: any Optax transformation; `optax.lbfgs` gets its value function.
        pooling: of VGG.
        dtype: of VGG's activations.
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
    )
    return run(job, key=key, on_step=on_step)


def prepare(
    content: Image,
    styles: Image | Sequence[Image],
    *,
    variables: PyTree,
    size: int = 512,
    min_size: int = 128,
    steps: int = 500,
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
) -> Stylization:
    """Check the arguments of `stylize` and bring them into the form that `run` and `plan` take; nothing is computed yet.

    Args and Raises: as `stylize`.
    """
    photograph = check_image("content", content)
    paintings = [styles] if getattr(styles, "ndim", 0) == 3 else list(styles)
    paintings = tuple(check_image(f"style {i + 1}", painting) for i, painting in enumerate(paintings))
    _check_numbers(size=size, min_size=min_size, steps=steps, style_scale=style_scale)
    check_choice("colors", colors, COLORS)
    check_choice("init", init, INITS)
    shares = _checked_weights("style_weights", style_weights, len(paintings))
    layer_shares = np.asarray(_checked_weights("style_layer_weights", style_layer_weights, len(style_layers)))
    depth = vgg_depth(variables)
    network = VGG(
        depth=depth,
        layers=tuple(sorted({*content_layers, *style_layers})),
        pooling=pooling,
        first_padding="replicate",
        dtype=dtype,
    )
    weight = CONTENT_WEIGHT[depth] if content_weight is None else content_weight
    if weight < 0 or smoothness_weight < 0:
        raise ValueError(f"expected weights of at least 0, got content {weight} and smoothness {smoothness_weight}.")
    sizes = _sizes(photograph.shape[:2], size, min_size)
    return Stylization(
        photograph,
        paintings,
        _checked_masks(masks, len(paintings)),
        sizes,
        (2 * steps, *[steps] * (len(sizes) - 1)),
        fit_within(photograph.shape[:2], size),
        shares,
        style_scale,
        Strengths(
            jnp.float32(weight),
            jnp.asarray(layer_shares / layer_shares.sum(), jnp.float32),
            jnp.float32(smoothness_weight),
        ),
        tuple(content_layers),
        tuple(style_layers),
        style_loss,
        optimizer,
        network,
        jax.tree.map(jnp.asarray, variables),
        colors,
        init,
    )


def _check_numbers(**numbers: float) -> None:
    least = {"size": _SMALLEST, "min_size": 1, "steps": 1, "style_scale": 0.01}
    for name, value in numbers.items():
        if not least[name] <= value < float("inf"):
            raise ValueError(f"{name}: expected at least {least[name]}, got {value}.")


def _checked_weights(name: str, weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    if count == 0:
        raise ValueError(f"{name}: expected at least one style and one style layer.")
    values = (1.0,) * count if weights is None else tuple(map(float, weights))
    if len(values) != count or min(values) < 0 or not 0 < sum(values) < float("inf"):
        raise ValueError(f"{name}: expected {count} numbers of at least 0, not all 0, got {values}.")
    return values


def _checked_masks(given: Image | None, count: int) -> np.ndarray | None:
    if given is None:
        return None
    masks = np.asarray(given, np.float32)
    if masks.ndim != 3 or masks.shape[0] != count:
        raise ValueError(f"masks: expected one for each of the {count} styles, [S, H, W], got shape {masks.shape}.")
    if not (masks.min() >= 0 and masks.max() <= 1):
        raise ValueError(f"masks: expected values in [0, 1], got {masks.min():g} to {masks.max():g}.")
    if not masks.any():
        raise ValueError("masks: all are zero everywhere, so no style would act.")
    return masks


def _sizes(shape: Sequence[int], size: int, min_size: int) -> tuple[tuple[int, int], ...]:
    """Return (height, width) per scale; a very long picture is worked on with a short side that VGG can read."""
    sizes = [fit_within(shape, long_side) for long_side in pyramid(size, min(size, max(min_size, _SMALLEST)))]
    large_enough = [each for each in sizes if min(each) >= 2 * _SMALLEST]
    height, width = sizes[-1]
    return tuple(large_enough or [(max(height, _SMALLEST), max(width, _SMALLEST))])


def scale_recipe(job: Stylization, index: int) -> Recipe:
    """Return the recipe of one scale; its targets are computed here."""
    size = job.sizes[index]
    content, styles = _colored(job, size)
    network, style_layers = job.network, job.style_layers
    style_network = network.clone(layers=style_layers)
    per_style = [style_moments(style_network, job.variables, style) for style in styles]
    if job.masks is None:
        masks, targets = None, (style_targets(per_style, job.style_weights, job.style_loss),)
    else:
        masks = layer_masks(jnp.clip(resize(job.masks[..., None], size, method="bilinear")[..., 0], 0, 1), style_layers)
        targets = tuple(style_targets([each], (1.0,), job.style_loss) for each in per_style)
    content_targets = content_features(network.clone(layers=job.content_layers), job.variables, content)
    frozen = Frozen(job.variables, content_targets, targets, masks, job.strengths)
    return Recipe(
        lambda key: initial_state(_initial_image(key, content, styles, job), job.optimizer), scale_step(job), frozen
    )


def scale_step(job: Stylization) -> Callable:
    """Return the step function, the same for every scale and every stylisation with these layers, loss and optimiser."""
    return make_step(job.network, job.content_layers, job.style_layers, job.style_loss, job.optimizer)


def _colored(job: Stylization, size: tuple[int, int]) -> tuple[jax.Array, list[jax.Array]]:
    """Resize content and styles for a scale and apply the choice of colours."""
    content = jnp.clip(resize(job.content, size), 0, 1)
    styles = [_style_at(style, max(size), job.style_scale) for style in job.styles]
    if job.colors == "luminance":
        content = color.luminance(content)
        styles = [color.match_mean_deviation(color.luminance(style), content) for style in styles]
    if job.colors == "transport":
        styles = [color.match_mean_covariance(style, content) for style in styles]
    return content, styles


def _style_at(style: np.ndarray, long_side: int, style_scale: float) -> jax.Array:
    natural = max(style.shape[:2])
    height, width = fit_within(style.shape[:2], min(max(1, round(long_side * style_scale)), natural))
    return jnp.clip(resize(style, (max(height, _SMALLEST), max(width, _SMALLEST))), 0, 1)


def _initial_image(key: Key, content: jax.Array, styles: list[jax.Array], job: Stylization) -> jax.Array:
    """Return the image a run starts from, ``[H, W, 3]``."""
    noise = jax.random.truncated_normal(key, -2, 2, content.shape)
    if job.init == "content":
        return content
    if job.init == "gray":
        return 0.5 + jax.random.uniform(key, content.shape) / 255
    if job.init == "uniform":
        return jax.random.uniform(key, content.shape)
    if job.init == "normal":
        return 0.5 + 0.25 * noise
    shares = np.asarray(job.style_weights) / sum(job.style_weights)
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
    """Run a prepared stylisation.

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
        ValueError: `resume` with checkpoints of another stylisation, or without any.
    """
    kept = None if checkpoints is None else Checkpoints(checkpoints)
    keys = jax.random.split(key, len(job.sizes) + 1)
    every = every if kept is None else int(np.gcd(every, save_every))
    try:
        first, state = _resumed(job, kept, key) if resume else (0, None)
        for index in range(first, len(job.sizes)):
            recipe = scale_recipe(job, index)
            if state is None:
                state = recipe.init(keys[0])
            elif state.image.shape[:2] != job.sizes[index]:
                state = carry_over(state, job.sizes[index], job.optimizer)
            hooks = _hooks(job, index, on_step, kept, save_every, key)
            state, _ = fit(
                recipe, key=keys[index + 1], steps=job.steps[index], state=state, every=every, hooks=hooks, stop=stop
            )
            if int(state.step) < job.steps[index]:
                return finished(job, picture(state))
        image = picture(state)
        if image.shape[:2] != job.result_size:
            image = jnp.clip(resize(image, job.result_size), 0, 1)
        return finished(job, image)
    finally:
        if kept is not None:
            kept.close()


def _hooks(job: Stylization, index: int, on_step, kept: Checkpoints | None, save_every: int, key: Key) -> tuple:
    """Return the hooks of one scale: report, then save."""
    before = sum(job.steps[:index])

    def report(state: State, info: Info) -> None:
        on_step(Progress(index, job.sizes, int(state.step), job.steps, info, lambda: finished(job, picture(state))))

    notes = {"scale": index, "stylization": _fingerprint(job, key)} if kept else {}

    def save(state: State, info: Info) -> None:
        del info
        step = int(state.step)
        if step % save_every == 0 or step == job.steps[index]:
            kept.save(before + step, state, notes)

    return (*([report] if on_step else []), *([save] if kept else []))


def _fingerprint(job: Stylization, key: Key) -> dict[str, str]:
    """Return short strings that are equal only for runs with the same result, by name, so that a mismatch can be told."""

    def digest(*arrays: Any) -> str:
        sha = hashlib.sha256()
        for array in arrays:
            sha.update(np.asarray(array).tobytes())
        return sha.hexdigest()[:16]

    kernels = [leaves["kernel"] for leaves in job.variables["params"].values()]
    return {
        "content": digest(job.content),
        "styles": digest(*job.styles),
        "masks": digest(job.masks if job.masks is not None else 0),
        "sizes and steps": str([*zip(job.sizes, job.steps, strict=True)]),
        "weights of the terms": str([np.asarray(value).tolist() for value in job.strengths]),
        "weights and scale of the styles": str((job.style_weights, job.style_scale)),
        "layers, network": str((job.content_layers, job.style_layers, job.network)),
        "features": digest(*kernels),
        "colors and init": f"{job.colors} {job.init}",
        "optimizer": str(jax.tree.structure(job.optimizer.init(jnp.zeros(1)))),
        "seed": digest(jax.random.key_data(key)),
    }


def _resumed(job: Stylization, kept: Checkpoints | None, key: Key) -> tuple[int, State]:
    """Return (scale, state) of the newest intact checkpoint."""
    steps = kept.steps() if kept else []
    if not steps:
        raise ValueError("resume: no checkpoint found. Start without resume; checkpoints are written as it runs.")
    shapes = jax.ShapeDtypeStruct
    for step in steps:
        try:
            notes = kept.notes(step)
            _check_same(notes["stylization"], _fingerprint(job, key))
            image = shapes((*job.sizes[notes["scale"]], 3), jnp.float32)
            like = jax.eval_shape(lambda x: initial_state(x, job.optimizer), image)
            return notes["scale"], kept.restore(step, like)
        except _Different:
            raise
        except Exception as error:  # Orbax raises many kinds on a damaged folder
            warnings.warn(f"checkpoint of step {step} cannot be read ({error}); trying the one before.", stacklevel=2)
    raise ValueError(f"resume: none of the {len(steps)} checkpoints can be read. Start without resume.")


class _Different(ValueError):
    """The checkpoints belong to another stylisation."""


def _check_same(saved: dict[str, str], now: dict[str, str]) -> None:
    changed = [name for name in now if saved.get(name) != now[name]]
    if changed:
        raise _Different(
            f"resume: the checkpoints are of another run; different: {', '.join(changed)}. Use the same arguments, or start anew."
        )
