"""What was measured at one moment, part by part; a part that is missing has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from crypto_core.compliance.facts import (
    AccessFacts,
    ApprovalFacts,
    ChangeFacts,
    CheckFacts,
    CryptographyFacts,
    DrillFacts,
    FindingFacts,
    GuardingKeyFacts,
    IncidentFacts,
    JournalFacts,
    PartFacts,
    SettingFacts,
    TokenFacts,
    TrailFacts,
    UseFacts,
)
from crypto_core.text.cleaning import CleanText, clean, cleans
from crypto_core.text.json_records import (
    JsonRecord,
    JsonRecordError,
    json_value,
    read_moment,
    record_of,
    shape,
)


class SnapshotPart(StrEnum):
    """A part of a snapshot; its value is what a program sees."""

    TOKENS = "tokens"
    POSTURE = "posture"
    EVENTS = "events"
    KEYS = "keys"
    ACCESS = "access"
    TRAIL = "trail"
    APPROVALS = "approvals"
    JOURNAL = "journal"
    INCIDENTS = "incidents"
    DRILLS = "drills"
    SETTINGS = "settings"
    CHECKS = "checks"
    CHANGES = "changes"
    USES = "uses"
    CRYPTOGRAPHY = "cryptography"

    @property
    def facts(self) -> type[PartFacts]:
        """What the part holds."""
        return _FACTS[self]

    @property
    def command(self) -> str:
        """The command that shows the same."""
        return _COMMANDS[self]


_FACTS: dict[SnapshotPart, type[PartFacts]] = {
    SnapshotPart.TOKENS: TokenFacts,
    SnapshotPart.POSTURE: FindingFacts,
    SnapshotPart.EVENTS: FindingFacts,
    SnapshotPart.KEYS: GuardingKeyFacts,
    SnapshotPart.ACCESS: AccessFacts,
    SnapshotPart.TRAIL: TrailFacts,
    SnapshotPart.APPROVALS: ApprovalFacts,
    SnapshotPart.JOURNAL: JournalFacts,
    SnapshotPart.INCIDENTS: IncidentFacts,
    SnapshotPart.DRILLS: DrillFacts,
    SnapshotPart.SETTINGS: SettingFacts,
    SnapshotPart.CHECKS: CheckFacts,
    SnapshotPart.CHANGES: ChangeFacts,
    SnapshotPart.USES: UseFacts,
    SnapshotPart.CRYPTOGRAPHY: CryptographyFacts,
}
_COMMANDS = {
    SnapshotPart.TOKENS: "status",
    SnapshotPart.POSTURE: "findings",
    SnapshotPart.EVENTS: "findings",
    SnapshotPart.KEYS: "keys list",
    SnapshotPart.ACCESS: "keys policy",
    SnapshotPart.TRAIL: "events list",
    SnapshotPart.APPROVALS: "approvals list",
    SnapshotPart.JOURNAL: "journal verify",
    SnapshotPart.INCIDENTS: "incident list",
    SnapshotPart.DRILLS: "incident list",
    SnapshotPart.SETTINGS: "settings",
    SnapshotPart.CHECKS: "doctor",
    SnapshotPart.CHANGES: "journal list",
    SnapshotPart.USES: "events list",
    SnapshotPart.CRYPTOGRAPHY: "doctor",
}


class Lack(StrEnum):
    """Why something is not assessed."""

    NOTHING = "nothing measured"
    """There is nothing that it could be told by."""
    PERMISSION = "no permission"
    FAILED = "could not be read"
    """Something outside did not answer."""
    OUTSIDE = "not Keydeck's to say"
    """No measurement of Keydeck's answers it."""


@dataclass(frozen=True, slots=True)
@cleans(reason=600)
class MissingPart(JsonRecord):
    """Stands for a part that was not measured."""

    lack: Lack
    reason: CleanText

    json_shape = shape("missing=lack reason")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was measured at a moment. A part that isn't there was not asked for, and counts as missing."""

    taken_at: datetime
    parts: Mapping[SnapshotPart, PartFacts | MissingPart] = field(default_factory=dict)

    def part(self, part: SnapshotPart) -> PartFacts | MissingPart:
        """Return a part's facts, or why there are none."""
        found = self.parts.get(part)
        return MissingPart(Lack.NOTHING, clean(f"not measured: {part}")) if found is None else found

    @property
    def failed(self) -> bool:
        """True if a part could not be read for want of a permission or an answer."""
        found = (one for one in self.parts.values() if isinstance(one, MissingPart))
        return any(one.lack in (Lack.PERMISSION, Lack.FAILED) for one in found)


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
