"""What a user may choose of networks that paint in styles."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from jaxart.runs.options.base import DATA, NETWORK, Option, RunOptions


@dataclass(frozen=True)
class StyleOptions(RunOptions):
    """What a network of many styles has beside what every run has."""

    batch: Annotated[int, Option("Photographs per step, over all devices.")] = 4
    crop: Annotated[int, Option("Side of the parts of photographs that it sees, pixels.", DATA)] = 192
    painting_size: Annotated[
        int, Option("Long side to which paintings are shrunk, pixels; smaller means finer brush strokes.", DATA)
    ] = 256
    width: Annotated[int, Option("Channels at half the size.", NETWORK)] = 32
    deep: Annotated[int, Option("Channels at a quarter of the size.", NETWORK)] = 64
    blocks: Annotated[int, Option("Residual blocks at a quarter of the size.", NETWORK)] = 5
    coarse_blocks: Annotated[int, Option("Residual blocks at an eighth of the size.", NETWORK)] = 2
    start: Annotated[
        Path | None,
        Option(
            "A network of `export` (.safetensors), or styles or any_style for one in the package. Of many styles, it learns the paintings "
            "beside its own, by what sets styles apart alone; of any style, it is trained to paint these better. Its sizes stand.",
            NETWORK,
            "--from",
        ),
    ] = None
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None
    content_weight: Annotated[float, Option("More keeps more of the photograph, less has more of the style.")] = 0.01
    smoothness_weight: Annotated[float, Option("More has smoother pictures.")] = 2.0
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Photographs after which the average of the weights, which paints, forgets half.")
    ] = 2_000


@dataclass(frozen=True)
class AnyStyleOptions(RunOptions):
    """What a network of any style has beside what every run has."""

    batch: Annotated[int, Option("Photographs per step, over all devices, each with a painting.")] = 4
    size: Annotated[
        int,
        Option(
            "Side of the squares that photographs and paintings are made, pixels; up to twice the crop or more.", DATA
        ),
    ] = 384
    crop: Annotated[
        int,
        Option(
            "Side of the parts of them that it sees, pixels, between the whole square shrunk and a part as it is.", DATA
        ),
    ] = 192
    recolored: Annotated[
        float, Option("How often, from 0 to 1, the hues of a photograph or painting are turned: more palettes.", DATA)
    ] = 0.5
    width: Annotated[int, Option("Channels at half the size.", NETWORK)] = 32
    deep: Annotated[int, Option("Channels at a quarter of the size.", NETWORK)] = 64
    blocks: Annotated[int, Option("Residual blocks at a quarter of the size.", NETWORK)] = 5
    coarse_blocks: Annotated[int, Option("Residual blocks at an eighth of the size.", NETWORK)] = 2
    style_width: Annotated[int, Option("Channels of what looks at the paintings, at half their size.", NETWORK)] = 32
    hidden: Annotated[int, Option("Units between what it measures of a painting and the style.", NETWORK)] = 192
    style: Annotated[int, Option("Dimensions of a style.", NETWORK)] = 64
    start: Annotated[
        Path | None,
        Option(
            "A network of `export` (.safetensors) to go on from, with other data, crops or weights; its sizes stand, but coarse blocks are "
            "added where it lacks them.",
            NETWORK,
            "--from",
        ),
    ] = None
    weights: Annotated[
        Path | None, Option("A file of VGG-16's weights, which compare pictures. [the package's or the hub's]", NETWORK)
    ] = None
    content_weight: Annotated[float, Option("More keeps more of the photograph, less has more of the style.")] = 0.01
    smoothness_weight: Annotated[float, Option("More has smoother pictures.")] = 2.0
    contrast_weight: Annotated[float, Option("More has pictures of different paintings differ more.")] = 0.05
    identity_weight: Annotated[float, Option("More has a painting in its own style come out as it is.")] = 1.0
    identity_chance: Annotated[float, Option("How often, from 0 to 1, a painting is its own photograph.")] = 0.125
    flicker_weight: Annotated[
        float, Option("More has a photograph that moves by a pixel come out moved; 0 saves that work.")
    ] = 0.0
    learning_rate: Annotated[float, Option("Learning rate of Adam; it rises briefly, then falls to 0 by a cosine.")] = (
        1e-3
    )
    half_life: Annotated[
        float, Option("Photographs after which the average of the weights, which paints, forgets half.")
    ] = 2_000
