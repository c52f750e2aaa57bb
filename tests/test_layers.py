"""The plan of the house: a layer imports only from layers below, and shelves do not see each other."""

import ast
from pathlib import Path

import jaxart

ROOT = Path(jaxart.__file__).parent
LAYERS = {
    0: ("arrays", "cache", "memory", "samples"),
    1: ("image", "color", "io", "ops"),
    2: ("losses", "metrics", "weights", "models", "data", "training"),
    3: ("tasks",),
    4: ("cli",),
    5: ("__main__",),
}
LEVEL = {room: level for level, rooms in LAYERS.items() for room in rooms}


def imports(path: Path):
    """Yield the dotted names under jaxart that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jaxart":
            if node.module == "jaxart":
                yield from (f"jaxart.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("jaxart."))


def test_layers_import_downwards_only():
    checked = 0
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in LEVEL, f"{path}: not a room of the plan; add it to docs/architecture.md and here"
        for name in imports(path):
            other = name.split(".")[1]
            if other == room:
                continue
            checked += 1
            below = LEVEL[other] < LEVEL[room]
            same = LEVEL[other] == LEVEL[room] == 1  # color uses ops; the order inside layer 1 is free of circles
            assert below or same, f"{path.relative_to(ROOT)} imports {name}, which is not below it"
    assert checked > 20


def test_tasks_do_not_import_each_other():
    for path in (ROOT / "tasks").rglob("*.py"):
        own = path.relative_to(ROOT / "tasks").parts[0].removesuffix(".py")
        for name in imports(path):
            parts = name.split(".")
            assert parts[1] != "tasks" or own == "__init__" or len(parts) < 3 or parts[2] == own


def test_flax_only_in_models_and_pillow_only_in_io():
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        room = path.relative_to(ROOT).parts[0]
        assert (
            "flax"
            not in {
                line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
            }
        ) or (room == "models"), path
        assert "from PIL" not in text or room == "io.py", path


def test_no_function_is_a_monster():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
                assert node.end_lineno - start <= 60, f"{path}: {node.name}"
