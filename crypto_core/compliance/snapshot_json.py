"""A snapshot as JSON and back, so that one of another day is judged in the same way.

What comes back may have been written by an older Keydeck, or changed by somebody else: a part that does not
fit is missing, and whatever is text is cleaned as a fact is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from crypto_core.compliance.facts import PartFacts
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.text.cleaning import clean
from crypto_core.text.json_records import JsonRecordError, json_value, read_moment, record_of

Fact = TypeVar("Fact")


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as a JSON document."""
    return {"taken_at": snapshot.taken_at.isoformat(), "parts": json_value(snapshot.parts)}


def read_snapshot(document: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `snapshot_json` wrote. Raises TypeError, ValueError without its moment."""
    stored = document.get("parts")
    parts = stored if isinstance(stored, Mapping) else {}
    return Snapshot(
        read_moment(document.get("taken_at")),
        {part: _part(part, parts[part.value]) for part in SnapshotPart if part.value in parts},
    )


def read_fact(kind: type[Fact], stored: object) -> Fact:
    """Return the fact of a kind that `json_value` wrote. Raises ValueError for what is none."""
    try:
        return record_of(kind, stored, exactly=True)
    except RecursionError as error:
        raise ValueError(f"it is no {kind.__name__}") from error


def _part(part: SnapshotPart, stored: Any) -> PartFacts | MissingPart:
    try:
        if isinstance(stored, Mapping) and "missing" in stored:
            return record_of(MissingPart, stored)
        facts: PartFacts = record_of(part.facts, stored, exactly=True)
        return facts
    except (JsonRecordError, RecursionError):
        return MissingPart(Lack.FAILED, clean(f"what was kept of {part} can't be read"))
