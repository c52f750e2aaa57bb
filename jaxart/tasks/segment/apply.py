"""Finding the regions of pictures of any size with what was trained, and the file that holds it."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxart import weights
from jaxart.arrays import Array, Image, PyTree, check_image
from jaxart.data import IGNORED
from jaxart.image import resize, unit
from jaxart.metrics import content_hash
from jaxart.models import FeatureSegmenter, Segmenter
from jaxart.ops import tiled_map, use_native
from jaxart.training import apply_in_batches

KIND = "segmentation"  # of a file of weights
TILE = 1024  # pixels: side of the parts that larger pictures are cut into
_BUCKET = 64  # pixels: what sides are rounded up to
_FORM = {
    "width": (1, 1024),
    "depth": (1, 10),
    "squares": (0, 4),
}  # fields of the module that a file keeps, and what they may be


class Segmentation(NamedTuple):
    """A trained segmenter.

    Fields:
        network: module, a `models.Segmenter`, a `models.FeatureSegmenter` or what has its `stride` and `halo`.
        params: of it.
        classes: their names.
        colors: of each, uint8 ``[K, 3]``.
        about: JSON values: "size", the short side of the pictures that it learned from, the "steps" of its training, and so on.
        frozen: collections of the network that are not trained, such as those of `models.FeatureSegmenter.freeze`.
    """

    network: Any
    params: PyTree
    classes: tuple[str, ...]
    colors: np.ndarray
    about: dict[str, Any]
    frozen: PyTree = {}  # noqa: RUF012  never written to

    @property
    def variables(self) -> dict[str, Any]:
        """Return what the network is applied with."""
        return {"params": self.params, **self.frozen}


def segment(model: Segmentation, picture: Image, *, side: int | None = None, tile: int | None = None) -> np.ndarray:
    """Return the class of every pixel of a picture of any size.

    Args:
        model: trained.
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        side: short side in pixels to which the picture is brought before it is looked at, best that of the pictures the model learned from;
            what was found is enlarged again, bilinearly, before the best class is taken. None looks at the picture as it is.
        tile: side of the parts that are looked at one by one, pixels; None looks at the picture whole, with the same result.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        ValueError: no picture, a side or tile below 1.
    """
    given = check_image("picture", picture)
    if side is None:
        return np.asarray(_mapped(model, given, tile, best=True))
    if side < 1:
        raise ValueError(f"side: expected at least 1 pixel, got {side}.")
    height, width = given.shape[:2]
    looked = tuple(max(1, round(length * side / min(height, width))) for length in (height, width))
    logits = segment_logits(model, np.clip(np.asarray(resize(given, looked)), 0, 1), tile=tile)
    return _best_enlarged(logits, (height, width))


def segment_logits(model: Segmentation, picture: Image, *, tile: int | None = None) -> np.ndarray:
    """Return the logits of every pixel of a picture as it is: float32 ``[H, W, K]``.

    The picture's sides are continued to multiples of 64 by reflection and cut at the end, so that a folder of pictures needs few programs.

    Args:
        model: trained.
        picture: as in `segment`.
        tile: as in `segment`.

    Raises:
        ValueError: as `segment`.
    """
    return np.asarray(_mapped(model, check_image("picture", picture), tile, best=False))


def segment_batch(model: Segmentation, pictures: Image, *, batch: int = 16) -> np.ndarray:
    """Return the class of every pixel of pictures of one size: uint8 ``[N, H, W]``.

    Args:
        model: trained.
        pictures: ``[N, H, W, 3]`` in [0, 1] or uint8.
        batch: pictures at a time.

    Raises:
        ValueError: no pictures.
    """
    given: Any = pictures
    size = max(1, min(batch, len(given)))
    return apply_in_batches(_best_of, model.network, model.variables, given, batch=size)


def overlay(
    picture: Image, found: np.ndarray, colors: np.ndarray, *, strength: float = 0.5, outline: int | None = None
) -> np.ndarray:
    """Lay the colors of the classes over a picture, each region within an outline of its color; black leaves what is there.

    Args:
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        found: uint8 ``[H, W]``.
        colors: uint8 ``[K, 3]``; those of classes that are not among them are black.
        strength: of the colors, in [0, 1].
        outline: its width in pixels; None for one of 256 parts of the long side, 0 for none.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: no picture, or another size than that of what was found.
    """
    given = check_image("picture", picture)
    if found.shape != given.shape[:2]:
        raise ValueError(f"overlay: expected what was found at the picture's {given.shape[:2]}, got {found.shape}.")
    table = np.zeros((256, 3), np.float32)
    table[: len(colors)] = colors.astype(np.float32) / 255
    painted = table[found]
    width = max(1, round(max(found.shape) / 256)) if outline is None else outline
    share = np.where(_near_border(found, width), 1.0, strength).astype(np.float32)
    share *= painted.any(axis=-1)
    return given + share[..., None] * (painted - given)


def shares(found: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Return which part of a picture each class has.

    Args:
        found: uint8 ``[H, W]``.
        classes: their names.

    >>> shares(np.array([[0, 1], [1, 1]], np.uint8), ["sky", "sea"])
    {'sky': 0.25, 'sea': 0.75}
    """
    counts = np.bincount(found.reshape(-1), minlength=len(classes))
    return {name: float(count / found.size) for name, count in zip(classes, counts, strict=False)}


def numbered(model: Segmentation, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what was found as numbers of a mask file, and their colors: the numbers that the classes are named by, if they are.

    Args:
        model: that found it.
        found: uint8 ``[H, W]``.

    Returns:
        (numbers uint8 ``[H, W]``, palette uint8 ``[P, 3]``).
    """
    known = all(name.isdecimal() and int(name) < 256 for name in model.classes)
    numbers = np.array([int(name) if known else number for number, name in enumerate(model.classes)], np.uint8)
    palette = np.zeros((int(numbers.max()) + 1, 3), np.uint8)
    palette[numbers] = model.colors
    return numbers[found], palette


def as_network(model: Segmentation) -> weights.Network:
    """Return a model as a network that `weights.network_bytes` writes and `load_segmentation` reads.

    Args:
        model: to be kept.
    """
    form = {name: getattr(model.network, name) for name in _FORM}
    told = {"classes": list(model.classes), "colors": np.asarray(model.colors).tolist()}
    if model.frozen:
        told["vgg16"] = _hash(model.frozen)
    return weights.Network(jax.device_get(model.params), {**model.about, **form, **told, "kind": KIND})


def load_segmentation(path: str | Path) -> Segmentation:
    """Read what `as_network` made the content of a file of.

    Args:
        path: of a .safetensors file.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, with other layers than it should have, or of VGG-16's
            features by weights that are not here.
    """
    params, about = weights.read_network(path, kind=KIND)
    name = Path(path).name
    sizes: dict[str, Any] = {each: about.get(each) for each in _FORM}
    for each, (least, most) in _FORM.items():
        if type(sizes[each]) is not int or not least <= sizes[each] <= most:
            raise weights.WeightsError(f"{name}: its description lacks a sensible {each}.")
    classes, colors = about.get("classes"), about.get("colors")
    if not isinstance(classes, list) or not 1 <= len(classes) < IGNORED or not _are_colors(colors, len(classes)):
        raise weights.WeightsError(f"{name}: its description lacks classes and their colors.")
    network = (FeatureSegmenter if "vgg16" in about else Segmenter)(len(classes), **sizes)
    side = network.stride
    try:
        made = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32))
    except ValueError as error:
        raise weights.WeightsError(f"{name}: describes no network ({error}).") from error
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, made["params"]):
        raise weights.WeightsError(f"{name}: its layers are not those of a segmenter of width {network.width}.")
    frozen = _seen_by(name, network, about) if isinstance(network, FeatureSegmenter) else {}
    held = np.asarray(colors, np.uint8)
    return Segmentation(network, jax.device_put(params), tuple(map(str, classes)), held, about, frozen)


def export_segmentation(model: Segmentation, *, platforms: Sequence[str]) -> bytes:
    """Serialize a segmenter with its weights, for pictures of any size; ``jax.export.deserialize(data).call(image)`` runs it.

    Args:
        model: trained.
        platforms: of "cpu", "cuda" and "tpu".

    Returns:
        The function ``image [H, W, 3] in [0, 1] -> logits [H, W, K]``; H and W must be multiples of the network's stride.
    """
    stride, variables = model.network.stride, model.variables
    size = jax.export.symbolic_shape(f"{stride}*h, {stride}*w")
    shape = jax.ShapeDtypeStruct((*size, 3), jnp.float32)
    program = jax.jit(lambda image: model.network.apply(variables, image[None])[0])
    with use_native(False):  # the file must run without jaxart
        return bytes(jax.export.export(program, platforms=tuple(platforms))(shape).serialize())


def _seen_by(name: str, network: FeatureSegmenter, about: dict[str, Any]) -> PyTree:
    """Return VGG-16 as the network was trained with it."""
    told = about.get("weights")
    file = told if isinstance(told, str) and Path(told).is_file() else None
    frozen = network.freeze(weights.load(file or "vgg16"))
    if _hash(frozen) != about["vgg16"]:
        raise weights.WeightsError(f"{name}: learned by other weights of VGG-16 than {file or 'those here'}.")
    return frozen


def _hash(frozen: PyTree) -> str:
    """Return the hash of VGG-16, but for what is computed of its kernels."""
    return content_hash({name: frozen["frozen"]["vgg16"][name] for name in ("params", "preprocessing")})


def _are_colors(told: Any, count: int) -> bool:
    return (
        isinstance(told, list)
        and len(told) == count
        and all(isinstance(color, list) and len(color) == 3 for color in told)
        and all(type(part) is int and 0 <= part <= 255 for color in told for part in color)
    )


def _best_of(network: Any, variables: PyTree, pictures: Array) -> jax.Array:
    return jnp.argmax(network.apply(variables, unit(pictures)), axis=-1).astype(jnp.uint8)


def _mapped(model: Segmentation, picture: np.ndarray, tile: int | None, *, best: bool) -> np.ndarray:
    if tile is not None and tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {tile}.")
    height, width = picture.shape[:2]
    bucket = max(_BUCKET, model.network.stride)
    margins = [(0, -side % bucket) for side in (height, width)]
    continued = np.pad(picture, (*margins, (0, 0)), mode="symmetric")
    return np.asarray(_run(model.network, model.variables, continued, tile, best))[:height, :width]


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _run(network: Any, variables: PyTree, picture: Any, tile: int | None, best: bool) -> jax.Array:
    def window(part: Array, variables: PyTree) -> jax.Array:
        return _best_of(network, variables, part[None])[0] if best else network.apply(variables, part[None])[0]

    return tiled_map(window, picture, variables, tile=tile, halo=network.halo, align=network.stride)


def _best_enlarged(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the best class at another size, one class after the other, so that large pictures need few maps at once."""
    most, best = np.full(size, -np.inf, np.float32), np.zeros(size, np.uint8)
    for number in range(logits.shape[-1]):
        each = np.asarray(resize(logits[..., number : number + 1], size, method="bilinear"))[..., 0]
        better = each > most
        most[better], best[better] = each[better], number
    return best


def _near_border(found: np.ndarray, width: int) -> np.ndarray:
    """Return where, within `width` pixels above, below, left or right, there is another class."""
    near = np.zeros(found.shape, bool)
    for distance in range(1, width + 1):
        rows, columns = found[distance:] != found[:-distance], found[:, distance:] != found[:, :-distance]
        near[distance:] |= rows
        near[:-distance] |= rows
        near[:, distance:] |= columns
        near[:, :-distance] |= columns
    return near
