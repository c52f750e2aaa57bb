"""Soft mattes: how much of each pixel is the object, and which colors the object has there, without those of its old background."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.sparse.linalg import cg

from jaxart.arrays import Array

_COARSEST = 16  # pixels of the shorter side, from which on there is no coarser level
_GUESS = 1e-3  # tolerance of coarser levels
_WINDOW = 9  # pixels of 3 x 3


def guided_filter(guide: Array, values: Array, *, radius: int = 8, epsilon: float = 1e-4) -> jax.Array:
    """Smooth values so that their edges are those of a guide: within each window they are made a linear function of its colors.

    Args:
        guide: ``[H, W, C]``, float.
        values: ``[H, W, K]``, float, such as a mask.
        radius: of the windows, which are ``2 radius + 1`` pixels wide and cut off where the picture ends.
        epsilon: variance of colors below which they count as one.

    Returns:
        ``[H, W, K]``.

    Raises:
        ValueError: sizes that differ, or no positive radius and epsilon.

    Reference: He, Sun and Tang, Guided Image Filtering, 2010, section 3.4.
    """
    guide, values = jnp.asarray(guide), jnp.asarray(values)
    if guide.ndim != 3 or values.ndim != 3 or guide.shape[:2] != values.shape[:2]:
        raise ValueError(
            f"guided_filter: expected a guide [H, W, C] and values [H, W, K] of its size, got {guide.shape} and {values.shape}."
        )
    if radius < 1 or not epsilon > 0:
        raise ValueError(f"guided_filter: expected a positive radius and epsilon, got {radius} and {epsilon}.")
    means = functools.partial(_window_means, radius=radius)
    center = jnp.mean(
        guide, axis=(0, 1), keepdims=True
    )  # variances are differences: the smaller the numbers, the less is lost
    colors, values = jnp.moveaxis(guide - center, -1, 0), jnp.moveaxis(values, -1, 0)  # [C, H, W], [K, H, W]
    channels = len(colors)
    mean, level = means(colors), means(values)
    products = means(jnp.concatenate([color[None] * colors for color in colors]))
    shared = means(jnp.concatenate([color[None] * values for color in colors]))
    covariance = [
        [products[i * channels + j] - mean[i] * mean[j] + (epsilon if i == j else 0) for j in range(channels)]
        for i in range(channels)
    ]
    slopes = _solved(
        covariance, [each - m[None] * level for each, m in zip(_parts(shared, channels), mean, strict=True)]
    )
    offset = level - sum(slope * m[None] for slope, m in zip(slopes, mean, strict=True))
    slopes, offset = _parts(means(jnp.concatenate(slopes)), channels), means(offset)
    found = offset + sum(slope * color[None] for slope, color in zip(slopes, colors, strict=True))
    return jnp.moveaxis(found, 0, -1)


def _parts(x: jax.Array, count: int) -> list[jax.Array]:
    return jnp.split(x, count)


def _window_means(x: jax.Array, radius: int) -> jax.Array:
    """Return the means of windows of ``[N, H, W]``, of those pixels that are there."""
    for axis, side in ((1, x.shape[1]), (2, x.shape[2])):
        near, window, place = min(radius, side - 1), [1, 1, 1], np.arange(side)
        window[axis] = 2 * near + 1
        count = np.minimum(place + near, side - 1) - np.maximum(place - near, 0) + 1
        x = jax.lax.reduce_window(x, np.zeros((), x.dtype), jax.lax.add, window, (1, 1, 1), "SAME")
        x = x / jnp.expand_dims(jnp.asarray(count, x.dtype), (0, 3 - axis))
    return x


def _solved(matrix: Sequence[Sequence[jax.Array]], right: Sequence[jax.Array]) -> list[jax.Array]:
    """Solve small symmetric positive systems, one a pixel: planes ``[H, W]`` of the matrix and ``[K, H, W]`` of the right side."""
    if not right:
        return []
    (pivot, *across), rest = matrix[0], matrix[1:]
    share = [each / pivot for each in across]
    smaller = [[row[1 + j] - share[i] * across[j] for j in range(len(across))] for i, row in enumerate(rest)]
    found = _solved(smaller, [each - share[i][None] * right[0] for i, each in enumerate(right[1:])])
    first = (right[0] - sum(a[None] * each for a, each in zip(across, found, strict=True))) / pivot[None]
    return [first, *found]


def closed_form_matte(
    picture: Array, trimap: Array, *, epsilon: float = 1e-6, tolerance: float = 1e-4, most: int = 1000
) -> jax.Array:
    """Find how much of each pixel is the object, where it is not known: within each window of 3 x 3 a linear function of the colors.

    Args:
        picture: ``[H, W, C]`` in [0, 1], at least 3 x 3 pixels.
        trimap: ``[H, W]``: 1 is the object, 0 what is around it, anything between is not known; see `trimap`.
        epsilon: variance of colors below which a window counts as of one color.
        tolerance: of what is left of the equations, relative to what there was, at which it ends.
        most: turns of conjugate gradients at most.

    Returns:
        ``[H, W]`` in [0, 1]; what is known stays as it is.

    Raises:
        ValueError: sizes that differ, a picture that is too small, or a trimap that knows no object or nothing around it.

    Reference: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, 2008. Departures: no matrix is made, the
    Laplacian is taken through means and covariances of windows; what is known is kept exactly; conjugate gradients begin with the matte of
    the picture at half the size.
    """
    picture, trimap = jnp.asarray(picture), jnp.asarray(trimap)
    _check_trimap(picture, trimap)
    return _solved_matte(picture, trimap, epsilon, tolerance, most)


def _solved_matte(picture: jax.Array, trimap: jax.Array, epsilon: float, tolerance: float, most: int) -> jax.Array:
    unknown = (trimap > 0) & (trimap < 1)
    matting = MattingLaplacian(picture, epsilon)
    known = jnp.where(unknown, 0, trimap)
    begun = jax.lax.stop_gradient(_first_guess(picture, trimap, epsilon, most))

    def applied(x: jax.Array) -> jax.Array:
        return jnp.where(unknown, matting(jnp.where(unknown, x, 0)), x)

    right = jnp.where(unknown, -matting(known), 0)
    diagonal = jnp.where(unknown, matting.diagonal(), 1)
    found, _ = cg(
        applied, right, x0=jnp.where(unknown, begun, 0), tol=tolerance, maxiter=most, M=lambda x: x / diagonal
    )
    return jnp.where(unknown, jnp.clip(found, 0, 1), trimap)


def _first_guess(picture: jax.Array, trimap: jax.Array, epsilon: float, most: int) -> jax.Array:
    """Return the matte of the picture at half the size, enlarged along its edges."""
    size = tuple(side // 2 for side in trimap.shape)
    if min(size) < _COARSEST:
        return guided_filter(picture, trimap[..., None])[..., 0]
    coarse, known = (_halved(each) for each in (picture, trimap[..., None]))
    found = _solved_matte(coarse, known[..., 0], epsilon, _GUESS, most)
    found = jax.image.resize(found, trimap.shape, "linear")
    return guided_filter(picture, found[..., None], radius=2, epsilon=1e-4)[..., 0]


def _halved(x: jax.Array) -> jax.Array:
    return jax.image.resize(x, (x.shape[0] // 2, x.shape[1] // 2, x.shape[2]), "linear")


class MattingLaplacian:
    """The matting Laplacian of a picture as a function ``[H, W] -> [H, W]``, symmetric and not negative; lines of colors go to zero.

    Args:
        picture: ``[H, W, C]``, at least 3 x 3.
        epsilon: as in `closed_form_matte`.
    """

    def __init__(self, picture: Array, epsilon: float):
        self._colors = jnp.moveaxis(jnp.asarray(picture), -1, 0)  # [C, H, W]
        channels, height, width = self._colors.shape
        self._size = (height - 2, width - 2)  # of the windows that are whole
        around = jnp.stack([self._shifted(self._colors, n) for n in range(_WINDOW)])  # [9, C, h, w]
        self._mean = jnp.mean(around, axis=0)
        away = around - self._mean[None]
        covariance = [
            [jnp.mean(away[:, i] * away[:, j], axis=0) + (epsilon / _WINDOW if i == j else 0) for j in range(channels)]
            for i in range(channels)
        ]
        self._weights = jnp.stack(_solved(covariance, [away[:, i] for i in range(channels)]), axis=1)  # [9, C, h, w]

    def _shifted(self, x: jax.Array, number: int | jax.Array) -> jax.Array:
        """Return a pixel of each window, of planes ``[..., H, W]``."""
        begin = (*[0] * (x.ndim - 2), number // 3, number % 3)
        return jax.lax.dynamic_slice(x, begin, (*x.shape[:-2], *self._size))

    def _added(self, x: jax.Array, number: jax.Array, more: jax.Array) -> jax.Array:
        """Add to a pixel of each window."""
        return jax.lax.dynamic_update_slice(x, self._shifted(x, number) + more, (number // 3, number % 3))

    def __call__(self, x: Array) -> jax.Array:
        """Return the Laplacian of a plane; loops instead of sums, whose slices XLA would compute anew for every neighbor."""
        x = jnp.asarray(x)

        def fit(number: jax.Array, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            here = self._shifted(x, number)
            return found[0] + here / _WINDOW, found[1] + self._weights[number] * here[None] / _WINDOW

        begun = (jnp.zeros(self._size, x.dtype), jnp.zeros((len(self._colors), *self._size), x.dtype))
        level, slope = jax.lax.fori_loop(0, _WINDOW, fit, begun)

        def miss(number: jax.Array, found: jax.Array) -> jax.Array:
            fitted = jnp.sum(slope * (self._shifted(self._colors, number) - self._mean), axis=0)
            return self._added(found, number, self._shifted(x, number) - level - fitted)

        return jax.lax.fori_loop(0, _WINDOW, miss, jnp.zeros_like(x))

    def diagonal(self) -> jax.Array:
        """Return the diagonal, ``[H, W]``."""

        def own(number: jax.Array, found: jax.Array) -> jax.Array:
            away = self._shifted(self._colors, number) - self._mean
            return self._added(found, number, 1 - (1 + jnp.sum(away * self._weights[number], axis=0)) / _WINDOW)

        return jax.lax.fori_loop(0, _WINDOW, own, jnp.zeros_like(self._colors[0]))


def _check_trimap(picture: jax.Array, trimap: jax.Array) -> None:
    if picture.ndim != 3 or trimap.shape != picture.shape[:2]:
        raise ValueError(
            f"closed_form_matte: expected a picture [H, W, C] and a trimap [H, W] of its size, got {picture.shape} and {trimap.shape}."
        )
    if min(trimap.shape) < 3:
        raise ValueError(
            f"closed_form_matte: expected at least 3 x 3 pixels, got {trimap.shape[0]} x {trimap.shape[1]}."
        )
    if not isinstance(trimap, Tracer) and not (np.any(np.asarray(trimap) >= 1) and np.any(np.asarray(trimap) <= 0)):
        raise ValueError(
            "trimap: expected some pixels of the object (1) and some around it (0); narrow the band between."
        )


def foreground(picture: Array, alpha: Array, *, smoothness: float = 1e-5, steps: int = 10) -> jax.Array:
    """Find the colors of an object that a picture shows through a matte, so that it can be set elsewhere without its old background.

    Args:
        picture: ``[H, W, C]``: ``alpha`` of the object and the rest of what is behind it.
        alpha: ``[H, W]`` in [0, 1].
        smoothness: at least this much, neighbors have the same colors; more where the matte changes.
        steps: of each level, from one pixel on, each level twice as fine.

    Returns:
        ``[H, W, C]`` in [0, 1]; where nothing is of the object, colors that go on with those of what is near, and the picture's own,
        bit for bit, where all is.

    Raises:
        ValueError: sizes that differ.

    Reference: Germer, Uelwer, Conrad and Harmeling, Fast Multi-Level Foreground Estimation, 2020. Departure: pictures are averaged, not
    sampled, to make the coarser levels.
    """
    picture, alpha = jnp.asarray(picture), jnp.asarray(alpha)
    if picture.ndim != 3 or alpha.shape != picture.shape[:2]:
        raise ValueError(
            f"foreground: expected a picture [H, W, C] and a matte [H, W] of its size, got {picture.shape} and {alpha.shape}."
        )
    colors = jnp.broadcast_to(jnp.mean(picture, axis=(0, 1), keepdims=True)[..., None], (1, 1, picture.shape[2], 2))
    for size in _sizes(alpha.shape):
        shape = (*size, *colors.shape[2:])
        colors = jax.image.resize(colors, shape, "nearest")
        shown, share = (
            jax.image.resize(each, (*size, each.shape[-1]), "bilinear") for each in (picture, alpha[..., None])
        )
        colors = _both_colors(shown, share, colors, smoothness, steps)
    return jnp.where(alpha[..., None] >= 1, picture, jnp.clip(colors[..., 0], 0, 1))


def _sizes(size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the sizes of levels, coarsest first."""
    count = max(1, int(np.ceil(np.log2(max(size)))))
    sides = [[round(side ** (level / count)) for side in size] for level in range(count + 1)]
    return [(height, width) for height, width in sides]


def _both_colors(picture: jax.Array, alpha: jax.Array, colors: jax.Array, smoothness: float, steps: int) -> jax.Array:
    """Improve the colors of the object and of what is behind it, ``[H, W, C, 2]``, by sweeps of Jacobi's."""
    links = [smoothness + jnp.abs(alpha - near) for near in _around(alpha)]  # [H, W, 1] each
    total = sum(links[1:], links[0])
    shares = alpha, 1 - alpha
    object_, both, behind = shares[0] ** 2 + total, shares[0] * shares[1], shares[1] ** 2 + total
    scale = 1 / (object_ * behind - both**2)

    def sweep(_: jax.Array, colors: jax.Array) -> jax.Array:
        near = functools.reduce(
            operator.add, (link[..., None] * each for link, each in zip(links, _around(colors), strict=True))
        )
        one, other = (share * picture + near[..., n] for n, share in enumerate(shares))
        return jnp.stack([behind * one - both * other, object_ * other - both * one], axis=-1) * scale[..., None]

    return jax.lax.fori_loop(0, steps, sweep, colors)


def _around(x: jax.Array) -> list[jax.Array]:
    """Return the four neighbors of each pixel of ``[H, W, ...]``; at the border, the pixel itself."""
    found = []
    for axis in (0, 1):
        first, last = (
            jax.lax.slice_in_dim(x, 0, 1, axis=axis),
            jax.lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis),
        )
        before, after = (
            jax.lax.slice_in_dim(x, *ends, axis=axis) for ends in ((0, x.shape[axis] - 1), (1, x.shape[axis]))
        )
        found += [jnp.concatenate([first, before], axis), jnp.concatenate([after, last], axis)]
    return found
