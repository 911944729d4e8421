"""Tokens are written anew and hold what they held; whatever happens on the way, none is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import boto3
import pytest
from sqlalchemy import Engine, text

from console.sandbox.corruption import Corruption
from console.sandbox.endpoint import Denial, Fault
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from console.wiring import Wired, wire
from crypto_core.cipher import TokenCipher
from crypto_core.consent import Consent
from crypto_core.database.answers import Answer, AnswerBook
from crypto_core.database.tables import PLATFORM_TABLES
from crypto_core.envelope import Format, classify, parse
from crypto_core.reencryption import patience, runner
from crypto_core.reencryption.plan import Plan, RunProgress, RunResult, Selection, Verb
from crypto_core.references import RowRef, TokenRef


def everything(platform: Engine) -> dict[TokenRef, str]:
    """Every value in a token column that isn't NULL."""
    found: dict[TokenRef, str] = {}
    with platform.connect() as connection:
        for table in PLATFORM_TABLES:
            for column in table.token_columns:
                rows = connection.execute(
                    text(f"SELECT id::text, {column} FROM {table.name} WHERE {column} IS NOT NULL")
                )
                found |= {TokenRef(table.name, column, row_id): stored for row_id, stored in rows}
    return found


def put(platform: Engine, ref: TokenRef, stored: str | None) -> None:
    with platform.begin() as connection:
        connection.execute(
            text(f"UPDATE {ref.table} SET {ref.column} = :stored WHERE id::text = :id"),
            {"stored": stored, "id": ref.row_id},
        )


def insert(platform: Engine, row_id: str, stored: str) -> TokenRef:
    with platform.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO gh_connection"
                " (id, org_id, user_id, access_token, token_type, scopes, created_at)"
                " VALUES (:id, 'org-new', 'user-new', :stored, 'oauth', '[]', now())"
            ),
            {"id": row_id, "stored": stored},
        )
    return TokenRef("gh_connection", "access_token", row_id)


@pytest.fixture
def cipher(services: Wired, world: World) -> TokenCipher:
    """Opens what is under any key of the test: the world's and those that a test trusts by `trusting`."""
    return TokenCipher(services.keyring)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of five, so that a run of the generated tokens has a middle; no long wait for KMS."""
    monkeypatch.setattr(runner, "PAGE", 5)
    monkeypatch.setattr(patience, "FIRST_WAIT_SECONDS", 0.01)


def plan(services: Wired, verb: Verb, selection: Selection, target: str) -> Plan:
    return services.services.work.plan(verb, selection, target)


def run(services: Wired, verb: Verb, selection: Selection, target: str, **options: Any) -> RunResult:
    made = plan(services, verb, selection, target)
    return services.services.work.run(made, Consent.by_option(made), **options)


def under(services: Wired, key_arn: str) -> int:
    """How many tokens are under a key, every one of them asked."""
    verified = services.services.work.verify(Selection(everything=True))
    return sum(v.key_arn == key_arn for v in verified)


def all_hold_their_tokens(cipher: TokenCipher, platform: Engine, world: World) -> bool:
    """Every generated token that opened before the test opens and is what was issued."""
    stored = everything(platform)
    for ref, token in world.tokens.items():
        if token.corruption is not None:
            continue
        value = stored[ref]
        if classify(value).format is Format.V1:
            value = cipher.decrypt(value).reveal()
        elif token.format is Format.DEV:
            continue
        if value != world.token_for(ref):
            return False
    return True


# One token


@pytest.mark.parametrize("verb", [Verb.REWRAP, Verb.REENCRYPT])
def test_one_token_is_moved_to_another_key(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, verb: Verb
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    before = everything(platform)
    result = run(services, verb, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.complete, result.stopped_by, result.planned) == (1, True, "", 1)
    # One more: the envelope does not name its key, and the other trusted key is asked first.
    assert result.kms_calls == verb.calls_per_token + 1
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == {ref}
    opened = cipher.open(after[ref])
    assert opened.token.reveal() == world.token_for(ref)
    assert opened.wrapped_by.key_arn == world.current_key.arn
    assert opened.wrapped_by.key_material_id == world.current_key.material_ids[-1]
    old, new = parse(before[ref]), parse(after[ref])
    assert old.encrypted_data_key != new.encrypted_data_key
    same = (old.nonce, old.ciphertext) == (new.nonce, new.ciphertext)
    assert same is (verb is Verb.REWRAP)
    row = services.services.inventory.row(ref)
    assert (row.key_arn, row.evidence) == (world.current_key.arn, "verified")


@pytest.mark.parametrize("format_", [Format.PLAINTEXT, Format.DEV])
def test_one_token_is_encrypted_in_place(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, format_: Format
) -> None:
    ref = next(r for r, t in world.tokens.items() if t.format is format_)
    result = run(services, Verb.ENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.complete, result.kms_calls) == (1, True, 1)
    assert cipher.decrypt(everything(platform)[ref]).reveal() == world.token_for(ref)


def test_a_row_reference_moves_every_token_of_the_row(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    refresh = next(
        r
        for r in world.sealed_under(world.old_key)
        if (r.table, r.column) == ("gh_connection", "refresh_token")
    )
    row = RowRef("gh_connection", refresh.row_id)
    assert run(services, Verb.REENCRYPT, Selection((row, refresh)), world.current_key.arn).done == 2
    for ref in services.catalogue().references(row):
        opened = cipher.open(everything(platform)[ref])
        assert opened.token.reveal() == world.token_for(ref)
        assert opened.wrapped_by.key_arn == world.current_key.arn


def test_the_alias_of_a_key_may_name_the_target(services: Wired, world: World, platform: Engine) -> None:
    ref = world.sealed_under(world.old_key)[0]
    made = plan(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.alias)
    assert (made.target_key_arn, made.target_name) == (world.current_key.arn, world.current_key.alias)
    assert services.services.work.run(made, Consent.by_option(made)).done == 1


def test_a_token_can_move_to_a_key_that_is_not_configured(
    services: Wired, world: World, platform: Engine, new_key: Callable[[], str]
) -> None:
    target, ref = new_key(), world.sealed_under(world.current_key)[0]
    assert run(services, Verb.REENCRYPT, Selection((ref,)), target).complete
    opened = TokenCipher(services.keyring.trusting(target)).open(everything(platform)[ref])
    assert (opened.token.reveal(), opened.wrapped_by.key_arn) == (world.token_for(ref), target)


# Many tokens


@pytest.mark.parametrize("verb", [Verb.REWRAP, Verb.REENCRYPT])
@pytest.mark.usefixtures("small_pages")
def test_a_key_is_emptied_and_every_token_is_what_it_was(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, superuser: Engine, verb: Verb
) -> None:
    old = world.old_key
    before = everything(platform)
    told: list[RunProgress] = []
    result = run(services, verb, Selection(under_key=old.alias), world.current_key.arn, progress=told.append)
    intact = set(world.sealed_under(old))
    assert result.done == len(intact)
    assert (result.remaining, result.stopped_by, result.interrupted) == (0, "", False)
    assert all(p.total == result.planned for p in told)
    assert [p.done for p in told] == sorted(p.done for p in told)
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == intact
    assert all_hold_their_tokens(cipher, platform, world)
    assert under(services, old.arn) == 0
    with superuser.connect() as connection:
        kept = connection.execute(
            text("SELECT token_column, row_id, envelope, key_arn FROM keydeck.envelope_backup")
        ).all()
    assert {(c, i): (e, k) for c, i, e, k in kept} == {
        (f"{r.table}.{r.column}", r.row_id): (before[r], old.arn) for r in intact
    }


def test_the_broken_tokens_of_an_emptied_key_are_told_and_left_byte_for_byte(
    services: Wired, world: World, platform: Engine
) -> None:
    before = everything(platform)
    broken = {r for r in world.corrupt if world.tokens[r].format is Format.V1}
    result = run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    assert {u.reference for u in result.poisoned} == {str(r) for r in broken}
    assert all(u.reason for u in result.poisoned)
    assert not result.complete
    assert (result.done, result.remaining) == (world.by_format[Format.V1] - len(broken), 0)
    after = everything(platform)
    assert {r: after[r] for r in broken} == {r: before[r] for r in broken}
    swapped = next(r for r, c in world.corrupt.items() if c is Corruption.SWAPPED_DATA_KEY)
    assert any(str(swapped) == u.reference and "tag" in u.reason for u in result.poisoned)


def test_a_second_run_finds_nothing_left_to_do(services: Wired, world: World) -> None:
    selection = Selection(under_key=world.old_key.arn)
    run(services, Verb.REENCRYPT, selection, world.current_key.arn)
    again = plan(services, Verb.REENCRYPT, selection, world.current_key.arn)
    assert again.tokens == 0
    result = services.services.work.run(again, Consent.by_option(again))
    assert (result.done, result.remaining, result.complete) == (0, 0, True)


@pytest.mark.usefixtures("small_pages")
def test_everything_unprotected_is_encrypted_in_place(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, superuser: Engine
) -> None:
    result = run(services, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    refs = {*world.plaintext_refs, *world.dev_refs}
    assert (result.done, result.complete, result.kms_calls) == (len(refs), True, len(refs))
    stored = everything(platform)
    assert all(cipher.decrypt(stored[ref]).reveal() == world.token_for(ref) for ref in refs)
    status = services.services.status.take()
    assert status.by_format[Format.PLAINTEXT] == status.by_format[Format.DEV] == 0
    assert status.by_format[Format.UNRECOGNISED] == world.by_format[Format.UNRECOGNISED]
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM keydeck.envelope_backup")) == 0


def test_every_envelope_gets_a_new_data_key(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    before = everything(platform)
    run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    after = everything(platform)
    for ref, token in world.tokens.items():
        if token.format is Format.V1 and token.corruption is None:
            old, new = parse(before[ref]), parse(after[ref])
            assert old.nonce != new.nonce
            assert old.ciphertext != new.ciphertext
    assert all_hold_their_tokens(cipher, platform, world)
    status = services.services.status.take()
    assert {s.key_arn for s in status.keys if s.key_arn} == {world.current_key.arn}


def test_dev_tokens_under_another_dev_key_are_left_alone(
    services: Wired, world: World, platform: Engine, environment: dict[str, str]
) -> None:
    from cryptography.fernet import Fernet

    before = everything(platform)
    wired = wire(load({"dev_key": Fernet.generate_key().decode()}).settings)
    result = run(wired, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    wired.close()
    assert {u.reference for u in result.poisoned} == set(map(str, world.dev_refs))
    assert (result.done, result.remaining) == (len(world.plaintext_refs), 0)
    after = everything(platform)
    assert all(after[ref] == before[ref] for ref in world.dev_refs)
    assert "development key" in result.poisoned[0].reason


# Others write meanwhile


class Writer:
    """Writes under the old key while a run goes on, as a platform does that has not been switched over."""

    def __init__(self, platform: Engine, services: Wired, world: World) -> None:
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
            ref = insert(self._platform, f"gh-a-{self._number}", sealed)
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


@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
@pytest.mark.usefixtures("small_pages")
def test_a_platform_that_goes_on_writing_under_the_old_key_loses_nothing(
    services: Wired, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher, verb: Verb
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
    result = services.services.work.run(made, Consent.by_option(made), progress=progress)
    stop.set()
    thread.join(timeout=60)
    sandbox.control.clear()
    assert result.stopped_by == ""
    assert writer.all_there(cipher)
    assert under(services, world.old_key.arn) == 0
    assert pages > 4


@pytest.mark.usefixtures("small_pages")
def test_a_token_that_changes_under_the_runs_hands_is_read_and_tried_again(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    newer = cipher.encrypt("gho_newer", world.old_key.arn).stored
    original = services.store.write
    changed = []

    def write(*arguments: Any, **options: Any) -> frozenset[TokenRef]:
        if not changed:
            changed.append(ref)
            put(platform, ref, newer)
        return original(*arguments, **options)

    monkeypatch.setattr(services.store, "write", write)
    result = run(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, result.conflicts_retried, result.complete) == (1, 1, True)
    opened = cipher.open(everything(platform)[ref])
    assert (opened.token.reveal(), opened.wrapped_by.key_arn) == ("gho_newer", world.current_key.arn)


def test_a_token_that_never_stops_changing_is_told_and_keeps_the_others_value(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = world.sealed_under(world.old_key)[0]
    original = services.store.write
    writes: list[str] = []

    def write(*arguments: Any, **options: Any) -> frozenset[TokenRef]:
        writes.append(f"gho_{len(writes)}")
        put(platform, ref, cipher.encrypt(writes[-1], world.old_key.arn).stored)
        return original(*arguments, **options)

    monkeypatch.setattr(services.store, "write", write)
    result = run(services, Verb.REENCRYPT, Selection((ref,)), world.current_key.arn)
    assert (result.done, len(result.poisoned)) == (0, 1)
    assert "kept changing" in result.poisoned[0].reason
    assert cipher.decrypt(everything(platform)[ref]).reveal() == writes[-1]


@pytest.mark.parametrize("becomes", ["deleted", "plaintext", "under the new key"])
def test_what_others_have_written_or_removed_meanwhile_is_left_alone(
    services: Wired,
    world: World,
    platform: Engine,
    cipher: TokenCipher,
    monkeypatch: pytest.MonkeyPatch,
    becomes: str,
) -> None:
    ref = next(r for r in world.sealed_under(world.old_key) if r.column == "access_token")
    new = cipher.encrypt("gho_new", world.current_key.arn).stored
    original = services.store.write
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
    monkeypatch.setattr(services.store, "write", write)
    result = services.services.work.run(made, Consent.by_option(made))
    assert result.changed_meanwhile >= 1
    assert (result.stopped_by, result.remaining) == ("", 0)
    expected = {"deleted": None, "plaintext": "gho_plain", "under the new key": new}[becomes]
    assert everything(platform).get(ref) == expected


@pytest.mark.deep
def test_a_platform_that_never_stops_is_told_as_not_complete(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    number = 0

    def progress(_: RunProgress) -> None:
        nonlocal number
        number += 1
        insert(platform, f"gh-a-{number}", cipher.encrypt(f"gho_{number}", world.old_key.arn).stored)

    result = services.services.work.run(made, Consent.by_option(made), progress=progress)
    assert result.remaining >= 1
    assert not result.complete
    assert number >= runner.PASSES


# KMS fails


TROUBLES = {
    "KMSInternalException": Fault("Decrypt", "KMSInternalException"),
    "KeyUnavailableException": Fault("GenerateDataKey", "KeyUnavailableException"),
    "DependencyTimeoutException": Fault("*", "DependencyTimeoutException"),
    "ThrottlingException": Fault("Decrypt", "ThrottlingException"),
    "ExpiredTokenException": Fault("GenerateDataKey", "ExpiredTokenException"),
    "reset": Fault("GenerateDataKey", "reset"),
    "LimitExceededException": Fault("GenerateDataKey", "LimitExceededException"),
    "AccessDenied Decrypt": Denial("*", "kms:Decrypt"),
    "AccessDenied GenerateDataKey": Denial("*", "kms:GenerateDataKey"),
}


def cause(sandbox: Sandbox, trouble: Fault | Denial) -> None:
    if isinstance(trouble, Fault):
        sandbox.control.add_fault(trouble)
    else:
        sandbox.control.add_denial(trouble)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
@pytest.mark.usefixtures("small_pages")
def test_a_kms_that_fails_in_the_middle_stops_the_run_and_a_second_run_completes_it(
    services: Wired,
    sandbox: Sandbox,
    world: World,
    platform: Engine,
    cipher: TokenCipher,
    trouble: Fault | Denial,
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    pages = 0

    def progress(_: RunProgress) -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            cause(sandbox, trouble)

    before = everything(platform)
    result = services.services.work.run(made, Consent.by_option(made), progress=progress)
    sandbox.control.clear()
    assert result.stopped_by
    assert not result.complete
    assert 0 < result.done < made.tokens
    assert result.done + result.remaining + len(result.poisoned) == made.tokens
    after = everything(platform)
    assert sum(after[r] != before[r] for r in after) == result.done
    assert all_hold_their_tokens(cipher, platform, world)
    second = run(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    assert (second.stopped_by, second.remaining) == ("", 0)
    assert result.done + second.done == len(world.sealed_under(world.old_key))
    assert all_hold_their_tokens(cipher, platform, world)
    assert under(services, world.old_key.arn) == 0


@pytest.mark.parametrize("operation", ["Decrypt", "ReEncrypt"])
@pytest.mark.usefixtures("small_pages")
def test_a_rewrap_that_is_stopped_in_the_middle_loses_nothing(
    services: Wired, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher, operation: str
) -> None:
    made = plan(services, Verb.REWRAP, Selection(everything=True), world.current_key.arn)

    def progress(told: RunProgress) -> None:
        if told.done > 20:
            sandbox.control.add_fault(Fault(operation, "KMSInternalException"))

    result = services.services.work.run(made, Consent.by_option(made), progress=progress)
    sandbox.control.clear()
    assert operation in result.stopped_by
    assert 20 < result.done < made.tokens
    assert all_hold_their_tokens(cipher, platform, world)


def test_some_calls_that_fail_are_retried_and_the_run_completes(
    services: Wired, sandbox: Sandbox, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    sandbox.control.add_fault(Fault("*", "KMSInternalException", count=3))
    result = services.services.work.run(made, Consent.by_option(made))
    sandbox.control.clear()
    assert (result.stopped_by, result.remaining) == ("", 0)
    assert all_hold_their_tokens(cipher, platform, world)


@pytest.mark.usefixtures("small_pages")
def test_a_target_that_is_disabled_in_the_middle_stops_the_run(
    services: Wired, sandbox: Sandbox, world: World, platform: Engine, new_key: Callable[[], str]
) -> None:
    target, kms = new_key(), sandbox.client("kms")
    made = plan(services, Verb.REENCRYPT, Selection(everything=True), target)

    def progress(told: RunProgress) -> None:
        if told.done >= 10:
            kms.disable_key(KeyId=target)

    result = services.services.work.run(made, Consent.by_option(made), progress=progress)
    kms.enable_key(KeyId=target)
    assert "disabled" in result.stopped_by
    assert result.remaining > 0
    assert all_hold_their_tokens(TokenCipher(services.keyring.trusting(target)), platform, world)


def test_a_source_that_may_not_be_opened_under_the_target_changes_nothing(
    services: Wired, sandbox: Sandbox, world: World, platform: Engine, new_key: Callable[[], str]
) -> None:
    """Rewrap opens the new envelope before it is stored; without Decrypt on the target nothing is."""
    target = new_key()
    work = services.services.work
    before = everything(platform)
    selections = (Selection(world.sealed_under(world.old_key)[:3]), Selection(under_key=world.old_key.arn))
    plans = [work.plan(Verb.REWRAP, selection, target) for selection in selections]
    sandbox.control.add_denial(Denial("*", "kms:Decrypt", target.rpartition("/")[2]))
    for plan in plans:
        result = work.run(plan, Consent.by_option(plan))
        assert result.done == 0
        assert result.stopped_by or result.poisoned
    sandbox.control.clear()
    assert everything(platform) == before


def test_tokens_under_a_key_that_is_not_trusted_are_told_and_left_alone(
    services: Wired, world: World, platform: Engine, new_key: Callable[[], str]
) -> None:
    foreign = new_key()
    sealed = TokenCipher(services.keyring.trusting(foreign)).encrypt("gho_foreign", foreign).stored
    ref = insert(platform, "gh-foreign", sealed)
    other = world.sealed_under(world.old_key)[0]
    result = run(services, Verb.REENCRYPT, Selection((ref, other)), world.current_key.arn)
    assert result.done == 1
    (left,) = result.poisoned
    assert left.reference == str(ref)
    assert foreign in left.reason
    assert everything(platform)[ref] == sealed


def test_a_key_named_as_source_is_trusted_for_the_run(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher, new_key: Callable[[], str]
) -> None:
    foreign = new_key()
    sealed = TokenCipher(services.keyring.trusting(foreign)).encrypt("gho_foreign", foreign).stored
    ref = insert(platform, "gh-foreign", sealed)
    assert run(services, Verb.REENCRYPT, Selection(under_key=foreign), world.current_key.arn).done == 1
    assert cipher.decrypt(everything(platform)[ref]).reveal() == "gho_foreign"


def test_a_token_of_another_key_in_a_doubtful_group_is_not_moved(
    services: Wired, world: World, platform: Engine
) -> None:
    """The prefix is a hint: KMS's answer about the very token decides, also between two trusted keys."""
    before = everything(platform)
    current = world.sealed_under(world.current_key)
    prefix = parse(before[current[0]]).edk_prefix
    old = world.old_key
    AnswerBook(services.engine).remember([Answer(b"x" * 32, prefix, old.arn, old.material_ids[0])])
    target = services.services.keys.describe(world.current_key.arn)
    made = plan(services, Verb.REENCRYPT, Selection(under_key=old.arn), target.key_arn)
    assert made.tokens > len(world.sealed_under(old))
    result = services.services.work.run(made, Consent.by_option(made))
    after = everything(platform)
    assert {r for r in after if after[r] != before[r]} == set(world.sealed_under(old))
    assert result.changed_meanwhile >= 1
    assert result.remaining == 0


def test_a_row_that_the_database_rejects_holds_up_no_other_and_is_told_once(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher
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
    result = run(services, Verb.REENCRYPT, Selection(under_key=world.old_key.arn), world.current_key.arn)
    told = {u.reference: u.reason for u in result.poisoned}
    assert "not this one" in told[str(stubborn)]
    assert result.remaining == 0
    assert result.done == len(world.sealed_under(world.old_key)) - sum(
        r.row_id == stubborn.row_id and r.table == "gh_connection" for r in world.sealed_under(world.old_key)
    )
    assert everything(platform)[stubborn] == before[stubborn]


def test_a_multi_region_key_is_emptied_whichever_replica_kms_has_named(
    services: Wired, environment: dict[str, str], world: World, platform: Engine
) -> None:
    kms = boto3.client("kms", region_name="eu-west-1")
    primary = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    replica = kms.replicate_key(KeyId=primary, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"]
    sealing = TokenCipher(services.keyring.trusting(primary))
    refs = [insert(platform, f"gh-mrk-{n}", sealing.encrypt(f"gho_{n}", primary).stored) for n in range(4)]
    envelopes = [services.store.read(ref) for ref in refs]
    AnswerBook(services.engine).remember(
        Answer(t.digest, parse(t.value.reveal()).edk_prefix, replica, "m") for t in envelopes[:2]
    )
    result = run(services, Verb.REENCRYPT, Selection(under_key=primary), world.current_key.arn)
    assert (result.done, result.complete) == (4, True)
    cipher = TokenCipher(services.keyring)
    assert [cipher.decrypt(everything(platform)[ref]).reveal() for ref in refs] == [
        f"gho_{n}" for n in range(4)
    ]


def test_nobody_is_asked_who_acts_while_rows_are_locked(
    services: Wired, world: World, superuser: Engine, monkeypatch: pytest.MonkeyPatch
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


# Cancelled


@pytest.mark.usefixtures("small_pages")
def test_a_cancelled_run_leaves_whole_tokens_and_goes_on_later(
    services: Wired, world: World, platform: Engine, cipher: TokenCipher
) -> None:
    made = plan(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn)
    cancelled = Event()

    def progress(told: RunProgress) -> None:
        if told.done >= 20:
            cancelled.set()

    result = services.services.work.run(made, Consent.by_option(made), progress=progress, cancelled=cancelled)
    assert result.interrupted
    assert 20 <= result.done < made.tokens
    assert result.done + result.remaining + len(result.poisoned) == made.tokens
    assert not result.complete
    assert all_hold_their_tokens(cipher, platform, world)
    assert run(services, Verb.REENCRYPT, Selection(everything=True), world.current_key.arn).remaining == 0
    assert all_hold_their_tokens(cipher, platform, world)


def test_a_run_cancelled_before_it_begins_asks_nothing_and_writes_nothing(
    services: Wired, world: World, platform: Engine
) -> None:
    before = everything(platform)
    made = plan(services, Verb.ENCRYPT, Selection(unprotected=True), world.current_key.arn)
    cancelled = Event()
    cancelled.set()
    result = services.services.work.run(made, Consent.by_option(made), cancelled=cancelled)
    assert (result.done, result.kms_calls, result.interrupted) == (0, 0, True)
    assert result.remaining == made.tokens
    assert everything(platform) == before


def test_a_wrong_answer_of_kms_is_never_stored(
    services: Wired, world: World, platform: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrapped data key that is not the token's own: the new envelope would not open."""
    other = parse(services.store.read(world.sealed_under(world.current_key)[0]).value.reveal())
    original = services.kms.call

    def call(operation: str, **parameters: Any) -> dict[str, Any]:
        answer = original(operation, **parameters)
        if operation == "ReEncrypt":
            answer["CiphertextBlob"] = other.encrypted_data_key
        return answer

    before = everything(platform)
    monkeypatch.setattr(services.kms, "call", call)
    result = run(
        services, Verb.REWRAP, Selection(world.sealed_under(world.old_key)[:2]), world.current_key.arn
    )
    assert result.done == 0
    assert len(result.poisoned) == 2
    assert everything(platform) == before


@pytest.mark.usefixtures("small_pages")
def test_a_kms_error_says_nothing_of_the_token(services: Wired, sandbox: Sandbox, world: World) -> None:
    ref = world.plaintext_refs[0]
    sandbox.control.add_fault(Fault("GenerateDataKey", "KMSInternalException"))
    result = run(services, Verb.ENCRYPT, Selection((ref,)), world.current_key.arn)
    sandbox.control.clear()
    assert world.token_for(ref) not in str(result)
    assert "GenerateDataKey" in result.stopped_by
