"""What a scale aims for: the content's features, the styles' targets, masks, and the picture to start from."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import color
from jaxart.arrays import Array, Features, Key, PyTree
from jaxart.image import fit_within, resize
from jaxart.losses import Moments, StyleLoss, blend, divide_moments, moment_sums
from jaxart.models import VGG, vgg_halo, vgg_stride
from jaxart.ops import avg_pool, tiled_map, tiled_sum
from jaxart.tasks.stylize.job import SMALLEST, PaintingTargets, Scale, Stylization, digest, network_digest, scale_of
from jaxart.tasks.stylize.rows import Rows, split_aligned, split_state
from jaxart.tasks.stylize.step import Frozen, State, extract, initial_state, valid_at
from jaxart.tasks.stylize.terms import StyleTargets, layer_pixels
from jaxart.training import one_blas_thread, put, replicated

_PREPARED = 1024  # side of the tiles in which one device extracts features for several


class _Look(NamedTuple):
    """How pictures are brought to a scale."""

    size: tuple[int, int]
    style_scale: float
    colors: str


def frozen_at(scale: Scale) -> Frozen:
    """Compute what a scale aims for, and split it as the scale's rows are."""
    job, look = scale.job, _look(scale)
    network: Any = None if scale.memory_mode.recompute else job.network.clone(layers=job.content_layers)
    aligned: dict[str, Any] = {"content": _content(job.content, job.variables, network, look, _tile(scale))}
    if job.masks is not None:
        aligned["style"] = layer_masks(masks_at(job.masks, scale.size), job.style_layers)
    made = None if job.targets is None else job.targets.scales[scale.index]
    targets: dict[str, Any] = {"style": made or _style_targets(scale)}
    weights = dict(job.loss_weights)
    for each in job.terms:
        name = each.term.name
        aligned[name] = jax.tree.map(lambda array: resize(array, scale.size, method="bilinear"), each.pictures)
        targets[name], weights[name] = each.targets, each.weight
    frozen = Frozen(variables=job.variables, aligned=aligned, targets=targets, weights=weights)
    return frozen if scale.rows is None else split_frozen(frozen, scale.rows)


def split_frozen(frozen: Frozen, rows: Rows) -> Frozen:
    """Pad and split what is aligned with the picture; the rest goes to every device.

    Args:
        frozen: of a scale, on one device.
        rows: how.
    """
    shared = put(frozen._replace(aligned={}), replicated(rows.mesh))
    return shared._replace(aligned=split_aligned(frozen.aligned, rows))


def start(scale: Scale, key: Key) -> State:
    """Return the state that a run starts from.

    Args:
        scale: the first.
        key: typed key, for noise.
    """
    job = scale.job
    init, given = (job.init, None) if isinstance(job.init, str) else ("picture", job.init)
    pictures = (job.content, job.styles, given, job.style_weights)
    return split_state(_start(key, *pictures, _look(scale), init, job.optimizer.transformation), scale.rows)


def painting_targets(job: Stylization) -> PaintingTargets:
    """Make the style targets of every scale, to be used for many pictures: ``prepare(other, styles, targets=painting_targets(job))``.

    They hold for pictures that are stylized at the same sizes, such as the frames of a film; with `colors` other than "style" only for the
    same content.
    """
    with one_blas_thread():
        scales = tuple(_style_targets(scale_of(job, index)) for index in range(len(job.sizes)))
        return PaintingTargets(jax.block_until_ready(scales), _made_for(job))


def check_targets(job: Stylization) -> None:
    """Find out whether targets that were made before are those of a stylization.

    Raises:
        ValueError: they were made for something else; the message says what differs.
    """
    if job.targets is None:
        return
    now = _made_for(job)
    changed = [name for name, value in now.items() if job.targets.made_for[name] != value]
    if changed:
        raise ValueError(
            f"targets: they were made for something else; different: {', '.join(changed)}. Make them anew with painting_targets."
        )


def _made_for(job: Stylization) -> dict[str, Any]:
    return {
        "styles": digest(job.styles),
        "content's colors": digest(job.content) if job.colors != "style" else "",
        "colors": job.colors,
        "sizes": job.sizes,
        "style_scale": job.style_scale,
        "style_weights": job.style_weights,
        "masks": job.masks is not None,
        "style_layers": job.style_layers,
        "style_loss": job.style_loss,
        "network": (job.network.clone(layers=job.style_layers, winograd=True), network_digest(job.variables)),
    }


def _look(scale: Scale) -> _Look:
    return _Look(size=scale.size, style_scale=scale.job.style_scale, colors=scale.job.colors)


def _tile(scale: Scale) -> int | None:
    """Return the tiles in which features are extracted: one device prepares what all of them use."""
    return scale.memory_mode.tile or (None if scale.rows is None else _PREPARED)


def _style_targets(scale: Scale) -> StyleTargets:
    job, loss = scale.job, scale.job.style_loss
    network: Any = job.network.clone(layers=job.style_layers)
    measure = _moments if loss.additive else _features
    per_style = [
        measure(style, job.content, job.variables, network, _look(scale), _tile(scale)) for style in job.styles
    ]
    if not loss.additive:
        shares = np.asarray(job.style_weights, np.float32) / np.float32(sum(job.style_weights))
        return StyleTargets(tuple(_targets_of(each, loss) for each in per_style), jax.device_put(shares))
    if job.masks is None:
        return StyleTargets((_blended_targets(per_style, job.style_weights, loss),))
    return StyleTargets(tuple(_blended_targets([each], (1.0,), loss) for each in per_style))


# What a scale begins with, a program each: every program stays in memory.


@functools.partial(jax.jit, static_argnames=("network", "look", "tile"))
def _content(content: Array, variables: PyTree, network: Any, look: _Look, tile: int | None) -> Any:
    """Return the features of the content at a scale by layer; without a network the picture itself."""
    picture = _content_at(content, look)
    return picture if network is None else tiled_features(network, variables, picture, tile)


@functools.partial(jax.jit, static_argnames=("network", "look", "tile"))
def _moments(
    style: Array, content: Array, variables: PyTree, network: Any, look: _Look, tile: int | None
) -> dict[str, Moments]:
    """Return the moments of a painting at a scale by layer."""
    return tiled_moments(network, variables, _style_at(style, content, look), tile)


@functools.partial(jax.jit, static_argnames=("network", "look", "tile"))
def _features(style: Array, content: Array, variables: PyTree, network: Any, look: _Look, tile: int | None) -> Features:
    """Return the features of a painting at a scale by layer."""
    return tiled_features(network, variables, _style_at(style, content, look), tile)


@functools.partial(jax.jit, static_argnames="style_loss")
def _blended_targets(
    per_style: list[dict[str, Moments]], weights: Sequence[float], style_loss: StyleLoss
) -> dict[str, Any]:
    """Blend styles by weight and prepare the targets of each layer."""
    shares = jnp.asarray(weights, jnp.float32)
    return {name: style_loss.target(blend([each[name] for each in per_style], shares)) for name in per_style[0]}


@functools.partial(jax.jit, static_argnames="style_loss")
def _targets_of(features: Features, style_loss: StyleLoss) -> dict[str, Any]:
    return {name: style_loss.target(layer) for name, layer in features.items()}


@functools.partial(jax.jit, static_argnames="size")
def masks_at(masks: Array, size: tuple[int, int]) -> jax.Array:
    """Resize masks, linearly.

    Args:
        masks: ``[S, H, W]`` in [0, 1].
        size: (height, width), pixels.
    """
    return jnp.clip(resize(masks[..., None], size, method="bilinear")[..., 0], 0, 1)


@functools.partial(jax.jit, static_argnames=("look", "init", "optimizer"))
def _start(
    key: Key,
    content: Array,
    styles: tuple[Array, ...],
    given: Array | None,
    style_weights: tuple[float, ...],
    look: _Look,
    init: str,
    optimizer: optax.GradientTransformation,
) -> State:
    """Return the state that a run starts from."""
    if given is not None:
        return initial_state(resize(given, look.size), optimizer)
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


def tiled_features(network: VGG, variables: PyTree, image: Array, tile: int | None = None) -> Features:
    """Return the features of a picture by layer, ``[h, w, C]``, computed tile by tile.

    Args:
        network: its layers are extracted.
        variables: of the network.
        image: ``[H, W, 3]`` in [0, 1].
        tile: largest side of a tile in pixels; None takes the picture whole.
    """
    halo, align = vgg_halo(network.depth, network.layers)
    return tiled_map(
        lambda window, variables: extract(network, variables, window),
        image,
        variables,
        tile=tile,
        halo=halo,
        align=align,
    )


def tiled_moments(network: VGG, variables: PyTree, image: Array, tile: int | None = None) -> dict[str, Moments]:
    """Return the moments of a picture by layer, computed tile by tile.

    Args:
        network: its layers are measured.
        variables: of the network.
        image: ``[H, W, 3]`` in [0, 1].
        tile: largest side of a tile in pixels; None takes the picture whole.
    """
    halo, align = vgg_halo(network.depth, network.layers)

    def sums(window: jax.Array, valid: jax.Array, aligned: None, variables: PyTree) -> Any:
        def tap(name: str, layer: jax.Array) -> Moments:
            return moment_sums(layer[0], valid_at(valid, name, layer))

        return network.apply(variables, window[None], tap=tap)

    found = tiled_sum(sums, image, None, variables, tile=tile, halo=halo, align=align)
    return {name: divide_moments(each, layer_pixels(image.shape, name)) for name, each in found.items()}


def layer_masks(masks: Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    """Shrink masks to the layers of VGG by mean pooling.

    Args:
        masks: ``[R, H, W]``.
        layers: of VGG.

    Returns:
        ``{layer: [h, w, R]}``.
    """
    current, shrunk, stride = jnp.asarray(masks, jnp.float32)[..., None], {}, 1  # [R, H, W, 1]
    for name in sorted(layers, key=vgg_stride):
        while stride < vgg_stride(name):
            current, stride = avg_pool(current), 2 * stride
        shrunk[name] = jnp.moveaxis(current[..., 0], 0, -1)  # [h, w, R]
    return shrunk
