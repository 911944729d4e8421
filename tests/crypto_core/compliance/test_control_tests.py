"""Every test is met by what is well, not met by what is wrong, and not assessed where nothing is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_core.compliance.answer import MOST_LINES, ControlStatus
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.compliance.control_tests.findings import MILD_LEFT_OPEN, RULES
from crypto_core.compliance.facts import ColumnFact, ProblemFact
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart
from crypto_core.database.column_guards.model import GuardState
from crypto_core.diagnosis.check import CheckOutcome
from crypto_core.envelope import Format
from crypto_core.findings.finding import Severity
from crypto_core.findings.registry import rules_about
from crypto_core.incidents.runbooks.catalogue import SubjectKind
from crypto_core.keys.status import ProblemKind
from crypto_core.values.clean_text import clean
from tests.crypto_core.compliance.algorithms.facts import CERTIFICATE
from tests.crypto_core.compliance.snapshots import (
    DAY,
    NOW,
    OPERATIONS,
    REVIEW,
    SNAPSHOT,
    algorithm,
    changed,
    check,
    endpoint,
    finding,
    incident,
    key,
    modules,
)

MET, PARTLY, NOT_MET, NOT_ASSESSED = (
    ControlStatus.MET,
    ControlStatus.PARTLY,
    ControlStatus.NOT_MET,
    ControlStatus.NOT_ASSESSED,
)
T, K, J = SnapshotPart.TOKENS, SnapshotPart.KEYS, SnapshotPart.JOURNAL
C = SnapshotPart.CRYPTOGRAPHY
NO_TOKENS = changed(T, tokens=0, protected=0, by_format={}, columns=())
NO_KEYS = changed(K, keys=())
NO_INCIDENT = changed(SnapshotPart.INCIDENTS, incidents=())
NO_ENTRIES = changed(J, entries=0)
GAP = (clean("schema other: no permission"),)
COLUMN = clean("gh_connection.access_token")


def tokens(**by_format: int) -> Snapshot:
    return changed(
        T,
        tokens=sum(by_format.values()),
        protected=sum(number for name, number in by_format.items() if Format(name).protected),
        by_format=by_format,
    )


def problem(kind: ProblemKind) -> Snapshot:
    return changed(T, problems=(ProblemFact(kind, Severity.HIGH, clean("wrong"), clean("here"), 3),))


def guarded(state: GuardState | None) -> Snapshot:
    return changed(T, columns=(ColumnFact(COLUMN, 100, {"v2": 100}, state),))


def unasked(part: SnapshotPart, *rules: str) -> Snapshot:
    every = SNAPSHOT.parts[part].rules  # type: ignore[union-attr]
    return changed(part, rules=tuple(one for one in every if one not in rules))


NO_ALGORITHM = changed(C, algorithms=())
UNREACHED = {"protocol": None, "cipher": None, "group": None, "problem": clean("no answer in time")}
PLAIN = UNREACHED | {"encrypted": False, "problem": clean("plain HTTP")}


Cases = tuple[tuple[Snapshot, ControlStatus], ...]
CASES: dict[str, Cases] = {
    "tokens-encrypted": (
        (tokens(v1=97, plaintext=3), NOT_MET),
        (tokens(v1=97, dev=3), NOT_MET),
        (tokens(v1=97, unrecognised=3), NOT_MET),
        (tokens(v1=97, empty=3), MET),
        (tokens(empty=3), NOT_ASSESSED),
        (changed(T, gaps=GAP), PARTLY),
        (NO_TOKENS, NOT_ASSESSED),
    ),
    "tokens-authenticated": (
        (tokens(v1=97, dev=3), NOT_MET),
        (tokens(v1=97, plaintext=3), PARTLY),
        (tokens(plaintext=3), NOT_ASSESSED),
        (NO_TOKENS, NOT_ASSESSED),
    ),
    "algorithms-known": (
        (tokens(v1=97, plaintext=3), MET),
        (tokens(v1=97, unrecognised=3), PARTLY),
        (NO_TOKENS, NOT_ASSESSED),
    ),
    "tokens-under-trusted-keys": (
        (problem(ProblemKind.KEY_NOT_TRUSTED), NOT_MET),
        (problem(ProblemKind.KEY_PENDING_DELETION), NOT_MET),
        (problem(ProblemKind.KEY_UNKNOWN), PARTLY),
        (tokens(plaintext=3), NOT_ASSESSED),
    ),
    "tokens-all-counted": (
        (problem(ProblemKind.UNDECLARED), NOT_MET),
        (changed(T, swept=False), PARTLY),
        (changed(T, gaps=GAP), PARTLY),
        (Snapshot(NOW), NOT_ASSESSED),
    ),
    "columns-guarded": (
        (guarded(GuardState.MISSING), NOT_MET),
        (guarded(GuardState.CHANGED), NOT_MET),
        (guarded(GuardState.NOT_VALIDATED), PARTLY),
        (guarded(None), NOT_ASSESSED),
        (NO_TOKENS, NOT_ASSESSED),
    ),
    "least-format-kept": (
        (tokens(v2=97, v1=3), NOT_MET),
        (changed(T, gaps=GAP), PARTLY),
        (tokens(plaintext=3), NOT_ASSESSED),
    ),
    "keys-strong": (
        (key(spec=clean("RSA_2048")), NOT_MET),
        (key(spec=None), PARTLY),
        (key(tokens=None), PARTLY),
        (NO_KEYS, NOT_ASSESSED),
    ),
    "keys-kept-in-kms": (
        (key(manager=clean("AWS")), NOT_MET),
        (key(origin=clean("EXTERNAL")), PARTLY),
        (key(origin=None), PARTLY),
        (key(tokens=None), PARTLY),
        (NO_KEYS, NOT_ASSESSED),
    ),
    "keys-inventoried": (
        (key(tokens=None), PARTLY),
        (key(oldest_in_use=None), PARTLY),
        (key(oldest_in_use=None, tokens=0), MET),
        (NO_KEYS, NOT_ASSESSED),
    ),
    "key-access-known": (
        (changed(SnapshotPart.ACCESS, gaps=GAP), PARTLY),
        (changed(SnapshotPart.ACCESS, keys=()), NOT_ASSESSED),
    ),
    "posture-well": (
        (changed(SnapshotPart.POSTURE, findings=(finding("kms-unused", Severity.HIGH),)), NOT_MET),
        (changed(SnapshotPart.POSTURE, findings=(finding("kms-unused", Severity.LOW),)), MET),
        (changed(SnapshotPart.POSTURE, gaps=GAP), PARTLY),
        (changed(SnapshotPart.POSTURE, rules=()), NOT_ASSESSED),
    ),
    "events-quiet": (
        (changed(SnapshotPart.EVENTS, findings=(finding("event-root-use", Severity.HIGH),)), NOT_MET),
        (
            changed(SnapshotPart.EVENTS, findings=(finding("event-root-use", Severity.HIGH, "until 2027"),)),
            PARTLY,
        ),
        (changed(SnapshotPart.EVENTS, rules=()), NOT_ASSESSED),
    ),
    "events-examined": (
        (changed(SnapshotPart.EVENTS, findings=(finding("event-root-use", Severity.HIGH),)), MET),
        (changed(SnapshotPart.EVENTS, gaps=GAP), PARTLY),
        (changed(SnapshotPart.EVENTS, since=None), NOT_ASSESSED),
    ),
    "events-at-hand": (
        (changed(SnapshotPart.TRAIL, quarter_gaps=GAP), NOT_MET),
        (changed(SnapshotPart.TRAIL, events=0), NOT_ASSESSED),
        (changed(SnapshotPart.TRAIL, regions=()), NOT_ASSESSED),
    ),
    "events-kept": (
        (changed(SnapshotPart.TRAIL, kept_days=364), NOT_MET),
        (changed(SnapshotPart.TRAIL, kept_days=0), MET),
        (changed(SnapshotPart.TRAIL, year_gaps=GAP), PARTLY),
        (changed(SnapshotPart.TRAIL, regions=()), NOT_ASSESSED),
    ),
    "journal-whole": (
        (changed(J, problems=GAP), NOT_MET),
        (changed(J, problems=GAP, entries=0), NOT_MET),
        (changed(J, acknowledged=GAP), PARTLY),
        (NO_ENTRIES, NOT_ASSESSED),
    ),
    "journal-signed": (
        (changed(J, signs=False), NOT_MET),
        (changed(J, anchored=0, anchored_at=None), NOT_MET),
        (changed(J, anchored=39, anchored_at=NOW - 2 * DAY), PARTLY),
        (changed(J, anchored=40, anchored_at=NOW - 2 * DAY), MET),
        (changed(J, unchecked=clean("KMS is silent")), NOT_ASSESSED),
        (NO_ENTRIES, NOT_ASSESSED),
    ),
    "journal-held-outside": (
        (changed(J, places=0), NOT_MET),
        (changed(J, outside=0), NOT_MET),
        (changed(J, unchecked=clean("KMS is silent")), NOT_ASSESSED),
        (NO_ENTRIES, NOT_ASSESSED),
    ),
    "receipts-kept": (
        (changed(SnapshotPart.SETTINGS, receipts=clean("off")), NOT_MET),
        (Snapshot(NOW), NOT_ASSESSED),
    ),
    "second-person": (
        (changed(SnapshotPart.APPROVALS, needed=()), NOT_MET),
        (changed(SnapshotPart.APPROVALS, needed=OPERATIONS[:1]), PARTLY),
        (changed(SnapshotPart.APPROVALS, needed=(), possible=()), NOT_ASSESSED),
    ),
    "approvals-signed": (
        (changed(SnapshotPart.APPROVALS, signed=False), NOT_MET),
        (changed(SnapshotPart.APPROVALS, needed=()), NOT_ASSESSED),
    ),
    "runbooks-ready": (
        (changed(SnapshotPart.INCIDENTS, subjects=(SubjectKind.KEY,)), NOT_MET),
        (changed(SnapshotPart.INCIDENTS, troubles=GAP), NOT_MET),
        (Snapshot(NOW), NOT_ASSESSED),
    ),
    "restore-drilled": (
        (changed(SnapshotPart.DRILLS, last_at=NOW - 91 * DAY), NOT_MET),
        (changed(SnapshotPart.DRILLS, last_at=NOW - 91 * DAY, wanted_days=0), MET),
        (changed(SnapshotPart.DRILLS, last_at=None), NOT_MET),
        (Snapshot(NOW), NOT_ASSESSED),
    ),
    "accesses-reviewed": (
        (changed(SnapshotPart.USES, reviews=()), NOT_MET),
        (changed(SnapshotPart.USES, reviews=(replace(REVIEW, accesses=clean("")),)), NOT_MET),
        (changed(SnapshotPart.USES, reviews=(replace(REVIEW, at=NOW - 91 * DAY),)), NOT_MET),
        (changed(SnapshotPart.USES, reviews=(replace(REVIEW, at=NOW - 91 * DAY), REVIEW)), MET),
        (
            changed(SnapshotPart.USES, reviews=(replace(REVIEW, at=NOW - 91 * DAY),), review_days=0),
            MET,
        ),
        (Snapshot(NOW), NOT_ASSESSED),
    ),
    "incidents-contained-in-time": (
        (incident(contained_in_time=False), NOT_MET),
        (incident(contained_in_time=None), PARTLY),
        (incident(declared_at=NOW - 400 * DAY, closed_at=NOW - 380 * DAY), NOT_ASSESSED),
        (NO_INCIDENT, NOT_ASSESSED),
    ),
    "incidents-led": (
        (incident(lead=False, closed_at=None), NOT_MET),
        (incident(lead=False), PARTLY),
        (NO_INCIDENT, NOT_ASSESSED),
    ),
    "incidents-learned-from": (
        (incident(overdue=1), NOT_MET),
        (incident(follow_ups=0), PARTLY),
        (incident(closed_at=None), NOT_ASSESSED),
    ),
    "cryptography-inventoried": (
        (changed(C, gaps=GAP), PARTLY),
        (NO_ALGORITHM, NOT_ASSESSED),
    ),
    "algorithms-strong": (
        (algorithm("RSA-2048"), NOT_MET),
        (algorithm("RSA-3072"), MET),
        (algorithm("RSA-2048", protects=()), MET),
        (algorithm("RSA-3072", classical_bits=None), PARTLY),
        (changed(C, gaps=GAP), PARTLY),
        (NO_ALGORITHM, NOT_ASSESSED),
    ),
    "quantum-standing-known": (
        (algorithm("ECDSA P-256"), MET),
        (algorithm("ChaCha20-Poly1305"), PARTLY),
        (changed(C, gaps=GAP), PARTLY),
        (NO_ALGORITHM, NOT_ASSESSED),
    ),
    "endpoints-encrypted-well": (
        (endpoint(protocol=clean("TLSv1.1")), NOT_MET),
        (endpoint(certificate=replace(CERTIFICATE, not_after=NOW + 13 * DAY)), NOT_MET),
        (endpoint(certificate=None, group=None), MET),
        (endpoint(**PLAIN), NOT_MET),
        (endpoint(**PLAIN, host=clean("127.0.0.1:4566")), NOT_ASSESSED),
        (endpoint(**UNREACHED), NOT_ASSESSED),
        (changed(C, endpoints=()), NOT_ASSESSED),
    ),
    "fips-as-required": (
        (modules(True, False), NOT_MET),
        (modules(None, True), NOT_MET),
        (modules(False, False, required=False), MET),
        (changed(C, modules=()), NOT_ASSESSED),
    ),
    **{
        name: (
            (check(checked, CheckOutcome.WARNING), NOT_MET),
            (check(checked, CheckOutcome.FAILED), NOT_MET),
            (check(checked, CheckOutcome.UNKNOWN), NOT_ASSESSED),
            (changed(SnapshotPart.CHECKS, checks=()), NOT_ASSESSED),
        )
        for name, checked in {
            "database-connection-encrypted": "encryption",
            "database-role-limited": "role",
            "aws-connection-encrypted": "endpoint",
            "clocks-agree": "clock",
        }.items()
    },
    **{
        name: (
            *(
                (changed(ALL_TESTS[name].parts[0], findings=(finding(rule, Severity.HIGH),)), NOT_MET)
                for rule in rules
            ),
            (
                changed(ALL_TESTS[name].parts[0], findings=(finding(rules[0]),)),
                PARTLY if name in MILD_LEFT_OPEN else NOT_MET,
            ),
            (changed(ALL_TESTS[name].parts[0], findings=(finding(rules[0], suppressed="by X"),)), PARTLY),
            (changed(ALL_TESTS[name].parts[0], gaps=GAP), PARTLY),
            (unasked(ALL_TESTS[name].parts[0], *rules), NOT_ASSESSED),
            *([(unasked(ALL_TESTS[name].parts[0], rules[0]), PARTLY)] if len(rules) > 1 else []),
            *([(NO_KEYS, NOT_ASSESSED)] if K in ALL_TESTS[name].parts else []),
        )
        for name, rules in RULES.items()
    },
}
NEVER_NOT_MET = {
    "algorithms-known",
    "cryptography-inventoried",
    "events-examined",
    "key-access-known",
    "keys-inventoried",
    "quantum-standing-known",
}
"""They ask whether something is known: the worst that they say is partly."""


@pytest.mark.parametrize("name", ALL_TESTS)
def test_a_test_is_met_not_met_and_not_assessed_by_what_was_measured(name: str) -> None:
    test = ALL_TESTS[name]
    assert test.answer(SNAPSHOT).status is MET
    assert {status for _, status in CASES[name]} >= {
        NOT_ASSESSED,
        PARTLY if name in NEVER_NOT_MET else NOT_MET,
    }
    for snapshot, wanted in CASES[name]:
        found = test.answer(snapshot)
        assert (found.status, bool(found.lines)) == (wanted, wanted is not NOT_ASSESSED), snapshot
        assert (found.lack is not None and bool(found.reason)) is (wanted is NOT_ASSESSED)
        assert bool(found.causes) is (wanted is NOT_MET)
        assert all(one.rule and one.title for one in found.causes)


def test_every_test_says_what_it_measures_and_reads_rules_that_there_are() -> None:
    assert set(CASES) == set(ALL_TESTS)
    known = {rule.id for rule in rules_about()}
    assert all(test.parts and test.measures.endswith(".") for test in ALL_TESTS.values())
    assert {rule for rules in RULES.values() for rule in rules} <= known


def test_evidence_has_the_counts_and_the_first_of_many_lines() -> None:
    found = ALL_TESTS["tokens-encrypted"].answer(tokens(v1=2_060, plaintext=40))
    assert found.lines[0] == "40 of 2,100 tokens in format plaintext"
    many = changed(SnapshotPart.POSTURE, findings=tuple(finding("kms-key-public") for _ in range(30)))
    lines = ALL_TESTS["key-access-narrow"].answer(many).lines
    assert lines[MOST_LINES] == f"and {30 - MOST_LINES} more"


@pytest.mark.parametrize(
    ("name", "one_day", "another"),
    [
        ("tokens-encrypted", tokens(v1=60, plaintext=40), tokens(v1=62, plaintext=38)),
        ("incidents-learned-from", incident(overdue=1), incident(overdue=2)),
        (
            "restore-drilled",
            changed(SnapshotPart.DRILLS, last_at=None),
            changed(SnapshotPart.DRILLS, last_at=NOW - 100 * DAY),
        ),
    ],
)
def test_a_cause_is_the_same_on_another_day_with_other_numbers(
    name: str, one_day: Snapshot, another: Snapshot
) -> None:
    first, second = (ALL_TESTS[name].answer(one).causes for one in (one_day, another))
    assert [one.thing for one in first] == [one.thing for one in second]
    assert [one.title for one in first] != [one.title for one in second]


def test_an_account_as_a_whole_is_left_open() -> None:
    access = SNAPSHOT.parts[SnapshotPart.ACCESS].accesses[0]  # type: ignore[union-attr]
    found = ALL_TESTS["key-access-known"].answer(
        changed(SnapshotPart.ACCESS, accesses=(replace(access, delegated=True),))
    )
    assert found.status is PARTLY
    assert "IAM policies there decide" in found.lines[0]
