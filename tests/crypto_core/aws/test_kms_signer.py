"""Signatures by KMS: the algorithm that fits the key, by configured keys alone, for one purpose alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.sandbox.endpoint import Denial
from console.sandbox.endpoint.control import EndpointControl
from crypto_core.aws.kms import KmsApi
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.guard.signature import digest_of
from crypto_core.values import errors

DIGEST = digest_of("a test", "what is signed")


def made(client: Any, usage: str, spec: str) -> str:
    return str(client.create_key(KeyUsage=usage, KeySpec=spec)["KeyMetadata"]["Arn"])


@pytest.fixture
def ecc(client: Any) -> str:
    return made(client, "SIGN_VERIFY", "ECC_NIST_P256")


@pytest.mark.parametrize(
    ("usage", "spec", "algorithm"),
    [
        ("SIGN_VERIFY", "ECC_NIST_P256", "ECDSA_SHA_256"),
        ("SIGN_VERIFY", "ECC_NIST_P384", "ECDSA_SHA_384"),
        ("SIGN_VERIFY", "RSA_2048", "RSASSA_PSS_SHA_256"),
        ("GENERATE_VERIFY_MAC", "HMAC_256", "HMAC_SHA_256"),
        ("GENERATE_VERIFY_MAC", "HMAC_512", "HMAC_SHA_512"),
    ],
)
def test_the_algorithm_is_the_keys_best(
    kms: KmsApi, client: Any, usage: str, spec: str, algorithm: str
) -> None:
    key = made(client, usage, spec)
    client.create_alias(AliasName=f"alias/{key[-12:]}", TargetKeyId=key)
    signer = KmsSigner(kms.call, [f"alias/{key[-12:]}"])
    signature = signer.sign(DIGEST)
    assert (signature.key_arn, signature.algorithm) == (key, algorithm)
    assert signer.verify(DIGEST, signature)
    turned = bytearray(signature.value)
    turned[-1] ^= 1
    for wrong in (
        replace(signature, value=bytes(turned)),
        replace(signature, value=b""),
        replace(signature, value=b"x" * 7000),
        replace(signature, algorithm="[/red]\x1b[31m"),
        replace(signature, algorithm="HMAC_SHA_256" if usage == "SIGN_VERIFY" else "ECDSA_SHA_256"),
        replace(signature, key_arn="arn:aws:kms:eu-west-1:123456789012:key/another"),
    ):
        assert not signer.verify(DIGEST, wrong)
    assert not signer.verify(digest_of("another purpose", "what is signed"), signature)


@pytest.mark.deep
def test_the_first_key_signs_and_the_others_are_verified_with(kms: KmsApi, client: Any, ecc: str) -> None:
    older = KmsSigner(kms.call, [ecc]).sign(DIGEST)
    newer = made(client, "GENERATE_VERIFY_MAC", "HMAC_256")
    assert not KmsSigner(kms.call, [newer]).verify(DIGEST, older)
    both = KmsSigner(kms.call, [newer, ecc])
    assert both.sign(DIGEST).key_arn == newer
    assert both.verify(DIGEST, older)


def test_a_key_that_seals_tokens_does_not_sign(kms: KmsApi, client: Any) -> None:
    key = made(client, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT")
    with pytest.raises(errors.SettingsError, match="SYMMETRIC_DEFAULT, for ENCRYPT_DECRYPT") as caught:
        KmsSigner(kms.call, [key]).sign(DIGEST)
    assert "KEYDECK_SIGNING_KEY" in caught.value.remedy


def test_read_only_nothing_is_signed_and_everything_verified(
    aws: EndpointControl, kms: KmsApi, ecc: str
) -> None:
    signature = KmsSigner(kms.call, [ecc]).sign(DIGEST)
    looking = KmsSigner(KmsApi(attempts=1, read_only=True).call, [ecc])
    assert looking.verify(DIGEST, signature)
    before = aws.stats().calls.get("kms:Sign", 0)
    with pytest.raises(errors.ReadOnlyError, match="kms:Sign"):
        looking.sign(DIGEST)
    assert aws.stats().calls.get("kms:Sign", 0) == before


def test_what_kms_can_not_be_asked_is_no_answer(
    aws: EndpointControl, kms: KmsApi, client: Any, ecc: str
) -> None:
    key = made(client, "SIGN_VERIFY", "ECC_NIST_P256")
    signer = KmsSigner(kms.call, [key])
    signature = signer.sign(DIGEST)
    aws.add_denial(Denial("*", "kms:Verify", key))
    with pytest.raises(errors.KmsAccessDeniedError, match="kms:Verify"):
        signer.verify(DIGEST, signature)
    client.disable_key(KeyId=key)
    with pytest.raises(errors.KeyDisabledError):
        signer.sign(DIGEST)


def test_an_answer_by_another_key_is_dropped(kms: KmsApi, ecc: str) -> None:
    def elsewhere(operation: str, **parameters: Any) -> dict[str, Any]:
        answer = kms.call(operation, **parameters)
        return answer if operation == "DescribeKey" else answer | {"KeyId": f"{ecc[:-1]}x"}

    with pytest.raises(errors.UntrustedKeyError, match="another key"):
        KmsSigner(elsewhere, [ecc]).sign(DIGEST)


_parts = st.lists(st.one_of(st.text(max_size=6), st.binary(max_size=6)), min_size=1, max_size=4)


@pytest.mark.deep
@given(_parts, _parts)
def test_no_two_things_to_sign_have_one_digest(first: list[str | bytes], second: list[str | bytes]) -> None:
    def digest(parts: list[str | bytes]) -> bytes:
        return digest_of(str(parts[0]), *parts[1:])

    same = (str(first[0]), *first[1:]) == (str(second[0]), *second[1:])
    assert (digest(first) == digest(second)) is same


def test_text_and_bytes_and_the_parting_of_fields_differ() -> None:
    told = [digest_of("a", "bc"), digest_of("ab", "c"), digest_of("a", b"bc"), digest_of("a", "b", "c")]
    assert len({*told, digest_of("a"), digest_of("a", "")}) == 6
