"""Restoring pictures of any size with what was trained, and the file that holds it."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxart import weights
from jaxart.arrays import Array, Image, PyTree
from jaxart.image import enlarge
from jaxart.models import Restorer, depth_to_space
from jaxart.ops import tiled_map, use_native
from jaxart.tasks.restore.damage import PLATE_TOLERANCE
from jaxart.tasks.restore.denoisers import denoise_nonlocal_means
from jaxart.tasks.restore.enlarge import back_project
from jaxart.tasks.restore.fill import fill_biharmonic, fill_pyramid

KIND = "restorer"  # of a file of weights
TASKS = ("denoise", "upscale", "inpaint", "cracks")
TILE = 512  # pixels of the parts that larger pictures are cut into
_BUCKET = 64  # pixels: what sides are rounded up to
_FORM = {
    "width": (1, 1024),
    "depth": (1, 10),
    "blocks": (1, 100),
    "squares": (0, 4),
}  # what a file keeps, and its range
_LARGEST_SCALE = 8


class Restoration(NamedTuple):
    """A trained restorer.

    Fields:
        network: module, a `models.Restorer` or what has its `stride` and `halo`.
        params: of it.
        task: one of `TASKS`.
        scale: how many times it enlarges; 1 if it does not.
        about: JSON values: the "steps" of its training, and so on.
    """

    network: Any
    params: PyTree
    task: str
    scale: int
    about: dict[str, Any]


def outputs_of(task: str, scale: int) -> int:
    """Return how many channels a network of a task has: those of a picture, times the square of the scale; one that finds damage has one.

    Args:
        task: one of `TASKS`.
        scale: how many times it enlarges.
    """
    return 1 if task == "cracks" else 3 * scale**2


def apply_restorer(model: Restoration, given: Any, *, tile: int | None = TILE) -> np.ndarray:
    """Return what a network makes of one picture of any size, to be added to what it begins with: float32 ``[s H, s W, C]``.

    The picture's sides are continued to multiples of 64 by reflection and cut at the end, so that a folder of pictures needs few programs.

    Args:
        model: trained.
        given: float ``[H, W, 4]``: the picture in [0, 1], and the plane that says what is known of its damage.
        tile: side of the parts that are looked at one by one, pixels; None looks at the picture whole, with the same result to rounding.

    Raises:
        ValueError: another shape, or a tile below 1.
    """
    if tile is not None and tile < 1:
        raise ValueError(f"tile: expected at least 1 pixel, got {tile}.")
    if np.ndim(given) != 3 or given.shape[-1] != 4:
        raise ValueError(f"expected a picture and a plane [H, W, 4], got shape {np.shape(given)}.")
    height, width = given.shape[:2]
    margins = [(0, -side % max(_BUCKET, model.network.stride)) for side in (height, width)]
    continued = np.pad(np.asarray(given, np.float32), (*margins, (0, 0)), mode="symmetric")
    found = _run(model.network, model.params, continued, tile if tile and tile < max(height, width) else None)
    found = np.array(depth_to_space(found[None], model.scale)[0])
    return found[: model.scale * height, : model.scale * width]


def denoise(
    model: Restoration, picture: Image, noise: Any = None, *, views: int = 1, tile: int | None = TILE
) -> np.ndarray:
    """Take noise away.

    Args:
        model: of the task "denoise".
        picture: ``[H, W, 3]``, float in [0, 1] or a little beyond, as noise makes it; or uint8.
        noise: its standard deviation, a number or ``[H, W, 1]``; None where it is not known: the network then finds out.
        views: 1, or 8 for the mean of what is made of the picture mirrored and turned: a little better, in eight times the time.
        tile: as in `apply_restorer`.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: a model of another task, or another shape.
    """
    given = _checked(model, "denoise", picture)
    plane = np.broadcast_to(np.float32(0 if noise is None else noise), (*given.shape[:2], 1))
    return np.clip(given + _changed(model, given, plane, views, tile), 0, 1)


def denoise_together(
    model: Restoration, picture: Image, noise: float, *, views: int = 1, tile: int | None = TILE
) -> np.ndarray:
    """Return the mean of what a network and non-local means make of a noisy picture.

    The one has learned what pictures look like and sees a neighborhood; the other knows nothing, and looks far for what is alike. They are
    wrong in different places: the mean is half a decibel better than either (benchmarks/README.md).

    Args:
        model: see `denoise`.
        picture: see `denoise`.
        noise: its standard deviation.
        views: see `denoise`.
        tile: see `denoise`.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1].

    Raises:
        ValueError: as `denoise`.
    """
    learned = denoise(model, picture, noise, views=views, tile=tile)
    alike = np.clip(np.asarray(_nonlocal(jnp.asarray(_checked(model, "denoise", picture)), noise)), 0, 1)
    return (learned + alike) / 2


def upscale(
    model: Restoration,
    picture: Image,
    *,
    old: bool = False,
    project: bool = True,
    views: int = 1,
    tile: int | None = TILE,
) -> np.ndarray:
    """Enlarge a picture.

    Args:
        model: of the task "upscale", which knows by how much.
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        old: whether it is blurred, noisy or compressed, which is mended then; else it is taken at its word.
        project: make the result such that it becomes the picture again when it is shrunk (`back_project`); not of old ones.
        views: as in `denoise`.
        tile: as in `apply_restorer`.

    Returns:
        float32 ``[s H, s W, 3]`` in [0, 1].

    Raises:
        ValueError: as `denoise`.
    """
    given = _checked(model, "upscale", picture)
    plane = np.full((*given.shape[:2], 1), old, np.float32)
    begun = np.asarray(enlarge(given, (model.scale * given.shape[0], model.scale * given.shape[1])))
    made = np.clip(begun + _changed(model, given, plane, views, tile), 0, 1)
    return np.asarray(back_project(made, given)) if project and not old else made


def inpaint(model: Restoration, picture: Image, holes: Any, *, views: int = 1, tile: int | None = TILE) -> np.ndarray:
    """Fill holes.

    Args:
        model: of the task "inpaint".
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        holes: which share of a pixel is missing, ``[H, W]``: bool, or in [0, 1], where the picture shows through.
        views: as in `denoise`.
        tile: as in `apply_restorer`.

    Returns:
        float32 ``[H, W, 3]`` in [0, 1]; where nothing is missing the picture bit for bit.

    Raises:
        ValueError: as `denoise`, holes of another size, or nothing that is known.
    """
    given, share = _checked(model, "inpaint", picture), np.asarray(holes, np.float32)[..., None]
    if share.shape[:2] != given.shape[:2]:
        raise ValueError(f"holes: expected the picture's {given.shape[:2]}, got {share.shape[:2]}.")
    if share.min() > 0:
        raise ValueError("holes: expected some pixels that are known, got none.")
    missing = share > 0
    begun = np.asarray(_plate(given, missing[..., 0]))
    made = np.clip(begun + _changed(model, begun, missing.astype(np.float32), views, tile), 0, 1)
    mixed = np.where(share >= 1, made, given + share * (made - given))
    return np.where(share > 0, mixed, given)


def without_holes(picture: Any, holes: Any) -> np.ndarray:
    """Return a picture with its holes filled by `fill_pyramid`, for what needs a whole one and does not look at holes.

    Args:
        picture: ``[H, W, C]``; what it holds in the holes is not looked at.
        holes: ``[H, W]``, above 0 where something is missing.
    """
    missing = np.asarray(holes) > 0
    return np.asarray(_pyramid(np.where(missing[..., None], 0, picture), 1 - missing.astype(np.float32)))


def find_damage(model: Restoration, picture: Image, *, views: int = 1, tile: int | None = TILE) -> np.ndarray:
    """Return how probable it is that a pixel is of a crack, a scratch or dust: float32 ``[H, W]``.

    Args:
        model: of the task "cracks".
        picture: ``[H, W, 3]`` in [0, 1] or uint8.
        views: as in `denoise`.
        tile: as in `apply_restorer`.

    Raises:
        ValueError: as `denoise`.
    """
    given = _checked(model, "cracks", picture)
    logits = _changed(model, given, np.ones((*given.shape[:2], 1), np.float32), views, tile)[..., 0]
    return np.asarray(jax.nn.sigmoid(logits))


_pyramid, _nonlocal = jax.jit(fill_pyramid), jax.jit(denoise_nonlocal_means)
_plate = jax.jit(functools.partial(fill_biharmonic, tolerance=PLATE_TOLERANCE))


def _checked(model: Restoration, task: str, picture: Image) -> np.ndarray:
    if model.task != task:
        raise ValueError(f"expected a network of the task {task}, got one of {model.task}.")
    given: Any = np.asarray(picture)
    if given.ndim != 3 or given.shape[-1] != 3:
        raise ValueError(f"picture: expected [H, W, 3], got shape {given.shape}.")
    return given.astype(np.float32) / (255 if given.dtype == np.uint8 else 1)


def _changed(model: Restoration, picture: np.ndarray, plane: Any, views: int, tile: int | None) -> np.ndarray:
    """Return the mean of what a network makes of a picture, as it is or as all eight that mirroring and turning make of it."""
    if views not in (1, 8):
        raise ValueError(f"views: expected 1 or 8, got {views}.")
    given = np.concatenate([picture, plane], axis=-1)
    made = apply_restorer(model, given, tile=tile)
    for number in range(1, views):
        turned = np.rot90(given[:, ::-1] if number >= 4 else given, number % 4)
        back = np.rot90(apply_restorer(model, turned, tile=tile), -(number % 4))
        made += back[:, ::-1] if number >= 4 else back
    return made / views


@functools.partial(jax.jit, static_argnums=(0, 3))
def _run(network: Any, params: PyTree, picture: Any, tile: int | None) -> jax.Array:
    def window(part: Array, params: PyTree) -> jax.Array:
        return network.apply({"params": params}, part[None])[0]

    return tiled_map(window, picture, params, tile=tile, halo=network.halo, align=network.stride)


def as_network(model: Restoration) -> weights.Network:
    """Return a model as a network that `weights.network_bytes` writes and `load_restoration` reads.

    Args:
        model: to be kept.
    """
    form = {name: getattr(model.network, name) for name in _FORM}
    told = {"task": model.task, "scale": model.scale, "kind": KIND}
    return weights.Network(jax.device_get(model.params), {**model.about, **form, **told})


def load_restoration(path: str | Path) -> Restoration:
    """Read what `as_network` made the content of a file of.

    Args:
        path: of a .safetensors file.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, or with other layers than it should have.
    """
    params, about = weights.read_network(path, kind=KIND)
    name = Path(path).name
    task, scale = about.get("task"), about.get("scale")
    if task not in TASKS or type(scale) is not int or not 1 <= scale <= _LARGEST_SCALE:
        raise weights.WeightsError(f"{name}: its description lacks a task or a scale.")
    sizes: dict[str, Any] = {each: about.get(each) for each in _FORM}
    for each, (least, most) in _FORM.items():
        if type(sizes[each]) is not int or not least <= sizes[each] <= most:
            raise weights.WeightsError(f"{name}: its description lacks a sensible {each}.")
    network = Restorer(outputs_of(task, scale), **sizes)
    side = network.stride
    made = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, side, side, 4), jnp.float32))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, made["params"]):
        raise weights.WeightsError(f"{name}: its layers are not those of a restorer of width {network.width}.")
    return Restoration(network, jax.device_put(params), task, scale, about)


def export_restoration(model: Restoration, *, platforms: Sequence[str]) -> bytes:
    """Serialize a restorer with its weights, for pictures of any size; ``jax.export.deserialize(data).call(given)`` runs it.

    Args:
        model: trained.
        platforms: of "cpu", "cuda" and "tpu".

    Returns:
        The function ``given [H, W, 4] -> change [s H, s W, C]``, as `apply_restorer`; H and W must be multiples of the network's stride.
    """
    stride = model.network.stride
    size = jax.export.symbolic_shape(f"{stride}*h, {stride}*w")
    shape = jax.ShapeDtypeStruct((*size, 4), jnp.float32)
    program = jax.jit(
        lambda given: depth_to_space(model.network.apply({"params": model.params}, given[None]), model.scale)[0]
    )
    with use_native(False):  # the file must run without jaxart
        return bytes(jax.export.export(program, platforms=tuple(platforms))(shape).serialize())
