"""The encoder of a trained autoencoder, a run of the kind vae, whose means are what the head of a classifier looks at."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import color, metrics, models
from jaxart.arrays import Array, PyTree
from jaxart.image import unit
from jaxart.runs.kind import Facts, Trained
from jaxart.runs.results import newest_state
from jaxart.runs.run import open_run
from jaxart.training import apply_in_batches


class Encoder(NamedTuple):
    """What describes pictures by a Gaussian, of which the mean counts.

    Fields:
        network: `models.VAEEncoder`.
        params: averaged.
        size: side of the pictures, pixels.
        channels: of the pictures: 1, gray, or 3.
    """

    network: Any
    params: PyTree
    size: int
    channels: int

    def __call__(self, params: PyTree, images: Array) -> jax.Array:
        """Return the means ``[B, L]`` of RGB pictures ``[B, S, S, 3]`` in [0, 1]."""
        shown = images if self.channels == 3 else color.luminance(images)[..., :1]
        return self.network.apply({"params": params}, shown)[0]


def read_encoder(folder: Path) -> Encoder:
    """Read the encoder of a run as it stands.

    Args:
        folder: of a run of the kind vae.

    Raises:
        ValueError: a run of another kind, one that learned classes, or one that has no checkpoint.
    """
    run = open_run(folder)
    if run.kind != "vae":
        raise ValueError(f"{folder}: expected a run of the kind vae as the encoder, got one of the kind {run.kind}.")
    if run.options.conditional:
        raise ValueError(f"{folder}: its encoder has to be told the class; expected one without conditional.")
    return _encoder(_about(run.options), newest_state(run).average["encoder"])


def facts_of_encoder(encoder: Encoder, side: int) -> Facts:
    """Return what a run has to remember of an encoder beside its params.

    Args:
        encoder: whose means are looked at.
        side: to which pictures are brought, pixels.

    Raises:
        ValueError: the encoder sees pictures of another size.
    """
    if side != encoder.size:
        raise ValueError(
            f"size: the encoder sees pictures of {encoder.size} pixels a side, got {side}; give that size."
        )
    sizes = {"latent": encoder.network.latent, "width": encoder.network.width}
    known = metrics.content_hash(encoder.params)
    return {"encoder": {**sizes, "size": encoder.size, "channels": encoder.channels, "hash": known}}


def shapes_of_encoder(facts: Facts) -> PyTree:
    """Return the shapes of an encoder's params.

    Args:
        facts: with those of `facts_of_encoder`.
    """
    encoder = _encoder(facts["encoder"], None)
    images = jax.ShapeDtypeStruct((1, encoder.size, encoder.size, encoder.channels), jnp.float32)
    return jax.eval_shape(encoder.network.init, jax.random.key(0), images)["params"]


def encoder_of(trained: Trained) -> Encoder:
    """Return the encoder that a head was trained with, which is in its state.

    Args:
        trained: with a state that has taken a step.

    Raises:
        ValueError: it is another one than the run began with.
    """
    about, params = trained.facts["encoder"], trained.state.encoder
    if metrics.content_hash(params) != about["hash"]:
        raise ValueError(
            f"{trained.options.encoder}: the autoencoder was trained on since this run began. Begin a new one."
        )
    return _encoder(about, params)


def encoded(encoder: Encoder, images: Array) -> np.ndarray:
    """Return the means of pictures, float32 ``[N, L]``.

    Args:
        encoder: see `Encoder`.
        images: ``[N, S, S, 3]``, uint8 or in [0, 1].
    """
    return apply_in_batches(_apply, encoder._replace(params=None), encoder.params, images, batch=64)


def _apply(encoder: Encoder, params: PyTree, images: Array) -> jax.Array:
    return encoder(params, unit(images))


def _about(options: Any) -> dict[str, int]:
    return {name: getattr(options, name) for name in ("latent", "width", "size", "channels")}


def _encoder(about: dict[str, Any], params: PyTree) -> Encoder:
    network = models.VAEEncoder(latent=about["latent"], width=about["width"])
    return Encoder(network, params, about["size"], about["channels"])
