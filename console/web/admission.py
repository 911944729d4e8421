"""Admission: the first browser with the printed token, and from then on the one with its cookie."""

from __future__ import annotations

import hmac
import secrets
from enum import Enum

WRONG_TRIES = 10
"""So many wrong tokens end the token."""

_BYTES = 32


class AdmissionRefusal(Enum):
    """Why admission was refused."""

    WRONG = "That is not the address that keydeck serve printed."
    USED = "This address works once, and it was used. For a new one, end keydeck serve and start it again."
    LOCKED = "Too many wrong addresses were tried: keydeck serve has ended. Start it again for a new one."


class Admission:
    """Exchanges one token, once, for one session. Neither is written anywhere but to its owner."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(_BYTES)
        self._open = True
        self._wrong = 0
        self._session: str | None = None

    def exchange(self, token: str) -> str | AdmissionRefusal:
        """Return the session's secret for the token, the first time; else why not."""
        if not self._open:
            return AdmissionRefusal.LOCKED if self._session is None else AdmissionRefusal.USED
        if not _same(token, self.token):
            self._wrong += 1
            self._open = self._wrong < WRONG_TRIES
            return AdmissionRefusal.WRONG if self._open else AdmissionRefusal.LOCKED
        self._open = False
        self._session = secrets.token_urlsafe(_BYTES)
        return self._session

    def admits(self, session: str | None) -> bool:
        """Whether this is the session's secret."""
        return self._session is not None and session is not None and _same(session, self._session)


def _same(offered: str, secret: str) -> bool:
    """Compare in a time that tells nothing of the secret."""
    return hmac.compare_digest(offered.encode("utf-8", "replace"), secret.encode())
