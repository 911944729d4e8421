"""A period with two lapses, gaps and changes, made without a database; and records in a chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import Exemption
from crypto_core.compliance.facts import (
    ChangeFact,
    FactKind,
    GuardingKeyFacts,
    IncidentFact,
    MaterialFact,
    PartFacts,
    ProblemFact,
    ReviewFact,
    TokenFacts,
    UseFact,
)
from crypto_core.compliance.library import ControlLibrary, Controls
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.period.judgment import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.compliance.period.period import AuditPeriod, Lapse, LapseSource
from crypto_core.compliance.records.record import EvidenceRecord, read_record
from crypto_core.compliance.snapshot import MissingPart, Snapshot, SnapshotPart, snapshot_json
from crypto_core.findings.finding import Severity
from crypto_core.guard.signature import Signer
from crypto_core.keys.status import ProblemKind
from crypto_core.proof.forms import FIRST, canonical
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.snapshots import KEY, WELL

SINCE = date(2026, 1, 1)
DATABASE = "0b6f3a52-8a0e-4d52-9c3d-0f6c1f1a7e10"
CATALOGUES = tuple(one for one in ControlLibrary().read().catalogues if one.id in ("soc2-tsc", "pci-dss"))
MADE = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
CONTEXT = PackContext(
    clean(DATABASE), clean("0.2.0"), MADE, clean("arn:aws:iam::123456789012:user/auditor"), clean("ops-1")
)
WHO = clean("arn:aws:iam::123456789012:user/ops")


def noon(day: date, hours: float = 12) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(hours=hours)


def made_record(
    day: date,
    number: int,
    before: bytes = FIRST,
    *,
    signer: Signer | None = None,
    plaintext: int = 0,
    database_id: str = DATABASE,
) -> EvidenceRecord:
    """A record of a day on which all is well, but for so many tokens in plaintext."""
    materials = (
        MaterialFact(clean("m-2"), clean("CURRENT"), noon(SINCE), 90, clean("active")),
        MaterialFact(
            clean("m-1"), clean("NON_CURRENT"), noon(SINCE) - timedelta(days=365), 10, clean("deactivated")
        ),
    )
    key = replace(KEY, materials=materials, owner=clean("payments"), purpose=clean("tokens"))
    tokens = WELL[SnapshotPart.TOKENS]
    assert isinstance(tokens, TokenFacts)
    counts = {"v2": 100 - plaintext, "plaintext": plaintext}
    problem = ProblemFact(
        ProblemKind.UNPROTECTED, Severity.CRITICAL, clean("in plaintext"), clean("gh_connection"), plaintext
    )
    facts: dict[SnapshotPart, PartFacts | MissingPart] = {
        **WELL,
        SnapshotPart.KEYS: GuardingKeyFacts((key,), 365, 400),
        SnapshotPart.TOKENS: replace(
            tokens,
            protected=100 - plaintext,
            by_format=counts,
            problems=(problem,) if plaintext else (),
        ),
    }
    document = canonical(
        {
            "keydeck_evidence_record": 1,
            "number": number,
            "database_id": database_id,
            "taken_at": noon(day).isoformat(),
            "recorded_by": WHO,
            "version": "0.2.0",
            "previous": before.hex(),
            "journal": {"seq": 0, "digest": FIRST.hex()},
            "catalogues": [],
            "snapshot": snapshot_json(Snapshot(noon(day), facts)),
        }
    )
    unsigned = read_record(document, None, "no signing key")
    if signer is None:
        return unsigned
    return replace(unsigned, signature=signer.sign(unsigned.signed), unsigned_because=clean(""))


def made_records(
    days: int,
    gaps: Iterable[int] = (),
    *,
    signer: Signer | None = None,
    exposed: Iterable[int] = (),
    database_id: str = DATABASE,
) -> tuple[EvidenceRecord, ...]:
    """Records of so many days, but for gaps; `exposed` are days on which 40 tokens were in plaintext."""
    missing, days_exposed = set(gaps), set(exposed)
    records: list[EvidenceRecord] = []
    for place in range(days):
        if place not in missing:
            before = records[-1].digest if records else FIRST
            day, number = SINCE + timedelta(days=place), len(records) + 1
            records.append(
                made_record(
                    *(day, number, before),
                    signer=signer,
                    plaintext=40 * (place in days_exposed),
                    database_id=database_id,
                )
            )
    return tuple(records)


def made_changes(number: int, days: int) -> tuple[ChangeFact, ...]:
    kinds = tuple(FactKind)
    return tuple(
        ChangeFact(
            kinds[place % len(kinds)],
            clean("CloudTrail" if place % 2 else "journal"),
            clean(f"e-{place}" if place % 2 else str(place + 1)),
            noon(SINCE, 0) + timedelta(days=days * place / number),
            clean("PutKeyPolicy"),
            KEY.arn,
            WHO,
            clean("done"),
            approved_by=clean("arn:aws:iam::123456789012:user/second"),
            detail=clean("=cmd|'/c calc'!A1"),
        )
        for place in range(number)
    )


def made_period(
    days: int = 31,
    gaps: tuple[int, ...] = (5, 6, 20),
    *,
    off: Iterable[int] = range(10, 13),
    signer: Signer | None = None,
    changes: int = 60,
) -> AuditPeriod:
    """A period in which tokens were in plaintext for some days."""
    exposed = tuple(off)
    records = made_records(days, gaps, signer=signer, exposed=exposed)
    first = CATALOGUES[0].controls[0].id
    exemption = Exemption(first, clean("until the move"), clean("ciso"), SINCE)
    known = Controls(
        (replace(CATALOGUES[0], exemptions=(exemption,)),),
        tuple(control for one in CATALOGUES for control in one.controls),
        {},
    )
    asked = PeriodQuestion(SINCE, SINCE + timedelta(days=days - 1), seed="spring")
    whole = audit_period(asked, CheckedRecords(records), known, AtHand(), MADE)
    all_changes = made_changes(changes, days)
    failed = tuple(one.control for one in whole.controls if one.worst is ControlStatus.NOT_MET)
    lapse = Lapse(
        clean("tokens plaintext"),
        clean("40 tokens in plaintext"),
        LapseSource.RECORDS,
        noon(SINCE + timedelta(days=exposed[0] if exposed else 0)),
        noon(SINCE + timedelta(days=exposed[-1] if exposed else 0)),
        noon(SINCE + timedelta(days=(exposed[0] if exposed else 0) - 1)),
        noon(SINCE + timedelta(days=(exposed[-1] if exposed else 0) + 1)),
        clean("encrypt by user/ops"),
        (clean("tokens-encrypted"),),
        failed,
        all_changes[:2],
        tuple(record.number for record in records if record.day.day in (11, 12, 13))[:3],
    )
    by_events = replace(
        lapse,
        cause=clean(f"policy-open {KEY.arn}"),
        what=clean("anybody may Decrypt"),
        source=LapseSource.EVENTS,
        records=(),
        before=None,
        ended_by=clean(""),
    )
    return replace(
        whole,
        framework=clean("soc2"),
        lapses=(lapse, by_events),
        changes=all_changes,
        sample=all_changes[::3],
        uses=(UseFact(KEY.arn, WHO, clean("Decrypt"), 1200, 3, noon(SINCE), noon(SINCE, 300)),),
        reviews=(
            ReviewFact(
                clean("17"), noon(SINCE, 50), clean("ciso"), clean("quarterly"), clean("ab" * 32), (KEY.arn,)
            ),
        ),
        incidents=(
            IncidentFact(
                clean("INC-7"),
                clean("key-compromise"),
                noon(SINCE, 100),
                noon(SINCE, 120),
                600.0,
                True,
                lead=True,
                follow_ups=2,
            ),
        ),
        drills=(noon(SINCE, 200),),
        unknown=(clean("CloudTrail of 2 hours on 2026-01-03 was not fetched"),),
    )
