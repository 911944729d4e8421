"""The tokens that are looked for. Each is named by its number, which is its line where they came in a file.

No message repeats a token or a part of it. Nothing that holds its text is left in a frame that an error
passes through.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from crypto_core.envelope import MAX_TOKEN_BYTES
from crypto_core.envelope.issuers import TOKEN_PREFIXES
from crypto_core.reencryption.replacing_token.validation import why_no_token
from crypto_core.values.counts import counted, listed
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.secret import Secret, exposed

MOST_WANTED = 10_000
"""Tokens that are looked for at a time."""

HASH_BYTES = 32
HASH_FIELD = "hashed_token:"
"""What says that a text is a hash, and no token."""
_SHOWN_LINES = 5


@dataclass(frozen=True, slots=True)
class WantedToken:
    """A token that is looked for: itself, or the SHA-256 of it; both where a text may be either.

    `issuer` is whose it is, "" where its beginning does not tell. `lines` are the
    lines of a file that it stands in, where these are not its number alone.
    """

    number: int
    issuer: str
    token: Secret | None = None
    sha256: bytes = field(default=b"", repr=False)
    lines: tuple[int, ...] = ()

    @property
    def mask(self) -> str:
        """What is shown of it: the beginning that all tokens of its kind share, and how long it is."""
        if self.token is None:
            return "a hashed_token of GitHub's"
        length = counted(len(self.token), "character")
        beginning = _beginning(self.token)
        if self.sha256:
            return f"{length}: a token, or a hashed_token of GitHub's"
        return f"{self.issuer} {beginning}, {length}" if beginning else length

    @property
    def place(self) -> str:
        """Where it was read, as in "Line 3"."""
        lines = self.lines or (self.number,)
        return f"{'Line' if len(lines) == 1 else 'Lines'} {listed(list(map(str, lines)), _SHOWN_LINES)}"


def hashed_token(value: str, number: int = 1) -> WantedToken:
    """Return the token whose hash GitHub's audit log has as `hashed_token`: SHA-256, in base64.

    Raises InvalidTokenError for what is no such hash.
    """
    digest = hash_of(value)
    if not digest:
        raise InvalidTokenError(
            "That is no hashed_token of GitHub's: it is the base64 of 32 bytes, 44 characters.",
            remedy="Copy the value of the field hashed_token from GitHub's audit log.",
        )
    return WantedToken(number, "github", sha256=digest)


def hash_of(value: str) -> bytes:
    """Return the SHA-256 that a value of GitHub's field `hashed_token` is; b"" for what is none."""
    text = value.strip().removeprefix(HASH_FIELD).strip().strip('"')
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return digest if len(digest) == HASH_BYTES else b""


def wipe(wanted: Iterable[WantedToken]) -> None:
    for one in wanted:
        if one.token is not None:
            one.token.wipe()


def why_not_wanted(token: str) -> str:
    """Return why a text, as `pasted` gives it, can't be looked for; "" where it may be a token."""
    fault = why_no_token(token)
    if not fault and len(token) > MAX_TOKEN_BYTES:
        return f"it is longer than {MAX_TOKEN_BYTES:,} characters."
    return fault


def _beginning(token: Secret) -> str:
    """The prefix of its provider's that a token begins with, as a word."""
    text = token.reveal()
    return next(filter(text.startswith, TOKEN_PREFIXES), "").rstrip("_-.")


BLANKS = b" \t\r\n\v\f"
MOST_BLANKS = 4
"""Characters of white space around a stored token up to which its length doesn't rule it out."""


class TokenMatcher:
    """Says which of some wanted tokens an opened one is. Keeps nothing of those that are opened.

    They are found by a hash under a key that is made for it and forgotten, and compared in constant time.
    """

    def __init__(self, wanted: Sequence[WantedToken]) -> None:
        self._key = os.urandom(HASH_BYTES)
        self._tokens: dict[bytes, list[tuple[int, Secret]]] = {}
        self._hashes: dict[bytes, list[tuple[int, bytes]]] = {}
        for one in wanted:
            if one.token is not None:
                self._tokens.setdefault(self._mark(exposed(one.token)), []).append((one.number, one.token))
            if one.sha256:
                self._hashes.setdefault(self._mark(one.sha256), []).append((one.number, one.sha256))

    def numbers(self, opened: Secret) -> tuple[int, ...]:
        """Return the numbers of the wanted tokens that this one is. White space around it is none of it."""
        with trimmed(opened) as token:
            return tuple(self._same(token))

    def _same(self, token: Secret) -> Iterator[int]:
        if self._tokens:
            for number, wanted in self._tokens.get(self._mark(exposed(token)), ()):
                if wanted == token:
                    yield number
        if self._hashes:
            digest = hashlib.sha256(exposed(token)).digest()
            for number, sha256 in self._hashes.get(self._mark(digest), ()):
                if hmac.compare_digest(digest, sha256):
                    yield number

    def _mark(self, content: bytes | memoryview) -> bytes:
        return hmac.digest(self._key, content, "sha256")


def hashes_of(wanted: WantedToken) -> tuple[bytes, ...]:
    """Return the SHA-256s that a token that is looked for may have, as GitHub's audit log has it."""
    own = hashlib.sha256(exposed(wanted.token)).digest() if wanted.token is not None else b""
    return tuple(filter(None, (wanted.sha256, own)))


def lengths_of(wanted: Sequence[WantedToken]) -> frozenset[int]:
    """Return how long, in bytes, a stored token may be that is one of these; none if it may be of any length.

    A hash says nothing of the length.
    """
    if any(one.sha256 for one in wanted):
        return frozenset()
    lengths = {len(one.token) for one in wanted if one.token is not None}
    return frozenset(length + blanks for length in lengths for blanks in range(MOST_BLANKS + 1))


def trimmed(opened: Secret) -> Secret:
    """Return a copy without the white space around it, which is the caller's to wipe."""
    content = exposed(opened)
    begin, end = 0, len(content)
    while begin < end and content[begin] in BLANKS:
        begin += 1
    while end > begin and content[end - 1] in BLANKS:
        end -= 1
    return Secret(content[begin:end])
