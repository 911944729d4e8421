"""Envelopes for tests of the format, the same every time, and how tests write broken ones."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto_core.envelope import (
    Envelope,
    EnvelopeV1,
    EnvelopeV2,
    Format,
    open_envelope,
    parse_strictly,
    seal,
    serialise,
)
from crypto_core.values.errors import EnvelopeError, MalformedEnvelopeError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

PUBLISHED_DEV_KEY = "Uqktv94Z9tHa5WsVKJVtBsc-QylZWQ4wTg3_sXekPaA="
SOURCE = Path(__file__).parents[3] / "crypto_core"
OWN_WORDS = "".join(
    file.read_text(encoding="utf-8")
    for file in [*(SOURCE / "envelope").glob("*.py"), SOURCE / "values" / "errors.py"]
)
"""What the errors of this package are worded in."""

V1_FIELDS = ("encrypted data key", "nonce", "ciphertext")
V2_FIELDS = ("key ARN", *V1_FIELDS)

_bytes = Random(20_260_701).randbytes
EDK = bytes.fromhex("0102030078") + bytes(range(100, 132)) + _bytes(147)
NONCE = _bytes(12)
DATA_KEY = _bytes(32)
TOKEN = "ghp_" + base64.b64encode(_bytes(24)).decode()
CIPHERTEXT = AESGCM(DATA_KEY).encrypt(NONCE, TOKEN.encode(), None)

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0b7f4c1e-1111-4222-8333-4444abcd9f2c"
REF = TokenRef("gh_connection", "access_token", "gh-42")


def sealed_v1(token: str = TOKEN, *, data_key: bytes = DATA_KEY, edk: bytes = EDK) -> EnvelopeV1:
    with Secret.of(token) as secret, DataKey(data_key) as key:
        envelope = seal(secret, key, edk)
    assert isinstance(envelope, EnvelopeV1)
    return envelope


def sealed_v2(
    token: str = TOKEN,
    *,
    ref: TokenRef = REF,
    data_key: bytes = DATA_KEY,
    edk: bytes = EDK,
    key_arn: str = KEY_ARN,
) -> EnvelopeV2:
    with Secret.of(token) as secret, DataKey(data_key) as key:
        envelope = seal(secret, key, edk, format_=Format.V2, key_arn=key_arn, ref=ref)
    assert isinstance(envelope, EnvelopeV2)
    return envelope


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def stored_of(*fields: str, version: str = "v1") -> str:
    """The stored form of fields that are text already."""
    return b64("|".join((version, *fields)).encode())


def stored_as(edk: bytes = EDK, nonce: bytes = NONCE, ciphertext: bytes = CIPHERTEXT) -> str:
    return stored_of(b64(edk), b64(nonce), b64(ciphertext))


def with_field(name: str, text: str) -> str:
    """The v1 value whose field called `name` is written as `text`."""
    written = dict(zip(V1_FIELDS, (b64(EDK), b64(NONCE), b64(CIPHERTEXT)), strict=True))
    return stored_of(*(written | {name: text}).values())


def opened(envelope: Envelope, data_key: bytes = DATA_KEY, ref: TokenRef = REF) -> str:
    with DataKey(data_key) as key, open_envelope(envelope, key, ref) as token:
        return token.reveal()


def fields_of(envelope: Envelope) -> dict[str, bytes]:
    return dict(zip(envelope.field_names, envelope.to_fields(), strict=True))


def stored_with(envelope: Envelope, **changed: bytes) -> str:
    """The stored form with fields of other content; field names are written with underscores."""
    fields = fields_of(envelope) | {name.replace("_", " "): content for name, content in changed.items()}
    return stored_of(*map(b64, fields.values()), version=envelope.format)


def stored_v2(**parts: bytes) -> str:
    """A v2 value of well-formed zeros but for `parts`, so that one bound at a time can be broken."""
    given = {"key_arn": KEY_ARN.encode(), "edk": EDK, "nonce": NONCE, "committed": bytes(64 + 17)} | parts
    return stored_of(*map(b64, given.values()), version="v2")


def parsed_v1(stored: str) -> EnvelopeV1:
    envelope = parse_strictly(stored)
    assert isinstance(envelope, EnvelopeV1)
    assert serialise(envelope) == stored
    return envelope


def parsed_v2(stored: str) -> EnvelopeV2:
    envelope = parse_strictly(stored)
    assert isinstance(envelope, EnvelopeV2)
    assert serialise(envelope) == stored
    return envelope


def dev_value(token: bytes, key: str = PUBLISHED_DEV_KEY) -> str:
    return b64(b"dev|" + Fernet(key).encrypt(token))


def flips_of(raw: bytes) -> Iterator[bytes]:
    number = int.from_bytes(raw)
    return ((number ^ (1 << bit)).to_bytes(len(raw)) for bit in range(len(raw) * 8))


def told_by(error: BaseException) -> str:
    """All that an exception and what it came from could tell a log or a screen."""
    told, links = [], [error]
    while links:
        link = links.pop()
        told += [str(link), repr(link), repr(link.args)]
        told += [repr(getattr(link, n)) for n in dir(link) if not n.startswith("_") and n != "with_traceback"]
        links += [e for e in (link.__cause__, link.__context__) if e is not None]
    return "\n".join(told)


def assert_tells_nothing_of(error: BaseException, stored: str | None) -> None:
    """No eight characters in a row of the input, nor of what it decodes to, are in the error or its chain.

    The product's own words don't count: "plaintext" may be refused as plaintext.
    """
    told = told_by(error)
    inner = leniently_decoded(stored or "")
    for part in (stored or "", inner.decode("latin-1"), repr(inner)[2:-1]):
        short = part[:2000]
        pieces = [short[i : i + 8] for i in range(len(short) - 7)]
        assert not [piece for piece in pieces if piece in told and piece not in OWN_WORDS]


def leniently_decoded(text: str) -> bytes:
    known = "".join(c for c in text if c.isascii() and (c.isalnum() or c in "+/"))
    try:
        return base64.b64decode(known + "=" * (-len(known) % 4))
    except binascii.Error:
        return base64.b64decode(known[: len(known) // 4 * 4])


def refused(stored: Any) -> EnvelopeError:
    """The error with which the value is refused, once it is known to tell nothing of the value."""
    with pytest.raises(EnvelopeError) as caught:
        parse_strictly(stored)
    assert_tells_nothing_of(caught.value, stored)
    return caught.value


def refused_field(stored: str) -> str:
    error = refused(stored)
    assert isinstance(error, MalformedEnvelopeError)
    assert f"Malformed {error.field}:" in str(error)
    assert error.remedy
    return error.field
