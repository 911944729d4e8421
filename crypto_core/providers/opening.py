"""Opens stored tokens for their provider, whatever the format they are stored in."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from crypto_core.cancelling import stop_if
from crypto_core.cipher import TokenCipher
from crypto_core.database.tokens import StoredToken
from crypto_core.envelope import DEV_KEY, Format, open_dev
from crypto_core.errors import (
    CredentialsError,
    EnvelopeError,
    InvalidReferenceError,
    InvalidTokenError,
    KmsError,
    UnsupportedFormatError,
)
from crypto_core.providers.messages import sendable
from crypto_core.references import TokenRef
from crypto_core.secret import Secret, exposed

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Unopened:
    """A token that could not be opened, or can't be sent, and why. Cleaned text."""

    reason: str


class TokenOpener:
    """Opens tokens. Blocks on KMS: call it from a worker."""

    def __init__(self, cipher: TokenCipher, *, dev_key: str = DEV_KEY) -> None:
        self._cipher = cipher
        self._dev_key = dev_key

    def open(self, stored: StoredToken) -> Secret | Unopened:
        """Return the token, or why there is none.

        Raises KmsError if no token can be opened now: KMS does not answer, or not to these credentials.
        """
        try:
            token = self._opened(stored)
            if sendable(token.reveal()):
                return token
        except (EnvelopeError, InvalidReferenceError, InvalidTokenError) as error:
            return Unopened(f"it could not be opened: {error.message}")
        except KmsError as error:
            if error.transient or isinstance(error, CredentialsError):
                raise
            return Unopened(f"it could not be opened: {error.message}")
        token.wipe()
        return Unopened("it holds characters that no provider's token has")

    def open_all(
        self, stored: Iterable[StoredToken], cancelled: Event | None = None
    ) -> dict[TokenRef, Secret | Unopened]:
        """Return every token by reference, opened several at a time.

        Whoever calls wipes them; what was opened before a failure is wiped here. Raises as `open`, and
        InterruptedRunError.
        """
        opened: dict[TokenRef, Secret | Unopened] = {}

        def one(token: StoredToken) -> None:
            stop_if(cancelled)
            opened[token.ref] = self.open(token)

        try:
            with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
                for _ in pool.map(one, stored):
                    pass
        except BaseException:
            wipe(opened)
            raise
        return opened

    def _opened(self, stored: StoredToken) -> Secret:
        match stored.format:
            case Format.PLAINTEXT:
                return Secret.of(stored.value.reveal())
            case Format.DEV:
                return open_dev(stored.value.reveal(), self._dev_key)
            case Format.UNRECOGNISED | Format.EMPTY:
                raise UnsupportedFormatError("what is stored is no envelope and no token.")
        return self._cipher.decrypt(stored.value.reveal(), ref=stored.ref)


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
