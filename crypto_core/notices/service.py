"""Notifications: made from what is recorded, kept in the same transaction as how far that went, then sent.

Whoever holds the duty does both, so each notice is made once over all hosts. It is sent at least once: a
process that is killed between sending and noting so leaves it to be sent again, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine

from crypto_core.database.state.journal import Journal, chained, written_last
from crypto_core.database.state.journal_entry import told_in
from crypto_core.database.state.leases import DutyHolder, DutyLease, on_duty
from crypto_core.findings.finding import Finding, Severity
from crypto_core.guard.guard import READ_ONLY
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import IncidentView
from crypto_core.incidents.times import times_of
from crypto_core.notices.notice import Notice, NoticeKind, NoticeSettings, Receiver, notice_id, rows_for
from crypto_core.notices.notice_table import (
    NoticeRow,
    add_notices,
    counted_notices,
    due_notices,
    held_notices,
    listed_notices,
    note_failed,
    note_sent,
)
from crypto_core.notices.sender import Letter, SendLetters, send_letters
from crypto_core.proof.forms import JournalEntry
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import ReadOnlyError
from crypto_core.values.json_records import JsonRecordError, record_of


def late_steps(incidents: Iterable[IncidentView], now: datetime, database: str) -> Iterator[Notice]:
    """Yield a notice for each running step that is past its budget; `database` is the journal's id."""
    for view in incidents:
        for time in times_of(view, now).steps:
            step = view.step(time.step_id)
            if not time.running or time.within is not False or step.begun_at is None:
                continue
            name = view.incident.name
            yield Notice(
                notice_id("late", database, name, time.step_id, step.begun_at.isoformat()),
                NoticeKind.INCIDENT,
                Severity.HIGH,
                step.begun_at + timedelta(seconds=time.budget_seconds),
                f"{name}: step {time.number} is late: {step.step.title}",
                subject=f"{name} {time.step_id}",
                who=step.by,
                detail=f"Its budget is {time.budget_seconds / 60:g} min.",
                command=f"keydeck incident show {view.incident.id}",
            )


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands now, by a key that stays the same while it does. `whole` is False if more may stand."""

    notices: Mapping[str, Notice]
    whole: bool

    def new(self, known: Collection[str]) -> tuple[Notice, ...]:
        found = (notice for key, notice in self.notices.items() if key not in known)
        return tuple(sorted(found, key=lambda notice: notice.severity.rank))

    def known(self, known: Collection[str]) -> list[str]:
        """Return what is known from now on: what ended is new when it comes again, unless that isn't sure."""
        return sorted({*self.notices, *([] if self.whole else known)})


def standing_findings(findings: Iterable[Finding], now: datetime, *, whole: bool) -> Standing:
    """Return findings as notices."""
    found: dict[str, Notice] = {}
    for one in findings:
        key = notice_id("finding", one.rule, one.subject, one.title)
        found[key] = Notice(
            notice_id(key, now.isoformat()),
            NoticeKind.FINDING,
            one.severity,
            one.last_at or now,
            one.title,
            subject=one.subject,
            detail=one.evidence,
            remedy=one.remedy,
            command="keydeck findings",
        )
    return Standing(found, whole)


def standing_problems(problems: Iterable[Finding], now: datetime, *, whole: bool) -> Standing:
    """Return what a census found wrong as notices."""
    found: dict[str, Notice] = {}
    for one in problems:
        key = notice_id("problem", one.title, one.evidence)
        found[key] = Notice(
            notice_id(key, now.isoformat()),
            NoticeKind.CHECK,
            one.severity,
            now,
            f"The check of tokens failed: {one.title}",
            subject=one.evidence,
            detail=f"{one.tokens:,} tokens" if one.tokens else "",
            remedy=one.remedy,
            command="keydeck check",
        )
    return Standing(found, whole)


DUTY = "notices"
GIVE_UP_SECONDS = 86_400.0
"""A notice that could not be sent for so long is given up, and counted."""
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 3_600.0
_ENTRIES = 1_000
_AT_ONCE = 200
_ALONE = 3
"""So many notices are messages of their own; of more that wait, one message tells."""


@dataclass(frozen=True, slots=True)
class NoticeRound:
    """What a round did. `troubles` are by receiver; where a `holder` has the duty, nothing was done."""

    made: int = 0
    sent: int = 0
    held: int = 0
    troubles: Mapping[str, str] = field(default_factory=dict)
    holder: DutyHolder | None = None
    first: bool = False
    """True the first time: what the journal has by now is not told."""


@dataclass(eq=False)
class NoticeService:
    """Makes notices and sends them. Every method blocks and raises DatabaseError."""

    engine: Engine
    journal: Journal
    settings: NoticeSettings
    incidents: Callable[[], Iterable[IncidentView]]
    _: KW_ONLY
    read_only: bool
    send: SendLetters = send_letters
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def tell(self, cancelled: Event | None = None) -> NoticeRound:
        """Make notices of what came since the last time, and send what is due.

        Raises ReadOnlyError, MissingSchemaError, MissingGrantError, DutyLostError, InterruptedRunError.
        """
        self._may_write()
        with on_duty(self.engine, DUTY) as lease:
            if not isinstance(lease, DutyLease):
                return NoticeRound(holder=lease)
            first = not isinstance(lease.position.get("seq"), int)
            made = self._make(lease)
            sent, held, troubles = self._send(lease, cancelled)
            lease.finish()
            return NoticeRound(made, sent, held, troubles, first=first)

    def tell_standing(self, lease: DutyLease, standing: Standing) -> int:
        """Make notices of what is new since `lease`'s last look; return how many. Raises DutyLostError."""
        known = _known(lease.position)
        new = standing.new(known)
        with lease.writing() as connection:
            made = add_notices(connection, rows_for(self.settings.receivers, new))
            lease.remember(connection, {**lease.position, "known": standing.known(known)})
        return made

    def test(self) -> Mapping[str, str]:
        """Send each receiver a test at once; return by receiver why it was not taken, "" where it was."""
        now = self.clock()
        notice = Notice(
            notice_id("test", now.isoformat()),
            NoticeKind.CHECK,
            Severity.LOW,
            now,
            "A test of Keydeck's notifications",
            detail="Nothing has happened.",
            command="keydeck notify test",
        )
        message = self.settings.template.message([notice], self.settings.environment)
        return self.send([Letter(one, message) for one in self.settings.receivers], None)

    def listed(self, states: Sequence[str], limit: int) -> tuple[NoticeRow, ...]:
        return listed_notices(self.engine, states, limit=limit)

    def counts(self) -> dict[tuple[str, str], int]:
        return counted_notices(self.engine)

    def _may_write(self) -> None:
        if self.read_only:
            raise ReadOnlyError(f"Cannot remember which notifications were sent: {READ_ONLY}")

    def _make(self, lease: DutyLease) -> int:
        database = self.journal.database_id()
        late = tuple(late_steps(self.incidents(), self.clock(), database))
        made = 0
        while True:
            with lease.writing() as connection:
                last = written_last(connection)
                end = last.seq if last is not None else 0
                seen = _reached(lease.position, end)
                entries = tuple(islice(chained(connection, after=seen), _ENTRIES)) if seen <= end else ()
                notices = [*late, *_notices(entries, database, seen, end, self.clock())]
                made += add_notices(connection, rows_for(self.settings.receivers, notices))
                late = ()
                reached = entries[-1].seq if entries else end
                lease.remember(connection, {**lease.position, "seq": reached})
            if len(entries) < _ENTRIES:
                return made

    def _send(self, lease: DutyLease, cancelled: Event | None) -> tuple[int, int, dict[str, str]]:
        sent, held, troubles = 0, 0, {}
        waiting: dict[str, list[tuple[NoticeRow, ...]]] = {}
        for receiver in self.settings.receivers:
            free = [s.value for s in Severity if not receiver.holds(s, self.clock())]
            due = due_notices(self.engine, receiver.name, free, limit=_AT_ONCE)
            held += held_notices(self.engine, receiver.name, free) if len(free) < len(Severity) else 0
            waiting[receiver.name] = [due] if len(due) > _ALONE else [(row,) for row in due]
        # One letter for each receiver at a time: a slow one has no more of them under way.
        while any(waiting.values()):
            stop_if(cancelled)
            batch = {name: groups.pop(0) for name, groups in waiting.items() if groups}
            receivers = (one for one in self.settings.receivers if one.name in batch)
            letters = [self._letter(one, batch[one.name]) for one in receivers]
            told = self.send(letters, cancelled)
            stop_if(cancelled)
            for name, rows in batch.items():
                with lease.writing() as connection:
                    _note(connection, rows, told[name])
                if told[name]:
                    troubles[name] = told[name]
                    waiting[name] = []
                else:
                    sent += len(rows)
        return sent, held, troubles

    def _letter(self, receiver: Receiver, rows: Sequence[NoticeRow]) -> Letter:
        notices = [_readable(row) for row in rows]
        message = self.settings.template.message(notices, self.settings.environment)
        return Letter(receiver, message, any(one.severity.grave for one in notices))


def _reached(position: Mapping[str, Any], end: int) -> int:
    """The journal's entry up to which notices are made: its end where nothing that is a number says so."""
    seen = position.get("seq")
    return seen if isinstance(seen, int) else end


def _known(position: Mapping[str, Any]) -> frozenset[str]:
    known = position.get("known")
    return frozenset(map(str, known)) if isinstance(known, list) else frozenset()


def _note(connection: Connection, rows: Sequence[NoticeRow], trouble: str) -> None:
    numbers = [row.id for row in rows]
    if not trouble:
        note_sent(connection, numbers)
        return
    tried = min(row.attempts for row in rows)
    wait = min(_FIRST_WAIT * 2 ** min(tried, 10), _LONGEST_WAIT)
    note_failed(connection, numbers, clean(trouble, 300), again_in=wait, give_up_after=GIVE_UP_SECONDS)


def _notices(
    entries: Iterable[JournalEntry], database: str, seen: int, end: int, now: datetime
) -> Iterable[Notice]:
    yield from (made for entry in entries if (made := notice_of_entry(entry, database)) is not None)
    if seen > end:
        yield Notice(
            notice_id("journal lost", database, seen, end),
            NoticeKind.CHECK,
            Severity.CRITICAL,
            now,
            "The journal lacks entries that were there",
            detail=f"It ended at entry {seen:,}, and ends at {end:,} now.",
            command="keydeck journal verify",
        )


def _readable(row: NoticeRow) -> Notice:
    """The notice of a row, whatever has become of it: who may write the table may write anything."""
    try:
        return record_of(Notice, row.told)
    except JsonRecordError:
        title = f"A notice that can't be read: row {row.id}"
        return Notice(clean(row.digest, 40), NoticeKind.CHECK, Severity.HIGH, row.made_at, title)


@dataclass(frozen=True, slots=True)
class _Worded:
    """How an entry is told. `words` stand before the entry's subject, `detail` names a part of its JSON."""

    kind: NoticeKind
    severity: Severity
    words: str
    detail: str = ""
    only: tuple[str, str] | None = None


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
