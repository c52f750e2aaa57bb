"""What a user may choose of networks that restore."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from jaxart.runs.options.base import DATA, NETWORK, Option, RunOptions


@dataclass(frozen=True)
class RestorerOptions(RunOptions):
    """What a restorer has beside what every run has."""

    batch: Annotated[int, Option("Pictures per step, over all devices.")] = 16
    steps: Annotated[
        int, Option("Steps in all; the learning rate falls over them. `resume --steps` makes it a longer run.")
    ] = 8_000
    task: Annotated[
        Literal["denoise", "upscale", "inpaint", "cracks"],
        Option(
            "denoise takes noise away, upscale enlarges, inpaint fills holes, cracks finds cracks, scratches and dust."
        ),
    ] = "denoise"
    scale: Annotated[Literal[2, 3, 4], Option("Of upscale: how many times it enlarges.")] = 2
    old: Annotated[
        float, Option("Of upscale: share of pictures that are blurred, noisy and compressed as well, from 0 to 1.")
    ] = 0.5
    size: Annotated[int, Option("Side of the squares that pictures are brought to, pixels.", DATA)] = 192
    fit: Annotated[Literal["crop", "pad"], Option("Other shapes: crop to the central square, or pad to one.", DATA)] = (
        "crop"
    )
    crop: Annotated[int, Option("Side of the parts of them that it sees, pixels; at most the size.", DATA)] = 96
    grayscale: Annotated[float, Option("How often, from 0 to 1, it sees a picture without its colors.", DATA)] = 0.25
    width: Annotated[int, Option("Channels of the first level; they double at each further one.", NETWORK)] = 32
    depth: Annotated[int, Option("Levels, each half the size of the one before.", NETWORK)] = 3
    blocks: Annotated[int, Option("Residual blocks of a level, on each side.", NETWORK)] = 2
    squares: Annotated[
        int | None,
        Option("0 computes at full size, 1 at half, in a quarter of the time. [1; 0 of upscale]", NETWORK),
    ] = None
    start: Annotated[
        Path | None,
        Option(
            "A network of `export` (.safetensors) to go on from; layers of other shapes, as of another scale, begin anew.",
            NETWORK,
            "--from",
        ),
    ] = None
    dissimilarity_weight: Annotated[float, Option("More brings structures nearer, and single pixels less.")] = 0.0
    perceptual_weight: Annotated[
        float, Option("More brings what VGG-16 sees nearer: sharper, and less faithful. It needs VGG-16's weights.")
    ] = 0.0
    weights: Annotated[Path | None, Option("A file of VGG-16's weights. [the package's or the hub's]", NETWORK)] = None
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Pictures after which the average of the weights, which restores, forgets half.")
    ] = 20_000
