"""A run is held back, ended, outrun by other writers and by its database, and loses nothing by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crypto_core.envelope import open_envelope, parse
from crypto_core.reencryption.bulk.pipeline import BATCH, CHANGING, MOST, TRIES, RunGate
from crypto_core.reencryption.bulk.ports import Outcome
from crypto_core.reencryption.plan import Verb
from crypto_core.values.errors import DatabaseUnreachableError, KmsThrottledError, LeaseLostError
from tests.crypto_core.reencryption.bulk.kms_in_memory import (
    NEW,
    OLD,
    KmsInMemory,
    data_key_of,
    stored_envelopes,
)
from tests.crypto_core.reencryption.bulk.memory import Table, Tally, ref, task, until, write_tokens

ORDER = task(Verb.REENCRYPT, NEW, OLD)


def must_hold_their_tokens(table: Table) -> None:
    for reference, stored in table.stored.items():
        envelope = parse(stored)
        with open_envelope(envelope, data_key_of(envelope.encrypted_data_key), reference) as token:
            assert token.reveal() == f"ghp_{reference.row_id.removeprefix('gh-')}"


async def test_everything_is_written_with_at_most_so_many_tokens_under_way() -> None:
    table, kms = Table(stored_envelopes(300)), KmsInMemory(0.001)
    tally = await write_tokens(table, ORDER, kms, RunGate(in_flight=16))
    assert (tally.read, tally.written, tally.complete) == (300, 300, True)
    assert kms.most_under_way == 16
    must_hold_their_tokens(table)


@pytest.mark.deep
async def test_held_back_nothing_is_asked_and_what_is_sealed_is_written() -> None:
    table, kms, control = Table(stored_envelopes(400)), KmsInMemory(0.02), RunGate(in_flight=8)
    running = asyncio.create_task(write_tokens(table, ORDER, kms, control))
    await until(lambda: table.tally.written > 20)
    control.gate.clear()
    await asyncio.sleep(1.0)
    asked, written = kms.calls, table.tally.written
    await asyncio.sleep(0.5)
    assert (kms.calls, table.tally.written, kms.under_way) == (asked, written, 0)
    assert len(table.changed) == written < 400
    control.gate.set()
    assert (await running).complete
    assert len(table.changed) == 400


async def test_calls_that_hang_do_not_keep_a_run_from_being_held_back() -> None:
    table, kms, control = Table(stored_envelopes(20)), KmsInMemory(3600.0), RunGate()
    running = asyncio.create_task(write_tokens(table, ORDER, kms, control))
    await until(lambda: kms.under_way == 20)
    control.gate.clear()
    await until(lambda: kms.under_way == 0, seconds=5)
    kms.seconds = 0.0
    control.gate.set()
    assert (await running).written == 20


async def test_stopped_a_run_writes_what_is_sealed_and_leaves_the_rest() -> None:
    table, kms, control = Table(stored_envelopes(400)), KmsInMemory(0.02), RunGate(in_flight=8)
    running = asyncio.create_task(write_tokens(table, ORDER, kms, control))
    await until(lambda: table.tally.written > 20)
    control.stop.set()
    tally = await running
    assert not tally.complete
    assert len(table.changed) == tally.written < 400
    must_hold_their_tokens(table)


async def test_stopped_while_held_back_a_run_ends() -> None:
    table, control = Table(stored_envelopes(50)), RunGate()
    control.gate.clear()
    running = asyncio.create_task(write_tokens(table, ORDER, KmsInMemory(), control))
    control.stop.set()
    assert (await running) == Tally()


async def test_what_is_sealed_behind_a_token_that_hangs_is_written_when_the_run_is_stopped() -> None:
    class OneHangs(KmsInMemory):
        async def _call(self) -> None:
            first = self.calls == 0
            await super()._call()
            if first:
                await asyncio.sleep(3600)

    table, control = Table(stored_envelopes(30)), RunGate()
    running = asyncio.create_task(write_tokens(table, ORDER, OneHangs(), control))
    await asyncio.sleep(0.5)
    assert not table.changed
    control.stop.set()
    assert (await running).written == 29
    assert table.changed == {ref(number) for number in range(1, 30)}


async def test_a_token_that_changed_meanwhile_is_read_again_and_written() -> None:
    table = Table(stored_envelopes(30))
    platforms = {ref(number): stored for number, stored in enumerate(stored_envelopes(3).values())}

    def platform_writes(batch: Sequence[Outcome]) -> None:
        table.stored.update(platforms)
        platforms.clear()

    table.committing = platform_writes
    tally = await write_tokens(table, ORDER, KmsInMemory(), RunGate())
    assert (tally.written, tally.conflicts, tally.poisoned, tally.complete) == (30, 3, 0, True)
    must_hold_their_tokens(table)


@pytest.mark.deep
async def test_a_token_that_keeps_changing_is_told_and_never_overwritten() -> None:
    table = Table(stored_envelopes(10))

    def platform_writes(batch: Sequence[Outcome]) -> None:
        table.stored[ref(0)] = next(iter(stored_envelopes(1).values()))

    table.committing = platform_writes
    tally = await write_tokens(table, ORDER, KmsInMemory(), RunGate())
    assert (tally.written, tally.conflicts, tally.complete) == (9, TRIES, True)
    assert [(p.token.ref, p.kind) for p in table.poisoned] == [(ref(0), CHANGING)]


async def test_a_row_that_was_only_held_is_written_without_asking_kms_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.token_sealer.PROVED", 10**12)
    table, kms = Table(stored_envelopes(10)), KmsInMemory()
    held = {ref(4): table.stored[ref(4)]}
    swap = table.commit

    def skipping(batch: Sequence[Outcome]) -> object:
        if not table.batches:
            table.stored.pop(ref(4))
            done = swap(batch)
            table.stored.update(held)
            return done
        return swap(batch)

    table.commit = skipping  # type: ignore[method-assign, assignment]
    tally = await write_tokens(table, ORDER, kms, RunGate())
    assert (tally.written, tally.conflicts, kms.calls, tally.kms_calls) == (10, 1, 21, 21)
    must_hold_their_tokens(table)


async def test_a_token_that_is_gone_when_it_is_read_again_is_left() -> None:
    table = Table(stored_envelopes(10))
    table.committing = lambda batch: table.stored.pop(ref(3), None)  # type: ignore[assignment, return-value]
    tally = await write_tokens(table, ORDER, KmsInMemory(), RunGate())
    assert (tally.written, tally.vanished, tally.poisoned, tally.complete) == (9, 1, 0, True)


@pytest.mark.parametrize("error", [LeaseLostError("Lost."), DatabaseUnreachableError("No answer.")])
async def test_a_lost_lease_and_a_failing_database_end_the_run(error: Exception) -> None:
    table = Table(stored_envelopes(2_000))

    def fail(batch: Sequence[Outcome]) -> None:
        if table.batches:
            raise error

    table.committing = fail
    with pytest.raises(type(error)):
        await write_tokens(table, ORDER, KmsInMemory(), RunGate())
    assert len(table.changed) == table.tally.written == len(table.batches[0])


async def test_pages_that_can_not_be_read_end_the_run_once_what_is_sealed_is_written() -> None:
    class Unreadable(Table):
        def next(self) -> Sequence[object]:  # type: ignore[override]
            if self.tally.read >= 100:
                raise DatabaseUnreachableError("No connection.")
            return super().next()

    table = Unreadable(stored_envelopes(200))
    with pytest.raises(DatabaseUnreachableError):
        await write_tokens(table, ORDER, KmsInMemory(), RunGate())
    assert table.changed
    must_hold_their_tokens(table)


@pytest.mark.deep
async def test_a_slow_database_keeps_what_is_in_memory_bounded() -> None:
    table, kms = Table(stored_envelopes(MOST * 2), page=500), KmsInMemory()
    table.commit_seconds = 0.05
    tally = await write_tokens(table, ORDER, kms, RunGate())
    assert tally.complete
    assert table.most_unwritten <= MOST + 500 + BATCH
    assert max(len(batch) for batch in table.batches) == BATCH


async def test_trouble_that_lasts_ends_the_run_with_kms_own_error_and_poisons_nothing() -> None:
    table, kms = Table(stored_envelopes(4_000)), KmsInMemory(0.002)
    control = RunGate(in_flight=8, patience_seconds=0.5)
    running = asyncio.create_task(write_tokens(table, ORDER, kms, control))
    await until(lambda: table.tally.written > 10)
    kms.failing = KmsThrottledError("The quota is used up.")
    with pytest.raises(KmsThrottledError):
        await running
    assert not table.poisoned
    assert len(table.changed) == table.tally.written < 4_000
    must_hold_their_tokens(table)


async def test_trouble_that_passes_is_waited_out() -> None:
    table, kms = Table(stored_envelopes(100)), KmsInMemory()
    kms.failing = KmsThrottledError("The quota is used up.")
    running = asyncio.create_task(write_tokens(table, ORDER, kms, RunGate()))
    await until(lambda: kms.calls > 150)
    kms.failing = None
    tally = await running
    assert (tally.written, tally.poisoned, tally.complete) == (100, 0, True)
