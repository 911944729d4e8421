"""How long a job's transactions hold rows, and what is done before they hold any."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from statistics import median
from time import sleep
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from console.container import Container
from console.sandbox.world import World
from crypto_core import encrypt_token
from crypto_core.database.tokens.chunks import ChunkStore
from crypto_core.database.tokens.store import Replacement, TokenStore
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.reencryption.bulk.batch_sink import FIRST, LOCKED_SECONDS, MOST, STATEMENTS, BatchSize
from crypto_core.reencryption.jobs.model import JobState
from crypto_core.reencryption.plan import Selection
from tests.crypto_core.reencryption.jobs.working import jobs_of


def sizes(row: float, statement: float, transactions: int = 12) -> list[int]:
    """Sizes on a server that takes so many seconds a row, and a statement."""
    size, found = BatchSize(), []
    for _ in range(transactions):
        found.append(size.tokens)
        size.took(size.tokens, STATEMENTS * statement + size.tokens * row, one_statement=statement)
    return found


def test_a_batch_has_as_many_tokens_as_the_server_writes_in_the_time_that_rows_may_be_held() -> None:
    assert sizes(0.00005, 0.0002)[:5] == [FIRST, 64, 128, 256, MOST]
    for row in (0.0005, 0.005, 0.02):
        assert FIRST * row > LOCKED_SECONDS or sizes(row, 0.0002)[0] == FIRST
        for before, tokens in pairwise(sizes(row, 0.0002)):
            assert tokens * row <= LOCKED_SECONDS
            assert tokens <= 2 * before
        assert tokens * row > LOCKED_SECONDS / 2
    assert sizes(1.0, 0.0002)[1:] == [1] * 11


def test_what_every_transaction_takes_makes_no_batch_small() -> None:
    """To a server that is far away a transaction takes long, whatever it writes."""
    for row, statement in ((0.001, 0.02), (0.01, 0.1)):
        held = STATEMENTS * statement
        far = sizes(row, statement)
        assert held / 3 < far[-1] * row <= held / 2


def test_packets_that_are_lost_make_no_batch_small() -> None:
    """Each lost packet makes a transaction longer than it is to be, whatever it writes.

    Where several are lost one after the other a few batches are small, and soon none.
    """
    for seed in range(20):
        lost, size, found = Random(seed), BatchSize(), list[int]()
        for _ in range(400):
            found.append(size.tokens)
            first, *others = (0.0225 + 0.22 * (lost.random() < 0.02) for _ in range(STATEMENTS + 1))
            size.took(size.tokens, sum(others) + size.tokens * 0.0003, one_statement=first)
        assert median(found) > MOST / 4
        assert sum(tokens <= 4 for tokens in found) < len(found) / 100


def test_waiting_for_a_processor_makes_no_batch_small() -> None:
    """A busy host waits before every statement, for longer than the server takes for all of them."""
    waits = Random(1)
    size, found = BatchSize(), []
    for _ in range(200):
        found.append(size.tokens)
        first, *others = (waits.uniform(0.0, 0.1) for _ in range(STATEMENTS + 1))
        size.took(size.tokens, sum(others) + size.tokens * 0.0003, one_statement=first)
    assert median(found) > MOST / 4


def test_a_server_that_becomes_slow_gets_small_transactions_at_once() -> None:
    size = BatchSize()
    for row in (*[0.00005] * 12, *[0.01] * 12):
        held = size.tokens * row
        size.took(size.tokens, STATEMENTS * 0.0002 + held, one_statement=0.0002)
        if row == 0.01:
            assert size.tokens * row <= LOCKED_SECONDS


def test_one_slow_transaction_is_made_good_and_few_tokens_tell_of_none() -> None:
    size = BatchSize()
    size.tokens = MOST
    size.took(MOST, 30.0)
    assert size.tokens == 1
    for _ in range(10):
        size.took(size.tokens, 0.01)
    assert size.tokens == MOST
    size.took(7, 0.01)
    size.took(0, 30.0)
    assert size.tokens == MOST


@pytest.mark.deep
def test_a_slow_server_gets_small_transactions(
    services: Container, superuser: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.batch_sink.FIRST", 4)
    with superuser.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN PERFORM pg_sleep(0.06); RETURN NEW; END$$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER t BEFORE UPDATE ON gh_connection FOR EACH ROW EXECUTE FUNCTION slow()")
        )
    jobs = jobs_of(services)
    jobs.work.batch = 500
    ids = {r.row_id for r in world.sealed_under(world.old_key) if r.table == "gh_connection"}
    view = jobs.service.join_job(jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn))
    assert view.state is JobState.DONE, view.why
    batches = "SELECT count(*) FROM keydeck.envelope_backup WHERE token_column LIKE 'gh%' GROUP BY xmin"
    with superuser.connect() as connection:
        found = list(connection.scalars(text(f"{batches} ORDER BY min(id)")))
    assert sum(found) >= len(ids) > 4
    assert found[0] == 4
    assert median(found) <= LOCKED_SECONDS / 0.06


@pytest.mark.deep
def test_what_is_read_again_once_it_is_committed_makes_no_batch_smaller(
    services: Container, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, slept, judged = TokenStore._require_kept, 2.0, list[float]()

    def slow(*arguments: Any) -> None:
        sleep(slept)
        kept(*arguments)

    monkeypatch.setattr(TokenStore, "_require_kept", slow)
    monkeypatch.setattr(BatchSize, "took", lambda _, tokens, seconds, **__: judged.append(seconds))
    jobs = jobs_of(services)
    view = jobs.service.join_job(jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn))
    assert view.state is JobState.DONE, view.why
    assert judged
    assert median(judged) < slept


def test_what_a_batch_does_before_it_locks_rows_keeps_nobody_waiting(
    services: Container, platform: Engine, world: World
) -> None:
    ref = next(r for r in world.sealed_under(world.current_key) if r.table == "gh_connection")
    lock, free = text("SELECT FROM gh_connection WHERE id = :id FOR UPDATE NOWAIT"), list[bool]()

    def row_is_free() -> bool:
        try:
            with platform.begin() as other:
                other.execute(lock, {"id": ref.row_id})
        except OperationalError:
            return False
        return True

    new = Replacement(services.store.read_token(ref), encrypt_token("gho_new"), None)
    written = services.store.write_tokens(
        uuid4(),
        "reencrypt",
        [new],
        before=lambda connection: free.append(row_is_free()),
        within=lambda connection, written: free.append(row_is_free()),
    )
    assert written == {ref}
    assert free == [True, False]


@pytest.mark.deep
def test_more_chunks_are_cut_without_holding_the_job_and_none_of_a_job_that_was_paused_meanwhile(
    services: Container, superuser: Engine, platform: Engine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To cut a table takes as long as it takes to read it; who pauses or joins the job does not wait."""
    jobs, cipher, cut = jobs_of(services), TokenCipher(services.keyring), ChunkStore.cut_scope
    late = (
        "INSERT INTO gh_connection (id, org_id, user_id, access_token, token_type, scopes, created_at) "
        "VALUES ('late', 'o', 'u', :stored, 'oauth', '[]', now()) ON CONFLICT DO NOTHING"
    )
    stored = cipher.encrypt("gho_late", world.old_key.arn).stored
    more: list[int] = []

    def seal_late() -> None:
        with platform.begin() as connection:
            connection.execute(text(late), {"stored": stored})

    def cut_and_pause(self: ChunkStore, *arguments: Any, **options: Any) -> int:
        tokens = cut(self, *arguments, **options)
        if arguments[2] > 1 and not more:
            jobs.service.pause_job(arguments[1])
        more.append(tokens)
        return tokens

    number = jobs.start(Selection(under_key=world.old_key.arn), world.current_key.arn)
    jobs.work.before = seal_late
    monkeypatch.setattr(ChunkStore, "cut_scope", cut_and_pause)
    assert jobs.service.join_job(number).state is JobState.PAUSED
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT max(wave) FROM keydeck.job_chunk")) == 1
    jobs.service.resume_job(number)
    view = jobs.service.join_job(number)
    assert (view.state, view.wave, more) == (JobState.DONE, 2, [1, 1])
