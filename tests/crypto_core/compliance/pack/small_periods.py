"""Small periods, made by hand: ten days of one database, with lapses and gaps where a test wants them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.assessment import judge
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFact, ChangeKind
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.period import (
    AuditPeriod,
    ControlDay,
    ControlPeriod,
    Lapse,
    LapseSource,
    Span,
)
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Snapshot
from crypto_core.proof.forms import FIRST
from crypto_core.text.cleaning import NO_TEXT, clean
from tests.crypto_core.compliance.snapshots import NOW, SNAPSHOT

HOSTILE = "[/red]\x1b[31m\u202e<script>| `x` {{7*7}}\n# *"
"""What a name from outside may be."""
CONTROLS = ControlLibrary().read()
CONTEXT = PackContext(
    database_id=clean("6b1e0f5a"),
    version=clean("0.2.0"),
    made_at=NOW + timedelta(days=20),
    made_by=clean("ops@host"),
    host=clean("host"),
    catalogues=CONTROLS.catalogues,
)
SINCE = NOW.date()


def record(number: int, snapshot: Snapshot = SNAPSHOT, at: datetime = NOW) -> EvidenceRecord:
    """A record that nobody signed."""
    return EvidenceRecord(
        number=number,
        document="{}",
        snapshot=replace(snapshot, taken_at=at),
        previous=FIRST,
        database_id=CONTEXT.database_id,
        recorded_by=clean("ops@host"),
        journal_seq=number,
        journal_digest=FIRST,
        signature=None,
        unsigned_because=clean("no key"),
    )


def period(
    framework: str = "",
    *,
    bad: Snapshot | None = None,
    gaps: tuple[int, ...] = (),
    days: int = 10,
    controls: tuple[FrameworkControl, ...] = (),
    exemptions: tuple[Exemption, ...] = (),
    **fields: Any,
) -> AuditPeriod:
    """So many days with a record each but for the gaps; `bad` is what days 3 to 5 are like."""
    wanted = controls or tuple(c for c in CONTROLS.controls if framework in ("", c.framework.id))
    dates = [SINCE + timedelta(days=number) for number in range(days)]
    records = tuple(
        record(number + 1, bad if bad and 3 <= number <= 5 else SNAPSHOT, NOW + timedelta(days=number))
        for number in range(days)
        if number not in gaps
    )
    by_day = {one.day: one for one in records}
    whole = AuditPeriod(
        since=dates[0],
        until=dates[-1],
        framework=clean(framework),
        made_at=CONTEXT.made_at,
        records=records,
        gaps=tuple(day for day in dates if day not in by_day),
        controls=tuple(_control(one, dates, by_day, exemptions) for one in wanted),
        lapses=(),
        changes=(),
        sample=(),
        seed=clean("7"),
        uses=(),
        reviews=(),
        incidents=(),
        drills=(),
    )
    return replace(whole, **fields)


def lapse(*controls: FrameworkControl, cause: str = "rotation off", over: bool = True) -> Lapse:
    """A lapse of three days."""
    return Lapse(
        cause=clean(cause),
        what=clean("Rotation of alias/tokens was off."),
        source=LapseSource.RECORDS,
        first_at=NOW + timedelta(days=3),
        last_at=NOW + timedelta(days=5),
        after=NOW + timedelta(days=2),
        before=NOW + timedelta(days=6) if over else None,
        ended_by=clean("EnableKeyRotation by ops") if over else NO_TEXT,
        tests=(clean("keys-strong"),),
        controls=controls,
        changes=(change(),),
        records=(4, 5, 6),
    )


def change(what: str = "EnableKeyRotation") -> ChangeFact:
    """A change that CloudTrail tells of."""
    return ChangeFact(
        kind=ChangeKind.KEY,
        source=clean("CloudTrail"),
        id=clean("e-1"),
        at=NOW + timedelta(days=6),
        what=clean(what),
        subject=clean("alias/tokens"),
        who=clean("ops"),
        outcome=clean("done"),
    )


def _control(
    control: FrameworkControl,
    dates: list[date],
    by_day: dict[date, EvidenceRecord],
    exemptions: tuple[Exemption, ...],
) -> ControlPeriod:
    held = tuple(one for one in exemptions if one.control == control.id)
    days = tuple(_day(control, day, by_day.get(day), bool(held)) for day in dates)
    return ControlPeriod(control, days, tuple(_spans(days)), held)


def _day(control: FrameworkControl, day: date, found: EvidenceRecord | None, excepted: bool) -> ControlDay:
    if found is None:
        return ControlDay(day, None)
    status: ControlStatus = judge(control, found.snapshot).status
    return ControlDay(day, status, found.number, excepted)


def _spans(days: tuple[ControlDay, ...]) -> list[Span]:
    found = [(status, list(group)) for status, group in groupby(days, key=lambda one: one.status)]
    return [Span(status, group[0].day, group[-1].day) for status, group in found]
