"""Style: distances between whole feature maps, which do not add up over tiles and devices; and all style losses by name.

Features are ``[H, W, C]`` of any float type; distances are float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, Key
from jaxart.losses.style import ADAIN, GRAM, WASSERSTEIN, WASSERSTEIN_CONVERGED, StyleLoss

_HIGHEST = jax.lax.Precision.HIGHEST


def _unit(vectors: jax.Array) -> jax.Array:
    """Divide vectors by their length; a zero vector stays zero and has a finite derivative."""
    return vectors * jax.lax.rsqrt(jnp.sum(vectors**2, axis=-1, keepdims=True) + 1e-12)


def _patches(features: jax.Array, size: int, stride: int) -> jax.Array:
    """Return the size x size patches, `stride` apart, as rows, ``[P, size size C]``."""
    height, width, _ = features.shape
    rows, columns = height - size + 1, width - size + 1
    if rows < 1 or columns < 1:
        raise ValueError(f"nearest_patches: expected features of at least {size} x {size}, got {height} x {width}.")
    windows = [features[i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    taken = [_apart(_apart(window, stride, axis=0), stride, axis=1) for window in windows]
    return jnp.concatenate(taken, axis=-1).reshape(taken[0].shape[0] * taken[0].shape[1], -1)


def _apart(array: jax.Array, stride: int, axis: int) -> jax.Array:
    """Take every `stride`-th entry of an axis, and the last, so that no border is left out."""
    length = array.shape[axis]
    taken = jax.lax.slice_in_dim(array, 0, length, stride, axis)
    if (length - 1) % stride == 0:
        return taken
    return jnp.concatenate([taken, jax.lax.slice_in_dim(array, length - 1, length, 1, axis)], axis)


def nearest_patches(
    features: Array, style: Array, *, size: int = 3, chunk: int = 1024, stride: int = 1, style_stride: int = 1
) -> jax.Array:
    """Compare each patch with the style patch nearest in cosine distance: ``mean_i min_j (1 - cos(p_i, s_j))``.

    Features are centered on the style's mean first. The choice of the nearest is not differentiated. Rows are worked on in chunks, so
    that memory is ``chunk x P_style``, not ``P x P_style``; the work is ``P x P_style``, so take fewer patches of large features.

    Args:
        features: ``[H, W, C]``.
        style: ``[h, w, C]``.
        size: side of a patch; 1 compares single feature vectors.
        chunk: patches compared at once.
        stride: from one patch to the next, the last patch of a row or column always among them; patches overlap if it is less than
            `size`, and leave features out if it is more.
        style_stride: from one patch of the style to the next.

    Returns:
        A scalar.

    Raises:
        ValueError: features smaller than a patch.

    Reference: Li and Wand, Combining Markov Random Fields and Convolutional Neural Networks for Image Synthesis, 2016 (patches);
    Kolkin et al., Neural Neighbor Style Transfer, 2022 (centered cosine distance).
    """
    center = jnp.mean(style, axis=(0, 1), keepdims=True)
    candidates = _unit(_patches(style - center, size, style_stride))
    queries = _patches(features - center, size, stride)

    def nearest(query):
        similarity = jnp.matmul(_unit(query)[None], candidates.T, precision=_HIGHEST)[0]
        return jax.lax.stop_gradient(jnp.argmax(similarity))

    frozen = jax.lax.stop_gradient(queries)
    chosen = candidates[jax.lax.map(nearest, frozen, batch_size=min(chunk, queries.shape[0]))]
    return jnp.mean(1 - jnp.sum(_unit(queries) * chosen, axis=-1))


def _cosine_distances(features: jax.Array) -> jax.Array:
    pixels = _unit(features.reshape(*features.shape[:-3], -1, features.shape[-1]))
    distance = 1 - jnp.matmul(pixels, jnp.swapaxes(pixels, -1, -2), precision=_HIGHEST)
    return distance / (jnp.sum(distance, axis=-2, keepdims=True) + 1e-6)


def self_similarity(features: Array, target: Array) -> jax.Array:
    """Compare how pixels resemble each other within two pictures: ``mean |D - D_t| P``.

    D holds the cosine distances between all P pixels, each column divided by its sum. Color and texture may change freely; only the
    layout is held. The matrix is P x P: sample or shrink large feature maps first.

    Args:
        features: ``[..., H, W, C]``.
        target: ``[..., H, W, c]``, the same H and W.

    Returns:
        ``[...]``.

    Reference: Kolkin et al., Style Transfer by Relaxed Optimal Transport and Self-Similarity, 2019, eq. 7. Departure: times P, so that
    the value does not depend on the number of pixels.
    """
    count = features.shape[-3] * features.shape[-2]
    difference = _cosine_distances(features) - _cosine_distances(target)
    return jnp.mean(difference * jnp.sign(difference), axis=(-2, -1)) * count  # jnp.abs has derivative 1 at 0


def _sorted_columns(features: jax.Array) -> jax.Array:
    return jnp.sort(features.reshape(-1, features.shape[-1]), axis=0)  # [P, C]


def _at_quantiles(ordered: jax.Array, count: int) -> jax.Array:
    """Read sorted columns ``[Q, K]`` at the middles of `count` equal parts, between neighbors linearly: ``[count, K]``."""
    places = (jnp.arange(count, dtype=jnp.float32) + 0.5) * (ordered.shape[0] / count) - 0.5
    places = jnp.clip(places, 0, ordered.shape[0] - 1)
    below = jnp.floor(places).astype(jnp.int32)
    above = jnp.minimum(below + 1, ordered.shape[0] - 1)
    share = (places - below.astype(jnp.float32))[:, None]
    return ordered[below] * (1 - share) + ordered[above] * share


def histogram_target(features: Array) -> jax.Array:
    """Prepare a style for `histogram`: sort each channel of features ``[h, w, C]``: ``[h w, C]``, float32."""
    return _sorted_columns(features.astype(jnp.float32))


def histogram(features: Array, target: Array) -> jax.Array:
    """Compare the histograms of each channel: ``mean (F - R(F))^2``, where R gives the channels of F the style's histograms.

    Matching is by rank, without bins: it is the squared Wasserstein-2 distance of each channel's values. The style's sorted values
    are read between neighbors where it has another number of pixels.

    Args:
        features: ``[H, W, C]``.
        target: ``[P, C]``, from `histogram_target`.

    Returns:
        A scalar.

    Reference: Risser et al., Stable and Controllable Neural Texture Synthesis and Style Transfer Using Histogram Losses, 2017, section 4.
    Departure: exact ranks instead of 256 bins; the mean instead of the sum.
    """
    own = _sorted_columns(features.astype(jnp.float32))
    return jnp.mean((own - _at_quantiles(target, own.shape[0])) ** 2)


class SlicedTarget(NamedTuple):
    """What `sliced_wasserstein` needs of a style: ``directions [C, K]`` of length one, and its sorted projections ``ordered [P, K]``."""

    directions: jax.Array
    ordered: jax.Array


def sliced_target(features: Array, *, key: Key | None = None, count: int | None = None) -> SlicedTarget:
    """Prepare a style for `sliced_wasserstein`: draw directions, project the features on them and sort.

    Args:
        features: ``[h, w, C]``.
        key: typed key of the directions; ``jax.random.key(0)`` by default, so that all layers and paintings of C channels share them.
        count: number of directions; C by default.
    """
    channels = features.shape[-1]
    normal = jax.random.normal(jax.random.key(0) if key is None else key, (channels, count or channels))
    directions = normal / jnp.linalg.norm(normal, axis=0, keepdims=True)
    return SlicedTarget(directions, _sorted_columns(_projected(features, directions)))


def sliced_wasserstein(features: Array, target: SlicedTarget) -> jax.Array:
    """Compare the distributions of feature vectors by their projections: ``mean_k W2^2(d_k F, d_k F_t)``, a mean over ranks.

    Args:
        features: ``[H, W, C]``.
        target: from `sliced_target`; its directions stay the same from step to step.

    Returns:
        A scalar.

    Reference: Heitz et al., A Sliced Wasserstein Loss for Neural Texture Synthesis, 2021, eq. 3 and 4. Departure: fixed directions, so
    that the objective is the same in every step; they draw new ones.
    """
    own = _sorted_columns(_projected(features, target.directions))
    return jnp.mean((own - _at_quantiles(target.ordered, own.shape[0])) ** 2)


def _projected(features: jax.Array, directions: jax.Array) -> jax.Array:
    return jnp.matmul(features.astype(jnp.float32), directions, precision=_HIGHEST)  # [H, W, K]


def _as_float(features: jax.Array) -> jax.Array:
    return features.astype(jnp.float32)


_MOST_PATCHES = 4096  # of a layer of the style, at the closest stride that gives no more


def _nearest_patches(features: jax.Array, style: jax.Array) -> jax.Array:
    """Compare patches of 3 x 3, or of what a small layer has.

    Departure from Li and Wand, who compare all patches of relu3_1 and relu4_1 only: any layer, and at most 4096 patches of the style,
    evenly spaced. Of the picture every second is taken where there are more, so that all overlap. So the work is a line in its pixels.
    """
    size = min(3, *features.shape[:2], *style.shape[:2])
    stride = min(_bounding_stride(features, size), max(1, size - 1))
    return nearest_patches(
        _as_float(features), style, size=size, stride=stride, style_stride=_bounding_stride(style, size)
    )


def _bounding_stride(features: jax.Array, size: int) -> int:
    """Return the smallest stride at which features have no more than `_MOST_PATCHES` patches."""
    rows, columns, stride = features.shape[0] - size + 1, features.shape[1] - size + 1, 1
    while (1 - (1 - rows) // stride) * (1 - (1 - columns) // stride) > _MOST_PATCHES:  # the last among them
        stride += 1
    return stride


PATCH = StyleLoss(_as_float, _nearest_patches, additive=False, name="patch(size=3, style_patches=4096)")
HISTOGRAM = StyleLoss(histogram_target, histogram, additive=False, name="histogram")
SLICED = StyleLoss(sliced_target, sliced_wasserstein, additive=False, name="sliced(key=0, count=channels)")

STYLE_LOSSES = {
    "wasserstein": WASSERSTEIN,
    "wasserstein-converged": WASSERSTEIN_CONVERGED,
    "gram": GRAM,
    "adain": ADAIN,
    "patch": PATCH,
    "histogram": HISTOGRAM,
    "sliced": SLICED,
}
