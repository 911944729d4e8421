"""The table of KMS's cryptographic operations, held against AWS's own model of the service."""

from __future__ import annotations

from collections.abc import Iterator

import boto3

from crypto_core.keys import key_uses
from crypto_core.keys.key_uses import OPERATIONS, CryptographicOperation

CIPHERTEXTS = {"CiphertextBlob", "PrivateKeyCiphertextBlob"}
PLAINTEXTS = {"Plaintext", "PrivateKeyPlaintext"}


def modelled() -> Iterator[CryptographicOperation]:
    """What the model says of each operation that takes a key and data, or gives data."""
    model = boto3.client("kms", region_name="eu-west-1").meta.service_model
    for name in model.operation_names:
        one = model.operation_model(name)
        asked = set(one.input_shape.members) if one.input_shape else set()
        answered = set(one.output_shape.members) if one.output_shape else set()
        opens = bool(CIPHERTEXTS & asked)
        seals = bool(CIPHERTEXTS & answered)
        signs = bool({"Message", "PublicKey"} & asked and "KeyId" in asked)
        if opens or seals or signs:
            reveals = bool(PLAINTEXTS & (asked | answered))
            yield CryptographicOperation(name, opens, seals, reveals)


def test_the_table_says_of_every_operation_what_awss_model_says() -> None:
    assert sorted(OPERATIONS, key=lambda o: o.name) == sorted(modelled(), key=lambda o: o.name)


def test_what_hands_out_a_plaintext_is_told_from_what_does_not() -> None:
    assert key_uses.READS == ("Decrypt",)
    assert key_uses.REWRAPS == ("ReEncrypt",)
    assert set(key_uses.HANDS_OUT) == {"Encrypt", "GenerateDataKey", "GenerateDataKeyPair"}
    assert set(key_uses.MAKES) == set(key_uses.SEALS) - set(key_uses.REWRAPS)
