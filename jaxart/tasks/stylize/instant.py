"""Painting in one pass with a trained network of many styles, and the file that holds one."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import color, weights
from jaxart.arrays import Array, Image, PyTree, check_choice, check_image, is_one_color
from jaxart.image import fit_within, resize
from jaxart.models.stylenet import ManyStyleNet, joined, split_tables
from jaxart.ops import tiled_map
from jaxart.tasks.stylize.arguments import COLORS, checked_masks
from jaxart.tasks.stylize.targets import masks_at

KIND = "many styles"  # of a file of weights
_FORM = {
    "width": (1, 1024),
    "deep": (1, 1024),
    "blocks": (0, 100),
    "coarse_blocks": (0, 100),
}  # fields of the module that a file keeps, and what they may be
WITHOUT_COARSE = {"coarse_blocks": 0}  # what files of networks leave out that were trained before there were any
BUCKET, MEASURED = 64, 1024  # pixels: what sides are rounded up to, and the long side of what statistics are taken from


class StyleModel(NamedTuple):
    """A trained network of many styles.

    Fields:
        network: module, as in `restyle`.
        variables: ``{"params": ...}``.
        about: JSON values: "names" of the styles in their order, what "paintings" they are, and so on.
    """

    network: Any
    variables: PyTree
    about: dict[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the styles, in their order."""
        return tuple(self.about["names"])


def load_styles(path: str | Path | None = None) -> StyleModel:
    """Read a network of many styles; by default the one that comes with the package.

    Args:
        path: of a file that `as_network` made the content of.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, or with other layers than it should have.
    """
    path = weights.network_file(path, default="styles")
    params, about = weights.read_network(path, kind=KIND)
    network = _described(path.name, about)
    blank = jnp.zeros((1, network.stride, network.stride, 3)), jnp.zeros((1, network.styles))
    expected = jax.eval_shape(network.init, jax.random.key(0), *blank)["params"]
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise weights.WeightsError(
            f"{path.name}: its layers are not those of a network of {network.styles} styles, widths {network.width} and "
            f"{network.deep} and {network.blocks} and {network.coarse_blocks} blocks."
        )
    return StyleModel(network, jax.device_put({"params": params}), about)


def _described(file: str, about: dict[str, Any]) -> ManyStyleNet:
    """Return the module that a file speaks of; whoever wrote the file may have written anything."""
    names, paintings = about.get("names"), about.get("paintings", {})
    sizes: dict[str, Any] = {name: (WITHOUT_COARSE | about).get(name) for name in _FORM}
    if (
        not (isinstance(names, list) and isinstance(paintings, dict) and names)
        or not all(isinstance(word, str) and word.isprintable() for word in (*names, *paintings.values()))
        or len(set(names)) < len(names)
        or not all(type(sizes[name]) is int and least <= sizes[name] <= most for name, (least, most) in _FORM.items())
    ):
        raise weights.WeightsError(
            f"{file}: its description lacks the names of its styles or a sensible {', '.join(_FORM)}; was it written by another version?"
        )
    return ManyStyleNet(styles=len(names), **sizes)


def as_network(model: StyleModel) -> weights.Network:
    """Return a model as a network that `weights.network_bytes` writes and `load_styles` reads.

    Args:
        model: to be kept.
    """
    form = {name: getattr(model.network, name) for name in _FORM}
    return weights.Network(jax.device_get(model.variables["params"]), {**model.about, **form, "kind": KIND})


def new_tables(model: StyleModel, styles: int) -> PyTree:
    """Return tables from which new styles can be learned: the mean of the model's for each.

    Args:
        model: that knows other styles.
        styles: how many are new.
    """
    _, tables = split_tables(model.variables["params"])
    return jax.tree.map(lambda each: jnp.tile(jnp.mean(each, axis=0, keepdims=True), (styles, 1)), tables)


def with_styles(model: StyleModel, tables: PyTree, names: Sequence[str]) -> StyleModel:
    """Return a model that knows further styles, after those it knew.

    Args:
        model: that lacks them.
        tables: of the new styles, as `new_tables` makes them.
        names: of the new styles.

    Raises:
        ValueError: a name that the model has already.
    """
    if known := sorted(set(names) & set(model.names)):
        raise ValueError(f"the network knows a style of this name already: {', '.join(known)}. Rename the painting.")
    shared, old = split_tables(model.variables["params"])
    longer = jax.tree.map(lambda before, after: jnp.concatenate([before, after]), old, tables)
    network = model.network.clone(styles=model.network.styles + len(names))
    kept = {name: value for name, value in model.about.items() if name != "steps"}
    about = {**kept, "names": [*model.names, *names]}
    return StyleModel(network, {"params": joined(shared, longer)}, about)


def style_mix(names: Sequence[str], wanted: Sequence[str], shares: Sequence[float] | None = None) -> np.ndarray:
    """Return the weights of all styles ``[styles]`` for some of them, which sum to one.

    Args:
        names: of all styles.
        wanted: those that are mixed.
        shares: of each, not negative; equal by default.

    Raises:
        ValueError: an unknown name, or shares that do not serve.

    >>> style_mix(["scream", "circus"], ["circus"]).tolist()
    [0.0, 1.0]
    """
    each = np.ones(len(wanted)) if shares is None else np.asarray(shares, np.float64)
    if each.shape != (len(wanted),) or not (each >= 0).all() or not 0 < each.sum() < float("inf"):
        raise ValueError(f"style weights: expected {len(wanted)} numbers of at least 0, not all 0, got {shares}.")
    mix = np.zeros(len(names), np.float32)
    for name, share in zip(wanted, each / each.sum(), strict=True):
        mix[list(names).index(check_choice("style", name, names))] += share
    return mix


def restyle(
    network: Any,
    variables: PyTree,
    photo: Image,
    mix: Array | np.ndarray,
    *,
    masks: Image | None = None,
    strength: float = 1.0,
    colors: Literal["style", "luminance", "transport"] = "style",
    tile: int | None = None,
) -> np.ndarray:
    """Paint a photograph in one pass; with S masks in S passes, a whole picture for each style.

    Its sides are continued to multiples of 64 by reflection and cropped at the end, so that a folder of pictures needs few programs. Above
    1024 pixels the channels' means and deviations are those of the picture shrunk to that, which makes a large picture the large form of
    the small one, and the same in tiles and whole.

    Args:
        network: a `models.ManyStyleNet` or a `models.AnyStyleNet`, or what has their `paint`, `dimensions`, `halo` and "statistics".
            ``network.clone(dtype=jnp.bfloat16)`` halves the memory of the activations after the first layer, on a GPU or TPU; statistics
            and that layer stay float32.
        variables: ``{"params": ...}``, such as the average of a state.
        photo: ``[H, W, 3]`` in [0, 1] or uint8, of any size.
        mix: of many styles ``[styles]``, the weight of each: one-hot is a style, what sums to one a blend; of any style ``[D]``, from
            `style_of`. With masks ``[S, styles]`` or ``[S, D]``, a row for each.
        masks: ``[S, H', W']`` in [0, 1], where each style acts; resized to the photograph. Soft masks blend: where they sum to more than
            one they are divided by their sum, and what they leave to one is the photograph's, all of it where all are zero.
        strength: from 0, the photograph, to 1; between them the two are mixed.
        colors: "style" leaves the painting's; "luminance" keeps the photograph's chroma; "transport" gives the result the mean and
            covariance of the photograph's colors.
        tile: side of the parts that are painted one by one, pixels; None paints the picture whole.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: no picture or one of a single color, a mix of another length, masks that are not one a row of it, outside [0, 1] or all
            zero, a strength outside [0, 1], unknown colors, a tile below 1.
    """
    picture, styles = check_image("photo", photo), np.asarray(mix, np.float32)
    _check_mix(network, styles, masked=masks is not None)
    regions = checked_masks(masks, len(styles))
    _check_arguments(strength, colors, tile)
    if strength == 0:
        return picture
    if is_one_color(picture):  # normalized, its rounding errors would be all there is
        raise ValueError("photo: of a single color, which leaves nothing to paint.")
    paint = functools.partial(_one_pass, network, variables, picture, colors=colors, tile=tile)
    made = paint(styles) if regions is None else _in_regions(paint, picture, styles, regions)
    return made if strength == 1 else picture + np.float32(strength) * (made - picture)


def _one_pass(
    network: Any, variables: PyTree, picture: np.ndarray, mix: np.ndarray, *, colors: str, tile: int | None
) -> np.ndarray:
    """Paint a whole picture in one style or mix."""
    height, width = picture.shape[:2]
    if tile is not None or max(height, width) > MEASURED:  # else the picture's own, which the network takes as it goes
        variables = {**variables, "statistics": _statistics(network, variables, _measured(picture), mix[None])}
    made = _restyled(network, variables, _padded(picture), mix[None], tile)[:height, :width]
    if colors == "luminance":
        made = color.with_chroma_of(made, jnp.asarray(picture))
    elif colors == "transport":
        made = color.match_mean_covariance(made, jnp.asarray(picture))
    return np.asarray(made)


def _in_regions(
    paint: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, styles: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """Blend the picture painted in each style by the masks, and with what they leave of it."""
    shares = np.asarray(masks_at(jnp.asarray(masks), picture.shape[:2]))
    shares = (shares / np.maximum(1, shares.sum(axis=0)))[..., None]  # [S, H, W, 1]
    made = picture * (1 - shares.sum(axis=0))
    for style, share in zip(styles, shares, strict=True):
        made += share * paint(style)
    return np.clip(made, 0, 1)


def _padded(picture: np.ndarray) -> np.ndarray:
    """Continue a picture below and right by reflection, to sides that are multiples of the bucket."""
    return np.pad(picture, (*((0, -side % BUCKET) for side in picture.shape[:2]), (0, 0)), mode="symmetric")


def _measured(picture: np.ndarray) -> np.ndarray:
    """Return the picture whose means and deviations count."""
    if max(picture.shape[:2]) > MEASURED:
        picture = np.clip(np.asarray(resize(picture, fit_within(picture.shape[:2], MEASURED))), 0, 1)
    return _padded(picture)


@functools.partial(jax.jit, static_argnums=0)
def _statistics(network: Any, variables: PyTree, picture: Any, mix: Any) -> PyTree:
    return network.apply(variables, picture[None], mix, method="paint", mutable=["statistics"])[1]["statistics"]


@functools.partial(jax.jit, static_argnums=(0, 4))
def _restyled(network: Any, variables: PyTree, picture: Any, mix: Any, tile: int | None) -> jax.Array:
    def paint(window: Array, extra: tuple) -> jax.Array:
        return network.apply(extra[0], window[None], extra[1], method="paint")[0]

    return tiled_map(paint, picture, (variables, mix), tile=tile, halo=network.halo, align=network.stride)


def _check_mix(network: Any, mix: np.ndarray, *, masked: bool) -> None:
    if mix.ndim != 1 + masked or mix.shape[-1] != network.dimensions or not np.isfinite(mix).all():
        rows = "in a row for each mask" if masked else "in one row (several rows need masks)"
        raise ValueError(f"mix: expected {network.dimensions} finite numbers {rows}, got shape {mix.shape}.")


def _check_arguments(strength: float, colors: str, tile: int | None) -> None:
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected a number from 0 to 1, got {strength}.")
    check_choice("colors", colors, COLORS)
    if tile is not None and tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {tile}.")
