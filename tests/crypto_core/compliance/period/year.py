"""Records of simulated days, in which all is well but for what a test plants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from crypto_core.compliance.control import ControlCatalogue, Exemption
from crypto_core.compliance.facts import (
    ChangeFact,
    ChangeFacts,
    ColumnFact,
    FactKind,
    FindingFact,
    FindingFacts,
    PartFacts,
)
from crypto_core.compliance.library import ControlLibrary, Controls
from crypto_core.compliance.period import judgment
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import MissingPart, Snapshot, SnapshotPart
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.snapshots import KEY, WELL, finding

FIRST = date(2026, 1, 1)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CONTROLS = ControlLibrary().read()
COLUMN = clean("gh_connection.access_token")
Parts = Mapping[SnapshotPart, PartFacts | MissingPart]
POSTURE: Any = WELL[SnapshotPart.POSTURE]
EVENTS: Any = WELL[SnapshotPart.EVENTS]
TOKENS: Any = WELL[SnapshotPart.TOKENS]


def at(day: float, hour: float = 6) -> datetime:
    """A moment: the day of the year, from 0, and the hour. Records are taken at 6."""
    return datetime(2026, 1, 1, tzinfo=UTC) + day * DAY + hour * HOUR


def record(day: int, parts: Parts | None = None, *, number: int = 0, hour: float = 6) -> EvidenceRecord:
    """The record of a day; `parts` differ from those of a day on which all is well."""
    moment = at(day, hour)
    kept = _moved(day) | dict(parts or {})
    text = f'{{"day":{day}}}'
    return EvidenceRecord(
        number or day + 1,
        text,
        Snapshot(moment, kept),
        bytes(32),
        clean("db"),
        clean("cron"),
        day,
        None,
        clean("no key"),
    )


def _moved(day: int) -> dict[SnapshotPart, PartFacts | MissingPart]:
    """What is well is so on the day of the record."""
    journal: Any = WELL[SnapshotPart.JOURNAL]
    drills: Any = WELL[SnapshotPart.DRILLS]
    keys: Any = WELL[SnapshotPart.KEYS]
    incidents: Any = WELL[SnapshotPart.INCIDENTS]
    begun = replace(incidents.incidents[0], declared_at=at(day - 20), closed_at=at(day - 19))
    return dict(WELL) | {
        SnapshotPart.JOURNAL: replace(journal, anchored_at=at(day)),
        SnapshotPart.DRILLS: replace(drills, last_at=at(day - 30)),
        SnapshotPart.KEYS: replace(keys, keys=(replace(KEY, oldest_in_use=at(day - 30)),)),
        SnapshotPart.EVENTS: replace(EVENTS, since=at(day - 1), until=at(day)),
        SnapshotPart.INCIDENTS: replace(incidents, incidents=(begun,)),
    }


def rotation_off(severity: Severity = Severity.MEDIUM) -> Parts:
    found = replace(finding("kms-rotation-off", severity), first_at=None)
    return {SnapshotPart.POSTURE: replace(POSTURE, findings=(found,))}


def plaintext(number: int, *columns: str) -> Parts:
    """A day on which so many tokens are in plaintext, in each of the columns."""
    names = columns or (COLUMN,)
    every = number * len(names)
    found = replace(
        TOKENS,
        tokens=100 + every,
        by_format={Format.V2: 100, Format.PLAINTEXT: every},
        columns=tuple(ColumnFact(clean(one), number, {"plaintext": number}) for one in names),
    )
    return {SnapshotPart.TOKENS: found}


def findings(*found: FindingFact, part: SnapshotPart = SnapshotPart.POSTURE, **more: Any) -> Parts:
    facts: Any = WELL[part]
    return {part: replace(facts, findings=found, **more)}


def event(day: int, rule: str, moment: datetime, severity: Severity = Severity.CRITICAL) -> Parts:
    found = replace(finding(rule, severity), first_at=moment)
    return {SnapshotPart.EVENTS: FindingFacts(EVENTS.rules, (found,), since=at(day - 1), until=at(day))}


def change(
    what: str,
    moment: datetime,
    *,
    kind: FactKind = FactKind.KEY,
    source: str = "CloudTrail",
    subject: str = KEY.arn,
    who: str = "role/Deploy",
    outcome: str = "done",
    opens: str = "",
    closes: bool = False,
    id_: str = "",
) -> ChangeFact:
    return ChangeFact(
        kind,
        clean(source),
        clean(id_ or f"{what}-{moment:%j%H%M}"),
        moment,
        clean(what),
        clean(subject),
        clean(who),
        clean(outcome),
        opens=clean(opens),
        closes=closes,
    )


def changes(*found: ChangeFact) -> ChangeFacts:
    return ChangeFacts(at(0), at(400), found)


def excepted(control: str, until: date, since: date | None = None) -> Controls:
    exemption = Exemption(clean(control), clean("Moves in March."), clean("CISO"), until, since)
    house = ControlCatalogue(clean("house"), 1, clean("house.toml"), "0" * 64, exemptions=(exemption,))
    return replace(CONTROLS, catalogues=(*CONTROLS.catalogues, house), exemptions={control: exemption})


def period(
    records: Sequence[EvidenceRecord],
    found: ChangeFacts | None = None,
    *,
    days: int = 0,
    framework: str = "",
    controls: Controls = CONTROLS,
    made_at: datetime | None = None,
    before: EvidenceRecord | None = None,
    **asked: Any,
) -> AuditPeriod:
    """The period from the first day on; by default up to the last record's."""
    length = days or max((one.day - FIRST).days for one in records) + 1
    until = FIRST + (length - 1) * DAY
    question = judgment.PeriodQuestion(FIRST, until, framework, **asked)
    hand = judgment.AtHand(changes=found or changes())
    return judgment.audit_period(
        question, judgment.CheckedRecords(tuple(records), before), controls, hand, made_at or at(length + 1)
    )
