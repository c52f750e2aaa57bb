"""An object set into a scene, one step after the other: its matte, its size and place, its colors, the seam, the blend."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np

from jaxart.arrays import check_choice
from jaxart.image import resize
from jaxart.tasks.compose.blend import poisson_blend
from jaxart.tasks.compose.harmonize import harmonize
from jaxart.tasks.compose.matte import closed_form_matte, foreground
from jaxart.tasks.compose.region import grown, trimap
from jaxart.tasks.compose.seam import seam

Blend = Literal["import", "mixed", "screened", "monochrome", "none"]
BLENDS: tuple[str, ...] = get_args(Blend)
_MARGIN = 1.0  # of the object's size: what is looked at around it
_SCREEN = 0.01  # of the blend "screened": about ten pixels from the rim, the object's own tones are there
_matte, _foreground = jax.jit(closed_form_matte), jax.jit(foreground)


class Plan(NamedTuple):
    """How an object is set into a scene.

    Fields:
        at: (x, y), pixels of the scene, where the middle of what the mask shows goes; None for the scene's middle.
        scale: the object's size in the scene, times its own.
        matte: pixels on both sides of the mask's rim in which it is found anew how much of each is the object; 0 takes the mask as it is.
        strength: how much its colors become those around its place: 0 for nothing, 1 for all.
        seam: pixels around the mask that may come along, so that the seam goes where it shows least.
        blend: "import", "mixed" and "monochrome" as `poisson_blend` has them; "screened", held to the object's own tones too; "none",
            laid over the scene by the mask.
        cut_out: whether nothing is known of what is around the object, as where the mask is its own alpha.
    """

    at: tuple[int, int] | None = None
    scale: float = 1.0
    matte: int = 0
    strength: float = 0.0
    seam: int = 0
    blend: Blend = "import"
    cut_out: bool = False


class Composed(NamedTuple):
    """The scene with the object ``[H, W, 3]``, and how much of each of its pixels is the object ``[H, W]``."""

    picture: np.ndarray
    mask: np.ndarray


class _Cut(NamedTuple):
    """An object: colors ``[H, W, 3]``, and how much of each pixel it is ``[H, W]``."""

    colors: Any
    mask: Any


class _Laid(NamedTuple):
    """An object as large as a window of the scene, where that is, and where it has colors ``[H, W]``."""

    window: tuple[slice, slice]
    colors: Any
    mask: Any
    known: Any


def set_into(
    scene: Any, picture: Any, mask: Any, plan: Plan, *, on_step: Callable[[str], Any] = lambda told: None
) -> Composed:
    """Set an object of one picture into another: outside of it the scene is what it was, bit for bit.

    Args:
        scene: ``[H, W, 3]``, float in [0, 1].
        picture: ``[h, w, 3]``, that with the object.
        mask: how much of each of its pixels is the object, ``[h, w]`` in [0, 1].
        plan: how.
        on_step: called with a sentence before each step.

    Raises:
        ValueError: shapes that do not fit, an empty mask, an object that hangs over the scene or covers it, a matte that leaves nothing.
    """
    scene, picture, mask = (np.asarray(each, np.float32) for each in (scene, picture, mask))
    _check(scene, picture, mask, plan)
    cut = _matted(_cut_out(picture, mask, max(plan.seam, 4 * plan.matte) + 1), plan.matte, on_step)
    reach = round(plan.seam * plan.scale)
    laid = _laid(_sized(cut, plan.scale), scene, plan, reach)
    near = scene[laid.window]
    colors: Any = laid.colors
    soft, region = laid.mask, laid.mask > 0
    if plan.strength:
        on_step(f"color: strength {plan.strength:g}")
        colors = np.asarray(harmonize(near, colors, soft, strength=plan.strength))
    if plan.seam:
        on_step(f"seam: within {reach} pixels around the mask")
        inside = soft > 0.5
        region = np.asarray(seam(near, colors, inside, np.asarray(grown(inside, reach)) & laid.known))
        soft = region.astype(np.float32)
    if plan.blend != "none":
        on_step(f"blend: {plan.blend}")
        known = region if plan.cut_out or plan.matte else laid.known
        colors = _blended(near, _with_rim(colors, region, known), region, plan.blend)
    weight = soft[..., None]
    pasted = np.where(weight >= 1, colors, np.where(weight > 0, weight * colors + (1 - weight) * near, near))
    made, whole = scene.copy(), np.zeros(scene.shape[:2], np.float32)
    made[laid.window], whole[laid.window] = np.clip(pasted, 0, 1), soft
    return Composed(made, whole)


def _check(scene: np.ndarray, picture: np.ndarray, mask: np.ndarray, plan: Plan) -> None:
    check_choice("blend", plan.blend, BLENDS)
    if scene.ndim != 3 or picture.ndim != 3 or scene.shape[-1] != 3 or picture.shape[-1] != 3:
        raise ValueError(f"expected two pictures [H, W, 3], got {scene.shape} and {picture.shape}.")
    if mask.shape != picture.shape[:2]:
        raise ValueError(f"mask: expected the picture's {picture.shape[:2]}, got {mask.shape}.")
    if not mask.any():
        raise ValueError("mask: is empty: it should be 1 where the object is.")
    if not 0 < plan.scale < float("inf"):
        raise ValueError(f"scale: expected more than 0, got {plan.scale:g}.")
    if min(plan.matte, plan.seam) < 0:
        raise ValueError(f"matte, seam: expected at least 0 pixels, got {plan.matte} and {plan.seam}.")
    if plan.matte and plan.seam:
        raise ValueError("matte, seam: the one leaves the old background behind, the other brings it along; take one.")


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return where a mask is, and some pixels around it."""
    ends = [np.flatnonzero(mask.max(axis=1 - axis) > 0)[[0, -1]] for axis in (0, 1)]
    begin = [max(0, int(first) - margin) for first, _ in ends]
    return slice(begin[0], int(ends[0][1]) + 1 + margin), slice(begin[1], int(ends[1][1]) + 1 + margin)


def _cut_out(picture: np.ndarray, mask: np.ndarray, margin: int) -> _Cut:
    window = _around(mask, margin)
    return _Cut(picture[window], mask[window])


def _matted(cut: _Cut, width: int, on_step: Callable[[str], Any]) -> _Cut:
    """Find the matte in a band around the mask's rim, and the object's colors under it."""
    if not width:
        return cut
    on_step(f"matte: within {width} pixels of the rim")
    known = trimap(cut.mask, width, width)
    if not (np.asarray(known) == 1).any():
        raise ValueError(f"matte: nothing of the object is farther than {width} pixels from its rim; take less.")
    alpha = _matte(cut.colors, known)
    return _Cut(np.asarray(_foreground(cut.colors, alpha)), np.asarray(alpha))


def _sized(cut: _Cut, scale: float) -> _Cut:
    """Bring an object to a size; colors count by the mask, so that none of what is around it gets in."""
    size = tuple(max(1, round(side * scale)) for side in cut.mask.shape)
    if size == cut.mask.shape:
        return cut
    weight = np.maximum(cut.mask, 1e-3)[..., None]
    both = np.asarray(resize(np.concatenate([cut.colors * weight, weight], axis=-1), size, method="bilinear"))
    smaller = np.asarray(resize(cut.mask[..., None], size, method="bilinear"))[..., 0]
    return _Cut(np.clip(both[..., :3] / np.maximum(both[..., 3:], 1e-6), 0, 1), np.clip(smaller, 0, 1))


def _laid(cut: _Cut, scene: np.ndarray, plan: Plan, margin: int) -> _Laid:
    """Lay an object over the window of the scene that is around its place."""
    size, inner = scene.shape[:2], _around(cut.mask, 0)
    extent = [each.stop - each.start for each in inner]
    middle = (size[0] // 2, size[1] // 2) if plan.at is None else plan.at[::-1]
    corner = [place - side // 2 for place, side in zip(middle, extent, strict=True)]
    _check_fits(size, middle, corner, extent, plan.scale)
    wide = max(round(_MARGIN * max(extent)), margin + 2)
    rows, columns = (
        slice(max(0, c - wide), min(s, c + e + wide)) for c, e, s in zip(corner, extent, size, strict=True)
    )
    near = scene[rows, columns]
    colors, mask, known = near.copy(), np.zeros(near.shape[:2], np.float32), np.zeros(near.shape[:2], bool)
    to, of = [], []
    for c, part, window, side in zip(corner, inner, (rows, columns), cut.mask.shape, strict=True):
        shift = c - window.start - part.start  # from a place in the object to one in the window
        first, last = max(0, -shift), min(side, window.stop - window.start - shift)
        to.append(slice(first + shift, last + shift))
        of.append(slice(first, last))
    colors[tuple(to)], mask[tuple(to)], known[tuple(to)] = cut.colors[tuple(of)], cut.mask[tuple(of)], True
    return _Laid((rows, columns), colors, mask, known)


def _check_fits(size: tuple[int, ...], middle: Any, corner: list[int], extent: list[int], scale: float) -> None:
    over = [max(0, -c) + max(0, c + e - s) for c, e, s in zip(corner, extent, size, strict=True)]
    if not any(over):
        return
    room = [max(0, 2 * min(place, side - place)) for place, side in zip(middle, size, strict=True)]
    largest = np.floor(1000 * scale * min((r - 1) / e for r, e in zip(room, extent, strict=True))) / 1000
    advice = f"a scale of {largest:g} is the largest that fits there" if largest > 0 else "move it"
    raise ValueError(
        f"the object, {extent[1]} x {extent[0]} pixels around {middle[1]} {middle[0]}, hangs over the scene's {size[1]} x {size[0]} by "
        f"{over[1]} pixels across and {over[0]} down: {advice}."
    )


def _with_rim(colors: Any, region: Any, known: Any) -> np.ndarray:
    """Go on with the colors of a region to the pixels around it where none are known: there the object has no differences."""
    inside = np.pad(region.astype(np.float32), 1)[..., None]
    kept = np.pad(colors, ((1, 1), (1, 1), (0, 0))) * inside
    count, total = (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] for x in (inside, kept))
    return np.where((known | region)[..., None] | (count == 0), colors, total / np.maximum(count, 1))


def _blended(scene: Any, colors: Any, region: Any, blend: str) -> np.ndarray:
    if region.all():
        raise ValueError("the object covers all of the scene, so there is nothing to blend with; take the blend none.")
    gradients: Any = "import" if blend == "screened" else blend
    screen = _SCREEN if blend == "screened" else 0.0
    return np.asarray(poisson_blend(scene, colors, region, gradients=gradients, screen=screen))
