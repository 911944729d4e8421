"""Reports of the sample incident, with doubles of what a report asks."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from crypto_core.database.state.journal import JournalEntry
from crypto_core.database.state.journal_verification import JournalCheck
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import Signature, Signer, SigningTime
from crypto_core.incidents.report.exhibits import read
from crypto_core.incidents.report.section import Report, Sources
from crypto_core.incidents.report.sections.open_points import OpenPointsSection
from crypto_core.incidents.report.service import ReportService, build
from crypto_core.values.clean_text import clean
from tests.crypto_core.incidents.sample import Sample, at

SIGNING_KEY = "arn:aws:kms:eu-west-1:123456789012:key/5b1d3a55-2d0f-4a0e-8f77-3f0c6a1f9e01"
MADE = at(200)
DATABASE_ID = "0b6f3a52-8a0e-4d52-9c3d-0f6c1f1a7e10"


class HmacSigner:
    """Signs as KMS does with an HMAC key, without KMS."""

    def __init__(self, secret: bytes = b"one") -> None:
        self._secret = secret

    def sign(self, digest: bytes) -> Signature:
        return Signature(SIGNING_KEY, "HMAC_SHA_256", hmac.digest(self._secret, digest, sha256))

    def verify(self, digest: bytes, signature: Signature, when: SigningTime | None = None) -> bool:
        return signature == self.sign(digest)


@dataclass
class KeptJournal:
    """A journal that is read, and to which signed reports are added aside."""

    kept: tuple[JournalEntry, ...]
    broken: str | None = None
    recorded: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def entries(self, *, limit: int = 1000) -> tuple[JournalEntry, ...]:
        return self.kept[-limit:]

    def verified(self) -> JournalCheck:
        return JournalCheck(len(self.kept), (clean(self.broken),) if self.broken else (), 0)

    def record(self, action: str, subject: str, outcome: Outcome, detail: dict[str, Any]) -> None:
        self.recorded.append((action, subject, detail))

    def signing_time(self, action: str, part: str) -> SigningTime | None:
        return None

    def database_id(self) -> str:
        return DATABASE_ID


def service_of(
    sample: Sample,
    signer: Signer | None = None,
    *,
    journal: Any = None,
    now: datetime = MADE,
) -> ReportService:
    kept = journal or KeptJournal(sample.journal)
    return ReportService(
        lambda incident, piece: sample.evidence(piece),
        kept,
        signer,
        verified=getattr(kept, "verified", None),
        clock=lambda: now,
        host="ops-1",
        version="0.1.0",
    )


def report_of(
    sample: Sample, *, evidence: Callable[[int], str] | None = None, now: datetime = MADE
) -> Report:
    content = evidence or sample.evidence
    return build(
        Sources(
            sample.view,
            tuple(read(piece, content) for piece in sample.view.evidence),
            journal=sample.journal,
            journal_state="the chain is whole",
            database_id=DATABASE_ID,
            now=now,
            host="ops-1",
            version="0.1.0",
        )
    )


def told(report: Report) -> list[str]:
    return [f"{p.severity.value}: {p.about}: {p.text}" for p in report.section(OpenPointsSection).open_points]


def sown(sample: Sample, text: Callable[[], str]) -> Sample:
    """The sample with foreign text in every place where somebody else's text can be."""
    view = sample.view
    incident = replace(
        view.incident,
        title=text(),
        outcome=text(),
        declared_by=text(),
        closed_by=text(),
        values={"job": "31", "new_key": text(), text(): text()},
        scope=replace(
            view.incident.scope,
            references=(text(), text()),
            filter=text(),
            database=text(),
            origin=text(),
        ),
    )
    phases = tuple(
        replace(
            phase, title=text(), steps=tuple(replace(step, title=text(), who=text()) for step in phase.steps)
        )
        for phase in view.runbook.phases
    )
    runbook = replace(view.runbook, id=text(), title=text(), source=text(), phases=phases)
    steps = tuple(
        replace(
            one,
            step=next(step for step in runbook.steps if step.id == one.step.id),
            by=text(),
            reason=text(),
            answer=text(),
            trouble=text(),
            check=replace(one.check, lines=(text(), text())) if one.check else None,
        )
        for one in view.steps
    )
    sown_view = replace(
        view,
        incident=incident,
        runbook=runbook,
        steps=steps,
        evidence=tuple(replace(one, title=text(), captured_by=text()) for one in view.evidence),
        entries=tuple(replace(one, actor=text(), text=text()) for one in view.entries),
        present=tuple(replace(one, actor=text(), host=text()) for one in view.present),
    )
    journal = tuple(
        replace(
            entry,
            actor=text(),
            host=text(),
            action=text(),
            subject=text(),
            detail=json.dumps({"job": 31, "reason": text(), text(): text(), "list": [text()]}),
        )
        for entry in sample.journal
    )
    sown_sample = replace(sample, view=sown_view, journal=journal)
    for kind, content in _contents(text):
        sown_sample = sown_sample.with_evidence(kind, content, text())
    return sown_sample


def _contents(text: Callable[[], str]) -> Iterator[tuple[str, Any]]:
    for kind in ("census", "job", "liveness", "events", "key", "tokens"):
        yield (
            kind,
            {
                "token": text(),
                text(): {"deep": [text(), {"deeper": text()}]},
                "by_format": {"v1": 3, text(): 4, "dev": text()},
                "keys": [{"key_arn": text(), "alias": text(), "key_state": text(), "tokens": 3}],
                "coverage": {"complete": False, "reasons": [text(), {"x": text()}]},
                "job": 31,
                "verb": text(),
                "state": text(),
                "done": text(),
                "tokens": [{"reference": text(), "liveness": "alive", "reason": text()}],
                "by_hand": [{"reference": text(), "how": text(), "provider": text()}],
                "not_known": text(),
                "stored": text(),
            },
        )
    yield "policy", text()
