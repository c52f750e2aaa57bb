"""The public surface keeps its promises: names, signatures, docstrings."""

import importlib
import inspect
import subprocess
import sys

import pytest

import jaxart

SHELVES = (
    "arrays",
    "cache",
    "color",
    "data",
    "image",
    "io",
    "losses",
    "memory",
    "metrics",
    "models",
    "ops",
    "tasks.classify",
    "tasks.generate",
    "tasks.stylize",
    "training",
    "weights",
)


def public():
    """Yield (name, function) of every public function."""
    for shelf in SHELVES:
        module = importlib.import_module(f"jaxart.{shelf}")
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            value = getattr(module, name)
            if inspect.isfunction(value) and value.__module__.startswith("jaxart"):
                yield f"{shelf}.{name}", value


FUNCTIONS = dict(public())


def test_all_names_resolve_and_are_the_documented_ones():
    assert set(dir(jaxart)) == set(jaxart.__all__)
    for name in jaxart.__all__:
        assert getattr(jaxart, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        _ = jaxart.paint
    assert len(FUNCTIONS) > 40


def test_importing_executes_nothing():
    code = (
        "import sys, jaxart; assert not {'jax', 'numpy', 'PIL', 'flax'} & set(sys.modules); jaxart.stylize; import jax; \
from jax._src import xla_bridge; assert not xla_bridge._backends"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_say_what_they_must(name):
    function = FUNCTIONS[name]
    text = inspect.getdoc(function)
    assert text, f"{name} has no docstring"
    first = text.splitlines()[0]
    assert first.rstrip()[-1] in ".:" or "``" in text[:300], f"{name}: the first line is no sentence: {first}"
    source = inspect.getsource(function)
    if "raise ValueError" in source or "raise ImageError" in source:
        assert "Raises:" in text, f"{name} raises and does not say so"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keys_come_first_and_options_are_keyword_only(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    if "key" in parameters and parameters["key"].kind is not inspect.Parameter.KEYWORD_ONLY:
        assert next(iter(parameters)) == "key"
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    optional = [p for p in parameters.values() if p.default is not p.empty and p.kind is not p.KEYWORD_ONLY]
    assert len(optional) <= 1, f"{name}: make {[p.name for p in optional]} keyword-only"
