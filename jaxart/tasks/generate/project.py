"""Projection: the point of a generator's latent space whose picture is nearest to a given one, by optimization. Pictures are in [0, 1].

A flow needs none: see `invert`.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart import losses
from jaxart.arrays import Array, Image, Key, PyTree, check_choice
from jaxart.tasks.generate.sample import Generate, Styled, draw_latents, pictures, styles_of
from jaxart.training import Recipe, apply_in_batches

PROJECTION_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")  # of VGG-16
SPACES = ("w", "w+", "z")
_ADAM = optax.scale_by_adam()
_RISE, _FALL, _QUIET = 0.05, 0.25, 0.75  # shares of the steps: the rate rises, it falls, noise on w is over
_DRAWN = 4096  # latents of which the mean of the styles is taken
_CANDIDATES = 64  # latents of which the nearest is the start, where there are no styles
_SMALLEST = 8  # side at which the pyramid of a noise map ends


class Latent(NamedTuple):
    """A point of a generator's latent space.

    Fields:
        space: of `SPACES`: "z" what a generator draws from, "w" one style for all layers, "w+" one for each.
        code: ``[1, L]`` for z, ``[1, D]`` for w, ``[layers, D]`` for w+.
        noise: maps ``[1, h, w, 1]`` in the order of a styled generator's "noise"; None for those that it stores, and for z.
        label: number of the class, for z.
        run: digest of the generator's weights (`metrics.content_hash`), without which the numbers say nothing.
    """

    space: str
    code: Any
    noise: tuple[Any, ...] | None = None
    label: int = 0
    run: str = ""


class ProjectionState(NamedTuple):
    """The steps done; how far the code is from where it began, ``[1, D]``, ``[layers, D]`` or ``[1, L]``; noise maps; Adam's state."""

    step: jax.Array
    offset: jax.Array
    noise: PyTree
    opt_state: Any


class ProjectionInfo(NamedTuple):
    """The loss; the distance of features, the squared error of pixels, and what is held against noise maps or long latents, unweighted."""

    loss: jax.Array
    features: jax.Array
    pixels: jax.Array
    regularity: jax.Array


class ProjectionWeights(NamedTuple):
    """What the terms of a projection weigh; arguments of the program, so that others compile nothing.

    Fields:
        pixels: of the mean squared error of pixels in [0, 1].
        noise: of the autocorrelation of noise maps (styles).
        length: of ``(|z|^2 / L - 1)^2`` (no styles).
        learning_rate: at its highest.
        spread: deviation of what is added to w at first, in deviations of w.
    """

    pixels: float = 1.0
    noise: float = 1e4
    length: float = 0.1
    learning_rate: float = 0.1
    spread: float = 0.05


_WEIGHTS = ProjectionWeights()


class _Model(NamedTuple):
    generator: Any  # network of a `Styled`, or (apply, network) of a `Generate`
    features: Any
    space: str
    shape: tuple[int, ...]  # of the offset
    layers: int


def project_styles(
    styled: Styled,
    features: Any,
    variables: PyTree,
    picture: Image,
    *,
    steps: int,
    space: Literal["w", "w+"] = "w",
    label: int = 0,
    latent: int = 128,
    weights: ProjectionWeights = _WEIGHTS,
    key: Key,
) -> Recipe:
    """Return the recipe that looks for the styles and the noise of a picture; `projected` reads what it found.

    w begins at the mean of the styles of many latents. Noise is added to it, ever less, so that it does not stop at the first place that
    is good; noise maps are kept white, or they would draw the picture by themselves.

    Args:
        styled: a generator with styles.
        features: module ``pictures in [0, 1] [B, H, W, 3] -> {layer: [B, h, w, C]}``, such as ``models.VGG(layers=PROJECTION_LAYERS)``.
        variables: of `features`, such as ``features.freeze(weights.load("vgg16"))``.
        picture: ``[H, W, C]`` of the generator's size and channels, in [0, 1].
        steps: for which learning rate and noise are planned; `fit` should be told as many.
        space: "w": one style for all layers, which can be edited well; "w+": one for each, nearer to the picture.
        label: class of the latents whose mean w begins at.
        latent: their dimensions.
        weights: of the terms.
        key: of these latents.

    Raises:
        ValueError: no steps, another space, or a picture of another shape.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, section 5 and appendix D; w+: Abdal et al.,
    Image2StyleGAN, 2019. Departures: features of VGG-16, normalized at each pixel and unweighted, at the picture's own size, instead of
    LPIPS at 256; a small term of pixels, without which small pictures drift in color.
    """
    check_choice("space", space, SPACES[:2])
    z = draw_latents(key, _DRAWN, latent=latent)
    drawn = styles_of(styled, z, jnp.full(_DRAWN, label, jnp.int32))  # [N, layers, D]
    layers, dimensions = drawn.shape[1:]
    center = drawn[:, 0].mean(axis=0, keepdims=True)  # [1, D]
    deviation = np.sqrt(np.mean(np.sum((drawn[:, 0] - center) ** 2, axis=-1)))
    shape = (1 if space == "w" else layers, dimensions)
    model = _Model(styled.network, features, space, shape, layers)
    frozen = {"variables": styled.variables, "center": center, "deviation": np.float32(deviation)}
    return _recipe(model, frozen, variables, picture, steps, weights)


def project_latent(
    generate: Generate,
    features: Any,
    variables: PyTree,
    picture: Image,
    *,
    steps: int,
    latent: int,
    label: int = 0,
    weights: ProjectionWeights = _WEIGHTS,
    key: Key,
) -> Recipe:
    """Return the recipe that looks for the latent of a picture, for generators without styles.

    It begins at the nearest of some random latents; the latent keeps about the length that normal ones have.

    Args:
        generate: a trained generator.
        features, variables, picture, steps: as in `project_styles`.
        latent: dimensions of z.
        label: class of the picture.
        weights: of the terms.
        key: of the random latents.

    Raises:
        ValueError: no steps, or a picture of another shape.
    """
    z = draw_latents(key, _CANDIDATES, latent=latent)
    made = pictures(generate, z, jnp.full(_CANDIDATES, label, jnp.int32))
    nearest = int(np.argmin(distances(features, variables, made, picture)))
    model = _Model((generate.apply, generate.network), features, "z", (1, latent), 1)
    frozen = {"variables": generate.variables, "center": z[nearest][None], "label": np.full(1, label, np.int32)}
    return _recipe(model, frozen, variables, picture, steps, weights)


def projected(recipe: Recipe, state: ProjectionState, *, run: str = "") -> Latent:
    """Return what a projection has come to.

    Args:
        recipe: of the projection.
        state: from `fit`.
        run: digest of the generator's weights.
    """
    code = np.asarray(recipe.frozen["center"] + state.offset)
    if "label" in recipe.frozen:
        return Latent("z", code, None, int(recipe.frozen["label"][0]), run)
    return Latent("w" if len(code) == 1 else "w+", code, tuple(map(np.asarray, jax.tree.leaves(state.noise))), 0, run)


def distances(features: Any, variables: PyTree, images: Image, picture: Image) -> np.ndarray:
    """Return how far each picture of a batch is from another, as a projection measures it (features alone).

    Args:
        features, variables: as in `project_styles`.
        images: ``[N, H, W, C]`` in [0, 1].
        picture: ``[H, W, C]`` in [0, 1].

    Returns:
        ``[N]``: mean squared differences of features whose root mean square is 1 at each pixel, averaged over the layers.
    """
    target = _described_alone(features, variables, picture)
    arrays = {"features": variables, "target": target}
    return apply_in_batches(_distance, features, arrays, jnp.asarray(images), batch=min(16, len(images)))


def noise_correlation(maps: PyTree) -> jax.Array:
    """Return how far noise maps are from white: squared correlations with their neighbors, at all sides down to 8 pixels.

    ``sum over maps and sides of (mean n(x, y) n(x - 1, y))^2 + (mean n(x, y) n(x, y - 1))^2``, where each side's map is the mean of 2 x 2
    pixels of the one before, times 2, which keeps the deviation of white noise.

    Args:
        maps: tree of ``[1, h, w, 1]``.

    Reference: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, appendix D.
    """
    total = jnp.float32(0)
    for noise in jax.tree.leaves(maps):
        while True:
            shifted = (jnp.mean(noise * jnp.roll(noise, 1, axis)) ** 2 for axis in (1, 2))
            total = total + sum(shifted)
            side = noise.shape[1]
            if side <= _SMALLEST:
                break
            noise = 2 * jnp.mean(noise.reshape(-1, side // 2, 2, side // 2, 2, 1), axis=(2, 4))
    return total


def _recipe(
    model: _Model, frozen: dict[str, Any], variables: PyTree, picture: Image, steps: int, weights: ProjectionWeights
) -> Recipe:
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}.")
    noise = frozen["variables"]["noise"] if model.space != "z" else {}
    shapes = tuple(each.shape for each in jax.tree.leaves(noise))
    _check_picture(model, frozen, np.shape(picture))
    frozen = {
        **frozen,
        "features": variables,
        "target": _described_alone(model.features, variables, picture),
        "picture": np.asarray(picture, np.float32)[None],
        "weights": ProjectionWeights(*map(float, weights)),
        "steps": np.float32(steps),
    }
    init = functools.partial(_init, model, jax.tree.structure(noise), shapes)
    return Recipe(init, _step_of(model), jax.tree.map(jnp.asarray, frozen), short_run=True)


def _check_picture(model: _Model, frozen: dict[str, Any], shape: tuple[int, ...]) -> None:
    noise = frozen["variables"].get("noise", {})
    made = jax.eval_shape(functools.partial(_made, model), frozen, frozen["center"], noise)
    if shape != made.shape[1:]:
        raise ValueError(f"picture: expected the generator's shape {made.shape[1:]}, got {shape}.")


def _init(model: _Model, tree: Any, shapes: tuple[tuple[int, ...], ...], key: Key) -> ProjectionState:
    keys = jax.random.split(key, max(1, len(shapes)))
    maps = [jax.random.normal(each, shape) for each, shape in zip(keys, shapes, strict=False)]
    offset, noise = jnp.zeros(model.shape), _whitened(jax.tree.unflatten(tree, maps))
    return ProjectionState(jnp.int32(0), offset, noise, _ADAM.init((offset, noise)))


@functools.lru_cache(maxsize=16)
def _step_of(model: _Model) -> Callable:
    return functools.partial(_step, model)


def _step(
    model: _Model, key: Key, state: ProjectionState, batch: None, frozen: PyTree
) -> tuple[ProjectionState, ProjectionInfo]:
    del batch
    weights, done = frozen["weights"], state.step / frozen["steps"]

    def objective(moved):
        offset, noise = moved
        code = frozen["center"] + offset
        if model.space != "z":
            quiet = jnp.maximum(1 - done / _QUIET, 0) ** 2 * weights.spread * frozen["deviation"]
            code = code + quiet * jax.random.normal(key, code.shape)
        made = _made(model, frozen, code, noise)
        features = _distance(model.features, frozen, made)[0]
        pixels = jnp.mean((made - frozen["picture"]) ** 2)
        z_length = (jnp.mean((frozen["center"] + offset) ** 2) - 1) ** 2
        regularity, weight = (
            (z_length, weights.length) if model.space == "z" else (noise_correlation(noise), weights.noise)
        )
        loss = features + weights.pixels * pixels + weight * regularity
        return loss, ProjectionInfo(loss, features, pixels, regularity)

    moved = state.offset, state.noise
    gradient, info = jax.grad(objective, has_aux=True)(moved)
    update, opt_state = _ADAM.update(gradient, state.opt_state)
    rate = weights.learning_rate * _ramp(done)
    offset, noise = jax.tree.map(lambda each, change: each - rate * change, moved, update)
    return ProjectionState(state.step + 1, offset, _whitened(noise), opt_state), info


def _ramp(done: Array) -> jax.Array:
    """Return the share of the learning rate: a linear rise, and the fall of a cosine at the end."""
    fall = jnp.minimum(1.0, (1 - done) / _FALL)
    return jnp.minimum(1.0, done / _RISE) * (0.5 - 0.5 * jnp.cos(np.float32(np.pi) * fall))


def _whitened(maps: PyTree) -> PyTree:
    """Give each noise map mean 0 and deviation 1."""

    def one(noise: jax.Array) -> jax.Array:
        centered = noise - jnp.mean(noise)
        return centered * jax.lax.rsqrt(jnp.mean(centered**2) + 1e-12)

    return jax.tree.map(one, maps)


def _made(model: _Model, frozen: PyTree, code: Array, noise: PyTree) -> jax.Array:
    """Return the picture of a code, ``[1, H, W, C]``; not clipped, or where it is too bright nothing would pull it back."""
    if model.space == "z":
        apply, network = model.generator
        return apply(network, frozen["variables"], code, frozen["label"])
    w = jnp.broadcast_to(code, (model.layers, code.shape[-1]))[None]
    made = model.generator.apply({**frozen["variables"], "noise": noise}, w, method="paint")
    return (made + 1) / 2


def _described(features: Any, variables: PyTree, images: Array) -> dict[str, jax.Array]:
    """Return features, scaled to a root mean square of 1 at each pixel."""
    found = features.apply(variables, jnp.broadcast_to(images[..., :3], (*images.shape[:3], 3)))
    return {name: each * jax.lax.rsqrt(jnp.mean(each**2, -1, keepdims=True) + 1e-6) for name, each in found.items()}


def _described_alone(features: Any, variables: PyTree, picture: Image) -> dict[str, np.ndarray]:
    return apply_in_batches(_described, features, variables, jnp.asarray(picture, jnp.float32)[None], batch=1)


def _distance(features: Any, arrays: PyTree, images: Array) -> jax.Array:
    found = _described(features, arrays["features"], images)
    targets = {name: jnp.broadcast_to(each, found[name].shape) for name, each in arrays["target"].items()}
    return losses.content_of_layers(found, targets)
