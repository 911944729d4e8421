"""Keyring: key ids are pinned, and an answer that names another key is not trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.checked_answers import pinned
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import IncorrectKeyError, KmsRequestError, UntrustedKeyError
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.scene import (
    ELSEWHERE,
    NOBODYS,
    REGION,
    ChangedAnswers,
    MakeAlias,
    NewKey,
    Recorded,
    wrapped,
)


def test_decrypt_says_which_key_it_expects(
    kms: KmsApi, client: Any, new_key: NewKey, recorded: Recorded
) -> None:
    key = new_key()
    KmsKeyring(kms, write_key=key).unwrap(wrapped(client, key))
    assert [request["keyId"] for request in recorded(key, "Decrypt")] == [key]


def test_reencrypt_says_which_source_it_expects(
    kms: KmsApi, client: Any, new_key: NewKey, recorded: Recorded
) -> None:
    source, destination = new_key(), new_key()
    KmsKeyring(kms, write_key=source).rewrap(wrapped(client, source), destination)
    (request,) = recorded(source, "ReEncrypt")
    assert (request["sourceKeyId"], request["destinationKeyId"]) == (source, destination)


def test_a_blob_under_another_key_is_incorrect(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    trusted, other = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=trusted)
    for use in (keyring.unwrap, lambda blob: keyring.rewrap(blob, trusted)):
        with pytest.raises(IncorrectKeyError) as caught:
            use(wrapped(client, other))
        assert caught.value.key == trusted
        assert trusted in caught.value.message
        assert "--trust" in caught.value.remedy


def test_none_of_several_keys_names_them_all(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    first, second, other = new_key(), new_key(), new_key()
    with pytest.raises(IncorrectKeyError, match="None of the 2 trusted keys") as caught:
        KmsKeyring(kms, write_key=first, trusted=[second]).unwrap(wrapped(client, other))
    assert first[-4:] in caught.value.message
    assert second[-4:] in caught.value.message


@pytest.mark.parametrize(
    "operation", ["generate", "unwrap", "unwrap only", "rewrap source", "rewrap destination"]
)
def test_an_answer_that_names_another_key_is_not_trusted(
    aws: EndpointControl, client: Any, new_key: NewKey, operation: str, made_data_keys: list[DataKey]
) -> None:
    key, destination = new_key(), new_key()
    member = "SourceKeyId" if operation == "rewrap source" else "KeyId"
    keyring = KmsKeyring(ChangedAnswers(**{member: NOBODYS}), write_key=key)
    use: dict[str, Callable[[], Any]] = {
        "generate": keyring.generate,
        "unwrap": lambda: keyring.unwrap(wrapped(client, key)),
        "unwrap only": lambda: keyring.unwrap(wrapped(client, key), only=key),
        "rewrap source": lambda: keyring.rewrap(wrapped(client, key), destination),
        "rewrap destination": lambda: keyring.rewrap(wrapped(client, key), destination),
    }
    with pytest.raises(UntrustedKeyError) as caught:
        use[operation]()
    assert NOBODYS in caught.value.message
    assert (destination if operation == "rewrap destination" else key) in caught.value.message
    for data_key in made_data_keys:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)
    assert len(made_data_keys) == (0 if operation.startswith("rewrap") else 1)


@pytest.mark.parametrize("answered", [None, "", "None", "tokens", 7, "alias/x", NOBODYS.rpartition("/")[2]])
@pytest.mark.parametrize("form", ["key ARN", "alias"])
def test_an_answer_that_names_no_key_is_refused_and_pins_nothing(
    aws: EndpointControl,
    client: Any,
    new_key: NewKey,
    alias: MakeAlias,
    form: str,
    answered: Any,
    made_data_keys: list[DataKey],
) -> None:
    key = new_key()
    name = alias(key) if form == "alias" else key
    kms = ChangedAnswers(KeyId=answered)
    keyring = KmsKeyring(kms, write_key=name)
    with pytest.raises(KmsRequestError, match="did not say which key"):
        keyring.unwrap(wrapped(client, key))
    with pytest.raises(ValueError, match="is wiped"):
        exposed(made_data_keys[0])
    kms.changes.clear()
    assert keyring.unwrap(wrapped(client, key)).wrapped_by.key_arn == key


def test_an_alias_means_the_key_that_it_named_first(
    kms: KmsApi, client: Any, new_key: NewKey, alias: MakeAlias
) -> None:
    key, later = new_key(), new_key()
    name = alias(key)
    keyring = KmsKeyring(kms, write_key=name)
    before = keyring.generate()
    client.update_alias(AliasName=name, TargetKeyId=later)
    with pytest.raises(UntrustedKeyError) as caught:
        keyring.generate()
    assert later in caught.value.message
    with pytest.raises(UntrustedKeyError):
        keyring.unwrap(wrapped(client, later))
    with pytest.raises(UntrustedKeyError):
        keyring.trusting(later).generate()
    client.update_alias(AliasName=name, TargetKeyId=key)
    assert keyring.unwrap(before.encrypted_data_key).data_key == before.data_key
    # A keyring made later trusts what the alias means then.
    client.update_alias(AliasName=name, TargetKeyId=later)
    assert KmsKeyring(kms, write_key=name).generate().wrapped_by.key_arn == later


@pytest.mark.parametrize(("part", "other"), [(REGION, ELSEWHERE), (ACCOUNT, "210987654321")])
def test_an_alias_arn_means_no_key_of_another_region_or_account(part: str, other: str) -> None:
    name = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/tokens"
    pins: dict[str, str] = {}
    with pytest.raises(UntrustedKeyError):
        pinned(pins, name, NOBODYS.replace(part, other), "Decrypt")
    assert pinned(pins, name, NOBODYS, "Decrypt") == NOBODYS


def test_a_key_id_means_the_key_of_that_id_only(aws: EndpointControl, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(ChangedAnswers(KeyId=NOBODYS), write_key=key.rpartition("/")[2])
    with pytest.raises(UntrustedKeyError):
        keyring.unwrap(wrapped(client, key))


def test_the_replicas_of_a_multi_region_key_are_one_key(
    aws: EndpointControl, sandbox: Sandbox, client: Any
) -> None:
    primary = client.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    client.replicate_key(KeyId=primary, ReplicaRegion=ELSEWHERE)
    replica = primary.replace(REGION, ELSEWHERE)
    kms = KmsApi([REGION, ELSEWHERE], attempts=1)
    made = KmsKeyring(kms, write_key=primary).generate()
    opened = KmsKeyring(kms, write_key=replica).unwrap(made.encrypted_data_key)
    assert opened.data_key == made.data_key
    assert opened.wrapped_by.key_arn == replica
    # An answer that names the other replica is an answer of the same key.
    changed = KmsKeyring(ChangedAnswers(KeyId=replica), write_key=primary)
    assert changed.unwrap(made.encrypted_data_key).wrapped_by.key_arn == replica
