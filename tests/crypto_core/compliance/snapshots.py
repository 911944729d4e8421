"""A snapshot in which every control is met, and changes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crypto_core.compliance.algorithm_uses import algorithm_fact
from crypto_core.compliance.algorithms.algorithm import ALGORITHMS
from crypto_core.compliance.facts import (
    AccessFact,
    AccessFacts,
    ApprovalFacts,
    CheckFact,
    CheckFacts,
    ColumnFact,
    CryptographyFacts,
    DrillFacts,
    FindingFact,
    FindingFacts,
    GuardingKeyFacts,
    IncidentFact,
    IncidentFacts,
    JournalFacts,
    KeyFact,
    PartFacts,
    ReviewFact,
    SettingFacts,
    SigningKeyFact,
    TokenFacts,
    TrailFacts,
    UseFacts,
)
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart
from crypto_core.database.column_guards.model import GuardState
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import Facts as RuleFacts
from crypto_core.findings.registry import rules_about
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.algorithms.facts import DAY, ENDPOINT, NOW
from tests.crypto_core.openssls import MODULES

KEY = KeyFact(
    arn=clean("arn:aws:kms:eu-west-1:123456789012:key/1"),
    name=clean("alias/tokens"),
    state=clean("Enabled"),
    spec=clean("SYMMETRIC_DEFAULT"),
    origin=clean("AWS_KMS"),
    manager=clean("CUSTOMER"),
    rotates=True,
    rotation_days=365,
    oldest_in_use=NOW - 30 * DAY,
    tokens=100,
    writes=True,
)
INCIDENT = IncidentFact(
    name=clean("INC-1"),
    runbook=clean("key-compromise"),
    declared_at=NOW - 20 * DAY,
    closed_at=NOW - 19 * DAY,
    contained_seconds=600.2584,
    contained_in_time=True,
    lead=True,
    follow_ups=2,
)
OPERATIONS = tuple(map(clean, ("keys disable", "revoke tokens")))
OF_EVENTS = (RuleFacts.EVENTS, RuleFacts.PROVIDERS)
CHECKS = ("encryption", "role", "endpoint", "clock")

REVIEW = ReviewFact(
    id=clean("12"),
    at=NOW - 30 * DAY,
    by=clean("role/admin"),
    reason=clean("The quarter's review."),
    accesses=clean("ab" * 32),
    keys=(KEY.arn,),
)
SEALS = algorithm_fact(
    ALGORITHMS["AES-256-GCM"], "seals tokens in format v2", protects=["a.b"], tokens=100, why="counted"
)


def _rules(*facts: RuleFacts) -> tuple[Any, ...]:
    return tuple(clean(rule.id) for rule in rules_about(*facts))


WELL: dict[SnapshotPart, PartFacts] = {
    SnapshotPart.TOKENS: TokenFacts(
        tokens=100,
        protected=100,
        by_format={Format.V2: 100},
        columns=(ColumnFact(clean("gh_connection.access_token"), 100, {"v2": 100}, GuardState.VALIDATED),),
        swept=True,
    ),
    SnapshotPart.POSTURE: FindingFacts(_rules(*(one for one in RuleFacts if one not in OF_EVENTS))),
    SnapshotPart.EVENTS: FindingFacts(_rules(*OF_EVENTS), since=NOW - DAY, until=NOW),
    SnapshotPart.KEYS: GuardingKeyFacts((KEY,), 365, 730),
    SnapshotPart.ACCESS: AccessFacts(
        (KEY.name,),
        (AccessFact(KEY.name, clean("role/platform"), (clean("Decrypt"),), clean("Platform")),),
    ),
    SnapshotPart.TRAIL: TrailFacts(events=1_000, kept_days=400, regions=(clean("eu-west-1"),)),
    SnapshotPart.APPROVALS: ApprovalFacts(OPERATIONS, OPERATIONS, signed=True, minutes=60.0),
    SnapshotPart.JOURNAL: JournalFacts(
        entries=40, signs=True, checkpoints=4, anchored=40, anchored_at=NOW, outside=40, places=1
    ),
    SnapshotPart.INCIDENTS: IncidentFacts((INCIDENT,), tuple(SubjectKind)),
    SnapshotPart.DRILLS: DrillFacts(NOW - 30 * DAY, 90),
    SnapshotPart.USES: UseFacts(NOW - DAY, NOW, reviews=(REVIEW,), review_days=90),
    SnapshotPart.SETTINGS: SettingFacts(Format.V2, Format.V2, clean("table")),
    SnapshotPart.CHECKS: CheckFacts(
        tuple(CheckFact(clean("database"), clean(name), CheckOutcome.OK, clean("Well.")) for name in CHECKS)
    ),
    SnapshotPart.CRYPTOGRAPHY: CryptographyFacts(
        algorithms=(SEALS,),
        signing_keys=(
            SigningKeyFact(clean("alias/s"), spec=clean("ECC_NIST_P256"), algorithm=clean("ECDSA P-256")),
        ),
        endpoints=(ENDPOINT,),
        modules=MODULES,
        fips_required=True,
    ),
}
SNAPSHOT = Snapshot(NOW, WELL)


def changed(part: SnapshotPart, **fields: Any) -> Snapshot:
    facts: Any = WELL[part]
    return Snapshot(NOW, WELL | {part: replace(facts, **fields)})


def finding(rule: str, severity: Severity = Severity.MEDIUM, suppressed: str = "") -> FindingFact:
    return FindingFact(clean(rule), severity, KEY.arn, clean("Something is wrong"), NOW, clean(suppressed))


def key(**fields: Any) -> Snapshot:
    return changed(SnapshotPart.KEYS, keys=(replace(KEY, **fields),))


def incident(**fields: Any) -> Snapshot:
    return changed(SnapshotPart.INCIDENTS, incidents=(replace(INCIDENT, **fields),))


def check(name: str, outcome: CheckOutcome) -> Snapshot:
    checks = tuple(
        CheckFact(clean("database"), clean(one), outcome if one == name else CheckOutcome.OK, clean("Said."))
        for one in CHECKS
    )
    return changed(SnapshotPart.CHECKS, checks=checks)


def algorithm(name: str, **fields: Any) -> Snapshot:
    used = replace(algorithm_fact(ALGORITHMS[name], "signs", protects=["journal"], why="KMS"), **fields)
    return changed(SnapshotPart.CRYPTOGRAPHY, algorithms=(SEALS, used))


def endpoint(**fields: Any) -> Snapshot:
    return changed(SnapshotPart.CRYPTOGRAPHY, endpoints=(replace(ENDPOINT, **fields),))


def modules(*fips: bool | None, required: bool = True) -> Snapshot:
    found = tuple(replace(one, fips=mode) for one, mode in zip(MODULES, fips, strict=True))
    return changed(SnapshotPart.CRYPTOGRAPHY, modules=found, fips_required=required)
