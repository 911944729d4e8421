"""Made-up tokens that look like the providers' own: prefix, length, alphabet. None of them opens anything.

Each is derived from the seed and the token's reference alone, so it can be told again without being kept.
"""

from __future__ import annotations

import hashlib
import string
from enum import StrEnum

MARKER = "KEYDECKDEMO"
"""Stands in every generated token, so that a test can search everything a run wrote for plaintext."""

_ALPHANUMERIC = string.ascii_letters + string.digits
_DIGITS = string.digits
_URL_SAFE = _ALPHANUMERIC + "-_"
_JWT_HEADER = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
"""{"alg":"RS256","typ":"JWT"}"""


class Style(StrEnum):
    GITHUB_OAUTH = "gho"
    GITHUB_USER = "ghu"
    GITHUB_INSTALLATION = "ghs"
    GITHUB_PERSONAL = "github_pat"
    GITHUB_REFRESH = "ghr"
    ATLASSIAN_OAUTH = "atlassian oauth"
    ATLASSIAN_REFRESH = "atlassian refresh"
    ATLASSIAN_API = "atlassian api"
    SLACK_BOT = "xoxb"
    CLIENT_SECRET = "client secret"  # noqa: S105 - a name of a kind


def issue(style: Style, seed: int, reference: str) -> str:
    """Return the token of that style for `reference`; the same for the same arguments."""
    draw = _Draw(f"{seed}|{style}|{reference}")
    match style:
        case Style.GITHUB_OAUTH | Style.GITHUB_USER | Style.GITHUB_INSTALLATION:
            return f"{style}_{MARKER}{draw.text(25, _ALPHANUMERIC)}"
        case Style.GITHUB_PERSONAL:
            return f"{style}_{draw.text(22, _ALPHANUMERIC)}_{MARKER}{draw.text(48, _ALPHANUMERIC)}"
        case Style.GITHUB_REFRESH:
            return f"{style}_{MARKER}{draw.text(65, _ALPHANUMERIC)}"
        case Style.ATLASSIAN_OAUTH | Style.ATLASSIAN_REFRESH:
            return f"{_JWT_HEADER}.eyJ{draw.text(237, _URL_SAFE)}.{MARKER}{draw.text(331, _URL_SAFE)}"
        case Style.ATLASSIAN_API:
            return f"ATATT3xFfGF0{MARKER}{draw.text(160, _URL_SAFE)}={draw.text(8, '0123456789ABCDEF')}"
        case Style.SLACK_BOT:
            digits = f"{draw.text(12, _DIGITS)}-{draw.text(13, _DIGITS)}"
            return f"{style}-{digits}-{MARKER}{draw.text(13, _ALPHANUMERIC)}"
        case Style.CLIENT_SECRET:
            return f"{MARKER}{draw.text(32, _ALPHANUMERIC)}"


class _Draw:
    """Characters drawn one after another from a stream that the name determines."""

    def __init__(self, name: str) -> None:
        self._stream = hashlib.shake_256(name.encode()).digest(640)
        self._used = 0

    def text(self, length: int, alphabet: str) -> str:
        drawn = self._stream[self._used : self._used + length]
        self._used += length
        return drawn.translate(_TABLES[alphabet]).decode("ascii")


_TABLES = {
    alphabet: bytes(ord(alphabet[i % len(alphabet)]) for i in range(256))
    for alphabet in (_ALPHANUMERIC, _DIGITS, _URL_SAFE, "0123456789ABCDEF")
}
