"""Networks of instant style as a program of `jax.export`, and reading the file of either."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp

from jaxart import weights
from jaxart.ops import use_native
from jaxart.tasks.stylize.any_style import ANY_STYLE, AnyStyleModel, load_any_style
from jaxart.tasks.stylize.instant import StyleModel, load_styles


def load_network(path: str | Path) -> StyleModel | AnyStyleModel:
    """Read a network of many styles or of any style, whichever a file holds.

    Args:
        path: of a .safetensors file, or the name of a network in the package, such as "styles".

    Raises:
        weights.WeightsError: as `load_styles` and `load_any_style`.
    """
    path = weights.network_file(path, default="styles")
    return load_any_style(path) if weights.network_kind(path) == ANY_STYLE else load_styles(path)


def export_styles(model: StyleModel | AnyStyleModel, *, platforms: Sequence[str]) -> bytes:
    """Serialize a network with its weights, for pictures of any size.

    ``jax.export.deserialize(data).call(image, mix)`` runs it without jaxart; one of any style takes a painting in the place of `mix`.

    Args:
        model: of many styles or of any.
        platforms: of "cpu", "cuda" and "tpu".

    Returns:
        The function ``image [H, W, 3]`` in [0, 1] and ``mix [styles]``, or ``painting [h, w, 3]`` in [0, 1], to ``[H, W, 3]``; H and W
        must be multiples of `network.stride`, 8.
    """
    scope, stride = jax.export.SymbolicScope(), model.network.stride
    size = jax.export.symbolic_shape(f"{stride}*h, {stride}*w", scope=scope)
    any_size = jax.export.symbolic_shape("rows, columns", scope=scope)
    second = (*any_size, 3) if isinstance(model, AnyStyleModel) else (len(model.names),)
    shapes = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((*size, 3), second))
    program = jax.jit(lambda image, style: model.network.apply(model.variables, image[None], style[None])[0])
    with use_native(False):  # the file must run without jaxart
        return bytes(jax.export.export(program, platforms=tuple(platforms))(*shapes).serialize())
