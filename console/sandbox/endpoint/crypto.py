"""Key material and the ciphertext blobs it makes.

A blob is laid out like those of AWS KMS, so that what groups envelopes by their prefix has something to
group (offsets in bytes):

    0-4      01 02 03 00 78   version
    5-36     identifier, the same for every blob of one key material
    37-123   random filler
    124-135  AES-GCM nonce
    136-     ciphertext and the 16-byte tag

So a wrapped 32-byte data key is 184 bytes long, as in AWS. Everything before the ciphertext, and the
encryption context, is authenticated.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = bytes.fromhex("0102030078")
IDENTIFIER = slice(5, 37)
_FILLER_AND_NONCE = 99
_NONCE = slice(124, 136)
_SEALED_FROM = 136
_TAG = 16


@dataclass(frozen=True, slots=True)
class MaterialGeneration:
    """One generation of a KMS key: `id` is KMS's KeyMaterialId, `header` the first 37 bytes of its blobs."""

    id: str
    header: bytes
    cipher: AESGCM = field(repr=False)


def derive_material(root: bytes, key_id: str, generation: int) -> MaterialGeneration:
    """Return the material of a key's generation; the same root secret always gives the same material."""
    secret = hmac.digest(root, f"{key_id}/{generation}".encode(), "sha256")
    return MaterialGeneration(
        id=hashlib.sha256(b"key material id" + secret).hexdigest(),
        header=VERSION + hashlib.sha256(b"ciphertext identifier" + secret).digest(),
        cipher=AESGCM(secret),
    )


def seal(material: MaterialGeneration, plaintext: bytes, context: Mapping[str, str] | None) -> bytes:
    """Wrap `plaintext` (1 to 4096 bytes) and bind it to the encryption context."""
    prefix = material.header + os.urandom(_FILLER_AND_NONCE)
    return prefix + material.cipher.encrypt(prefix[_NONCE], plaintext, prefix + _encode(context))


def unseal(material: MaterialGeneration, blob: bytes, context: Mapping[str, str] | None) -> bytes | None:
    """Unwrap `blob`, or return None when it is damaged or bound to another encryption context."""
    prefix = blob[:_SEALED_FROM]
    try:
        return material.cipher.decrypt(prefix[_NONCE], blob[_SEALED_FROM:], prefix + _encode(context))
    except InvalidTag:
        return None


def identifier_of(blob: bytes) -> bytes | None:
    """Return the 32-byte material identifier, or None when this isn't a blob of ours."""
    if len(blob) <= _SEALED_FROM + _TAG or not blob.startswith(VERSION):
        return None
    return blob[IDENTIFIER]


def _encode(context: Mapping[str, str] | None) -> bytes:
    return _encode_items(tuple(sorted(context.items()))) if context else b""


@lru_cache(maxsize=256)
def _encode_items(items: tuple[tuple[str, str], ...]) -> bytes:
    parts: list[bytes] = []
    for pair in items:
        for text in pair:
            raw = text.encode()
            parts += (len(raw).to_bytes(4), raw)
    return b"".join(parts)
