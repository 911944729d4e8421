"""Sign, Verify, GenerateMac and VerifyMac in the sandbox: real signatures, refusals, CloudTrail's records."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from console.sandbox.endpoint import Denial
from console.sandbox.sandbox import Sandbox

DIGEST = hashlib.sha256(b"what is signed").digest()


@pytest.fixture(scope="module")
def kms(sandbox: Sandbox) -> Any:
    return sandbox.client("kms")


@pytest.fixture
def ecc(kms: Any) -> str:
    return made(kms, "SIGN_VERIFY", "ECC_NIST_P256")


@pytest.fixture
def mac_key(kms: Any) -> str:
    return made(kms, "GENERATE_VERIFY_MAC", "HMAC_256")


def made(kms: Any, usage: str, spec: str) -> str:
    return str(kms.create_key(KeyUsage=usage, KeySpec=spec)["KeyMetadata"]["Arn"])


def code(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def test_a_signature_verifies_with_the_public_key_outside(kms: Any, ecc: str) -> None:
    signing = {"KeyId": ecc, "SigningAlgorithm": "ECDSA_SHA_256"}
    answer = kms.sign(Message=DIGEST, MessageType="DIGEST", **signing)
    assert (answer["KeyId"], answer["SigningAlgorithm"]) == (ecc, "ECDSA_SHA_256")
    public: Any = load_der_public_key(kms.get_public_key(KeyId=ecc)["PublicKey"])
    public.verify(answer["Signature"], DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    raw = kms.sign(Message=b"what is signed", **signing)["Signature"]
    assert (
        kms.verify(Message=DIGEST, MessageType="DIGEST", Signature=raw, **signing)["SignatureValid"] is True
    )
    other = hashlib.sha256(b"another").digest()
    wrong = {"Message": other, "MessageType": "DIGEST", "Signature": raw, **signing}
    assert code(kms.verify, **wrong) == "KMSInvalidSignatureException"
    assert code(kms.sign, Message=b"short", MessageType="DIGEST", **signing) == "ValidationException"


def test_an_rsa_signature_has_the_salt_that_kms_gives_it(kms: Any) -> None:
    key = made(kms, "SIGN_VERIFY", "RSA_2048")
    algorithm = "RSASSA_PSS_SHA_256"
    signed = kms.sign(KeyId=key, Message=DIGEST, MessageType="DIGEST", SigningAlgorithm=algorithm)[
        "Signature"
    ]
    public: Any = load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
    public.verify(signed, DIGEST, pss, Prehashed(hashes.SHA256()))
    verifying = {"KeyId": key, "Message": DIGEST, "MessageType": "DIGEST", "SigningAlgorithm": algorithm}
    assert kms.verify(Signature=signed, **verifying)["SignatureValid"] is True


def test_a_mac_is_the_keys_own(kms: Any, mac_key: str) -> None:
    assert kms.describe_key(KeyId=mac_key)["KeyMetadata"]["MacAlgorithms"] == ["HMAC_SHA_256"]
    asked = {"KeyId": mac_key, "Message": DIGEST, "MacAlgorithm": "HMAC_SHA_256"}
    answer = kms.generate_mac(**asked)
    assert (answer["KeyId"], len(answer["Mac"])) == (mac_key, 32)
    assert kms.verify_mac(Mac=answer["Mac"], **asked)["MacValid"] is True
    another = kms.generate_mac(**asked | {"KeyId": made(kms, "GENERATE_VERIFY_MAC", "HMAC_256")})["Mac"]
    assert code(kms.verify_mac, Mac=another, **asked) == "KMSInvalidMacException"


def test_a_key_does_only_what_it_is_for(kms: Any, ecc: str, mac_key: str, sandbox: Sandbox) -> None:
    signing = {"Message": DIGEST, "MessageType": "DIGEST"}
    for key, algorithm in ((mac_key, "ECDSA_SHA_256"), (ecc, "RSASSA_PSS_SHA_256"), (ecc, "ECDSA_SHA_384")):
        refused = code(kms.sign, KeyId=key, SigningAlgorithm=algorithm, **signing)
        assert refused == "InvalidKeyUsageException"
    assert code(kms.generate_mac, KeyId=ecc, Message=DIGEST, MacAlgorithm="HMAC_SHA_256") == (
        "InvalidKeyUsageException"
    )
    key = made(kms, "SIGN_VERIFY", "ECC_NIST_P256")
    kms.disable_key(KeyId=key)
    assert code(kms.sign, KeyId=key, SigningAlgorithm="ECDSA_SHA_256", **signing) == "DisabledException"
    sandbox.control.add_denial(Denial("*", "kms:Sign", ecc))
    assert code(kms.sign, KeyId=ecc, SigningAlgorithm="ECDSA_SHA_256", **signing) == "AccessDeniedException"
    sandbox.control.clear()


def test_cloudtrail_tells_who_signed_with_which_key_and_nothing_of_what(
    kms: Any, ecc: str, sandbox: Sandbox
) -> None:
    kms.sign(KeyId=ecc, Message=DIGEST, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    sandbox.control.set_lookup_throttle(None)
    trail = sandbox.client("cloudtrail")
    named = [{"AttributeKey": "ResourceName", "AttributeValue": ecc}]
    records = [e["CloudTrailEvent"] for e in trail.lookup_events(LookupAttributes=named)["Events"]]
    (record, *_) = [r for r in records if '"eventName": "Sign"' in r or '"eventName":"Sign"' in r]
    for part in ("ECDSA_SHA_256", "DIGEST", ecc):
        assert part in record
    assert "message" not in record.replace("messageType", "")
    assert '"readOnly": true' in record or '"readOnly":true' in record
