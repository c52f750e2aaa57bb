"""Enlarging pictures without learning, and making what was enlarged agree with what it was made of."""

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from jaxart.arrays import check_choice
from jaxart.image import enlarge, resize, shrink

Kernel = Literal["bicubic", "lanczos"]
KERNELS: tuple[str, ...] = get_args(Kernel)
_TURNS = 6  # of conjugate gradients at most


def interpolate(picture: Any, scale: int, *, kernel: Kernel = "lanczos") -> jax.Array:
    """Enlarge a picture by a kernel: ``[H, W, C] -> [s H, s W, C]``, in [0, 1].

    Args:
        picture: float, in [0, 1].
        scale: s, at least 1.
        kernel: "bicubic" (Keys, a = -0.5) or "lanczos" (three lobes: sharper, and rings a little at edges).

    Raises:
        ValueError: an unknown kernel, or a scale below 1.
    """
    check_choice("kernel", kernel, KERNELS)
    check_scale(scale)
    size = (scale * picture.shape[0], scale * picture.shape[1])
    made = enlarge(picture, size) if kernel == "bicubic" else resize(picture, size, method="lanczos3")
    return jnp.clip(made, 0, 1)


def check_scale(scale: int) -> None:
    """Raise unless a scale is a whole number of at least 1.

    Args:
        scale: how many times a picture is enlarged.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale: expected a whole number of at least 1, got {scale!r}.")


@jax.jit
def back_project(large: Any, small: Any) -> jax.Array:
    """Return the picture nearest to a large one that becomes the small one when it is shrunk by the cubic kernel.

    With D what shrinks: ``x + D^T (D D^T)^-1 (y - D x)``, by conjugate gradients, held to [0, 1]; twice, for what is held back there.

    Args:
        large: x, ``[s H, s W, C]``.
        small: y, ``[H, W, C]``.

    Returns:
        ``[s H, s W, C]``.

    Reference: iterated back-projection: Irani and Peleg, Improving Resolution by Image Registration, 1991; here its limit.
    """
    scale = large.shape[0] // small.shape[0]
    down = functools.partial(shrink, factor=scale)
    up = jax.linear_transpose(down, jax.ShapeDtypeStruct(large.shape, large.dtype))

    def turned(_: int, x: jax.Array) -> jax.Array:
        missing = jax.scipy.sparse.linalg.cg(lambda y: down(up(y)[0]), small - down(x), maxiter=_TURNS, tol=1e-3)[0]
        return jnp.clip(x + up(missing)[0], 0, 1)

    return jax.lax.fori_loop(0, 2, turned, large)
