"""AES-256-GCM and HKDF from the cryptography library, with outputs in buffers that can be wiped.

NIST SP 800-38D: 96-bit IV (section 5.2.1.1), 128-bit tag. RFC 5869: extract and expand.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto_core.envelope.fields import TAG_BYTES

_SHA512 = SHA512()

Buffer = bytes | bytearray | memoryview


def gcm_encrypt(key: Buffer, nonce: bytes, plaintext: Buffer, aad: bytes | None) -> bytes:
    """Return ciphertext and tag. A nonce must never be used twice with one key."""
    return AESGCM(key).encrypt(nonce, plaintext, aad)


def gcm_decrypt(key: Buffer, nonce: bytes, ciphertext: bytes, aad: bytes | None) -> bytearray:
    """Return the plaintext in a buffer that the caller owns. Raises InvalidTag, the buffer zeroed."""
    size = len(ciphertext) - TAG_BYTES
    plaintext = bytearray(size) if size > 0 else bytearray()
    try:
        AESGCM(key).decrypt_into(nonce, ciphertext, aad, plaintext)
    except InvalidTag:
        wipe(plaintext)
        raise
    return plaintext


def hkdf(
    input_key: Buffer, salt: bytes, info: bytes, length: int, algorithm: HashAlgorithm | None = None
) -> bytearray:
    """Return `length` bytes derived with HKDF, SHA-512 unless told, in a buffer that the caller owns."""
    output = bytearray(length)
    HKDF(algorithm or _SHA512, length, salt, info).derive_into(input_key, output)
    return output


def wipe(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))
