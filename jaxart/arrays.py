"""Names of array types, the words of a key, and the checks of public arguments.

Images are float32 in [0, 1], ``[..., H, W, C]``, sRGB.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

Array = jax.Array  # NumPy arrays are welcome too
Image = jax.Array | np.ndarray  # [..., H, W, 3], float32 in [0, 1]
Key = jax.Array  # jax.random.key(...)
Features = dict[str, jax.Array]  # layer name -> [..., h, w, c]
PyTree = Any


def key_words(key: Key) -> list[int]:
    """Return the uint32 words of a typed key as plain numbers, to keep them or to seed NumPy with.

    >>> key_words(jax.random.key(7))
    [0, 7]
    """
    return np.asarray(jax.random.key_data(key)).reshape(-1).tolist()


def keys_of_bits(vectors: Array) -> Key:
    """Make a key of the bits of each vector, so that what is drawn from it is a function of the vector: ``[B, L]`` -> keys ``[B]``.

    The bits are summed with odd factors, which the cipher scrambles. Nothing of it has a gradient.

    Args:
        vectors: float32, such as latents.
    """
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(vectors).astype(np.float32), np.uint32)  # [B, L]
    factors = (2 * np.arange(2 * vectors.shape[-1], dtype=np.uint32) + 1).reshape(1, -1, 2)
    words = (bits[:, :, None] * factors).sum(axis=1, dtype=np.uint32)  # [B, 2]
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def check_image(name: str, image: Any) -> np.ndarray:
    """Return `image` as float32 ``[H, W, 3]`` in [0, 1]; raise if it cannot be that.

    Args:
        name: what the picture is called in the message.
        image: anything NumPy can read as an array; uint8 is divided by 255.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: another rank, another number of channels, no pixels, values outside [0, 1] or not finite.
    """
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise ValueError(
            f"{name}: expected an RGB picture [H, W, 3], got shape {array.shape}. Read files with jaxart.read."
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    array = array.astype(np.float32, copy=False)
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # written so that NaN fails too
        raise ValueError(f"{name}: expected values in [0, 1], got {low:g} to {high:g}. Divide 8-bit values by 255.")
    return np.clip(array, 0, 1)


def is_one_color(picture: np.ndarray) -> bool:
    """Return whether all pixels of a picture ``[H, W, C]`` are equal; its first row mostly tells.

    Args:
        picture: of any type.
    """
    first = picture[0, 0]
    return bool((picture[0] == first).all() and (picture == first).all())


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is among `choices`; otherwise raise an error that lists them, the closest first.

    Args:
        name: what the argument is called in the message.
        value: what came.
        choices: what is accepted.

    Raises:
        ValueError: `value` is not one of `choices`.
    """
    known = tuple(choices)
    if value in known:
        return value
    close = difflib.get_close_matches(str(value), known, n=3, cutoff=0.3)
    ordered = [*close, *(choice for choice in known if choice not in close)]
    raise ValueError(f"{name}: unknown value {value!r}; known: {', '.join(ordered)}.")
