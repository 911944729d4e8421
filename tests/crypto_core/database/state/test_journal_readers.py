"""Decisions rest on checked entries of the journal, and whoever else reads it is named with a reason."""

from __future__ import annotations

import ast
from pathlib import Path

import crypto_core
from tests.left_out import is_left_out

ROOT = Path(crypto_core.__file__).parent.parent
TEXT = {"entries", "ended", "beginnings", "actors"}
"""The methods of Journal that return text. `witnessed` selects what was checked."""

CHECKED = {
    "crypto_core/compliance/records/record_table.py": "names of records and removals are checked entries",
    "crypto_core/database/state/incidents.py": "the digests of evidence are in checked entries",
    "crypto_core/database/tokens/tripwire_list.py": "the list's digest is in a checked entry",
    "crypto_core/diagnosis/own_schema.py": "the chain itself, and checkpoints by checked entries",
}
SHOWN = {
    "console/practice/drill.py": "a count is printed",
    "console/commands/journal.py": "the list of entries",
    "console/incident_services.py": "hands actors to a remark of the block",
    "crypto_core/compliance/journal_changes.py": "changes according to the journal; who approved is checked",
    "crypto_core/compliance/pack/verification.py": "entries of a file; names and removals are checked",
    "crypto_core/database/connection/engine.py": "the table's name, to say which grant is missing",
    "crypto_core/database/state/incident_changes.py": "roles and follow-ups of an incident, which it shows",
    "crypto_core/database/state/journal.py": "the interface itself",
    "crypto_core/database/state/journal_entry.py": "how a row is read",
    "crypto_core/database/tokens/backups.py": "only takes tokens from what shows the platform's switch",
    "crypto_core/diagnosis/own_schema.py": "the table's name",
    "crypto_core/incidents/key_callers.py": "since when calls are counted as denied, for display",
    "crypto_core/incidents/keys/block.py": "a remark beside a proposal",
    "crypto_core/incidents/report/service.py": "the actions that a report lists",
    "crypto_core/keys/changes/blocks.py": "since when and by whom, beside what the policies refuse",
}


def _reads(path: Path) -> bool:
    """Whether a module reads entries: by the table, or by a method that returns text."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "crypto_core.database.schema":
            named = {name.name for name in node.names}
            if "journal" in named:
                return True
        if isinstance(node, ast.Attribute) and node.attr in TEXT:
            of = node.value
            name = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
            if name.strip("_") == "journal" or (node.attr == "actors" and name == "_services"):
                return True
    return False


def test_nothing_reads_the_journals_text_but_what_is_named_here() -> None:
    found = {
        str(path.relative_to(ROOT))
        for floor in ("crypto_core", "screens", "console")
        for path in (ROOT / floor).rglob("*.py")
        if "migrations" not in path.parts and _reads(path)
    }
    assert found == {name for name in CHECKED.keys() | SHOWN.keys() if not is_left_out(name)}


def test_what_decides_by_entries_selects_the_checked_ones() -> None:
    for name in CHECKED:
        if is_left_out(name):
            continue
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "witnessed(" in text, name
