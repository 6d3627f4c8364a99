"""Rooms import one way: cli → report → calibrate → planning → sim → measure → … → spec → base."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import llmsim

PACKAGE = Path(llmsim.__file__).parent
ROOMS = [
    "base",
    "spec",
    "files",
    "cost",
    "engine",
    "workload",
    "measure",
    "sim",
    "planning",
    "calibrate",
    "report",
    "cli",
]
RANK = {room: rank for rank, room in enumerate(ROOMS)}
BASE = {"registry", "rng", "units", "errors", "plugins"}
FACE = {
    "__init__",
    "__main__",
    "api",
    "contracts",
    "studies",
}  # speak for the whole package: may import every room
ONLY_IN = {"simpy": {"sim"}, "typer": {"cli"}, "pandas": {"report", "face"}, "rich": {"report", "cli"}}


def room_of(module: str) -> str:
    """The room of a dotted path below the package."""
    first = module.split(".", maxsplit=1)[0] or "__init__"
    return "base" if first in BASE else "face" if first in FACE else first


def runs(node: ast.stmt) -> bool:
    """Whether a statement of a module runs when it is imported: not a definition, nor what is for types only."""
    is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return not (is_typing or isinstance(node, ast.FunctionDef | ast.ClassDef))


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, absolute module, run on import) of every import statement in a file."""
    tree = ast.parse(path.read_text())
    top = set(ast.walk(ast.Module([node for node in tree.body if runs(node)], [])))
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            names = [node.module or ""]
        for name in names:
            yield node.lineno, name, node in top


def wrong_arrows(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """What a file imports that its room may not."""
    module = path.relative_to(package).with_suffix("").as_posix().replace("/", ".")
    room = room_of(module)
    for line, name, at_top in imports(path):
        outside = ONLY_IN.get(name.split(".")[0])
        if outside and room not in outside:
            yield f"{path}:{line}: {room} imports {name}; only {', '.join(sorted(outside))} may"
        if name == "pandas" and at_top:
            yield f"{path}:{line}: pandas is imported inside the function that writes, never on top"
        if name.startswith("llmsim") and room != "face":
            target = room_of(name.removeprefix("llmsim").lstrip("."))
            if target != "face" and RANK[target] > RANK[room]:
                yield f"{path}:{line}: {room} imports {name}, which is above it"


def test_every_import_points_down():
    """A wrong arrow is named with file and line."""
    wrong = [arrow for path in sorted(PACKAGE.rglob("*.py")) for arrow in wrong_arrows(path)]

    assert [] == wrong


def test_a_wrong_arrow_is_found(tmp_path):
    """The test above can fail."""
    bad = tmp_path / "engine" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("import simpy\nfrom llmsim.sim.run import simulate\n")

    assert 2 == len(list(wrong_arrows(bad, tmp_path)))
