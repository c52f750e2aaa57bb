"""`--preset instant` and the command styles: photographs painted in one pass each by a network of many styles."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jaxart.cli.devices import keep_compiled_programs
from jaxart.cli.job import DEFAULTS, Options, stacked
from jaxart.cli.options import look
from jaxart.cli.painting import write_result
from jaxart.cli.terminal import say, show, table

if TYPE_CHECKING:
    from jaxart.tasks.stylize import AnyStyleModel, StyleModel

_LARGEST = 1024  # pixels of the long side where no size is given
_TILE, _WHOLE = 1024, 1 << 21  # side of the tiles, and the pixels up to which a picture is painted whole
_SHARED = (
    "preset",
    "size",
    "style_weights",
    "style_scale",
    "colors",
    "mask",
    "precision",
)  # flags of other presets that mean the same here
_BYTES_PER_PIXEL = 100  # of a result in tiles: some float32 pictures at once
_BYTES_PER_MASK = 16  # a pixel: float32, some times
_FINEST = 1 / 8  # --style-scale: paintings of 64 pixels
_SHEET = 192  # pixels a side of the pictures of the contact sheet

ModelFile = Annotated[
    Path | None,
    Parameter(group=look, help="The network of --preset instant: a .safetensors of `export`. [the one in the package]"),
]


@dataclass(frozen=True)
class Instant:
    """What --preset instant has beside the rest."""

    strength: Annotated[
        float, Parameter(group=look, help="With --preset instant: 0 is the photograph, 1 the painting.")
    ] = 1.0
    model: ModelFile = None


INSTANT_DEFAULTS = Instant()


def instant_painter(
    styles: tuple[Path, ...], options: Options, instant: Instant, *, bits: Literal[8, 16]
) -> Callable[..., int]:
    """Read the network once; return a function that paints a photograph from a file to a file.

    Args:
        styles: names of styles; files of paintings where the network is one of any style.
        options: flags of all presets.
        instant: flags of this one.
        bits: of each channel of the result.

    Raises:
        ValueError: an unknown style, a flag that has no meaning here, a file that is no network or no painting.
    """
    import jax.numpy as jnp

    from jaxart import io
    from jaxart.tasks import stylize as task

    _check_flags(options)
    model, mix = _model_and_style(styles, options, instant)
    network = model.network.clone(dtype=getattr(jnp, options.precision))
    masks = None if options.mask is None else [io.read(mask) for mask in options.mask]

    def paint(content: Path, *, output: Path, **unused: Any) -> int:
        io.check_writable(output, bits=bits)
        begin = time.perf_counter()
        photograph = io.read_picture(content)
        pixels = _sized(io.on_white(photograph), options.size, masks=len(masks or ()))
        tile = None if pixels.shape[0] * pixels.shape[1] <= _WHOLE else _TILE
        made = task.restyle(
            network,
            model.variables,
            pixels,
            mix,
            masks=None if masks is None else stacked(masks, pixels.shape[:2]),
            strength=instant.strength,
            colors=options.colors,
            tile=tile,
        )
        write_result(output, made, alpha=photograph.alpha, bits=bits)
        say(f"{output}: {made.shape[1]} x {made.shape[0]}, {time.perf_counter() - begin:.1f} s")
        return 0

    return paint


def _model_and_style(styles: tuple[Path, ...], options: Options, instant: Instant) -> tuple[Any, Any]:
    """Return the network, and the numbers that say the style: those of each with masks, of their mix without.

    A network of many styles takes shares of its own ones, one of any style what it makes of paintings, in float32.
    """
    import numpy as np

    from jaxart import weights
    from jaxart.tasks import stylize as task

    default = "any_style" if any(style.is_file() for style in styles) else "styles"
    file = weights.network_file(instant.model, default=default)
    if weights.network_kind(file) != task.ANY_STYLE:
        model = task.load_styles(file)
        names = _names(styles, model)
        _check_strokes(options)
        each = np.stack([task.style_mix(model.names, [name]) for name in names])
    else:
        model = task.load_any_style(file)
        size = _painting_size(options.style_scale)
        each = np.stack([_style_of(model, style, size) for style in styles])
    numbers = [str(number) for number in range(len(styles))]
    shares = task.style_mix(numbers, numbers, options.style_weights)
    return model, shares @ each if options.mask is None else each


def _painting_size(scale: float) -> int:
    """Return the pixels of a painting's long side at which its style is taken."""
    from jaxart.tasks import stylize as task

    if not _FINEST <= scale < float("inf"):
        raise ValueError(
            f"--style-scale: expected at least {_FINEST} with --preset instant, got {scale:g}: finer, the painting shows no strokes."
        )
    return round(scale * task.PAINTING_SIZE)


def _style_of(model: "AnyStyleModel", path: Path, size: int) -> Any:
    """Return the style of a painting in a file, which errors name."""
    from jaxart import io
    from jaxart.tasks import stylize as task

    if not path.is_file() and str(path) in task.load_styles().names:
        raise ValueError(
            f"{path}: a style of one network, and paintings go through another: take names or files, or leave out --model."
        )
    picture = io.read(path)
    try:
        return task.style_of(model, picture, size=size)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_strokes(options: Options) -> None:
    """Refuse a scale of strokes that a network has not learned."""
    if options.style_scale != 1:
        raise ValueError(
            f"--style-scale {options.style_scale:g}: the strokes of a network of many styles are fixed by its training. Leave it out; a "
            "smaller --size makes them larger in the picture. Or take a file of the painting, --preset fast, or one that "
            "`jaxart train style --painting-size` has learned with other strokes."
        )


def styles(
    *,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="A sheet of the sample photograph in every style.")
    ] = None,
    model: ModelFile = None,
) -> int:
    """List the styles of `--preset instant`, which needs no download.

    Example: `jaxart styles -o styles.png`, then `jaxart stylize photo.jpg scream -o result.png --preset instant`
    """
    import numpy as np

    from jaxart import io, samples
    from jaxart.tasks import stylize as task

    keep_compiled_programs()
    found = task.load_styles(model)
    paintings = found.about.get("paintings", {})
    rows = ((name, paintings.get(name, "")) for name in found.names)
    show(table(rows, columns=("style", "painting")))
    if output is None:
        return 0
    io.check_writable(output)
    photo = io.square(np.rint(io.read(samples.path("cat")) * 255).astype(np.uint8), _SHEET)
    each = [task.restyle(found.network, found.variables, photo, mix) for mix in np.eye(len(found.names))]
    io.write(output, io.grid(np.stack(each), columns=4))
    say(f"{output}: in the order above, four in a row")
    return 0


def _names(styles: tuple[Path, ...], model: "StyleModel") -> list[str]:
    """Return the names of styles; a file of a painting is none."""
    for style in styles:
        if style.suffix and str(style) not in model.names and not style.is_file():
            raise ValueError(f"{style}: no such file. Give a painting's file, or a style that `jaxart styles` lists.")
        if str(style) not in model.names and style.is_file():
            raise ValueError(
                f"{style}: --preset instant paints in the styles that its network has learned ({', '.join(model.names)}). "
                "For a painting of your own leave out --model, or let `jaxart train style` learn it."
            )
    return [str(style) for style in styles]


def _check_flags(options: Options) -> None:
    """Refuse flags that have no meaning in one pass."""
    for field in dataclasses.fields(Options):
        if field.name not in _SHARED and getattr(options, field.name) != getattr(DEFAULTS, field.name):
            flag = field.name.replace("_", "-")
            raise ValueError(f"--{flag} has no meaning with --preset instant: leave it out, or take --preset fast.")


def _sized(picture: Any, size: int | None, *, masks: int) -> Any:
    """Return a photograph with the long side that was asked for; without one, shrunk to the largest where it is larger."""
    import numpy as np

    from jaxart import memory
    from jaxart.image import fit_within, resize

    if size is not None and size < 1:
        raise ValueError(f"--size: expected at least 1 pixel, got {size}.")
    longest = max(picture.shape[:2])
    target = min(longest, _LARGEST) if size is None else size
    height, width = fit_within(picture.shape[:2], target)
    needed, free = height * width * (_BYTES_PER_PIXEL + masks * _BYTES_PER_MASK), memory.available()
    if free is not None and needed > free:
        raise ValueError(
            f"--size: {width} x {height} needs {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free: choose a smaller size."
        )
    return picture if target == longest else np.clip(resize(picture, fit_within(picture.shape[:2], target)), 0, 1)
