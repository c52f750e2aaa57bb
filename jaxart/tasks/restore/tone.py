"""Corrections of color in linear light: a few recorded numbers, which are applied to a picture or taken back.

Varnish and dirt multiply and add light, faded dyes lose density, and another light source scales what the eye's cones see. All of it is
computed in float32, so pictures of 16 bits stay what they are.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxart.arrays import Array, check_choice
from jaxart.color import LINEAR_TO_XYZ, linear_to_srgb, srgb_to_linear

Adaptation = Literal["bradford", "rgb"]
ADAPTATIONS: tuple[str, ...] = get_args(Adaptation)
Color = tuple[float, float, float]
Rows = tuple[tuple[float, ...], ...]
_EVEN = ((1.0,),)


class Varnish(NamedTuple):
    """A yellowed layer over a painting: in linear light, ``seen = exposure (painting exp(-thickness density) + veil)``.

    Fields:
        density: of R, G and B, of light that passes the layer twice (the law of Beer and Lambert): 2 d k.
        veil: light that the layer scatters, of R, G and B.
        exposure: by which the picture was made brighter, or less than 1, darker, than the painting's was.
        thickness: of the layer at the points of a grid ``[h, w]``, whose corners are those of the picture, relative to `density`.
        confidence: from 0 to 1, how sure the one who estimated it is; it changes nothing.
    """

    density: Color
    veil: Color = (0.0, 0.0, 0.0)
    exposure: float = 1.0
    thickness: Rows = _EVEN
    confidence: float = 1.0


class Fading(NamedTuple):
    """Dyes or pigments that lost density, ``D = -log10(light)``: ``faded D = (1 - amount) D^gamma``.

    Fields:
        amount: lost where the density is 1, by what absorbs R (cyan), G (magenta) and B (yellow); 0 to less than 1.
        gamma: 1, all tones lose the same share; more, light tones lose more.
    """

    amount: Color
    gamma: Color = (1.0, 1.0, 1.0)


class WhiteBalance(NamedTuple):
    """A matrix by which linear light is multiplied: ``balanced = matrix seen``.

    Fields:
        matrix: rows of R, G and B.
    """

    matrix: Rows


Tone = Varnish | Fading | WhiteBalance
KINDS: dict[str, type[Any]] = {"varnish": Varnish, "fading": Fading, "white-balance": WhiteBalance}


def apply_tone(tone: Tone, picture: Array, *, clip: bool = True) -> jax.Array:
    """Correct a picture: take a varnish off, restore what faded, balance the white.

    Args:
        tone: of the correction; its numbers may be traced.
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        clip: whether the result is held to [0, 1]; what is clipped cannot be taken back.

    Returns:
        ``[H, W, 3]``, float32.

    Raises:
        ValueError: another shape.
    """
    return _changed(picture, lambda light: _FORWARD[type(tone)](tone, light), clip)


def invert_tone(tone: Tone, picture: Array, *, clip: bool = True) -> jax.Array:
    """Take a correction back: `apply_tone`'s inverse, to float rounding where nothing was clipped.

    Args:
        tone: of the correction.
        picture: corrected, ``[H, W, 3]``.
        clip: whether the result is held to [0, 1].

    Returns:
        ``[H, W, 3]``, float32.

    Raises:
        ValueError: another shape.
    """
    return _changed(picture, lambda light: _BACKWARD[type(tone)](tone, light), clip)


def restore_fading(
    picture: Array, amount: float | Sequence[float], *, gamma: float | Sequence[float] = 1.0
) -> tuple[jax.Array, Fading]:
    """Give a faded picture its densities again.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        amount: see `Fading`; one number, or one for each of R, G and B.
        gamma: see `Fading`; more than 0.

    Returns:
        The picture, in [0, 1], and what was done.

    Raises:
        ValueError: another shape, an amount outside of [0, 1), or a gamma that is not positive.
    """
    fading = Fading(_three("amount", amount), _three("gamma", gamma))
    if not all(0 <= each < 1 for each in fading.amount):
        raise ValueError(f"amount: expected 0 to less than 1, got {amount}; 1 is what has faded altogether.")
    if not all(each > 0 and math.isfinite(each) for each in fading.gamma):
        raise ValueError(f"gamma: expected more than 0, got {gamma}.")
    return apply_tone(fading, picture), fading


def balance_white(
    picture: Array, *, white: Sequence[float] | None = None, adaptation: Adaptation = "bradford"
) -> tuple[jax.Array, WhiteBalance]:
    """Make what should be white or gray neutral, as bright as it was.

    Args:
        picture: ``[H, W, 3]``, float, sRGB-encoded.
        white: R, G and B, sRGB-encoded, of what should be neutral; estimated of the picture if not given.
        adaptation: of linear light: "bradford" scales the responses of cones, as color profiles do, "rgb" the channels themselves.

    Returns:
        The picture, in [0, 1], and what was done.

    Raises:
        ValueError: another shape, an unknown adaptation, or a white that is not positive.

    Reference: Finlayson and Trezzi, Shades of Gray and Color Constancy, 2004 (the estimate); ICC.1:2022, annex E (Bradford).
    """
    check_choice("adaptation", adaptation, ADAPTATIONS)
    seen = _shade(picture) if white is None else np.asarray(srgb_to_linear(jnp.asarray(_three("white", white))))
    if not (seen > 0).all():
        raise ValueError(
            f"white: expected three positive numbers, got {white if white is not None else seen.tolist()}."
        )
    to_cones = _BRADFORD @ _XYZ if adaptation == "bradford" else np.eye(3)
    gray = np.full(3, _XYZ[1] @ seen)
    matrix = np.linalg.inv(to_cones) @ np.diag((to_cones @ gray) / (to_cones @ seen)) @ to_cones
    balance = WhiteBalance(tuple(tuple(float(each) for each in row) for row in matrix))
    return apply_tone(balance, picture), balance


def tone_record(tone: Tone) -> dict[str, Any]:
    """Return a correction as plain numbers, lists and one name, ready to be written as JSON.

    >>> tone_record(Fading((0.1, 0.2, 0.3)))
    {'kind': 'fading', 'amount': (0.1, 0.2, 0.3), 'gamma': (1.0, 1.0, 1.0)}
    """
    name = next(name for name, kind in KINDS.items() if isinstance(tone, kind))
    return {"kind": name, **tone._asdict()}


def read_tone(record: dict[str, Any]) -> Tone:
    """Return the correction that `tone_record` wrote, from JSON as well.

    Raises:
        ValueError: an unknown kind, or other fields.
    """
    fields = dict(record)
    kind = KINDS[check_choice("kind", str(fields.pop("kind", None)), KINDS)]
    if set(fields) != set(kind._fields):
        raise ValueError(f"{kind.__name__}: expected the fields {', '.join(kind._fields)}, got {', '.join(fields)}.")
    return kind(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else float(value)


def _changed(picture: Array, change: Callable[[jax.Array], jax.Array], clip: bool) -> jax.Array:
    picture = checked_picture(picture)
    found = linear_to_srgb(change(srgb_to_linear(picture)))
    return jnp.clip(found, 0, 1) if clip else found


def checked_picture(picture: Array) -> jax.Array:
    """Return a picture as float32.

    Raises:
        ValueError: it is not ``[H, W, 3]``, or not float.
    """
    picture = jnp.asarray(picture)
    if picture.ndim != 3 or picture.shape[-1] != 3 or 0 in picture.shape:
        raise ValueError(f"expected a picture [H, W, 3] in color, got {picture.shape}.")
    if not jnp.issubdtype(picture.dtype, jnp.floating):
        raise ValueError(f"expected a picture of floats in [0, 1], got {picture.dtype}.")
    return picture.astype(jnp.float32)


def _row(values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.float32).reshape(1, 1, -1)


def _transmittance(varnish: Varnish, light: jax.Array) -> jax.Array:
    """Return the share of light that comes through, ``[H, W, 3]`` or ``[1, 1, 3]``."""
    grid = jnp.asarray(varnish.thickness, jnp.float32)
    if grid.size == 1:
        return jnp.exp(-grid[..., None] * _row(varnish.density))
    rows, columns = (_between(count, points) for count, points in zip(light.shape[:2], grid.shape, strict=True))
    thickness = jnp.matmul(
        jnp.matmul(rows, grid, precision=jax.lax.Precision.HIGHEST), columns.T, precision=jax.lax.Precision.HIGHEST
    )
    return jnp.exp(-thickness[..., None] * _row(varnish.density))


def _between(count: int, points: int) -> np.ndarray:
    """Return the weights ``[count, points]`` of points of a grid for pixels from its first to its last, linearly."""
    places = np.linspace(0, points - 1, count) if count > 1 else np.full(1, (points - 1) / 2)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(points))).astype(np.float32)


def _unvarnished(varnish: Varnish, light: jax.Array) -> jax.Array:
    return (light / varnish.exposure - _row(varnish.veil)) / _transmittance(varnish, light)


def _varnished(varnish: Varnish, light: jax.Array) -> jax.Array:
    return varnish.exposure * (light * _transmittance(varnish, light) + _row(varnish.veil))


def _densities(light: jax.Array) -> jax.Array:
    return -jnp.log10(jnp.maximum(light, 0))


def _signed_power(values: jax.Array, power: jax.Array) -> jax.Array:
    return jnp.sign(values) * jnp.abs(values) ** power


def _unfaded(fading: Fading, light: jax.Array) -> jax.Array:
    density = _signed_power(_densities(light) / (1 - _row(fading.amount)), 1 / _row(fading.gamma))
    return 10**-density


def _faded(fading: Fading, light: jax.Array) -> jax.Array:
    return 10 ** (-_signed_power(_densities(light), _row(fading.gamma)) * (1 - _row(fading.amount)))


def _multiplied(matrix: Any, light: jax.Array) -> jax.Array:
    return jnp.matmul(light, jnp.asarray(matrix, jnp.float32).T, precision=jax.lax.Precision.HIGHEST)


def _balanced(balance: WhiteBalance, light: jax.Array) -> jax.Array:
    return _multiplied(balance.matrix, light)


def _unbalanced(balance: WhiteBalance, light: jax.Array) -> jax.Array:
    return _multiplied(jnp.linalg.inv(jnp.asarray(balance.matrix, jnp.float32)), light)


def _shade(picture: Array) -> np.ndarray:
    """Return the mean of the sixth powers of light, its sixth root: between the mean color and the brightest."""
    light = np.asarray(srgb_to_linear(checked_picture(picture)), np.float64)
    return np.mean(light**6, axis=(0, 1)) ** (1 / 6)


def _three(name: str, value: float | Sequence[float]) -> Color:
    values = tuple(float(each) for each in np.atleast_1d(np.asarray(value, np.float64)))
    if len(values) not in (1, 3) or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected a number, or three for R, G and B, got {value}.")
    first, second, third = values * (3 // len(values))
    return first, second, third


_XYZ = np.asarray(LINEAR_TO_XYZ)
_BRADFORD = np.asarray([(0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296)])
_FORWARD: dict[type, Callable[..., jax.Array]] = {Varnish: _unvarnished, Fading: _unfaded, WhiteBalance: _balanced}
_BACKWARD: dict[type, Callable[..., jax.Array]] = {Varnish: _varnished, Fading: _faded, WhiteBalance: _unbalanced}
