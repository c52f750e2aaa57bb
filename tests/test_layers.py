"""The plan of the house: a layer imports only from layers below, shelves and tasks do not see each other, and no imports go in a circle.

Every import counts, one inside a function too. What is loaded by name when it is used (``__getattr__`` of a package, the lazy commands of
the command line) is no import statement, so it does not count; a package's names for type checkers do not either.
"""

import ast
import graphlib
from pathlib import Path

import pytest

import jaxart

ROOT = Path(jaxart.__file__).parent
LAYERS = {
    0: ("arrays", "cache", "memory", "samples", "version"),
    1: ("image", "color", "io", "ops"),
    2: ("losses", "metrics", "explain", "weights", "models", "data", "training"),
    3: ("tasks",),
    4: ("runs",),
    5: ("cli",),
    6: ("__main__",),
}
LEVEL = {room: level for level, rooms in LAYERS.items() for room in rooms}
ONLY_IN = {"flax": "jaxart.models", "PIL": "jaxart.io"}  # each of these packages is imported by one room


def sources():
    """Return the text of every file of the package by its dotted name; a folder's `__init__` has the folder's name."""
    names = {path: ["jaxart", *path.relative_to(ROOT).with_suffix("").parts] for path in ROOT.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): path.read_text("utf-8") for path, parts in names.items()}


def for_type_checkers(tree):
    """Return the nodes under ``if TYPE_CHECKING:``."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(text, modules):
    """Return the dotted names that a file imports: ``from a import b`` is a.b where that is a module, else a."""
    found, tree = set(), ast.parse(text)
    skipped = for_type_checkers(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import: {ast.unparse(node)}"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {member if member in modules else node.module for member in members}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def graph(files):
    """Return, for each module, the modules of the package that it imports."""
    return {
        name: {other for other in imports(text, files) if other.split(".")[0] == "jaxart"}
        for name, text in files.items()
    }


def room(module):
    return module.split(".")[1] if "." in module else ""


def goes_down(name, other):
    """Tell whether a module may import another. Within layer 1 color uses ops; nobody imports the package itself: it holds all layers."""
    if "jaxart" in (name, other):
        return (name, other) == ("jaxart", "jaxart.version")
    above, below = LEVEL[room(name)], LEVEL[room(other)]
    return below < above or below == above == 1 or room(other) == room(name)


def upward(files):
    """Return the imports that do not go down."""
    unknown = {room(name) for name in files} - {"", *LEVEL}
    assert not unknown, f"{unknown}: not rooms of the plan; add them to LAYERS and to docs/architecture.md"
    pairs = [(name, other) for name, others in graph(files).items() for other in others]
    return [f"{name} imports {other}" for name, other in pairs if not goes_down(name, other)]


def between_tasks(files):
    """Return the imports from one task of another, or of the folder of all tasks."""
    tasks = [(name.split("."), others) for name, others in graph(files).items() if name.startswith("jaxart.tasks.")]
    return [
        f"{'.'.join(parts)} imports {other}"
        for parts, others in tasks
        for other in others
        if room(other) == "tasks" and other.split(".")[2:3] != parts[2:3]
    ]


def circle(files):
    """Return one circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(graph(files)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def foreign(files):
    """Return the imports of packages that only another room may import."""
    return [
        f"{name} imports {package}"
        for name, text in files.items()
        for package in {other.split(".")[0] for other in imports(text, files)} & set(ONLY_IN)
        if not f"{name}.".startswith(f"{ONLY_IN[package]}.")
    ]


@pytest.mark.parametrize("rule", [upward, between_tasks, circle, foreign])
def test_the_package_keeps_the_rule(rule):
    files = sources()
    assert sum(map(len, graph(files).values())) > 100
    assert rule(files) == []


NAMES = "arrays losses data runs cli.a cli.b models.vgg tasks tasks.generate tasks.stylize tasks.stylize.plan"
EMPTY = {"jaxart": ""} | {f"jaxart.{name}": "" for name in NAMES.split()}


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (upward, "jaxart.arrays", "from jaxart.losses import content"),
        (upward, "jaxart.losses", "import jaxart"),
        (upward, "jaxart.losses", "import jaxart as art"),
        (upward, "jaxart.losses", "from jaxart import __version__"),
        (upward, "jaxart.losses", "from jaxart import data"),
        (upward, "jaxart.losses", "def late():\n    import jaxart.data"),
        (upward, "jaxart.runs", "from jaxart.cli.a import main"),
        (upward, "jaxart.tasks.stylize", "class A:\n    def late(self):\n        from jaxart import runs"),
        (between_tasks, "jaxart.tasks.stylize", "from jaxart.tasks import generate"),
        (between_tasks, "jaxart.tasks.stylize.plan", "from jaxart.tasks.generate import gan"),
        (between_tasks, "jaxart.tasks.stylize.plan", "import jaxart.tasks.generate"),
        (between_tasks, "jaxart.tasks.stylize", "import jaxart.tasks"),
        (between_tasks, "jaxart.tasks.stylize", "def late():\n    from jaxart.tasks import generate"),
        (foreign, "jaxart.losses", "def late():\n    import flax.linen as nn"),
        (foreign, "jaxart.models.vgg", "from PIL import Image"),
    ],
)
def test_the_rule_catches(rule, name, text):
    assert rule(EMPTY) == []
    assert rule(EMPTY | {name: text}) != []


@pytest.mark.parametrize("text", ["from jaxart.cli import a", "def late():\n    from jaxart.cli.a import main"])
def test_circles_are_caught(text):
    files = EMPTY | {"jaxart.cli.a": "from jaxart.cli import b"}
    assert circle(files) == []
    assert set(circle(files | {"jaxart.cli.b": text})) == {"jaxart.cli.a", "jaxart.cli.b"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jaxart", "if TYPE_CHECKING:\n    from jaxart import data"),
        ("jaxart", "def __getattr__(name):\n    return importlib.import_module(name)"),
        ("jaxart.tasks", "from jaxart.tasks import generate, stylize"),
        ("jaxart.tasks.stylize", "from jaxart.tasks.stylize import plan"),
        ("jaxart.models.vgg", "import flax.linen as nn\nfrom jaxart import arrays"),
    ],
)
def test_what_is_allowed(name, text):
    for rule in (upward, between_tasks, circle, foreign):
        assert rule(EMPTY | {name: text}) == []


def test_no_function_is_a_monster():
    for name, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                assert node.end_lineno - start <= 60, f"{name}: {node.name}"
