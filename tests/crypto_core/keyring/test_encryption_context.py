"""Data keys that are bound to a row and to the key that their envelope names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.envelope import EnvelopeV2, Format, parse, serialise
from crypto_core.envelope.encryption_context import encryption_context
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values import errors
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.scene import ELSEWHERE, NOBODYS, REGION, MakeAlias, NewKey, Recorded, wrapped

REF = TokenRef("gh_connection", "access_token", "gh-42")
ROW = encryption_context(REF)
ANOTHER_ROW = encryption_context(replace(REF, row_id="gh-43"))
ANOTHER_COLUMN = encryption_context(replace(REF, column="refresh_token"))
TOKEN = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"


def must_be_wiped(data_key: DataKey) -> None:
    with pytest.raises(ValueError, match="is wiped"):
        exposed(data_key)


# The context


def test_a_data_key_opens_with_the_context_that_it_was_made_with(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    keyring = KmsKeyring(kms, write_key=new_key())
    generated = keyring.generate(context=ROW)
    opened = client.decrypt(CiphertextBlob=generated.encrypted_data_key, EncryptionContext=ROW)
    assert opened["Plaintext"] == exposed(generated.data_key)
    unwrapped = keyring.unwrap(generated.encrypted_data_key, context=dict(reversed(ROW.items())))
    assert unwrapped.data_key == generated.data_key


@pytest.mark.parametrize("context", [ANOTHER_ROW, ANOTHER_COLUMN, {}, ROW | {"more": "1"}])
def test_a_data_key_does_not_open_with_another_context(
    kms: KmsApi, new_key: NewKey, context: dict[str, str], made_data_keys: list[DataKey]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    blob = keyring.generate(context=ROW).encrypted_data_key
    for use in (
        lambda: keyring.unwrap(blob, context=context),
        lambda: keyring.unwrap(blob, context=context, named=key),
        lambda: keyring.unwrap(blob, context=context, only=key),
        lambda: keyring.attribute(blob, context=context),
        lambda: keyring.rewrap(blob, key, context=context),
    ):
        with pytest.raises(errors.InvalidCiphertextError):
            use()
    assert len(made_data_keys) == 1


def test_a_data_key_without_a_context_does_not_open_with_one(kms: KmsApi, new_key: NewKey) -> None:
    keyring = KmsKeyring(kms, write_key=new_key())
    with pytest.raises(errors.InvalidCiphertextError):
        keyring.unwrap(keyring.generate().encrypted_data_key, context=ROW)


def test_a_rewrapped_data_key_keeps_its_context(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    old, new = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=old, trusted=[new])
    generated = keyring.generate(context=ROW)
    rewrapped = keyring.rewrap(generated.encrypted_data_key, new, named=old, context=ROW)
    opened = keyring.unwrap(rewrapped.encrypted_data_key, named=new, context=ROW)
    assert opened.data_key == generated.data_key
    with pytest.raises(errors.InvalidCiphertextError):
        keyring.unwrap(rewrapped.encrypted_data_key, named=new)


def test_cloudtrail_says_which_row_was_opened(kms: KmsApi, new_key: NewKey, recorded: Recorded) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    blob = keyring.generate(context=ROW).encrypted_data_key
    keyring.unwrap(blob, named=key, context=ROW)
    keyring.attribute(blob, context=ROW)
    keyring.rewrap(blob, key, named=key, context=ROW)
    named = {"keydeck:table": "gh_connection", "keydeck:column": "access_token", "keydeck:id": "gh-42"}
    assert [r["encryptionContext"] for r in recorded(key, "GenerateDataKey")] == [named]
    assert [r["encryptionContext"] for r in recorded(key, "Decrypt")] == [named, named, named]
    (request,) = recorded(key, "ReEncrypt")
    assert request["sourceEncryptionContext"] == request["destinationEncryptionContext"] == named


def test_cloudtrail_says_of_a_v2_token_which_row_and_of_a_v1_token_nothing(
    kms: KmsApi, new_key: NewKey, recorded: Recorded
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    for write_format in (Format.V1, Format.V2):
        cipher = TokenCipher(keyring, write_format=write_format)
        stored = cipher.encrypt(TOKEN, ref=REF).stored
        assert cipher.decrypt(stored, ref=REF).reveal() == TOKEN
    assert [r.get("encryptionContext") for r in recorded(key, "Decrypt")] == [None, ROW]


# The key that an envelope names


def test_the_named_key_alone_is_asked(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    first, second, third = new_key(), new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=first, trusted=[second, third])
    assert keyring.unwrap(wrapped(client, third), named=third).wrapped_by.key_arn == third
    assert kms.calls == 1
    assert keyring.unwrap(wrapped(client, second), third, named=second).wrapped_by.key_arn == second
    assert kms.calls == 2
    assert keyring.rewrap(wrapped(client, third), first, named=third).source.key_arn == third
    assert kms.calls == 3


def test_a_named_key_that_is_not_trusted_is_not_asked(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    """Whoever writes the database must not choose whom Keydeck asks, let alone believes."""
    trusted, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=trusted)
    blob = wrapped(client, other)
    for use in (
        lambda: keyring.unwrap(blob, named=other),
        lambda: keyring.unwrap(blob, other, named=other),
        lambda: keyring.rewrap(blob, trusted, named=other),
    ):
        with pytest.raises(errors.UntrustedKeyError) as caught:
            use()
        assert caught.value.key == other
        assert other in caught.value.message
        assert "--trust" in caught.value.remedy
    assert kms.calls == 0
    assert keyring.trusting(other).unwrap(blob, named=other).wrapped_by.key_arn == other


def test_a_data_key_under_another_trusted_key_than_the_named_one_is_refused(
    kms: KmsApi, client: Any, new_key: NewKey, made_data_keys: list[DataKey]
) -> None:
    named, really = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=named, trusted=[really])
    blob = wrapped(client, really)
    keyring.unwrap(blob)  # the key that really wrapped it is remembered, and still not asked
    calls = kms.calls
    with pytest.raises(errors.IncorrectKeyError) as caught:
        keyring.unwrap(blob, named=named)
    assert caught.value.key == named
    with pytest.raises(errors.IncorrectKeyError):
        keyring.rewrap(blob, named, named=named)
    assert kms.calls == calls + 2
    assert len(made_data_keys) == 1


@pytest.mark.parametrize("trusted_as", ["key ARN", "key id", "alias", "alias ARN"])
def test_a_named_key_may_be_trusted_in_each_of_the_four_forms(
    kms: KmsApi, client: Any, new_key: NewKey, alias: MakeAlias, trusted_as: str
) -> None:
    key, other = new_key(), new_key()
    name = alias(key)
    trusted = {
        "key ARN": key,
        "key id": key.rpartition("/")[2],
        "alias": name,
        "alias ARN": f"{key.rpartition(':')[0]}:{name}",
    }[trusted_as]
    keyring = KmsKeyring(kms, write_key=trusted)
    for _ in range(2):
        assert keyring.unwrap(wrapped(client, key), named=key).wrapped_by.key_arn == key
    assert kms.calls == 2
    # Now it is known which key that is: another one isn't it, without asking.
    with pytest.raises(errors.UntrustedKeyError):
        keyring.unwrap(wrapped(client, other), named=other)
    assert kms.calls == 2


@pytest.mark.parametrize("trusted_as", ["key ARN", "key id"])
def test_a_name_that_says_the_key_needs_no_call_to_refuse_another(
    kms: KmsApi, client: Any, new_key: NewKey, trusted_as: str
) -> None:
    key, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=key if trusted_as == "key ARN" else key.rpartition("/")[2])
    with pytest.raises(errors.UntrustedKeyError):
        keyring.unwrap(wrapped(client, other), named=other)
    assert kms.calls == 0


def test_an_alias_that_has_not_answered_yet_is_asked_and_pinned_to_what_it_means(
    kms: KmsApi, client: Any, new_key: NewKey, alias: MakeAlias
) -> None:
    key, later = new_key(), new_key()
    name = alias(key)
    keyring = KmsKeyring(kms, write_key=name)
    blob, laters = wrapped(client, key), wrapped(client, later)
    assert keyring.unwrap(blob, named=key).wrapped_by.key_arn == key
    client.update_alias(AliasName=name, TargetKeyId=later)
    calls = kms.calls
    with pytest.raises(errors.UntrustedKeyError):
        keyring.unwrap(laters, named=later)
    assert kms.calls == calls
    # A keyring made now trusts what the alias means now.
    assert KmsKeyring(kms, write_key=name).unwrap(laters, named=later).wrapped_by.key_arn == later


@pytest.mark.parametrize("use", ["unwrap", "rewrap"])
def test_an_alias_of_another_key_does_not_open_what_names_a_key_that_it_might_have_meant(
    kms: KmsApi, client: Any, new_key: NewKey, alias: MakeAlias, use: str, made_data_keys: list[DataKey]
) -> None:
    """Nobody knows yet what the alias means, so it is asked; the answer is compared with the named key."""
    really, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=alias(really))
    blob = wrapped(client, really)
    for calls in (1, 1):
        with pytest.raises(errors.UntrustedKeyError, match=named):
            keyring.unwrap(blob, named=named) if use == "unwrap" else keyring.rewrap(
                blob, really, named=named
            )
        # From the first answer on the alias is known to mean another key.
        assert kms.calls == calls
    for data_key in made_data_keys:
        must_be_wiped(data_key)
    assert len(made_data_keys) == (1 if use == "unwrap" else 0)


def test_an_alias_arn_of_another_region_or_account_is_not_asked_about_a_named_key(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    for home in (f"{ELSEWHERE}:{ACCOUNT}", f"{REGION}:999999999999"):
        keyring = KmsKeyring(kms, write_key=f"arn:aws:kms:{home}:alias/tokens")
        with pytest.raises(errors.UntrustedKeyError):
            keyring.unwrap(wrapped(client, key), named=key)
    assert kms.calls == 0


def test_a_named_replica_of_a_trusted_multi_region_key_is_that_key(aws: EndpointControl, client: Any) -> None:
    kms = KmsApi([REGION, ELSEWHERE], attempts=1)
    primary = client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    client.replicate_key(KeyId=primary, ReplicaRegion=ELSEWHERE)
    replica = primary.replace(REGION, ELSEWHERE)
    made = KmsKeyring(kms, write_key=replica).generate(context=ROW)
    keyring = KmsKeyring(kms, write_key=primary)
    opened = keyring.unwrap(made.encrypted_data_key, named=replica, context=ROW)
    assert opened.data_key == made.data_key
    assert opened.wrapped_by.key_arn == primary
    # A key of the same id in another account is another key.
    with pytest.raises(errors.UntrustedKeyError):
        keyring.unwrap(made.encrypted_data_key, named=replica.replace(ACCOUNT, "999999999999"), context=ROW)


def test_what_the_named_key_says_is_told_and_no_other_key_is_asked(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    named, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=other, trusted=[named])
    blob = wrapped(client, named)
    client.disable_key(KeyId=named)
    with pytest.raises(errors.KeyDisabledError) as caught:
        keyring.unwrap(blob, named=named)
    assert caught.value.key == named
    assert kms.calls == 1


# Whole v2 envelopes


def test_a_v2_envelope_whose_data_key_is_under_another_trusted_key_than_it_names_is_refused(
    kms: KmsApi, new_key: NewKey
) -> None:
    named, really = new_key(), new_key()
    cipher = TokenCipher(KmsKeyring(kms, write_key=really, trusted=[named]), write_format=Format.V2)
    envelope = parse(cipher.encrypt(TOKEN, ref=REF).stored)
    assert isinstance(envelope, EnvelopeV2)
    forged = serialise(replace(envelope, key_arn=named))
    for use in (
        lambda: cipher.decrypt(forged, ref=REF),
        lambda: cipher.rewrap(forged, named, ref=REF),
        lambda: cipher.reencrypt(forged, ref=REF),
    ):
        with pytest.raises(errors.IncorrectKeyError):
            use()


def test_a_v2_envelope_that_names_an_untrusted_key_is_refused_without_asking_kms(
    kms: KmsApi, new_key: NewKey
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()), write_format=Format.V2)
    envelope = parse(cipher.encrypt(TOKEN, ref=REF).stored)
    assert isinstance(envelope, EnvelopeV2)
    calls = kms.calls
    with pytest.raises(errors.UntrustedKeyError, match=NOBODYS):
        cipher.decrypt(serialise(replace(envelope, key_arn=NOBODYS)), ref=REF)
    assert kms.calls == calls


def test_a_v2_envelope_that_was_moved_to_another_row_does_not_open_at_kms(
    kms: KmsApi, new_key: NewKey, made_data_keys: list[DataKey]
) -> None:
    cipher = TokenCipher(KmsKeyring(kms, write_key=new_key()), write_format=Format.V2)
    stored = cipher.encrypt(TOKEN, ref=REF).stored
    for ref in (replace(REF, row_id="gh-43"), replace(REF, column="refresh_token")):
        with pytest.raises(errors.KmsError) as caught:
            cipher.decrypt(stored, ref=ref)
        assert isinstance(caught.value, errors.InvalidCiphertextError)
    assert len(made_data_keys) == 1
    assert cipher.decrypt(stored, ref=REF).reveal() == TOKEN
