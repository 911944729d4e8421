"""Keydeck without one of its capabilities: a copy of the tree lacks its folder and its tests."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from console.capabilities import OWN, OWN_ENGINES, OWN_SETTINGS
from tests.left_out import CAPABILITIES, folders_of

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ("console", "crypto_core", "screens", "tests", "pyproject.toml", "README.md", "CHANGELOG.md")
NOT_IMPORTED = ("__main__", "crypto_core.database.state.migrations.env")
IMPORT_ALL = f"""
import importlib, pkgutil
import console, crypto_core, screens
for root in (console, crypto_core, screens):
    for found in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
        if not found.name.endswith({NOT_IMPORTED!r}):
            importlib.import_module(found.name)
"""
NEEDING_IT = (
    "tests/console/test_manual.py",
    "tests/console/test_manual_pages.py",
    "tests/console/test_operations_named.py",
    "tests/console/test_start.py",
    "tests/console/test_without_forensics.py",
    "tests/screens/test_manual.py",
    "tests/test_enum_tables.py",
    "tests/crypto_core/database/state/test_journal_readers.py",
    "tests/crypto_core/test_security_review.py",
)
"""Tests that walk all commands, pages and modules."""
PULL, LIST, COUNT = ("events", "pull"), ("events", "list"), ("events", "stats", "--by", "name")
SAID = "is not installed: this installation leaves the capability {} out."


class Copy:
    """A copy of the tree without some folders and their tests."""

    def __init__(self, folder: Path, without: tuple[str, ...]) -> None:
        self.folder = folder
        left_out = {ROOT / where / name for name in without for where in ("", "tests")}

        def ignored(where: str, names: list[str]) -> set[str]:
            return {name for name in names if name == "__pycache__" or Path(where, name) in left_out}

        for name in CARRIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, folder / name)

    def python(
        self, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.CompletedProcess[str]:
        # The folder is first on the path of what is started in it, before what is installed.
        command, env = [sys.executable, *arguments], os.environ | dict(environment)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, env=env)


@pytest.mark.deep
@pytest.mark.parametrize("name", CAPABILITIES)
def test_without_a_capability_all_else_works_and_its_commands_say_that_they_are_not_installed(
    tmp_path: Path, name: str
) -> None:
    copy = Copy(tmp_path, folders_of(name))
    imported = copy.python("-c", IMPORT_ALL)
    assert imported.returncode == 0, imported.stderr
    assert copy.python("-m", "console", "--help").returncode == 0
    for command in (command.split() for command, capability in OWN.items() if capability == name):
        listed = copy.python("-m", "console", *command[:-1], "--help")
        assert (listed.returncode, f"  {command[-1]} " in listed.stdout) == (0, False)
        asked = copy.python("-m", "console", *command)
        assert (asked.returncode, asked.stdout) == (2, "")
        assert asked.stderr.splitlines()[-1] == f"Error: keydeck {' '.join(command)} {SAID.format(name)}"
    for engine in (engine for engine, capability in OWN_ENGINES.items() if capability == name):
        for command, option in ((PULL, "--from"), (LIST, "--engine"), (COUNT, "--engine")):
            assert engine not in copy.python("-m", "console", *command[:2], "--help").stdout.lower()
            table = ("logs.events",) if option == "--engine" else ()
            asked = copy.python("-m", "console", *command, option, engine, *table)
            assert (asked.returncode, asked.stdout) == (2, "")
            assert asked.stderr.splitlines()[-1] == f"Error: {option} {engine} {SAID.format(name)}"
    for setting in (setting for setting, capability in OWN_SETTINGS.items() if capability == name):
        file = tmp_path / "settings.toml"
        file.write_text(f'{setting} = ""\n')
        variable = {f"KEYDECK_{setting.upper()}": "wrong"}
        ignored = copy.python("-m", "console", "settings", environment=variable)
        assert (ignored.returncode, f"\n{setting} " in ignored.stdout) == (0, False)
        refused = copy.python("-m", "console", "settings", environment={"KEYDECK_SETTINGS": str(file)})
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"Setting {setting} {SAID.format(name)} Take it out of the settings file" in refused.stderr
    written = copy.python("-m", "console", "help", "--html", "manual")
    assert written.returncode == 0, written.stderr


@pytest.mark.deep
def test_without_forensics_connections_offer_no_question_about_abilities(tmp_path: Path) -> None:
    copy = Copy(tmp_path, folders_of("forensics"))
    asked = copy.python("-c", "from screens.actions.registry import BY_ID; print(*BY_ID)")
    assert asked.returncode == 0, asked.stderr
    assert "connections.timeline" in asked.stdout.split()
    assert "connections.abilities" not in asked.stdout.split()


@pytest.mark.quick(0, deep=1)
@pytest.mark.parametrize("names", [CAPABILITIES, *([name] for name in CAPABILITIES)], ids=" ".join)
def test_without_capabilities_the_tests_that_walk_all_pass(tmp_path: Path, names: list[str]) -> None:
    copy = Copy(tmp_path, tuple(folder for name in names for folder in folders_of(name)))
    tested = copy.python("-m", "pytest", "-q", "-n0", *NEEDING_IT)
    assert tested.returncode == 0, tested.stdout[-3000:]


def imported_at_once(node: ast.AST) -> Iterator[str]:
    """Give the names that a module imports outside of functions."""
    for below in ast.iter_child_nodes(node):
        if isinstance(below, ast.Import):
            yield from (one.name for one in below.names)
        elif isinstance(below, ast.ImportFrom):
            yield from (f"{below.module}.{one.name}" for one in below.names)
        elif not isinstance(below, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported_at_once(below)


@pytest.mark.deep
@pytest.mark.parametrize("name", CAPABILITIES)
def test_no_other_test_needs_a_capability_as_it_is_collected(name: str) -> None:
    """A module that imports it inside of a function excuses what it tests with that."""
    folders = folders_of(name)
    own = [ROOT / "tests" / folder for folder in ("benchmarks", *folders)]
    gone = tuple(f"{where}{folder.replace('/', '.')}." for folder in folders for where in ("", "tests."))
    needing = {
        (str(module), name)
        for module in (ROOT / "tests").rglob("*.py")
        if not any(map(module.is_relative_to, own))
        for name in imported_at_once(ast.parse(module.read_text("utf-8")))
        if f"{name}.".startswith(gone)
    }
    assert not needing


@pytest.mark.deep
def test_without_the_sandbox_everything_but_practice_works(tmp_path: Path) -> None:
    copy = Copy(tmp_path, ("console/sandbox", "console/practice"))
    imported = copy.python("-c", IMPORT_ALL)
    assert imported.returncode == 0, imported.stderr
    assert copy.python("-m", "console", "--help").returncode == 0
    asked = copy.python("-m", "console", "demo")
    assert (asked.returncode, "practice" in asked.stderr) == (2, True)
