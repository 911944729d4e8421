"""AES-256-GCM and HKDF against known answers: NIST's CAVP files and the cases of RFC 5869."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from itertools import chain
from typing import cast

import cryptography_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from hypothesis import example, given
from hypothesis import strategies as st

from crypto_core.envelope.fields import NONCE_BYTES, TAG_BYTES
from crypto_core.envelope.primitives import gcm_decrypt, gcm_encrypt, hkdf

Case = dict[str, str]
GCM_LENGTHS = {"Keylen": "256", "IVlen": str(8 * NONCE_BYTES), "Taglen": str(8 * TAG_BYTES)}
GCM_PLAINTEXTS = GCM_AADS = 5
CASES_OF_EACH = 15


def lines_of(*path: str) -> list[str]:
    with cryptography_vectors.open_vector_file("/".join(path), "r") as file:
        return cast(list[str], file.read().splitlines())


def cases_in(lines: list[str]) -> Iterator[Case]:
    """The cases of a file, each with the `[name = value]` headers that it stands under."""
    headers: Case = {}
    case: Case = {}
    for line in chain(map(str.strip, lines), ["[end]"]):
        if line.startswith("#") or not line:
            continue
        name, _, value = (part.strip() for part in line.strip("[]").partition("="))
        starts = line.startswith("[") or name.upper() == "COUNT"
        if starts and case:
            yield headers | case
            case = {}
        if line.startswith("["):
            headers[name] = value
        else:
            case[name] = value


def gcm_cases(name: str) -> list[Case]:
    """The cases with a 256-bit key, a 96-bit IV and a 128-bit tag."""
    cases = list(cases_in(lines_of("ciphers", "AES", "GCM", name)))
    assert len(cases) == 7_875
    chosen = [case for case in cases if GCM_LENGTHS.items() <= case.items()]
    assert len(chosen) == GCM_PLAINTEXTS * GCM_AADS * CASES_OF_EACH == 375
    return chosen


def parts_of(case: Case) -> tuple[bytes, bytes, bytes, bytes]:
    """Key, nonce, ciphertext with tag, additional data, of the lengths that the file says."""
    key, nonce, ciphertext, tag, aad = (bytes.fromhex(case[n]) for n in ("Key", "IV", "CT", "Tag", "AAD"))
    assert [8 * len(part) for part in (key, nonce, tag)] == [256, 96, 128]
    assert [8 * len(part) for part in (ciphertext, aad)] == [int(case["PTlen"]), int(case["AADlen"])]
    return key, nonce, ciphertext + tag, aad


def test_every_cavp_encryption_is_computed_and_opened() -> None:
    lengths = set()
    for case in gcm_cases("gcmEncryptExtIV256.rsp"):
        key, nonce, ciphertext, aad = parts_of(case)
        plaintext = bytes.fromhex(case["PT"])
        assert gcm_encrypt(key, nonce, plaintext, aad) == ciphertext
        assert gcm_decrypt(key, nonce, ciphertext, aad) == plaintext
        lengths.add((len(plaintext), len(aad)))
    assert len(lengths) == GCM_PLAINTEXTS * GCM_AADS
    assert {(0, 0), (51, 90)} <= lengths


def test_every_cavp_decryption_gives_the_plaintext_or_fails() -> None:
    outcomes = {"opened": 0, "failed": 0}
    for case in gcm_cases("gcmDecrypt256.rsp"):
        key, nonce, ciphertext, aad = parts_of(case)
        if "FAIL" in case:
            assert "PT" not in case
            with pytest.raises(InvalidTag):
                gcm_decrypt(key, nonce, ciphertext, aad)
            outcomes["failed"] += 1
        else:
            assert gcm_decrypt(key, nonce, ciphertext, aad) == bytes.fromhex(case["PT"])
            outcomes["opened"] += 1
    assert outcomes == {"opened": 184, "failed": 191}


def test_no_additional_data_is_the_same_as_empty_additional_data() -> None:
    """v1 passes None. The cases without any are the known answers for it."""
    cases = [case for case in gcm_cases("gcmEncryptExtIV256.rsp") if case["AADlen"] == "0"]
    assert len(cases) == GCM_PLAINTEXTS * CASES_OF_EACH
    for case in cases:
        key, nonce, ciphertext, _ = parts_of(case)
        assert gcm_encrypt(key, nonce, bytes.fromhex(case["PT"]), None) == ciphertext
        assert gcm_decrypt(key, nonce, ciphertext, None) == bytes.fromhex(case["PT"])


@pytest.mark.parametrize(
    ("name", "algorithm", "numbers"),
    [
        ("rfc-5869-HKDF-SHA256.txt", SHA256(), ["1", "2", "3"]),
        ("rfc-5869-HKDF-SHA1.txt", SHA1(), ["4", "5", "6", "7"]),
    ],
)
def test_every_case_of_rfc_5869_is_derived(name: str, algorithm: HashAlgorithm, numbers: list[str]) -> None:
    cases = list(cases_in(lines_of("KDF", name)))
    assert [case["COUNT"] for case in cases] == numbers
    for case in cases:
        assert case["Hash"] == algorithm.name.upper().replace("SHA", "SHA-")
        input_key, salt, info, output = (bytes.fromhex(case[n]) for n in ("IKM", "salt", "info", "OKM"))
        assert len(output) == int(case["L"]) > 0
        assert hkdf(input_key, salt, info, len(output), algorithm) == output


def hkdf_sha512_by_hand(input_key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3, with HMAC (RFC 2104) spelled out too."""

    def mac(key: bytes, message: bytes) -> bytes:
        padded = (key if len(key) <= 128 else hashlib.sha512(key).digest()).ljust(128, b"\0")
        inner = hashlib.sha512(bytes(b ^ 0x36 for b in padded) + message).digest()
        return hashlib.sha512(bytes(b ^ 0x5C for b in padded) + inner).digest()

    assert mac(b"key", b"message") == hmac.digest(b"key", b"message", "sha512")
    pseudorandom_key = mac(salt or bytes(64), input_key)
    output, block = b"", b""
    for counter in range(1, -(-length // 64) + 1):
        block = mac(pseudorandom_key, block + info + bytes([counter]))
        output += block
    return output[:length]


@given(st.binary(max_size=80), st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 300))
@example(bytes(32), bytes(32), b"keydeck v2 encryption", 32)
@example(bytes(32), b"", b"", 255 * 64)
def test_hkdf_is_with_sha_512_unless_told(input_key: bytes, salt: bytes, info: bytes, length: int) -> None:
    assert hkdf(input_key, salt, info, length) == hkdf_sha512_by_hand(input_key, salt, info, length)


def test_results_are_buffers_that_can_be_wiped() -> None:
    for result in (hkdf(bytes(32), b"", b"", 32), gcm_decrypt(*_sealed(b"a token"))):
        assert type(result) is bytearray
        result[:] = bytes(len(result))


def _sealed(plaintext: bytes) -> tuple[bytes, bytes, bytes, None]:
    key, nonce = bytes(32), bytes(12)
    return key, nonce, gcm_encrypt(key, nonce, plaintext, None), None
