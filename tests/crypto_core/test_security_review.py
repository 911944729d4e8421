"""The review in SECURITY.md names a test for each claim; the tests that it names are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.left_out import is_left_out

HOME = Path(__file__).parents[2]
REVIEW = (HOME / "crypto_core" / "SECURITY.md").read_text()
NAMED = re.findall(r"`([a-z_0-9/]+\.py)::(test_[a-z0-9_]+)`", REVIEW)


def test_every_test_that_the_review_names_is_there() -> None:
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not is_left_out(file) and name not in _tests_of(HOME / "tests" / file)
    ]
    assert not missing


def test_the_review_names_a_test_for_nearly_every_requirement() -> None:
    tables = REVIEW.partition("## OWASP")[2].partition("## What remains")[0]
    rows = [line for line in tables.splitlines() if line.startswith("|")]
    claims = [r for r in rows if not r.startswith(("|---", "| requirement"))]
    shown = [r for r in claims if "::test_" in r]
    assert len(claims) > 40
    assert len(shown) > len(claims) * 0.8


def _tests_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text())
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
