"""How a token can be stored, and how a stored value tells which way that is.

Base64 works on groups of three bytes, so the version marks "v1|", "v2|" and "vb|" are four characters of the
stored string, whatever follows; SQL tells the formats apart by the same prefixes, and by the same reader.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum

from crypto_core.envelope.fields import lenient_fields
from crypto_core.envelope.issuers import PROVIDER_PREFIXES
from crypto_core.values.errors import SettingsError


class Format(StrEnum):
    V1 = "v1"
    V2 = "v2"
    V2_BOUND = "v2-bound"
    DEV = "dev"
    PLAINTEXT = "plaintext"
    UNRECOGNISED = "unrecognised"
    EMPTY = "empty"

    @property
    def protected(self) -> bool:
        """True where only KMS can open the token: the envelope formats."""
        return self in _PROMISES

    @property
    def short(self) -> str:
        """Heads a narrow column."""
        return _SHORT[self] if self in _SHORT else _PROMISES[self].short or self.value

    @property
    def names_key(self) -> bool:
        """True for envelopes that name, right behind their mark, the key that wrapped their data key.

        They are bound to it, and can't be rewrapped.
        """
        return self in _PROMISES and _PROMISES[self].names_key

    @property
    def binds_row(self) -> bool:
        """True for envelopes that open only for their row, which the encryption context tells CloudTrail."""
        return self in _PROMISES and _PROMISES[self].binds_row

    @property
    def binds_database(self) -> bool:
        """True for envelopes that name a database, and open for readers that are configured with it only."""
        return self in _PROMISES and _PROMISES[self].binds_database


@dataclass(frozen=True, slots=True)
class _Promises:
    """The mark that a version of the envelope begins with, what heads its counts, and what it promises."""

    mark: str
    names_key: bool = False
    binds_row: bool = False
    binds_database: bool = False
    short: str = ""


_PROMISES = {
    Format.V1: _Promises("v1"),
    Format.V2: _Promises("v2", names_key=True, binds_row=True),
    Format.V2_BOUND: _Promises("vb", names_key=True, binds_row=True, binds_database=True, short="bound"),
}

_SHORT = {
    Format.DEV: "dev",
    Format.PLAINTEXT: "plain",
    Format.UNRECOGNISED: "unrec.",
    Format.EMPTY: "empty",
}

ENVELOPE_FORMATS = tuple(_PROMISES)
"""The formats of envelopes, the oldest first: a later one promises all that an earlier one does, and more."""


def require_envelope_format(name: str, setting: str = "The format") -> Format:
    """Return the envelope format of that name. Raises SettingsError for what is none, naming `setting`."""
    if name not in ENVELOPE_FORMATS:
        raise SettingsError(f"{setting} is none of {', '.join(ENVELOPE_FORMATS)}.")
    return Format(name)


def at_least(source: Format, other: Format) -> Format:
    return max(source, other, key=ENVELOPE_FORMATS.index)


def bound_format(format_: Format, binding: str | None) -> Format:
    """Return the format that is written as `format_`: with a binding no v2 that does without one."""
    return Format.V2_BOUND if format_ is Format.V2 and binding is not None else format_


MARKS: dict[Format, str] = {
    **{format_: promises.mark for format_, promises in _PROMISES.items()},
    Format.DEV: "dev",
}
"""What a stored value begins with once its base64 is decoded, before the first "|"."""

STORED_PREFIXES: dict[Format, str] = {
    **{format_: b64encode(f"{MARKS[format_]}|".encode()).decode() for format_ in ENVELOPE_FORMATS},
    Format.DEV: "ZGV2f",
}
"""What a stored value begins with: base64 of "v1|", "v2|", "vb|" and "dev|". SQL counts by these."""

MARK_CHARACTERS = 4
"""Stored characters that tell an envelope's version: "v1|" in base64."""
KEY_NAMED = "WVhKd"
"""What follows the mark where an envelope names its key: base64 of the base64 of "arn:"."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a stored value is. `provider` is set for plaintext: the name of its issuer."""

    format: Format
    provider: str | None = None


_BY_MARK = {STORED_PREFIXES[format_]: Classification(format_) for format_ in ENVELOPE_FORMATS}
_BY_PROVIDER: tuple[tuple[tuple[str, ...], Classification], ...] = tuple(
    (prefixes, Classification(Format.PLAINTEXT, provider)) for provider, prefixes in PROVIDER_PREFIXES.items()
)
_V1, _DEV = Classification(Format.V1), Classification(Format.DEV)
_EMPTY, _UNRECOGNISED = Classification(Format.EMPTY), Classification(Format.UNRECOGNISED)


def classify(stored: str | None) -> Classification:
    """Tell what a stored value is: by its beginning, or else by what the platform's own reader makes of it.

    Whatever that reader takes apart into the fields of v1 is v1, however it is spelt and begins, but for what
    names a key's ARN where v1 has the encrypted data key.
    """
    begins = begins_as(stored)
    if begins.format in (Format.V1, Format.EMPTY):
        return begins
    names_key = begins.format.names_key and stored and stored.startswith(KEY_NAMED, MARK_CHARACTERS)
    return begins if names_key or lenient_fields(stored or "") is None else _V1


def begins_as(stored: str | None) -> Classification:
    """Tell from its beginning alone what a stored value is, without decoding it."""
    if not stored:
        return _EMPTY
    if (envelope := _BY_MARK.get(stored[:MARK_CHARACTERS])) is not None:
        return envelope
    if stored.startswith(STORED_PREFIXES[Format.DEV]):
        return _DEV
    for prefixes, classification in _BY_PROVIDER:
        if stored.startswith(prefixes):
            return classification
    return _UNRECOGNISED
