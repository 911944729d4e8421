"""Removes anything that looks like a secret from a text, before it is logged or shown in a diagnosis.

This is the last line of defence, for text that nobody vouches for: nothing of ours puts a secret into a
message to begin with. It errs on the side of hiding: any run of forty characters of base64 goes, wherever it
stands. What operators search logs for stays: ARNs, key ids, key material ids, token references, paths.
A secret that looks like a word can't be told from one. Libraries' loggers that would write what must stay
hidden (requests, responses, rows) are capped.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from crypto_core.envelope import STORED_PREFIXES
from crypto_core.envelope.issuers import TOKEN_PREFIXES

_BASE64 = r"[A-Za-z0-9+/_-]"
"""Standard and URL-safe."""

_COLOURING = re.compile(r"(?:\x1b\[|\x9b)[0-9;:]*[mKJH]")
"""ECMA-48: SGR, EL, ED and CUP, what programs put around words. Not every control sequence: the last letter
of another one could be the first of a secret.
"""

_DROPPED = frozenset({"Cc", "Cf", "Cs"})
_KEPT = frozenset("\t\n\v\f\r\x85")

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,60}-----.*?(?:-----END [A-Z0-9 ]{1,60}-----|\Z)", re.DOTALL)

_QUOTED_OR = r"""(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|{rest})"""

_HEADER = re.compile(
    r"""(\b(?:proxy-)?authorization["']?\s{0,4}[:=]\s{0,4}b?)""" + _QUOTED_OR.format(rest=r"[^\r\n]+"),
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b((?:bearer|basic)\s{1,4})[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)

_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|(?:aws_?)?secret_?access_?key|(?:aws_?)?session_?token|client_?secret"
    r"|x-amz-security-token|x-amz-signature|private_?key"
)
_COLUMNS = r"access_?token|refresh_?token|bot_?token|api_?key"
_NAMED = re.compile(
    # A token column's name before a colon begins a token reference, unless it is quoted: then it is JSON.
    rf"""((?:(?:{_NAMES})["']?\s{{0,4}}[:=]|(?:{_COLUMNS})(?:["']\s{{0,4}}[:=]|\s{{0,4}}=))\s{{0,4}}b?)"""
    + _QUOTED_OR.format(rest=r"""[^\s&,;"']+"""),
    re.IGNORECASE,
)

_TURNS = 5

_WORD = re.compile(r"\S+")

_PROVIDER = re.compile("(?:" + "|".join(map(re.escape, TOKEN_PREFIXES)) + r")[A-Za-z0-9_.=%+/~-]+")
_ENVELOPE = re.compile(
    "(?:"
    + "|".join(map(re.escape, STORED_PREFIXES.values()))
    + r")[A-Za-z0-9+/=%_-]+(?:\r?\n[A-Za-z0-9+/=]+)*"
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?")
_RUN = re.compile(rf"(?<!{_BASE64}){_BASE64}{{40,}}={{0,2}}(?:\r?\n{_BASE64}+={{0,2}})*")
"""Base64 is wrapped at 64 or 76 characters, so the lines after a run belong to it."""

_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]{2,40}:[a-z0-9-]{0,30}:[0-9]{0,12}:$")
_PART = re.compile(r"[A-Z]?[a-z]*[0-9]{0,6}|[A-Z]{1,20}[0-9]{0,6}|[0-9a-f]{1,32}|[0-9a-f]{64}")
"""Words and numbers, ids in hexadecimal: forty characters of random base64 hardly ever consist of those."""
_ARN_PART = re.compile(
    rf"{_PART.pattern}|(?:[A-Z]{{1,6}}[a-z]{{2,16}})+[A-Z]{{0,6}}[0-9]{{0,6}}|A(?:KI|SI|RO|ID)A[A-Z0-9]{{16,17}}"
)
_PATH_PIECE = 10
_BETWEEN_PARTS = re.compile("[+/_-]")


def redacted(text: str) -> str:
    """Return `text` with apparent secrets replaced by their kind, as in `[hidden-token]`.

    Control sequences, control and format characters are dropped first, since they would cut a secret into
    harmless pieces; line breaks stay. Applied twice it changes nothing more. Takes time linear in the length.
    """
    text = _without_controls(text)
    # What was hidden may bring together what then looks like a secret; that ends after a turn or two.
    for _ in range(_TURNS):
        before, text = text, _hide(text)
        if "%" in text:
            text = _WORD.sub(_percent_encoded, text)
        if text == before:
            break
    return text


def _hide(text: str) -> str:
    for rule in _RULES:
        text = rule(text)
    return text


def _without_controls(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _COLOURING.sub("", text).translate(_CharacterMap())


class _CharacterMap(dict[int, "int | None"]):
    """For str.translate: nothing for what is dropped, the character itself for everything else."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        dropped = character not in _KEPT and unicodedata.category(character) in _DROPPED
        self[code] = None if dropped else code
        return self[code]


def _value(match: re.Match[str], hidden: str) -> str:
    """What stands instead of a name and its value; quotes stay, so that it ends where it ended."""
    value = match[0][len(match[1]) :]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match[1]}{quote}{hidden}{quote if len(value) > 1 and value[-1] == quote else ''}"


def _url_passwords(text: str) -> str:
    return _WORD.sub(_url_password, text) if "://" in text else text


def _url_password(word: re.Match[str]) -> str:
    """Hide what stands between the user and the host; a password may hold anything but white space."""
    text = word[0]
    start = text.find("://")
    end = text.rfind("@")
    colon = text.find(":", start + 3, end) if 0 <= start < end else -1
    return text if colon < 0 or colon + 1 == end else f"{text[: colon + 1]}[hidden-password]{text[end:]}"


def _run(match: re.Match[str]) -> str:
    first_line = match[0].partition("\n")[0].rstrip("\r")
    if match[0] == first_line and _plain(match):
        return match[0]
    return "[hidden-base64]"


def _plain(match: re.Match[str]) -> bool:
    run = match[0]
    if len(run) > 512:
        return False
    in_arn = _ARN.search(match.string[max(match.start() - 120, 0) : match.start()])
    part = _ARN_PART if in_arn else _PART
    # A path has short odd pieces, such as the names of temporary folders.
    odd = _PATH_PIECE if run[0] == "/" and "+" not in run else 0
    return all(len(piece) <= odd or part.fullmatch(piece) for piece in _BETWEEN_PARTS.split(run))


def _percent_encoded(word: re.Match[str]) -> str:
    """Hide a word that holds a secret once it is decoded, however often it was encoded."""
    decoded = word[0]
    for _ in range(3):
        if "%" not in decoded:
            break
        decoded = unquote(decoded, errors="replace")
    if decoded == word[0]:
        return decoded
    decoded = _without_controls(decoded)
    return word[0] if _hide(decoded) == decoded else "[hidden-encoded]"


_RULES: tuple[Callable[[str], str], ...] = (
    lambda text: _PEM.sub("[hidden-pem]", text) if "-----BEGIN" in text else text,
    lambda text: _HEADER.sub(lambda match: _value(match, "[hidden-header]"), text),
    lambda text: _NAMED.sub(lambda match: _value(match, "[hidden-secret]"), text),
    lambda text: _SCHEME.sub(r"\1[hidden-header]", text),
    _url_passwords,
    lambda text: _PROVIDER.sub("[hidden-token]", text),
    lambda text: _ENVELOPE.sub("[hidden-envelope]", text),
    lambda text: _JWT.sub("[hidden-token]", text),
    lambda text: _RUN.sub(_run, text),
)


class _Floor(logging.Filter):
    """Lets through only records of a level or above, whatever level the logger is set to."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self.lowest = lowest

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.lowest


def cap(names: Iterable[str], lowest: int) -> None:
    """Drop what these loggers say below the level `lowest`. Calling it again changes nothing."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(f, _Floor) for f in logger.filters):
            logger.addFilter(_Floor(lowest))
