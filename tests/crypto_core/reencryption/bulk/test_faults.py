"""KMS and the way to it fail in every manner: no token is lost, and none is poisoned for what passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointControl, Fault
from crypto_core.aws.kms import KmsApi, KmsGround
from crypto_core.envelope import Format
from crypto_core.keyring.data_keys import NO_CONTEXT
from crypto_core.reencryption.bulk.pace import CallPace
from crypto_core.reencryption.bulk.pipeline import RunGate
from crypto_core.reencryption.bulk.ports import Poison
from crypto_core.reencryption.bulk.transport import CallWatch, KmsTransport
from crypto_core.reencryption.plan import Verb
from crypto_core.values import errors
from crypto_core.values.secret import exposed
from tests.console.command_types import NewKey
from tests.crypto_core.reencryption.bulk.memory import (
    REGION,
    Table,
    Tally,
    enveloped,
    ref,
    task,
    transport,
    write_tokens,
    written,
)

OTHER = "us-east-1"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil\nsecond line"


@pytest.fixture
def kms(aws: EndpointControl) -> KmsApi:
    return KmsApi([REGION], read_timeout=1.0, connect_timeout=1.0)


def asked(kms: KmsApi, call: Callable[[KmsTransport], object], **options: object) -> object:
    async def go() -> object:
        async with transport(kms, **options) as made:
            return await call(made)  # type: ignore[misc]

    return asyncio.run(go())


@pytest.mark.quick(3)
@pytest.mark.parametrize("error", ["KMSInternalException", "KeyUnavailableException", "reset", "half"])
@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
def test_what_passes_is_asked_again_until_every_token_is_written(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], error: str, verb: Verb
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 60))
    aws.add_fault(Fault("*", error, fraction=0.3))
    tally = written(table, task(verb, new, old), kms)
    assert (tally.written, tally.poisoned, tally.complete) == (60, 0, True)


def test_calls_that_hang_run_into_their_time_limit_and_are_made_again(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 20))
    aws.add_fault(Fault("*", "hang", count=3))
    tally = written(table, task(Verb.REENCRYPT, new, old), kms)
    assert (tally.written, tally.poisoned) == (20, 0)


@pytest.mark.deep
def test_throttled_the_pace_falls_and_no_token_is_poisoned(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 200))
    aws.set_throttle(150)
    watch = CallWatch()
    tally = written(table, task(Verb.REENCRYPT, new, old), kms, watch=watch)
    assert (tally.written, tally.poisoned, tally.complete) == (200, 0, True)
    assert watch.throttled > 0


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ThrottlingException", errors.KmsThrottledError),
        ("KMSInternalException", errors.KmsInternalError),
        ("reset", errors.KmsUnreachableError),
        ("half", errors.KmsUnreachableError),
    ],
)
def test_what_lasts_is_told_after_so_many_attempts(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], error: str, kind: type[errors.KmsError]
) -> None:
    aws.add_fault(Fault("GenerateDataKey", error))
    watch = CallWatch()
    with pytest.raises(kind):
        asked(kms, lambda made: made.generate(keys[0], NO_CONTEXT), attempts=3, watch=watch)
    assert watch.calls == 3


REFUSING = {
    "target": errors.KmsAccessDeniedError,
    "source": errors.KeyDisabledError,
    "credentials": errors.CredentialsExpiredError,
}


@pytest.mark.parametrize("broken", REFUSING)
def test_what_refuses_every_call_ends_the_run_and_poisons_nothing(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], broken: str
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 30))
    if broken == "target":
        aws.add_denial(Denial("*", "kms:GenerateDataKey", new))
    elif broken == "source":
        aws.set_key_state(old, "Disabled")
    else:
        aws.add_fault(Fault("*", "ExpiredTokenException"))
    with pytest.raises(REFUSING[broken]) as raised:
        written(table, task(Verb.REENCRYPT, new, old), kms)
    assert raised.value.remedy
    assert ("kms:GenerateDataKey" in raised.value.message) is (broken == "target")
    assert (kms.refusal is not None) is (broken == "credentials")
    assert not table.changed
    assert not table.poisoned


@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
def test_of_several_source_keys_a_disabled_one_poisons_its_own_tokens_only(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], new_key: NewKey, verb: Verb
) -> None:
    (old, new), other = keys, new_key()
    stored = enveloped(aws, old, 20) | {
        ref(100 + n): value for n, value in enumerate(enveloped(aws, other, 20).values())
    }
    prefixes = {}
    for key in (old, other):
        blob = aws.data_keys(key, 1, region=REGION)[0].ciphertext_blob
        prefixes[blob[:37]] = key
    aws.set_key_state(other, "Disabled")
    table = Table(stored)
    tally = written(table, task(verb, new, None, old, other, keys=prefixes), kms)
    assert (tally.written, tally.poisoned, tally.complete) == (20, 20, True)
    assert {poison.kind for poison in table.poisoned} == {"key-disabled"}
    assert table.changed == {ref(number) for number in range(20)}


def test_what_can_not_be_written_is_told_by_kind_and_the_others_are_written(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], new_key: NewKey
) -> None:
    old, new = keys
    stored = enveloped(aws, old, 10)
    stored[ref(1)] = next(iter(enveloped(aws, new_key(), 1).values()))
    stored[ref(2)] = "djF8" + "AAAA"
    stored[ref(3)] = "ghp_plaintext"
    stored[ref(4)] = stored[ref(4)][:-8] + ("AAAAAAA=" if not stored[ref(4)].endswith("=") else "AAAAAA==")
    stored[ref(5)] = enveloped(aws, old, 6, Format.V2)[ref(4)]
    table = Table(stored)
    tally = written(table, task(Verb.REENCRYPT, new, old), kms)
    kinds = {poison.token.ref.row_id: poison.kind for poison in table.poisoned}
    assert tally.written == 5
    assert kinds["gh-1"] == "incorrect-key"
    assert kinds["gh-2"] == "malformed"
    assert kinds["gh-3"] == "unsupported-format"
    assert kinds["gh-4"] in ("malformed", "authentication-failed")
    assert kinds["gh-5"] == "invalid-ciphertext"


@pytest.mark.parametrize("verb", [Verb.REENCRYPT, Verb.REWRAP])
@pytest.mark.parametrize("remembered", ["nothing", "another key"])
def test_the_trusted_keys_are_asked_about_a_data_key_of_which_none_is_known(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], new_key: NewKey, verb: Verb, remembered: str
) -> None:
    (old, new), untrusted = keys, new_key()
    stored = enveloped(aws, old, 5)
    stored[ref(5)] = next(iter(enveloped(aws, untrusted, 1).values()))
    known = {aws.data_keys(old, 1, region=REGION)[0].ciphertext_blob[:37]: new}
    if remembered == "nothing" or verb is Verb.REWRAP:
        known = {}
    table = Table(stored)
    tally = written(table, task(verb, new, None, new, old, keys=known), kms)
    assert (tally.written, tally.poisoned) == (5, 1)
    (poison,) = table.poisoned
    assert (poison.token.ref, poison.kind, poison.kms_calls) == (ref(5), "unknown-key", 2)


def test_a_trusted_key_that_refuses_leaves_the_others_to_be_asked(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str], new_key: NewKey
) -> None:
    (old, new), disabled = keys, new_key()
    aws.set_key_state(disabled, "Disabled")
    table = Table(enveloped(aws, old, 5) | {ref(5): next(iter(enveloped(aws, disabled, 1).values()))})
    tally = written(table, task(Verb.REENCRYPT, new, None, disabled, new, old), kms)
    assert (tally.written, [p.token.ref for p in table.poisoned]) == (5, [ref(5)])
    assert "isabled" in table.poisoned[0].reason


def test_v2_is_not_rewrapped_under_another_key(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 5, Format.V2))
    written(table, task(Verb.REWRAP, new, old), kms)
    assert [(p.kind, p.kms_calls) for p in table.poisoned] == [("bound-to-its-key", 0)] * 5


def test_plaintext_and_dev_values_are_encrypted(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    from cryptography.fernet import Fernet

    from crypto_core.envelope import DEV_KEY, encode, parse

    dev = encode(b"dev|" + Fernet(DEV_KEY).encrypt(b"ghp_1")).decode()
    table = Table({ref(0): "ghp_" + "a" * 36, ref(1): dev})
    tally = written(table, task(Verb.ENCRYPT, keys[1], None, keys[1], write_format=Format.V2), kms)
    assert (tally.written, tally.kms_calls) == (2, 4)
    assert {parse(stored).named_key for stored in table.stored.values()} == {keys[1]}


def test_hostile_texts_of_kms_are_clean_by_the_time_they_are_told(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 3))
    aws.add_fault(Fault("Decrypt", "InvalidCiphertextException", message=HOSTILE))
    written(table, task(Verb.REENCRYPT, new, old), kms)
    reasons = {poison.reason for poison in table.poisoned if isinstance(poison, Poison)}
    assert len(table.poisoned) == 3
    assert all(reason.isprintable() and "\u202e" not in reason for reason in reasons)


def test_the_key_that_is_named_is_the_only_one_that_opens(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    blob = aws.data_keys(keys[0], 1, region=REGION)[0].ciphertext_blob
    with pytest.raises(errors.IncorrectKeyError):
        asked(kms, lambda made: made.decrypt(keys[1], blob, NO_CONTEXT))


def test_read_only_refuses_what_is_no_reading(aws: EndpointControl, keys: tuple[str, str]) -> None:
    kms = KmsApi([REGION], read_only=True)
    old, new = keys
    blob = aws.data_keys(old, 1, region=REGION)[0].ciphertext_blob
    before = aws.stats().calls
    for call in (
        lambda made: made.generate(new, NO_CONTEXT),
        lambda made: made.reencrypt(blob, old, new, NO_CONTEXT),
    ):
        with pytest.raises(errors.ReadOnlyError):
            asked(kms, call)
    assert aws.stats().calls == before
    assert asked(kms, lambda made: made.decrypt(old, blob, NO_CONTEXT))


def test_a_source_key_of_another_region_works(aws: EndpointControl, kms: KmsApi, new_key: NewKey) -> None:
    far = "eu-central-1"
    old = KmsApi([far]).call("CreateKey", Description="made by a test")["KeyMetadata"]["Arn"]
    table = Table(enveloped(aws, old, 10, region=far))
    tally = written(table, task(Verb.REENCRYPT, new_key(), old), kms)
    assert (tally.written, tally.complete) == (10, True)


def test_credentials_that_run_out_in_the_middle_are_renewed(
    aws: EndpointControl, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"

    def has(access_key: str) -> None:
        credentials.write_text(f"[default]\naws_access_key_id = {access_key}\naws_secret_access_key = s\n")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    has("AKIAKEYDECKOLD000002")
    aws.add_principal("AKIAKEYDECKOLD000002", "before")
    aws.add_principal("AKIAKEYDECKNEW000002", "after")
    old, new = keys
    table = Table(enveloped(aws, old, 100))

    def expire(batch: object) -> None:
        if not table.batches:
            has("AKIAKEYDECKNEW000002")
            aws.expire("AKIAKEYDECKOLD000002")

    table.committing = expire
    tally = written(table, task(Verb.REENCRYPT, new, old), KmsApi([REGION]), RunGate(in_flight=4))
    assert (tally.written, tally.poisoned, tally.complete) == (100, 0, True)


def test_a_pace_can_be_changed_while_calls_wait(
    aws: EndpointControl, kms: KmsApi, keys: tuple[str, str]
) -> None:
    old, new = keys
    table = Table(enveloped(aws, old, 40))
    pace = CallPace(0.01)

    async def go() -> Tally:
        async with KmsTransport(kms, pace) as made:
            running = asyncio.create_task(
                write_tokens(table, task(Verb.REENCRYPT, new, old), made, RunGate())
            )
            await asyncio.sleep(0.3)
            assert not table.changed
            pace.set_rate(10_000)
            return await running

    assert asyncio.run(go()).written == 40


class Outage(KmsApi):
    """KMS of two Regions, in one of which nothing listens."""

    def __init__(self, down: str, other: str) -> None:
        super().__init__([down, other], read_timeout=1.0, connect_timeout=1.0)
        self._down = down

    def ground(self, region: str) -> KmsGround:
        ground = super().ground(region)
        return replace(ground, endpoint_url="http://127.0.0.1:9") if region == self._down else ground


@pytest.fixture
def replicated(aws: EndpointControl, client: Any) -> Callable[[], str]:
    """Make a multi-Region key with a replica; returns the primary's ARN."""

    def create() -> str:
        primary = str(client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
        client.replicate_key(KeyId=primary, ReplicaRegion=OTHER)
        return primary

    return create


def test_where_the_keys_region_does_not_answer_its_replica_opens(
    replicated: Callable[[], str], client: Any
) -> None:
    key = replicated()
    made = client.generate_data_key(KeyId=key, KeySpec="AES_256")
    blob = made["CiphertextBlob"]

    async def open_twice(kms: KmsTransport) -> list[str]:
        opened = [await kms.decrypt(key, blob, NO_CONTEXT) for _ in range(2)]
        assert all(exposed(one.data_key) == made["Plaintext"] for one in opened)
        return [one.wrapped_by.key_arn for one in opened]

    watch = CallWatch()
    arns = asked(Outage(REGION, OTHER), open_twice, watch=watch, attempts=1)
    assert arns == [key.replace(REGION, OTHER)] * 2
    # The Region that is down is asked once, not for every token.
    assert watch.calls == 3


def test_a_replica_opens_only_what_the_key_wrapped_and_without_one_the_outage_is_told(
    replicated: Callable[[], str], client: Any
) -> None:
    key, other = replicated(), replicated()
    alone = str(client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"])
    blobs = {
        name: client.generate_data_key(KeyId=name, KeySpec="AES_256")["CiphertextBlob"]
        for name in (key, other, alone)
    }
    outage = Outage(REGION, OTHER)
    with pytest.raises(errors.IncorrectKeyError):
        asked(outage, lambda made: made.decrypt(key, blobs[other], NO_CONTEXT), attempts=1)
    with pytest.raises(errors.KmsUnreachableError):
        asked(outage, lambda made: made.decrypt(alone, blobs[alone], NO_CONTEXT), attempts=1)
