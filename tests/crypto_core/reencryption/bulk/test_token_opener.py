"""Tokens that are only opened: many at a time, under whichever trusted key, with nothing kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from crypto_core.aws.kms import KmsApi
from crypto_core.database.tokens.store import StoredToken
from crypto_core.keyring.data_keys import UnwrappedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.pipeline import IN_FLIGHT, MOST, RunGate, is_passing, pass_tokens
from crypto_core.reencryption.bulk.ports import Opened, Outcome
from crypto_core.reencryption.bulk.token_opener import opened
from crypto_core.values.errors import (
    CredentialsExpiredError,
    IncorrectKeyError,
    KmsAccessDeniedError,
    KmsThrottledError,
    KmsUnreachableError,
)
from crypto_core.values.secret import exposed
from tests.crypto_core.reencryption.bulk.kms_in_memory import NEW, OLD, KmsInMemory, stored_envelopes
from tests.crypto_core.reencryption.bulk.memory import Table, ref, token_of


class Sink:
    """Keeps what came of each token, and how many were read and not yet here."""

    def __init__(self, table: Table) -> None:
        self.found: list[Opened] = []
        self.most_ahead = 0
        self._table = table

    def commit(self, batch: Sequence[Outcome]) -> Sequence[StoredToken]:
        self.most_ahead = max(self.most_ahead, self._table.tally.read - len(self.found))
        self.found += [outcome for outcome in batch if isinstance(outcome, Opened)]
        return ()


def keyring(*keys: str) -> KmsKeyring:
    return KmsKeyring(KmsApi(["eu-west-1"]), write_key=None, trusted=keys)


def through(table: Table, kms: Any, keys: KmsKeyring) -> Sink:
    sink = Sink(table)
    control = RunGate(passing=is_passing)
    asyncio.run(pass_tokens(table, sink, lambda token: opened(token, keys, kms), control))
    return sink


def test_many_are_asked_about_at_a_time_and_few_are_read_ahead() -> None:
    table, kms = Table(stored_envelopes(10_000), page=500), KmsInMemory(0.002)
    sink = through(table, kms, keyring(OLD))
    assert [one.verification.ref for one in sink.found] == list(table.stored)
    assert all(one.verification.opened and one.verification.key_arn == OLD for one in sink.found)
    assert (kms.calls, kms.most_under_way) == (10_000, IN_FLIGHT)
    assert sink.most_ahead <= MOST + 500


class OneKey(KmsInMemory):
    """Refuses any other key than `key` with an error; what is handed out is kept to be looked at."""

    def __init__(self, key: str, refusal: Exception) -> None:
        super().__init__()
        self.key, self.refusal = key, refusal
        self.asked: list[str] = []
        self.handed: list[UnwrappedDataKey] = []

    async def decrypt(self, key: str, blob: bytes, context: Any) -> UnwrappedDataKey:
        self.asked.append(key)
        if key != self.key:
            raise self.refusal
        self.handed.append(await super().decrypt(key, blob, context))
        return self.handed[-1]


@pytest.mark.parametrize(
    "refusal", [IncorrectKeyError("not under it"), KmsAccessDeniedError("no"), KmsUnreachableError("silent")]
)
def test_the_trusted_keys_are_asked_in_turn_and_no_data_key_outlives_it(refusal: Exception) -> None:
    kms, keys = OneKey(NEW, refusal), keyring(OLD, NEW)
    for reference, stored in stored_envelopes(2).items():
        found = asyncio.run(opened(token_of(reference, stored), keys, kms))
        assert (found.verification.opened, found.verification.key_arn) == (True, NEW)
        assert found.known is not None
        assert found.known.digest == token_of(reference, stored).digest
    assert kms.asked[:2] == [OLD, NEW]
    for one in kms.handed:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(one.data_key)


def test_one_that_opens_under_no_key_is_told_and_one_that_can_not_be_asked_about_is_not() -> None:
    ((reference, stored),) = stored_envelopes(1).items()
    token = token_of(reference, stored)
    denied = asyncio.run(opened(token, keyring(OLD), OneKey(NEW, KmsAccessDeniedError("no", key=OLD))))
    assert (denied.verification.opened, denied.verification.key_arn, denied.known) == (False, OLD, None)
    for error in (KmsThrottledError("slow"), CredentialsExpiredError("out"), KmsUnreachableError("silent")):
        with pytest.raises(type(error)):
            asyncio.run(opened(token, keyring(OLD), OneKey(NEW, error)))
    broken = asyncio.run(opened(token_of(ref(1), "djF8!"), keyring(OLD), KmsInMemory()))
    assert broken.known is not None
    assert broken.known.key_arn is None
    assert broken.known.reason == broken.verification.reason


def test_throttling_is_waited_out_and_a_silent_kms_is_not() -> None:
    table, kms = Table(stored_envelopes(300)), KmsInMemory()
    kms.failing = KmsThrottledError("slow")
    sink = Sink(table)

    async def go() -> None:
        keys = keyring(OLD)
        run = pass_tokens(table, sink, lambda token: opened(token, keys, kms), RunGate(passing=is_passing))
        asyncio.get_running_loop().call_later(0.3, setattr, kms, "failing", None)
        await run

    asyncio.run(go())
    assert len(sink.found) == 300
    kms.failing = KmsUnreachableError("silent")
    with pytest.raises(KmsUnreachableError):
        through(Table(stored_envelopes(3)), kms, keyring(OLD))
