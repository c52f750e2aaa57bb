"""The command compose: an object of one picture set into another."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.options import picture, running
from jaxart.cli.progress import Bar
from jaxart.cli.terminal import interruptible, say

if TYPE_CHECKING:
    from jaxart.io import Picture
    from jaxart.tasks.compose import Painting

_place = Group("The object and its place", sort_key=1)
_look = Group("How it is set in", sort_key=2)
_MARGIN = 1.0  # of the object's size: what is looked at around it
_KNOWN = 1 / 255  # a mask that is less is empty there


@dataclass(frozen=True)
class Place:
    """What is taken of the object, how large, and where it goes."""

    mask: Annotated[
        Path | None,
        Parameter(
            group=_place,
            help="Gray picture of OBJECT's size, white where the object is; gray is partly. [OBJECT's own alpha]",
        ),
    ] = None
    at: Annotated[
        tuple[int, int] | None,
        Parameter(
            group=_place,
            help="X Y: pixels of SCENE, from its upper left, where the middle of what the mask shows goes. [its middle]",
        ),
    ] = None
    scale: Annotated[float, Parameter(group=_place, help="The object's size in SCENE, times its own.")] = 1.0


@dataclass(frozen=True)
class Look:
    """How the object is set in."""

    blend: Annotated[
        Literal["import", "mixed", "screened", "monochrome", "none"],
        Parameter(
            group=_look,
            help="import: its differences, in the tones of the scene. mixed: of each difference the greater one. screened: held to its own "
            "tones too. monochrome: without its colors. none: laid over the scene by its mask.",
        ),
    ] = "import"
    harmonize: Annotated[
        Literal["none", "color", "paint"],
        Parameter(
            group=_look,
            help="color: its colors as those around its place. paint: that, and then painted as the scene is (by VGG-16, minutes).",
        ),
    ] = "none"
    strength: Annotated[
        float, Parameter(group=_look, help="Of --harmonize color: 0 leaves the colors, 1 takes all.")
    ] = 0.75
    matte: Annotated[
        int,
        Parameter(
            group=_look,
            help="Pixels of OBJECT on both sides of the mask's rim in which it is found anew how much of each is the object, without the "
            "colors of its old background: for hair and rough masks. 0 takes the mask as it is.",
        ),
    ] = 0
    seam: Annotated[
        int,
        Parameter(
            group=_look,
            help="Pixels of OBJECT around the mask that may come along, so that the seam goes where it shows least. Not with --matte.",
        ),
    ] = 0
    paint_steps: Annotated[int, Parameter(group=_look, help="Of --harmonize paint, at each scale.")] = 60
    content_weight: Annotated[
        float, Parameter(group=_look, help="Of --harmonize paint: more keeps forms, less becomes strokes.")
    ] = 10.0
    features: Annotated[
        str, Parameter(group=_look, help="Of --harmonize paint: vgg16, vgg19, or a file of their weights.")
    ] = "vgg16"


_PLACE, _LOOK = Place(), Look()


def compose(
    object_: Annotated[Path, Parameter(name="OBJECT", help="The picture with the object.")],
    scene: Annotated[Path, Parameter(name="SCENE", help="The picture that it is set into.")],
    /,
    *,
    output: Annotated[
        Path,
        Parameter(name=["--output", "-o"], group=picture, help="The result, of SCENE's size: .png .jpg .webp .tif."),
    ],
    place: Annotated[Place, Parameter(name="*")] = _PLACE,
    look: Annotated[Look, Parameter(name="*")] = _LOOK,
    bits: Annotated[
        Literal[8, 16], Parameter(group=picture, help="Of each channel of the result; 16 for .png and .tif.")
    ] = 8,
    seed: Annotated[int, Parameter(group=running, help="Of --harmonize paint.")] = 0,
) -> int:
    """Set an object of one picture into another, without a seam and in its colors, or painted as it is painted.

    Steps go in this order: matte, size and place, color, seam, blend, paint; those that are taken are said. What is outside of the object,
    and the alpha of SCENE, stay as they were.

    Example: `jaxart compose cup.jpg painting.jpg --mask cup.png --at 200 430 --matte 8 --blend none --harmonize paint -o out.png`
    """
    from jaxart import io

    begin = time.perf_counter()
    io.check_writable(output, bits=bits)
    _check(place, look)
    there = io.read_picture(scene)
    cut = _object(object_, place, look)
    keep_compiled_programs()
    if look.matte:
        cut = _matted(cut, look.matte)
    made, interrupted = _set_in(cut, there, scene, place, look, seed)
    io.write(output, made, alpha=there.alpha, bits=bits)
    if interrupted:
        say(f"Interrupted: {output} holds the picture as it stood.")
        return 130
    say(f"{output}: {made.shape[1]} x {made.shape[0]}, {time.perf_counter() - begin:.1f} s")
    return 0


def _check(place: Place, look: Look) -> None:
    """Refuse flags that cannot be."""
    if not 0 < place.scale < float("inf"):
        raise ValueError(f"--scale: expected more than 0, got {place.scale:g}.")
    for name, number in (("--matte", look.matte), ("--seam", look.seam)):
        if number < 0:
            raise ValueError(f"{name}: expected at least 0 pixels, got {number}.")
    if look.paint_steps < 1:
        raise ValueError(f"--paint-steps: expected at least 1, got {look.paint_steps}.")
    if look.matte and look.seam:
        raise ValueError(
            "--matte and --seam: the one leaves OBJECT's background behind, the other brings it along; take one."
        )
    if look.seam and look.blend == "none":
        raise ValueError(
            "--seam: brings along what is around the object, which only a blend hides; take another --blend."
        )
    if look.seam and place.mask is None:
        raise ValueError("--seam: needs a --mask: around an object with its own alpha there is nothing to bring along.")


def _object(path: Path, place: Place, look: Look) -> tuple[Any, Any]:
    """Return the colors ``[H, W, 3]`` and the mask ``[H, W]`` of an object, cut to what is needed of them."""
    import numpy as np

    from jaxart import io

    given = io.read_picture(path)
    size = given.rgb.shape[:2]
    if place.mask is None and given.alpha is None:
        raise ValueError(
            f"{path}: has no alpha that says what the object is; hand in a --mask of {size[1]} x {size[0]}."
        )
    name, mask = (path, given.alpha) if place.mask is None else (place.mask, io.read(place.mask).mean(axis=-1))
    assert mask is not None
    if mask.shape != size:
        raise ValueError(
            f"{name}: is {mask.shape[1]} x {mask.shape[0]}, {path} is {size[1]} x {size[0]}; expected a mask of the same size."
        )
    mask = np.where(mask < _KNOWN, 0, np.where(mask > 1 - _KNOWN, 1, mask)).astype(np.float32)
    if not mask.any():
        raise ValueError(f"{name}: is empty (all black): paint white where the object is.")
    if mask.all() and mask.min() == 1:
        say(f"{name}: all white: the whole of {path} is set in, as a rectangle.")
        if look.matte or look.seam:
            raise ValueError(f"{name}: is all white, so it has no rim for --matte or --seam.")
    elif (soft := np.mean((mask > 0) & (mask < 1))) > 0:
        say(f"{name}: soft: {100 * soft:.1f} % of its pixels are partly the object.")
    window = _around(mask, max(look.seam, 4 * look.matte) + 1)
    return given.rgb[window], mask[window]


def _around(mask: Any, margin: int) -> tuple[slice, slice]:
    """Return where a mask is, and some pixels around it."""
    import numpy as np

    ends = [np.flatnonzero(mask.max(axis=1 - axis) > 0)[[0, -1]] for axis in (0, 1)]
    begin = [max(0, int(first) - margin) for first, _ in ends]
    return slice(begin[0], int(ends[0][1]) + 1 + margin), slice(begin[1], int(ends[1][1]) + 1 + margin)


def _matted(cut: tuple[Any, Any], width: int) -> tuple[Any, Any]:
    """Find the matte in a band around the mask's rim, and the object's colors under it."""
    import jax
    import numpy as np

    from jaxart.tasks import compose as task

    say(f"matte: within {width} pixels of the rim")
    colors, mask = cut
    known = task.trimap(mask, width, width)
    if not (np.asarray(known) == 1).any():
        raise ValueError(f"--matte {width}: nothing of the object is farther than that from its rim; take less.")
    alpha = jax.jit(task.closed_form_matte)(colors, known)
    return np.asarray(jax.jit(task.foreground)(colors, alpha)), np.asarray(alpha)


def _sized(cut: tuple[Any, Any], scale: float) -> tuple[Any, Any]:
    """Bring an object to a size; colors count by the mask, so that none of what is around it gets in."""
    import numpy as np

    from jaxart.image import resize

    colors, mask = cut
    size = tuple(max(1, round(side * scale)) for side in mask.shape)
    if size == mask.shape:
        return cut
    weight = np.maximum(mask, 1e-3)[..., None]
    both = np.asarray(resize(np.concatenate([colors * weight, weight], axis=-1), size, method="bilinear"))
    smaller = np.asarray(resize(mask[..., None], size, method="bilinear"))[..., 0]
    return np.clip(both[..., :3] / np.maximum(both[..., 3:], 1e-6), 0, 1), np.clip(smaller, 0, 1)


def _laid(
    cut: tuple[Any, Any], there: "Picture", name: Path, place: Place, margin: int
) -> tuple[tuple[slice, slice], Any, Any, Any]:
    """Return a window of the scene, and the object, its mask and where it has colors, as large as that."""
    import numpy as np

    colors, mask = _sized(cut, place.scale)
    size, inner = there.rgb.shape[:2], _around(mask, 0)
    extent = [each.stop - each.start for each in inner]
    x, y = (size[1] // 2, size[0] // 2) if place.at is None else place.at
    corner = [middle - side // 2 for middle, side in zip((y, x), extent, strict=True)]
    over = [max(0, -c) + max(0, c + e - s) for c, e, s in zip(corner, extent, size, strict=True)]
    if any(over):
        room = [max(0, 2 * min(middle, side - middle)) for middle, side in zip((y, x), size, strict=True)]
        largest = place.scale * min((r - 1) / e for r, e in zip(room, extent, strict=True))
        advice = (
            f"--scale {np.floor(1000 * largest) / 1000:g} is the largest that fits there" if largest > 0 else "move it"
        )
        raise ValueError(
            f"{name}: is {size[1]} x {size[0]}; the object, {extent[1]} x {extent[0]} around {x} {y}, hangs over by {over[1]} pixels "
            f"across and {over[0]} down: {advice}."
        )
    wide = [max(round(_MARGIN * max(extent)), margin + 2) for _ in extent]
    window = tuple(
        slice(max(0, c - w), min(s, c + e + w)) for c, e, s, w in zip(corner, extent, size, wide, strict=True)
    )
    near = there.rgb[window]
    laid, soft, known = near.copy(), np.zeros(near.shape[:2], np.float32), np.zeros(near.shape[:2], bool)
    to, of = [], []
    for c, part, each, side in zip(corner, inner, window, mask.shape, strict=True):
        shift = c - each.start - part.start  # from a place in the object to one in the window
        first, last = max(0, -shift), min(side, each.stop - each.start - shift)
        to.append(slice(first + shift, last + shift))
        of.append(slice(first, last))
    laid[tuple(to)], soft[tuple(to)], known[tuple(to)] = colors[tuple(of)], mask[tuple(of)], True
    return (window[0], window[1]), laid, soft, known


def _set_in(
    cut: tuple[Any, Any], there: "Picture", name: Path, place: Place, look: Look, seed: int
) -> tuple[Any, bool]:
    """Return the scene with the object, and whether painting was interrupted."""
    import numpy as np

    from jaxart.tasks import compose as task

    reach = round(look.seam * place.scale)
    window, laid, mask, known = _laid(cut, there, name, place, reach)
    scene: Any = there.rgb[window]
    if look.harmonize != "none":
        say(f"color: strength {look.strength:g}")
        recolored: Any = task.harmonize(scene, laid, mask, strength=look.strength)
        laid = recolored
    region: Any = mask > 0
    soft: Any = mask
    if look.seam:
        say(f"seam: within {reach} pixels around the mask")
        region = np.asarray(task.seam(scene, laid, mask > 0.5, np.asarray(task.grown(mask > 0.5, reach)) & known))
        soft = region.astype(np.float32)
    if look.blend != "none":
        say(f"blend: {look.blend}")
        cut_out = place.mask is None or look.matte > 0  # then nothing is known around the object
        laid = _blended(scene, _with_rim(laid, region, region if cut_out else known), region, look.blend)
    weight = soft[..., None]
    pasted = np.where(weight >= 1, laid, np.where(weight > 0, weight * laid + (1 - weight) * scene, scene))
    made, interrupted = there.rgb.copy(), False
    made[window] = np.clip(pasted, 0, 1)
    if look.harmonize == "paint":
        whole = np.zeros(made.shape[:2], np.float32)
        whole[window] = soft
        made, interrupted = _painted(there.rgb, made, whole, look, seed)
    return made, interrupted


def _with_rim(laid: Any, region: Any, known: Any) -> Any:
    """Go on with the colors of a region to the pixels around it where none are known: there the object has no differences."""
    import numpy as np

    inside = np.pad(region.astype(np.float32), 1)[..., None]
    colors = np.pad(laid, ((1, 1), (1, 1), (0, 0))) * inside
    count, total = (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] for x in (inside, colors))
    return np.where((known | region)[..., None] | (count == 0), laid, total / np.maximum(count, 1))


def _blended(scene: Any, laid: Any, region: Any, blend: str) -> Any:
    import numpy as np

    from jaxart.tasks import compose as task

    if region.all():
        raise ValueError(
            "--blend: the object covers all of the scene, so there is nothing to blend with; take --blend none."
        )
    gradients: Any = "import" if blend == "screened" else blend
    return np.asarray(
        task.poisson_blend(scene, laid, region, gradients=gradients, screen=_SCREEN if blend == "screened" else 0.0)
    )


_SCREEN = 0.01  # of --blend screened: about ten pixels from the rim, the object's own tones are there


def _painted(scene: Any, pasted: Any, mask: Any, look: Look, seed: int) -> tuple[Any, bool]:
    """Paint the object as the scene is; Ctrl-C leaves it as it stands."""
    import jax

    from jaxart import weights
    from jaxart.tasks import compose as task

    say(f"paint: {look.paint_steps} steps a scale")
    variables = jax.device_put(weights.load(look.features))
    with Bar() as bar, interruptible() as interrupted:

        def on_step(painting: "Painting") -> None:
            info = painting.info
            bar.update(
                (painting.scale - 1) * painting.steps + painting.step,
                f"scale {painting.scale}/{painting.scales}  step {painting.step}/{painting.steps}",
                f"loss {float(info.loss):.2f} (content {float(info.content):.2f}, style {float(info.style):.2f})",
                total=painting.scales * painting.steps,
            )

        made = task.paint_like(
            scene,
            pasted,
            mask,
            variables=variables,
            key=jax.random.key(seed),
            steps=look.paint_steps,
            content_weight=look.content_weight,
            on_step=on_step,
            stop=interrupted,
        )
        return made, interrupted()
