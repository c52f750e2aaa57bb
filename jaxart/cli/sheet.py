"""The command sheet and its flags. No heavy imports: what it does is in `cli.sheeting`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from jaxart.cli.options import Colors, Features, Init, StyleScale, look, running

_picture = Group("The pictures", sort_key=1)

Style = Annotated[Path, Parameter(help="Paintings, a row of the sheet for each.")]


@dataclass(frozen=True)
class Options:
    """Everything but the files."""

    content_weights: Annotated[
        tuple[float, ...] | None,
        Parameter(
            group=look,
            consume_multiple=True,
            help="A column for each: strength of the photograph; lower is more painterly. [vgg16: 0.003 0.01 0.03]",
        ),
    ] = None
    size: Annotated[int, Parameter(group=_picture, help="Long side of each picture in pixels.")] = 256
    min_size: Annotated[int, Parameter(group=_picture, help="Long side of the first, coarsest scale.")] = 128
    steps: Annotated[
        int, Parameter(group=_picture, help="Steps per scale; the first, cheapest scale takes twice as many.")
    ] = 60
    columns: Annotated[
        int | None, Parameter(group=_picture, help="Pictures in a row. [one for each content weight]")
    ] = None
    each: Annotated[Path | None, Parameter(group=_picture, help="A folder for the single pictures too.")] = None
    features: Features = "vgg16"
    style_scale: StyleScale = 1.0
    colors: Colors = "style"
    init: Init = "content"
    seed: Annotated[int, Parameter(group=look, help="Of the noise in --init, the same in all pictures.")] = 0
    max_memory: Annotated[
        float | None,
        Parameter(
            group=running, help="GiB that may be used; pictures that do not fit at once take turns. [what is free]"
        ),
    ] = None


def sheet(
    content: Annotated[Path, Parameter(help="The photograph.")],
    style: Style,
    /,
    *styles: Style,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], group=_picture, help="The sheet: .png .jpg .webp .tif.")
    ],
    options: Annotated[Options, Parameter(name="*")] = Options(),
) -> int:
    """Try a photograph in many styles and strengths: a row for each painting, a column for each content weight.

    All pictures are made together, as one program. Make the one you like large with `jaxart stylize`, its painting and its
    `--content-weight`. Ctrl-C writes the sheet as it stands.

    Example: `jaxart sheet harbour.jpg monet.jpg hokusai.jpg klee.jpg -o sheet.png --content-weights 0.003 0.01 0.03`
    """
    from jaxart.cli import sheeting

    return sheeting.sheet(content, (style, *styles), output, options)
