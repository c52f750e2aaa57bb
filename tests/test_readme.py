"""The README tells the truth: its Python runs, its commands exist, its links and pictures are there."""

import re
from pathlib import Path

import pytest

import jaxart
from jaxart import cli, weights

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_snippets_run(variables, monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for name, sample in (("photo.jpg", "cat"), ("painting.jpg", "cafe_terrace")):
        (tmp_path / name).write_bytes(
            jaxart.io.samples_bytes(sample) if hasattr(jaxart.io, "samples_bytes") else _sample(sample)
        )
    monkeypatch.setattr(weights, "load", lambda name: variables)
    for block in blocks:
        exec(compile(_tiny(block), "README.md", "exec"), {})


def _sample(name: str) -> bytes:
    from jaxart import samples

    return samples.path(name).read_bytes()


def _tiny(block: str) -> str:
    """Make the snippet quick: the same calls, at 32 pixels and two steps."""
    return re.sub(r"size=\d+", "size=32", re.sub(r"steps=\d+", "steps=2", block))


def test_commands_exist():
    used = set(re.findall(r"jaxart ([a-z]+)", "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", TEXT, re.S))))
    assert {"demo", "stylize"} <= used
    known = {name for command in cli.app for name in [command]}
    assert used <= known


def test_flags_in_the_readme_are_real():
    import io
    from contextlib import redirect_stdout

    screen = io.StringIO()
    with redirect_stdout(screen), pytest.raises(SystemExit) if False else redirect_stdout(screen):
        cli.app(["stylize", "--help"])
    for flag in set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", TEXT)) - {"--upgrade", "--extra"}:
        assert flag in screen.getvalue(), flag


@pytest.mark.parametrize(
    "page",
    sorted(
        path.relative_to(ROOT) for path in [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
    ),
)
def test_links_and_pictures_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
