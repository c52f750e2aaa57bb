"""Steering a trained generator: directions in its latent space, found with labels and without, and pictures of what they change.

A code is a latent ``[..., L]`` or the styles of a picture, ``[..., layers, D]``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, PyTree
from jaxart.models import truncated
from jaxart.tasks.generate.sample import Styled, paintings


class Directions(NamedTuple):
    """Orthogonal directions ``[K, D]`` of length 1, and what each accounts for, ``[K]``, falling: a variance, or a squared gain."""

    vectors: jax.Array
    values: jax.Array


def principal_directions(codes: Array, count: int) -> Directions:
    """Return the directions in which codes vary most: eigenvectors of their covariance.

    Args:
        codes: ``[N, D]``, such as the styles w of many latents. Latents themselves vary alike in all directions; see `visible_directions`.
        count: K, at most D.

    Raises:
        ValueError: more directions than dimensions, or none.

    Reference: Haerkoenen et al., GANSpace: Discovering Interpretable GAN Controls, 2020, section 2.1.
    """
    centered = codes - jnp.mean(codes, axis=0, keepdims=True)
    return _leading(centered.T @ centered / len(codes), count)


def visible_directions(latents: Array, pictures: Array, count: int) -> Directions:
    """Return the directions of latents that change pictures most: principal components of the pictures, brought back to latents.

    The scores of each component are regressed on the latents, which are normal; the directions are made orthogonal, the strongest first.

    Args:
        latents: ``[N, L]``, normal.
        pictures: of them, ``[N, ...]``, or features of them. N should be some times L.
        count: K, at most L and N.

    Raises:
        ValueError: more directions than dimensions, or none.

    Reference: GANSpace, section 2.2. Departure: the components are those of the pictures, not of a layer, so that any generator serves.
    """
    latents = latents - jnp.mean(latents, axis=0, keepdims=True)
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - jnp.mean(flat, axis=0, keepdims=True)
    found = _leading(flat @ flat.T / len(flat), count)  # of N x N: pictures have more numbers than there are pictures
    regressed, _ = jnp.linalg.qr(latents.T @ found.vectors.T)  # [L, K]
    return Directions(_signed(regressed.T), found.values)


def factorized_directions(
    params: PyTree, count: int, *, latent: int, layers: tuple[int, int] | None = None
) -> Directions:
    """Return the directions to which a generator's first products answer most: eigenvectors of ``A^T A``. Nothing is drawn.

    A maps a latent to the first features (networks with a layer "dense"), or a style w to the scales of the convolutions' inputs.

    Args:
        params: of a generator, such as ``styled.variables["params"]``.
        count: K, at most `latent`.
        latent: dimensions of a latent, or of w.
        layers: (first, last) of the styles whose convolutions count, both included; all by default.

    Raises:
        ValueError: params without such layers, more directions than dimensions, or none.

    Reference: Shen and Zhou, Closed-Form Factorization of Latent Semantics in GANs, 2021, eq. 4.
    """
    kernels = _style_kernels(params, layers) if "synthesis" in params else _first_kernel(params, latent)
    if not kernels:
        known = "layers of styles in that range" if "synthesis" in params else 'a first layer "dense"'
        raise ValueError(f"factorized_directions: expected params with {known}, got {', '.join(params)}.")
    return _leading(jnp.sum(jnp.stack([kernel @ kernel.T for kernel in kernels]), axis=0), count)


def labeled_direction(codes: Array, labels: Array, *, ridge: float = 0.01) -> jax.Array:
    """Return the direction along which codes change from one label to another, of length 1: that of ridge regression.

    For two classes it is Fisher's discriminant: the difference of their means, in units of the scatter.

    Args:
        codes: ``[N, D]``.
        labels: ``[N]``: 0 and 1, or any numbers, such as the brightness of the pictures.
        ridge: added to the covariance, in units of its mean variance; more for fewer codes.

    Returns:
        ``[D]``.

    Raises:
        ValueError: labels that are all the same.

    Reference: Shen et al., Interpreting the Latent Space of GANs for Semantic Face Editing, 2020, section 3. Departure: regression in
    closed form instead of a support vector machine.
    """
    labels = jnp.asarray(labels, jnp.float32)
    if len(labels) == 0 or bool(jnp.all(labels == labels[0])):
        raise ValueError("labels: expected at least two different ones, got one; nothing tells the codes apart.")
    codes, labels = codes - jnp.mean(codes, axis=0, keepdims=True), labels - jnp.mean(labels)
    scatter = codes.T @ codes / len(codes)
    scatter = scatter + ridge * jnp.trace(scatter) / len(scatter) * jnp.eye(len(scatter))
    found = jnp.linalg.solve(scatter, codes.T @ labels / len(codes))
    return found / jnp.linalg.norm(found)


def edited(codes: Any, direction: Any, strength: float | Array, *, layers: tuple[int, int] | None = None) -> Any:
    """Move codes along a direction: ``code + strength direction``.

    Args:
        codes: ``[..., D]``, or ``[..., layers, D]`` where `layers` is given.
        direction: ``[D]``.
        strength: in the codes' units; 0 changes nothing.
        layers: (first, last) of the styles that move, both included: first ones are coarse (form), last ones fine (color, grain).

    Raises:
        ValueError: layers that the codes do not have.
    """
    change = strength * direction.reshape((1,) * (codes.ndim - 1) + (-1,))
    if layers is None:
        return codes + change
    first, last = layers
    if not 0 <= first <= last < codes.shape[-2]:
        raise ValueError(f"layers: expected first and last of 0 to {codes.shape[-2] - 1}, got {first} and {last}.")
    number = np.arange(codes.shape[-2])
    chosen = np.float32((number >= first) & (number <= last)).reshape((1,) * (codes.ndim - 2) + (-1, 1))
    return codes + chosen * change


def mixed(coarse: Array, fine: Array, *, crossover: int) -> Array:
    """Return all pairs of styles: the first layers of one, the others of another.

    Args:
        coarse: ``[R, layers, D]``, which give form.
        fine: ``[K, layers, D]``, which give color and grain.
        crossover: the number of first layers that are the coarse ones'.

    Returns:
        ``[R, K, layers, D]``.
    """
    first = (np.arange(coarse.shape[1]) < crossover).reshape(1, 1, -1, 1)
    return jnp.where(first, coarse[:, None], fine[None])


def mixing_grid(styled: Styled, rows: Array, columns: Array, *, crossover: int = 4) -> np.ndarray:
    """Paint a table: each picture has the coarse styles of its row and the fine ones of its column.

    Args:
        styled: a generator with styles.
        rows: ``[R, layers, D]``; their pictures stand at the left.
        columns: ``[K, layers, D]``; their pictures stand at the top.
        crossover: see `mixed`.

    Returns:
        float32 ``[(R + 1) (K + 1), H, W, C]`` in [0, 1], for ``io.grid(pictures, columns=K + 1)``; the corner is white.
    """
    pairs = mixed(rows, columns, crossover=crossover).reshape(-1, *rows.shape[1:])
    made = paintings(styled, np.concatenate([columns, rows, pairs]))
    top, left, inner = np.split(made, [len(columns), len(columns) + len(rows)])
    inner = inner.reshape(len(rows), len(columns), *made.shape[1:])
    head = np.concatenate([np.ones_like(made[:1]), top])[None]
    return np.concatenate([head, np.concatenate([left[:, None], inner], axis=1)]).reshape(-1, *made.shape[1:])


def truncation_sweep(styled: Styled, w: Array, amounts: Sequence[float]) -> np.ndarray:
    """Paint styles at several truncations.

    Args:
        styled: a generator with styles.
        w: ``[N, layers, D]``, not truncated.
        amounts: T of them: 1 as they are, 0 the average of all, below 0 the opposite.

    Returns:
        float32 ``[N T, H, W, C]`` in [0, 1], for ``io.grid(pictures, columns=T)``: a row for each of `w`.
    """
    average = styled.variables["average"]["w"]
    pulled = jnp.stack([truncated(w, average, amount=amount) for amount in amounts], axis=1)
    return paintings(styled, pulled.reshape(-1, *w.shape[1:]))


def _leading(symmetric: Array, count: int) -> Directions:
    """Return the eigenvectors of the largest eigenvalues."""
    if not 1 <= count <= len(symmetric):
        raise ValueError(f"count: expected 1 to {len(symmetric)} directions, got {count}.")
    values, vectors = jnp.linalg.eigh(symmetric)
    return Directions(_signed(vectors.T[::-1][:count]), values[::-1][:count])


def _signed(vectors: Array) -> jax.Array:
    """Give each vector ``[K, D]`` the sign with which its largest number is positive, since eigenvectors have none."""
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=1)[:, None], axis=1)
    return vectors * jnp.where(largest < 0, -1.0, 1.0)


def _style_kernels(params: Mapping[str, Any], layers: tuple[int, int] | None) -> list[Array]:
    """Return the kernels ``[D, F]`` that make scales of the styles, of the convolutions that take one of these layers' styles."""
    first, last = layers or (0, np.inf)
    numbers = {name: _style_number(name) for name in params["synthesis"]}
    chosen = [name for name, number in numbers.items() if number is not None and first <= number <= last]
    return [params["synthesis"][name]["style"]["kernel"] for name in chosen]


def _style_number(name: str) -> int | None:
    """Return which style a layer of `models.StyleGANGenerator` takes: up8 1, layer8 2, up16 3, ...; None for what makes pictures."""
    found = re.fullmatch(r"(up|layer)(\d+)", name)
    return found and 2 * int(found[2]).bit_length() - (7 if found[1] == "up" else 6)


def _first_kernel(params: Mapping[str, Any], latent: int) -> list[Array]:
    """Return the kernel of the first layer, without the rows of classes."""
    return [params["dense"]["kernel"][:latent]] if "dense" in params else []
