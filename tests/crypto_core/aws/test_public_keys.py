"""Public keys verify what KMS signed, of every algorithm, without KMS."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from crypto_core.aws.kms import KmsApi
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.aws.public_keys import PublicKeys, public_key
from crypto_core.guard.signature import Signature, SigningTime, digest_of
from crypto_core.values.errors import EndedKeyError, SettingsError

DIGEST = digest_of("a test", "what is signed")


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "RSA_2048"])
def test_what_kms_signed_is_verified_by_the_public_key(kms: KmsApi, client: Any, spec: str) -> None:
    arn = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["Arn"]
    signature = KmsSigner(kms.call, [arn]).sign(DIGEST)
    der = client.get_public_key(KeyId=arn)["PublicKey"]
    pem = load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content in (der, b64encode(der) + b"\n", pem):
        assert PublicKeys([public_key(content, "key")]).verify(DIGEST, signature)
    keys = PublicKeys([public_key(der, "key")])
    # Whichever key it names: whose it is, the key tells.
    assert keys.verify(DIGEST, replace(signature, key_arn="another"))
    assert not keys.verify(digest_of("a test", "another"), signature)
    for wrong in (
        b"",
        b"x" * 7000,
        signature.value[:-1],
        bytes([*signature.value[:-1], signature.value[-1] ^ 1]),
    ):
        assert not keys.verify(DIGEST, replace(signature, value=wrong))
    for algorithm in ("", "RSASSA_PKCS1_V1_5_SHA_256", "ED25519_SHA_512", "ML_DSA_SHAKE_256", "[/red]"):
        assert not keys.verify(DIGEST, replace(signature, algorithm=algorithm))
    other = client.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["Arn"]
    others = public_key(client.get_public_key(KeyId=other)["PublicKey"], "other")
    assert not PublicKeys([others]).verify(DIGEST, signature)

    end = datetime(2026, 11, 28, tzinfo=UTC)
    former = PublicKeys([public_key(der, "key.pem", end)])
    assert former.verify(DIGEST, signature, SigningTime(end, "a witness"))
    with pytest.raises(EndedKeyError, match=r"signed by key\.pem, a former key"):
        former.verify(DIGEST, signature)


@pytest.mark.parametrize("kind", [mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey])
def test_a_post_quantum_signature_is_verified_by_the_public_key(kind: Any) -> None:
    key = kind.generate()
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = Signature("arn", "ML_DSA_SHAKE_256", key.sign(DIGEST))
    keys = PublicKeys([public_key(der, "key")])
    assert keys.verify(DIGEST, signature)
    assert not keys.verify(digest_of("a test", "another"), signature)
    assert not keys.verify(DIGEST, replace(signature, algorithm="ECDSA_SHA_256"))


def test_what_only_kms_can_verify_is_said_to_be(kms: KmsApi, client: Any) -> None:
    arn = client.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
    signature = KmsSigner(kms.call, [arn]).sign(DIGEST)
    with pytest.raises(SettingsError, match="only KMS can verify it"):
        PublicKeys([]).verify(DIGEST, signature)
    with pytest.raises(SettingsError):
        PublicKeys([]).sign(DIGEST)


@pytest.mark.parametrize("content", [b"x", b"-----BEGIN PUBLIC KEY-----\n", b"\x1b[31m", b"AAAA"])
def test_what_is_no_public_key_is_named(content: bytes) -> None:
    with pytest.raises(SettingsError, match=r"key\.pem is not a public key"):
        public_key(content, "key.pem")
