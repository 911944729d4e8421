"""Notices of what the journal records: incidents, approvals, checks of incidents that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crypto_core.database.state.journal_entry import told_in
from crypto_core.findings.severity import Severity
from crypto_core.guard.outcome import Outcome
from crypto_core.notices.notice import Notice, NoticeKind, notice_id
from crypto_core.proof.forms import JournalEntry


@dataclass(frozen=True, slots=True)
class _Worded:
    """How an entry is told. `words` stand before the entry's subject, `detail` names a part of its JSON."""

    kind: NoticeKind
    severity: Severity
    words: str
    detail: str = ""
    only: tuple[str, str] | None = None
    """A part of the entry's JSON and the value that it must have."""


_BY_ENTRY: Mapping[tuple[str, Outcome], _Worded] = {
    ("incident declare", Outcome.DONE): _Worded(
        NoticeKind.INCIDENT, Severity.CRITICAL, "Incident declared:", "title"
    ),
    ("incident join", Outcome.DONE): _Worded(NoticeKind.INCIDENT, Severity.LOW, "Joined:"),
    ("incident role", Outcome.DONE): _Worded(
        NoticeKind.INCIDENT, Severity.HIGH, "The lead has changed:", "who", ("role", "lead")
    ),
    ("incident run", Outcome.FAILED): _Worded(
        NoticeKind.INCIDENT, Severity.HIGH, "A step's action failed:", "reason"
    ),
    ("incident close", Outcome.DONE): _Worded(
        NoticeKind.INCIDENT, Severity.HIGH, "Incident closed:", "outcome"
    ),
    ("incident check", Outcome.DONE): _Worded(
        NoticeKind.CHECK, Severity.HIGH, "A step's check failed:", "lines", ("check", "failed")
    ),
    ("approvals request", Outcome.DONE): _Worded(NoticeKind.APPROVAL, Severity.HIGH, "Approval asked:"),
    ("approvals approve", Outcome.DONE): _Worded(NoticeKind.APPROVAL, Severity.MEDIUM, "Approved:"),
    ("approvals deny", Outcome.DONE): _Worded(NoticeKind.APPROVAL, Severity.MEDIUM, "Denied:"),
}


def notice_of_entry(entry: JournalEntry, database: str) -> Notice | None:
    """Return what an entry is worth telling, None for nothing. `database` is the journal's id."""
    worded = _BY_ENTRY.get((entry.action, _outcome(entry.outcome)))
    if worded is None:
        return None
    told = told_in(entry.detail)
    if worded.only is not None and told.get(worded.only[0]) != worded.only[1]:
        return None
    said = told.get(worded.detail, "")
    return Notice(
        notice_id("journal", database, entry.seq),
        worded.kind,
        worded.severity,
        entry.at,
        f"{worded.words} {entry.subject}",
        subject=entry.subject,
        who=entry.who,
        detail=" ".join(map(str, said)) if isinstance(said, list) else str(said),
        command=_command(worded.kind, entry.subject, told),
    )


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError:
        return Outcome.REFUSED


def _command(kind: NoticeKind, subject: str, told: Mapping[str, Any]) -> str:
    if kind is NoticeKind.APPROVAL:
        return f"keydeck approvals show {told.get('request', 'ID')}"
    number = subject.partition(" ")[0].removeprefix("INC-")
    return f"keydeck incident show {number}" if number.isdecimal() else "keydeck incident list"
