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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from crypto_core.envelope import MAX_TOKEN_BYTES, classify
from crypto_core.errors import InvalidTokenError
from crypto_core.reencryption.replacing_token.validation import pasted, why_no_token
from crypto_core.secret import Secret, exposed

MOST_WANTED = 1_000
"""Tokens that are looked for at a time."""

_SHA256_BYTES = 32
_BLANKS = b" \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class WantedToken:
    """A token that is looked for: itself, or the SHA-256 of it.

    `issuer` is whose it is (github, slack, atlassian), "" where its beginning does not tell.
    """

    number: int
    issuer: str
    token: Secret | None = None
    sha256: bytes = field(default=b"", repr=False)


def leaked_tokens(text: Secret) -> tuple[WantedToken, ...]:
    """Return the tokens of a text, one a line, numbered by line; empty lines are left out.

    White space around a token is none of it. Raises InvalidTokenError, naming the line, for what can't be a
    token; where there is none, or more than MOST_WANTED.
    """
    found, fault = _lines(text)
    if fault:
        raise InvalidTokenError(fault, remedy="Write the tokens as their provider issued them, one a line.")
    return found


def hashed_token(value: str, number: int = 1) -> WantedToken:
    """Return the token whose hash GitHub's audit log has as `hashed_token`: SHA-256, in base64.

    Raises InvalidTokenError for what is no such hash.
    """
    text = value.strip().removeprefix("hashed_token:").strip().strip('"')
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _SHA256_BYTES:
        raise InvalidTokenError(
            "That is no hashed_token of GitHub's: it is the base64 of 32 bytes, 44 characters.",
            remedy="Copy the value of the field hashed_token from GitHub's audit log.",
        )
    return WantedToken(number, "github", sha256=digest)


def _lines(text: Secret) -> tuple[tuple[WantedToken, ...], str]:
    """The tokens, and what is wrong with them; the text itself does not leave this function."""
    found: list[WantedToken] = []
    for number, line in enumerate(text.reveal().split("\n"), 1):
        token = pasted(line.removeprefix("\ufeff"))
        if not token:
            continue
        fault = why_no_token(token)
        if not fault and len(token) > MAX_TOKEN_BYTES:
            fault = f"it is longer than {MAX_TOKEN_BYTES:,} characters."
        if fault:
            return (), f"Line {number}: {fault}"
        if len(found) == MOST_WANTED:
            return (), f"There are more than {MOST_WANTED:,} tokens: look for them in parts."
        found.append(WantedToken(number, classify(token).provider or "", Secret.of(token)))
    return tuple(found), "" if found else "There is no token: nothing was entered."


class TokenMatcher:
    """Says which of some wanted tokens an opened one is. Keeps nothing of those that are opened.

    They are found by a hash under a key that is made for it and forgotten, and compared in constant time.
    """

    def __init__(self, wanted: Sequence[WantedToken]) -> None:
        self._key = os.urandom(_SHA256_BYTES)
        self._tokens: dict[bytes, list[tuple[int, Secret]]] = {}
        for one in wanted:
            if one.token is not None:
                self._tokens.setdefault(self._mark(one.token), []).append((one.number, one.token))
        self._hashes = [(one.number, one.sha256) for one in wanted if one.sha256]

    def numbers(self, opened: Secret) -> tuple[int, ...]:
        """Return the numbers of the wanted tokens that this one is. White space around it is none of it."""
        with _trimmed(opened) as token:
            return tuple(self._same(token))

    def _same(self, token: Secret) -> Iterator[int]:
        if self._tokens:
            for number, wanted in self._tokens.get(self._mark(token), ()):
                if wanted == token:
                    yield number
        if self._hashes:
            digest = hashlib.sha256(exposed(token)).digest()
            for number, sha256 in self._hashes:
                if hmac.compare_digest(digest, sha256):
                    yield number

    def _mark(self, token: Secret) -> bytes:
        return hmac.digest(self._key, exposed(token), "sha256")


def _trimmed(opened: Secret) -> Secret:
    """A copy without the white space around it."""
    content = exposed(opened)
    begin, end = 0, len(content)
    while begin < end and content[begin] in _BLANKS:
        begin += 1
    while end > begin and content[end - 1] in _BLANKS:
        end -= 1
    return Secret(content[begin:end])
