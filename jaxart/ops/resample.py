"""Doubling, halving and blurring pictures with the low-pass [1, 3, 3, 1] / 8 along rows and columns, as shifted additions.

Beyond the border the picture goes on as its mirror image (the pixel at the border is repeated), so a constant picture stays constant up
to the border. With it each of the two functions is 4 times, or a quarter of, the adjoint of the other, which is how they are
differentiated: reverse mode works to any order, forward mode (`jax.jvp`) is refused by JAX.
"""

import jax
import jax.numpy as jnp

from jaxart.arrays import Array


@jax.custom_vjp
def upsample_low_pass(images: Array) -> jax.Array:
    """Double the size of pictures by bilinear interpolation: ``[N, H, W, C]`` -> ``[N, 2 H, 2 W, C]``.

    Zeros between the pixels and the filter [1, 3, 3, 1] / 4 along rows and columns: ``y[2 i] = (x[i-1] + 3 x[i]) / 4``,
    ``y[2 i + 1] = (3 x[i] + x[i+1]) / 4``, with x[-1] = x[0] at the border.

    Args:
        images: ``[N, H, W, C]`` of a floating type.

    Raises:
        ValueError: another rank.

    >>> upsample_low_pass(jnp.arange(2.0).reshape(1, 1, 2, 1)).ravel().tolist()
    [0.0, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 1.0]
    """
    _check("upsample_low_pass", images, even=False)
    return _doubled(jax.lax.optimization_barrier(_doubled(images, 2)), 1)


@jax.custom_vjp
def downsample_low_pass(images: Array) -> jax.Array:
    """Halve the size of pictures: ``[N, 2 H, 2 W, C]`` -> ``[N, H, W, C]``.

    The filter [1, 3, 3, 1] / 8 along rows and columns, every second pixel kept:
    ``y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8``, with x[-1] = x[0] at the border.

    Args:
        images: ``[N, 2 H, 2 W, C]`` of a floating type.

    Raises:
        ValueError: another rank, or an odd side.

    >>> downsample_low_pass(jnp.arange(8.0).reshape(1, 2, 4, 1)).ravel().tolist()
    [2.625, 4.375]
    """
    _check("downsample_low_pass", images, even=True)
    return _halved(jax.lax.optimization_barrier(_halved(images, 1)), 2)


def low_pass(images: Array) -> jax.Array:
    """Blur pictures by ``[1, 2, 1] / 4`` along both axes; at the border, pixels count as their own neighbors.

    After a doubling by the nearest pixel it makes `upsample_low_pass`, whose copies of low frequencies near Nyquist's are weak. Those of
    the nearest pixel are not, and networks draw grids of them. It commutes with a convolution of the doubled picture, but for the border.

    Args:
        images: ``[N, H, W, C]``.

    Returns:
        ``[N, H, W, C]`` of the same sum.

    >>> low_pass(jnp.array([1.0, 0.0, 0.0, 0.0]).reshape(1, 4, 1, 1)).ravel().tolist()
    [0.75, 0.25, 0.0, 0.0]
    """
    down = (images[:, 1:] - images[:, :-1]) / 4
    images = images + jnp.pad(down, ((0, 0), (0, 1), (0, 0), (0, 0))) - jnp.pad(down, ((0, 0), (1, 0), (0, 0), (0, 0)))
    images = jax.lax.optimization_barrier(images)  # what is fused would be computed once for each neighbor
    right = (images[:, :, 1:] - images[:, :, :-1]) / 4
    images = (
        images + jnp.pad(right, ((0, 0), (0, 0), (0, 1), (0, 0))) - jnp.pad(right, ((0, 0), (0, 0), (1, 0), (0, 0)))
    )
    return jax.lax.optimization_barrier(images)


upsample_low_pass.defvjp(
    lambda images: (upsample_low_pass(images), None),
    lambda _, cotangent: (4 * downsample_low_pass(cotangent),),
)
downsample_low_pass.defvjp(
    lambda images: (downsample_low_pass(images), None),
    lambda _, cotangent: (upsample_low_pass(cotangent) / 4,),
)


def _check(name: str, images: Array, *, even: bool) -> None:
    if images.ndim != 4 or (even and (images.shape[1] % 2 or images.shape[2] % 2)):
        sides = "[N, 2 H, 2 W, C]" if even else "[N, H, W, C]"
        raise ValueError(f"{name}: expected {sides}, got shape {images.shape}.")


def _shifted(first: jax.Array, second: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Return what of `second` is before each of `first`, and what of `first` after each of `second`; at the border, the pixel there."""
    count = first.shape[axis]
    begin, before = (jax.lax.slice_in_dim(part, 0, n, axis=axis) for part, n in ((first, 1), (second, count - 1)))
    after, end = (jax.lax.slice_in_dim(part, n, count, axis=axis) for part, n in ((first, 1), (second, count - 1)))
    return jnp.concatenate([begin, before], axis), jnp.concatenate([after, end], axis)


def _doubled(images: jax.Array, axis: int) -> jax.Array:
    before, after = _shifted(images, images, axis)
    pair = jnp.stack([0.75 * images + 0.25 * before, 0.75 * images + 0.25 * after], axis + 1)
    return pair.reshape(*images.shape[:axis], 2 * images.shape[axis], *images.shape[axis + 1 :])


def _halved(images: jax.Array, axis: int) -> jax.Array:
    count = images.shape[axis] // 2
    pairs = images.reshape(*images.shape[:axis], count, 2, *images.shape[axis + 1 :])
    even, odd = (jax.lax.index_in_dim(pairs, n, axis + 1, keepdims=False) for n in (0, 1))
    before, after = _shifted(even, odd, axis)
    return 0.375 * (even + odd) + 0.125 * (before + after)
