"""One scale of a stylization as a recipe: the pixels are the parameters."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxart.arrays import Array, Features, Key, PyTree
from jaxart.image import resize
from jaxart.losses import Moments, StyleLoss, blend, content_map, divide_moments, moment_sums, nine_point_map
from jaxart.models import VGG, vgg_halo, vgg_stride
from jaxart.ops import avg_pool, sharded_sum, tiled_map, tiled_sum
from jaxart.training import debias, exponential_average

DECAY = 0.99  # of the averaged iterate
ADAM = optax.adam(0.02, b1=0.9, b2=0.99)
LBFGS = optax.lbfgs(memory_size=10)


class State(NamedTuple):
    """What one step hands to the next: ``image`` and ``average`` are ``[H, W, 3]``."""

    step: jax.Array
    image: jax.Array
    opt_state: Any
    average: jax.Array


class Info(NamedTuple):
    """The loss and its weighted terms."""

    loss: jax.Array
    content: jax.Array
    style: jax.Array
    smoothness: jax.Array


class LossWeights(NamedTuple):
    """Weights of the terms; arrays, so that changing one compiles nothing. ``style`` is ``[L]``, one per style layer."""

    content: jax.Array
    style: jax.Array
    smoothness: jax.Array


class Frozen(NamedTuple):
    """What a scale uses and never trains.

    Fields:
        variables: of the network.
        content: features of the content by layer, or the content itself ``[H, W, 3]``, whose features are then computed in each step.
        styles: per region, targets by layer; one region without masks.
        masks: by layer ``[h, w, R]``, or None.
        loss_weights: weights of the terms.
    """

    variables: PyTree
    content: Features | jax.Array
    styles: tuple[dict[str, Any], ...]
    masks: dict[str, jax.Array] | None
    loss_weights: LossWeights


class MemoryMode(NamedTuple):
    """How a scale is computed; all give the same gradient. Memory is saved at the price of work.

    Fields:
        rematerialize: compute the first block of VGG anew for the derivative: an eighth less memory.
        tile: largest side of the tiles that are worked on one after another; None takes the picture whole.
        recompute: compute the content's features anew in each step instead of storing them.
    """

    rematerialize: bool = False
    tile: int | None = None
    recompute: bool = False

    @property
    def name(self) -> str:
        """Return what people call it."""
        where = "whole" if self.tile is None else f"tiled {self.tile}"
        kept = ["rematerialized"] * (self.rematerialize and self.tile is None) + ["targets recomputed"] * self.recompute
        return ", ".join([where, *kept])


WHOLE = MemoryMode()
MEMORY_MODES = (
    WHOLE,
    MemoryMode(True),
    MemoryMode(True, 1024),
    MemoryMode(True, 512),
    MemoryMode(True, 256, True),
)  # quick first, small last


class Rows(NamedTuple):
    """How a picture's rows are split over devices; arrays are padded below with zeros, which no sum counts and no step changes.

    Fields:
        mesh: the devices.
        height: rows of the picture.
        padded: rows of the arrays, a multiple of the number of devices.
        read: rows that each device reads, its neighbors' at its borders included.
    """

    mesh: Mesh
    height: int
    padded: int
    read: int


class Sums(NamedTuple):
    """What the loss needs to know of a picture: sums over its pixels, which add up over tiles.

    Fields:
        style: by layer, of each region.
        content: by layer.
        smoothness: a scalar.
    """

    style: dict[str, list[Moments]]
    content: dict[str, jax.Array]
    smoothness: jax.Array


@jax.jit
def picture(state: State) -> jax.Array:
    """Return the averaged iterate ``[H, W, 3]`` in [0, 1], which is the picture to show."""
    return jnp.clip(debias(state.average, decay=DECAY, count=state.step + 1), 0, 1)


@functools.partial(jax.jit, static_argnames="optimizer")
def initial_state(image: Array, optimizer: optax.GradientTransformation) -> State:
    """Start from an image; the average has seen it once."""
    image = jnp.clip(jnp.asarray(image, jnp.float32), 0, 1)
    return State(
        jnp.int32(0), image, optimizer.init(image), exponential_average(jnp.zeros_like(image), image, decay=DECAY)
    )


@functools.partial(jax.jit, static_argnames=("size", "optimizer"))
def carry_over(state: State, size: tuple[int, int], optimizer: optax.GradientTransformation) -> State:
    """Start the next scale from the picture of the last; Adam keeps its resized moments and its count.

    Args:
        state: the last scale's.
        size: (height, width) of the next.
        optimizer: the same at both scales. What is not Adam's state starts afresh.
    """
    fresh = initial_state(resize(picture(state), size), optimizer)

    def moments_of(new, old):
        if not isinstance(old, optax.ScaleByAdamState):
            return new
        return old._replace(mu=resize(old.mu, size), nu=jnp.maximum(resize(old.nu, size, method="bilinear"), 0))

    def adams(node):
        return isinstance(node, optax.ScaleByAdamState)

    return fresh._replace(opt_state=jax.tree.map(moments_of, fresh.opt_state, state.opt_state, is_leaf=adams))


@functools.lru_cache(maxsize=32)
def make_step(
    network: VGG,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    style_loss: StyleLoss,
    optimizer: optax.GradientTransformation,
    tile: int | None = None,
    rows: Rows | None = None,
) -> Callable[[Key, State, None, Frozen], tuple[State, Info]]:
    """Return the step that all scales share, so that equal shapes share one compiled program.

    The loss is a small function of `Sums`, so that it and its gradient are exact however the picture is cut into tiles or split over
    devices. Only the sums know of either.
    """
    update = optax.with_extra_args_support(optimizer).update
    halo, align = vgg_halo(network.depth, network.layers)
    measure = functools.partial(measured, network, content_layers, style_layers)
    summed = tiled_sum if rows is None else functools.partial(sharded_sum, mesh=rows.mesh, height=rows.height)

    def objective(image: jax.Array, frozen: Frozen) -> tuple[jax.Array, Info]:
        size = (image.shape[0] if rows is None else rows.height, image.shape[1])
        along = (frozen.content, frozen.masks)
        sums: Sums = summed(measure, image, along, frozen.variables, tile=tile, halo=halo, align=align)
        content = jnp.zeros(())
        for name, total in sums.content.items():
            content += total / _pixels(size, name) / len(content_layers)
        style = [_style_of_layer(sums.style[name], name, size, frozen, style_loss) for name in style_layers]
        terms = (
            frozen.loss_weights.content * content,
            jnp.sum(frozen.loss_weights.style * jnp.stack(style)),
            frozen.loss_weights.smoothness * sums.smoothness / ((size[0] + 1) * (size[1] + 1)),
        )
        loss = terms[0] + terms[1] + terms[2]
        return loss, Info(loss, *terms)

    def step(key: Key, state: State, batch: None, frozen: Frozen) -> tuple[State, Info]:
        del key, batch
        (loss, info), gradient = jax.value_and_grad(objective, has_aux=True)(state.image, frozen)
        updates: Any
        updates, opt_state = update(
            gradient,
            state.opt_state,
            state.image,
            value=loss,
            grad=gradient,
            value_fn=lambda image: objective(image, frozen)[0],
        )
        image = jnp.clip(state.image + updates, 0, 1)
        average = exponential_average(state.average, image, decay=DECAY)
        return State(state.step + 1, image, opt_state, average), info

    return step


def measured(
    network: VGG,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    window: jax.Array,
    valid: jax.Array,
    along: tuple[Features | jax.Array, dict[str, jax.Array] | None],
    variables: PyTree,
) -> Sums:
    """Sum over the pixels of a window that are `valid`; the summand of `tiled_sum`."""
    content, masks = along
    if not isinstance(content, dict):
        content = extract(network.clone(layers=content_layers), variables, content)

    def read(name: str, layer: jax.Array) -> tuple[list[Moments], jax.Array]:
        own = _valid_at(valid, name, layer)
        style, error = [], jnp.zeros(())
        if name in style_layers:
            regions = [own] if masks is None else own[None] * jnp.moveaxis(masks[name], -1, 0)
            style = [moment_sums(layer[0], region) for region in regions]
        if name in content_layers:
            error = jnp.sum(own * content_map(layer[0], content[name]))
        return style, error

    found: Any = network.apply(variables, window[None], tap=read)
    corners = jnp.pad(valid, ((0, 1), (0, 1)), mode="edge")
    return Sums(
        {name: found[name][0] for name in style_layers},
        {name: found[name][1] for name in content_layers},
        jnp.sum(corners * nine_point_map(window)),
    )


def _style_of_layer(
    sums: list[Moments], name: str, size: tuple[int, ...], frozen: Frozen, style_loss: StyleLoss
) -> jax.Array:
    """Sum a layer's style distances over regions, each by its share of the picture."""
    pixels = _pixels(size, name)
    totals = jnp.full(1, pixels) if frozen.masks is None else jnp.sum(frozen.masks[name], axis=(0, 1))
    distances = [
        style_loss.distance(divide_moments(each, total), targets[name])
        for each, total, targets in zip(sums, totals, frozen.styles, strict=True)
    ]
    return jnp.sum(totals / pixels * jnp.stack(distances))


def _pixels(size: tuple[int, ...], name: str) -> float:
    """Return how many pixels a layer has."""
    return float((size[0] // vgg_stride(name)) * (size[1] // vgg_stride(name)))


def _valid_at(valid: jax.Array, name: str, layer: jax.Array) -> jax.Array:
    """Return which pixels of a layer ``[1, h, w, C]`` count: those whose first pixel in the picture does."""
    stride = vgg_stride(name)
    return valid[::stride, ::stride][: layer.shape[1], : layer.shape[2]]


def extract(network: VGG, variables: PyTree, image: Array) -> Features:
    """Return the features of one picture ``[H, W, 3]`` by layer, ``[h, w, C]``."""
    features: Any = network.apply(variables, image[None])
    return {name: layer[0] for name, layer in features.items()}


@functools.partial(jax.jit, static_argnames=("network", "tile"))
def content_features(network: VGG, variables: PyTree, image: Array, tile: int | None = None) -> Features:
    """Return the features of the content ``[H, W, 3]`` by layer, ``[h, w, C]``."""
    halo, align = vgg_halo(network.depth, network.layers)
    return tiled_map(
        lambda window, variables: extract(network, variables, window),
        image,
        variables,
        tile=tile,
        halo=halo,
        align=align,
    )


@functools.partial(jax.jit, static_argnames=("network", "tile"))
def style_moments(network: VGG, variables: PyTree, image: Array, tile: int | None = None) -> dict[str, Moments]:
    """Return the moments of one painting ``[H, W, 3]`` by layer."""
    halo, align = vgg_halo(network.depth, network.layers)

    def sums(window: jax.Array, valid: jax.Array, along: None, variables: PyTree) -> Any:
        def read(name: str, layer: jax.Array) -> Moments:
            return moment_sums(layer[0], _valid_at(valid, name, layer))

        return network.apply(variables, window[None], tap=read)

    found = tiled_sum(sums, image, None, variables, tile=tile, halo=halo, align=align)
    return {name: divide_moments(each, _pixels(image.shape, name)) for name, each in found.items()}


@functools.partial(jax.jit, static_argnames="style_loss")
def style_targets(
    per_style: list[dict[str, Moments]], weights: Sequence[float], style_loss: StyleLoss
) -> dict[str, Any]:
    """Blend styles by weight and prepare the targets of each layer."""
    shares = jnp.asarray(weights, jnp.float32)
    return {name: style_loss.target(blend([each[name] for each in per_style], shares)) for name in per_style[0]}


def layer_masks(masks: Array, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    """Shrink masks ``[R, H, W]`` to the layers of VGG by mean pooling: ``{name: [h, w, R]}``."""
    current, shrunk, stride = jnp.asarray(masks, jnp.float32)[..., None], {}, 1
    for name in sorted(layers, key=vgg_stride):
        while stride < vgg_stride(name):
            current, stride = avg_pool(current), 2 * stride
        shrunk[name] = jnp.moveaxis(current[..., 0], 0, -1)
    return shrunk
