"""Variational autoencoders as a recipe."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxart.arrays import Array, Key, PyTree
from jaxart.losses import gaussian_log_likelihood, kl_to_standard_normal
from jaxart.tasks.generate.styled import StyleTerm, check_style, style_distance
from jaxart.training import (
    Recipe,
    example_keys,
    exponential_average,
    gradient_update,
    half_life_decay,
    mean_over,
)

ADAM = optax.adam(1e-3)
Transform = Callable[[Key, Array], jax.Array]  # one key per example [B], pictures [B, H, W, C] -> the same


class VAEState(NamedTuple):
    """What one step hands to the next; params and average hold "encoder", "decoder" and "log_variance", that of the pixels."""

    step: jax.Array
    images: jax.Array
    params: PyTree
    opt_state: Any
    average: PyTree


class VAEInfo(NamedTuple):
    """In nats per picture: the evidence bound and its two parts; the pixels' standard deviation; the gradient's norm."""

    bound: jax.Array
    log_likelihood: jax.Array
    divergence: jax.Array
    std: jax.Array
    gradient: jax.Array


class StyledVAEInfo(NamedTuple):
    """As `VAEInfo`, of recipes with a style term: besides, `style`, the distance to the painting before weighting."""

    bound: jax.Array
    log_likelihood: jax.Array
    divergence: jax.Array
    std: jax.Array
    gradient: jax.Array
    style: jax.Array


_Told = VAEInfo | StyledVAEInfo


class _Model(NamedTuple):
    encoder: Any
    decoder: Any
    latent: int
    optimizer: optax.GradientTransformation
    half_life: float
    transform: Transform | None
    style: StyleTerm | None
    axis_name: str | None


def vae(
    encoder: Any,
    decoder: Any,
    *,
    shape: Sequence[int],
    latent: int,
    optimizer: optax.GradientTransformation = ADAM,
    half_life: float = 10_000,
    transform: Transform | None = None,
    style: StyleTerm | None = None,
    axis_name: str | None = None,
) -> Recipe:
    """Return the recipe of a variational autoencoder; a batch is a dict of ``image [B, H, W, C]``, uint8 or in [0, 1], and ``label [B]``.

    ``log p(x) >= E_q log N(x; decoder(z), v) - KL(q(z | x) || N(0, 1))``. The variance v of all pixels is learned, so that no weight
    between the terms has to be chosen. Pixels of uint8 are spread evenly over their 1/256, so that the bound is one on densities.

    Args:
        encoder: module ``(image [B, *shape], label [B]) -> (mean [B, latent], log_variance [B, latent])``.
        decoder: module ``(z [B, latent], label [B]) -> [B, *shape]`` in [0, 1].
        shape: of one picture.
        latent: dimensions of z.
        optimizer: any Optax transformation.
        half_life: of the average of the params, in images.
        transform: of the pictures, in [0, 1], part of what is learned: ``(keys [B], images) -> images``.
        style: term of the decoder's loss, in nats per number of a picture, so that it weighs alike at all sizes; pictures have 1 or 3
            channels. It is taken of pictures decoded from standard normal latents, as they are drawn later, and changes the decoder alone.
            The recipe's `frozen`, from `style_arrays`, is then needed: ``recipe._replace(frozen=...)``.
        axis_name: as in `gan`.

    Raises:
        ValueError: a style term out of its range.

    Reference: Kingma and Welling 2014; the learned variance is Rybkin et al., Simple and Effective VAE Training with Calibrated Decoders,
    2021.
    """
    if style is not None:
        check_style("vae", style)
    model = _Model(
        encoder=encoder,
        decoder=decoder,
        latent=latent,
        optimizer=optimizer,
        half_life=half_life,
        transform=transform,
        style=style,
        axis_name=axis_name,
    )
    return Recipe(functools.partial(_init, model, tuple(shape), latent), _make_step(model))


def _init(model: _Model, shape: tuple[int, ...], latent: int, key: Key) -> VAEState:
    key_encoder, key_decoder = jax.random.split(key)
    label = jnp.zeros((2,), jnp.int32)
    params = {
        "encoder": model.encoder.init(key_encoder, jnp.zeros((2, *shape)), label)["params"],
        "decoder": model.decoder.init(key_decoder, jnp.zeros((2, latent)), label)["params"],
        "log_variance": jnp.float32(-4.0),
    }
    return VAEState(jnp.int32(0), jnp.float32(0), params, model.optimizer.init(params), jax.tree.map(jnp.copy, params))


@functools.lru_cache(maxsize=32)
def _make_step(model: _Model) -> Callable[[Key, VAEState, dict[str, Array], PyTree], tuple[VAEState, _Told]]:
    def step(key: Key, state: VAEState, batch: dict[str, Array], frozen: PyTree) -> tuple[VAEState, _Told]:
        keys = example_keys(key, len(batch["image"]), axis_name=model.axis_name)
        keys = jax.vmap(lambda each: jax.random.split(each, 3))(keys)
        images = _dequantized(keys[:, 0], batch["image"])
        images = images if model.transform is None else model.transform(keys[:, 1], images)

        def objective(params):
            terms = evidence(model.encoder, model.decoder, params, keys[:, 2], images, batch["label"])
            likelihood, divergence = (jnp.mean(term) for term in terms)
            if model.style is None:
                return divergence - likelihood, (likelihood, divergence, None)
            style = _style(model, model.style, params, keys[:, 2], batch["label"], frozen)
            weight = model.style.weight * np.prod(images.shape[1:])
            return divergence - likelihood + weight * style, (likelihood, divergence, style)

        params, opt_state, loss, terms, gradient = gradient_update(
            objective, model.optimizer, state.params, state.opt_state, axis_name=model.axis_name
        )
        likelihood, divergence, style = mean_over(terms, model.axis_name)
        batch_size = len(batch["image"]) * (1 if model.axis_name is None else jax.lax.axis_size(model.axis_name))
        seen = state.images + batch_size
        decay = half_life_decay(batch_size, seen, half_life=model.half_life)
        average = exponential_average(state.average, params, decay=decay)
        info = VAEInfo(
            -loss, likelihood, divergence, jnp.exp(state.params["log_variance"] / 2), optax.tree.norm(gradient)
        )
        state = VAEState(state.step + 1, seen, params, opt_state, average)
        if style is None:
            return state, info
        return state, StyledVAEInfo(*info._replace(bound=likelihood - divergence), style)

    return step


def _style(model: _Model, term: StyleTerm, params: PyTree, keys: Key, label: Array, frozen: PyTree) -> jax.Array:
    """Return the mean style distance of pictures decoded from standard normal latents, one for each of the keys ``[B]``."""
    z = jax.vmap(lambda each: jax.random.normal(jax.random.fold_in(each, 0), (model.latent,)))(keys)
    decoded = model.decoder.apply({"params": params["decoder"]}, z, label)
    return jnp.mean(style_distance(term, frozen, decoded))


def evidence(
    encoder: Any, decoder: Any, params: PyTree, keys: Key, images: Array, label: Array
) -> tuple[jax.Array, jax.Array]:
    """Return the two terms of the evidence bound, nats per picture: log-likelihood ``[B]`` of one draw of z, and divergence ``[B]``.

    Args:
        encoder, decoder: as in `vae`.
        params: with "encoder", "decoder", "log_variance".
        keys: typed, one per picture ``[B]``.
        images: ``[B, H, W, C]``, uint8 or in [0, 1].
        label: ``[B]``.
    """
    noise = jax.vmap(lambda key: jax.random.split(key))(keys)
    pictures = _dequantized(noise[:, 0], images)
    mean, log_variance = encoder.apply({"params": params["encoder"]}, pictures, label)
    draw = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:]))(noise[:, 1])
    z = mean + jnp.exp(log_variance / 2) * draw
    decoded = decoder.apply({"params": params["decoder"]}, z, label)
    return gaussian_log_likelihood(pictures, decoded, params["log_variance"]), kl_to_standard_normal(mean, log_variance)


def _dequantized(keys: Key, images: Array) -> jax.Array:
    if images.dtype != jnp.uint8:
        return jnp.asarray(images)
    spread = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:]))(keys)
    return (images.astype(jnp.float32) + spread) / 256


def pca_log_likelihood(train: np.ndarray, test: np.ndarray, *, latent: int) -> np.ndarray:
    """Return the exact log density of `test` under probabilistic PCA fitted to `train`: the linear VAE, nats per example.

    Args:
        train, test: ``[N, D]`` floats; spread 8-bit values over their 1/256 first, as `evidence` does.
        latent: dimensions, below D.

    Reference: Tipping and Bishop, Probabilistic Principal Component Analysis, 1999, section 3.2.
    """
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    mean = train.mean(0)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    noise, dimensions = values[latent:].mean(), len(values)
    centered = test - mean
    scores = centered @ vectors[:, :latent]
    distance = (np.sum(centered**2, 1) - np.sum(scores**2, 1)) / noise + np.sum(scores**2 / values[:latent], 1)
    log_determinant = np.sum(np.log(values[:latent])) + (dimensions - latent) * np.log(noise)
    return -0.5 * (distance + log_determinant + dimensions * np.log(2 * np.pi))
