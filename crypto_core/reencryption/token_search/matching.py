"""Says which of the tokens that are looked for an opened one is."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator, Sequence

from crypto_core.reencryption.token_search.wanted import HASH_BYTES, WantedToken
from crypto_core.secret import Secret, exposed

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
            elif one.sha256:
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


def sha256_of(wanted: WantedToken) -> bytes:
    """Return the SHA-256 of a token that is looked for, as GitHub's audit log has it."""
    return wanted.sha256 if wanted.token is None else hashlib.sha256(exposed(wanted.token)).digest()


def lengths_of(wanted: Sequence[WantedToken]) -> frozenset[int]:
    """Return how long, in bytes, a stored token may be that is one of these; none if it may be of any length.

    A hash says nothing of the length.
    """
    if any(one.token is None for one in wanted):
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
