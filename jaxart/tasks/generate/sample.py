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


class Styled(NamedTuple):
    """A trained generator that paints from styles: z -> w -> pictures. What steers it moves w.

    Fields:
        network: module with the methods ``styles(z, label, truncation) -> w [B, layers, D]`` and ``paint(w) -> pictures`` in [-1, 1], such
            as `models.StyleGANGenerator`.
        variables: "params", "average" (of w) and "noise", whose maps ``[1, h, w, 1]`` are added at each layer.
    """

    network: Any
    variables: PyTree


def styles_of(styled: Styled, z: Array, label: Array, *, truncation: float = 1.0, batch: int = 256) -> np.ndarray:
    """Return the styles of latents.

    Args:
        styled: a generator with styles.
        z: ``[N, L]``.
        label: ``[N]`` int32.
        truncation: 1 changes nothing, 0 gives the average; see `models.truncated`.
        batch: latents at a time.

    Returns:
        w, float32 ``[N, layers, D]``.
    """
    amounts = jnp.full(len(z), truncation, jnp.float32)
    return apply_in_batches(_apply_styles, *styled, z, label, amounts, batch=max(1, min(batch, len(z))))


def _apply_styles(network: Any, variables: PyTree, z: Array, label: Array, amount: Array) -> jax.Array:
    return network.apply(variables, z, label, truncation=amount[:, None, None], method="styles")


def paintings(styled: Styled, w: Array | np.ndarray, *, noise: PyTree = None, batch: int = 64) -> np.ndarray:
    """Paint styles in batches of one size, as `pictures` does latents.

    Args:
        styled: a generator with styles.
        w: ``[N, layers, D]``.
        noise: maps ``[N, h, w, 1]`` in the order of ``styled.variables["noise"]``; by default those that are stored, for all pictures.
        batch: pictures at a time.

    Returns:
        float32 ``[N, H, W, C]`` in [0, 1].
    """
    given = [] if noise is None else jax.tree.leaves(noise)
    made = apply_in_batches(_apply_paint, *styled, jnp.asarray(w), *given, batch=max(1, min(batch, len(w))))
    return np.clip(made, 0, 1)


def _apply_paint(network: Any, variables: PyTree, w: Array, *maps: Array) -> jax.Array:
    noise = jax.tree.unflatten(jax.tree.structure(variables["noise"]), maps) if maps else variables["noise"]
    return (network.apply({**variables, "noise": noise}, w, method="paint") + 1) / 2


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


def straight(start: Array, end: Array, share: Array) -> jax.Array:
    """Interpolate on the straight line: ``(1 - t) a + t b``, as between styles.

    Args:
        start, end: ``[..., L]``.
        share: t in [0, 1], ``[...]``.
    """
    return start + share[..., None] * (end - start)


def eased(share: Array) -> Array:
    """Return shares of a way that starts and ends smoothly: ``t^2 (3 - 2 t)``.

    >>> eased(np.array([0.0, 0.25, 0.5, 1.0])).tolist()
    [0.0, 0.15625, 0.5, 1.0]
    """
    return share**2 * (3 - 2 * share)


def walk(
    stops: Array, *, frames: int, loop: bool = True, ease: bool = False, between: Callable[..., Array] = slerp
) -> jax.Array:
    """Return a walk through latents, `frames` from each stop to the next.

    Args:
        stops: latents ``[S, L]``.
        frames: from one stop to the next, the first stop included.
        loop: return to the first stop; else end at the last.
        ease: start and end smoothly at each stop, see `eased`.
        between: `slerp`, or `straight` for styles.

    Returns:
        ``[S * frames, L]``, or ``[(S - 1) * frames + 1, L]`` without a loop.
    """
    ways = len(stops) if loop else len(stops) - 1
    shares = jnp.arange(frames) / frames
    shape = (ways, frames, stops.shape[1])
    starts, ends = (jnp.broadcast_to(each[:ways, None], shape) for each in (stops, jnp.roll(stops, -1, axis=0)))
    path = between(starts, ends, jnp.broadcast_to(eased(shares) if ease else shares, shape[:2]))
    path = path.reshape(-1, stops.shape[1])
    return path if loop else jnp.concatenate([path, stops[-1:]])


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
