"""Features of pictures by VGG-16, which is not trained: statistics of style at all depths, and what is where at the deepest."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import models
from jaxart.arrays import Array, PyTree
from jaxart.image import unit
from jaxart.losses import moments
from jaxart.models.vgg import CHANNELS
from jaxart.training import apply_in_batches

FEATURE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
GRAM_LAYERS = ("relu3_3", "relu4_3")  # whose covariances are looked at too
_DIRECTIONS = 64  # of the channels, in which covariances are taken
_LEAST = 1e-6  # whose root is taken at the least: of 0 it would have no slope


def picture_features(variables: PyTree, images: Array, *, batch: int = 16) -> np.ndarray:
    """Return what VGG sees in pictures as 7616 numbers: means and deviations of five layers over the pixels, covariances, and maxima.

    They are the mean of those of the picture and of its mirror image. Means, deviations and covariances are what style is told by; the
    maxima of the last layer say what is there, wherever it is.
    Covariances are those of relu3_3 and relu4_3 in 64 random directions of their channels. Square roots are taken (of covariances with
    their sign), for activations have long tails.

    Args:
        variables: from ``weights.load("vgg16")``.
        images: ``[N, H, W, 3]``, uint8 or in [0, 1].
        batch: pictures at a time.

    Returns:
        ``[N, 7616]``, float32.

    Reference: means and deviations as Huang and Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017;
    signed roots of covariances as Lin et al., Bilinear CNN Models for Fine-grained Visual Recognition, 2015.
    """
    network = models.VGG(depth=models.vgg_depth(variables), layers=FEATURE_LAYERS)
    return apply_in_batches(_statistics, network, network.freeze(variables), images, batch=batch)


def feature_statistics(variables: PyTree, images: Array) -> jax.Array:
    """Return `picture_features` of a batch as a function that can be differentiated: what explains a head by pixels.

    Args:
        variables: from ``weights.load("vgg16")``.
        images: ``[B, H, W, 3]`` in [0, 1].
    """
    return _statistics(models.VGG(depth=models.vgg_depth(variables), layers=FEATURE_LAYERS), variables, images)


def feature_blocks() -> tuple[int, ...]:
    """Return how many numbers of `picture_features` belong together, one after another: of a layer and a kind of statistic."""
    blocks: list[int] = []
    for layer, channels in zip(FEATURE_LAYERS, CHANNELS, strict=True):  # one of each block of the network
        blocks += [channels, channels]
        blocks += [_DIRECTIONS * (_DIRECTIONS + 1) // 2] * (layer in GRAM_LAYERS)
        blocks += [channels] * (layer == FEATURE_LAYERS[-1])
    return tuple(blocks)


def _statistics(network: Any, variables: PyTree, images: Array) -> jax.Array:
    pictures = unit(images)
    one, other = (_one_sided(network, variables, each) for each in (pictures, pictures[:, :, ::-1]))
    return (one + other) / 2


def _one_sided(network: Any, variables: PyTree, pictures: jax.Array) -> jax.Array:
    def tap(name: str, layer: jax.Array) -> jax.Array:
        mean = jnp.mean(layer, axis=(1, 2))
        deviation = jnp.sqrt(jnp.maximum(jnp.mean(layer**2, axis=(1, 2)) - mean**2, _LEAST))
        found = [jnp.sqrt(mean + _LEAST), jnp.sqrt(deviation)]
        if name in GRAM_LAYERS:
            found.append(_covariances(layer))
        if name == network.layers[-1]:
            found.append(jnp.sqrt(jnp.max(layer, axis=(1, 2)) + _LEAST))
        return jnp.concatenate(found, axis=-1)

    found = network.apply(variables, pictures, tap=tap)
    return jnp.concatenate([found[name] for name in network.layers], axis=-1)


def _covariances(layer: jax.Array) -> jax.Array:
    """Return the signed roots of the covariances of 64 directions, the upper triangle: ``[B, H, W, C] -> [B, 2080]``."""
    along = layer @ _directions(layer.shape[-1])
    statistics = moments(along)
    covariance = statistics.second - statistics.mean[:, :, None] * statistics.mean[:, None]
    rows, columns = np.triu_indices(_DIRECTIONS)
    values = covariance[:, rows, columns]
    return jnp.sign(values) * jnp.sqrt(jnp.abs(values) + _LEAST)


@functools.lru_cache(maxsize=8)
def _directions(channels: int) -> np.ndarray:
    """Return random signs ``[C, 64]``, columns of length 1, the same at all times."""
    bits = np.random.PCG64([channels, _DIRECTIONS]).random_raw(channels * _DIRECTIONS)
    signs = 2 * (bits >> np.uint64(63)).astype(np.float32) - 1
    return signs.reshape(channels, _DIRECTIONS) / np.float32(channels**0.5)
