"""The store of incidents: every change is a compare-and-set, in one transaction with what tells of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.database.state.incident_changes import EvidenceDraft, StepRow
from crypto_core.database.state.incidents import IncidentDraft, IncidentStore
from crypto_core.database.state.journal import Journal
from crypto_core.guard.guarded_change import Outcome
from crypto_core.values.errors import DatabaseError, MissingGrantError, UnknownIncidentError
from tests.crypto_core.statements import execute, sent_by

DRAFT = IncidentDraft(
    title="T",
    runbook_id="r",
    runbook_text="text",
    runbook_source="built in",
    runbook_digest="d",
    scope={"key": "k", "database": None},
    actor="ana",
    host="h",
    first_step="one",
    first_state="begun",
    entry="Declared.",
    detail={"title": "T"},
)


@pytest.fixture
def engine(services: Container) -> Engine:
    return services.state_engine


@pytest.fixture
def store(engine: Engine) -> IncidentStore:
    return IncidentStore(engine, Journal(engine, lambda: "ana"))


def test_a_step_is_set_only_from_the_state_that_was_seen(store: IncidentStore) -> None:
    number = store.declare(DRAFT)
    with store.change(number, "ana") as change:
        assert not change.set_step("one", "to do", "done")
        assert not change.set_step("two", "begun", "done")
        assert change.set_step("one", "begun", "done", answer="yes")
        assert change.set_step("two", "to do", "to do", trouble="x")
        assert change.set_step("two", "to do", "begun", actor="ana")
        assert change.step("two") == StepRow("two", "begun", actor="ana", trouble="x")
    whole = store.whole(number)
    assert {s.step_id: (s.state, s.answer) for s in whole.steps} == {
        "one": ("done", "yes"),
        "two": ("begun", ""),
    }
    assert [(e.kind, e.text) for e in whole.entries] == [("declared", "Declared.")]
    assert [p.actor for p in whole.present] == ["ana"]
    with pytest.raises(UnknownIncidentError, match="no incident 99"), store.change(99, "ana"):
        pass


def test_a_change_that_fails_leaves_nothing_of_itself(store: IncidentStore, engine: Engine) -> None:
    number = store.declare(DRAFT)
    before = store.whole(number)

    def fail() -> None:
        with store.change(number, "ana") as change:
            change.set_step("one", "begun", "done")
            change.know({"a": "b"})
            change.keep("one", EvidenceDraft("key", "Key", "{}"))
            change.record("incident done", "one", Outcome.DONE, {})
            change.set_step("one", "done", "x" * 17)

    with pytest.raises(DatabaseError):
        fail()
    assert store.whole(number) == before
    assert [e.action for e in Journal(engine, lambda: "").entries()] == ["incident declare"]


def test_what_is_known_is_merged_however_many_write_at_once(store: IncidentStore) -> None:
    number = store.declare(DRAFT)
    together = Barrier(6)

    def write(name: str) -> None:
        together.wait(30)
        with store.change(number, name) as change:
            change.know({name: name.upper()})
            change.tell("note", "", name)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, "abcdef"))
    whole = store.whole(number)
    assert whole.incident.known == {name: name.upper() for name in "abcdef"}
    moments = [entry.at for entry in whole.entries]
    assert moments == sorted(moments)


def test_evidence_is_append_only_and_hashed_in_row_timeline_and_journal(
    store: IncidentStore, engine: Engine
) -> None:
    number = store.declare(DRAFT)
    content = '{"a": "ü"}'
    with store.change(number, "ana") as change:
        kept = change.keep("one", EvidenceDraft("key", "The key", content))
    hashed = hashlib.sha256(content.encode()).hexdigest()
    whole = store.whole(number)
    assert whole.evidence == (kept,)
    assert (kept.sha256, kept.characters, kept.captured_by) == (hashed, len(content), "ana")
    assert whole.entries[-1].text == f"The key kept as evidence {kept.id}, SHA-256 {hashed}."
    entry = Journal(engine, lambda: "").entries()[-1]
    assert (entry.action, entry.subject) == ("incident evidence", f"INC-{number} one")
    assert hashed in entry.detail
    assert store.content(number, kept.id) == content
    for change_ in ("UPDATE keydeck.incident_evidence SET title = ''", "DELETE FROM keydeck.incident_entry"):
        with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
            connection.execute(text(change_))


def test_a_clock_can_be_given_and_only_a_restored_database_s_evidence_is_a_drill(engine: Engine) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    store = IncidentStore(engine, Journal(engine, lambda: "ana"), clock=lambda: now)
    about_key = store.declare(DRAFT)
    with store.change(about_key, "ana") as change:
        change.keep("one", EvidenceDraft("verification", "V", "{}"))
    assert store.last_evidence("verification") is None
    about_database = store.declare(
        IncidentDraft(**{n: getattr(DRAFT, n) for n in DRAFT.__slots__} | {"scope": {"database": "restored"}})
    )
    with store.change(about_database, "ana") as change:
        change.keep("one", EvidenceDraft("verification", "V", "{}"))
    assert store.last_evidence("verification") == now
    assert store.get(about_database).declared_at == now
    assert [row.id for row, _ in store.list(closed=False, limit=9)] == [about_database, about_key]
    with store.change(about_database, "ben") as change:
        change.close("Over")
    assert [row.id for row, _ in store.list(closed=True, limit=9)] == [about_key, about_database]
    assert [row.id for row, _ in store.list(closed=False, limit=9)] == [about_key]
    assert store.list(closed=False, limit=0) == ()


def test_to_look_at_a_long_incident_takes_one_statement_for_each_table_and_reads_no_evidence(
    store: IncidentStore, engine: Engine
) -> None:
    number = store.declare(DRAFT)
    content = '{"é": "' + "x" * 5_000 + '"}'
    with store.change(number, "ana") as change:
        for piece in range(100):
            change.keep("one", EvidenceDraft("census", f"Census {piece}", content))
        for _ in range(400):
            change.tell("note", "one", "Said.")
    with sent_by(engine) as asked:
        whole = store.whole(number)
    assert (len(whole.entries), len(whole.evidence)) == (501, 100)
    assert {piece.characters for piece in whole.evidence} == {len(content)}
    tables = [re.findall(r"FROM keydeck\.(\w+)", statement) for statement, _ in asked]
    assert sorted(tables) == [
        ["incident"],
        ["incident_entry"],
        ["incident_evidence"],
        ["incident_presence"],
        ["incident_step"],
        ["journal"],
    ]
    assert not any("content" in statement for statement, _ in asked)


def test_a_role_without_the_grant_is_told_which(
    store: IncidentStore, superuser: Engine, forbid: Callable[[str], None]
) -> None:
    forbid("incident")
    with pytest.raises(MissingGrantError, match="GRANT SELECT, INSERT, UPDATE ON TABLE incident"):
        store.list(closed=True, limit=1)


@pytest.fixture
def forbid(superuser: Engine) -> Callable[[str], None]:
    def revoke(table: str) -> None:
        execute(superuser, f"ALTER TABLE keydeck.{table} OWNER TO CURRENT_USER")

    return revoke
