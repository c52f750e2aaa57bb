"""Checking the arguments of a stylization before anything is computed."""

import keyword
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jaxart.arrays import Image, PyTree, check_choice, check_image
from jaxart.image import fit_within, pyramid
from jaxart.losses import WASSERSTEIN, StyleLoss
from jaxart.models import VGG, vgg_depth
from jaxart.tasks.stylize.job import (
    SMALLEST,
    WHOLE,
    MemoryMode,
    PaintingTargets,
    Stylization,
    check_additive,
    objective_terms,
)
from jaxart.tasks.stylize.optimizers import ADAM, Optimizer
from jaxart.tasks.stylize.targets import check_targets
from jaxart.tasks.stylize.terms import OWN_TERMS, WeightedTerm
from jaxart.training import AXIS

Colors = Literal["style", "luminance", "transport"]
Init = Literal["content", "gray", "uniform", "normal", "style"]
COLORS: tuple[str, ...] = get_args(Colors)
INITS: tuple[str, ...] = get_args(Init)

CONTENT_WEIGHT = {16: 0.01, 19: 0.015}  # by depth of VGG, chosen by looking (docs/gallery.md)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_LAYER_WEIGHTS = (256.0, 64.0, 16.0, 4.0, 1.0)


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
) -> Stylization:
    """Check the arguments of `stylize` and bring them into the form that `run` and `plan` take.

    Args:
        memory_mode: of every scale; `choose_memory_modes` takes them by memory.
        The others: as in `stylize`.

    Raises:
        ValueError: as `stylize`.
    """
    photograph = check_image("content", content)
    paintings = _paintings(styles)
    last_steps = steps if last_steps is None else last_steps
    _check_numbers(size=size, min_size=min_size, steps=steps, last_steps=last_steps, style_scale=style_scale)
    check_choice("colors", colors, COLORS)
    _check_style_loss(style_loss, masks)
    _check_devices(memory_mode, mesh)
    added = _checked_terms(terms)
    depth = vgg_depth(variables)
    network = _network(depth, (content_layers, style_layers, *(each.term.layers for each in added)), pooling, dtype)
    sizes = _sizes(photograph.shape[:2], size, min_size)
    job = Stylization(
        content=photograph,
        styles=paintings,
        masks=checked_masks(masks, len(paintings)),
        sizes=sizes,
        steps=_steps(len(sizes), steps, last_steps),
        result_size=fit_within(photograph.shape[:2], size),
        style_weights=_checked_weights("style_weights", style_weights, len(paintings)),
        style_scale=style_scale,
        loss_weights=_loss_weights(
            CONTENT_WEIGHT[depth] if content_weight is None else content_weight,
            np.asarray(_checked_weights("style_layer_weights", style_layer_weights, len(style_layers))),
            smoothness_weight,
        ),
        content_layers=tuple(content_layers),
        style_layers=tuple(style_layers),
        style_loss=style_loss,
        terms=added,
        optimizer=optimizer if isinstance(optimizer, Optimizer) else Optimizer(optimizer),
        network=network,
        variables=network.freeze(variables),
        colors=colors,
        init=_checked_init(init),
        targets=targets,
        memory_modes=(memory_mode,) * len(sizes),
        mesh=mesh,
    )
    check_additive(objective_terms(job), memory_mode.tile, mesh is not None)
    check_targets(job)
    return job


def _paintings(styles: Any) -> tuple[np.ndarray, ...]:
    several = [styles] if getattr(styles, "ndim", 0) == 3 else list(styles)
    return tuple(check_image(f"style {number}", painting) for number, painting in enumerate(several, 1))


def _network(depth: int, layers: Sequence[Sequence[str]], pooling: Literal["max", "average"], dtype: Any) -> VGG:
    """Return the network with the layers of all terms; "image" is that of the smoothness."""
    together = tuple(sorted({"image", *(name for each in layers for name in each)}))
    return VGG(depth=depth, layers=together, pooling=pooling, first_padding="replicate", dtype=dtype)


def _loss_weights(content: float, style: np.ndarray, smoothness: float) -> dict[str, jax.Array]:
    if not (content >= 0 and smoothness >= 0):
        raise ValueError(f"expected weights of at least 0, got content {content} and smoothness {smoothness}.")
    named = {"content": content, "style": style / style.sum(), "smoothness": smoothness}
    weights = {name: np.asarray(value, np.float32) for name, value in named.items()}
    return jax.device_put(weights)  # which compiles nothing


def _checked_terms(terms: Sequence[WeightedTerm]) -> tuple[WeightedTerm, ...]:
    taken, given = ("loss", *OWN_TERMS), [each.term.name for each in terms]
    for name in given:
        usable = name.isidentifier() and not keyword.iskeyword(name) and name[0] != "_"
        if not usable or name in taken or given.count(name) > 1:
            raise ValueError(
                f"terms: expected identifiers that differ from each other and from {', '.join(taken)}, begin with a letter and are no "
                f"keywords of Python, got {given}."
            )
    return tuple(_checked_term(each) for each in terms)


def _checked_term(each: WeightedTerm) -> WeightedTerm:
    name, reach = each.term.name, each.term.reach
    if np.ndim(each.weight) or not 0 <= float(each.weight) < float("inf"):
        raise ValueError(f"terms: expected a number of at least 0 as the weight of {name!r}, got {each.weight}.")
    if not isinstance(reach, int) or reach < 0:
        raise ValueError(f"terms: expected a whole number of at least 0 as the reach of {name!r}, got {reach}.")

    def checked(picture: Any) -> Any:
        if np.ndim(picture) != 3 or not np.isfinite(picture).all():
            raise ValueError(f"terms: expected finite pictures [H, W, C] for {name!r}, got shape {np.shape(picture)}.")
        array = picture if hasattr(picture, "dtype") else np.asarray(picture)
        if array.dtype == np.uint8:
            return np.asarray(array, np.float32) / 255
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"terms: expected pictures of floats or uint8 for {name!r}, got {array.dtype}.")
        return picture

    pictures = jax.tree.map(checked, each.pictures)
    return each._replace(weight=jax.device_put(np.float32(each.weight)), pictures=pictures)


def _checked_init(init: Any) -> str | np.ndarray:
    return check_choice("init", init, INITS) if isinstance(init, str) else check_image("init", init)


def _check_devices(memory_mode: MemoryMode, mesh: Mesh | None) -> None:
    if memory_mode.tile is not None and memory_mode.tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {memory_mode.tile}.")
    if mesh is not None and (mesh.axis_names != (AXIS,) or mesh.is_multi_process):
        raise ValueError(f"mesh: expected training.data_mesh(...) of devices of this process, got {mesh}.")


def _steps(scales: int, first: int, last: int) -> tuple[int, ...]:
    """Return the steps per scale: falling from `first` to `last` by equal factors, and twice as many at the first, cheapest scale."""
    falling = [round(float(count)) for count in np.geomspace(first, last, scales)]
    return (2 * falling[0], *falling[1:])


def _check_numbers(**numbers: float) -> None:
    least = {"size": SMALLEST, "min_size": 1, "steps": 1, "last_steps": 1, "style_scale": 0.01}
    for name, value in numbers.items():
        if not least[name] <= value < float("inf"):
            raise ValueError(f"{name}: expected at least {least[name]}, got {value}.")


def _check_style_loss(style_loss: Any, masks: Any) -> None:
    if not isinstance(style_loss, StyleLoss):
        raise ValueError(
            f"style_loss: expected a losses.StyleLoss, got {style_loss!r}. Take one of losses.STYLE_LOSSES, or make "
            "StyleLoss(target, distance), with additive=False for functions of whole feature maps."
        )
    if masks is not None and not style_loss.additive:
        raise ValueError(
            f"masks: the style loss {style_loss.name or style_loss.distance.__name__} compares whole feature maps and knows no regions. "
            "Leave the masks out, or take wasserstein, gram or adain."
        )


def _checked_weights(name: str, weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    if count == 0:
        raise ValueError(f"{name}: expected at least one style and one style layer.")
    values = (1.0,) * count if weights is None else tuple(map(float, weights))
    if len(values) != count or min(values) < 0 or not 0 < sum(values) < float("inf"):
        raise ValueError(f"{name}: expected {count} numbers of at least 0, not all 0, got {values}.")
    return values


def checked_masks(given: Image | None, count: int) -> np.ndarray | None:
    """Return masks as float32 ``[S, H, W]`` in [0, 1], or None where none are given.

    Args:
        given: masks, or None.
        count: of the styles.

    Raises:
        ValueError: another number of masks or another rank, values outside [0, 1], or zeros everywhere.
    """
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
