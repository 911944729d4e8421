"""KMS's cryptographic operations as the sandbox's endpoint answers them, over HTTP with boto3."""

from collections.abc import Callable
from typing import Any

import pytest

from console.sandbox.endpoint import Denial, EndpointProcess
from tests.console.sandbox.refusals import refusal

REGION = "eu-west-1"
CONTEXT = {"keydeck:table": "gh_connection", "keydeck:id": "gh-42"}


@pytest.mark.parametrize(
    ("asked", "length"),
    [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 64}, 64)],
)
def test_a_generated_data_key_is_opened_by_decrypt(kms: Any, key: Any, asked: Any, length: int) -> None:
    made = kms.generate_data_key(KeyId=key["KeyId"], **asked)
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
    assert opened["Plaintext"] == made["Plaintext"]
    assert len(made["Plaintext"]) == length
    assert made["KeyId"] == opened["KeyId"] == key["Arn"]
    assert made["KeyMaterialId"] == opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"


def test_a_data_key_can_be_had_without_its_plaintext(kms: Any, key: Any) -> None:
    made = kms.generate_data_key_without_plaintext(KeyId=key["Arn"], KeySpec="AES_256")
    assert "Plaintext" not in made
    assert made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert len(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 32


def test_what_encrypt_seals_decrypt_opens(kms: Any, key: Any) -> None:
    sealed = kms.encrypt(KeyId=key["Arn"], Plaintext=b"a secret", EncryptionContext=CONTEXT)
    assert sealed["KeyId"] == key["Arn"]
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert (
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]
        == b"a secret"
    )


@pytest.mark.parametrize("form", ["id", "arn", "alias", "alias arn"])
def test_a_key_is_named_by_id_arn_alias_or_alias_arn(kms: Any, key: Any, form: str) -> None:
    alias = f"alias/{key['KeyId']}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    name = {
        "id": key["KeyId"],
        "arn": key["Arn"],
        "alias": alias,
        "alias arn": key["Arn"].replace(f"key/{key['KeyId']}", alias),
    }[form]
    made = kms.generate_data_key(KeyId=name, KeySpec="AES_256")
    assert made["KeyId"] == key["Arn"]
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], KeyId=name)["Plaintext"] == made["Plaintext"]


def test_an_alias_that_is_moved_names_the_new_key_at_once(kms: Any, key: Any) -> None:
    alias = f"alias/{key['KeyId']}"
    other = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName=alias, TargetKeyId=key["Arn"])
    assert kms.generate_data_key(KeyId=alias, KeySpec="AES_256")["KeyId"] == key["Arn"]
    kms.update_alias(AliasName=alias, TargetKeyId=other["Arn"])
    assert kms.generate_data_key(KeyId=alias, KeySpec="AES_256")["KeyId"] == other["Arn"]
    kms.delete_alias(AliasName=alias)
    code, message = refusal(kms.generate_data_key, KeyId=alias, KeySpec="AES_256")
    assert code == "NotFoundException"
    assert alias in message


def test_a_wrapped_data_key_has_the_layout_of_aws(kms: Any, key: Any) -> None:
    blobs = [kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"] for _ in range(2)]
    other = kms.generate_data_key(KeyId=kms.create_key()["KeyMetadata"]["Arn"], KeySpec="AES_256")
    assert {len(blob) for blob in blobs} == {184}
    assert blobs[0][:5] == bytes.fromhex("0102030078")
    assert blobs[0][5:37] == blobs[1][5:37]
    assert blobs[0][37:] != blobs[1][37:]
    assert other["CiphertextBlob"][5:37] != blobs[0][5:37]


def test_the_identifier_in_a_blob_is_not_the_key_material_id(kms: Any, key: Any) -> None:
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")
    assert made["CiphertextBlob"][5:37].hex() != made["KeyMaterialId"]


@pytest.mark.parametrize("context", [None, {}, {"keydeck:table": "gh_connection"}, {**CONTEXT, "more": "1"}])
def test_another_encryption_context_does_not_open(kms: Any, key: Any, context: Any) -> None:
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256", EncryptionContext=CONTEXT)
    asked = {} if context is None else {"EncryptionContext": context}
    code, _ = refusal(kms.decrypt, CiphertextBlob=made["CiphertextBlob"], **asked)
    assert code == "InvalidCiphertextException"


def test_the_encryption_context_is_encoded_without_ambiguity(kms: Any, key: Any) -> None:
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256", EncryptionContext={"a": "bc"})
    code, _ = refusal(kms.decrypt, CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"ab": "c"})
    assert code == "InvalidCiphertextException"


@pytest.mark.parametrize("position", [0, 5, 40, 125, 140, 183])
def test_a_blob_with_one_changed_bit_does_not_open(kms: Any, key: Any, position: int) -> None:
    blob = bytearray(kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"])
    blob[position] ^= 1
    assert refusal(kms.decrypt, CiphertextBlob=bytes(blob))[0] == "InvalidCiphertextException"


@pytest.mark.parametrize("blob", [b"x", bytes.fromhex("0102030078"), b"\x01\x02\x03\x00\x78" + bytes(200)])
def test_a_foreign_blob_does_not_open(kms: Any, blob: bytes) -> None:
    assert refusal(kms.decrypt, CiphertextBlob=blob)[0] == "InvalidCiphertextException"


def test_a_blob_opens_only_in_the_region_of_its_key(kms: Any, key: Any, client: Callable[..., Any]) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    code, _ = refusal(client("kms", region="us-east-1").decrypt, CiphertextBlob=blob)
    assert code == "InvalidCiphertextException"


def test_decrypt_under_the_wrong_key_is_refused(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    assert refusal(kms.decrypt, CiphertextBlob=blob, KeyId=other["Arn"])[0] == "IncorrectKeyException"


def test_a_missing_key_is_named_in_the_refusal(kms: Any) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    code, message = refusal(kms.generate_data_key, KeyId=missing, KeySpec="AES_256")
    assert (code, message) == (
        "NotFoundException",
        f"Key 'arn:aws:kms:{REGION}:123456789012:key/{missing}' does not exist",
    )
    assert refusal(kms.generate_data_key, KeyId="nonsense", KeySpec="AES_256")[0] == "NotFoundException"


def test_reencrypt_moves_a_data_key_to_another_key(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    made = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256", EncryptionContext=CONTEXT)
    moved = kms.re_encrypt(
        CiphertextBlob=made["CiphertextBlob"],
        SourceKeyId=key["Arn"],
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=other["KeyId"],
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key["Arn"], other["Arn"])
    assert moved["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert moved["DestinationKeyMaterialId"] == other["CurrentKeyMaterialId"]
    assert (
        moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    )
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other["Arn"])
    assert opened["Plaintext"] == made["Plaintext"]


def test_reencrypt_from_the_wrong_key_is_refused(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    code, _ = refusal(
        kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=other["Arn"], DestinationKeyId=other["Arn"]
    )
    assert code == "IncorrectKeyException"


def test_reencrypt_is_refused_by_the_state_of_either_key(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    kms.disable_key(KeyId=other["Arn"])
    code, message = refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other["Arn"])
    assert (code, message) == ("DisabledException", f"{other['Arn']} is disabled.")
    kms.enable_key(KeyId=other["Arn"])
    kms.disable_key(KeyId=key["Arn"])
    code, message = refusal(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=other["Arn"])
    assert (code, message) == ("DisabledException", f"{key['Arn']} is disabled.")


def test_a_dry_run_says_that_it_would_have_worked(kms: Any, key: Any) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    for call, request in (
        (kms.generate_data_key, {"KeyId": key["Arn"], "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": key["Arn"], "KeySpec": "AES_256"}),
        (kms.encrypt, {"KeyId": key["Arn"], "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key["Arn"]}),
    ):
        assert refusal(call, **request, DryRun=True)[0] == "DryRunOperationException"


def test_a_dry_run_that_would_fail_says_why(kms: Any, key: Any) -> None:
    kms.disable_key(KeyId=key["Arn"])
    code, _ = refusal(kms.generate_data_key, KeyId=key["Arn"], KeySpec="AES_256", DryRun=True)
    assert code == "DisabledException"


IGNORED = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}


def test_a_dry_run_that_ignores_the_ciphertext_needs_a_key_and_no_ciphertext(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    for call, request in (
        (kms.decrypt, {"KeyId": key["Arn"]}),
        (kms.decrypt, {"KeyId": key["Arn"], "CiphertextBlob": b"damaged"}),
        (kms.re_encrypt, {"SourceKeyId": key["Arn"], "DestinationKeyId": other}),
    ):
        assert refusal(call, **request, **IGNORED)[0] == "DryRunOperationException"
    assert refusal(kms.decrypt, **IGNORED)[0] == "ValidationException"
    assert refusal(kms.re_encrypt, DestinationKeyId=other, **IGNORED)[0] == "ValidationException"


def test_a_dry_run_that_ignores_the_ciphertext_still_asks_whether_it_is_allowed(
    kms: Any, key: Any, endpoint: EndpointProcess
) -> None:
    other = kms.create_key()["KeyMetadata"]["Arn"]
    for action, resource in (("Decrypt", key["Arn"]), ("ReEncryptFrom", key["Arn"]), ("ReEncryptTo", other)):
        endpoint.control.add_denial(Denial("*", f"kms:{action}", resource))
        if action == "Decrypt":
            code, message = refusal(kms.decrypt, KeyId=key["Arn"], **IGNORED)
        else:
            code, message = refusal(kms.re_encrypt, SourceKeyId=key["Arn"], DestinationKeyId=other, **IGNORED)
        endpoint.control.clear()
        assert code == "AccessDeniedException"
        assert f"to perform: kms:{action} on resource: {resource}" in message
    kms.disable_key(KeyId=key["Arn"])
    assert refusal(kms.decrypt, KeyId=key["Arn"], **IGNORED)[0] == "DisabledException"


def test_only_a_dry_run_ignores_the_ciphertext(kms: Any, key: Any) -> None:
    modifiers = IGNORED["DryRunModifiers"]
    for dry_run in ({}, {"DryRun": False}):
        code, _ = refusal(kms.decrypt, KeyId=key["Arn"], DryRunModifiers=modifiers, **dry_run)
        assert code == "ValidationException"
    unknown = refusal(kms.decrypt, KeyId=key["Arn"], DryRun=True, DryRunModifiers=["IGNORE_EVERYTHING"])
    assert unknown[0] == "ValidationException"
    assert "IGNORE_EVERYTHING" in unknown[1]


@pytest.mark.parametrize("asked", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}, {"NumberOfBytes": 2000}])
def test_a_data_key_of_no_clear_length_is_refused(kms: Any, key: Any, asked: Any) -> None:
    assert refusal(kms.generate_data_key, KeyId=key["Arn"], **asked)[0] == "ValidationException"


def test_an_oversized_plaintext_is_refused(kms: Any, key: Any) -> None:
    assert refusal(kms.encrypt, KeyId=key["Arn"], Plaintext=bytes(4097))[0] == "ValidationException"


def test_an_asymmetric_key_makes_no_data_keys(kms: Any) -> None:
    signing = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]
    code, _ = refusal(kms.generate_data_key, KeyId=signing["Arn"], KeySpec="AES_256")
    assert code == "InvalidKeyUsageException"


def test_every_key_material_of_a_key_still_opens_after_rotations(kms: Any, key: Any) -> None:
    made = []
    for _ in range(3):
        made.append(kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256"))
        kms.rotate_key_on_demand(KeyId=key["Arn"])
    assert len({one["KeyMaterialId"] for one in made}) == 3
    for one in made:
        opened = kms.decrypt(CiphertextBlob=one["CiphertextBlob"], KeyId=key["Arn"])
        assert opened["Plaintext"] == one["Plaintext"]
        assert opened["KeyMaterialId"] == one["KeyMaterialId"]
    moved = kms.re_encrypt(CiphertextBlob=made[0]["CiphertextBlob"], DestinationKeyId=key["Arn"])
    assert moved["SourceKeyMaterialId"] == made[0]["KeyMaterialId"] != moved["DestinationKeyMaterialId"]


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("Disabled", "DisabledException", "is disabled"),
        ("PendingDeletion", "KMSInvalidStateException", "is pending deletion"),
        ("PendingReplicaDeletion", "KMSInvalidStateException", "is pending replica deletion"),
        ("PendingImport", "KMSInvalidStateException", "is pending import"),
        ("Unavailable", "KMSInvalidStateException", "is unavailable"),
        ("Creating", "KMSInvalidStateException", "is creating"),
    ],
)
def test_a_key_state_refuses_as_in_aws(
    kms: Any, key: Any, endpoint: EndpointProcess, state: str, code: str, words: str
) -> None:
    blob = kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["CiphertextBlob"]
    endpoint.control.set_key_state(key["Arn"], state)
    for call, request in (
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.encrypt, {"KeyId": key["Arn"], "Plaintext": b"x"}),
        (kms.generate_data_key, {"KeyId": key["Arn"], "KeySpec": "AES_256"}),
    ):
        answered, message = refusal(call, **request)
        assert answered == code
        assert message == f"{key['Arn']} {words}."
    assert kms.describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"] == state


def test_a_key_that_is_updating_can_be_used(kms: Any, key: Any, endpoint: EndpointProcess) -> None:
    endpoint.control.set_key_state(key["Arn"], "Updating")
    assert kms.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256")["Plaintext"]
