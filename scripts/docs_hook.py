"""Pages of the site that are made from files outside of ``docs/``. MkDocs calls the functions; mkdocs.yml names this file.

Pages link to other files of the repository by relative paths, so that the links also work in a checkout. This hook makes a page
of the site from each file that may be linked, and points the links to that page.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from document_tables import fill_tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from npm_package import fetch_npm_package

ROOT = Path(__file__).resolve().parents[1]
_MERMAID = "11.17.2"  # the release that this release of Material for MkDocs loads is 11; from another host, unless it is here
_DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
_EXAMPLES = (
    "example_dags/*.py",
    "example_dags/scripts/*.mlsql",
    "example_dags/scripts/*.py",
    "mlsql_runtime/builtin/sklearn/train.py",
    "mlsql_runtime/builtin/sklearn/predict.py",
)
_EXAMPLES_HEAD = """# Examples

The DAGs of `example_dags/`, and the scripts that they run. Tests run all of them.

| file | what it shows |
|---|---|
"""
_RESULTS_HEAD = """# Measurements

`make bench`, `make fuzz` and `make faults` write these pages.

| page | file |
|---|---|
"""
_DECISIONS_HEAD = """# Decisions

Why things are as they are: one page for each decision.

| | decision |
|---|---|
"""
_BACKGROUND = ("explanation/decisions/", "project/", "measurements/", "examples/")  # the search shows other pages before these
_CODE = re.compile(r"^( *)(```+|~~~+).*?^\1\2|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")


def _name_example(source: str) -> str:
    return source.removeprefix("example_dags/").removeprefix("mlsql_runtime/")


def _find_sources() -> dict[str, str]:
    """Return, for each file of the repository that becomes a page or a picture, its path in the site."""
    sources = {name: f"project/{name.lower()}" for name in _DOCUMENTS if (ROOT / name).is_file()}
    for path in [*ROOT.glob("benchmarks/results/*.md"), *ROOT.glob("benchmarks/results/*.png")]:
        sources[f"benchmarks/results/{path.name}"] = f"measurements/{path.name}"
    for pattern in _EXAMPLES:
        for path in sorted(ROOT.glob(pattern)):
            source = path.relative_to(ROOT).as_posix()
            sources[source] = f"examples/{_name_example(source).replace('/', '-').replace('.', '_')}.md"
    return sources


SOURCES = _find_sources()
_ORIGINS = {page: source for source, page in SOURCES.items()}
_FOLDERS = {
    "example_dags": "examples/index.md",
    "benchmarks/results": "measurements/index.md",
    "docs/explanation/decisions": "explanation/decisions/index.md",
    "docs/how-to/frameworks": "how-to/frameworks/scikit-learn.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each ``FOLDER/*`` of the navigation by the pages of the folder."""
    config.nav = _expand(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the library that draws diagrams."""
    for source, page in SOURCES.items():
        path = ROOT / source
        if path.suffix in (".md", ".png"):
            files.append(File.generated(config, page, abs_src_path=str(path)))
        else:
            files.append(File.generated(config, page, content=_render_code(source)))
    for page, content in _render_indexes().items():
        files.append(File.generated(config, page, content=content))
    mermaid = fetch_npm_package("mermaid", _MERMAID, "18 MB", with_dependencies=False) / "dist" / "mermaid.min.js"
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(mermaid)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository to their pages, and fill in the tables of documents."""
    here = page.file.src_uri
    if here.startswith(_BACKGROUND):
        page.meta.setdefault("search", {})["boost"] = 0.1
    folder = PurePosixPath(_ORIGINS.get(here, f"docs/{here}")).parent.as_posix()

    def point(match: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, match[1]))
        found = SOURCES.get(target) or _FOLDERS.get(target)
        if found is None and target.startswith("docs/"):
            found = target.removeprefix("docs/")
        return match[1] if found is None else os.path.relpath(found, os.path.dirname(here) or ".")

    markdown = fill_tables(markdown)
    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(point, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(point, markdown[end:])])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend what docstrings have of their own: names of pages become links, and roles of Sphinx plain names."""

    def link(match: re.Match[str]) -> str:
        target = os.path.relpath(f"{match[1]}.html", os.path.dirname(page.file.src_uri) or ".")
        found = files.get_file_from_path(f"{match[1]}.md")
        return match[0] if found is None else f'<a href="{target}">{found.page.title if found.page else match[1]}</a>'

    html = re.sub(r":\w+:<code>~?(?:[\w.]*\.)?(\w+)</code>", r"<code>\1</code>", html)
    return re.sub(r"(?<![\w/\"=])docs/([\w/-]+)\.md", link, html) if page.file.src_uri.startswith("reference/") else html


def _expand(nav: Any) -> Any:
    if isinstance(nav, dict):
        return {title: _expand(value) for title, value in nav.items()}
    if isinstance(nav, list):
        return [_expand(value) for value in nav]
    if not nav.endswith("/*"):
        return nav
    folder = nav.removesuffix("*")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / folder).glob("*.md")}
    pages |= {page for page in (*SOURCES.values(), *_FOLDERS.values()) if page.startswith(folder) and page.endswith(".md")}
    return sorted(pages, key=lambda page: (not page.endswith("/index.md"), page))


def _render_code(source: str) -> str:
    text = (ROOT / source).read_text(encoding="utf-8")
    language = "python" if source.endswith(".py") else "sql"
    return f'# {_name_example(source)}\n\n```{language} title="{source}"\n{text.rstrip()}\n```\n'


def _render_indexes() -> dict[str, str]:
    """Return the pages that list the pages of a folder."""
    examples, results = [], []
    for source, page in sorted(SOURCES.items()):
        if page.startswith("examples/"):
            examples.append(_render_row(page, *_describe(source)))
        elif page.startswith("measurements/") and page.endswith(".md"):
            results.append(_render_row(page, _read_title(ROOT / source), f"`{source}`"))
    records = sorted((ROOT / "docs/explanation/decisions").glob("0*.md"))
    return {
        "examples/index.md": _EXAMPLES_HEAD + "".join(examples),
        "measurements/index.md": _RESULTS_HEAD + "".join(results),
        "explanation/decisions/index.md": _DECISIONS_HEAD
        + "".join(_render_row(path.name, path.name[:4], _read_title(path).partition(". ")[2]) for path in records),
    }


def _render_row(page: str, title: str, text: str) -> str:
    return f"| [{title}]({PurePosixPath(page).name}) | {text} |\n"


def _describe(source: str) -> tuple[str, str]:
    """Return the name of an example, and the first paragraph of its docstring or its first comment."""
    text = (ROOT / source).read_text(encoding="utf-8")
    if source.endswith(".py"):
        first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    else:
        first = text.partition("\n")[0].lstrip("- ") if text.startswith("--") else ""
    return _name_example(source), " ".join(first.split()).replace("|", "\\|").replace("``", "`")


def _read_title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
