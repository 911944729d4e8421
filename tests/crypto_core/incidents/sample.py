"""A key compromise on which two operators worked to its end, for tests of what shows incidents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from crypto_core.database.state.journal import FIRST, JournalEntry
from crypto_core.incidents.model import (
    CheckResult,
    CheckState,
    EntryKind,
    EvidencePiece,
    Incident,
    IncidentScope,
    IncidentState,
    IncidentView,
    Present,
    StepState,
    StepView,
    TimelineEntry,
)
from crypto_core.incidents.people import Assignment, FollowUp, IncidentRole, People
from crypto_core.incidents.runbooks.catalogue import (
    ActionKind,
    CaptureKind,
    CheckKind,
    PhaseKind,
    SubjectKind,
)
from crypto_core.incidents.runbooks.runbook import Phase, Runbook, RunbookStep, StepCondition
from crypto_core.values.clean_text import clean

BEGAN = datetime(2026, 3, 12, 12, 0, tzinfo=UTC)
"""When it was declared."""

OLD_KEY = "arn:aws:kms:eu-west-1:123456789012:key/1d5c2b7e-8a41-4d9c-b0f3-52e1aa9077ab"
NEW_KEY = "arn:aws:kms:eu-west-1:123456789012:key/7f3e9c10-64b2-4c55-9a7d-0c18d4ee9f2c"
ANA = "arn:aws:sts::123456789012:assumed-role/oncall/ana as keydeck_operator"
BEN = "arn:aws:sts::123456789012:assumed-role/oncall/ben as keydeck_operator"


def at(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)


def step(id_: str, title: str, minutes: int, **rest: Any) -> RunbookStep:
    return RunbookStep(id_, title, f"Why: {title.lower()}.", budget_seconds=minutes * 60, **rest)


PHASES = (
    Phase(
        PhaseKind.DETECT,
        "Declare and preserve",
        (
            step("scope", "Say what is affected", 5, check=CheckKind.SCOPE_KNOWN),
            step(
                "evidence",
                "Preserve evidence",
                10,
                captures=(CaptureKind.KEY, CaptureKind.POLICY, CaptureKind.CENSUS, CaptureKind.EVENTS),
                check=CheckKind.EVIDENCE_CAPTURED,
            ),
        ),
    ),
    Phase(
        PhaseKind.CONTAIN,
        "Contain",
        (
            step(
                "new-key", "Make the new key", 10, action=ActionKind.CREATE_KEY, check=CheckKind.NEW_KEY_READY
            ),
            step("switch", "Switch the platform to it", 15, check=CheckKind.PLATFORM_SWITCHED),
            step(
                "lock",
                "Lock the old key down",
                5,
                action=ActionKind.LOCK_DOWN_KEY,
                check=CheckKind.KEY_LOCKED_DOWN,
            ),
        ),
    ),
    Phase(
        PhaseKind.ERADICATE,
        "Eradicate",
        (
            step(
                "reencrypt",
                "Re-encrypt every token under the old key",
                30,
                action=ActionKind.REENCRYPT,
                check=CheckKind.NOTHING_UNDER_KEY,
                captures=(CaptureKind.JOB,),
            ),
            step("leaked", "Did the database leak too?", 5, choices=("yes", "no")),
            step(
                "revoke",
                "Revoke the tokens at their providers",
                20,
                action=ActionKind.REVOKE_TOKENS,
                check=CheckKind.TOKENS_DEAD,
                only_if=StepCondition("leaked", "yes"),
            ),
            step("plain", "Encrypt what was plaintext", 10, action=ActionKind.ENCRYPT_UNPROTECTED),
        ),
    ),
    Phase(
        PhaseKind.RECOVER,
        "Recover",
        (
            step(
                "quiet", "See the old key quiet", 60, check=CheckKind.KEY_QUIET, check_options={"minutes": 30}
            ),
        ),
    ),
    Phase(PhaseKind.CLOSE, "Close", (step("lessons", "Note what was learned", 0),)),
)

RUNBOOK = Runbook(
    id="key-compromise",
    version=3,
    title="KMS key compromise",
    subject=SubjectKind.KEY,
    summary="Nothing is left under the compromised key, and here is the proof.",
    phases=PHASES,
    digest=hashlib.sha256(b"key-compromise 3").hexdigest(),
)


def _formats(v1: int, v2: int, dev: int, plaintext: int) -> dict[str, int]:
    return {"v1": v1, "v2": v2, "dev": dev, "plaintext": plaintext, "unrecognised": 0, "empty": 0}


def _census(old: int, new: int, formats: Mapping[str, int], *reasons: str) -> dict[str, Any]:
    def key(arn: str | None, alias: str | None, state: str | None, tokens: int) -> dict[str, Any]:
        return {
            "key_arn": arn,
            "alias": alias,
            "key_state": state,
            "key_material_id": None,
            "tokens": tokens,
            "evidence": "verified",
        }

    keys = [key(OLD_KEY, "alias/tokens", "Enabled", old - 400), key(OLD_KEY, "alias/tokens", "Enabled", 400)]
    keys = keys if old else [key(OLD_KEY, "alias/tokens", "Disabled", 0)]
    keys += [key(NEW_KEY, "alias/tokens-2", "Enabled", new)] if new else []
    unknown = sum(formats.values()) - old - new
    return {
        "tokens": sum(formats.values()),
        "by_format": dict(formats),
        "keys": [*keys, key(None, None, None, unknown)],
        "coverage": {"complete": not reasons, "reasons": list(reasons)},
    }


BEFORE = _census(9804, 0, _formats(9811, 0, 31, 412))
AFTER = _census(0, 10247, _formats(10254, 0, 0, 0), "Region eu-north-1 did not answer.")

TOKENS = {
    "tokens": [
        {"reference": "gh_connection.access_token:gh-42", "provider": "github", "liveness": "dead"},
        {"reference": "slack_connection.bot_token:17", "provider": "slack", "liveness": "not known"},
        {"reference": "gh_connection.access_token:gh-43", "provider": "github", "liveness": "dead"},
        {
            "reference": "gh_connection.access_token:gh-44",
            "provider": "github",
            "liveness": "alive",
            "entered": True,
        },
    ],
    "by_hand": [
        {
            "reference": "jira_connection.access_token:j-5",
            "provider": "atlassian",
            "how": "An organisation's administrator revokes it at admin.atlassian.com.",
        }
    ],
}

CONTENTS: tuple[tuple[str, CaptureKind, str, Mapping[str, Any], float, str], ...] = (
    ("evidence", CaptureKind.KEY, "The old key", {"arn": OLD_KEY, "state": "Enabled"}, 6, ANA),
    ("evidence", CaptureKind.POLICY, "The old key's policy", {"policy": {"Statement": []}}, 6.2, ANA),
    ("evidence", CaptureKind.CENSUS, "Census before", {"captured_at": "…", "census": BEFORE}, 6.5, ANA),
    ("evidence", CaptureKind.EVENTS, "Events of the old key", {"events": [], "complete": True}, 7, ANA),
    (
        "reencrypt",
        CaptureKind.JOB,
        "Job 31",
        {"job": 31, "verb": "reencrypt", "state": "done", "planned": 9804, "done": 9804, "poisoned": 0},
        43,
        BEN,
    ),
    ("revoke", CaptureKind.LIVENESS, "What the providers said", TOKENS, 50, BEN),
    ("quiet", CaptureKind.CENSUS, "Census at the end", AFTER, 95, ANA),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """An incident, what its evidence holds, and the journal."""

    view: IncidentView
    contents: Mapping[int, str]
    journal: tuple[JournalEntry, ...]

    def evidence(self, number: int) -> str:
        return self.contents[number]

    def with_evidence(self, kind: str, content: object, title: str = "More") -> Sample:
        text = content if isinstance(content, str) else json.dumps(content)
        number = max(self.contents) + 1
        piece = EvidencePiece(number, "quiet", kind, title, at(96), ANA, _sha256(text), len(text))
        view = replace(self.view, evidence=(*self.view.evidence, piece))
        return replace(self, view=view, contents={**self.contents, number: text})


def sample(*, open_: bool = False) -> Sample:
    """The incident: closed, with a skipped step, one over its budget and one whose proof could not be seen.

    `open_` is the same a quarter of an hour in, while the platform is being switched.
    """
    evidence, contents = _evidence()
    incident = Incident(
        id=7,
        title="alias/tokens may be used by an intruder",
        state=IncidentState.CLOSED,
        scope=IncidentScope(key=OLD_KEY, since=at(-190), origin="finding kms-key-shared of alias/tokens"),
        declared_at=BEGAN,
        declared_by=ANA,
        values={"new_key": NEW_KEY, "job": "31", "encrypt_job": "32"},
        closed_at=at(105),
        closed_by=ANA,
        outcome="Nothing is left under the old key; it is disabled.",
    )
    present = (Present(BEN, "ops-2", at(60)),)
    view = IncidentView(incident, RUNBOOK, _steps(), evidence, _entries(), present, _people())
    if open_:
        view = replace(
            view,
            incident=replace(incident, state=IncidentState.OPEN, closed_at=None, closed_by="", outcome=""),
            steps=tuple(_not_yet(one) for one in view.steps),
            evidence=tuple(one for one in evidence if one.captured_at <= at(14)),
            entries=tuple(one for one in view.entries if one.at <= at(14)),
        )
    return Sample(view, contents, _journal())


def _people() -> People:
    ana, ben = clean(ANA), clean(BEN)
    return People(
        (
            Assignment(IncidentRole.LEAD, ben, at(9), ana, clean("Ana goes off at noon.")),
            Assignment(IncidentRole.COMMUNICATIONS, clean("carla, press desk"), at(10), ben),
        ),
        (
            FollowUp(1, clean("Alarm on Decrypt by users"), clean("dana"), date(2026, 12, 1), at(101), ana),
            FollowUp(
                *(2, clean("Rotate the pager's key"), ben, None, at(102), ana, at(103), ben),
                clean("Rotated the same day."),
            ),
        ),
    )


def _not_yet(view: StepView) -> StepView:
    if view.number <= 3:
        return view
    if view.number == 4:
        return StepView(view.step, 4, StepState.BEGUN, at(13), by=BEN)
    return StepView(view.step, view.number)


def _steps() -> tuple[StepView, ...]:
    spans = {
        "scope": (0.2, 2, ANA),
        "evidence": (2, 8, ANA),
        "new-key": (8, 12.5, ANA),
        "switch": (13, 35, BEN),
        "lock": (35, 37, ANA),
        "reencrypt": (37, 44, BEN),
        "leaked": (44, 46, ANA),
        "revoke": (46, 58, BEN),
        "quiet": (60, 97, ANA),
        "lessons": (100, 104, ANA),
    }
    lines = {
        "switch": "The platform generates data keys under the new key: 41 since 12:31.",
        "reencrypt": "The census finds no token under the old key, twice.",
        "quiet": "CloudTrail could not be asked in eu-north-1.",
    }
    steps = []
    for number, one in enumerate(RUNBOOK.steps, start=1):
        if one.id == "plain":
            reason = "31 of dev format are test connections, ended by their owner"
            steps.append(StepView(one, number, StepState.SKIPPED, None, at(59), ANA, reason))
            continue
        begun, ended, who = spans[one.id]
        state = CheckState.UNKNOWN if one.id == "quiet" else CheckState.PASSED
        result = CheckResult(state, (lines.get(one.id, "As it should be."),), 3, 3, at(ended))
        steps.append(
            StepView(
                one,
                number,
                StepState.DONE,
                at(begun),
                at(ended),
                who,
                reason="The trail there is switched off" if one.id == "quiet" else "",
                answer="yes" if one.choices else "",
                trouble="KMS throttled once" if one.id == "reencrypt" else "",
                check=result if one.check else None,
            )
        )
    return tuple(steps)


def _entries() -> tuple[TimelineEntry, ...]:
    told = (
        (0, ANA, EntryKind.DECLARED, "", "Declared from finding kms-key-shared"),
        (8, ANA, EntryKind.EVIDENCE, "evidence", "4 pieces kept"),
        (9, BEN, EntryKind.JOINED, "", "Works on it from ops-2"),
        (12, ANA, EntryKind.ACTION, "new-key", "Key made: alias/tokens-2"),
        (20, BEN, EntryKind.NOTE, "switch", "Platform team rolls out; two pods left"),
        (44, BEN, EntryKind.DONE, "reencrypt", "9,804 tokens re-encrypted"),
        (59, ANA, EntryKind.SKIPPED, "plain", "Test connections, ended by their owner"),
        (105, ANA, EntryKind.CLOSED, "", "Nothing is left under the old key"),
    )
    return tuple(
        TimelineEntry(at(minutes), who, kind, step_, text) for minutes, who, kind, step_, text in told
    )


def _evidence() -> tuple[tuple[EvidencePiece, ...], dict[int, str]]:
    pieces, contents = [], {}
    for number, (step_, kind, title, content, minutes, who) in enumerate(CONTENTS, start=11):
        text = json.dumps(content)
        contents[number] = text
        pieces.append(
            EvidencePiece(number, step_, kind.value, title, at(minutes), who, _sha256(text), len(text))
        )
    return tuple(pieces), contents


def journal_entry(
    seq: int, minutes: float, action: str, subject: str, outcome: str, **detail: Any
) -> JournalEntry:
    text = json.dumps(detail, sort_keys=True)
    digest = hashlib.sha256(f"{seq} {action}".encode()).digest()
    return JournalEntry(seq, at(minutes), ANA, "ops-1", action, subject, outcome, text, FIRST, digest)


def _journal() -> tuple[JournalEntry, ...]:
    return (
        journal_entry(90, -600, "reencrypt", "gh_connection.access_token:gh-1", "done", run="r0"),
        journal_entry(101, 0, "incident declare", "INC-7", "done", title="alias/tokens"),
        journal_entry(102, 12, "keys create", NEW_KEY, "done", alias="alias/tokens-2", rotation=True),
        journal_entry(103, 30, "keys disable", "alias/billing", "refused", reason="412 tokens under it"),
        journal_entry(104, 38, "reencrypt", "all tokens", "started", job=31, run="r31", planned=9804),
        journal_entry(105, 43, "reencrypt", "all tokens", "done", run="r31", done=9804, remarks=["a", "b"]),
        journal_entry(106, 130, "jobs purge", "backups", "done", job=31, purged=9804),
        journal_entry(107, 140, "keys rotate", "alias/billing", "done"),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
