"""What must be true of an incident that was closed, however many consoles were killed on the way."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from sqlalchemy import text

from crypto_core.database.state.journal import JournalEntry
from crypto_core.envelope import Format, classify, open_dev, open_envelope, parse
from crypto_core.guard.guarded_change import Outcome
from crypto_core.incidents.model import EntryKind, IncidentState, IncidentView, StepState
from crypto_core.values.secret import DataKey
from tests.console.faults.crew import Crew
from tests.console.faults.writer import COLUMNS


def opened_tokens(crew: Crew) -> dict[str, str]:
    """Return every stored token's plaintext, by reference; each has to open."""
    stored: dict[str, str] = {}
    with crew.superuser.connect() as connection:
        for table, columns in COLUMNS.items():
            for column in columns:
                rows = connection.execute(
                    text(f"SELECT id::text, {column} FROM {table} WHERE {column} > ''")
                ).all()
                stored |= {f"{table}.{column}:{id_}": value for id_, value in rows}
    sealed = {ref: parse(value) for ref, value in stored.items() if classify(value).format.protected}
    # As no caller: neither a policy nor a disabled key keeps what is stored from being looked at.
    issued = crew.sandbox.control.opened((e.encrypted_data_key, {}) for e in sealed.values())
    made = dict(zip(sealed, issued, strict=True))

    def opened(ref: str, value: str) -> str:
        if (envelope := sealed.get(ref)) is None:
            return open_dev(value).reveal() if classify(value).format is Format.DEV else value
        data_key = made[ref]
        assert data_key is not None, ref
        with DataKey(data_key.plaintext) as key:
            return open_envelope(envelope, key).reveal()

    return {ref: opened(ref, value) for ref, value in stored.items()}


def assert_told_whole(crew: Crew) -> IncidentView:
    """Each step has ended once, journal and timeline tell of all, the evidence is as captured."""
    view = crew.view()
    assert view.incident.state is IncidentState.CLOSED
    assert all(step.state.ended for step in view.steps)
    entries = crew.container.journal.entries(limit=100_000)
    assert crew.container.journal.verify() is None
    mine = [e for e in entries if f"{e.subject} ".startswith(f"{view.incident.name} ")]
    _assert_steps_told(view, mine)
    _assert_evidence(crew, view, mine)
    _assert_begun_before_done(entries)
    _assert_reported(crew, view)
    return view


def _assert_steps_told(view: IncidentView, mine: list[JournalEntry]) -> None:
    told = Counter((entry.kind, entry.step_id) for entry in view.entries)
    assert told[EntryKind.DECLARED, ""] == told[EntryKind.CLOSED, ""] == 1
    ends = {StepState.DONE: (EntryKind.DONE, EntryKind.ANSWER), StepState.SKIPPED: (EntryKind.SKIPPED,)}
    begun = Counter(e.subject for e in mine if e.action == "incident begin")
    assert {e.outcome for e in mine if e.action == "incident begin"} == {Outcome.STARTED}
    for step in view.steps:
        id_ = step.step.id
        if step.state in ends:
            assert sum(told[kind, id_] for kind in ends[step.state]) == 1, id_
        subject = f"{view.incident.name} {id_}"
        began = [e for e in view.entries if e.step_id == id_ and e.text.startswith("Begun: ")]
        assert len(began) == begun[subject], id_
        ran = [e for e in mine if (e.action, e.subject) == ("incident run", subject)]
        assert len(ran) <= begun[subject], id_
        if step.step.action is not None and step.state is StepState.DONE:
            assert begun[subject], id_
    at = [entry.at for entry in view.entries]
    assert at == sorted(at)
    assert len({entry.actor for entry in view.entries}) >= 2


def _assert_evidence(crew: Crew, view: IncidentView, mine: list[JournalEntry]) -> None:
    journaled = {}
    for entry in mine:
        if entry.action == "incident evidence" and entry.outcome == Outcome.DONE:
            detail = json.loads(entry.detail)
            journaled[detail["evidence"]] = detail["sha256"]
    assert journaled == {piece.id: piece.sha256 for piece in view.evidence}
    told = [entry.text for entry in view.entries if entry.kind is EntryKind.EVIDENCE]
    captured = defaultdict(set)
    for piece in view.evidence:
        assert json.loads(crew.work.evidence(crew.incident, piece.id))
        assert sum(piece.sha256 in line and f"evidence {piece.id}," in line for line in told) == 1
        captured[piece.step_id, piece.kind].add(piece.captured_at)
    for step in view.steps:
        if step.state is StepState.DONE:
            for kind in step.step.captures:
                assert captured[step.step.id, kind.value], (step.step.id, kind)
        if step.step.action is None:
            for kind in step.step.captures:
                assert len(captured[step.step.id, kind.value]) <= 1, (step.step.id, kind)


def _assert_begun_before_done(entries: tuple[JournalEntry, ...]) -> None:
    """What changed keys and tokens was announced before; a job's parts are, with the job."""
    announced: set[tuple[str, object]] = set()
    own = {"incident", "journal", "approval"}
    for entry in sorted(entries, key=lambda one: one.seq):
        about = entry.action, json.loads(entry.detail).get("job", entry.subject)
        if entry.outcome == Outcome.STARTED:
            announced.add(about)
        elif entry.outcome == Outcome.DONE and entry.action.split()[0] not in own:
            assert about in announced, about


def _assert_reported(crew: Crew, view: IncidentView) -> None:
    for form in ("markdown", "html", "json"):
        report = crew.work.report(crew.incident, form)
        assert view.incident.name in report
        for piece in view.evidence:
            assert piece.sha256 in report
        for step in view.steps:
            assert step.step.id in report or step.step.title.split(",")[0] in report
