"""The public surface keeps its promises: names, signatures, docstrings, American spelling."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxart
from jaxart import tasks

ROOT = Path(jaxart.__file__).parents[1]
SHELVES = [
    *(f"jaxart.{each.name}" for each in pkgutil.iter_modules(jaxart.__path__) if each.name not in ("cli", "__main__")),
    *(f"jaxart.tasks.{each.name}" for each in pkgutil.iter_modules(tasks.__path__)),
]


def public():
    """Yield (name, function) of every public function, one that is jitted or has a derivative of its own too."""
    for shelf in SHELVES:
        module = importlib.import_module(shelf)
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            value = getattr(module, name)
            written = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(written) and written.__module__.startswith("jaxart"):
                yield f"{shelf.removeprefix('jaxart.')}.{name}", written


FUNCTIONS = dict(public())


def test_all_names_resolve_and_are_the_documented_ones():
    assert set(dir(jaxart)) == set(jaxart.__all__)
    for name in jaxart.__all__:
        assert getattr(jaxart, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        _ = jaxart.paint
    assert len(FUNCTIONS) > 120
    assert {"image.resize", "ops.max_pool", "ops.trace_sqrt"} <= set(
        FUNCTIONS
    )  # jitted, or with derivatives of their own


def test_importing_executes_nothing():
    code = (
        "import sys, jaxart; assert not {'jax', 'numpy', 'PIL', 'flax'} & set(sys.modules); jaxart.stylize; import jax; \
from jax._src import xla_bridge; assert not xla_bridge._backends"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def undocumented(function):
    """Return what the docstring of a function lacks.

    Of two or more parameters each has its line under ``Args:``, unless a line there refers to another function for the rest
    ("The others: as in `fit`.").
    """
    text, source = inspect.getdoc(function) or "", inspect.getsource(function)
    first = text.partition("\n")[0].rstrip()
    sentence = first.endswith((".", ":")) or "``" in text[:300]
    raises = not re.search(r"raise (Value|Image|Weights)Error", source) or "Raises:" in text
    parameters = list(inspect.signature(function).parameters)
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.MULTILINE)
    documented = section[1] if section else ""
    names = {
        name.strip(" *")
        for line in re.findall(r"^    ([\w, *]+):", documented, re.MULTILINE)
        for name in line.split(",")
    }
    elsewhere = re.search(r"^    The (others?|rest)\b.*`\w+`", documented, re.MULTILINE)
    missing = set() if len(parameters) < 2 or elsewhere else set(parameters) - names
    return [
        *([] if sentence else ["a first line that is a sentence"]),
        *([] if raises else ["Raises"]),
        *(f"Args: {name}" for name in sorted(missing)),
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_say_what_they_must(name):
    assert undocumented(FUNCTIONS[name]) == []


def test_docstrings_that_do_not_are_caught():
    def two(first, second):
        """Do something.

        Args:
            first: the one.
        """

    def raising(first):
        """Do something"""
        raise ValueError(first)

    assert undocumented(two) == ["Args: second"]
    assert undocumented(raising) == ["a first line that is a sentence", "Raises"]
    two.__doc__ = two.__doc__.replace("the one.", "the one.\n            The others: as in `fit`.")
    assert undocumented(two) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keys_come_first_and_options_are_keyword_only(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    if "key" in parameters and parameters["key"].kind is not inspect.Parameter.KEYWORD_ONLY:
        assert next(iter(parameters)) == "key"
    assert not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    optional = [p for p in parameters.values() if p.default is not p.empty and p.kind is not p.KEYWORD_ONLY]
    assert len(optional) <= 1, f"{name}: make {[p.name for p in optional]} keyword-only"


VERBS = (
    "author binar capital categor central character color custom digit discret emphas equal factor final general harmon initial "
    "linear local material maxim memor minim modern normal optim organ parallel parameter penal polar priorit quant random real "
    "recogn regular sanit serial special stabil standard styl summar symbol synchron token util vector visual"
)
STEMS = (
    "artefact behaviour catalogue centre colour defence favour flavour grey honour judgement labell labour licence metre modell "
    "neighbour rigour signall travell whilst amongst"
)
BRITISH = re.compile(
    rf"\w*(?:(?:{VERBS.replace(' ', '|')})is(?:e[drs]?|ers|ing|ations?)\b|{STEMS.replace(' ', '|')})\w*|analys(?:ed?|ing)\b",
    re.IGNORECASE,
)


def british(text):
    return set(BRITISH.findall(text)) - {"greyscale"}  # an argument of pypng


def test_spelling_is_american():
    files = [path for kind in ("py", "md", "toml", "h", "cc") for path in ROOT.rglob(f"*.{kind}")]
    kept = [
        path
        for path in files
        if path != Path(__file__) and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    found = {str(path.relative_to(ROOT)): words for path in kept if (words := british(path.read_text("utf-8")))}
    assert len(kept) > 50
    assert found == {}


def test_british_spelling_is_caught():
    assert british(
        "a coloured, normalised parameter; rematerialising unsupervised noise otherwise raises; grey realism, greyscale analyses"
    ) == {
        "coloured",
        "normalised",
        "rematerialising",
        "grey",
    }
