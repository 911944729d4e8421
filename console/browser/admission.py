"""Admission: the first browser with the printed token, and from then on the one with what it got for it."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import Enum

WRONG_TRIES = 10
"""So many wrong tokens end the token."""

_BYTES = 32


class AdmissionRefusal(Enum):
    WRONG = "That is not the address that keydeck serve printed."
    USED = "This address works once, and it was used. For a new one, end keydeck serve and start it again."
    LOCKED = "Too many wrong addresses were tried: keydeck serve has ended. Start it again for a new one."


def _secret() -> str:
    return secrets.token_urlsafe(_BYTES)


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """What one browser gets for the token.

    The browser sends `cookie` by itself, to every server on the same host, whichever its port. `page_key` is
    kept where only pages of this very address can read it. `user` is who a proxy says it is, if one does.
    """

    user: str = ""
    cookie: str = field(default_factory=_secret, repr=False)
    page_key: str = field(default_factory=_secret, repr=False)


class Admission:
    """Exchanges one token, once, for one session. No secret is written anywhere but to its owner."""

    def __init__(self) -> None:
        self.token = _secret()
        self.session: BrowserSession | None = None
        self._open = True
        self._wrong = 0

    def exchange(self, token: str, user: str = "") -> BrowserSession | AdmissionRefusal:
        if not self._open:
            return AdmissionRefusal.LOCKED if self.session is None else AdmissionRefusal.USED
        if not _same(token, self.token):
            self._wrong += 1
            self._open = self._wrong < WRONG_TRIES
            return AdmissionRefusal.WRONG if self._open else AdmissionRefusal.LOCKED
        self._open = False
        self.session = BrowserSession(user)
        return self.session

    def admits(self, cookie: str | None, user: str = "") -> bool:
        """Whether this is the session's cookie, in the hands of the same user."""
        session = self.session
        return (
            session is not None
            and cookie is not None
            and _same(cookie, session.cookie)
            and user == session.user
        )

    def is_page(self, key: str) -> bool:
        return self.session is not None and _same(key, self.session.page_key)


def _same(offered: str, secret: str) -> bool:
    """Compare in a time that tells nothing of the secret."""
    return hmac.compare_digest(offered.encode("utf-8", "replace"), secret.encode())
