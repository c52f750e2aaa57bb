"""Maps of where a class is seen, from the features of a layer and the slope of the class's score in them.

The network is handed in as two functions: `maps` up to a layer, and `head` from there on, so that the slopes are an ordinary gradient of
the head. For a transformer, `maps` drops the class token and reshapes the tokens of the block before the last to their grid.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, PyTree
from jaxart.explain.score import target_score, wide
from jaxart.image import resize

Maps = Callable[[PyTree, PyTree], Array]  # (params, x) -> features A [B, h, w, K]
Head = Callable[[PyTree, Array], Array]  # (params, A) -> scores before the softmax [B, C]


def grad_cam(
    maps: Maps,
    head: Head,
    params: PyTree,
    x: PyTree,
    target: Array | int,
    *,
    size: tuple[int, int] | None = None,
    raw: bool = False,
) -> jax.Array:
    """Weigh each feature map by the mean slope of the score in it: ``relu(sum_k a_k A_k)``, ``a_k = mean over positions of dy/dA_k``.

    Args:
        maps: ``(params, x) -> [B, h, w, K]``, more than one position.
        head: ``(params, features) -> [B, C]``, the scores before the softmax.
        params: of both.
        x: what `maps` takes.
        target: class of each example ``[B]``, or one for all.
        size: (height, width) to which the map is resampled, bilinear; the layer's own by default.
        raw: return the sum itself, signed and not scaled.

    Returns:
        ``[B, h, w]`` or ``[B, height, width]`` in [0, 1], divided by its largest value; zeros where nothing speaks for the class.

    Raises:
        ValueError: features without positions, scores of another shape, a class that is none.

    Reference: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, 2017, eq. 1-2.
    """
    features, slope = _features("grad_cam", maps, head, params, x, target)
    weights = jnp.mean(slope, axis=(1, 2), keepdims=True)  # [B, 1, 1, K]
    return _shown(jnp.sum(weights * features, axis=-1), size, raw)


def hires_cam(
    maps: Maps,
    head: Head,
    params: PyTree,
    x: PyTree,
    target: Array | int,
    *,
    size: tuple[int, int] | None = None,
    raw: bool = False,
) -> jax.Array:
    """Multiply features by the slope of the score at their own position: ``relu(sum_k dy/dA_k A_k)``.

    Where the head is linear in the features, the raw map adds up to the score without its bias: it shows what the network used.

    Args:
        maps: as in `grad_cam`.
        The others: as in `grad_cam`.

    Returns:
        as `grad_cam`.

    Raises:
        ValueError: as `grad_cam`.

    Reference: Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks, 2020, eq. 5.
    """
    features, slope = _features("hires_cam", maps, head, params, x, target)
    return _shown(jnp.sum(slope * features, axis=-1), size, raw)


def layer_cam(
    maps: Maps,
    head: Head,
    params: PyTree,
    x: PyTree,
    target: Array | int,
    *,
    size: tuple[int, int] | None = None,
    raw: bool = False,
) -> jax.Array:
    """Multiply features by what speaks for the class at their own position: ``relu(sum_k relu(dy/dA_k) A_k)``.

    It suits early layers, whose maps are finer and where means over positions say little.

    Args:
        maps: as in `grad_cam`.
        The others: as in `grad_cam`.

    Returns:
        as `grad_cam`.

    Raises:
        ValueError: as `grad_cam`.

    Reference: Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for Localization, 2021, eq. 6-8.
    """
    features, slope = _features("layer_cam", maps, head, params, x, target)
    return _shown(jnp.sum(jax.nn.relu(slope) * features, axis=-1), size, raw)


def _features(
    name: str, maps: Maps, head: Head, params: PyTree, x: PyTree, target: Array | int
) -> tuple[jax.Array, jax.Array]:
    """Return features and the slope of the score in them, both ``[B, h, w, K]``, float32 at least."""
    features = jnp.asarray(maps(params, x))
    if features.ndim != 4 or features.shape[1] * features.shape[2] < 2:
        raise ValueError(
            f"{name}: expected features [B, h, w, K] with positions from `maps`, got {features.shape}. Take a layer before the "
            "features are pooled or flattened; of a transformer drop the class token and reshape the others to their grid."
        )

    def total(features: Array) -> jax.Array:
        return jnp.sum(target_score(name, head(params, features), target, 1, features.shape[0]))

    slope = jax.grad(total)(features)
    return features.astype(wide(features)), slope.astype(wide(slope))


def _shown(total: jax.Array, size: tuple[int, int] | None, raw: bool) -> jax.Array:
    """Keep what is positive, scale it to 1 and resample it."""
    if not raw:
        total = jax.nn.relu(total)
        most = jnp.max(total, axis=(1, 2), keepdims=True)
        total = total / jnp.where(most > 0, most, 1)
    return total if size is None else resize(total[..., None], size, method="bilinear")[..., 0]
