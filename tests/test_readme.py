"""The README tells the truth: its Python runs, its commands exist, its links and pictures are there."""

import re
from pathlib import Path

import pytest

from jaxart import cli, samples, weights

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_snippets_run(variables, monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for name, sample in (("photo.jpg", "cat"), ("painting.jpg", "cafe_terrace")):
        (tmp_path / name).write_bytes(samples.path(sample).read_bytes())
    (tmp_path / "drawings").mkdir()
    for name in ("cat", "coffee", "cafe_terrace"):
        (tmp_path / "drawings" / f"{name}.jpg").write_bytes(samples.path(name).read_bytes())
    monkeypatch.setattr(weights, "load", lambda name: variables)
    for block in blocks:
        exec(compile(_tiny(block), "README.md", "exec"), {})


def _tiny(block: str) -> str:
    """Make the snippet quick: the same calls, at 32 pixels, two steps and few channels."""
    block = block.replace("GanOptions(", "GanOptions(width=4, batch=4, ")
    return re.sub(r"size=\d+", "size=32", re.sub(r"steps=\d+", "steps=2", block))


def test_commands_and_flags_are_real(capsys):
    shell = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", TEXT, re.S))
    cli.app()(["--help"])
    for command in ("stylize", "sheet", "train gan", "train vae", "resume", "runs", "generate", "data preview"):
        cli.app()([*command.split(), "--help"])
    helps = capsys.readouterr().out
    for command in set(re.findall(r"jaxart (?!\.)([a-z]+)", shell)):
        assert re.search(rf"\b{command}\b", helps), command
    for flag in set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", TEXT)):
        assert flag in helps, flag


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
