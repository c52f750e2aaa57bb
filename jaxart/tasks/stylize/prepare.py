"""Checking the arguments of a stylization before anything is computed."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxart.arrays import Image, PyTree, check_choice, check_image
from jaxart.image import fit_within, pyramid
from jaxart.losses import WASSERSTEIN, StyleLoss
from jaxart.models import VGG, vgg_depth
from jaxart.tasks.stylize.recipe import ADAM, WHOLE, LossWeights, MemoryMode
from jaxart.training import AXIS

Colors = Literal["style", "luminance", "transport"]
Init = Literal["content", "gray", "uniform", "normal", "style"]
COLORS: tuple[str, ...] = get_args(Colors)
INITS: tuple[str, ...] = get_args(Init)

CONTENT_WEIGHT = {16: 0.01, 19: 0.015}  # by depth of VGG, chosen by looking (docs/gallery.md)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_LAYER_WEIGHTS = (256.0, 64.0, 16.0, 4.0, 1.0)
SMALLEST = 16  # pixels that VGG needs on the short side to reach relu5_1


class Stylization(NamedTuple):
    """A stylization whose arguments were checked: what `run` runs and `plan` predicts. Made by `prepare`."""

    content: np.ndarray
    styles: tuple[np.ndarray, ...]
    masks: np.ndarray | None
    sizes: tuple[tuple[int, int], ...]  # (height, width) per scale
    steps: tuple[int, ...]  # per scale
    result_size: tuple[int, int]
    style_weights: tuple[float, ...]
    style_scale: float
    loss_weights: LossWeights
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    style_loss: StyleLoss
    optimizer: optax.GradientTransformation
    network: VGG
    variables: PyTree
    colors: str
    init: str
    memory_modes: tuple[MemoryMode, ...]  # per scale
    mesh: Mesh | None  # over which the picture's rows are split


def prepare(
    content: Image,
    styles: Image | Sequence[Image],
    *,
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
) -> Stylization:
    """Check the arguments of `stylize` and bring them into the form that `run` and `plan` take.

    Args and Raises: as `stylize`. `memory_mode` is that of every scale; `choose_memory_modes` takes them by memory.
    """
    photograph = check_image("content", content)
    paintings = [styles] if getattr(styles, "ndim", 0) == 3 else list(styles)
    paintings = tuple(check_image(f"style {i + 1}", painting) for i, painting in enumerate(paintings))
    last_steps = steps if last_steps is None else last_steps
    _check_numbers(size=size, min_size=min_size, steps=steps, last_steps=last_steps, style_scale=style_scale)
    check_choice("colors", colors, COLORS)
    check_choice("init", init, INITS)
    _check_style_loss(style_loss)
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
    if memory_mode.tile is not None and memory_mode.tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {memory_mode.tile}.")
    if weight < 0 or smoothness_weight < 0:
        raise ValueError(f"expected weights of at least 0, got content {weight} and smoothness {smoothness_weight}.")
    if mesh is not None and (mesh.axis_names != (AXIS,) or mesh.is_multi_process):
        raise ValueError(f"mesh: expected training.data_mesh(...) of devices of this process, got {mesh}.")
    sizes = _sizes(photograph.shape[:2], size, min_size)
    return Stylization(
        photograph,
        paintings,
        _checked_masks(masks, len(paintings)),
        sizes,
        _steps(len(sizes), steps, last_steps),
        fit_within(photograph.shape[:2], size),
        shares,
        style_scale,
        _strengths(weight, layer_shares, smoothness_weight),
        tuple(content_layers),
        tuple(style_layers),
        style_loss,
        optimizer,
        network,
        network.freeze(variables),
        colors,
        init,
        (memory_mode,) * len(sizes),
        mesh,
    )


def _strengths(content: float, style: np.ndarray, smoothness: float) -> LossWeights:
    loss_weights = [np.asarray(each, np.float32) for each in (content, style / style.sum(), smoothness)]
    return LossWeights(*jax.device_put(loss_weights))  # which compiles nothing


def _steps(scales: int, first: int, last: int) -> tuple[int, ...]:
    """Return the steps per scale: falling from `first` to `last` by equal factors, and twice as many at the first, cheapest scale."""
    falling = [round(float(count)) for count in np.geomspace(first, last, scales)]
    return (2 * falling[0], *falling[1:])


def _check_numbers(**numbers: float) -> None:
    least = {"size": SMALLEST, "min_size": 1, "steps": 1, "last_steps": 1, "style_scale": 0.01}
    for name, value in numbers.items():
        if not least[name] <= value < float("inf"):
            raise ValueError(f"{name}: expected at least {least[name]}, got {value}.")


def _check_style_loss(style_loss: Any) -> None:
    if not isinstance(style_loss, StyleLoss):
        raise ValueError(
            f"style_loss: expected a losses.StyleLoss, which compares moments, got {style_loss!r}. Losses of whole feature maps, such as "
            "nearest_patches and self_similarity, do not add up over tiles and devices."
        )


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
    sizes = [fit_within(shape, long_side) for long_side in pyramid(size, min(size, max(min_size, SMALLEST)))]
    large_enough = [each for each in sizes if min(each) >= 2 * SMALLEST]
    height, width = sizes[-1]
    return tuple(large_enough or [(max(height, SMALLEST), max(width, SMALLEST))])
