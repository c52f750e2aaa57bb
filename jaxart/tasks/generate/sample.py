"""Using a trained generator: latents, pictures, walks, export."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key, PyTree
from jaxart.ops import use_native
from jaxart.training import apply_in_batches

PLATFORMS = ("cpu", "cuda", "tpu")


class Generate(NamedTuple):
    """A trained generator: ``generate(z [B, L], label [B]) -> [B, H, W, C]`` in [0, 1].

    Fields:
        apply: ``(network, variables, z, label) -> pictures``; the same function for all generators of a kind.
        network: its module.
        variables: of the network, an argument of the program that draws, so that other weights compile nothing.
    """

    apply: Callable[[Any, PyTree, Array, Array], jax.Array]
    network: Any
    variables: PyTree

    def __call__(self, z: Array, label: Array) -> jax.Array:
        """Return the pictures of latents ``[B, L]`` and labels ``[B]``."""
        return self.apply(self.network, self.variables, z, label)


def generator_of(network: Any, variables: PyTree) -> Generate:
    """Return a GAN's generator, ready to draw.

    Args:
        network: the module, ``(z, label, train) -> pictures`` in [-1, 1].
        variables: such as ``{**state.generator, "params": state.average}``.
    """
    return Generate(_apply_generator, network, jax.tree.map(jnp.asarray, variables))


def _apply_generator(network: Any, variables: PyTree, z: Array, label: Array) -> jax.Array:
    return (network.apply(variables, z, label, train=False).astype(jnp.float32) + 1) / 2


def decoder_of(network: Any, params: PyTree) -> Generate:
    """Return a VAE's decoder, ready to draw.

    Args:
        network: the module, ``(z, label) -> pictures`` in [0, 1].
        params: such as ``state.average["decoder"]``.
    """
    return Generate(_apply_decoder, network, {"params": jax.tree.map(jnp.asarray, params)})


def _apply_decoder(network: Any, variables: PyTree, z: Array, label: Array) -> jax.Array:
    return network.apply(variables, z, label)


def draw_latents(key: Key, count: int, *, latent: int, first: int = 0) -> jax.Array:
    """Draw standard normal ``[count, latent]``; row i depends on the key and `first` + i alone, so more rows change none.

    Args:
        key: typed key.
        count: rows.
        latent: dimensions.
        first: number of the first row.
    """
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(first, first + count))
    return jax.vmap(lambda each: jax.random.normal(each, (latent,)))(keys)


def pictures(generate: Generate, z: Array, label: Array, *, batch: int = 64) -> np.ndarray:
    """Make pictures in batches of one size, so that one program serves them, and all weights of the same network.

    Fewer latents than `batch` are one batch of their number, for which a program of its own is compiled.

    Args:
        generate: from `generator_of` or `decoder_of`.
        z: ``[N, L]``.
        label: ``[N]`` int32.
        batch: pictures at a time.

    Returns:
        float32 ``[N, H, W, C]`` in [0, 1].
    """
    made = apply_in_batches(*generate, z, label, batch=max(1, min(batch, len(z))))
    return np.clip(made, 0, 1)


def slerp(start: Array, end: Array, share: Array) -> jax.Array:
    """Interpolate on the great circle between two latents: ``(sin((1 - t) w) a + sin(t w) b) / sin w``, w the angle between them.

    Straight lines would pass through lengths that normal latents never have.

    Args:
        start, end: ``[..., L]``.
        share: t in [0, 1], ``[...]``.

    Reference: White, Sampling Generative Networks, 2016.

    >>> slerp(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), jnp.array(0.5)).round(3).tolist()
    [0.7070000171661377, 0.7070000171661377]
    """
    lengths = jnp.linalg.norm(start, axis=-1) * jnp.linalg.norm(end, axis=-1)
    cosine = jnp.sum(start * end, -1) / jnp.maximum(lengths, 1e-12)
    flat = jnp.abs(cosine) > 1 - 1e-6  # parallel: the straight line is the circle
    angle = jnp.arccos(jnp.where(flat, 0.0, cosine))
    sine = jnp.sin(angle)
    left = jnp.where(flat, 1 - share, jnp.sin((1 - share) * angle) / sine)
    right = jnp.where(flat, share, jnp.sin(share * angle) / sine)
    return left[..., None] * start + right[..., None] * end


def walk(stops: Array, *, frames: int) -> jax.Array:
    """Return a closed walk through latents: ``[S * frames, L]`` from ``[S, L]``, `frames` from each stop to the next.

    Args:
        stops: latents ``[S, L]``.
        frames: from one stop to the next, the first stop included.
    """
    shares = jnp.arange(frames) / frames
    after = jnp.roll(stops, -1, axis=0)
    shape = (len(stops), frames, stops.shape[1])
    starts, ends = (jnp.broadcast_to(each[:, None], shape) for each in (stops, after))
    return slerp(starts, ends, jnp.broadcast_to(shares, shape[:2])).reshape(-1, stops.shape[1])


def export(generate: Generate, *, latent: int, platforms: Sequence[str] = PLATFORMS) -> bytes:
    """Serialize a generator with its weights for any batch size; ``jax.export.deserialize(data).call(z, label)`` runs it without jaxart.

    Args:
        generate: from `generator_of` or `decoder_of`.
        latent: dimensions of z.
        platforms: to lower for.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = jax.ShapeDtypeStruct((batch, latent), jnp.float32), jax.ShapeDtypeStruct((batch,), jnp.int32)
    program = jax.jit(functools.partial(*generate))  # the weights become part of the file
    with use_native(False):  # the file must run without jaxart
        return bytes(jax.export.export(program, platforms=tuple(platforms))(*shapes).serialize())
