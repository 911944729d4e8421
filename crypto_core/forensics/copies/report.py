"""What a copy holds, which keys it needs, and what whoever has it can open. No value is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crypto_core.key_names import same_key, short_key
from crypto_core.lists.coverage import Coverage
from crypto_core.text.clean_text import CleanText, cleans
from crypto_core.text.json_records import JsonRecord, made, shape

GONE = "gone"
ENABLED = "Enabled"


class KeyEvidence(StrEnum):
    INFERRED = "inferred"
    """KMS named the key of another envelope of the same key material."""
    NAMED = "named"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"


class Opening(StrEnum):
    """Who can open something that stands in a copy, by the state of its key now."""

    ANYBODY = "anybody"
    CALLERS = "whoever may call Decrypt"
    NOT_NOW = "nobody now"
    NEVER = "nobody ever again"
    UNKNOWN = "not known"


def opening_of(state: str | None) -> Opening:
    """Return who can open what is under a key in this state; None for a state that isn't known."""
    if not state:
        return Opening.UNKNOWN
    if state == GONE:
        return Opening.NEVER
    return Opening.CALLERS if state == ENABLED else Opening.NOT_NOW


@dataclass(frozen=True, slots=True)
@cleans(key_material_id=300, alias=300, key_state=60, note=1_000)
class KeyNeed(JsonRecord):
    """Envelopes of one copy under one key material. `key_arn` is None where nobody knows the key."""

    key_arn: str | None
    key_material_id: str | None
    envelopes: int
    distinct: int
    by_format: Mapping[str, int]
    evidence: KeyEvidence
    edk_prefix: str = ""
    """What their encrypted data keys begin with, in hex; it tells the key material. "" for none."""
    alias: CleanText | None = None
    key_state: CleanText | None = None
    note: str = ""

    json_shape = shape("key_arn alias key_state ... opened_by=opening note")

    @property
    def opening(self) -> Opening:
        return opening_of(self.key_state)

    @property
    def key_name(self) -> str:
        return self.alias or (short_key(self.key_arn) if self.key_arn else "a key that is not known")


@dataclass(frozen=True, slots=True)
class LostWithKey(JsonRecord):
    key_arn: str
    envelopes: int


@dataclass(frozen=True, slots=True)
class Exposed(JsonRecord):
    kind: str
    values: int
    distinct: int


@dataclass(frozen=True, slots=True)
@cleans(path=1_000, places=900, problems=900)
class CopyReport(JsonRecord):
    """What one copy holds. `problems` is what could not be read, `coverage` all that may be missing."""

    path: CleanText
    files: int
    size: int
    needs: tuple[KeyNeed, ...]
    exposed: tuple[Exposed, ...]
    damaged: int
    places: tuple[str, ...] = ()
    """Where damaged values and those that anybody can open stand; the first of them."""
    problems: tuple[str, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)

    json_shape = shape(
        "path files bytes=size envelopes distinct damaged keys=needs exposed opened_by lost_with ...",
        opened_by=made(dict[Opening, int], lambda record: {o: record.opened_by(o) for o in Opening}),
        lost_with=made(
            tuple[LostWithKey, ...],
            lambda record: [LostWithKey(arn, record.lost_with(arn)) for arn in record.key_arns],
        ),
    )

    @property
    def envelopes(self) -> int:
        return sum(need.envelopes for need in self.needs)

    @property
    def distinct(self) -> int:
        return sum(need.distinct for need in self.needs)

    @property
    def open_to_anybody(self) -> int:
        return sum(one.values for one in self.exposed)

    def opened_by(self, opening: Opening) -> int:
        free = self.open_to_anybody if opening is Opening.ANYBODY else 0
        return free + sum(need.envelopes for need in self.needs if need.opening is opening)

    def lost_with(self, key_arn: str) -> int:
        """How many envelopes can't be opened any more once a key, with all its replicas, is deleted."""
        return sum(n.envelopes for n in self.needs if n.key_arn and same_key(n.key_arn, key_arn))

    @property
    def key_arns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need.key_arn for need in self.needs if need.key_arn))


FORM = "keydeck-scan-1"
"""What a scan's document calls itself, so that no other one is taken for it."""


@dataclass(frozen=True, slots=True)
class ScanReport(JsonRecord):
    scanned_at: datetime
    copies: tuple[CopyReport, ...]
    offline: bool = False
    """True if KMS was not asked: keys and their states are known only as far as they were before."""

    json_shape = shape("form ... copies", form=FORM)

    @property
    def well(self) -> bool:
        """True if everything was read and nothing is open to anybody."""
        return not any(copy.open_to_anybody or copy.problems for copy in self.copies)
