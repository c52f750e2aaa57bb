"""Spaces of options, written as a person does: ``learning_rate=1e-4:1e-2:log``, ``model=residual,vit``."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from jaxart.runs.kind import Tuning
from jaxart.runs.options import DATA, RunOptions
from jaxart.training import Span, check_space

Values = str | Span | tuple  # of a setting: in words, or as `training.check_space` takes them
_SAME_IN_ALL = ("save_every", "sample_every", "max_nonfinite_steps", "seed", "tensorboard")


def space_of(made: type[RunOptions], tuning: Tuning, wanted: Mapping[str, Values]) -> dict[str, Span | tuple]:
    """Return a space of options, checked.

    Args:
        made: dataclass of the options.
        tuning: of the kind.
        wanted: by the name of an option what is to be tried of it: "LOW:HIGH" or "LOW:HIGH:log", or choices with commas between them; a
            `Span` or a tuple of choices.

    Raises:
        ValueError: an unknown option, one that changes the data or has no values to search, or values that are none of its type.
    """
    hints = typing.get_type_hints(made, include_extras=True)
    space = {}
    for told, values in wanted.items():
        name = told.replace("-", "_")
        _check_name(name, hints, tuning)
        form, option = typing.get_args(hints[name])
        if option.group == DATA or name in tuning.fixed:
            raise ValueError(f"space: {name} changes the data, so scores would not compare. Leave it out.")
        space[name] = _values(name, _without_none(form), values) if isinstance(values, str) else values
    check_space(space)
    return space


def words_of(options: RunOptions) -> list[str]:
    """Return the flags of the command line that give these options: those that are not the default.

    Args:
        options: of any kind.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    words = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default or value is None:
            continue
        option = typing.get_args(hints[field.name])[1]
        plain = field.name.replace("_", "-")
        flag = option.flag or f"--{plain}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{plain}")
        else:
            words += [flag, *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def _check_name(name: str, hints: Mapping[str, Any], tuning: Tuning) -> None:
    if name in hints and name not in _SAME_IN_ALL:
        return
    if name in hints:
        raise ValueError(f"space: {name} is the same in all trials. Leave it out.")
    near = difflib.get_close_matches(name, hints, 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"space: no setting {name!r}{meant}; searched by default: {', '.join(tuning.space)}.")


def _without_none(form: Any) -> Any:
    """Return the type of an option that may be None."""
    if typing.get_origin(form) not in (types.UnionType, typing.Union):
        return form
    (found,) = (each for each in typing.get_args(form) if each is not type(None))
    return found


def _values(name: str, form: Any, text: str) -> Span | tuple:
    words = text.split(",")
    if form in (int, float):
        return _span(name, form, text) if ":" in text else tuple(_number(name, form, word) for word in words)
    if form is bool:
        return tuple(_choice(name, word, {"true": True, "false": False}) for word in words)
    if typing.get_origin(form) is Literal:
        return tuple(_choice(name, word, {each: each for each in typing.get_args(form)}) for word in words)
    kind = "a path" if form is Path else "several words"
    raise ValueError(f"space: {name} is {kind}, of which nothing is searched. Leave it out.")


def _span(name: str, form: type, text: str) -> Span:
    low, high, *scale = text.split(":")
    if scale not in ([], ["log"]):
        raise ValueError(f"space: {name}: expected LOW:HIGH or LOW:HIGH:log, got {text!r}.")
    return Span(_number(name, form, low), _number(name, form, high), bool(scale), form is int)


def _number(name: str, form: type, word: str) -> Any:
    try:
        return form(word)
    except ValueError as error:
        kind = "whole numbers" if form is int else "numbers"
        raise ValueError(f"space: {name}: expected {kind}, got {word!r}.") from error


def _choice(name: str, word: str, known: Mapping[str, Any]) -> Any:
    if word not in known:
        raise ValueError(f"space: {name}: expected of {', '.join(known)}, got {word!r}.")
    return known[word]
