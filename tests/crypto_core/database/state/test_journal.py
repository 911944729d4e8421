"""The journal: append-only, chained, and a change to it shows."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from threading import Barrier
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from console.container import Container
from console.sandbox.world import World
from console.settings import load
from crypto_core.database.connection.engine import connected
from crypto_core.database.state.installation import install
from crypto_core.database.state.journal import FIRST, Journal, JournalEntry
from crypto_core.guard.consent import Consent
from crypto_core.guard.guarded_change import Outcome
from crypto_core.reencryption.plan import Selection, Verb
from crypto_core.values.errors import DatabaseError, MissingSchemaError
from tests.crypto_core.statements import execute, scalar

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def journal(services: Container) -> Journal:
    return Journal(services.engine, lambda: "arn:aws:sts::1:role/tester")


@pytest.fixture
def filled(journal: Journal) -> Journal:
    for number in range(1, 9):
        journal.record("rewrap", f"gh_connection.access_token:gh-{number}", Outcome.DONE, {"n": number})
    return journal


def test_an_empty_journal_is_whole(journal: Journal) -> None:
    assert journal.verify() is None
    assert journal.entries() == ()


def test_entries_come_back_as_written_oldest_first(filled: Journal) -> None:
    entries = filled.entries()
    assert [e.seq for e in entries] == list(range(1, 9))
    first = entries[0]
    assert (first.action, first.subject, first.outcome) == (
        "rewrap",
        "gh_connection.access_token:gh-1",
        "done",
    )
    assert (first.actor, json.loads(first.detail)) == ("arn:aws:sts::1:role/tester", {"n": 1})
    assert first.database_role == "operator"
    assert first.previous == FIRST
    assert all(b.previous == a.digest for a, b in pairwise(entries))
    assert [e.seq for e in filled.entries(limit=3)] == [6, 7, 8]
    assert filled.verify() is None


@pytest.mark.parametrize(
    "statement",
    ["UPDATE keydeck.journal SET actor = 'me'", "DELETE FROM keydeck.journal", "TRUNCATE keydeck.journal"],
)
@pytest.mark.parametrize("who", ["operator", "superuser"])
def test_the_database_refuses_to_change_an_entry(
    filled: Journal, superuser: Engine, services: Container, statement: str, who: str
) -> None:
    engine = services.engine if who == "operator" else superuser
    with pytest.raises(DBAPIError, match=r"keydeck\.journal is append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert len(filled.entries()) == 8
    assert filled.verify() is None


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_concurrent_appends_keep_the_chain_whole_whatever_isolation_the_database_defaults_to(
    services: Container, superuser: Engine, isolation: str
) -> None:
    name = superuser.url.database
    execute(superuser, f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    services.engine.dispose()  # a session has the default that stood when it began
    barrier = Barrier(4)

    def append(number: int) -> None:
        journal = Journal(services.engine, lambda: f"thread {number}")
        barrier.wait(timeout=30)
        for entry in range(25):
            journal.record("rewrap", f"{number}/{entry}", Outcome.DONE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    journal = Journal(services.engine, lambda: "")
    entries = journal.entries()
    assert journal.verify() is None
    assert [e.seq for e in entries] == list(range(1, 101))
    for number in range(4):
        own = [e.subject for e in entries if e.actor == f"thread {number}"]
        assert own == [f"{number}/{entry}" for entry in range(25)]


def test_an_entry_within_a_transaction_shares_its_fate(journal: Journal, services: Container) -> None:
    with suppress(DatabaseError), connected(services.engine, write=True) as connection:
        journal.record("rewrap", "rolled back", Outcome.DONE, within=connection)
        connection.execute(text("SELECT 1/0"))
    assert journal.entries() == ()
    with connected(services.engine, write=True) as connection:
        journal.record("rewrap", "one", Outcome.DONE, within=connection)
        journal.record("rewrap", "two", Outcome.DONE, within=connection)
    assert [e.subject for e in journal.entries()] == ["one", "two"]
    assert journal.verify() is None


def test_hostile_text_is_cleaned_and_the_chain_holds(services: Container) -> None:
    journal = Journal(services.engine, lambda: "actor\x1b[31m\u202e\x00" + "x" * 1000)
    hostile = "sub\x00ject\ud800\n\u200b" + "y" * 1000
    journal.record("act\x07ion", hostile, Outcome.DONE, {"text": "\x00\ud800ü'\"\\%s"})
    (entry,) = journal.entries()
    for value in (entry.actor, entry.action, entry.subject):
        assert value.isprintable()
        assert len(value) <= 500
    assert json.loads(entry.detail) == {"text": "\x00\ud800ü'\"\\%s"}
    assert journal.verify() is None


def test_an_entrys_digest_does_not_depend_on_the_sessions_time_zone(
    filled: Journal, superuser: Engine
) -> None:
    with superuser.begin() as connection:
        name = connection.engine.url.database
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Asia/Kathmandu'"))
    before = filled.entries()[0].at
    filled.engine.dispose()
    assert scalar(filled.engine, "SHOW timezone") == "Asia/Kathmandu"
    assert filled.entries()[0].at == before
    filled.record("rewrap", "in Kathmandu", Outcome.DONE)
    assert filled.verify() is None


_texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


_fields = st.tuples(st.lists(_texts, min_size=6, max_size=6), st.none() | _texts)


@example((["é", *[""] * 5], None), (["e\u0301", *[""] * 5], None))
@given(_fields, _fields)
def test_no_two_different_entries_have_one_digest(
    first: tuple[list[str], str | None], second: tuple[list[str], str | None]
) -> None:
    def digest(texts: list[str], role: str | None) -> bytes:
        entry = JournalEntry(1, NOW, *texts, previous=FIRST, digest=b"", database_role=role)  # type: ignore[misc]
        return entry.computed_digest()

    assert (digest(*first) == digest(*second)) is (first == second)


def test_the_digests_of_both_forms_are_as_documented() -> None:
    fields = ["7", "2026-11-24T12:00:00.123456+00:00", "ana", "h", "rewrap", "é", "done", "{}"]

    def encoded(*texts: str) -> bytes:
        return b"".join(struct.pack(">Q", len(t.encode())) + t.encode() for t in texts)

    entry = JournalEntry(7, NOW, "ana", "h", "rewrap", "é", "done", "{}", FIRST, b"")
    assert entry.computed_digest() == hashlib.sha256(bytes(32) + encoded(*fields)).digest()
    second = hashlib.sha256(bytes(32) + encoded("v2", *fields, "operator")).digest()
    assert replace(entry, database_role="operator").computed_digest() == second


def test_one_moment_has_one_digest_in_every_zone() -> None:
    def digest(moment: datetime) -> bytes:
        return JournalEntry(1, moment, "", "", "", "", "", "", FIRST, b"").computed_digest()

    assert digest(NOW) == digest(NOW.astimezone(timezone(timedelta(hours=5, minutes=45))))
    assert digest(NOW) != digest(NOW + timedelta(microseconds=1))


def test_without_the_schema_an_entry_is_refused_with_the_remedy(environment: dict[str, str]) -> None:
    container = Container(load().settings)
    with pytest.raises(MissingSchemaError, match="Keydeck's own schema") as caught:
        container.journal.record("rewrap", "x", Outcome.DONE)
    assert "keydeck init" in caught.value.remedy
    container.close()


# What operators did


def told(container: Container) -> list[tuple[str, str]]:
    return [(e.action, e.outcome) for e in container.journal.entries()]


def last(container: Container) -> tuple[JournalEntry, dict[str, Any]]:
    entry = container.journal.entries()[-1]
    return entry, json.loads(entry.detail)


def test_a_dry_run_a_run_and_its_end_are_told(services: Container, world: World) -> None:
    refs = world.sealed_under(world.old_key)[:3]
    plan = services.services.work.plan_reencryption(Verb.REENCRYPT, Selection(refs), world.current_key.alias)
    assert told(services) == [("reencrypt", "dry run")]
    entry, detail = last(services)
    assert (detail["to"], detail["tokens"]) == (world.current_key.arn, 3)
    assert "role/keydeck-oncall" in entry.actor
    assert "database role operator" in entry.actor
    services.services.work.run_plan(plan, Consent.by_option(plan))
    entries = services.journal.entries()
    outcomes = [e.outcome for e in entries]
    assert outcomes[:2] == ["dry run", "started"]
    assert set(outcomes[2:]) == {"done"}
    written = [r for e in entries[2:-1] for r in json.loads(e.detail)["references"]]
    assert sorted(written) == sorted(map(str, refs))
    _, end = last(services)
    assert (end["run_ended"], end["done"], end["remaining"]) == (True, 3, 0)
    assert services.journal.verify() is None


@pytest.fixture
def elsewhere(empty: Callable[..., Engine], services: Container) -> Iterator[Container]:
    """Services whose journal is in another database, where Keydeck's schema is not yet."""
    url = empty().url.render_as_string(hide_password=False)
    container = Container(load({"state_url": url}).settings)
    yield container
    container.close()


def test_the_journal_may_be_in_another_database(
    elsewhere: Container, services: Container, world: World
) -> None:
    install(elsewhere.state_engine)
    ref = world.sealed_under(world.old_key)[0]
    plan = elsewhere.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert elsewhere.services.work.run_plan(plan, Consent.by_option(plan)).done == 1
    assert [o for _, o in told(elsewhere)] == ["dry run", "started", "done", "done"]
    assert services.journal.entries() == ()


def test_nothing_is_written_where_the_journal_could_not_tell_it(
    elsewhere: Container, services: Container, world: World
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    before = services.store.read_token(ref)
    plan = elsewhere.services.work.plan_reencryption(Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert any("not journaled" in warning for warning in plan.warnings)
    with pytest.raises(MissingSchemaError):
        elsewhere.services.work.run_plan(plan, Consent.by_option(plan))
    assert services.store.read_token(ref) == before
