"""The documentation tells the truth: its Python runs, its commands and flags exist, its links and pictures are there."""

import re
from pathlib import Path

import pytest

from jaxart import cli, memory, runs, samples, weights

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = [README, *sorted(ROOT.glob("docs/**/*.md"))]
WRITTEN = [*DOCS, ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("benchmarks/*.md"))]


def blocks(page, language):
    return re.findall(rf"^ *```(?:{language})\n(.*?)^ *```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


RUNNING = [page for page in DOCS if blocks(page, "python")]


@pytest.mark.parametrize("page", RUNNING, ids=names(RUNNING))
def test_python_runs(page, variables, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "load", lambda name: variables)
    monkeypatch.setattr(memory, "resident", lambda: 2**29)  # of a process that has just begun, not of one full of tests
    monkeypatch.setitem(runs.KINDS, "classifier", None)  # which takes away what the cookbook puts there
    for name, sample in (("photo", "cat"), ("painting", "cafe_terrace"), ("sketch", "coffee")):
        (tmp_path / f"{name}.jpg").write_bytes(samples.path(sample).read_bytes())
    for folder in ("drawings", "portraits/one", "portraits/two"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("cat", "coffee", "cafe_terrace"):
            (tmp_path / folder / f"{name}.jpg").write_bytes(samples.path(name).read_bytes())
    names = {}  # a page's snippets go on from one another
    for block in blocks(page, "python"):
        exec(compile(tiny(block), str(page), "exec"), names)


def tiny(block):
    """Make a snippet that works on pictures quick: the same calls, at 32 pixels, two steps and few channels."""
    if "Info(NamedTuple)" in block:
        return block  # a recipe of its own, small as it is
    block = block.replace("GanOptions(", "GanOptions(width=4, batch=4, ").replace("batch=32", "batch=4")
    return re.sub(r"\bsize=(?:64|\d{3,})", "size=32", re.sub(r"steps=\d+", "steps=2", block))


def test_commands_and_flags_are_real():
    help_of_all = cli.app().generate_docs(output_format="markdown")
    shell = "\n".join(text for page in DOCS for text in blocks(page, "sh|bash"))
    commands = set(re.findall(r"jaxart (?!\.)([a-z]+)", shell))
    assert {"stylize", "sheet", "train"} <= commands
    for command in commands:
        assert f"## jaxart {command}\n" in help_of_all, command
    for page in DOCS:
        for line in re.findall(r"jaxart [a-z][^`\n]*", page.read_text("utf-8")):
            for flag in re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", line.partition("#")[0]):
                assert flag in help_of_all or flag in ("--help", "--version"), f"{page.name}: {flag}"


@pytest.mark.parametrize("page", WRITTEN, ids=names(WRITTEN))
def test_links_and_pictures_are_there(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        generated = "api/" in target or target.endswith("command-line.md")  # by docs/site/hook.py
        if not target.startswith("http") and not generated:
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_every_public_namespace_has_a_page_of_reference():
    from test_api import SHELVES

    made = set(re.findall(r"api/([\w.]+)\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert made == {shelf.removeprefix("jaxart.") for shelf in SHELVES} - {"tasks", "version"} | {"jaxart"}
