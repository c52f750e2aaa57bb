"""What all ways of restoring share: ``restore(picture, observation) -> Restored``, a picture and how uncertain each pixel of it is.

How uncertain is measured, not assumed: what was restored is damaged once more, in the same way and where the truth is known, and restored
again; the errors of that second look are those to be expected of the first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage

from jaxart.arrays import Key
from jaxart.image import enlarge, shrink

_NEAR = 3.0  # pixels: deviation of the window in which errors are averaged
_GAP = 4  # pixels between a hole and where it is looked for once more


class Observation(NamedTuple):
    """What is known of how a picture came to harm.

    Fields:
        holes: which share of each pixel is missing, ``[H, W]`` in [0, 1]; None for nothing.
        noise: standard deviation, a number or ``[H, W, 1]``; None where it is not known.
        scale: how many times it is to be enlarged.
    """

    holes: Any = None
    noise: Any = None
    scale: int = 1


class Restored(NamedTuple):
    """A picture ``[H, W, C]``, and the root mean square of the error to be expected ``[H, W, 1]``, 0 where nothing was changed."""

    picture: np.ndarray
    uncertainty: np.ndarray


Method = Callable[[Any, Observation], Restored]


def by_filling(fill: Callable[[Any, Any], Any]) -> Method:
    """Return a way of restoring that fills holes and leaves all else bit for bit.

    The second look: the same holes, elsewhere in the picture. Their errors are told by how deep in a hole a pixel lies.

    Args:
        fill: ``(picture, share [H, W]) -> picture``, such as `inpaint` of a network; what is not missing stays as it is.
    """

    def restore(picture: Any, observation: Observation) -> Restored:
        share = np.asarray(observation.holes, np.float32)
        made = np.asarray(fill(picture, share))
        return Restored(made, _of_holes(fill, made, share))

    return restore


def by_denoising(denoise: Callable[[Any, Any], Any], *, key: Key) -> Method:
    """Return a way of restoring that takes noise away. The second look: new noise of the same level on what was made.

    Args:
        denoise: ``(picture, noise) -> picture``.
        key: typed key, of the new noise.

    Raises:
        ValueError: what is returned, of an observation that does not know the level of the noise.
    """

    def restore(picture: Any, observation: Observation) -> Restored:
        if observation.noise is None:
            raise ValueError("observation: expected the level of the noise, got none; `estimate_noise` tells it.")
        made = np.asarray(denoise(picture, observation.noise))
        level = np.broadcast_to(np.float32(observation.noise), (*made.shape[:2], 1))
        noise = np.asarray(jax.random.normal(key, made.shape)) * level
        again = np.asarray(denoise(made + noise, observation.noise))
        return Restored(made, _averaged(again - made))

    return restore


def by_enlarging(upscale: Callable[[Any], Any]) -> Method:
    """Return a way of restoring that enlarges. The second look: the picture itself, shrunk and enlarged again.

    Args:
        upscale: ``picture -> picture``, of the scale that the observation tells.
    """

    def restore(picture: Any, observation: Observation) -> Restored:
        scale, given = observation.scale, np.asarray(picture, np.float32)
        made = np.asarray(upscale(given))
        margins = [(0, -side % scale) for side in given.shape[:2]]
        whole = np.pad(given, (*margins, (0, 0)), mode="edge")
        again = np.asarray(upscale(np.asarray(shrink(whole, scale))))[: given.shape[0], : given.shape[1]]
        return Restored(made, np.maximum(np.asarray(enlarge(_averaged(again - given), made.shape[:2])), 0))

    return restore


def _averaged(error: np.ndarray) -> np.ndarray:
    """Return the root mean square of errors around each pixel: ``[H, W, 1]``."""
    squares = np.mean(error**2, axis=-1)
    return np.sqrt(np.maximum(scipy.ndimage.gaussian_filter(squares, _NEAR, mode="nearest"), 0))[..., None]


def _of_holes(fill: Callable, made: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the error of each pixel of holes by its depth, as found where the same holes lie elsewhere."""
    holes = share > 0
    errors, depths = [np.zeros(0)], [np.zeros(0)]
    for shift in _shifts(holes):
        probes = np.roll(holes, shift, (0, 1)) & ~holes
        if probes.any() and not (probes | holes).all():
            again = np.asarray(fill(jnp.asarray(made), (probes | holes).astype(np.float32)))
            depth = scipy.ndimage.distance_transform_edt(probes | holes)
            errors.append(np.mean((again - made) ** 2, axis=-1)[probes])
            depths.append(np.asarray(depth)[probes])
    squares, deep = np.concatenate(errors), np.concatenate(depths)
    if not len(squares):  # nowhere else to look: as wrong as the mean of what is known
        return share[..., None] * np.std(made[~holes], dtype=np.float64).astype(np.float32)
    edges = np.unique(np.quantile(deep, np.linspace(0, 1, 9)))
    places = np.clip(np.searchsorted(edges, deep, side="right") - 1, 0, None)
    counts = np.maximum(np.bincount(places, minlength=len(edges)), 1)
    found = np.maximum.accumulate(np.bincount(places, squares, minlength=len(edges)) / counts)  # it grows with depth
    own: Any = scipy.ndimage.distance_transform_edt(holes)
    return (share * np.sqrt(np.interp(own, edges, found)))[..., None].astype(np.float32)


def _shifts(holes: np.ndarray) -> list[tuple[int, int]]:
    """Return how far holes are moved to lie where they were not: past the largest of them, down and to the right."""
    labels, count = cast(Any, scipy.ndimage.label)(holes)
    boxes = scipy.ndimage.find_objects(labels)
    high, wide = (max(box[axis].stop - box[axis].start for box in boxes) for axis in (0, 1)) if count else (1, 1)
    return [(min(high + _GAP, holes.shape[0] // 2), 0), (0, min(wide + _GAP, holes.shape[1] // 2))]
