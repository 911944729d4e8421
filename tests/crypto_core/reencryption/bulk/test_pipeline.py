"""Many tokens: read, sealed anew by the sandbox's KMS and written, while things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from console.sandbox.endpoint import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.cipher import TokenCipher
from crypto_core.envelope import Format, parse
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.reencryption.bulk.control import Control, RunTally
from crypto_core.reencryption.bulk.pipeline import write_tokens
from crypto_core.reencryption.bulk.ports import TokenTask
from crypto_core.reencryption.plan import Verb
from crypto_core.references import TokenRef
from tests.crypto_core.reencryption.bulk.memory import REGION, Table, enveloped, transport


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION])


@pytest.fixture
def keys(new_key: Callable[[], str]) -> tuple[str, str]:
    return new_key(), new_key()


def written(
    table: Table, order: TokenTask, kms: KmsApi, control: Control | None = None, rate: float = 100_000.0
) -> RunTally:
    async def go() -> RunTally:
        async with transport(kms, rate) as made:
            return await write_tokens(table, table, order, made, control or Control())

    return asyncio.run(go())


def must_hold_their_tokens(table: Table, kms: KmsApi, *keys: str) -> None:
    """Every stored envelope opens by the ordinary way and holds what it did."""
    cipher = TokenCipher(KmsKeyring(kms, write_key=None, trusted=keys))
    for number, (reference, stored) in enumerate(table.stored.items()):
        with cipher.decrypt(stored, ref=reference) as token:
            assert token.reveal() == f"ghp_{number}"


@pytest.mark.parametrize(("ask_kms", "calls"), [(False, 2), (True, 3)])
def test_every_token_is_re_encrypted_under_the_new_key(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], ask_kms: bool, calls: int
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 120))
    tally = written(table, TokenTask(Verb.REENCRYPT, new, old, ask_kms=ask_kms), kms)
    assert (tally.written, tally.complete, tally.kms_calls) == (120, True, 120 * calls)
    assert table.changed == set(table.stored)
    must_hold_their_tokens(table, kms, new)


def test_rewrap_leaves_nonce_and_ciphertext_byte_for_byte(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 60))
    tally = written(table, TokenTask(Verb.REWRAP, new, old), kms)
    assert (tally.written, tally.kms_calls) == (60, 120)
    for reference, stored in table.stored.items():
        before, after = parse(table.before[reference]), parse(stored)
        assert after.to_fields()[1:] == before.to_fields()[1:]
        assert after.encrypted_data_key != before.encrypted_data_key
    must_hold_their_tokens(table, kms, new)


def test_batches_have_the_tokens_in_the_order_of_the_pages(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 300))
    written(table, TokenTask(Verb.REENCRYPT, new, old), kms)
    order: list[TokenRef] = [o.replacement.old.ref for batch in table.batches for o in batch]  # type: ignore[union-attr]
    assert order == list(table.stored)


def test_v2_envelopes_stay_bound_to_their_rows(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 40, Format.V2))
    tally = written(table, TokenTask(Verb.REENCRYPT, new, old), kms)
    assert tally.written == 40
    assert {parse(stored).named_key for stored in table.stored.values()} == {new}
    must_hold_their_tokens(table, kms, new)
