"""Feed-forward networks of many styles: the objective of a stylization, learned for all photographs at once."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, Image, Key, PyTree, check_image
from jaxart.image import unit
from jaxart.losses import WASSERSTEIN_NARROW, StyleLoss
from jaxart.models import VGG, vgg_depth
from jaxart.models.stylenet import joined
from jaxart.tasks.stylize.arguments import STYLE_LAYER_WEIGHTS, STYLE_LAYERS
from jaxart.tasks.stylize.job import SMALLEST
from jaxart.tasks.stylize.step import valid_at
from jaxart.tasks.stylize.targets import tiled_moments
from jaxart.tasks.stylize.terms import SMOOTHNESS, StyleTargets, Term, TermInputs, content_term, style_term
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
    one_blas_thread,
)

Transform = Callable[[Key, Array], jax.Array]  # one key per example [B], pictures [B, H, W, 3] -> [B, h, w, 3]
CONTENT_LAYERS = ("relu4_2",)
NETWORK_ADAM = optax.adam(1e-3)


class NetworkState(NamedTuple):
    """What one step hands to the next; `images` counts photographs, `average` is that of the params."""

    step: jax.Array
    images: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree


class NetworkInfo(NamedTuple):
    """The loss and its weighted terms, means over the batch; the gradient's norm."""

    loss: jax.Array
    content: jax.Array
    style: jax.Array
    smoothness: jax.Array
    gradient: jax.Array


class NetworkAims(NamedTuple):
    """What a network learns from and never trains.

    Fields:
        variables: of VGG.
        targets: by layer, what the style loss makes of each painting, stacked ``[styles, ...]``; none where paintings come in batches.
        weights: of the terms.
        base: params that are not trained, beside those of the state: all but the tables where only new styles are learned.
    """

    variables: PyTree
    targets: dict[str, PyTree]
    weights: dict[str, jax.Array]
    base: dict[str, PyTree] = {}  # noqa: RUF012


class _Model(NamedTuple):
    network: Any
    features: VGG
    terms: tuple[Term, ...]
    optimizer: optax.GradientTransformation
    half_life: float
    transform: Transform | None
    axis_name: str | None

    @property
    def content_layers(self) -> tuple[str, ...]:
        return self.terms[0].layers


def many_styles(
    network: Any,
    *,
    aims: NetworkAims | None,
    start: PyTree | None = None,
    optimizer: optax.GradientTransformation = NETWORK_ADAM,
    content_layers: tuple[str, ...] = CONTENT_LAYERS,
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    style_loss: StyleLoss = WASSERSTEIN_NARROW,
    depth: int = 16,
    half_life: float = 2_000,
    transform: Transform | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a network of many styles; a batch is a dict of ``image [B, H, W, 3]``, uint8 or in [0, 1].

    Each photograph is painted in one style, drawn at random, and compared with it and with itself as in `stylize`: the same terms, layers
    and weights. So ``network.apply({"params": state.average}, photos, mix)`` is an approximate minimum of what `stylize` minimizes.

    Args:
        network: module ``(images [B, H, W, 3], mix [B, styles]) -> [B, H, W, 3]`` in [0, 1], with a field `styles`: `models.ManyStyleNet`.
        aims: from `network_aims` with the same layers, depth and style loss; None where they are put into ``frozen`` later.
        start: params to begin with, such as the tables of `new_tables`; what is left out is in ``aims.base``. By default all, at random.
        optimizer: any Optax transformation.
        content_layers: of VGG, whose features are held.
        style_layers: of VGG, whose statistics are compared.
        style_loss: what compares them; one of moments.
        depth: of VGG, 16 or 19.
        half_life: of the average of the params, in photographs.
        transform: of the photographs, in [0, 1], such as a random part of each: ``(keys [B], images) -> images``.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a style loss of whole feature maps, or aims of another number of styles.

    Reference: Dumoulin et al., A Learned Representation for Artistic Style, 2017.
    """
    check_style_loss(style_loss)
    styles = network.styles if aims is None else len(jax.tree.leaves(aims.targets)[0])
    if styles != network.styles:
        raise ValueError(f"aims: expected those of the network's {network.styles} styles, got {styles}.")
    terms = (content_term(tuple(content_layers)), style_term(tuple(style_layers), style_loss), SMOOTHNESS)
    model = _Model(
        network=network,
        features=features_of(depth, (*content_layers, *style_layers)),
        terms=terms,
        optimizer=optimizer,
        half_life=half_life,
        transform=transform,
        axis_name=axis_name,
    )
    return Recipe(functools.partial(_init, model, start), _make_step(model), aims)


def network_aims(
    paintings: Sequence[Image],
    *,
    variables: PyTree,
    content_weight: float = 0.01,
    smoothness_weight: float = 2.0,
    content_layers: tuple[str, ...] = CONTENT_LAYERS,
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    style_layer_weights: tuple[float, ...] = STYLE_LAYER_WEIGHTS,
    style_loss: StyleLoss = WASSERSTEIN_NARROW,
    depth: int = 16,
    base: dict[str, PyTree] | None = None,
) -> NetworkAims:
    """Make what `many_styles` learns from: the statistics of the paintings, style 0 the first of them.

    Args:
        paintings: one a style, ``[H, W, 3]`` in [0, 1] or uint8, of the size that their brush strokes are to have.
        variables: of VGG, from `weights.load`.
        content_weight: of the photograph's features.
        smoothness_weight: of the differences between neighboring pixels.
        content_layers: as in `many_styles`.
        style_layers: as in `many_styles`.
        style_layer_weights: one a style layer; only their ratios count.
        style_loss: as in `many_styles`.
        depth: as in `many_styles`.
        base: params of the network that stay as they are.

    Raises:
        ValueError: no painting, one that is too small for VGG or no picture, weights of another depth, weights that are negative or not one
            a layer, a style loss of whole feature maps.
    """
    check_style_loss(style_loss)
    pictures = [_checked_painting(number, each) for number, each in enumerate(paintings, 1)]
    if not pictures:
        raise ValueError("paintings: expected at least one, got none.")
    if vgg_depth(variables) != depth:
        raise ValueError(f"variables: expected those of VGG-{depth}, got VGG-{vgg_depth(variables)}.")
    weights = checked_weights(content_weight, smoothness_weight, style_layer_weights, len(style_layers))
    features = features_of(depth, (*content_layers, *style_layers))
    frozen, measured = features.freeze(variables), features.clone(layers=tuple(style_layers))
    with one_blas_thread():
        each = [_targets(picture, frozen, measured, style_loss) for picture in pictures]
        targets = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        return jax.block_until_ready(NetworkAims(frozen, targets, *jax.device_put((weights, base or {}))))


def features_of(depth: int, layers: Sequence[str]) -> VGG:
    """Return VGG with the layers of an objective.

    Args:
        depth: 16 or 19.
        layers: some may stand there twice.
    """
    return VGG(depth=depth, layers=tuple(sorted(set(layers))), first_padding="replicate")


@functools.partial(jax.jit, static_argnames=("features", "style_loss"))
def _targets(painting: Array, variables: PyTree, features: VGG, style_loss: StyleLoss) -> dict[str, PyTree]:
    moments = tiled_moments(features, variables, painting)
    return {name: style_loss.target(each) for name, each in moments.items()}


def _init(model: _Model, start: PyTree | None, key: Key) -> NetworkState:
    blank = jnp.zeros((1, SMALLEST, SMALLEST, 3)), jnp.zeros((1, model.network.styles))
    params = model.network.init(key, *blank)["params"] if start is None else jax.tree.map(jnp.array, start)
    return first_state(params, model.optimizer)


def first_state(params: PyTree, optimizer: optax.GradientTransformation) -> NetworkState:
    """Return the state with which a training begins.

    Args:
        params: of the network, those that are trained.
        optimizer: of the recipe.
    """
    average = jax.tree.map(jnp.copy, params)
    return NetworkState(jnp.int32(0), jnp.float32(0), params, optimizer.init(params), average)


@functools.lru_cache(maxsize=32)
def _make_step(
    model: _Model,
) -> Callable[[Key, NetworkState, dict[str, Array], NetworkAims], tuple[NetworkState, NetworkInfo]]:
    def step(
        key: Key, state: NetworkState, batch: dict[str, Array], frozen: NetworkAims
    ) -> tuple[NetworkState, NetworkInfo]:
        photos, style = _drawn(model, key, batch["image"])
        content = model.features.clone(layers=model.content_layers).apply(frozen.variables, photos)

        def objective(params):
            made = model.network.apply(
                {"params": joined(frozen.base, params)}, photos, jax.nn.one_hot(style, model.network.styles)
            )
            targets = jax.tree.map(lambda each: each[style], frozen.targets)
            found = model.features.apply(frozen.variables, made)
            values = weighted_terms(model, frozen, made, found, targets, content)
            return functools.reduce(operator.add, values.values()), values

        after, loss, values, gradient = stepped(model, objective, state, len(photos))
        return after, NetworkInfo(loss, **values, gradient=gradient)

    return step


def stepped(
    model: Any, objective: Callable[[PyTree], tuple[jax.Array, dict[str, jax.Array]]], state: NetworkState, count: int
) -> tuple[NetworkState, jax.Array, dict[str, jax.Array], jax.Array]:
    """Take one step down an objective: the state after it, the loss, its terms and the gradient's norm.

    Args:
        model: with `optimizer`, `half_life` and `axis_name`.
        objective: ``params -> (loss, terms by name)``.
        state: before the step.
        count: photographs that this device saw.
    """
    params, opt_state, loss, values, gradient = gradient_update(
        objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name
    )
    count = count * (1 if model.axis_name is None else jax.lax.axis_size(model.axis_name))
    images = state.images + count
    decay = half_life_decay(count, images, half_life=model.half_life)
    average = exponential_average(state.average, params, decay=decay)
    after = NetworkState(state.step + 1, images, params, opt_state, average)
    return after, loss, mean_over(values, model.axis_name), optax.tree.norm(gradient)


def _drawn(model: _Model, key: Key, images: Array) -> tuple[jax.Array, jax.Array]:
    """Return the photographs in [0, 1], transformed, and the style ``[B]`` of each."""
    keys = example_keys(key, len(images), axis_name=model.axis_name)
    keys = jax.vmap(lambda each: jax.random.split(each))(keys)
    photos = unit(images)
    if model.transform is not None:
        photos = model.transform(keys[:, 0], photos)
    return photos, jax.vmap(lambda each: jax.random.randint(each, (), 0, model.network.styles))(keys[:, 1])


def weighted_terms(
    model: Any, frozen: NetworkAims, made: jax.Array, found: Any, targets: dict[str, PyTree], content: Any
) -> dict[str, jax.Array]:
    """Return the mean over the batch of each weighted term, by name.

    Args:
        model: with `terms`.
        frozen: the aims.
        made: pictures ``[B, H, W, 3]``.
        found: their features by layer.
        targets: of the painting of each, by layer, ``[B, ...]``.
        content: features of the photographs by layer.
    """
    size = (made.shape[1], made.shape[2])
    valid = jnp.ones(size)

    def one(layers: dict[str, jax.Array], targets: dict[str, PyTree], content: Any) -> dict[str, jax.Array]:
        given = {"content": (content, None), "style": (None, StyleTargets((targets,))), "smoothness": (None, None)}
        values = {}
        for term in model.terms:
            aligned, aim = given[term.name]
            layer = {name: layers[name][None] for name in term.layers}
            sums = {name: term.measure(name, x, valid_at(valid, name, x), aligned) for name, x in layer.items()}
            values[term.name] = term.value(sums, TermInputs(size, aligned, aim, frozen.weights[term.name]))
        return values

    return jax.tree.map(jnp.mean, jax.vmap(one)(found | {"image": made}, targets, content))


def check_style_loss(style_loss: StyleLoss) -> None:
    """Refuse a style loss that a network cannot learn from.

    Raises:
        ValueError: it compares whole feature maps.
    """
    if not style_loss.additive:
        raise ValueError(
            f"style_loss: expected one of moments, such as wasserstein, gram or adain; {style_loss.name} compares whole feature maps."
        )


def _checked_painting(number: int, painting: Image) -> np.ndarray:
    picture = check_image(f"painting {number}", painting)
    if min(picture.shape[:2]) < SMALLEST:
        raise ValueError(f"painting {number}: expected sides of {SMALLEST} pixels at least, got {picture.shape[:2]}.")
    return picture


def checked_weights(
    content: float, smoothness: float, style: Sequence[float], layers: int
) -> dict[str, np.ndarray | np.float32]:
    """Return the weights of the terms, those of the style's layers as shares.

    Args:
        content: weight.
        smoothness: weight.
        style: weights of the layers.
        layers: how many there must be.

    Raises:
        ValueError: weights that do not serve.
    """
    shares = np.asarray(style, np.float32)
    if not (0 <= content < float("inf") and 0 <= smoothness < float("inf")):
        raise ValueError(f"expected weights of at least 0, got content {content} and smoothness {smoothness}.")
    if shares.shape != (layers,) or not (shares >= 0).all() or not 0 < shares.sum() < float("inf"):
        raise ValueError(f"style_layer_weights: expected {layers} numbers of at least 0, not all 0, got {style}.")
    return {"content": np.float32(content), "style": shares / shares.sum(), "smoothness": np.float32(smoothness)}
