"""Who may import whom: the table of docs/architecture.md, enforced."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cnnexp

PACKAGE = Path(cnnexp.__file__).parent
FOUNDATION = {"errors", "kinds", "components"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "kinds": {"errors"},
    "components": {"errors", "kinds"},
    "tables": set(),
    "weights": {"errors"},
    "architecture": FOUNDATION | {"tables", "weights"},
    "data": FOUNDATION,
    "records": {"errors", "version"},
    "signals": {"errors"},
    "report": {"errors", "records", "tables", "version"},
    "pictures": {"errors", "architecture"},
    "views": {"errors", "architecture", "pictures"},
    "config": {"errors", "data"},
    "settings": FOUNDATION | {"data"},
    "verify": FOUNDATION | {"config", "settings", "architecture", "training"},
    "training": FOUNDATION | {"architecture", "data", "pictures", "records", "signals", "tables", "views"},
    "schema": FOUNDATION | {"architecture"},
    "sweeps": {
        *("errors", "tables", "signals", "settings", "config", "verify"),
        *("architecture", "data", "records", "training", "__main__"),
    },
    "api": {"errors", "config", "verify", "architecture", "training", "records"},
    "cli": {
        *("errors", "version", "config", "verify", "architecture", "training"),
        *("data", "pictures", "records", "settings", "sweeps", "schema", "report", "tables", "views"),
    },
    "__init__": {"errors", "version", "api", "architecture"},
    "__main__": {"cli"},
}
LIBRARIES = {
    "torch": {"architecture", "data", "training", "api", "weights", "sweeps", "views"},
    "pytorch_lightning": {"data", "training", "sweeps"},
    "hydra": {"config", "cli"},
    "omegaconf": {"config", "cli"},
}


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_imports_only_what_it_may(file: Path) -> None:
    own = room(file)
    for name in imported(file):
        first, _, rest = name.partition(".")
        if first == "cnnexp" and rest:
            other = rest.split(".")[0]
            allowed = MAY_IMPORT[own] | {own, "__version__"}
            assert other in allowed, f"{own} imports {name}"
        if first in LIBRARIES:
            assert own in LIBRARIES[first], f"{own} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_only_the_command_line_prints_or_exits(file: Path) -> None:
    if room(file) in ("cli", "__main__"):
        return
    calls = [n.func for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    names = {f.id for f in calls if isinstance(f, ast.Name)}
    exits = {f.attr for f in calls if isinstance(f, ast.Attribute) and ast.unparse(f.value) == "sys"}
    assert "print" not in names
    assert "exit" not in exits


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(f.relative_to(PACKAGE)): len(f.read_text(encoding="utf-8").splitlines()) for f in FILES}
    assert not {name: n for name, n in lengths.items() if n > 400}


def test_the_public_names_are_these() -> None:
    assert cnnexp.__all__ == ["ConfigError", "Run", "RunError", "__version__", "layer", "plan", "runs", "train"]
    for name in cnnexp.__all__:
        assert getattr(cnnexp, name) is not None
