"""The order of the rooms of the library: each imports only itself and rooms below it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = (
    *("version", "errors", "files", "devices", "results", "metrics", "calibrate", "layers", "tokens", "labels"),
    *("muscles", "heads", "video", "skeleton", "viz", "evidence", "prediction", "spec", "synthetic", "exercises"),
    *("backbones", "fusion", "distill", "registry", "inputs", "explain", "model", "assemble"),
    *("hub", "zoo", "convert", "builder", "data", "paper"),
    *("repetitions", "evaluate", "bulk", "live", "demo", "train", "export", "recipes", "cli"),
)
"""From the ground up; CONTRIBUTING shows them as a picture."""
UPWARDS = {("amge.model", "hub")}
"""A model's `save_pretrained`, `push_to_hub` and `from_pretrained` reach up, when they are called and not before."""


class Import(NamedTuple):
    """One import, by the full names of both modules."""

    importer: str
    imported: str
    at_start: bool
    """Whether it runs as soon as the importer is imported."""

    @property
    def rooms(self) -> tuple[str, str]:
        return self.importer.split(".")[1], self.imported.split(".")[1]


def name_of(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def late(tree: ast.Module) -> set[int]:
    """The nodes that do not run when a module is imported: those in functions, or for type checkers alone."""
    bodies: list[list[ast.stmt]] = []
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(part, ast.If) and ast.unparse(part.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        ):
            bodies.append(part.body)
    return {id(node) for body in bodies for statement in body for node in ast.walk(statement)}


def bound(root: Path) -> set[str]:
    """Names that `amge/__init__.py` binds to what is no module, although a module may be called the same."""
    path = root / "amge" / "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("amge.")
        for alias in node.names
    }


def imports(root: Path) -> Iterator[Import]:
    """All imports of `amge` in a checkout, those in functions too; what `amge` itself binds counts as `__init__`."""
    files = sorted((root / "amge").rglob("*.py"))
    known = {name_of(file, root) for file in files}
    public = bound(root)
    for file in files:
        importer = name_of(file, root)
        if importer == "amge":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        later = late(tree)
        package = importer if file.name == "__init__.py" else importer.rpartition(".")[0]
        for node in ast.walk(tree):
            found: list[str] = []
            if isinstance(node, ast.Import):  # binds `amge`, through which all can be reached
                found = ["amge" for alias in node.names if alias.name.split(".")[0] == "amge"]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *base.split(".")])
                base = base.rstrip(".")
                for alias in node.names:
                    full = f"{base}.{alias.name}"
                    found.append(full if full in known and (base != "amge" or alias.name not in public) else base)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # of import_module and its like
                named = re.match(r"amge(\.\w+)+(?=:\w+$|$)", node.value)
                parts = named[0].split(".") if named else []
                within = (".".join(parts[:end]) for end in range(len(parts), 1, -1))
                found = [next((name for name in within if name in known), "")]
            for name in found:
                if name.split(".")[0] == "amge":
                    yield Import(importer, name if "." in name else "amge.__init__", id(node) not in later)


def faults(root: Path) -> list[str]:
    """Imports that run upwards, but for `UPWARDS`."""
    place = {room: number for number, room in enumerate(ROOMS)}
    top = len(ROOMS)
    return [
        f"{each.importer} imports {each.imported}, a room above its own: see The rooms in CONTRIBUTING.md"
        for each in imports(root)
        if place[each.rooms[0]] < place.get(each.rooms[1], top)
        and ((each.importer, each.rooms[1]) not in UPWARDS or each.at_start)
    ]


def circles(root: Path) -> list[str]:
    """Modules that import one another, over any number of others, when they are imported or called."""
    edges: dict[str, set[str]] = {}
    for each in imports(root):
        if (each.importer, each.rooms[1]) not in UPWARDS and each.importer != each.imported:
            edges.setdefault(each.importer, set()).add(each.imported)
    reach = {name: set(targets) for name, targets in edges.items()}
    for via in edges:
        for targets in reach.values():
            if via in targets:
                targets |= reach[via]
    return sorted(name for name, targets in reach.items() if name in targets)


def test_every_room_has_a_place():
    there = {path.stem for path in (ROOT / "amge").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == set(ROOMS), "ROOMS, CONTRIBUTING.md and docs/architecture.md list all rooms"


def test_a_room_imports_only_rooms_below_it():
    found = faults(ROOT)
    assert not found, "\n".join(found)


def test_no_module_imports_itself_through_others():
    found = circles(ROOT)
    assert not found, f"these modules import one another: {', '.join(found)}"


@pytest.mark.parametrize(
    "forbidden",
    [
        "from amge.hub.load import from_pretrained",
        "import amge",
        "from amge import spec",
        "from .. import zoo",
        "def late():\n    from amge.builder import build",
        "if TYPE_CHECKING:\n    from amge.train.run import Run",
        "import importlib\nimportlib.import_module('amge.cli')",
        "import pkgutil\npkgutil.resolve_name('amge.builder:build')",
        "import amge.errors",
        "import amge.errors as errors",
    ],
)
def test_a_forbidden_import_is_found(tmp_path, forbidden):
    (tmp_path / "amge" / "video").mkdir(parents=True)
    for name in ("spec", "zoo", "builder", "video/__init__", "cli"):
        (tmp_path / "amge" / f"{name}.py").write_text("")
    (tmp_path / "amge" / "video" / "read.py").write_text(forbidden)
    assert len(faults(tmp_path)) == 1


def test_a_name_that_the_package_binds_is_not_the_module_of_that_name(tmp_path):
    (tmp_path / "amge" / "hub").mkdir(parents=True)
    (tmp_path / "amge" / "__init__.py").write_text("from amge.zoo import spec as spec")
    (tmp_path / "amge" / "spec.py").write_text("")
    place = tmp_path / "amge" / "hub" / "load.py"
    for text, count in (("from amge import spec", 1), ("from amge.spec import ModelSpec", 0)):
        place.write_text(text)
        assert len(faults(tmp_path)) == count


def test_the_model_reaches_up_in_calls_alone(tmp_path):
    (tmp_path / "amge").mkdir()
    place = tmp_path / "amge" / "model.py"
    inner = "from amge.hub.save import x"
    for text, count in (
        (f"def save():\n    {inner}", 0),
        (f"if TYPE_CHECKING:\n    {inner}", 0),
        (inner, 1),
        (f"if not TYPE_CHECKING:\n    {inner}", 1),
        (f"if TYPE_CHECKING:\n    pass\nelse:\n    {inner}", 1),
    ):
        place.write_text(text)
        assert len(faults(tmp_path)) == count


def test_a_circle_is_found(tmp_path):
    (tmp_path / "amge" / "hub").mkdir(parents=True)
    for one, other in (("files", "remote"), ("remote", "files")):
        (tmp_path / "amge" / "hub" / f"{one}.py").write_text(f"def f():\n    from amge.hub.{other} import x\n")
    assert circles(tmp_path) == ["amge.hub.files", "amge.hub.remote"]


def test_contributing_shows_the_rooms_in_order():
    picture = re.search(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S)
    assert picture
    lines = [re.split(" {3,}", line)[0].split() for line in picture[1].splitlines()]
    assert [room for line in reversed(lines) for room in line] == list(ROOMS)


def test_the_page_says_what_each_room_holds():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| room |")[2].partition("\n\n")[0]
    named = [room for line in table.splitlines()[2:] for room in re.findall(r"`([\w/]+)`", line.split("|")[1])]
    assert named == list(ROOMS)
