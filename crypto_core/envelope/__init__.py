"""The stored form of one token: classify, parse, serialise, seal and open. Pure, no I/O.

    v1  = base64( "v1|" b64(EDK) "|" b64(nonce) "|" b64(ciphertext and tag) )
    v2  = base64( "v2|" b64(key ARN) "|" b64(EDK) "|" b64(nonce) "|" b64(salt ‖ commitment ‖ sealed) )
    v2-bound is v2 with the mark "vb|", and with the name of its database before the last field
    dev = base64( "dev|" Fernet token )

FORMAT.md specifies them, and tests/vectors holds known answers. Each version is one module that implements
`Envelope`; whatever uses envelopes asks that interface, so a further version is a module here and its line in
`VERSIONS`.
"""

from __future__ import annotations

import os

from crypto_core.envelope.base import Entropy, Envelope, require_sealable
from crypto_core.envelope.dev import DEV_KEY, open_dev, seal_dev
from crypto_core.envelope.fields import (
    DATA_KEY_BYTES,
    EDK_PREFIX_BYTES,
    LEAST_V1_CHARACTERS,
    MAX_EDK_BYTES,
    MAX_KEY_ARN_BYTES,
    MAX_STORED_CHARACTERS,
    MAX_TOKEN_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    content_of,
    decode,
    edk_prefix,
    encode,
    lenient_fields,
)
from crypto_core.envelope.formats import (
    ENVELOPE_FORMATS,
    KEY_NAMED,
    MARK_CHARACTERS,
    MARKS,
    STORED_PREFIXES,
    Classification,
    Format,
    at_least,
    begins_as,
    bound_format,
    classify,
    require_envelope_format,
)
from crypto_core.envelope.issuers import PROVIDER_PREFIXES, TOKENS_OF
from crypto_core.envelope.v1 import EnvelopeV1
from crypto_core.envelope.v2 import EnvelopeV2, EnvelopeV2Bound
from crypto_core.values.counts import counted
from crypto_core.values.errors import EnvelopeError, MalformedEnvelopeError, UnsupportedFormatError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret

__all__ = [
    "DATA_KEY_BYTES",
    "DEV_KEY",
    "EDK_PREFIX_BYTES",
    "ENVELOPE_FORMATS",
    "KEY_NAMED",
    "LEAST_V1_CHARACTERS",
    "MARKS",
    "MARK_CHARACTERS",
    "MAX_EDK_BYTES",
    "MAX_KEY_ARN_BYTES",
    "MAX_STORED_CHARACTERS",
    "MAX_TOKEN_BYTES",
    "NONCE_BYTES",
    "PROVIDER_PREFIXES",
    "STORED_PREFIXES",
    "TAG_BYTES",
    "TOKENS_OF",
    "VERSIONS",
    "Classification",
    "Entropy",
    "Envelope",
    "EnvelopeV1",
    "EnvelopeV2",
    "EnvelopeV2Bound",
    "Format",
    "at_least",
    "begins_as",
    "bound_format",
    "classify",
    "content_of",
    "edk_prefix",
    "is_respelt",
    "lenient_fields",
    "open_dev",
    "open_envelope",
    "parse",
    "parse_strictly",
    "require_envelope_format",
    "require_sealable",
    "seal",
    "seal_dev",
    "serialise",
    "version_of",
]

VERSIONS: dict[Format, type[Envelope]] = {e.format: e for e in (EnvelopeV1, EnvelopeV2, EnvelopeV2Bound)}
"""Every version of the envelope, by its format."""

_NO_ENVELOPE: dict[Format, str] = {
    Format.DEV: "The value is in dev format, not an envelope: anyone can open it.",
    Format.PLAINTEXT: "The value is plaintext, not an envelope.",
    Format.UNRECOGNISED: "The value is plaintext or corrupt: it begins like no known format.",
    Format.EMPTY: "The value is empty: no token is stored.",
}


def version_of(format_: Format) -> type[Envelope]:
    """Return the version that `format_` names. Raises UnsupportedFormatError for what is no envelope."""
    version = VERSIONS.get(format_)
    if version is None:
        raise UnsupportedFormatError(_NO_ENVELOPE[format_])
    return version


def parse(stored: str | None) -> Envelope:
    """Return the envelope that a stored value holds, also a v1 that only the platform's lenient reader opens.

    Raises MalformedEnvelopeError naming the broken field, and UnsupportedFormatError where the value is
    no envelope.
    """
    try:
        return parse_strictly(stored)
    except EnvelopeError:
        text = stored or ""
        if len(text) > MAX_STORED_CHARACTERS or classify(text).format is not Format.V1:
            raise
        if (fields := lenient_fields(text)) is None:
            raise
        return EnvelopeV1(*fields)


def is_respelt(stored: str) -> bool:
    """True for a v1 envelope that is spelt otherwise than it is written: lenient readers alone open it."""
    try:
        parse_strictly(stored)
    except EnvelopeError:
        return classify(stored).format is Format.V1 and lenient_fields(stored) is not None
    return False


def parse_strictly(stored: str | None) -> Envelope:
    """Return the envelope that a stored value holds, spelt as envelopes are written. Raises as `parse`.

    It is what conforms to the format: `serialise` returns the very same text.
    """
    version = version_of(begins_as(stored).format)
    text = stored or ""
    if len(text) > MAX_STORED_CHARACTERS:
        raise MalformedEnvelopeError(
            "envelope", f"{len(text):,} characters, at most {MAX_STORED_CHARACTERS:,} are read"
        )
    _, *fields = decode(text.encode("ascii", "replace"), "envelope").split(b"|")
    names = version.field_names
    if len(fields) != len(names):
        raise MalformedEnvelopeError(
            "envelope", f"{counted(len(fields) + 1, 'field')}, {version.format} has {len(names) + 1}"
        )
    return version.from_fields(*map(decode, fields, names))


def serialise(envelope: Envelope) -> str:
    fields = map(encode, envelope.to_fields())
    mark = MARKS[envelope.format].encode()
    return encode(b"|".join((mark, *fields))).decode("ascii")


def seal(
    token: Secret,
    data_key: DataKey,
    encrypted_data_key: bytes,
    *,
    format_: Format = Format.V1,
    key_arn: str = "",
    ref: TokenRef | None = None,
    binding: str | None = None,
    entropy: Entropy = os.urandom,
) -> Envelope:
    """Return an envelope that holds `token` under `data_key`, with a fresh random nonce.

    v2 needs the ARN of the key that wrapped the data key and the reference of the row that the envelope is
    for, v2-bound the name of the database too, `binding`. Raises InvalidTokenError as `require_sealable`,
    MissingReferenceError, SettingsError without a binding, MalformedEnvelopeError for a data key of another
    length, UnsupportedFormatError for a format that is no envelope.
    """
    return version_of(format_).seal(
        token, data_key, encrypted_data_key, key_arn=key_arn, ref=ref, binding=binding, entropy=entropy
    )


def open_envelope(
    envelope: Envelope, data_key: DataKey, ref: TokenRef | None = None, binding: str | None = None
) -> Secret:
    """Return the token that the envelope holds; a v2 envelope opens only for the row that it was sealed for.

    `binding` is the name of the reader's database, which a v2-bound envelope has to have been sealed for.
    Raises AuthenticationFailedError if the commitment or the tag doesn't match, WrongBindingError for an
    envelope that names another database, MissingReferenceError for a v2 envelope without a reference,
    MalformedEnvelopeError for a data key of another length.
    """
    return envelope.open(data_key, ref, binding)
