"""Translating pictures of any size with what was trained, and the file that holds it."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxart import weights
from jaxart.arrays import Array, Image, PyTree, check_image, is_one_color
from jaxart.image import fit_within, resize
from jaxart.models import Translator
from jaxart.ops import tiled_map, tiles, use_native
from jaxart.training import apply_in_batches

KIND = "translation"  # of a file of weights
BUCKET, MEASURED = 64, 1024  # pixels: what sides are rounded up to, and the long side of what statistics are taken from
_FORM = {"width": (1, 1024), "blocks": (0, 100)}  # fields of the module that a file keeps, and what they may be
_SMALLEST_TILE = 64  # pixels
_FEATURES_AT_ONCE = 4  # of the full size and all channels, float32, while a window is translated
_BYTES_PER_PIXEL = 48  # of a picture, whole: what is read, continued, translated and written, in float32


class Translation(NamedTuple):
    """Trained translators.

    Fields:
        network: module, a `models.Translator` or what has its `stride`, `halo`, `width` and "statistics".
        params: by direction, "to_b" and perhaps "to_a".
        about: JSON values: the "steps" of its training, and so on.
    """

    network: Any
    params: dict[str, PyTree]
    about: dict[str, Any]


def params_toward(model: Translation, *, back: bool) -> PyTree:
    """Return the params of one direction.

    Args:
        model: trained.
        back: from b to a.

    Raises:
        ValueError: it has not learned the way back.
    """
    if back and "to_a" not in model.params:
        raise ValueError(
            "back: this translation was learned from a to b alone; cyclegan and cyclic_vae learn the way back too."
        )
    return model.params["to_a" if back else "to_b"]


def translate(model: Translation, picture: Image, *, back: bool = False, tile: int | None = None) -> np.ndarray:
    """Translate a picture of any size.

    Its sides are continued to multiples of 64 by reflection and cropped at the end, so that a folder of pictures needs few programs. Above
    1024 pixels the channels' means and deviations are those of the picture shrunk to that, so that they are the same in tiles and whole.

    Args:
        model: trained.
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        back: from b to a.
        tile: side of the parts that are translated one by one, pixels; None translates the picture whole.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: no picture or one of a single color, no way back, or a tile below 1.
    """
    given, params = check_image("picture", picture), params_toward(model, back=back)
    if tile is not None and tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {tile}.")
    if is_one_color(given):  # normalized, its rounding errors would be all there is
        raise ValueError("picture: of a single color, which leaves nothing to translate.")
    height, width = given.shape[:2]
    variables: dict[str, PyTree] = {"params": params}
    if tile is not None or max(height, width) > MEASURED:  # else the picture's own, which the network takes as it goes
        variables["statistics"] = _statistics(model.network, variables, _measured(given))
    made = _translated(model.network, variables, _continued(given), tile)[:height, :width]
    return np.clip(np.asarray(made), 0, 1)


def translate_batch(model: Translation, pictures: Image, *, back: bool = False, batch: int = 16) -> np.ndarray:
    """Translate pictures of one size, each by its own statistics.

    Args:
        model: trained.
        pictures: ``[N, H, W, 3]`` in [0, 1] or uint8.
        back: from b to a.
        batch: pictures at a time.

    Returns:
        float32 ``[N, H, W, 3]`` in [0, 1].

    Raises:
        ValueError: no way back, or no pictures.
    """
    variables = {"params": params_toward(model, back=back)}
    given = np.asarray(pictures)
    floats: Any = given.astype(np.float32) / (255 if given.dtype == np.uint8 else 1)
    made = apply_in_batches(_in_unit_range, model.network, variables, floats, batch=max(1, min(batch, len(floats))))
    return np.clip(made, 0, 1)


def fitting_tile(network: Any, size: tuple[int, int], limit: int | None) -> int | None:
    """Return the side of the tiles in which a picture fits into memory, by arithmetic; None where it fits whole.

    Args:
        network: of a `Translation`.
        size: (height, width) of the picture.
        limit: bytes that may be taken; None if that is unknown.

    Raises:
        ValueError: it does not fit in tiles of 64 pixels either.
    """
    needed = functools.partial(needed_memory, network, size)
    if limit is None or needed(None) <= limit:
        return None
    tile = 1 << (max(size).bit_length() - 1)
    while tile > _SMALLEST_TILE and needed(tile) > limit:
        tile //= 2
    if needed(tile) > limit:
        raise ValueError(
            f"{size[1]} x {size[0]} needs {needed(tile) / 2**30:.2f} GiB in tiles of {tile} pixels, but {limit / 2**30:.2f} GiB may be "
            "used: allow that much, or choose a smaller size."
        )
    return tile


def needed_memory(network: Any, size: tuple[int, int], tile: int | None) -> int:
    """Return the bytes that translating takes beside the process, by arithmetic.

    Args:
        network: of a `Translation`.
        size: (height, width) of the picture.
        tile: as in `translate`.
    """
    height, width = (side + -side % BUCKET for side in size)
    windows = [tiles.tile_window((height, width), tile=tile, halo=network.halo, align=network.stride)]
    if tile is not None or max(size) > MEASURED:
        measured = size if max(size) <= MEASURED else fit_within(size, MEASURED)
        windows.append((measured[0] + BUCKET, measured[1] + BUCKET))
    most = max(rows * columns for rows, columns in windows)
    return height * width * _BYTES_PER_PIXEL + most * 4 * network.width * _FEATURES_AT_ONCE


def as_network(model: Translation) -> weights.Network:
    """Return a model as a network that `weights.network_bytes` writes and `load_translation` reads.

    Args:
        model: to be kept.
    """
    form = {name: getattr(model.network, name) for name in _FORM}
    return weights.Network(jax.device_get(model.params), {**model.about, **form, "kind": KIND})


def load_translation(path: str | Path) -> Translation:
    """Read what `as_network` made the content of a file of.

    Args:
        path: of a .safetensors file.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, or with other layers than it should have.
    """
    params, about = weights.read_network(path, kind=KIND)
    sizes: dict[str, Any] = {name: about.get(name) for name in _FORM}
    for name, (least, most) in _FORM.items():
        if type(sizes[name]) is not int or not least <= sizes[name] <= most:
            raise weights.WeightsError(f"{Path(path).name}: its description lacks a sensible {name}.")
    network = Translator(**sizes)
    expected = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, BUCKET, BUCKET, 3)))["params"]
    wanted = {name: jax.tree.map(jnp.shape, expected) for name in params}
    if not {"to_b"} <= set(params) <= {"to_a", "to_b"} or jax.tree.map(jnp.shape, params) != wanted:
        raise weights.WeightsError(
            f"{Path(path).name}: its layers are not those of a translation of width {network.width} and {network.blocks} blocks."
        )
    return Translation(network, jax.device_put(params), about)


def export_translation(model: Translation, *, platforms: Sequence[str], back: bool = False) -> bytes:
    """Serialize a translator with its weights, for pictures of any size; ``jax.export.deserialize(data).call(image)`` runs it.

    Args:
        model: trained.
        platforms: of "cpu", "cuda" and "tpu".
        back: from b to a.

    Returns:
        The function ``image [H, W, 3] -> [H, W, 3]``, both in [0, 1]; H and W must be multiples of 4.

    Raises:
        ValueError: no way back.
    """
    stride, variables = model.network.stride, {"params": params_toward(model, back=back)}
    size = jax.export.symbolic_shape(f"{stride}*h, {stride}*w")
    shape = jax.ShapeDtypeStruct((*size, 3), jnp.float32)
    program = jax.jit(lambda image: _in_unit_range(model.network, variables, image[None])[0])
    with use_native(False):  # the file must run without jaxart
        return bytes(jax.export.export(program, platforms=tuple(platforms))(shape).serialize())


def _in_unit_range(network: Any, variables: PyTree, pictures: Array) -> jax.Array:
    return (network.apply(variables, 2 * pictures - 1) + 1) / 2


def _continued(picture: np.ndarray) -> np.ndarray:
    """Continue a picture below and right by reflection, to sides that are multiples of the bucket."""
    return np.pad(picture, (*((0, -side % BUCKET) for side in picture.shape[:2]), (0, 0)), mode="symmetric")


def _measured(picture: np.ndarray) -> np.ndarray:
    """Return the picture whose means and deviations count."""
    if max(picture.shape[:2]) > MEASURED:
        picture = np.clip(np.asarray(resize(picture, fit_within(picture.shape[:2], MEASURED))), 0, 1)
    return _continued(picture)


@functools.partial(jax.jit, static_argnums=0)
def _statistics(network: Any, variables: PyTree, picture: Any) -> PyTree:
    return network.apply(variables, 2 * picture[None] - 1, mutable=["statistics"])[1]["statistics"]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _translated(network: Any, variables: PyTree, picture: Any, tile: int | None) -> jax.Array:
    def window(part: Array, variables: PyTree) -> jax.Array:
        return _in_unit_range(network, variables, part[None])[0]

    return tiled_map(window, picture, variables, tile=tile, halo=network.halo, align=network.stride)
