"""Using a trained generator: latents, pictures, walks, export."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, Key, PyTree

PLATFORMS = ("cpu", "cuda", "tpu")
Generate = Callable[[Array, Array], jax.Array]  # z [B, L], label [B] -> pictures [B, H, W, C] in [0, 1]


def generator_of(network: Any, variables: PyTree) -> Generate:
    """Return the function ``(z [B, L], label [B]) -> [B, H, W, C]`` in [0, 1] of a GAN's generator.

    Args:
        network: the module.
        variables: such as ``{**state.generator, "params": state.average}``.
    """
    variables = jax.tree.map(jnp.asarray, variables)
    return lambda z, label: (network.apply(variables, z, label, train=False).astype(jnp.float32) + 1) / 2


def decoder_of(network: Any, params: PyTree) -> Generate:
    """Return the function ``(z [B, L], label [B]) -> [B, H, W, C]`` in [0, 1] of a VAE's decoder.

    Args:
        network: the module.
        params: such as ``state.average["decoder"]``.
    """
    params = jax.tree.map(jnp.asarray, params)
    return lambda z, label: network.apply({"params": params}, z, label)


def draw_latents(key: Key, count: int, *, latent: int, first: int = 0) -> jax.Array:
    """Draw standard normal ``[count, latent]``; row i depends on the key and `first` + i alone, so more rows change none."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(first, first + count))
    return jax.vmap(lambda each: jax.random.normal(each, (latent,)))(keys)


def pictures(generate: Generate, z: Array, label: Array, *, batch: int = 64) -> np.ndarray:
    """Make pictures in batches of one size, so that one program serves all.

    Args:
        generate: from `generator_of` or `decoder_of`.
        z: ``[N, L]``.
        label: ``[N]`` int32.
        batch: pictures at a time.

    Returns:
        float32 ``[N, H, W, C]`` in [0, 1].
    """
    batch, program, made = min(batch, len(z)), jax.jit(generate), []
    for first in range(0, len(z), batch):
        part, names = z[first : first + batch], label[first : first + batch]
        missing = batch - len(part)
        part = jnp.concatenate([part, jnp.zeros((missing, z.shape[1]))])
        names = jnp.concatenate([jnp.asarray(names), jnp.zeros(missing, jnp.int32)])
        made.append(np.asarray(program(part, names))[: batch - missing])
    return np.clip(np.concatenate(made), 0, 1)


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
    """Return a closed walk through latents: ``[S * frames, L]`` from ``[S, L]``, `frames` from each stop to the next."""
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
    return bytes(jax.export.export(jax.jit(generate), platforms=tuple(platforms))(*shapes).serialize())
