"""A capability is its folder and one manifest: nothing names it, and contracts hold that for each."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    path: path.read_text("utf-8") for floor in ("console", "screens") for path in (ROOT / floor).rglob("*.py")
}


def modules_of(source: str) -> set[str]:
    """The rooms of the floors that a module imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{one.name}" for one in node.names}
    return {".".join(name.split(".")[:2]) for name in found}


@cache
def imports() -> dict[Path, set[str]]:
    return {path: modules_of(source) for path, source in SOURCES.items()}


MANIFESTS = sorted(path.relative_to(ROOT) for path in SOURCES if path.name == "manifest.py")


@pytest.mark.parametrize("name", [found.parent.name for found in MANIFESTS if found.parts[0] == "console"])
def test_nothing_imports_a_capability_but_itself(name: str) -> None:
    importing = {path for path, found in imports().items() if f"console.{name}" in found}
    assert {str(path) for path in importing if not path.is_relative_to(ROOT / "console" / name)} == set()


def test_contracts_protect_every_manifest() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    alone = [one for one in contracts if one["type"] == "protected" and not one["allowed_importers"]]
    protected = {module for one in alone for module in one["protected_modules"]}
    assert {f"{found.parts[0]}.*.manifest" for found in MANIFESTS} <= protected
