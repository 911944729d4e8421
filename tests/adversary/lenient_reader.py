"""The platform's published reader in a few lines that share nothing with the product."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BETWEEN = re.compile(r"[\"'{}\[\],:\\]")


def fields_of(value: str | bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return encrypted data key, nonce and ciphertext as the platform takes them, or None."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    try:
        _, edk, nonce, sealed = base64.b64decode(raw).split(b"|")
        return base64.b64decode(edk), base64.b64decode(nonce), base64.b64decode(sealed)
    except (binascii.Error, ValueError):
        return None


def opened(value: str | bytes, data_keys: dict[bytes, bytes]) -> str | None:
    """Return the token, given the data keys that KMS would unwrap, by their encrypted data keys."""
    fields = fields_of(value)
    if fields is None or (key := data_keys.get(fields[0])) is None:
        return None
    try:
        return AESGCM(key).decrypt(fields[1], fields[2], None).decode()
    except (InvalidTag, ValueError):
        return None


def strings_in(value: object) -> Iterator[str | bytes]:
    """Yield everything in a stored value that the platform, or a program beside it, might open."""
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, bytes):
        yield value
        for encoding in ("utf-8", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "latin-1"):
            try:
                yield from strings_in(value.decode(encoding))
            except UnicodeError:
                continue
    elif isinstance(value, str):
        yield value
        yield from _BETWEEN.split(value)
        if value[:1] in '{["' and value:
            try:
                yield from strings_in(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from strings_in(name)
            yield from strings_in(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from strings_in(member)
