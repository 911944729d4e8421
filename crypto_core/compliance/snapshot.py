"""What was measured at one moment, part by part; a part that is missing has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from crypto_core.compliance import facts
from crypto_core.compliance.facts import PartFacts
from crypto_core.values import json_records
from crypto_core.values.clean_text import CleanText, clean, cleans

Fact = TypeVar("Fact")


class SnapshotPart(StrEnum):
    """A part of a snapshot; its value is what a program sees."""

    kind: type[PartFacts]
    command: str

    TOKENS = "tokens", facts.TokenFacts, "status"
    POSTURE = "posture", facts.FindingFacts, "findings"
    EVENTS = "events", facts.FindingFacts, "findings"
    KEYS = "keys", facts.GuardingKeyFacts, "keys list"
    ACCESS = "access", facts.AccessFacts, "keys policy"
    TRAIL = "trail", facts.TrailFacts, "events list"
    APPROVALS = "approvals", facts.ApprovalFacts, "approvals list"
    JOURNAL = "journal", facts.JournalFacts, "journal verify"
    INCIDENTS = "incidents", facts.IncidentFacts, "incident list"
    DRILLS = "drills", facts.DrillFacts, "incident list"
    SETTINGS = "settings", facts.SettingFacts, "settings"
    CHECKS = "checks", facts.CheckFacts, "doctor"
    CHANGES = "changes", facts.ChangeFacts, "journal list"
    USES = "uses", facts.UseFacts, "events list"
    CRYPTOGRAPHY = "cryptography", facts.CryptographyFacts, "doctor"

    def __new__(cls, value: str, kind: type[PartFacts] = facts.TokenFacts, command: str = "") -> SnapshotPart:
        part = str.__new__(cls, value)
        part._value_, part.kind, part.command = value, kind, command
        return part


class Lack(StrEnum):
    NOTHING = "nothing measured"
    PERMISSION = "no permission"
    FAILED = "could not be read"
    """Something outside did not answer."""
    OUTSIDE = "not Keydeck's to say"
    """No measurement of Keydeck's answers it."""


@dataclass(frozen=True, slots=True)
@cleans(reason=600)
class MissingPart(json_records.JsonRecord):
    lack: Lack
    reason: CleanText

    json_shape = json_records.shape("missing=lack reason")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was measured at a moment. A part that isn't there was not asked for, and counts as missing."""

    taken_at: datetime
    parts: Mapping[SnapshotPart, PartFacts | MissingPart] = field(default_factory=dict)

    def part(self, part: SnapshotPart) -> PartFacts | MissingPart:
        """Return a part's facts, or why there are none."""
        found = self.parts.get(part)
        return MissingPart(Lack.NOTHING, clean(f"not measured: {part}")) if found is None else found

    def known(self, kind: type[Fact]) -> Fact | None:
        """Return the facts of a kind that one part alone holds; None where it is missing."""
        return next((one for one in self.parts.values() if isinstance(one, kind)), None)

    @property
    def missing(self) -> dict[SnapshotPart, MissingPart]:
        """The parts that were asked for and could not be measured."""
        return {part: found for part, found in self.parts.items() if isinstance(found, MissingPart)}

    @property
    def failed(self) -> bool:
        """True if a part could not be read for want of a permission or an answer."""
        return any(one.lack in (Lack.PERMISSION, Lack.FAILED) for one in self.missing.values())


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    return {"taken_at": snapshot.taken_at.isoformat(), "parts": json_records.json_value(snapshot.parts)}


def read_snapshot(document: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `snapshot_json` wrote. Raises TypeError, ValueError without its moment."""
    stored = document.get("parts")
    parts = stored if isinstance(stored, Mapping) else {}
    return Snapshot(
        json_records.read_moment(document.get("taken_at")),
        {part: _part(part, parts[part.value]) for part in SnapshotPart if part.value in parts},
    )


def _part(part: SnapshotPart, stored: Any) -> PartFacts | MissingPart:
    try:
        if isinstance(stored, Mapping) and "missing" in stored:
            return json_records.record_of(MissingPart, stored)
        found: PartFacts = json_records.record_of(part.kind, stored, exactly=True)
        return found
    except (json_records.JsonRecordError, RecursionError):
        return MissingPart(Lack.FAILED, clean(f"what was kept of {part} can't be read"))
