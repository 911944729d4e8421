"""Controls over a period, as a test says them: all built-in ones, with a lapse, gaps and an exception."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from threading import Event
from typing import TYPE_CHECKING, Any

from crypto_core.compliance.assessment import Assessment, assess
from crypto_core.compliance.control import Exemption
from crypto_core.compliance.facts import ChangeFact, ChangeFacts, FactKind, FindingFact, UseFact
from crypto_core.compliance.library import ControlCatalogue, ControlLibrary, Controls
from crypto_core.compliance.period import judgment
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart, PartFacts, Snapshot, SnapshotPart
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.guard.signature import Signature
from crypto_core.values.clean_text import NO_TEXT, clean
from tests.crypto_core.compliance.snapshots import KEY, WELL
from tests.screens.samples import NOW

if TYPE_CHECKING:
    from tests.screens.stage import Stage

DAY = timedelta(days=1)
TODAY = NOW.astimezone(UTC).date()
OFF_SINCE, OFF_UNTIL = TODAY - 31 * DAY, TODAY - 23 * DAY
"""The first and the last day on which the key did not rotate."""
PLAIN = frozenset(TODAY - days * DAY for days in (50, 49, 48))
"""The days on which 40 tokens were plaintext."""
UNREAD = TODAY - 66 * DAY
"""The day on which AWS did not say how keys stand."""
GAPS = frozenset(TODAY - days * DAY for days in (12, 40, 41, 60))
FIRST_NUMBER = 12
OWN, OWN_DIGEST = clean("own"), "5c" * 32


@cache
def library() -> Controls:
    found = ControlLibrary().read()
    controls = tuple(
        replace(one, owner=clean("Platform security")) if one.id.endswith("3.7.4") else one
        for one in found.controls
        if one.framework.id in ("iso", "pci", "soc2")
    )
    exemption = Exemption(
        clean("pci-3.7.4"), clean("The key store can't rotate"), clean("CISO"), OFF_SINCE + 2 * DAY
    )
    own = ControlCatalogue(OWN, 1, clean("own.toml"), OWN_DIGEST, exemptions=(exemption,))
    return replace(found, controls=controls, catalogues=(*found.catalogues, own))


def snapshot_of(day: date) -> Snapshot:
    at = datetime.combine(day, time(2), UTC)
    parts: dict[SnapshotPart, PartFacts | MissingPart] = dict(WELL)
    keys: Any = parts[SnapshotPart.KEYS]
    parts[SnapshotPart.KEYS] = replace(keys, keys=(replace(KEY, oldest_in_use=at - 30 * DAY),))
    uses: Any = parts[SnapshotPart.USES]
    # Nobody has looked at today's yet.
    parts[SnapshotPart.USES] = replace(uses, since=at - DAY, until=at, uses=_uses() if day == TODAY else ())
    unknown = clean("CloudTrail of eu-west-1 from 2026-05-01 to 2026-05-02 was not fetched.")
    parts[SnapshotPart.CHANGES] = ChangeFacts(at - DAY, at, gaps=(unknown,) if day == TODAY else ())
    if day == UNREAD:
        none = MissingPart(Lack.FAILED, clean("KMS did not answer."))
        return Snapshot(at, parts | {SnapshotPart.POSTURE: none, SnapshotPart.KEYS: none})
    if OFF_SINCE <= day <= OFF_UNTIL:
        posture: Any = parts[SnapshotPart.POSTURE]
        off = FindingFact(
            clean("kms-rotation-off"),
            Severity.MEDIUM,
            KEY.arn,
            clean("Automatic rotation is off for alias/tokens"),
            at,
        )
        parts[SnapshotPart.POSTURE] = replace(posture, findings=(off,))
    if day in PLAIN:
        tokens: Any = parts[SnapshotPart.TOKENS]
        by_format = {Format.V2: 60, Format.PLAINTEXT: 40}
        parts[SnapshotPart.TOKENS] = replace(tokens, protected=60, by_format=by_format)
    return Snapshot(at, parts)


def record_of(number: int, day: date, previous: bytes) -> EvidenceRecord:
    arn = "arn:aws:kms:eu-west-1:123456789012:key/sign"
    return EvidenceRecord(
        number=number,
        document=f'{{"number":{number}}}',
        snapshot=snapshot_of(day),
        previous=previous,
        database_id=clean("d1"),
        recorded_by=clean("arn:aws:sts::123456789012:assumed-role/keydeck/cron"),
        journal_seq=number * 3,
        signature=Signature(clean(arn), clean("ECDSA_SHA_256"), b"s"),
        unsigned_because=NO_TEXT,
        catalogues={OWN: clean(OWN_DIGEST)},
    )


def records(since: date, until: date) -> tuple[EvidenceRecord, ...]:
    made: list[EvidenceRecord] = []
    previous = bytes(32)
    for place in range((until - since).days + 1):
        day = since + place * DAY
        if day not in GAPS:
            made.append(record_of(FIRST_NUMBER + len(made), day, previous))
            previous = made[-1].digest
    return tuple(made)


@cache
def sample_period(since: date, until: date) -> AuditPeriod:
    at_hand = judgment.AtHand(ChangeFacts(*judgment.moments_of(since, until), _changes()))
    found = judgment.CheckedRecords(records(since, until))
    return judgment.audit_period(judgment.PeriodQuestion(since, until), found, library(), at_hand, NOW)


def _uses() -> tuple[UseFact, ...]:
    who, at = clean("role/platform"), datetime.combine(TODAY, time(1), UTC)
    return (UseFact(clean("alias/tokens"), who, clean("Decrypt"), 1_204, 0, at - 80 * DAY, at),)


def _changes() -> tuple[ChangeFact, ...]:
    off, on = (datetime.combine(day, time(1, 12), UTC) for day in (OFF_SINCE, OFF_UNTIL + DAY))
    told = (
        (off, "CloudTrail", "e-1", "DisableKeyRotation"),
        (off + timedelta(minutes=3), "journal", "42", "keys disable-rotation"),
        (on, "CloudTrail", "e-2", "EnableKeyRotation"),
    )
    return tuple(
        ChangeFact(
            kind=FactKind.KEY,
            source=clean(source),
            id=clean(id_),
            at=at,
            what=clean(what),
            subject=KEY.name,
            who=clean("arn:aws:iam::123456789012:user/ben"),
            outcome=clean("done"),
        )
        for at, source, id_, what in told
    )


@dataclass
class StageCompliance:
    stage: Stage

    def assess_now(self, framework: str = "", *, cancelled: Event | None = None) -> Assessment:
        self.stage.enter("compliance", cancelled)
        return assess(library(), snapshot_of(TODAY), framework)


@dataclass
class StagePeriods:
    stage: Stage
    number: int = 98
    asked: list[tuple[date, date]] = field(default_factory=list)
    made: AuditPeriod | None = None
    """What is told instead, whatever is asked."""

    def last(self) -> int:
        self.stage.enter("records")
        return self.number

    def of(self, since: date, until: date, *, cancelled: Event | None = None) -> AuditPeriod:
        self.stage.enter("period", cancelled)
        self.asked.append((since, until))
        return self.made or sample_period(since, until)


SERVICES = {"compliance": StageCompliance, "periods": StagePeriods}
