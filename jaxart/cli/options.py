"""Flags that stylize and sheet share."""

from typing import Annotated, Literal

from cyclopts import Group, Parameter

look = Group("The look", sort_key=2)
running = Group("Running", sort_key=3)

Features = Annotated[str, Parameter(group=look, help="vgg16, vgg19, or a file of their weights (.safetensors, .pth).")]

StyleScale = Annotated[float, Parameter(group=look, help="Size of the brush strokes; paintings are never enlarged.")]

Colors = Annotated[
    Literal["style", "luminance", "transport"],
    Parameter(
        group=look,
        help="style: the painting's colors. luminance: keep the photograph's. transport: give them to the painting first.",
    ),
]

Init = Annotated[
    Literal["content", "gray", "uniform", "normal", "style"],
    Parameter(group=look, help="What the first scale starts from."),
]
