"""The platform writes, removes and rejects rows while a run goes on: nothing of it is lost."""

from __future__ import annotations

import random
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.guard.consent import Consent
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption import runner
from crypto_core.reencryption.plan import RunProgress, Selection, Verb
from crypto_core.values.references import TokenRef
from tests.crypto_core.reencryption.running.runs import everything, plan, run, under
from tests.platform_rows import connect_github, put


class Writer:
    """Writes under the old key while a run goes on, as a platform does that has not been switched over."""

    def __init__(self, platform: Engine, services: Container, world: World) -> None:
        self._platform = platform
        self._world = world
        self._cipher = TokenCipher(services.keyring)
        self._draw = random.Random(7)
        self.expected: dict[TokenRef, str | None] = {
            ref: world.token_for(ref) for ref in world.sealed_under(world.old_key)
        }
        self._number = 0

    def write(self) -> None:
        self._number += 1
        token = f"gho_written_meanwhile_{self._number}"
        sealed = self._cipher.encrypt(token, self._world.old_key.arn).stored
        ref = self._draw.choice(sorted(self.expected))
        what = self._draw.choice(["update", "update", "update", "delete", "insert"])
        if what == "insert":
            ref = connect_github(self._platform, f"gh-a-{self._number}", sealed)
            self.expected[ref] = token
        elif what == "delete" and ref.column == "access_token":
            with self._platform.begin() as connection:
                connection.execute(text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id})
            for gone in (ref, replace(ref, column="refresh_token")):
                if gone in self.expected:
                    self.expected[gone] = None
        elif self.expected[ref] is not None:
            put(self._platform, ref, sealed)
            self.expected[ref] = token

    def all_there(self, cipher: TokenCipher) -> bool:
        stored = everything(self._platform)
        return all(
            (ref not in stored) if token is None else cipher.decrypt(stored[ref]).reveal() == token
            for ref, token in self.expected.items()
        )


@pytest.mark.deep
@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
@pytest.mark.usefixtures("small_pages")
def test_a_platform_that_goes_on_writing_under_the_old_key_loses_nothing(
    services: Container, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher, verb: Verb
) -> None:
    writer = Writer(platform, services, world)
    made = plan(services, verb, Selection(under_key=world.old_key.arn), world.current_key.arn)
    began, stop = Event(), Event()

    def go_on() -> None:
        for _ in range(80):
            writer.write()
            began.set()
            if stop.is_set():
                break

    thread = Thread(target=go_on)
    pages = 0

    def progress(_: RunProgress) -> None:
        nonlocal pages
        pages += 1
        if pages <= 6:
            writer_busy = thread.is_alive()
            assert writer_busy or pages > 1
        if pages == 4:
            stop.set()
            thread.join(timeout=60)

    sandbox.control.set_latency(10)
    thread.start()
    assert began.wait(timeout=60)
    result = services.services.work.run_plan(made, Consent.by_option(made), progress=progress)
    stop.set()
    thread.join(timeout=60)
    sandbox.control.clear()
    assert result.stopped_by == ""
    assert writer.all_there(cipher)
    assert under(services, world.old_key.arn) == 0
    assert pages > 4


@pytest.mark.usefixtures("small_pages")
def test_a_token_that_changes_under_the_runs_hands_is_read_and_tried_again(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    newer = cipher.encrypt("gho_newer", world.old_key.arn).stored
    original = services.store.write_tokens
    changed = []

    def write(*arguments: Any, **options: Any) -> frozenset[TokenRef]:
        if not changed:
            changed.append(ref)
            put(platform, ref, newer)
        return original(*arguments, **options)

    monkeypatch.setattr(services.store, "write_tokens", write)
    result = run(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.conflicts_retried, result.complete) == (1, 1, True)
    opened = cipher.open(everything(platform)[ref])
    assert (opened.token.reveal(), opened.wrapped_by.key_arn) == ("gho_newer", world.current_key.arn)


def test_a_token_that_never_stops_changing_is_told_and_keeps_the_others_value(
    services: Container, world: World, platform: Engine, cipher: TokenCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    original = services.store.write_tokens
    writes: list[str] = []

    def write(*arguments: Any, **options: Any) -> frozenset[TokenRef]:
        writes.append(f"gho_{len(writes)}")
        put(platform, ref, cipher.encrypt(writes[-1], world.old_key.arn).stored)
        return original(*arguments, **options)

    monkeypatch.setattr(services.store, "write_tokens", write)
    result = run(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, len(result.poisoned)) == (0, 1)
    assert "Another writer changed it" in result.poisoned[0].reason
    assert cipher.decrypt(everything(platform)[ref]).reveal() == writes[-1]


@pytest.mark.quick(1)
@pytest.mark.parametrize("becomes", ["deleted", "plaintext", "under the new key"])
def test_what_others_have_written_or_removed_meanwhile_is_left_alone(
    services: Container,
    world: World,
    platform: Engine,
    cipher: TokenCipher,
    monkeypatch: pytest.MonkeyPatch,
    becomes: str,
) -> None:
    ref = next(r for r in world.sealed_under(world.old_key) if r.column == "access_token")
    new = cipher.encrypt("gho_new", world.current_key.arn).stored
    original = services.store.write_tokens
    changed: list[str] = []

    def write(*arguments: Any, **options: Any) -> frozenset[TokenRef]:
        if not changed:
            changed.append(becomes)
            if becomes == "deleted":
                with platform.begin() as connection:
                    connection.execute(
                        text(f"DELETE FROM {ref.table} WHERE id::text = :id"), {"id": ref.row_id}
                    )
            else:
                put(platform, ref, "gho_plain" if becomes == "plaintext" else new)
        return original(*arguments, **options)

    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    monkeypatch.setattr(services.store, "write_tokens", write)
    result = services.services.work.run_plan(made, Consent.by_option(made))
    assert result.changed_meanwhile >= 1
    assert (result.stopped_by, result.remaining) == ("", 0)
    expected = {"deleted": None, "plaintext": "gho_plain", "under the new key": new}[becomes]
    assert everything(platform).get(ref) == expected


@pytest.mark.deep
def test_a_platform_that_never_stops_is_told_as_not_complete(
    services: Container, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    number = 0

    def progress(_: RunProgress) -> None:
        nonlocal number
        number += 1
        connect_github(platform, f"gh-a-{number}", cipher.encrypt(f"gho_{number}", world.old_key.arn).stored)

    result = services.services.work.run_plan(made, Consent.by_option(made), progress=progress)
    assert result.remaining >= 1
    assert not result.complete
    assert number >= runner.PASSES


@pytest.mark.deep
def test_a_row_that_the_database_rejects_holds_up_no_other_and_is_told_once(
    services: Container, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    refs = [
        r
        for r in world.sealed_under(world.old_key)
        if (r.table, r.column) == ("gh_connection", "access_token")
    ]
    stubborn = refs[1]
    with platform.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$ BEGIN IF NEW.id = '{stubborn.row_id}' THEN RAISE EXCEPTION 'not this one'; END IF;"
                " RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER refuse BEFORE UPDATE ON gh_connection FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    before = everything(platform)
    chosen = Selection(under_key=world.old_key.arn)
    result = run(services, Verb.REENCRYPT, chosen, world.current_key.arn, code="public.refuse")
    told = {u.reference: u.reason for u in result.poisoned}
    assert "not this one" in told[str(stubborn)]
    assert result.remaining == 0
    assert result.done == len(world.sealed_under(world.old_key)) - sum(
        r.row_id == stubborn.row_id and r.table == "gh_connection" for r in world.sealed_under(world.old_key)
    )
    assert everything(platform)[stubborn] == before[stubborn]


def test_nobody_is_asked_who_acts_while_rows_are_locked(
    services: Container, world: World, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS may take its whole time limit to say who acts; the platform must not wait for its rows so long."""
    locked: list[int] = []

    def actor() -> str:
        with superuser.connect() as connection:
            locked.append(
                connection.scalar(
                    text(
                        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                        " WHERE l.mode = 'RowExclusiveLock' AND c.relname LIKE '%\\_connection'"
                    )
                )
                or 0
            )
        return "tester"

    monkeypatch.setattr(services.journal, "_actor", actor)
    refs = world.sealed_under(world.old_key)[:3]
    assert run(services, Verb.REENCRYPT, Selection(refs), world.current_key.arn).done == 3
    assert len(locked) >= 3
    assert set(locked) == {0}
    assert {e.actor for e in services.journal.entries()} == {"tester"}
