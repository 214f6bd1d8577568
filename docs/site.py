"""What `mkdocs build` shows besides the pages of this folder: the README, the notebooks, the pages and files that are
linked to, and the public names of the library. All lie in the repository once."""

import ast
import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import amge  # noqa: E402

DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)")
"""The path of a link, without its anchor; none with a scheme."""
EQUATION = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.M | re.S)


def page_of(package: str) -> str:
    """The page of a package's public names."""
    return f"api/{package.removeprefix('amge.') if package != 'amge' else 'index'}.md"


def address(path: Path) -> str:
    """What the site calls a file of the repository."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    if path == ROOT / "README.md":
        return "index.md"
    if path.name == "__init__.py":
        return page_of(".".join(path.parent.relative_to(ROOT).parts))
    return (path.with_suffix(".md") if path.suffix == ".ipynb" else path).relative_to(ROOT).as_posix()


def linked(path: Path, text: str) -> list[Path]:
    """The files of the repository that a page links to."""
    targets = ((path.parent / link).resolve() for link in LINK.findall(text))
    return [target for target in targets if target.is_file() and target.is_relative_to(ROOT)]


def read(path: Path) -> str:
    """A page; a notebook as one, its code in fences."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    return "\n\n".join(parts) + "\n"


def homes(file: Path, package: str) -> dict[str, str]:
    """The public names of a package and the module of each; empty for one without `__all__`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    public: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            module = f"{package}.{node.module}" if node.level else str(node.module)
            found |= {alias.name: module for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            public = ast.literal_eval(node.value)
    return {name: found.get(name, package) for name in public}


def api() -> dict[str, str]:
    """Pages of public names by their address: those of `amge`, and of each package that lists its own."""
    listed = {"amge": {name: f"amge.{home}" for name, home in amge._HOMES.items()}}
    for file in sorted((ROOT / "amge").rglob("__init__.py")):
        package = ".".join(file.parent.relative_to(ROOT).parts)
        if names := homes(file, package):
            listed[package] = names
    return {
        page_of(package): f"# {package}\n\n"
        + "".join(
            f"::: {home}.{name}\n    options:\n      heading: {package}.{name}\n      toc_label: {name}\n\n"
            for name, home in names.items()
        )
        for package, names in listed.items()
    }


def on_files(files: Files, config: Any) -> Files:
    waiting = [ROOT / "README.md", *(ROOT / "examples" / "notebooks").glob("*.ipynb"), *DOCS.rglob("*.md")]
    seen, generated = set(waiting), api()
    for path in waiting:
        name = address(path)
        if name in generated:
            continue
        if not path.is_relative_to(DOCS):
            files.append(
                File.generated(config, name, content=read(path))
                if name.endswith(".md")
                else File.generated(config, name, abs_src_path=str(path))
            )
        if name.endswith(".md"):
            more = [target for target in linked(path, read(path)) if target not in seen]
            waiting += more
            seen |= {*more}
    for name, text in generated.items():
        files.append(File.generated(config, name, content=text))
    SOURCES.update((address(path), path) for path in seen if address(path) not in generated)
    return files


SOURCES: dict[str, Path] = {}
"""Pages and files by what the site calls them."""


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Links lead to where the site has what they name; equations become MathML."""
    source = SOURCES.get(page.file.src_uri)
    if source is None:
        return markdown

    def moved(link: re.Match) -> str:
        target = (source.parent / link[1]).resolve()
        return posixpath.relpath(address(target), posixpath.dirname(page.file.src_uri)) if target in known else link[1]

    known = {*linked(source, markdown)}
    markdown = LINK.sub(moved, markdown)
    return EQUATION.sub(lambda equation: convert(equation[1], display="block"), markdown)
