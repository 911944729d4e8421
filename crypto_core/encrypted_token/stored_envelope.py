"""StoredEnvelope: what a token column holds, sealed until it is revealed."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from crypto_core.envelope import Format, at_least, classify, parse, version_of
from crypto_core.keyring.cipher import SealedToken, TokenCipher
from crypto_core.values.errors import InvalidTokenError, MissingReferenceError, UnsupportedFormatError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_PROCESS_KEY = os.urandom(32)
"""Makes a fingerprint useless to its reader: tokens can't be tried against it."""

_REMEDIES: dict[Format, str] = {
    Format.DEV: "Encrypt it in place: keydeck encrypt {ref}.",
    Format.PLAINTEXT: "Encrypt it in place: keydeck encrypt {ref}.",
    Format.UNRECOGNISED: "Look at it with keydeck inspect {ref}, or ask its owner to connect again.",
    Format.EMPTY: "Ask its owner to connect again.",
}


@dataclass(frozen=True, slots=True, repr=False)
class StoredEnvelope:
    """One value of a token column: equal by what is stored, shown as its format and reference.

    Of what is no envelope, such as plaintext, only the format is kept, and a keyed fingerprint that tells
    whether it changed: there is nothing that could be shown, pickled or written back.
    """

    format: Format
    ref: TokenRef | None = field(compare=False)
    """The row that the value was read from or assigned to; None if unknown."""
    _stored: str
    _fingerprint: bytes
    least: Format = field(default=Format.V1, compare=False)
    """The oldest version of envelopes that its column lets open."""

    @classmethod
    def of(cls, sealed: SealedToken | str, ref: TokenRef | None = None) -> Self:
        """Return what TokenCipher.encrypt or encrypt_token returned; `ref` is the row that it was sealed for.

        What TokenCipher returned knows its row by itself.

        Raises EnvelopeError for what is no intact envelope, InvalidTokenError for what is no text.
        """
        stored = sealed.stored if isinstance(sealed, SealedToken) else sealed
        if not isinstance(stored, str):
            raise InvalidTokenError("What is stored is not text.")
        parse(stored)
        known = sealed.ref if isinstance(sealed, SealedToken) else None
        return cls.found(stored, known or ref)

    @classmethod
    def found(cls, stored: str, ref: TokenRef | None = None, least: Format = Format.V1) -> Self:
        """Return what a column holds, whatever that is. Nothing is decoded."""
        format_ = classify(stored).format
        if format_.protected:
            return cls(format_, ref, stored, b"", least)
        encoded = stored.encode("utf-8", "surrogatepass")
        return cls(format_, ref, "", hmac.digest(_PROCESS_KEY, encoded, "sha256"), least)

    def at(self, ref: TokenRef | None) -> Self:
        return replace(self, ref=ref)

    @property
    def stored(self) -> str:
        """The envelope as it is stored. Raises UnsupportedFormatError for what is no envelope."""
        try:
            version_of(self.format)
        except UnsupportedFormatError as error:
            where, named = (f"{self.ref}: ", str(self.ref)) if self.ref else ("", "TABLE.COLUMN:ID")
            remedy = _REMEDIES[self.format].format(ref=named)
            raise UnsupportedFormatError(where + error.message, remedy=remedy) from error
        return self._stored

    @property
    def bound_to_row(self) -> bool:
        return self.format.binds_row

    def demanding(self, least: Format) -> Self:
        """Return the same value as of a column that lets no older version open."""
        return replace(self, least=least)

    def require_least(self) -> None:
        """Raise UnsupportedFormatError for an envelope of an older version than its column demands."""
        if self.format.protected and at_least(self.format, self.least) is not self.format:
            where = self.ref or "A token"
            raise UnsupportedFormatError(
                f"{where}: the value is a {self.format} envelope where {self.least} is demanded.",
                remedy="Find out who wrote it; if it belongs there, re-encrypt it.",
            )

    def require_intact(self) -> None:
        """Raise EnvelopeError unless this is an envelope of which no part is missing or malformed."""
        parse(self.stored)

    def reveal(self, cipher: TokenCipher, *, ref: TokenRef | None = None) -> str:
        """Return the plaintext. A `str` can't be wiped; `open` gives a Secret, which can.

        Raises as `open`, and InvalidTokenError if the plaintext isn't UTF-8 text.
        """
        with self.open(cipher, ref=ref) as token:
            return token.reveal()

    def open(self, cipher: TokenCipher, *, ref: TokenRef | None = None) -> Secret:
        """Return the token (one KMS call, more where several keys are trusted).

        `ref` names the row where the value does not know it, and goes before the one that it knows; v1 does
        without. Raises UnsupportedFormatError for what is no envelope or an older one than demanded,
        and MissingReferenceError for a v2 envelope whose row nobody named, both before KMS is asked, else
        what TokenCipher.decrypt raises.
        """
        stored = self.stored
        self.require_least()
        try:
            return cipher.decrypt(stored, ref=ref or self.ref)
        except MissingReferenceError as error:
            raise MissingReferenceError(
                f"The {self.format} envelope is bound to its row, but no reference was given.",
                remedy="Load it with its object, or pass ref=EncryptedToken.reference(Model.column, row_id).",
            ) from error

    def __repr__(self) -> str:
        where = f", {self.ref}" if self.ref else ""
        return f"{type(self).__name__}({self.format}{where})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> tuple[Callable[..., StoredEnvelope], tuple[str, TokenRef | None, Format]]:
        if not self.format.protected:
            raise TypeError(f"{self!r} is not an envelope: it can't be pickled or copied")
        return type(self).found, (self._stored, self.ref, self.least)
