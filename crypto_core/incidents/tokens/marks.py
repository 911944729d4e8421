"""Marks that tell one token from another without being one: so that evidence can prove a token replaced.

A mark is HMAC-SHA-256, cut to 16 bytes, in hex, under a key that is the incident's own and no secret. It
finds the same token again after it was re-encrypted, and says nothing of it outside its incident. Whoever
has the evidence can test a guess: providers' tokens are random enough that none is guessed.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from hashlib import sha256
from threading import Event, Lock

from crypto_core.database.tokens.store import StoredToken
from crypto_core.database.tokens.value_opener import ValueOpener
from crypto_core.incidents.model import Incident
from crypto_core.values.cancellation import stop_if
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret, exposed

_BYTES = 16
_WORKERS = 16
_PAGE = 200
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class TokenMark:
    """What tells one stored token from others. `stored` marks the stored value, `token` the token itself.

    `token` is "" where the value can't be opened; `reason` says why.
    """

    ref: TokenRef
    stored: str
    token: str = ""
    reason: str = ""


class Held(StrEnum):
    """What a row holds now, compared with what it held."""

    SAME = "the same token"
    REPLACED = "another token"
    GONE = "no token"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class TokenComparison:
    """One row then and now. `sealed` is True if it holds an envelope now; `reason` says what isn't known."""

    ref: TokenRef
    held: Held
    sealed: bool
    reason: str = ""


class Marker:
    """Makes marks. Blocks on KMS for envelopes that are not among the `known` ones; thread-safe."""

    def __init__(self, opener: ValueOpener, known: dict[tuple[bytes, bytes], tuple[str, str]]) -> None:
        self._opener = opener
        self._lock = Lock()
        self._known = known

    def stored(self, incident: Incident, token: StoredToken) -> str:
        """Return the mark of a stored value; asks nobody."""
        return _mark(_key(incident), b"stored", token.digest)

    def of_secret(self, incident: Incident, token: Secret) -> str:
        return _mark(_key(incident), b"token", exposed(token))

    def marks(
        self, incident: Incident, tokens: Sequence[StoredToken], *, cancelled: Event | None = None
    ) -> tuple[TokenMark, ...]:
        """Return the marks of some tokens, in their order; each envelope is opened (one KMS call).

        Raises the KmsError that another try may not meet, CredentialsError, InterruptedRunError.
        """
        key = _key(incident)
        found: list[TokenMark] = []
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for first in range(0, len(tokens), _PAGE):
                stop_if(cancelled)
                found += pool.map(lambda token: self._one(key, token), tokens[first : first + _PAGE])
        return tuple(found)

    def compare(
        self,
        incident: Incident,
        before: Sequence[TokenMark],
        now: Sequence[StoredToken],
        *,
        entered: frozenset[str] = frozenset(),
        cancelled: Event | None = None,
    ) -> tuple[TokenComparison, ...]:
        """Return what rows hold now, in the order of `before`. A value that is still the same is not opened.

        `entered` are marks of tokens that an operator entered since. Raises as `marks`.
        """
        values = {token.ref: token for token in now}
        changed = [
            values[old.ref]
            for old in before
            if old.ref in values and self.stored(incident, values[old.ref]) != old.stored
        ]
        marks = {mark.ref: mark for mark in self.marks(incident, changed, cancelled=cancelled)}
        return tuple(_compared(old, values.get(old.ref), marks.get(old.ref), entered) for old in before)

    def _one(self, key: bytes, stored: StoredToken) -> TokenMark:
        mark = _mark(key, b"stored", stored.digest)
        with self._lock:
            known = self._known.get((key, stored.digest))
        if known is None:
            opened = self._opener.open_value(stored)
            if opened.token is None:
                # Not remembered: the key may be usable the next time.
                return TokenMark(stored.ref, mark, "", opened.reason)
            with opened.token as token:
                known = (_mark(key, b"token", exposed(token)), "")
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key, stored.digest] = known
        return TokenMark(stored.ref, mark, *known)


def _compared(
    old: TokenMark, now: StoredToken | None, mark: TokenMark | None, entered: frozenset[str]
) -> TokenComparison:
    if now is None or not len(now.value):
        return TokenComparison(old.ref, Held.GONE, False)
    sealed = now.format.protected
    if mark is None:
        return TokenComparison(old.ref, Held.SAME, sealed)
    if not mark.token:
        return TokenComparison(
            old.ref, Held.UNKNOWN, sealed, f"what is stored now can't be opened: {mark.reason}"
        )
    if old.token:
        return TokenComparison(old.ref, Held.SAME if mark.token == old.token else Held.REPLACED, sealed)
    if mark.token in entered:
        return TokenComparison(old.ref, Held.REPLACED, sealed)
    return TokenComparison(
        old.ref, Held.UNKNOWN, sealed, "the old value could not be opened, so the two can't be compared"
    )


def _key(incident: Incident) -> bytes:
    declared = incident.declared_at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"keydeck incident {incident.id} {declared}".encode()


def _mark(key: bytes, kind: bytes, content: bytes | memoryview) -> str:
    state = hmac.new(key, kind + b"\x00", sha256)
    state.update(content)
    return state.digest()[:_BYTES].hex()
