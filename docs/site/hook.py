"""What the site's build adds to the Markdown files: pages made of files outside docs/, the references, and a check of the result.

Markdown files link to one another as they lie in the repository, so that they can be read there too; links to files outside docs/ are
led to the pages that are made of them here.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from jaxart import cli

ROOT = Path(__file__).parents[2]
TEXTS = {  # files outside docs/ that are pages
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "jaxart/samples/SOURCES.md": "samples.md",
}
PROGRAMS = {
    str(path.relative_to(ROOT)): f"code/{path.relative_to(ROOT)}.md"
    for path in sorted([*ROOT.glob("examples/*.py"), *ROOT.glob("tests/toy_kind.py")])
}
VERBS = ("stylize", "read", "write")
PAGES = {**TEXTS, **PROGRAMS, "README.md": "index.md"}
FETCHING = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|srcset|data)=["']?(?:https?:)?//[^"'\s>]+
    |<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect|dns-prefetch|modulepreload|manifest))[^>]*\bhref=["']?(?:https?:)?//[^"'\s>]+
    |url\(\s*["']?(?:https?:)?//[^)]+
    |@import\s+["'](?:https?:)?//[^"']+
    |class=["']?mermaid""",  # the theme fetches the program that draws these
    re.VERBOSE,
)


def on_files(files, config):
    """Add the pages that are made of other things than files of docs/."""
    for path, page in TEXTS.items():
        files.append(File.generated(config, page, content=_text(path)))
    for path, page in PROGRAMS.items():
        files.append(File.generated(config, page, content=f"# {path}\n\n```python\n{_text(path)}```\n"))
    for page in re.findall(r"api/[\w.]+\.md", _text("mkdocs.yml")):
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=reference(page[4:-3])))
    glossary = re.search(r"## (Glossary\n.*?)\n## ", _text("docs/architecture.md"), re.DOTALL)
    files.append(File.generated(config, "glossary.md", content=f"# {glossary[1]}"))
    files.append(File.generated(config, "command-line.md", content=command_line()))
    return files


def reference(namespace):
    """Return the page of a public namespace, which its docstrings fill."""
    if namespace == "jaxart":
        verbs = "".join(
            f"::: jaxart.{verb}\n    options: {{show_root_heading: true, show_root_toc_entry: true}}\n\n"
            for verb in VERBS
        )
        return f"# jaxart\n\nThe verbs, at the top; everything else is in the namespaces beside this page.\n\n{verbs}"
    return f"# jaxart.{namespace}\n\n::: jaxart.{namespace}\n"


def command_line():
    """Return what the help of all commands says, as Markdown."""
    text = cli.app().generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents\n.*?(?=\*\*Paint)", "", text, flags=re.DOTALL)
    return text.replace("# jaxart\n", "# Command line\n", 1)


def on_page_markdown(markdown, page, config, files):
    """Lead links of the repository to the pages of the site."""
    here = next((path for path, made in TEXTS.items() if made == page.file.src_uri), f"docs/{page.file.src_uri}")

    def led(link):
        target, anchor = link[1], link[2] or ""
        if re.match(r"[a-z]+:", target):
            return link[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        there = PAGES.get(there, there.removeprefix("docs/"))
        return f"]({posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return re.sub(r"\]\(([^)#\s]+)(#[^)]*)?\)", led, markdown)


def on_post_build(config):
    """Refuse a site that would load anything from a foreign address."""
    built = Path(config.site_dir)
    pages = [path for kind in ("html", "css") for path in built.rglob(f"*.{kind}")]
    found = {
        str(path.relative_to(built)): hits for path in pages if (hits := FETCHING.findall(path.read_text("utf-8")))
    }
    if not pages or found:
        raise PluginError(f"the site would load from foreign addresses: {found}")


def _text(path):
    return (ROOT / path).read_text("utf-8")
