"""StoredEnvelope: what a token column holds, sealed until it is revealed."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Self

from crypto_core.cipher import SealedToken, TokenCipher
from crypto_core.envelope import Format, classify, parse, version_of
from crypto_core.errors import InvalidTokenError, MissingReferenceError, UnsupportedFormatError
from crypto_core.references import TokenRef
from crypto_core.secret import Secret

_PROCESS_KEY = os.urandom(32)
"""Makes a fingerprint useless to whoever reads it: nobody can try tokens against it."""

_REMEDIES: dict[Format, str] = {
    Format.DEV: "Encrypt it in place: keydeck encrypt {ref}.",
    Format.PLAINTEXT: "Encrypt it in place: keydeck encrypt {ref}.",
    Format.UNRECOGNISED: "Look at it with keydeck inspect {ref}, or ask its owner to connect again.",
    Format.EMPTY: "Ask its owner to connect again.",
}


class StoredEnvelope:
    """One value of a token column. Immutable, equal by what is stored, shown as its format and reference.

    Of what is no envelope, such as plaintext, only the format is kept, and a keyed fingerprint to tell whether
    it changed: there is nothing that could be shown, pickled or written back.
    """

    __slots__ = ("_fingerprint", "_format", "_ref", "_stored")

    _format: Format
    _ref: TokenRef | None
    _stored: str
    _fingerprint: bytes

    def __init__(self, sealed: SealedToken | str, ref: TokenRef | None = None) -> None:
        """Box what TokenCipher.encrypt or encrypt_token returned; `ref` is the row that it was sealed for.

        Raises EnvelopeError for what is no intact envelope, InvalidTokenError for what is no text.
        """
        stored = sealed.stored if isinstance(sealed, SealedToken) else sealed
        if not isinstance(stored, str):
            raise InvalidTokenError("What is stored is not text.")
        parse(stored)
        self._fill(stored, ref)

    @classmethod
    def found(cls, stored: str, ref: TokenRef | None = None) -> Self:
        """Return what a column holds, whatever that is. Nothing is decoded."""
        value = cls.__new__(cls)
        value._fill(stored, ref)
        return value

    def at(self, ref: TokenRef | None) -> Self:
        """Return the same value as read from the row that `ref` names."""
        if ref == self._ref:
            return self
        value = type(self).__new__(type(self))
        value._format, value._ref = self._format, ref
        value._stored, value._fingerprint = self._stored, self._fingerprint
        return value

    @property
    def format(self) -> Format:
        """How the token is stored."""
        return self._format

    @property
    def ref(self) -> TokenRef | None:
        """The row that the value was read from or assigned to; None where nobody said."""
        return self._ref

    @property
    def stored(self) -> str:
        """The envelope as it is stored. Raises UnsupportedFormatError for what is no envelope."""
        try:
            version_of(self._format)
        except UnsupportedFormatError as error:
            where, named = (f"{self._ref}: ", str(self._ref)) if self._ref else ("", "TABLE.COLUMN:ID")
            remedy = _REMEDIES[self._format].format(ref=named)
            raise UnsupportedFormatError(where + error.message, remedy=remedy) from error
        return self._stored

    @property
    def bound_to_row(self) -> bool:
        """Whether it opens for one row only."""
        try:
            version_of(self._format).context_for(None)
        except MissingReferenceError:
            return True
        except UnsupportedFormatError:
            pass
        return False

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
        without. Raises UnsupportedFormatError for what is no envelope and MissingReferenceError for a v2
        envelope whose row nobody named, both before KMS is asked, else what TokenCipher.decrypt raises.
        """
        stored = self.stored
        try:
            return cipher.decrypt(stored, ref=ref or self._ref)
        except MissingReferenceError as error:
            raise MissingReferenceError(
                f"The {self._format} envelope is bound to its row, and was read without knowing which that is.",
                remedy="Pass ref=EncryptedToken.reference(Model.column, row_id), or load the row as an object.",
            ) from error

    def __repr__(self) -> str:
        where = f", {self._ref}" if self._ref else ""
        return f"{type(self).__name__}({self._format}{where})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        """Whether the same text is stored, whichever row it was read from."""
        if not isinstance(other, StoredEnvelope):
            return NotImplemented
        return (self._stored, self._fingerprint) == (other._stored, other._fingerprint)

    def __hash__(self) -> int:
        return hash((self._stored, self._fingerprint))

    def __reduce__(self) -> tuple[Callable[..., StoredEnvelope], tuple[str, TokenRef | None]]:
        if not self._format.protected:
            raise TypeError(f"{self!r} is no envelope: it can't be pickled or copied")
        return type(self).found, (self._stored, self._ref)

    def _fill(self, stored: str, ref: TokenRef | None) -> None:
        self._format, self._ref = classify(stored).format, ref
        if self._format.protected:
            self._stored, self._fingerprint = stored, b""
        else:
            encoded = stored.encode("utf-8", "surrogatepass")
            self._stored, self._fingerprint = "", hmac.digest(_PROCESS_KEY, encoded, "sha256")
