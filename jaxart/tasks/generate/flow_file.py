"""Flows as files: weights in half precision, and what one must know to draw with them."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxart import models, weights
from jaxart.arrays import PyTree
from jaxart.tasks.generate.integrate import Solver

KIND = "flow"
_LARGEST = 1024  # of each number of a file's description, so that none asks for more memory than there is
_NUMBERS = ("width", "blocks", "squares", "attention", "classes", "size", "channels", "steps")


class FlowModel(NamedTuple):
    """A flow that can be drawn with.

    Fields:
        solver: its network and how it is integrated.
        params: of the network.
        classes: names of the classes that it can be asked for.
        fit: "crop" or "pad", how pictures were brought to its size.
    """

    solver: Solver
    params: PyTree
    classes: tuple[str, ...] = ()
    fit: str = "crop"


def as_network(model: FlowModel) -> weights.Network:
    """Return a flow as a network to be written by `weights.network_bytes`.

    Args:
        model: whose network is a `models.VelocityNet`.
    """
    solver, network = model.solver, model.solver.network
    about = {
        "kind": KIND,
        "width": network.width,
        "factors": list(network.factors),
        "blocks": network.blocks,
        "squares": network.squares,
        "attention": network.attention,
        "scale": network.scale,
        "classes": list(model.classes),
        "size": solver.shape[0],
        "channels": solver.shape[2],
        "fit": model.fit,
        "steps": solver.steps,
        "guidance": solver.guidance,
        "autoguidance": solver.autoguidance,
        "heun": solver.heun,
    }
    return weights.Network(model.params, about)


def load_flow(path: str | Path) -> FlowModel:
    """Read a flow, or a student of one. Nothing in the file is run.

    Args:
        path: of a .safetensors file.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or format, or with other layers than it should have.
    """
    params, about = weights.read_network(path, kind=KIND)
    name = Path(path).name
    _check(name, about)
    network = models.VelocityNet(
        width=about["width"],
        factors=tuple(about["factors"]),
        blocks=about["blocks"],
        squares=about["squares"],
        attention=about["attention"],
        classes=len(about["classes"]),
        scale=about["scale"],
    )
    shape = (about["size"], about["size"], about["channels"])
    like = jax.eval_shape(
        network.init, jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1), jnp.zeros(1, jnp.int32)
    )
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, like["params"]):
        raise weights.WeightsError(f"{name}: its layers are not those of the flow that it describes.")
    solver = Solver(
        network,
        shape,
        about["steps"],
        guidance=about["guidance"],
        classes=len(about["classes"]),
        autoguidance=about.get("autoguidance", 0.0),
        heun=about["heun"],
    )
    return FlowModel(solver, params, tuple(about["classes"]), about["fit"])


def _check(name: str, about: dict[str, Any]) -> None:
    numbers = {**about, "classes": len(about.get("classes") or ())}
    whole = [each for each in _NUMBERS if type(numbers.get(each)) is not int or not 0 <= numbers[each] <= _LARGEST]
    factors, named = about.get("factors"), about.get("classes")
    sensible = {
        "factors": isinstance(factors, list)
        and 0 < len(factors) < 10
        and all(type(f) is int and 0 < f < 64 for f in factors),
        "classes": isinstance(named, list) and all(isinstance(each, str) for each in named),
        "scale": isinstance(about.get("scale"), float) and 0 < about["scale"] <= 1,
        "guidance": isinstance(about.get("guidance"), (int, float)),
        "autoguidance": isinstance(about.get("autoguidance", 0.0), (int, float)),
        "heun": isinstance(about.get("heun"), bool),
        "fit": about.get("fit") in ("crop", "pad"),
    }
    wrong = whole + [each for each, good in sensible.items() if not good]
    if wrong:
        raise weights.WeightsError(f"{name}: its description lacks a sensible {wrong[0]}.")
