"""What to paint and how: the flags that stylize and plan share, and the stylization that they describe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jaxart.cli.devices import mesh_of
from jaxart.cli.options import Colors, Features, Init, StyleLoss, StyleScale, look, picture, running
from jaxart.cli.terminal import MemorySize
from jaxart.cli.weights import load_weights

if TYPE_CHECKING:
    import numpy as np

    from jaxart.arrays import Key
    from jaxart.io import Picture
    from jaxart.tasks.stylize import Stylization

PRESETS: dict[str, dict[str, int]] = {
    "quality": {"size": 512, "min_size": 128, "steps": 500},
    "fast": {"size": 384, "min_size": 128, "steps": 60},
    "refine": {"size": 512, "min_size": 512, "steps": 18},
    "large": {"size": 2560, "min_size": 128, "steps": 300, "last_steps": 12},
}


@dataclass(frozen=True)
class Options:
    """What `stylize` and `plan` share."""

    preset: Annotated[
        Literal["quality", "fast", "refine", "large", "instant"],
        Parameter(
            group=picture,
            help="Sets size and steps. quality wants a GPU or patience; fast suits a CPU; refine begins with the picture of instant and "
            "takes few steps; large makes a print of 2560 pixels overnight; instant takes a second, without download, in the style of a "
            "painting or in one that `jaxart styles` lists.",
        ),
    ] = "quality"
    size: Annotated[
        int | None,
        Parameter(
            group=picture, help="Long side of the result in pixels. [quality, refine: 512, fast: 384, large: 2560]"
        ),
    ] = None
    min_size: Annotated[
        int | None, Parameter(group=picture, help="Long side of the first, coarsest scale. [128, refine: 512]")
    ] = None
    steps: Annotated[
        int | None,
        Parameter(
            group=picture,
            help="Steps per scale; the first, cheapest scale takes twice as many. [quality: 500, fast: 60, refine: 18, large: 300]",
        ),
    ] = None
    last_steps: Annotated[
        int | None,
        Parameter(
            group=picture,
            help="Steps of the largest scale; from the first to it the number falls by equal factors. [as --steps, large: 12]",
        ),
    ] = None
    features: Features = "vgg16"
    style_weights: Annotated[
        tuple[float, ...] | None,
        Parameter(
            group=look,
            consume_multiple=True,
            help="Shares of the styles, one number each; --mask leaves them out. [equal]",
        ),
    ] = None
    content_weight: Annotated[
        float | None,
        Parameter(group=look, help="Strength of the photograph; lower is more painterly. [vgg16: 0.01, vgg19: 0.015]"),
    ] = None
    style_loss: StyleLoss = "wasserstein"
    style_scale: Annotated[
        StyleScale,
        Parameter(
            help="Size of the brush strokes: 0.5 makes them finer, 2 larger; paintings are never enlarged. With --preset instant for "
            "files of paintings alone, which are then taken at as many times 512 pixels, enlarged as well."
        ),
    ] = 1.0
    colors: Colors = "style"
    mask: Annotated[
        tuple[Path, ...] | None,
        Parameter(
            group=look,
            consume_multiple=True,
            help="One gray picture for each style, in their order, of any size: white where it acts, gray where it acts in part, black "
            "where it does not. With --preset instant each style takes a pass of its own.",
        ),
    ] = None
    init: Init = "content"
    seed: Annotated[
        int, Parameter(group=look, help="Of the noise in --init; the same seed gives the same picture.")
    ] = 0
    max_memory: Annotated[
        MemorySize | None,
        Parameter(
            group=running,
            help="Memory that may be used: 1.5GiB, 1500MB, or a number in GiB. Larger pictures are cut into tiles. [what is free]",
        ),
    ] = None
    memory_mode: Annotated[
        Literal["whole", "rematerialized", "tiled"] | None,
        Parameter(group=running, help="How memory is saved at the price of time; the picture is the same. [by memory]"),
    ] = None
    tile: Annotated[int, Parameter(group=running, help="Side of the tiles of --memory-mode tiled, in pixels.")] = 512
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Parameter(
            group=running,
            help="Of the network's activations; bfloat16 halves their memory on a GPU or TPU. Statistics stay float32.",
        ),
    ] = "float32"
    devices: Annotated[
        int,
        Parameter(group=running, help="How many split the picture's rows among them; on a CPU, how many to simulate."),
    ] = 1


DEFAULTS = Options()


def job_maker(styles: tuple[Path, ...], options: Options) -> "Callable[[Picture], Stylization]":
    """Read styles, masks and weights once; return a function from a content picture to its job.

    Args:
        styles: files of paintings.
        options: flags.

    Raises:
        ValueError: a file or a flag that does not serve; the message names it.
    """
    import jax.numpy as jnp

    from jaxart import io, losses
    from jaxart.tasks import stylize as task

    if options.preset not in PRESETS:
        raise ValueError(f"--preset {options.preset}: expected {', '.join(PRESETS)} here.")
    mesh = mesh_of(options.devices)
    chosen = {name: getattr(options, name) for name in ("size", "min_size", "steps", "last_steps")}
    sizes = PRESETS[options.preset] | {name: value for name, value in chosen.items() if value is not None}
    paintings = [io.read(style) for style in styles]
    masks = None if options.mask is None else [io.read(mask) for mask in options.mask]
    begin, variables = _beginning(paintings, options, sizes["size"]), load_weights(options.features)

    def make(content: "Picture") -> "Stylization":
        photograph = io.on_white(content)
        return task.prepare(
            photograph,
            paintings,
            variables=variables,
            masks=None if masks is None else stacked(masks, photograph.shape[:2]),
            style_weights=options.style_weights,
            content_weight=options.content_weight,
            style_scale=options.style_scale,
            style_loss=losses.STYLE_LOSSES[options.style_loss],
            colors=options.colors,
            init=begin(photograph),
            optimizer=task.SMOOTHED_ADAM if options.preset == "refine" else task.ADAM,
            size=sizes["size"],
            min_size=sizes["min_size"],
            steps=sizes["steps"],
            last_steps=sizes.get("last_steps"),
            dtype=getattr(jnp, options.precision),
            memory_mode=_memory_mode(options),
            mesh=mesh,
        )

    return make


def _beginning(paintings: "list[np.ndarray]", options: Options, size: int) -> Callable[[Any], Any]:
    """Return the function from a photograph to what its stylization begins with: --init, or with --preset refine an instant picture."""
    import numpy as np

    from jaxart.image import fit_within, resize
    from jaxart.tasks import stylize as task

    if options.preset != "refine":
        init = read_init(options.init)
        return lambda photograph: init
    if options.init != DEFAULTS.init:
        raise ValueError(
            "--init has no meaning with --preset refine, which begins with the picture of --preset instant."
        )
    model = task.load_any_style()
    names = [str(number) for number in range(len(paintings))]
    largest = round(size * options.style_scale)  # that method shrinks paintings to this, and enlarges none
    sides = [min(largest, max(each.shape[:2])) for each in paintings]
    each = np.stack([task.style_of(model, each, size=side) for each, side in zip(paintings, sides, strict=True)])
    style = task.style_mix(names, names, options.style_weights) @ each

    def begin(photograph: Any) -> Any:
        sized = np.clip(resize(photograph, fit_within(photograph.shape[:2], size)), 0, 1)
        return task.restyle(model.network, model.variables, sized, style, colors=options.colors)

    return begin


def read_init(init: str) -> Any:
    """Return what --init names: a name that the library knows, or the picture of a file.

    Raises:
        ValueError: neither a known name nor a file.
    """
    from jaxart import io
    from jaxart.tasks import stylize as task

    if init in task.INITS:
        return init
    if not Path(init).exists():
        raise ValueError(f"--init: expected {', '.join(task.INITS)} or a picture file, got {init!r}.")
    return io.read(init)


def stacked(masks: "list[np.ndarray]", size: tuple[int, int]) -> "np.ndarray":
    """Return masks ``[h, w, 3]`` of any sizes as one array ``[S, H, W]`` in [0, 1].

    Args:
        masks: gray pictures, as they were read.
        size: (height, width), pixels.
    """
    import numpy as np

    from jaxart.image import resize

    return np.stack([np.clip(resize(mask, size, method="bilinear")[..., 0], 0, 1) for mask in masks])  # [S, H, W]


def _memory_mode(options: Options) -> Any:
    """Return the memory mode that was asked for; the first where none was."""
    from jaxart.tasks.stylize import MemoryMode

    tile = options.tile if options.memory_mode == "tiled" else None
    return MemoryMode(rematerialize=options.memory_mode in ("rematerialized", "tiled"), tile=tile)


def in_memory_modes(
    job: "Stylization", key: "Key", options: Options, limit: int | None, *, resumed: Path | None = None
) -> "Stylization":
    """Take the memory modes that were asked for, else those of the run that is resumed, else what fits in memory.

    Args:
        job: from `job_maker`.
        key: of the run.
        options: its flags.
        limit: bytes that may be used, None if unknown.
        resumed: the folder of the run to resume, if any.
    """
    from jaxart.tasks import stylize as task

    if options.memory_mode is not None:
        return job
    noted = None if resumed is None else task.noted_memory_modes(resumed)
    if noted is not None:
        return job._replace(memory_modes=noted)
    return task.choose_memory_modes(job, key=key, max_memory=limit)
