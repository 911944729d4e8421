"""Which tests of the deep lane `.ci/run` takes: all of the rooms touched lately, and of the others a sample.

A test is of the room in whose folder it lies, and of each room that its module imports from. Touched are the
rooms of files that differ in meaning (not in comments and docstrings alone) from what the project was a day
before the last commit. The sample is drawn by the commit's hash: the next commit draws another.
"""

from __future__ import annotations

import ast
import os
import random
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("console", "screens", "crypto_core")
LATELY_SECONDS = 24 * 3600
SAMPLE_SECONDS = 480
"""Processor seconds of a sample: two cores take four minutes for them, and one more to collect."""
TEST_SECONDS = 0.8
"""What a deep test takes that isn't marked `slow` with its seconds, as an average, PostgreSQL included."""

SHARED = "KEYDECK_TESTS_DRAWN"
IMPORTED = re.compile(r"^\s*(?:from|import) ((?:console|screens|crypto_core|tests)(?:\.\w+)+)", re.MULTILINE)


@dataclass(frozen=True)
class Drawn:
    """What a commit draws; `touched` has names of rooms and of modules of tests. Without a history, none."""

    commit: str
    touched: frozenset[str]

    def choose(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests to run, in the order given."""
        names = {path: names_of(path) for path in {item.path for item in items}}
        due = [item for item in items if names[item.path] & self.touched]
        others = sorted(
            (item for item in items if not names[item.path] & self.touched), key=lambda i: i.nodeid
        )
        random.Random(self.commit).shuffle(others)
        left = SAMPLE_SECONDS
        for item in others:
            if (seconds := seconds_of(item)) <= left:
                due.append(item)
                left -= seconds
        chosen = {item.nodeid for item in due}
        return [item for item in items if item.nodeid in chosen]

    def __str__(self) -> str:
        rooms = sorted(name for name in self.touched if not name.startswith("tests/"))
        modules = len(self.touched) - len(rooms)
        touched = ", ".join([*rooms, *([f"modules of tests: {modules}"] if modules else [])])
        sample = "of the others a sample" if touched else "a sample"
        return (
            f"Drawn by {self.commit[:12] or 'no commit'}: {f'all of {touched}; ' if touched else ''}{sample}"
        )


def of_run() -> Drawn:
    """Return what the processes of a run have in common, by the environment: the first one looks."""
    if SHARED not in os.environ:
        found = lately()
        os.environ[SHARED] = " ".join([found.commit or "-", *sorted(found.touched)])
    commit, *touched = os.environ[SHARED].split(" ")
    return Drawn(commit.strip("-"), frozenset(touched))


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what isn't drawn; what isn't of the deep lane is left out by a run's expression."""
    deep = [item for item in items if item.get_closest_marker("deep")]
    chosen = of_run().choose(deep)
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def lately(root: Path = ROOT) -> Drawn:
    """Return what the last commit of a work tree draws, whatever isn't committed in it included."""
    try:
        commit, when = _git(root, "log", "-1", "--format=%H %ct").split()
        before = _git(root, "log", "-1", "--format=%H", f"--before={int(when) - LATELY_SECONDS}").strip()
        changed = (
            _git(root, "diff", "--no-renames", "--name-only", "-z", before, "--", *FLOORS, "tests")
            if before
            else ""
        )
        new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *FLOORS, "tests")
    except (OSError, subprocess.CalledProcessError, ValueError):
        return Drawn("", frozenset())
    touched: set[str] = set()
    for name in sorted(filter(None, [*changed.split("\0"), *new.split("\0")])):
        is_of = names_of_place(root, name)
        if name.endswith(".py") and not is_of & touched and _differs(root, before, name):
            touched.add(_place(root, Path(name).parts))
    return Drawn(commit, frozenset(touched))


def seconds_of(item: pytest.Item) -> float:
    """Return what a test takes, by its mark `slow` or as an average."""
    marked = getattr(item.get_closest_marker("slow"), "args", ())
    return float(marked[0]) if marked else TEST_SECONDS


def names_of(module: Path, root: Path = ROOT) -> frozenset[str]:
    """Return the rooms that a module of tests is of, its name, and those of test modules that it imports."""
    imported = {_place(root, name.split(".")) for name in IMPORTED.findall(module.read_text("utf-8"))}
    return names_of_place(root, str(module.relative_to(root))) | imported - {"tests"}


def names_of_place(root: Path, name: str) -> frozenset[str]:
    """Return a module's own name, and the room in which it is or whose tests it has."""
    parts = Path(name).parts
    return frozenset({_place(root, parts), *([_place(root, parts[1:])] if parts[1] in FLOORS else [])})


def _place(root: Path, parts: Sequence[str]) -> str:
    """Return the room of a module of the product, or the name of one of the tests."""
    floor, *below = parts
    if floor not in FLOORS:
        return "/".join(parts).removesuffix(".py")
    return f"{floor}/{below[0]}" if below and (root / floor / below[0]).is_dir() else floor


def _differs(root: Path, before: str, name: str) -> bool:
    try:
        old = _git(root, "show", f"{before}:{name}")
    except subprocess.CalledProcessError:
        return True  # it is new
    path = root / name
    return not path.exists() or (name.endswith(".py") and _meaning(old) != _meaning(path.read_text("utf-8")))


def _meaning(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
