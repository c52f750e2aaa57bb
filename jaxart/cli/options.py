"""Flags that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

picture = Group("The picture", sort_key=1)
look = Group("The look", sort_key=2)
running = Group("Running", sort_key=3)

Content = Annotated[Path, Parameter(help="The photograph, or a folder of photographs.")]

Style = Annotated[
    Path, Parameter(help="One painting, or several that are mixed; with --preset instant, names of styles.")
]

Data = Annotated[
    Path,
    Parameter(help="A folder of pictures (classes in subfolders), a .zip of one, .npy/.npz arrays, or IDX files."),
]

Features = Annotated[str, Parameter(group=look, help="vgg16, vgg19, or a file of their weights (.safetensors, .pth).")]

StyleLoss = Annotated[
    Literal["wasserstein", "wasserstein-converged", "gram", "adain", "patch", "histogram", "sliced"],
    Parameter(
        group=look,
        help="How a painting's features are compared. wasserstein: mean and covariance. gram: Gram matrices. adain: mean and deviation. "
        "patch: nearest patches. histogram, sliced: sorted features, by channel and by random direction. They take pictures whole.",
    ),
]

StyleScale = Annotated[float, Parameter(group=look, help="Size of the brush strokes; paintings are never enlarged.")]

Colors = Annotated[
    Literal["style", "luminance", "transport"],
    Parameter(
        group=look,
        help="style: the painting's colors. luminance: keep the photograph's. transport: give them to the painting first.",
    ),
]

Init = Annotated[
    str,
    Parameter(
        group=look,
        help="What the first scale starts from: content, gray, uniform, normal, style, or a picture file.",
    ),
]
