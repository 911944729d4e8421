"""Small periods, made by hand: ten days of one database, with lapses and gaps where a test wants them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFact, FactKind
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.judgment import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.compliance.period.period import AuditPeriod, Lapse, LapseSource
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Snapshot
from crypto_core.proof.forms import FIRST
from crypto_core.values.clean_text import NO_TEXT, clean
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
    return EvidenceRecord(
        number=number,
        document="{}",
        snapshot=replace(snapshot, taken_at=at),
        previous=FIRST,
        database_id=CONTEXT.database_id,
        recorded_by=clean("ops@host"),
        journal_seq=number,
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
    """So many days with a record each but for the gaps; `bad` is what days 3 to 5 are like.

    What else there is to the period is what `fields` say, and nothing by default.
    """
    records = tuple(
        record(number + 1, bad if bad and 3 <= number <= 5 else SNAPSHOT, NOW + timedelta(days=number))
        for number in range(days)
        if number not in gaps
    )
    granted = replace(CONTROLS.catalogues[0], exemptions=exemptions)
    known = replace(CONTROLS, controls=controls or CONTROLS.controls, catalogues=(granted,))
    asked = PeriodQuestion(SINCE, SINCE + timedelta(days=days - 1), framework, "7")
    whole = audit_period(asked, CheckedRecords(records), known, AtHand(), CONTEXT.made_at)
    nothing = dict.fromkeys(
        ("lapses", "explained", "uses", "unreviewed", "reviews", "incidents", "drills"), ()
    )
    return replace(whole, **nothing | {"unknown": (), "unsigned": ()} | fields)


def lapse(*controls: FrameworkControl, cause: str = "rotation off", over: bool = True) -> Lapse:
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
    return ChangeFact(
        kind=FactKind.KEY,
        source=clean("CloudTrail"),
        id=clean("e-1"),
        at=NOW + timedelta(days=6),
        what=clean(what),
        subject=clean("alias/tokens"),
        who=clean("ops"),
        outcome=clean("done"),
    )
