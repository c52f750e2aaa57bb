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
    from jaxart.tasks.compose import Painting

_place = Group("The object and its place", sort_key=1)
_look = Group("How it is set in", sort_key=2)
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
        Literal[8, 16] | None,
        Parameter(group=picture, help="Of each channel of the result; 16 for .png and .tif. [those of SCENE]"),
    ] = None,
    seed: Annotated[int, Parameter(group=running, help="Of --harmonize paint.")] = 0,
) -> int:
    """Set an object of one picture into another, without a seam and in its colors, or painted as it is painted.

    Steps go in this order: matte, size and place, color, seam, blend, paint; those that are taken are said. What is outside of the object,
    and the alpha of SCENE, stay as they were. Both are brought to sRGB, which the result is in.

    Example: `jaxart compose cup.jpg painting.jpg --mask cup.png --at 200 430 --matte 8 --blend none --harmonize paint -o out.png`
    """
    from jaxart import io
    from jaxart.tasks import compose as task

    begin = time.perf_counter()
    io.check_writable(output, bits=bits or 8)
    _check(place, look)
    there = io.read_picture(scene)
    picture, mask = _object(object_, place, look)
    keep_compiled_programs()
    plan = task.Plan(
        at=place.at,
        scale=place.scale,
        matte=look.matte,
        strength=0.0 if look.harmonize == "none" else look.strength,
        seam=look.seam,
        blend=look.blend,
        cut_out=place.mask is None,
    )
    try:
        made, soft = task.set_into(there.rgb, picture, mask, plan, on_step=say)
    except ValueError as error:
        raise ValueError(f"{object_} into {scene}: {error}") from error
    interrupted = False
    if look.harmonize == "paint":
        made, interrupted = _painted(there.rgb, made, soft, look, seed)
    deep = there.bits if output.suffix.lower() in io.DEEP else 8
    io.write(output, made, alpha=there.alpha, bits=bits or deep)
    if interrupted:
        say(f"Interrupted: {output} holds the picture as it stood.")
        return 130
    say(f"{output}: {made.shape[1]} x {made.shape[0]}, {time.perf_counter() - begin:.1f} s")
    return 0


def _check(place: Place, look: Look) -> None:
    """Refuse flags that cannot be."""
    if look.paint_steps < 1:
        raise ValueError(f"--paint-steps: expected at least 1, got {look.paint_steps}.")
    if look.seam and look.blend == "none":
        raise ValueError(
            "--seam: brings along what is around the object, which only a blend hides; take another --blend."
        )
    if look.seam and place.mask is None:
        raise ValueError("--seam: needs a --mask: around an object with its own alpha there is nothing to bring along.")


def _object(path: Path, place: Place, look: Look) -> tuple[Any, Any]:
    """Return the colors ``[H, W, 3]`` and the mask ``[H, W]`` of an object."""
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
    return given.rgb, mask


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
