"""A feed-forward network of any style, learned from photographs and paintings that both come in batches, and the file that holds one."""

import functools
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import weights as files
from jaxart.arrays import Array, Image, Key, PyTree, check_image, is_one_color
from jaxart.image import enlarge, fit_within, resize, unit
from jaxart.losses import WASSERSTEIN_NARROW, StyleLoss, moments
from jaxart.models import VGG, AnyStyleNet, ManyStyleNet, vgg_depth
from jaxart.models.stylenet import channel_moments, joined, split_tables
from jaxart.tasks.stylize.arguments import STYLE_LAYER_WEIGHTS, STYLE_LAYERS
from jaxart.tasks.stylize.instant import WITHOUT_COARSE, StyleModel
from jaxart.tasks.stylize.job import SMALLEST
from jaxart.tasks.stylize.network import (
    CONTENT_LAYERS,
    NETWORK_ADAM,
    NetworkAims,
    NetworkState,
    Transform,
    check_style_loss,
    checked_weights,
    features_of,
    first_state,
    stepped,
    weighted_terms,
)
from jaxart.tasks.stylize.terms import SMOOTHNESS, Term, content_term, style_term
from jaxart.training import Recipe, example_keys

ANY_STYLE = "any style"  # of a file of weights
_PAINTER = ("width", "deep", "blocks", "coarse_blocks")  # fields of the module that its file keeps: of the painter,
_FORM = (*_PAINTER, "style_width", "hidden", "style")  # and of all of it
_LARGEST = 1024  # of these that a file may speak of
PAINTING_SIZE = 512  # pixels: the long side to which a painting is brought before its style is taken
_TEMPERATURE = 0.1  # of the contrast, on the scale of a style distance
_LEAST = 64  # pixels a side of a painting, of which the deepest features are 4 x 4


class AnyStyleInfo(NamedTuple):
    """The loss and its weighted terms, means over the batch; the gradient's norm."""

    loss: jax.Array
    content: jax.Array
    style: jax.Array
    smoothness: jax.Array
    contrast: jax.Array
    identity: jax.Array
    flicker: jax.Array
    gradient: jax.Array


class AnyStyleModel(NamedTuple):
    """A trained network of any style.

    Fields:
        network: module, a `models.AnyStyleNet`.
        variables: ``{"params": ...}``.
        about: JSON values, such as what it was trained on.
    """

    network: Any
    variables: PyTree
    about: dict[str, Any]


class _Model(NamedTuple):
    network: Any
    features: VGG
    terms: tuple[Term, ...]
    style_loss: StyleLoss
    optimizer: optax.GradientTransformation
    half_life: float
    transform: Transform | None
    identity_chance: float
    flicker_side: int
    axis_name: str | None


def any_style(
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
    identity_chance: float = 1 / 8,
    flicker_side: int = 0,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a network of any style.

    A batch is a dict of ``image [B, H, W, 3]`` and ``painting [B, h, w, 3]``, uint8 or in [0, 1]. Each photograph is painted in the style
    of its painting and compared with both as in `stylize`: the same terms, layers and weights. VGG's statistics of the paintings are taken
    in the step. A picture should be nearer to its painting than to the others of the batch: with d_ij the distance of picture i from
    painting j, the style term with `losses.adain`, the contrast is ``mean_i -log softmax_j(-d_ij / 0.1)[i]``. Now and then the painting
    takes the photograph's place, and the network should leave it as it is: ``mean |out - in|``.

    Args:
        network: module with the methods ``encode(paintings [B, h, w, 3]) -> style`` and ``paint(images [B, H, W, 3], style)``, which gives
            pictures in [0, 1]: `models.AnyStyleNet`.
        aims: from `any_style_aims` with the same layers and depth; None where they are put into ``frozen`` later.
        start: params to begin with; those that it lacks, by default all, begin at random.
        optimizer: any Optax transformation.
        content_layers: of VGG, whose features are held.
        style_layers: of VGG, whose statistics are compared.
        style_loss: what compares them; one of moments.
        depth: of VGG, 16 or 19.
        half_life: of the average of the params, in photographs.
        transform: of photographs and paintings, each by keys of its own, such as a random part: ``(keys [B], images) -> images``.
        identity_chance: from 0 to 1, of each example, that the painting takes the photograph's place.
        flicker_side: pixels of the corner of each photograph that is painted a second time, moved by a pixel, and should come out moved;
            0 leaves that term out.
        axis_name: as in `by_shard_map`.

    Raises:
        ValueError: a style loss of whole feature maps, a chance outside [0, 1], a side of 1 or below 0.

    Reference: Ghiasi et al., Exploring the Structure of a Real-time, Arbitrary Neural Artistic Stylization Network, 2017. Departures: the
    style is told by a small network of its own, learned with the rest; it also predicts filters; Wasserstein distances, of the variances
    alone above 256 channels, which saves half of a step. The contrast is that of Oord et al., Representation Learning with Contrastive
    Predictive Coding, 2018, eq. 4.
    """
    check_style_loss(style_loss)
    if not 0 <= identity_chance <= 1 or flicker_side < 0 or flicker_side == 1:
        raise ValueError(
            f"expected an identity_chance from 0 to 1 and a flicker_side of 0 or at least 2, got {identity_chance} and {flicker_side}."
        )
    model = _Model(
        network=network,
        features=features_of(depth, (*content_layers, *style_layers)),
        terms=(content_term(tuple(content_layers)), style_term(tuple(style_layers), style_loss), SMOOTHNESS),
        style_loss=style_loss,
        optimizer=optimizer,
        half_life=half_life,
        transform=transform,
        identity_chance=identity_chance,
        flicker_side=flicker_side,
        axis_name=axis_name,
    )
    return Recipe(functools.partial(_init, model, start), _make_step(model), aims)


def any_style_aims(
    variables: PyTree,
    *,
    content_weight: float = 0.01,
    smoothness_weight: float = 2.0,
    contrast_weight: float = 0.05,
    identity_weight: float = 1.0,
    flicker_weight: float = 1.0,
    content_layers: tuple[str, ...] = CONTENT_LAYERS,
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    style_layer_weights: tuple[float, ...] = STYLE_LAYER_WEIGHTS,
    depth: int = 16,
) -> NetworkAims:
    """Make what `any_style` learns from beside its batches: VGG and the weights of the terms.

    Args:
        variables: of VGG, from `weights.load`.
        content_weight: of the photograph's features.
        smoothness_weight: of the differences between neighboring pixels.
        contrast_weight: of what makes pictures of different paintings differ.
        identity_weight: of the differences from a painting that is its own photograph.
        flicker_weight: of the squared differences between a moved photograph painted, and painted and moved.
        content_layers: as in `any_style`.
        style_layers: as in `any_style`.
        style_layer_weights: one a style layer; only their ratios count.
        depth: as in `any_style`.

    Raises:
        ValueError: weights of another depth, weights that are negative or not one a layer.
    """
    if vgg_depth(variables) != depth:
        raise ValueError(f"variables: expected those of VGG-{depth}, got VGG-{vgg_depth(variables)}.")
    further = {"contrast": contrast_weight, "identity": identity_weight, "flicker": flicker_weight}
    if not all(0 <= weight < float("inf") for weight in further.values()):
        raise ValueError(f"expected weights of at least 0, got {further}.")
    weights = checked_weights(content_weight, smoothness_weight, style_layer_weights, len(style_layers))
    weights |= {name: np.float32(weight) for name, weight in further.items()}
    frozen = features_of(depth, (*content_layers, *style_layers)).freeze(variables)
    return NetworkAims(frozen, {}, *jax.device_put((weights, {})))


def load_any_style(path: str | Path | None = None) -> AnyStyleModel:
    """Read a network of any style; by default the one that comes with the package.

    Args:
        path: of a file that `any_style_network` made the content of.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, or with other layers than it should have.
    """
    path = files.network_file(path, default="any_style")
    params, about = files.read_network(path, kind=ANY_STYLE)
    try:
        form: dict[str, Any] = {name: (WITHOUT_COARSE | about)[name] for name in _FORM}
        if not all(type(size) is int and 0 <= size <= _LARGEST for size in form.values()):
            raise ValueError(f"sizes up to {_LARGEST} were expected")
        network = AnyStyleNet(**form)
        blank = jnp.zeros((1, SMALLEST, SMALLEST, 3))
        expected = jax.eval_shape(network.init, jax.random.key(0), blank, blank)["params"]
    except (KeyError, TypeError, ValueError) as error:
        raise files.WeightsError(f"{path.name}: its description lacks something ({error!r}).") from error
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise files.WeightsError(f"{path.name}: its layers are not those that its description says.")
    return AnyStyleModel(network, jax.device_put({"params": params}), about)


def any_style_network(model: AnyStyleModel) -> files.Network:
    """Return a model as a network that `weights.network_bytes` writes and `load_any_style` reads.

    Args:
        model: to be kept.
    """
    form = {name: getattr(model.network, name) for name in _FORM}
    return files.Network(jax.device_get(model.variables["params"]), {**model.about, **form, "kind": ANY_STYLE})


def as_many_styles(model: AnyStyleModel, styles: Array | np.ndarray, names: Sequence[str]) -> StyleModel:
    """Return the network of many styles that paints as a network of any style does in some; further training makes it better at them.

    Args:
        model: of any style.
        styles: ``[S, D]``, from `style_of`.
        names: of the styles, one each.
    """
    shared, tables = split_tables(model.variables["params"]["painter"])
    vectors = np.asarray(styles, np.float32)
    tables = jax.tree.map(lambda leaf: vectors @ np.asarray(leaf), tables)
    form = {name: getattr(model.network, name) for name in _PAINTER}
    params = {"painter": joined(shared, tables)}
    return StyleModel(ManyStyleNet(styles=len(vectors), **form), {"params": params}, {"names": list(names)})


def style_of(model: AnyStyleModel, painting: Image, *, size: int = PAINTING_SIZE) -> np.ndarray:
    """Return the style of a painting ``[D]``, with which `restyle` paints any number of photographs. Styles can be blended.

    Args:
        model: that is to paint.
        painting: ``[H, W, 3]`` in [0, 1] or uint8.
        size: of its long side, pixels, to which it is shrunk or enlarged, so that strokes are as large from a coarse scan as from a fine
            one; smaller means finer brush strokes.

    Raises:
        ValueError: no picture, one of a single color or with sides below 64 pixels (or `size`, if smaller); a size below 16.
    """
    picture = check_image("painting", painting)
    if size < SMALLEST:
        raise ValueError(f"size: expected at least {SMALLEST} pixels, got {size}.")
    _check_painting(picture, min(size, _LEAST))
    if max(picture.shape[:2]) != size:
        bring = enlarge if max(picture.shape[:2]) < size else resize
        picture = bring(picture, fit_within(picture.shape[:2], size))
    return np.asarray(_encoded(model.network, model.variables, picture))


def _check_painting(picture: np.ndarray, least: int) -> None:
    """Refuse a painting that shows no style."""
    height, width = picture.shape[:2]
    if min(height, width) < least:
        raise ValueError(
            f"painting: expected sides of at least {least} pixels, got {width} x {height}, too few to tell a style from. "
            "Take a larger picture of it."
        )
    if is_one_color(picture):
        raise ValueError("painting: of a single color, which is no style. Take a picture with strokes or a texture.")


@functools.partial(jax.jit, static_argnums=0)
def _encoded(network: Any, variables: PyTree, picture: Array) -> jax.Array:
    return network.apply(variables, jnp.clip(picture, 0, 1)[None], method="encode")[0]


def _init(model: _Model, start: PyTree | None, key: Key) -> NetworkState:
    blank = jnp.zeros((1, SMALLEST, SMALLEST, 3))
    params: Any = model.network.init(key, blank, blank)["params"]
    if start is not None:
        params = joined(params, jax.tree.map(jnp.array, start))
    return first_state(params, model.optimizer)


@functools.lru_cache(maxsize=32)
def _make_step(
    model: _Model,
) -> Callable[[Key, NetworkState, dict[str, Array], NetworkAims], tuple[NetworkState, AnyStyleInfo]]:
    def step(
        key: Key, state: NetworkState, batch: dict[str, Array], frozen: NetworkAims
    ) -> tuple[NetworkState, AnyStyleInfo]:
        photos, paintings, same = _drawn(model, key, batch)
        content, painted = _features(model, frozen.variables, photos, paintings)
        targets = _targets(model, painted)

        def objective(params):
            apply = functools.partial(model.network.apply, {"params": params})
            style = apply(paintings, method="encode")
            made = apply(photos, style, method="paint")
            found: Any = model.features.apply(frozen.variables, made)
            values = weighted_terms(model, frozen, made, found, targets, content)
            values["contrast"] = frozen.weights["contrast"] * _contrast(model, frozen.weights["style"], found, painted)
            error = same * jnp.mean(jnp.abs(made - photos), axis=(1, 2, 3))
            values["identity"] = frozen.weights["identity"] * jnp.mean(error)
            moved = functools.partial(apply, method="paint")
            values["flicker"] = frozen.weights["flicker"] * _flicker(moved, photos, style, model.flicker_side)
            return functools.reduce(operator.add, values.values()), values

        after, loss, values, gradient = stepped(model, objective, state, len(photos))
        return after, AnyStyleInfo(loss, **values, gradient=gradient)

    return step


def _drawn(model: _Model, key: Key, batch: dict[str, Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return photographs and paintings in [0, 1], transformed, and 1 where the painting is the photograph ``[B]``."""
    keys = example_keys(key, len(batch["image"]), axis_name=model.axis_name)
    keys = jax.vmap(lambda each: jax.random.split(each, 3))(keys)
    photos, paintings = unit(batch["image"]), unit(batch["painting"])
    if model.transform is not None:
        photos, paintings = model.transform(keys[:, 0], photos), model.transform(keys[:, 1], paintings)
    same = jax.vmap(lambda each: jax.random.bernoulli(each, model.identity_chance))(keys[:, 2])
    size = photos.shape[1:3]
    fitting = paintings if paintings.shape[1:3] == size else jnp.clip(resize(paintings, size), 0, 1)
    return jnp.where(same[:, None, None, None], fitting, photos), paintings, same.astype(jnp.float32)


def _features(model: _Model, variables: PyTree, photos: jax.Array, paintings: jax.Array) -> tuple[Any, Any]:
    """Return the content layers of the photographs and the style layers of the paintings."""
    content = model.features.clone(layers=model.terms[0].layers).apply(variables, photos)
    return content, model.features.clone(layers=model.terms[1].layers).apply(variables, paintings)


def _targets(model: _Model, painted: dict[str, jax.Array]) -> dict[str, PyTree]:
    """Return what the style loss makes of each painting, by layer."""
    target = jax.vmap(lambda layer: model.style_loss.target(moments(layer)))
    return {name: target(layer) for name, layer in painted.items()}


def _contrast(
    model: _Model, shares: jax.Array, found: dict[str, jax.Array], painted: dict[str, jax.Array]
) -> jax.Array:
    """Return how far pictures are from being nearest to their own of all paintings of the batch, those of other devices included."""

    def places(layers: dict[str, jax.Array]) -> jax.Array:
        """Return ``[B, D]``, whose squared distances are the style term's with `losses.adain`."""
        scaled = [
            jnp.concatenate(channel_moments(layers[name]), axis=-1) * jnp.sqrt(share / layers[name].shape[-1])
            for name, share in zip(model.terms[1].layers, shares, strict=True)
        ]
        return jnp.concatenate(scaled, axis=-1)

    mine, theirs, own = places(found), places(painted), jnp.arange(len(next(iter(painted.values()))))
    if model.axis_name is not None:
        own += len(own) * jax.lax.axis_index(model.axis_name)
        theirs = jax.lax.all_gather(theirs, model.axis_name, tiled=True)
    apart = jnp.sum((mine[:, None] - theirs[None]) ** 2, axis=-1)  # [B, all]
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(-apart / _TEMPERATURE, own))


def _flicker(paint: Callable[[Array, Array], jax.Array], photos: jax.Array, style: jax.Array, side: int) -> jax.Array:
    """Return the mean squared difference between a corner painted and moved by a pixel, and moved and painted; 0 without a side."""
    if side == 0:
        return jnp.zeros(())
    corner = photos[:, :side, :side]
    moved = jnp.pad(corner, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")[:, :-1, :-1]
    first, second = jnp.split(paint(jnp.concatenate([corner, moved]), jnp.concatenate([style, style])), 2)
    return jnp.mean((second[:, 1:, 1:] - first[:, :-1, :-1]) ** 2)
