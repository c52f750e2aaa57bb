"""Reading a classifier from a file, which answers without its run.

Whoever wrote a file may have written anything: nothing in it is run, and it is checked before memory is taken for it.
"""

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxart import metrics, weights
from jaxart.arrays import PyTree
from jaxart.runs import classifier as kind
from jaxart.runs import folder as files
from jaxart.runs import labels
from jaxart.runs.encoder import shapes_of_encoder
from jaxart.runs.kind import KINDS, Facts, Trained
from jaxart.runs.options import ClassifierOptions
from jaxart.runs.run import options_of
from jaxart.tasks import classify as task

_SIDES = (4, 4096)  # pixels
_OF_ENCODER = ("latent", "width", "size", "channels")


def read_classifier(path: str | Path) -> Trained:
    """Read the classifier that `classifier.network` made the content of a file of, by `export` or `compress`.

    Args:
        path: of a .safetensors file.

    Raises:
        weights.WeightsError: no such file, damaged, of another kind or version, with layers other than it should have, or of VGG-16's
            features by weights that are not here.
    """
    params, about = weights.read_network(path, kind=kind.KIND)
    name = Path(path).name
    options = _options(name, about)
    facts = _facts(name, options, about.get("facts"))
    measured = about.get("measured")
    if not isinstance(measured, dict) or not _is_calibrated(options, facts, measured.get("calibration")):
        raise weights.WeightsError(f"{name}: its description lacks a sensible calibration.")
    scaling = _scaling(name, options, facts, params)
    _check_layers(name, options, facts, params.get("classifier"))
    facts = _with_encoder(name, options, facts, params.get("encoder"))
    options = _with_weights(name, options, about)
    step = about.get("step")
    state = task.State(
        jnp.int32(step if type(step) is int and 0 <= step < 2**31 else 0),
        params["classifier"],
        None,
        params["classifier"],
        scaling,
        params.get("encoder"),
    )
    return Trained(options, facts, state, {}, measured)


def _options(name: str, about: dict[str, Any]) -> ClassifierOptions:
    told = about.get("options")
    if not isinstance(told, dict):
        raise weights.WeightsError(
            f"{name}: its description lacks the options of the run; `jaxart export RUN` of this version writes them."
        )
    sources = {source: files.Source("", "", 0) for source in KINDS[kind.KIND].sources}
    try:
        options = options_of(Path(name), ClassifierOptions, files.Manifest(kind.KIND, told, sources, {}, 0))
    except (ValueError, TypeError) as error:
        raise weights.WeightsError(f"{name}: has not the options of this version ({error})") from error
    hints = typing.get_type_hints(ClassifierOptions)
    wrong = [each for each, hint in hints.items() if not _is_of(getattr(options, each), hint)]
    side = 0 if wrong else labels.side_of(options)
    if wrong or not _SIDES[0] <= side <= _SIDES[1]:
        raise weights.WeightsError(f"{name}: its description has no sensible {wrong[0] if wrong else 'size'}.")
    return options


def _is_of(value: Any, hint: Any) -> bool:
    """Tell whether a value of JSON is of an option's type."""
    form, parts = typing.get_origin(hint), typing.get_args(hint)
    if form in (types.UnionType, typing.Union):
        return any(_is_of(value, part) for part in parts)
    if form is Literal:
        return value in parts
    if form is tuple:
        return isinstance(value, tuple) and all(type(each) is str for each in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is (str if hint is Path else hint)


def _facts(name: str, options: ClassifierOptions, facts: Any) -> Facts:
    names = {"numbers": "columns"}.get(options.task, "classes")
    needed = {"numbers": ("means", "deviations")}.get(options.task, ("counts",))
    told: Any = facts.get(names) if isinstance(facts, dict) else None
    sensible = isinstance(told, list) and 0 < len(told) == len(set(map(str, told)))
    if not sensible or not all(_are_numbers(facts.get(each), len(told)) for each in needed):
        raise weights.WeightsError(f"{name}: its description lacks sensible {names} ({', '.join(needed)}).")
    if type(facts.get("train")) is not int or facts["train"] < 1:
        raise weights.WeightsError(f"{name}: its description lacks the number of training examples.")
    return {**facts, names: [str(each) for each in told]}


def _are_numbers(told: Any, count: int | None = None) -> bool:
    """Tell whether something is a list of finite numbers."""
    return (
        isinstance(told, list)
        and count in (None, len(told))
        and all(type(each) in (int, float) and math.isfinite(each) for each in told)
    )


def _listed(told: Any) -> list:
    return told if isinstance(told, list) else []


def _is_calibrated(options: ClassifierOptions, facts: Facts, told: Any) -> bool:
    """Tell whether a calibration is one, where answers need it."""
    if options.task != "label":
        return True
    if not isinstance(told, dict) or set(told) != set(task.Calibration._fields):
        return False
    known = told["strangeness"]
    numbers = _are_numbers([told["temperature"], told["level"], told["examples"]], 3)
    limits = [0 if each == math.inf else each for each in _listed(told["thresholds"])]  # none where few were measured
    numbers = numbers and (told["coverage"] is None or _are_numbers([told["coverage"]], 1))
    lists = _are_numbers(limits, len(facts["classes"])) and _are_numbers(known) and known == sorted(known)
    return numbers and lists and len(known) > 0 and told["temperature"] > 0 and 0 < told["level"] < 1


def _scaling(name: str, options: ClassifierOptions, facts: Facts, params: PyTree) -> task.Scaling | None:
    if options.features == "none":
        return None
    found = params.get("scaling")
    length = _length(name, options, facts)
    shape = (length,)
    if not isinstance(found, dict) or {each: np.shape(leaf) for each, leaf in found.items()} != {
        "center": shape,
        "deviation": shape,
    }:
        raise weights.WeightsError(f"{name}: lacks the scaling of {length} features.")
    if not (found["deviation"] > 0).all():
        raise weights.WeightsError(f"{name}: a deviation of its features is not above 0.")
    return task.Scaling(found["center"], found["deviation"])


def _length(name: str, options: ClassifierOptions, facts: Facts) -> int:
    """Return how many features there are; those of an encoder are as many as the file says, within reason."""
    encoder = facts.get("encoder")
    sizes = [encoder.get(each) for each in _OF_ENCODER] if isinstance(encoder, dict) else []
    if options.encoder is not None and not (
        sizes and all(type(each) is int and 0 < each <= _SIDES[1] for each in sizes)
    ):
        raise weights.WeightsError(f"{name}: its description lacks a sensible encoder.")
    return kind.length_of(options, facts)


def _with_encoder(name: str, options: ClassifierOptions, facts: Facts, params: Any) -> Facts:
    """Return the facts of the encoder as the file holds it, in half precision."""
    if options.encoder is None:
        return facts
    shapes = shapes_of_encoder(facts)
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, shapes):
        raise weights.WeightsError(f"{name}: the layers of its encoder are not those that it describes.")
    return {**facts, "encoder": {**facts["encoder"], "hash": metrics.content_hash(params)}}


def _check_layers(name: str, options: ClassifierOptions, facts: Facts, params: Any) -> None:
    count, held = len(facts.get("classes") or facts["columns"]), sum(leaf.size for leaf in jax.tree.leaves(params))
    if max(count, count * (count - 1) // 2 if options.scheme == "one-vs-one" else 0) > held:
        raise weights.WeightsError(f"{name}: describes more outputs than its layers have numbers.")
    side = labels.side_of(options)
    shape = (2, side, side, 3) if options.features == "none" else (2, kind.length_of(options, facts))
    try:
        made = jax.eval_shape(
            kind.network_of(options, facts).init, jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32)
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise weights.WeightsError(f"{name}: describes no network ({error}).") from error
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, made["params"]):
        raise weights.WeightsError(f"{name}: its layers are not those of the network that it describes.")


def _with_weights(name: str, options: ClassifierOptions, about: dict[str, Any]) -> ClassifierOptions:
    """Return the options with weights of VGG-16 that are here and the same."""
    if options.features != "vgg16":
        return options
    file = options.weights if options.weights is not None and Path(options.weights).is_file() else None
    if metrics.content_hash(weights.load(file or "vgg16")) != about.get("vgg16"):
        raise weights.WeightsError(
            f"{name}: learned from features by other weights of VGG-16 than {file or 'those here'}."
        )
    return dataclasses.replace(options, weights=file)
