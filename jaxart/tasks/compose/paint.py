"""Painterly harmonization: what was pasted takes the style of the painting, by an optimization over its own pixels."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.image import resize
from jaxart.losses import WASSERSTEIN, blend, content_map, moments, nine_point_map
from jaxart.models import VGG, vgg_depth
from jaxart.ops import avg_pool
from jaxart.tasks.compose.harmonize import surroundings
from jaxart.training import Recipe, fit, one_blas_thread

_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_STYLE_WEIGHTS = (64.0, 32.0, 16.0, 4.0)
_CONTENT_LAYER = "relu3_1"
_SMALLEST, _COARSEST = 32, 160  # pixels: of the short side of a window, and of the long side at the first scale
_MARGIN = 0.5  # of the object's size, what a window shows around it


class _State(NamedTuple):
    step: jax.Array
    image: jax.Array
    opt_state: Any


class _Info(NamedTuple):
    loss: jax.Array
    content: jax.Array
    style: jax.Array
    smoothness: jax.Array


class _Frozen(NamedTuple):
    """What a scale uses: the scene ``[h, w, 3]``, the mask ``[h, w]``, it by layer, features, targets and weights."""

    variables: PyTree
    scene: jax.Array
    mask: jax.Array
    masks: dict[str, jax.Array]
    content: jax.Array
    style: dict[str, Any]
    weights: jax.Array


class Painting(NamedTuple):
    """How far `paint_like` is: the scale and the step, from 1, of how many, and the losses."""

    scale: int
    scales: int
    step: int
    steps: int
    info: Any


def paint_like(
    scene: Array,
    pasted: Array,
    mask: Array,
    *,
    variables: PyTree,
    key: Key,
    steps: int = 60,
    content_weight: float = 10.0,
    style_weight: float = 1.0,
    smoothness_weight: float = 2.0,
    whole: float = 0.5,
    noise: float = 0.1,
    on_step: Callable[[Painting], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Paint what was pasted into a painting as the painting is painted around it.

    Pixels of the object are moved until the statistics of its features are those of its surroundings, while its forms stay. Coarse strokes
    come first: windows at a part of the size go before. Time goes by the window around the object, not by the scene.

    Args:
        scene: the painting, ``[H, W, 3]`` in [0, 1].
        pasted: it with the object in its place, ``[H, W, 3]`` in [0, 1].
        mask: ``[H, W]`` in [0, 1], how much of each pixel is the object; where it is 0 the result is the scene, bit for bit.
        variables: of VGG-16 or VGG-19: `weights.load`.
        key: typed key, of the grain that the object is given at first, from which strokes grow where it has one color.
        steps: of each scale.
        content_weight: how much forms stay.
        style_weight: how much they become strokes.
        smoothness_weight: how much neighbors are held together.
        whole: share of the painting around the window, against what is near, in what the style is, 0 to 1.
        noise: deviation of the grain.
        on_step: called now and then with a `Painting`.
        stop: asked now and then; if it returns true, what there is by then is the result.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: shapes that differ, an empty mask, or a scene that is too small.

    Reference: Luan, Paris, Shechtman and Bala, Deep Painterly Harmonization, 2018. Departures: statistics are compared as distributions of
    the surroundings' features (Wasserstein), weighted by nearness, not by mapping patches; two or three scales in the place of two passes.
    """
    whole_scene, hidden = np.asarray(scene, np.float32), np.asarray(mask, np.float32)
    _check(whole_scene, pasted, hidden)
    window = _window(hidden)
    near = [np.asarray(each, np.float32)[window] for each in (scene, pasted, mask)]
    network: Any = VGG(depth=vgg_depth(variables), layers=_STYLE_LAYERS)
    sizes = _sizes(near[2].shape)
    image, weights = near[1], np.asarray([content_weight, style_weight, smoothness_weight], np.float32)
    with one_blas_thread():
        for number, size in enumerate(sizes):
            there, first, soft = (_at(each, size) for each in (near[0], image, near[2]))
            forms = _at(near[1], size)
            style_scene = _style_scene(whole_scene, hidden, window, size)
            frozen = _frozen(there, forms, soft, style_scene, network.freeze(variables), weights, whole, network)
            grain = jax.random.fold_in(key, number)
            begun = functools.partial(_begun, first, soft, noise if number == 0 else noise / 4)
            recipe = Recipe(begun, _step(network), frozen, short_run=True)
            hooks = () if on_step is None else (_hook(on_step, number, len(sizes), steps),)
            state, _ = fit(recipe, key=grain, steps=steps, hooks=hooks, stop=stop)
            image = np.asarray(state.image)
            if stop is not None and stop():
                break
    image = np.clip(np.asarray(resize(image, near[2].shape)), 0, 1) if image.shape != near[1].shape else image
    made = whole_scene.copy()
    soft = near[2][..., None]
    made[window] = np.where(soft > 0, soft * image + (1 - soft) * near[0], near[0])
    return made


def _window(mask: Any) -> tuple[slice, slice]:
    """Return where the mask is, and what is around it."""
    found = []
    ends = [np.flatnonzero(mask.max(axis=1 - axis) > 0)[[0, -1]] for axis in (0, 1)]
    margin = round(_MARGIN * max(last - first + 1 for first, last in ends)) + 8
    for (first, last), side in zip(ends, mask.shape, strict=True):
        begin, end = first - margin, last + 1 + margin
        begin, end = max(0, min(begin, side - _SMALLEST)), min(side, max(end, _SMALLEST))
        found.append(slice(int(begin), int(end)))
    return found[0], found[1]


def _sizes(size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sizes of the scales, each twice the one before, the last the window's own."""
    found = [(size[0], size[1])]
    while max(found[0]) >= 2 * _COARSEST and min(found[0]) >= 2 * _SMALLEST:
        found.insert(0, (found[0][0] // 2, found[0][1] // 2))
    return found


def _at(x: Any, size: tuple[int, int]) -> jax.Array:
    """Return a picture or a mask at a size, in [0, 1]."""
    if x.shape[:2] == size:
        return jnp.asarray(x)
    planes = x if x.ndim == 3 else x[..., None]
    found = jnp.clip(resize(planes, size, method="bilinear" if x.ndim == 2 else "bicubic"), 0, 1)
    return found if x.ndim == 3 else found[..., 0]


def _style_scene(
    scene: Any, mask: Any, window: tuple[slice, slice], size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Return the scene around a window, and the mask, at the window's scale: as much again on each side, where it is there."""
    wide = tuple(
        slice(max(0, each.start - (each.stop - each.start) // 2), each.stop + (each.stop - each.start) // 2)
        for each in window
    )
    parts = scene[wide], mask[wide]
    scale = size[0] / (window[0].stop - window[0].start)
    shape = [max(16, round(side * scale)) for side in parts[1].shape]
    return _at(parts[0], (shape[0], shape[1])), _at(parts[1], (shape[0], shape[1]))


@functools.partial(jax.jit, static_argnames="network")
def _frozen(
    scene: Array,
    forms: Array,
    mask: Array,
    style_scene: tuple[Array, Array],
    variables: PyTree,
    weights: Array,
    whole: Any,
    network: Any,
) -> _Frozen:
    """Return what a scale aims for."""
    painting, hidden = style_scene
    near, all_ = surroundings(hidden, 1.5), 1 - hidden
    styles = _features(network, variables, painting)
    by_layer = [_by_layer(each) for each in (near, all_)]
    shares = jnp.stack([1 - whole, jnp.asarray(whole, jnp.float32)])
    style = {
        name: WASSERSTEIN.target(blend([moments(layer, each[name]) for each in by_layer], shares))
        for name, layer in styles.items()
    }
    content = _features(network, variables, forms)[_CONTENT_LAYER]
    return _Frozen(variables, scene, mask, _by_layer(mask), content, style, weights)


def _features(network: VGG, variables: PyTree, picture: jax.Array) -> dict[str, jax.Array]:
    found: Any = network.apply(variables, picture[None])
    return {name: layer[0] for name, layer in found.items()}


def _by_layer(weights: jax.Array) -> dict[str, jax.Array]:
    """Shrink weights ``[H, W]`` to the layers of the style."""
    found, now = {}, weights[None, ..., None]
    for name in _STYLE_LAYERS:
        found[name] = now[0, ..., 0]
        now = avg_pool(now)
    return found


def _begun(image: jax.Array, mask: jax.Array, noise: float, key: Key) -> _State:
    image = jnp.clip(image + noise * mask[..., None] * jax.random.normal(key, image.shape), 0, 1)
    return _State(jnp.int32(0), image, _OPTIMIZER.init(image))


_OPTIMIZER = optax.adam(0.02, b1=0.9, b2=0.99)


@functools.lru_cache(maxsize=8)
def _step(network: VGG) -> Callable:
    def objective(image: jax.Array, frozen: _Frozen) -> tuple[jax.Array, _Info]:
        soft = frozen.mask[..., None]
        picture = soft * image + (1 - soft) * frozen.scene  # what is around the object is seen, and stays
        found = _features(network, frozen.variables, picture)
        inside = frozen.masks[_CONTENT_LAYER]
        content = _mean(content_map(found[_CONTENT_LAYER], frozen.content), inside)
        distances = [
            weight * WASSERSTEIN.distance(moments(found[name], frozen.masks[name]), frozen.style[name])
            for name, weight in zip(_STYLE_LAYERS, _STYLE_WEIGHTS, strict=True)
        ]
        smooth = _mean(nine_point_map(picture)[1:, 1:], frozen.mask)
        terms = frozen.weights * jnp.stack([content, jnp.sum(jnp.stack(distances)), smooth])
        loss = jnp.sum(terms)
        return loss, _Info(loss, *terms)

    def step(key: Key, state: _State, batch: None, frozen: _Frozen) -> tuple[_State, _Info]:
        del key, batch
        (_, info), slope = jax.value_and_grad(objective, has_aux=True)(state.image, frozen)
        updates: Any
        updates, opt_state = _OPTIMIZER.update(slope, state.opt_state, state.image)
        image = jnp.clip(state.image + updates, 0, 1)
        return _State(state.step + 1, image, opt_state), info

    return step


def _mean(x: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(x * weights) / jnp.maximum(jnp.sum(weights), 1e-6)


def _hook(on_step: Callable[[Painting], None], scale: int, scales: int, steps: int) -> Callable[[_State, _Info], None]:
    return lambda state, info: on_step(Painting(scale + 1, scales, int(state.step), steps, info))


def _check(scene: Any, pasted: Any, mask: Any) -> None:
    if scene.ndim != 3 or scene.shape[-1] != 3 or pasted.shape != scene.shape or mask.shape != scene.shape[:2]:
        raise ValueError(
            f"paint_like: expected two pictures [H, W, 3] of one size and a mask [H, W], got {scene.shape}, {pasted.shape} and "
            f"{mask.shape}."
        )
    if not mask.max() > 0:
        raise ValueError("mask: expected some pixels of the object, got none.")
    if min(mask.shape) < _SMALLEST:
        raise ValueError(
            f"paint_like: expected a scene of at least {_SMALLEST} x {_SMALLEST} pixels, got {mask.shape}."
        )
