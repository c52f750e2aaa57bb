"""Finding damage without a network: cracks, scratches and dust, as what is thin or small and differs from its surroundings.

What each finds tells how far a pixel stands out; 0.5 serves as a threshold, set on eight paintings with generated cracks.
Brush strokes, hair and twigs are thin too, so these are proposals: look at the mask, and correct it.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxart.arrays import Array, check_choice
from jaxart.ops.morphology import box_sums, closed, line_means, open_lines, opened, reconstruct

_AROUND = 31  # pixels over which contrast is measured
_FLOOR = 0.01  # contrast of what is even
_DIRECTIONS = 16
SHADES = ("dark", "light", "both")


def detect_cracks(picture: Array, *, width: int = 5, length: int = 11, shade: str = "dark") -> jax.Array:
    """Return how likely pixels lie on cracks: thin lines in any direction, that may bend.

    Args:
        picture: ``[H, W, C]`` in [0, 1].
        width: pixels, odd; what is as wide or wider is no crack.
        length: pixels, odd, on which a crack is about straight.
        shade: "dark", "light" or "both".

    Returns:
        ``[H, W]`` in [0, 1].

    Raises:
        ValueError: another rank or shade; a width or length that is not odd, or below 3.
    """
    _check(picture, shade, width=width, length=length)
    return _likely(picture, shade, lambda gray: open_lines(closed(gray, width) - gray, length, _DIRECTIONS), 1.8)


def detect_scratches(picture: Array, *, width: int = 5, length: int = 41, shade: str = "both") -> jax.Array:
    """Return how likely pixels lie on scratches: thin lines that are long and straight, and may have gaps.

    Args:
        picture: ``[H, W, C]`` in [0, 1].
        width: as in `detect_cracks`.
        length: pixels, odd.
        shade: "dark", "light" or "both".

    Returns:
        ``[H, W]`` in [0, 1].

    Raises:
        ValueError: as `detect_cracks`.
    """
    _check(picture, shade, width=width, length=length)

    def stands_out(gray: jax.Array) -> jax.Array:
        thin = open_lines(closed(gray, width) - gray, 5, _DIRECTIONS)
        return jnp.minimum(thin, line_means(thin, length, 2 * _DIRECTIONS))

    return _likely(picture, shade, stands_out, 1.8)


def detect_dust(picture: Array, *, width: int = 7, shade: str = "both") -> jax.Array:
    """Return how likely pixels belong to dust or blots: small spots, no lines, that differ from all around them.

    Args:
        picture: ``[H, W, C]`` in [0, 1].
        width: pixels, odd; what is as wide or wider is no dust.
        shade: "dark", "light" or "both".

    Returns:
        ``[H, W]`` in [0, 1].

    Raises:
        ValueError: as `detect_cracks`.
    """
    _check(picture, shade, width=width)

    def stands_out(gray: jax.Array) -> jax.Array:
        small = closed(gray, width) - gray
        return small - open_lines(small, width + 2, _DIRECTIONS)

    return _likely(picture, shade, stands_out, 3.0)


def damage_mask(likely: Array, *, threshold: float = 0.5, sure: float = 0.7, shortest: int = 11) -> jax.Array:
    """Return which pixels are damaged: those above a threshold that hang together with what is sure.

    Args:
        likely: ``[H, W]``, what one of the detections returned, or the maximum of several.
        threshold: of damage.
        sure: of what a part must hold somewhere.
        shortest: pixels, odd, of a line that a part must hold; 1 for spots.

    Returns:
        bool ``[H, W]``.

    Raises:
        ValueError: another rank, or `sure` below the threshold.
    """
    likely = jnp.asarray(likely)
    if likely.ndim != 2:
        raise ValueError(f"likely: expected [H, W], got shape {likely.shape}.")
    if sure < threshold:
        raise ValueError(f"sure: expected at least the threshold, {threshold:g}, got {sure:g}.")
    maybe = likely >= threshold
    long = open_lines(maybe.astype(jnp.float32), shortest, _DIRECTIONS) > 0
    return reconstruct(reconstruct(likely >= sure, maybe) & long, maybe)


def _likely(picture: Array, shade: str, stands_out: Callable[[jax.Array], jax.Array], usual: float) -> jax.Array:
    """Return ``r^2 / (1 + r^2)``: r is what stands out, dark or light, in `usual` times the contrast around it."""
    gray = jnp.mean(jnp.asarray(picture, jnp.float32), -1)
    found = [stands_out(each) for name, each in (("dark", gray), ("light", 1 - gray)) if shade in (name, "both")]
    ratio = functools.reduce(jnp.maximum, found) / (usual * _contrast(gray))
    return ratio**2 / (1 + ratio**2)


def _contrast(gray: jax.Array) -> jax.Array:
    """Return the mean difference to pixels near, over the surroundings of each; without what is smaller than five pixels."""
    plain = (opened(closed(gray, 5), 5) + closed(opened(gray, 5), 5)) / 2
    near = [jnp.minimum(jnp.arange(side), _AROUND // 2) for side in gray.shape]
    rows, columns = (1 + each + each[::-1] for each in near)  # of the square that are of the picture
    return box_sums(jnp.abs(gray - plain), _AROUND) / (rows[:, None] * columns[None]) + _FLOOR


def _check(picture: Array, shade: str, **sides: int) -> None:
    check_choice("shade", shade, SHADES)
    if jnp.ndim(picture) != 3:
        raise ValueError(f"picture: expected [H, W, C], got shape {jnp.shape(picture)}.")
    for name, side in sides.items():
        if side < 3 or side % 2 == 0:
            raise ValueError(f"{name}: expected an odd number of pixels, at least 3, got {side}.")
