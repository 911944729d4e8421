"""The formats a second time, written from crypto_core/FORMAT.md and importing nothing of the product.

HKDF is RFC 5869 by hand over hmac; AES and GCM are the cryptography library's plain ciphers; base64 is strict
by encoding again and comparing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ARN = re.compile(
    "arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/"
    "(?:(?:mrk-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
)

DATABASE = re.compile("(?! )[ -~]{1,64}(?<! )")


class RejectedError(Exception):
    """What FORMAT.md says must be rejected: class of error, and the field where it is malformed."""

    def __init__(self, error: str, field: str | None = None) -> None:
        super().__init__(error, field)
        self.error, self.field = error, field


@dataclass(frozen=True)
class Row:
    """The row that a token is in, and its database's name where the reader is configured with one."""

    table: str
    column: str
    row_id: str
    database: str | None = None


@dataclass(frozen=True)
class SealedV2:
    """A v2 value and everything that was computed on the way to it."""

    context_encoding: bytes
    binding: bytes
    encryption_key: bytes
    commitment: bytes
    ciphertext: bytes
    stored: str


def hkdf(hash_name: str, input_key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869: extract (section 2.2), then expand (section 2.3)."""
    size = len(hmac.digest(b"", b"", hash_name))
    pseudorandom_key = hmac.digest(salt or bytes(size), input_key, hash_name)
    output, block = b"", b""
    for counter in range(1, -(-length // size) + 1):
        block = hmac.digest(pseudorandom_key, block + info + bytes([counter]), hash_name)
        output += block
    return output[:length]


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce, ciphertext[-16:])).decryptor()
    decryptor.authenticate_additional_data(aad)
    return decryptor.update(ciphertext[:-16]) + decryptor.finalize()


# v2: context, binding, what is derived


def prefixed(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def encode(context: Mapping[str, str]) -> bytes:
    pairs = {key.encode(): value.encode() for key, value in context.items()}
    return struct.pack(">H", len(pairs)) + b"".join(
        prefixed(key) + prefixed(pairs[key]) for key in sorted(pairs)
    )


def context_of(row: Row) -> dict[str, str]:
    for text, most in ((row.table, 63), (row.column, 63), (row.row_id, 1024)):
        if not 1 <= len(text.encode("utf-8", "surrogatepass")) <= most:
            raise RejectedError("invalid reference")
    named = {} if row.database is None else {"keydeck:database": row.database}
    return {"keydeck:id": row.row_id, "keydeck:table": row.table, "keydeck:column": row.column, **named}


def binding_of(key_arn: str, row: Row) -> bytes:
    mark = b"v2" if row.database is None else b"vb"
    return prefixed(mark) + prefixed(key_arn.encode()) + encode(context_of(row))


def derived(label: str, data_key: bytes, salt: bytes, binding: bytes) -> bytes:
    return hkdf("sha512", data_key, salt, label.encode() + binding, 32)


# Sealing


def joined(version: str, *fields: bytes) -> str:
    text = "|".join([version, *(base64.b64encode(field).decode() for field in fields)])
    return base64.b64encode(text.encode()).decode()


def seal_v1(token: bytes, data_key: bytes, edk: bytes, nonce: bytes) -> tuple[bytes, str]:
    ciphertext = gcm_seal(data_key, nonce, token, b"")
    return ciphertext, joined("v1", edk, nonce, ciphertext)


def seal_v2(
    token: bytes, data_key: bytes, edk: bytes, *, key_arn: str, row: Row, salt: bytes, nonce: bytes
) -> SealedV2:
    binding = binding_of(key_arn, row)
    key = derived("keydeck v2 encryption", data_key, salt, binding)
    commitment = derived("keydeck v2 commitment", data_key, salt, binding)
    ciphertext = gcm_seal(key, nonce, token, binding)
    if row.database is None:
        stored = joined("v2", key_arn.encode(), edk, nonce, salt + commitment + ciphertext)
    else:
        database = row.database.encode()
        stored = joined("vb", key_arn.encode(), edk, nonce, database, salt + commitment + ciphertext)
    return SealedV2(encode(context_of(row)), binding, key, commitment, ciphertext, stored)


# Opening


def unbase64(text: str, field: str) -> bytes:
    try:
        decoded = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise RejectedError("malformed", field) from error
    if base64.b64encode(decoded).decode() != text:
        raise RejectedError("malformed", field)
    return decoded


def within(field: str, content: bytes, least: int, most: int) -> bytes:
    if not least <= len(content) <= most:
        raise RejectedError("malformed", field)
    return content


def open_stored(stored: str, data_key: bytes, row: Row | None) -> bytes:
    if not stored.startswith(("djF8", "djJ8", "dmJ8")):
        raise RejectedError("unsupported")
    if len(stored) > 128_070:
        raise RejectedError("malformed", "envelope")
    names = ["encrypted data key", "nonce", "ciphertext"]
    if stored.startswith(("djJ8", "dmJ8")):
        names.insert(0, "key ARN")
    if stored.startswith("dmJ8"):
        names.insert(3, "database")
    _, *texts = unbase64(stored, "envelope").decode("latin-1").split("|")
    if len(texts) != len(names):
        raise RejectedError("malformed", "envelope")
    fields = {name: unbase64(text, name) for name, text in zip(names, texts, strict=True)}
    within("encrypted data key", fields["encrypted data key"], 1, 6_144)
    nonce = within("nonce", fields["nonce"], 12, 12)
    if "key ARN" not in fields:
        ciphertext = within("ciphertext", fields["ciphertext"], 17, 65_552)
        return tag_checked(within("data key", data_key, 32, 32), nonce, ciphertext, b"")
    key_arn = within("key ARN", fields["key ARN"], 0, 120).decode("latin-1")
    if not ARN.fullmatch(key_arn):
        raise RejectedError("malformed", "key ARN")
    committed = within("ciphertext", fields["ciphertext"], 81, 65_616)
    salt, commitment, ciphertext = committed[:32], committed[32:64], committed[64:]
    named = None
    if "database" in fields:
        named = fields["database"].decode("latin-1")
        if not DATABASE.fullmatch(named):
            raise RejectedError("malformed", "database")
        if row is not None and row.database != named:
            raise RejectedError("another database")
    if row is None:
        raise RejectedError("missing reference")
    binding = binding_of(key_arn, replace(row, database=named))
    within("data key", data_key, 32, 32)
    if not hmac.compare_digest(derived("keydeck v2 commitment", data_key, salt, binding), commitment):
        raise RejectedError("authentication")
    key = derived("keydeck v2 encryption", data_key, salt, binding)
    return tag_checked(key, nonce, ciphertext, binding)


def tag_checked(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    try:
        return gcm_open(key, nonce, ciphertext, aad)
    except InvalidTag as error:
        raise RejectedError("authentication") from error
