"""Made-up tokens in the providers' own shapes: prefix, alphabet, length, checksum. None opens anything.

GitHub's tokens end in six characters of base62 that are the CRC-32 of what stands between prefix and checksum
(GitHub, "Behind GitHub's new authentication token formats"); Atlassian's API tokens end in it as hex.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Callable
from random import SystemRandom

_DIGITS = string.digits
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_URL_SAFE = _BASE62 + "-_"
_JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJ"
_CHECKSUM = 6
_GITHUB = {"oauth": "gho_", "user": "ghu_", "installation": "ghs_", "personal": "ghp_", "refresh": "ghr_"}
_random = SystemRandom()


def made_up_token(provider: str, length: int, kind: str = "") -> str:
    """Return a random token of a provider in so many characters, or in the nearest number that its shape has.

    `kind` is what the row calls it, such as oauth, or `refresh` for a refresh token. Of a provider that isn't
    known it is random letters and digits.
    """
    return _SHAPES.get(provider.lower(), _plain)(max(length, 20), kind.lower())


def checksum(body: str) -> str:
    """Return the six characters that GitHub's tokens end in."""
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(_CHECKSUM, "0")


def _github(length: int, kind: str) -> str:
    if length == 93:
        body = f"{_drawn(22, _BASE62)}_{_drawn(53, _BASE62)}"
        return f"github_pat_{body}{checksum(body)}"
    prefix = next((p for name, p in _GITHUB.items() if name in kind), "gho_")
    body = _drawn(length - len(prefix) - _CHECKSUM, _BASE62)
    return f"{prefix}{body}{checksum(body)}"


def _slack(length: int, _: str) -> str:
    head = f"xoxb-{_number(12)}-{_number(13)}-"
    return f"{head}{_drawn(max(length - len(head), 24), _BASE62)}"


def _atlassian(length: int, _: str) -> str:
    if length >= 300:
        signature = 342
        payload = max(length - len(_JWT) - 1 - signature, 60)
        return f"{_JWT}{_drawn(payload, _URL_SAFE)}.{_drawn(signature, _URL_SAFE)}"
    body = f"ATATT3xFfGF0{_drawn(max(length - 21, 20), _URL_SAFE)}"
    return f"{body}={zlib.crc32(body.encode()):08X}"


def _plain(length: int, _: str) -> str:
    return _drawn(length, _BASE62)


def _drawn(number: int, alphabet: str) -> str:
    return "".join(_random.choices(alphabet, k=number))


def _number(digits: int) -> str:
    return _random.choice(_DIGITS[1:]) + _drawn(digits - 1, _DIGITS)


_SHAPES: dict[str, Callable[[int, str], str]] = {
    "github": _github,
    "slack": _slack,
    "jira": _atlassian,
    "confluence": _atlassian,
    "atlassian": _atlassian,
}
