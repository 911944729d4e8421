"""Names in modules: two things with one name in a module would be one, and code above gets the wrong one."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def assigned(source: str) -> Iterator[str]:
    """Yield the names that a module gives at its top, as often as it gives them."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
            yield node.name


def twice(source: str) -> list[str]:
    return [name for name, count in Counter(assigned(source)).items() if count > 1]


def test_no_module_gives_one_name_twice() -> None:
    files = [path for floor in ("console", "screens", "crypto_core") for path in (ROOT / floor).rglob("*.py")]
    assert len(files) > 500
    found = {str(path.relative_to(ROOT)): twice(path.read_text(encoding="utf-8")) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_name_that_is_given_twice_is_found() -> None:
    assert twice("MOST = 10\ndef f(): ...\nMOST: int = 20\n") == ["MOST"]
