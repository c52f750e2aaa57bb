"""The terms of the objective: content, style, smoothness, and what a caller adds to them.

A term is made of two functions. `measure` sums over the pixels of a window of the picture; such sums add up over tiles and devices. `value`
makes the weighted term of the sums. So one objective serves whole, tiled and sharded pictures with the same gradient.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import PyTree
from jaxart.losses import Moments, StyleLoss, content_map, divide_moments, moment_sums, nine_point_map
from jaxart.models import VGG, vgg_halo, vgg_stride

OWN_TERMS = ("content", "style", "smoothness")


class TermInputs(NamedTuple):
    """What a term's value is made of, beside its sums.

    Fields:
        size: (height, width) of the picture at this scale.
        aligned: what `Term.measure` is given a window of; None if the term has none. Rows split over devices are padded with zeros.
        targets: what does not depend on the place in the picture; None if the term has none.
        weight: of the term.
    """

    size: tuple[int, int]
    aligned: PyTree
    targets: PyTree
    weight: jax.Array


class Term(NamedTuple):
    """A named summand of the objective. Make it once, at the top of a module: equal terms share compiled programs.

    Fields:
        name: an identifier: that of its field in the info of a step, and in messages.
        layers: of VGG that are measured; "image" is the picture itself.
        measure: ``measure(layer name, layer [1, h, w, C], valid [h, w], aligned) -> sums``, a pytree. `valid` is 1 where a position counts,
            0 in the halo of a tile; `aligned` is the window of the term's own arrays. It may look `reach` positions
            around each that counts.
        value: ``value({layer name: sums}, TermInputs) -> scalar``, weighted.
        additive: whether the sums of two windows, added, are those of both. If not, `measure` may return anything, such as the layer
            itself, and the picture is neither cut into tiles nor split over devices.
        settings: with the name, the term's identity in checkpoints, such as "power=3" or "": change it whenever the functions change.
            None where a run is never resumed.
        reach: positions of a layer that `measure` looks around one, 1 for differences of neighbors. Tiles and devices read that much more;
            with a smaller number than is true, the gradient is wrong at their borders.
    """

    name: str
    layers: tuple[str, ...]
    measure: Callable[[str, jax.Array, jax.Array, Any], PyTree]
    value: Callable[[dict[str, Any], TermInputs], jax.Array]
    additive: bool = True
    settings: str | None = None
    reach: int = 0


class WeightedTerm(NamedTuple):
    """A term to add to the objective, and its arrays.

    Fields:
        term: what is measured.
        weight: a number of at least 0; changing it compiles nothing.
        pictures: pytree of arrays ``[H', W', C]`` of floats, or of uint8, which is divided by 255; resized to each scale: the
            term's `aligned`.
        targets: pytree of arrays, handed on as they are.
    """

    term: Term
    weight: Any
    pictures: PyTree = None
    targets: PyTree = None


class StyleTargets(NamedTuple):
    """What the style term aims for at a scale.

    Fields:
        by_style: per region (one without masks), or per style where the style loss is not additive, the targets by layer.
        shares: ``[S]``, what each style counts, where the style loss is not additive; else None.
    """

    by_style: tuple[dict[str, Any], ...]
    shares: jax.Array | None = None


def layer_pixels(size: tuple[int, ...], name: str) -> float:
    """Return how many positions a layer has.

    Args:
        size: (height, width, ...) of the picture.
        name: of the layer.
    """
    return float((size[0] // vgg_stride(name)) * (size[1] // vgg_stride(name)))


def terms_halo(terms: tuple[Term, ...], network: VGG) -> tuple[int, int]:
    """Return (halo, align) of an objective for `ops.tiled_sum`, in pixels: how far its terms look, and the largest stride.

    Args:
        terms: of the objective.
        network: its layers are those of all terms.
    """
    halo, align = vgg_halo(network.depth, network.layers)
    for term in terms:
        for name in term.layers if term.reach else ():
            seen = 0 if name == "image" else vgg_halo(network.depth, (name,))[0]
            halo = max(halo, -(-(seen + term.reach * vgg_stride(name)) // align) * align)
    return halo, align


@functools.lru_cache(maxsize=64)
def content_term(layers: tuple[str, ...]) -> Term:
    """Return the term that holds features to those of the content: ``w mean over layers of mean (F - F_c)^2``."""

    def measure(name: str, layer: jax.Array, valid: jax.Array, content: dict[str, jax.Array]) -> jax.Array:
        return jnp.sum(valid * content_map(layer[0], content[name]))

    def value(sums: dict[str, jax.Array], given: TermInputs) -> jax.Array:
        error = jnp.zeros(())
        for name, total in sums.items():
            error += total / layer_pixels(given.size, name) / len(layers)
        return given.weight * error

    return Term("content", layers, measure, value)


@functools.lru_cache(maxsize=64)
def style_term(layers: tuple[str, ...], style_loss: StyleLoss) -> Term:
    """Return the term that compares the layers' statistics with the styles': ``sum_l w_l d(F_l, S_l)``.

    Args:
        layers: of VGG.
        style_loss: what compares.
    """
    if not style_loss.additive:
        return _whole_style_term(layers, style_loss)

    def measure(name: str, layer: jax.Array, valid: jax.Array, masks: dict[str, jax.Array] | None) -> list[Moments]:
        regions = [valid] if masks is None else valid[None] * jnp.moveaxis(masks[name], -1, 0)  # [R, h, w]
        return [moment_sums(layer[0], region) for region in regions]

    def layer_value(sums: list[Moments], name: str, given: TermInputs) -> jax.Array:
        """Sum a layer's distances over regions, each by its share of the picture."""
        pixels = layer_pixels(given.size, name)
        totals = jnp.full(1, pixels) if given.aligned is None else jnp.sum(given.aligned[name], axis=(0, 1))
        distances = [
            style_loss.distance(divide_moments(each, total), targets[name])
            for each, total, targets in zip(sums, totals, given.targets.by_style, strict=True)
        ]
        return jnp.sum(totals / pixels * jnp.stack(distances))

    def value(sums: dict[str, list[Moments]], given: TermInputs) -> jax.Array:
        distances = [layer_value(sums[name], name, given) for name in layers]
        return jnp.sum(given.weight * jnp.stack(distances))

    return Term("style", layers, measure, value)


def _whole_style_term(layers: tuple[str, ...], style_loss: StyleLoss) -> Term:
    """Return the style term of a loss of whole features; the distances to several styles are averaged."""

    def measure(name: str, layer: jax.Array, valid: jax.Array, aligned: None) -> jax.Array:
        del name, valid, aligned
        return layer[0]

    def value(sums: dict[str, jax.Array], given: TermInputs) -> jax.Array:
        by_layer = [
            jnp.stack([style_loss.distance(sums[name], targets[name]) for targets in given.targets.by_style])
            for name in layers
        ]  # L times [S]
        return jnp.sum(given.weight * jnp.stack([jnp.sum(given.targets.shares * each) for each in by_layer]))

    return Term("style", layers, measure, value, additive=False)


def _sum_differences(name: str, image: jax.Array, valid: jax.Array, aligned: None) -> jax.Array:
    del name, aligned
    corners = jnp.pad(valid, ((0, 1), (0, 1)), mode="edge")  # [H + 1, W + 1]
    return jnp.sum(corners * nine_point_map(image[0]))


def _mean_difference(sums: dict[str, jax.Array], given: TermInputs) -> jax.Array:
    return given.weight * sums["image"] / ((given.size[0] + 1) * (given.size[1] + 1))


SMOOTHNESS = Term("smoothness", ("image",), _sum_differences, _mean_difference, reach=1)
