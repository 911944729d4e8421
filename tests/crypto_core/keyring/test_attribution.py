"""Keyring: attribution asks for a blob's key without naming one, in every Region."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from console.sandbox.endpoint import EndpointControl
from console.sandbox.sandbox import Sandbox
from crypto_core.aws.kms import KmsApi
from crypto_core.keyring import checked_answers
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.errors import (
    IncorrectKeyError,
    InvalidCiphertextError,
    KeyDisabledError,
    KmsRequestError,
)
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.damaging import damaged
from tests.crypto_core.keyring.scene import ELSEWHERE, REGION, ChangedAnswers, NewKey, Recorded, wrapped


def test_attribution_asks_without_a_key_id_and_tells_key_and_material(
    aws: EndpointControl,
    kms: KmsApi,
    client: Any,
    new_key: NewKey,
    recorded: Recorded,
    made_data_keys: list[DataKey],
) -> None:
    trusted, unknown = new_key(), new_key()
    old = client.generate_data_key(KeyId=unknown, KeySpec="AES_256")
    aws.rotate(unknown, datetime.now(UTC), "ON_DEMAND")
    new = client.generate_data_key(KeyId=unknown, KeySpec="AES_256")
    keyring = KmsKeyring(kms, write_key=trusted)
    for made in (old, new):
        answer = keyring.attribute(made["CiphertextBlob"])
        assert (answer.key_arn, answer.key_material_id) == (unknown, made["KeyMaterialId"])
    assert old["KeyMaterialId"] != new["KeyMaterialId"]
    # Asked without a key, and once more with the key that KMS names.
    asked = [request.get("keyId") for request in recorded(unknown, "Decrypt")]
    assert asked == [None, unknown] * 2
    assert len(made_data_keys) == 4
    for data_key in made_data_keys:
        with pytest.raises(ValueError, match="is wiped"):
            exposed(data_key)
    # It is a statement about the envelope, not trust in the key.
    assert keyring.trusted == (trusted,)
    with pytest.raises(IncorrectKeyError):
        keyring.unwrap(new["CiphertextBlob"])


def test_attribution_needs_no_trusted_key(kms: KmsApi, client: Any, new_key: NewKey) -> None:
    key = new_key()
    assert KmsKeyring(kms, write_key=None).attribute(wrapped(client, key)).key_arn == key


def test_attribution_asks_the_regions_in_turn(aws: EndpointControl, sandbox: Sandbox, client: Any) -> None:
    elsewhere = KmsApi([ELSEWHERE], attempts=1)
    key = elsewhere.call("CreateKey")["KeyMetadata"]["Arn"]
    blob = elsewhere.call("GenerateDataKey", KeyId=key, KeySpec="AES_256")["CiphertextBlob"]
    assert f":{ELSEWHERE}:" in key

    both = KmsApi([REGION, ELSEWHERE], attempts=1)
    assert KmsKeyring(both, write_key=None).attribute(blob).key_arn == key
    assert both.calls == 3
    with pytest.raises(InvalidCiphertextError, match="KEYDECK_REGIONS"):
        KmsKeyring(KmsApi([REGION], attempts=1), write_key=None).attribute(blob)


def test_attribution_of_a_disabled_key_names_it_and_of_a_damaged_blob_says_so(
    kms: KmsApi, client: Any, new_key: NewKey
) -> None:
    key = new_key()
    blob = wrapped(client, key)
    keyring = KmsKeyring(kms, write_key=None)
    with pytest.raises(InvalidCiphertextError):
        keyring.attribute(damaged(blob))
    client.disable_key(KeyId=key)
    with pytest.raises(KeyDisabledError) as caught:
        keyring.attribute(blob)
    assert caught.value.key == key


def test_an_attribution_that_names_no_key_is_refused(
    aws: EndpointControl, client: Any, new_key: NewKey
) -> None:
    keyring = KmsKeyring(ChangedAnswers(KeyId=None), write_key=None)
    with pytest.raises(KmsRequestError, match="did not say which key"):
        keyring.attribute(wrapped(client, new_key()))


@pytest.mark.parametrize("changed", ["KeyId", "KeyMaterialId"])
def test_an_attribution_that_kms_contradicts_when_it_is_asked_with_that_key_is_refused(
    aws: EndpointControl, client: Any, new_key: NewKey, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    key, materials = new_key(), iter("ab")
    wrong = ChangedAnswers(**({"KeyId": key} if changed == "KeyId" else {}))
    if changed == "KeyMaterialId":
        monkeypatch.setattr(checked_answers, "material_of", lambda _: next(materials))
    with pytest.raises(KmsRequestError, match="asked with that key it answers"):
        KmsKeyring(wrong, write_key=None).attribute(wrapped(client, new_key()))
    assert len(wrong.data_keys) == (1 if changed == "KeyId" else 2)
