"""What a score loses where a patch of a picture is covered."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, PyTree
from jaxart.explain.score import Apply, broadcast, chunks, variant_scores


def occlusion(
    apply: Apply,
    params: PyTree,
    x: Array,
    target: Array | int,
    *,
    value: Array | float = 0.5,
    window: int = 16,
    stride: int = 8,
    chunk: int = 16,
) -> jax.Array:
    """Cover a window of the picture after the other and give each pixel the mean loss of the windows that cover it.

    The windows begin at multiples of the stride; the last ends at the border. Windows of one pixel show, of a function that is a sum over
    pixels, exactly what each adds.

    Args:
        apply: ``(params, x) -> [B, C]``, one example's scores from that example alone.
        params: of `apply`.
        x: pictures ``[B, H, W, C]`` of floats.
        target: class of each example ``[B]``, or one for all.
        value: what covers: a number, or pictures broadcast to those of x (`gray`, `mean_color`, `blurred`).
        window: side in pixels, at most that of the picture.
        stride: pixels between windows, from 1 to the window's side.
        chunk: windows tried at once, of each example.

    Returns:
        ``[B, H, W]``, signed: positive where the score falls.

    Raises:
        ValueError: arrays that are no pictures, a window, stride or value that does not fit, scores or classes that do not fit.

    Reference: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, sec. 4.2. Departure: they place the score
    itself at the center of the window; here the loss is spread over the pixels covered, so that the map has the size of the picture.
    """
    x = jnp.asarray(x)
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"occlusion: expected pictures [B, H, W, C] of floats, got {x.dtype} {x.shape}.")
    if not 1 <= stride <= window <= min(x.shape[1:3]):
        raise ValueError(
            f"occlusion: expected 1 <= stride <= window <= {min(x.shape[1:3])} pixels, got stride {stride}, window {window}."
        )
    rows, columns = (_windows(size, window, stride) for size in x.shape[1:3])  # [R, H], [S, W]
    cover = broadcast("occlusion", value, x)
    cut = chunks("occlusion", len(rows) * len(columns), chunk)

    def covered_scores(numbers: jax.Array) -> jax.Array:  # [m] -> [m, B]
        down, right = jnp.asarray(rows)[numbers // len(columns)], jnp.asarray(columns)[numbers % len(columns)]
        inside = (down[:, :, None] & right[:, None, :])[:, None, :, :, None]  # [m, 1, H, W, 1]
        return variant_scores("occlusion", apply, params, jnp.where(inside, cover[None], x[None]), target)

    scores = jax.lax.map(covered_scores, jnp.asarray(cut.numbers))  # [n, m, B]
    scores = scores.reshape(-1, x.shape[0])[: len(rows) * len(columns)]
    losses = variant_scores("occlusion", apply, params, x[None], target) - scores
    return _spread(losses.reshape(len(rows), len(columns), x.shape[0]), rows, columns)


def _windows(size: int, window: int, stride: int) -> np.ndarray:
    """Return which pixels of an axis each window covers: booleans ``[windows, size]``."""
    begins = np.unique([*range(0, size - window, stride), size - window])[:, None]
    pixels = np.arange(size)[None]
    return (pixels >= begins) & (pixels < begins + window)


def _spread(losses: jax.Array, rows: np.ndarray, columns: np.ndarray) -> jax.Array:
    """Return the mean of losses ``[R, S, B]`` over the windows that cover each pixel: ``[B, H, W]``."""
    down, right = (jnp.asarray(each / each.sum(axis=0, keepdims=True), losses.dtype) for each in (rows, columns))
    return jnp.einsum("rsb,rh,sw->bhw", losses, down, right, precision=jax.lax.Precision.HIGHEST)
