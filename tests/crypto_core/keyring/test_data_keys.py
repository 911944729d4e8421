"""Keyring: data keys are generated, unwrapped and rewrapped, and KMS's answers are checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from console.sandbox.endpoint import ACCOUNT, EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import KeyDisabledError, KmsRequestError
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.keyring.scene import ELSEWHERE, NOBODYS, REGION, ChangedAnswers, NewKey, wrapped

# Generate and unwrap


def test_a_generated_data_key_is_what_kms_unwraps(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    generated = keyring.generate()
    assert len(generated.data_key) == 32
    assert client.decrypt(CiphertextBlob=generated.encrypted_data_key)["Plaintext"] == exposed(
        generated.data_key
    )
    unwrapped = keyring.unwrap(generated.encrypted_data_key)
    assert unwrapped.data_key == generated.data_key
    assert unwrapped.wrapped_by == generated.wrapped_by
    assert unwrapped.wrapped_by.key_arn == key


def test_every_generated_data_key_is_another(kms: KmsApi, new_key: NewKey) -> None:
    keyring = KmsKeyring(kms, write_key=new_key())
    made = [keyring.generate() for _ in range(5)]
    assert len({bytes(exposed(m.data_key)) for m in made}) == 5
    assert len({m.encrypted_data_key for m in made}) == 5


def test_a_data_key_is_generated_under_the_key_that_is_named(kms: KmsApi, new_key: NewKey) -> None:
    written_under, named = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=written_under)
    assert keyring.generate(named).wrapped_by.key_arn == named
    assert keyring.generate().wrapped_by.key_arn == written_under


def test_the_answer_tells_the_key_material(
    aws: EndpointControl, kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    first = keyring.generate()
    aws.rotate(key, datetime.now(UTC), "ON_DEMAND")
    second = keyring.generate()
    current = client.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert second.wrapped_by.key_material_id == current
    assert first.wrapped_by.key_material_id not in (None, current)
    assert keyring.unwrap(first.encrypted_data_key).wrapped_by == first.wrapped_by


@pytest.mark.parametrize("form", ["key ARN", "key id", "alias", "alias ARN"])
def test_a_key_may_be_named_in_each_of_the_four_forms(
    kms: KmsApi, new_key: NewKey, alias: Callable[[str], str], form: str
) -> None:
    key = new_key()
    name = alias(key)
    named = {
        "key ARN": key,
        "key id": key.rpartition("/")[2],
        "alias": name,
        "alias ARN": f"arn:aws:kms:{REGION}:{ACCOUNT}:{name}",
    }[form]
    keyring = KmsKeyring(kms, write_key=named)
    generated = keyring.generate()
    assert generated.wrapped_by.key_arn == key
    assert keyring.unwrap(generated.encrypted_data_key).wrapped_by.key_arn == key
    rewrapped = keyring.rewrap(generated.encrypted_data_key, named)
    assert rewrapped.source.key_arn == rewrapped.destination.key_arn == key


# What KMS gives back is checked


@pytest.mark.parametrize(("spec", "length"), [("AES_128", 16)])
def test_a_data_key_of_another_length_is_refused_and_wiped(
    kms: KmsApi, client: Any, new_key: NewKey, spec: str, length: int, made_data_keys: list[DataKey]
) -> None:
    key = new_key()
    keyring = KmsKeyring(kms, write_key=key)
    for use in (keyring.unwrap, keyring.attribute):
        with pytest.raises(KmsRequestError, match=f"data key of {length} bytes, expected 32"):
            use(wrapped(client, key, spec=spec))
        with pytest.raises(ValueError, match="is wiped"):
            exposed(made_data_keys[-1])


@pytest.mark.parametrize("plaintext", [None, b"", bytes(31), bytes(33), bytes(4096)])
def test_a_generated_data_key_of_another_length_is_refused(
    aws: EndpointControl, new_key: NewKey, plaintext: bytes | None
) -> None:
    keyring = KmsKeyring(ChangedAnswers(Plaintext=plaintext), write_key=new_key())
    with pytest.raises(KmsRequestError, match=f"{len(plaintext or b''):d} bytes"):
        keyring.generate()


@pytest.mark.parametrize("length", [None, 0, 6145])
def test_an_encrypted_data_key_of_an_impossible_length_is_refused(
    aws: EndpointControl, client: Any, new_key: NewKey, length: int | None, made_data_keys: list[DataKey]
) -> None:
    key = new_key()
    keyring = KmsKeyring(
        ChangedAnswers(CiphertextBlob=None if length is None else bytes(length)), write_key=key
    )
    with pytest.raises(KmsRequestError, match="encrypted data key of"):
        keyring.generate()
    with pytest.raises(KmsRequestError, match="encrypted data key of"):
        keyring.rewrap(wrapped(client, key), key)
    assert not made_data_keys


def test_the_plaintext_is_taken_out_of_kmss_answer(aws: EndpointControl, new_key: NewKey) -> None:
    answers: list[dict[str, Any]] = []

    class Kept(KmsApi):
        def call(self, operation: str, *, region: str | None = None, **parameters: Any) -> dict[str, Any]:
            answers.append(super().call(operation, region=region, **parameters))
            return answers[-1]

    keyring = KmsKeyring(Kept([REGION]), write_key=new_key())
    blob = keyring.generate().encrypted_data_key
    keyring.unwrap(blob)
    keyring.attribute(blob)
    assert len(answers) == 4
    assert not [answer for answer in answers if "Plaintext" in answer]


# Rewrap


def test_a_rewrapped_data_key_is_the_same_under_another_key(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    source, destination = new_key(), new_key()
    keyring = KmsKeyring(kms, write_key=source)
    made = keyring.generate()
    rewrapped = keyring.rewrap(made.encrypted_data_key, destination)
    assert rewrapped.encrypted_data_key != made.encrypted_data_key
    assert (rewrapped.source, rewrapped.destination.key_arn) == (made.wrapped_by, destination)
    opened = client.decrypt(CiphertextBlob=rewrapped.encrypted_data_key, KeyId=destination)
    assert opened["Plaintext"] == exposed(made.data_key)
    assert rewrapped.destination.key_material_id == opened["KeyMaterialId"]


def test_a_rewrap_across_regions_is_refused_before_it_is_sent(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    source = new_key()
    destination = NOBODYS.replace(REGION, ELSEWHERE)
    with pytest.raises(KmsRequestError, match="different Regions") as caught:
        KmsKeyring(kms, write_key=source).rewrap(wrapped(client, source), destination)
    assert "Re-encrypt" in caught.value.remedy
    assert kms.calls == 0


def test_a_rewrap_to_a_disabled_key_names_the_destination(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    source, other, destination = new_key(), new_key(), new_key()
    client.disable_key(KeyId=destination)
    with pytest.raises(KeyDisabledError) as caught:
        KmsKeyring(kms, write_key=source, trusted=[other]).rewrap(wrapped(client, source), destination)
    assert caught.value.key == destination
