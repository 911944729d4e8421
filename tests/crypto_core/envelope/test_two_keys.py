"""A real ciphertext that opens under two AES-GCM keys, and that v2 opens it under one of them only.

For a fixed key GHASH is affine in each block of the ciphertext (NIST SP 800-38D, sections 6.3 and 6.4). So
for two keys, one nonce and any other blocks there is a block that makes the two tags equal: the solution of
one linear equation in GF(2^128).
"""

from __future__ import annotations

import hmac
from random import Random

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.envelope import EnvelopeV1, EnvelopeV2, open_envelope, parse, serialise
from crypto_core.values.errors import AuthenticationFailedError
from crypto_core.values.secret import DataKey, exposed
from tests.crypto_core.envelope.samples import EDK, KEY_ARN, REF
from tests.crypto_core.envelope.second_implementation import Row, binding_of, derived

REDUCTION = 0xE1 << 120
"""x^128 + x^7 + x^2 + x + 1 as GCM writes it: the leftmost bit is the coefficient of x^0."""
ONE = 1 << 127

_bytes = Random(38).randbytes
NONCE, SALT = _bytes(12), _bytes(32)
HONEST, HOSTILE = b"ghp_honest-token", b"ghp_attacker-own"
BINDING = binding_of(KEY_ARN, Row(REF.table, REF.column, REF.row_id))


def multiplied(x: int, y: int) -> int:
    """The product in GCM's GF(2^128)."""
    product = 0
    for place in range(127, -1, -1):
        if y >> place & 1:
            product ^= x
        x = x >> 1 ^ (REDUCTION if x & 1 else 0)
    return product


def inverse(x: int) -> int:
    result, power = ONE, x
    for _ in range(127):
        power = multiplied(power, power)
        result = multiplied(result, power)
    return result


def block_cipher(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def ghash(hash_key: int, aad: bytes, ciphertext: bytes) -> int:
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    padded += (8 * len(aad)).to_bytes(8) + (8 * len(ciphertext)).to_bytes(8)
    value = 0
    for start in range(0, len(padded), 16):
        value = multiplied(value ^ int.from_bytes(padded[start : start + 16]), hash_key)
    return value


def key_stream(key: bytes, nonce: bytes, block: int) -> bytes:
    """The key stream over that block of the plaintext, counted from 0; -1 is what masks the tag."""
    return block_cipher(key, nonce + (block + 2).to_bytes(4))


def xored(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def two_key_ciphertext(
    keys: tuple[bytes, bytes], nonce: bytes, aad: bytes, wanted: tuple[bytes, bytes]
) -> bytes:
    """Ciphertext and tag that both keys open: the first to wanted[0] and two blocks of noise, the second to a
    block of noise, wanted[1] and another block of noise.
    """
    chosen = xored(wanted[0], key_stream(keys[0], nonce, 0)) + xored(wanted[1], key_stream(keys[1], nonce, 1))
    hash_keys = [int.from_bytes(block_cipher(key, bytes(16))) for key in keys]
    masks = [int.from_bytes(key_stream(key, nonce, -1)) for key in keys]
    tags = [ghash(h, aad, chosen + bytes(16)) ^ mask for h, mask in zip(hash_keys, masks, strict=True)]
    # The solved block stands before the block of lengths, so its factor is the square of the hash key.
    factor = multiplied(hash_keys[0], hash_keys[0]) ^ multiplied(hash_keys[1], hash_keys[1])
    solved = multiplied(tags[0] ^ tags[1], inverse(factor)).to_bytes(16)
    ciphertext = chosen + solved
    return ciphertext + (ghash(hash_keys[0], aad, ciphertext) ^ masks[0]).to_bytes(16)


@pytest.fixture(params=range(8))
def data_keys(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    randbytes = Random(request.param).randbytes
    return randbytes(32), randbytes(32)


def two_key_envelope(data_keys: tuple[bytes, bytes], made_for: bytes) -> EnvelopeV2:
    """A v2 envelope whose ciphertext both data keys open, with the commitment of `made_for`."""
    first, second = (derived("keydeck v2 encryption", key, SALT, BINDING) for key in data_keys)
    ciphertext = two_key_ciphertext((first, second), NONCE, BINDING, (HONEST, HOSTILE))
    for key in (first, second):
        assert len(AESGCM(key).decrypt(NONCE, ciphertext, BINDING)) == 48
    commitment = derived("keydeck v2 commitment", made_for, SALT, BINDING)
    envelope = parse(serialise(EnvelopeV2(KEY_ARN, EDK, NONCE, SALT, commitment, ciphertext)))
    assert isinstance(envelope, EnvelopeV2)
    return envelope


def opened(envelope: EnvelopeV1 | EnvelopeV2, data_key: bytes) -> bytes:
    with DataKey(data_key) as key, open_envelope(envelope, key, REF) as token:
        return bytes(exposed(token))


def test_the_field_arithmetic_is_gcms(data_keys: tuple[bytes, bytes]) -> None:
    for length in (0, 1, 16, 40):
        sealed = AESGCM(data_keys[0]).encrypt(NONCE, bytes(length), BINDING)
        hash_key = int.from_bytes(block_cipher(data_keys[0], bytes(16)))
        mask = int.from_bytes(key_stream(data_keys[0], NONCE, -1))
        assert (ghash(hash_key, BINDING, sealed[:-16]) ^ mask).to_bytes(16) == sealed[-16:]
    element = int.from_bytes(data_keys[1][:16])
    assert multiplied(element, inverse(element)) == ONE


def test_a_v1_envelope_can_be_made_that_opens_under_two_data_keys(data_keys: tuple[bytes, bytes]) -> None:
    """What v1's bare AES-GCM does not promise, and v2 was made for."""
    ciphertext = two_key_ciphertext(data_keys, NONCE, b"", (HONEST, HOSTILE))
    envelope = parse(serialise(EnvelopeV1(EDK, NONCE, ciphertext)))
    assert isinstance(envelope, EnvelopeV1)
    assert opened(envelope, data_keys[0])[:16] == HONEST
    assert opened(envelope, data_keys[1])[16:32] == HOSTILE
    with pytest.raises(AuthenticationFailedError):
        opened(envelope, bytes(32))


@pytest.mark.parametrize("made_for", [0, 1])
def test_a_v2_envelope_opens_under_the_data_key_it_commits_to_and_not_under_the_other(
    data_keys: tuple[bytes, bytes], made_for: int
) -> None:
    envelope = two_key_envelope(data_keys, data_keys[made_for])
    wanted = HONEST if made_for == 0 else HOSTILE
    assert opened(envelope, data_keys[made_for])[16 * made_for :][:16] == wanted
    with pytest.raises(AuthenticationFailedError, match="sealed for another row, key or data key"):
        opened(envelope, data_keys[1 - made_for])


def test_it_is_the_commitment_that_keeps_the_other_data_key_out(
    data_keys: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = two_key_envelope(data_keys, data_keys[0])
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: True)
    assert opened(envelope, data_keys[1])[16:32] == HOSTILE


def test_the_two_key_ciphertext_is_no_v1_envelope_of_either_data_key(data_keys: tuple[bytes, bytes]) -> None:
    envelope = two_key_envelope(data_keys, data_keys[0])
    for data_key in data_keys:
        with pytest.raises(AuthenticationFailedError):
            opened(EnvelopeV1(EDK, NONCE, envelope.ciphertext), data_key)
        with pytest.raises(InvalidTag):
            AESGCM(data_key).decrypt(NONCE, envelope.ciphertext, BINDING)
