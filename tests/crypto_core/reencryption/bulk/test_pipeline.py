"""Many tokens: read, sealed anew by the sandbox's KMS and written, while things go wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import Format, parse
from crypto_core.envelope.encryption_context import EncryptionContext
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.data_keys import GeneratedDataKey
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.metrics import Metrics
from crypto_core.reencryption.bulk.pipeline import RunGate
from crypto_core.reencryption.plan import Verb
from crypto_core.values.errors import ForeignWriteError, WrongDataKeyError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey
from tests.crypto_core.metrics.samples import those_above_zero
from tests.crypto_core.reencryption.bulk.kms_in_memory import NEW, OLD, KmsInMemory, stored_envelopes
from tests.crypto_core.reencryption.bulk.memory import REGION, Table, enveloped, task, write_tokens, written


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION])


def must_hold_their_tokens(table: Table, kms: KmsApi, *keys: str) -> None:
    """Every stored envelope opens by the ordinary way and holds what it did."""
    cipher = TokenCipher(KmsKeyring(kms, write_key=None, trusted=keys))
    for number, (reference, stored) in enumerate(table.stored.items()):
        with cipher.decrypt(stored, ref=reference) as token:
            assert token.reveal() == f"ghp_{number}"


@pytest.mark.parametrize(("ask_kms", "calls"), [(False, 2), (True, 3)])
def test_every_token_is_re_encrypted_under_the_new_key(
    aws: EndpointControl,
    kms: KmsApi,
    keys: tuple[str, str],
    ask_kms: bool,
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.token_sealer.PROVED", 10**12)
    old, new = keys
    table = Table(enveloped(aws, old, 120))
    tally = written(table, task(Verb.REENCRYPT, new, old, ask_kms=ask_kms), kms)
    assert (tally.written, tally.complete, tally.kms_calls) == (120, True, 120 * calls + (not ask_kms))
    assert table.changed == set(table.stored)
    must_hold_their_tokens(table, kms, new)


def test_rewrap_leaves_nonce_and_ciphertext_byte_for_byte(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 60))
    tally = written(table, task(Verb.REWRAP, new, old), kms)
    assert (tally.written, tally.kms_calls) == (60, 120)
    for reference, stored in table.stored.items():
        before, after = parse(table.before[reference]), parse(stored)
        assert after.to_fields()[1:] == before.to_fields()[1:]
        assert after.encrypted_data_key != before.encrypted_data_key
    must_hold_their_tokens(table, kms, new)


def test_every_token_is_counted_as_the_operation_that_it_is() -> None:
    table, metrics = Table(stored_envelopes(5)), Metrics()
    order = task(Verb.REENCRYPT, NEW, OLD, observer=metrics)
    asyncio.run(write_tokens(table, order, KmsInMemory(), RunGate()))
    assert those_above_zero(metrics, "keydeck_operations_total") == {("v1", "reencrypt"): 5}


def test_a_batch_that_fails_fails_the_run_however_often_it_looks_whether_all_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.pipeline._LOOK_SECONDS", 0.0)

    def fail(batch: object) -> None:
        raise ForeignWriteError("Code of others wrote.")

    for _ in range(20):
        table = Table(stored_envelopes(1))
        table.committing = fail
        with pytest.raises(ForeignWriteError):
            asyncio.run(write_tokens(table, task(Verb.REENCRYPT, NEW, OLD), KmsInMemory(), RunGate()))


def test_batches_have_the_tokens_in_the_order_of_the_pages(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 300))
    written(table, task(Verb.REENCRYPT, new, old), kms)
    order: list[TokenRef] = [o.replacement.old.ref for batch in table.batches for o in batch]  # type: ignore[union-attr]
    assert order == list(table.stored)


def test_v2_envelopes_stay_bound_to_their_rows(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 40, Format.V2))
    tally = written(table, task(Verb.REENCRYPT, new, old), kms)
    assert tally.written == 40
    assert {parse(stored).named_key for stored in table.stored.values()} == {new}
    must_hold_their_tokens(table, kms, new)


class FlippedKms(KmsInMemory):
    """Issues data keys that are not those that it opens, but the first so many."""

    def __init__(self, good: int = 0) -> None:
        super().__init__(seconds=0.001)
        self.good = good

    async def generate(self, key: str, context: EncryptionContext) -> GeneratedDataKey:
        """A new data key; once the good ones are used up, one that KMS does not open."""
        made = await super().generate(key, context)
        self.good -= 1
        return made if self.good >= 0 else replace(made, data_key=DataKey(bytes(32)))


@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.ENCRYPT])
def test_nothing_is_written_where_kms_does_not_open_what_it_has_issued(verb: Verb) -> None:
    stored = stored_envelopes(300)
    if verb is Verb.ENCRYPT:
        stored = {reference: f"ghp_{number}" for number, reference in enumerate(stored)}
    table = Table(stored)
    order = task(verb, NEW, OLD)
    with pytest.raises(WrongDataKeyError, match="just issued"):
        asyncio.run(write_tokens(table, order, FlippedKms(), RunGate()))
    assert table.changed == set()


def test_one_in_a_hundred_is_opened_and_the_first_wrong_one_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crypto_core.reencryption.bulk.token_sealer.PROVED", 20)
    table = Table(stored_envelopes(3_000))
    with pytest.raises(WrongDataKeyError):
        asyncio.run(write_tokens(table, task(Verb.REENCRYPT, NEW, OLD), FlippedKms(50), RunGate()))
    assert len(table.changed) < 1_500
