"""The tokens that may be sent to their provider, opened from whatever format they are stored in."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.database.tokens.opening import ValueOpener
from crypto_core.database.tokens.store import StoredToken
from crypto_core.envelope import Format
from crypto_core.providers.messages import sendable
from crypto_core.references import TokenRef
from crypto_core.secret import Secret, exposed

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Unopened:
    """A token that could not be opened, or can't be sent, and why. Cleaned text."""

    reason: str


def to_send(opener: ValueOpener, stored: StoredToken) -> Secret | Unopened:
    """Return a stored token that may be sent to its provider, or why there is none. Blocks on KMS.

    Raises KmsError if no token can be opened now: KMS does not answer, or not to these credentials.
    """
    if stored.format in (Format.UNRECOGNISED, Format.EMPTY):
        # What is not known to be a token is no provider's to see.
        return Unopened("it could not be opened: what is stored is no envelope and no token.")
    opened = opener.open_value(stored)
    if opened.token is None:
        return Unopened(f"it could not be opened: {opened.reason}")
    if sendable(opened.token.reveal()):
        return opened.token
    opened.token.wipe()
    return Unopened("it holds characters that no provider's token has")


def all_to_send(
    opener: ValueOpener, stored: Iterable[StoredToken], cancelled: Event | None = None
) -> dict[TokenRef, Secret | Unopened]:
    """Return every token by reference, opened several at a time.

    Whoever calls wipes them; what was opened before a failure is wiped here. Raises as `to_send`, and
    InterruptedRunError.
    """
    opened: dict[TokenRef, Secret | Unopened] = {}

    def one(token: StoredToken) -> None:
        stop_if(cancelled)
        opened[token.ref] = to_send(opener, token)

    try:
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            for _ in pool.map(one, stored):
                pass
    except BaseException:  # raised again: no opened token is left behind
        wipe(opened)
        raise
    return opened


def wipe(tokens: Mapping[TokenRef, Secret | Unopened]) -> None:
    """Overwrite the tokens."""
    for token in tokens.values():
        if isinstance(token, Secret):
            token.wipe()


def stored_alike(tokens: Mapping[TokenRef, Secret | Unopened]) -> tuple[tuple[TokenRef, ...], ...]:
    """Return the references that hold one and the same token, group by group.

    Tokens are compared by a hash under a key that is made for it and forgotten.
    """
    mark = _marker()
    groups: dict[bytes, list[TokenRef]] = {}
    for ref, token in sorted(tokens.items()):
        if isinstance(token, Secret):
            groups.setdefault(mark(token), []).append(ref)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _marker() -> Callable[[Secret], bytes]:
    key = os.urandom(32)
    return lambda token: hmac.digest(key, exposed(token), "sha256")
