"""Finds tokens in whatever they leaked in: lists, settings, CSV, logs, dumps, the reports of secret scanners.

Where every line is one word that can be a token or be set to one, each line has one. In any other text tokens
are recognised by the beginnings that their providers give them, also within JSON, in text that was escaped
several times, in base64 and across the end of a line; and by the fields of gitleaks ("Secret"), trufflehog
("Raw"), GitHub's alerts ("secret") and GitHub's audit log ("hashed_token"). No message repeats what was read.

Where a token ends isn't always clear, as in `ghp_…_backup`. Its place has several readings then, and rows
that hold any of them count. Only a text with one word a line is read in full.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from urllib.parse import unquote

from crypto_core.database.tokens.token_patterns import LEAST_OF_A_TOKEN
from crypto_core.envelope import MAX_TOKEN_BYTES, classify
from crypto_core.envelope.issuers import ISSUERS, TokenIssuer
from crypto_core.forensics.token_search.target_tokens import (
    HASH_FIELD,
    MOST_WANTED,
    WantedToken,
    hash_of,
    hashed_token,
    why_not_wanted,
)
from crypto_core.reencryption.replacing_token.validation import pasted
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.secret import Secret, exposed

_Readings = tuple[str, ...]
_Reader = Callable[[str, str], Iterator[_Readings] | None]
"""Of a line and the one after it."""

_LEVELS = 4
"""How often a text may have been escaped."""
_LEAST_BY_FIELD = 16
"""Characters of a field's value up to which it is no secret."""


@dataclass(frozen=True, slots=True)
class LeakedTokens:
    """The tokens of a text, each once with all its lines.

    Readings of the same place have one number. `is_list` is True where every line was taken for a token.
    `silent_lines` are those, not empty, in which nothing was recognised; `unread_lines` those that may hold
    something else.
    """

    wanted: tuple[WantedToken, ...]
    is_list: bool = True
    silent_lines: int = 0
    unread_lines: int = 0

    @property
    def unread(self) -> str:
        """Why a search for these tokens proves nothing about the whole text, "" where it does."""
        if not self.unread_lines:
            return ""
        lines = counted(self.unread_lines, "line")
        return f"{lines} may hold a token that was not recognised: only a list of tokens is read in full."

    @property
    def remark(self) -> str:
        """Which lines of a list were not looked for, "" for none."""
        if not (self.is_list and self.silent_lines):
            return ""
        lines = counted(self.silent_lines, "line")
        return f"{lines} not looked for: {LEAST_OF_A_TOKEN} characters or fewer are no token."

    def found_by(self, summary: str) -> str:
        """Return how tokens were found, by a search's summary, as an incident keeps it."""
        hashes = sum(one.token is None for one in self.wanted)
        words = "leaked tokens" if hashes else "a leaked token"
        if hashes == len(self.wanted):
            words = "GitHub's hashed_token"
        left = " ".join(filter(None, (self.remark, self.unread)))
        return ". ".join(filter(None, (f"{words}: {summary}", left)))


def leaked_tokens(leaked: Secret | Sequence[str]) -> LeakedTokens:
    """Return the tokens of a text, which is wiped, or those with GitHub's hashes. Raises as `read_leak`."""
    if isinstance(leaked, Secret):
        with leaked:
            return read_leak(leaked)
    return LeakedTokens(tuple(hashed_token(value, number) for number, value in enumerate(leaked, 1)))


def read_leak(text: Secret) -> LeakedTokens:
    """Return the tokens of a text. Raises InvalidTokenError for none, and for more than MOST_WANTED."""
    found, fault = _read(text)
    if fault:
        raise InvalidTokenError(
            fault, remedy="What begins like no provider's token is recognised where each line is one token."
        )
    return found


def _read(text: Secret) -> tuple[LeakedTokens, str]:
    """What was found, and what is wrong with it; the text itself does not leave this function."""
    content = _decoded(text)
    collected = _Collected()
    for is_list, reader, is_known in ((True, _of_list, _is_word), (False, _of_report, _is_short)):
        collected = _Collected()
        whole = _collect(content, reader, is_known, collected)
        if whole or not is_list:
            break
    nothing = LeakedTokens((), is_list, collected.silent, collected.unread)
    if len(collected.lines) > MOST_WANTED:
        return nothing, f"There are more than {MOST_WANTED:,} tokens: look for them in parts."
    if not collected.lines:
        return nothing, "There is nothing in it that begins like a provider's token."
    return replace(nothing, wanted=collected.wanted()), ""


def _decoded(text: Secret) -> str:
    content = exposed(text)
    if bytes(content[:2]) in (b"\xff\xfe", b"\xfe\xff"):  # as PowerShell writes files
        return str(content, "utf-16", "replace").removeprefix("\ufeff")
    return str(content, "utf-8", "replace").removeprefix("\ufeff")


@dataclass(slots=True)
class _Collected:
    """Readings by the SHA-256 of the first, each a token or a hash, with the lines that they stand in.

    What may be a hash and doesn't say so is looked for as both.
    """

    lines: dict[bytes, list[int]] = field(default_factory=dict)
    readings: dict[bytes, dict[bytes, Secret | None]] = field(default_factory=dict)
    silent: int = 0
    unread: int = 0

    def add(self, readings: _Readings, number: int) -> None:
        found: dict[bytes, Secret | None] = {}
        for token in readings:
            digest = hash_of(token) or hashlib.sha256(token.encode()).digest()
            found[digest] = None if token.startswith(HASH_FIELD) else Secret.of(token.strip('"'))
        first = next(iter(found))
        held = self.readings.setdefault(first, {})
        for digest, secret in found.items():
            held[digest] = held.get(digest) or secret
        lines = self.lines.setdefault(first, [])
        if number not in lines[-1:]:
            lines.append(number)

    def wanted(self) -> tuple[WantedToken, ...]:
        return tuple(
            WantedToken(number, _issuer(token), token, _hash_in(token, digest), tuple(lines))
            for number, (first, lines) in enumerate(self.lines.items(), 1)
            for digest, token in self.readings[first].items()
        )


def _collect(
    content: str, reader: _Reader, is_known: Callable[[str, str], bool], collected: _Collected
) -> bool:
    """Read line by line; returns whether the reader knew what each line is, and ends where it doesn't.

    `is_known` says of a line and the one after it whether nothing else can be in it.
    """
    for number, (line, following) in enumerate(pairwise(chain(content.split("\n"), ("",))), 1):
        if not line.strip():
            continue
        found = reader(line, following)
        if found is None:
            return False
        any_found = False
        for readings in found:
            any_found = True
            collected.add(readings, number)
            if len(collected.lines) > MOST_WANTED:
                return True
        collected.silent += not any_found
        collected.unread += not is_known(line, following)
    return True


def _hash_in(token: Secret | None, digest: bytes) -> bytes:
    return digest if token is None or hash_of(token.reveal()) else b""


def _issuer(token: Secret | None) -> str:
    return "github" if token is None else classify(token.reveal()).provider or ""


def _of_list(line: str, following: str) -> Iterator[_Readings] | None:
    """The one token of a line, none of a short word; None for a line that is something else."""
    token = pasted(line)
    if why_not_wanted(token) or (_STRUCTURE.search(token) and not hash_of(token)):
        return None
    if len(token) <= LEAST_OF_A_TOKEN:
        return iter(())
    if hash_of(token):
        return iter([(token,)])
    known = list(_of_report(token, following))
    values = [word for word in _SET_TO.findall(token) if not _SHAPES.search(word)]
    opaque = [readings for word in (values if known else values or [token]) if (readings := _opaque(word))]
    return chain(((*readings, token) for readings in known), ((*readings, token) for readings in opaque))


def _is_word(line: str, following: str) -> bool:
    """Whether a line of a list is one token alone, or a name that is set to one, or too short for any."""
    token = pasted(line)
    if len(token) <= LEAST_OF_A_TOKEN or hash_of(token):
        return True
    named = _ASSIGNED.fullmatch(token)
    value = named[1] if named else token
    is_shape = _SHAPES.fullmatch(value) is not None
    # It may be broken off at the end of its line.
    is_whole = not is_shape or not (after := pasted(following)) or "=" in after or _SHAPES.match(after)
    few = len(_ENDS.findall(value.rpartition(".")[2] if value.startswith(_JWT) else value)) <= _MOST_ENDS
    return bool(few and is_whole and (is_shape or _OPAQUE.fullmatch(value)) and len([*_forms(value)]) == 1)


def _is_short(line: str, _: str) -> bool:
    return _LONG_WORD.search(line) is None


_STRUCTURE = re.compile(r"[][{}()<>\"'`,;:%\\]|^[#/]")
"""What has no place in a token, but in JSON, CSV, a log or a program."""


def _of_report(line: str, following: str) -> Iterator[_Readings]:
    """Whatever in a line has the beginning of a token or stands in a field for one."""
    text = _plain(line)
    more = _BROKEN_OFF.match(_plain(following))
    for form in _forms(text):
        for match in _SHAPES.finditer(form):
            goes_on = more is not None and _AT_END.match(form, match.end())
            if readings := _readings(match[0], more[1] if more and goes_on else ""):
                yield readings
    if "secret" in text or "Secret" in text or "aw" in text or "hashed_token" in text:
        yield from _by_field(text)


def _forms(text: str) -> Iterator[str]:
    """A text, and what its words are the base64 of."""
    yield text
    for word in _ENCODED.finditer(text):
        letters = b"-_" if "-" in word[0] or "_" in word[0] else None
        try:
            inner = base64.b64decode(word[0] + "==", letters)
        except (binascii.Error, ValueError):
            continue
        if inner.isascii():
            yield inner.decode()


def _opaque(word: str) -> _Readings:
    """What a word with no known beginning may be: itself, or what stands before or behind a sign in it."""
    ends = list(_ENDS.finditer(word, 0, MAX_TOKEN_BYTES))[-_MOST_ENDS:]
    return _kept(word, *(word[: end.start()] for end in ends), *(word[end.end() :] for end in ends))


def _kept(*readings: str) -> _Readings:
    return tuple(dict.fromkeys(one for one in readings if LEAST_OF_A_TOKEN < len(one) <= MAX_TOKEN_BYTES))


def _by_field(text: str) -> Iterator[_Readings]:
    for match in _HASHES.finditer(text):
        if hash_of(match[1]):
            yield (HASH_FIELD + match[1],)
    for match in _FIELDS.finditer(text):
        token = pasted(match[1])
        if not (_SHAPES.search(token) or why_not_wanted(token)):
            yield (token,)


def _readings(run: str, more: str = "") -> _Readings:
    """The tokens that a run of letters may be, the likeliest first; none for one that only begins like one.

    The token may end before a sign in it, or go on with `more` in the next line.
    """
    run, more = run[: MAX_TOKEN_BYTES + 1], more[:MAX_TOKEN_BYTES]
    find = _three_parts if run.startswith(_JWT) else lambda text: text.rstrip("-")
    whole, longer = find(run), find(run.rstrip("=") + more)
    ends = [end.start() for end in _ENDS.finditer(whole, LEAST_OF_A_TOKEN)][-_MOST_ENDS:]
    return _kept(whole, longer, whole.replace("=3D", "="), *(find(whole[:end]) for end in reversed(ends)))


def _three_parts(run: str) -> str:
    parts = run.split(".")[:3]
    return ".".join(parts) if len(parts) == 3 and parts[1].startswith(_JWT) and parts[2] else ""


def _shape(issuer: TokenIssuer) -> str:
    """A token by its beginning. Whatever begins matches: none is read twice."""
    parts = rf"(?:\.[A-Za-z0-9_-]{_MANY})*" if issuer.dotted else ""
    return f"(?:{'|'.join(map(re.escape, issuer.prefixes))})[{issuer.characters}]{_MANY}{parts}"


_MANY = f"{{{LEAST_OF_A_TOKEN},}}"
_JWT = "eyJ"
"""RFC 7519: JSON in base64. Atlassian's OAuth 2.0 tokens are such."""
_SHAPES = re.compile("|".join((*map(_shape, ISSUERS.values()), rf"{_JWT}[A-Za-z0-9_.-]{_MANY}")))
_ENDS = re.compile(r"[._=-]")
_MOST_ENDS = 16
_AT_END = re.compile(r"[ \r=\\\"'+]*\Z")
_BROKEN_OFF = re.compile(r"[\s\"'+>|]*([A-Za-z0-9_.=-]+)")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{16,}|[A-Za-z0-9_-]{16,}")
_SET_TO = re.compile(r"(?:^|[&?])[^=&?]*=([^&]+)")
_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=(.+)")
_OPAQUE = re.compile(r"[A-Za-z0-9_-]+=*")
_LONG_WORD = re.compile(rf"[A-Za-z0-9_+/=-]{{{LEAST_OF_A_TOKEN + 1},}}|[\x00\ufffd]")
_INVISIBLE = re.compile("[\xad\u200b-\u200d\u2060\ufeff]|\x1b\\[[0-9;]*[A-Za-z]")
_HASHES = re.compile(r"hashed_token[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9+/]{43}=)")
_FIELDS = re.compile(rf'"(?:[Ss]ecret|[Rr]aw)"\s*:\s*"([^"\\\s]{{{_LEAST_BY_FIELD},{MAX_TOKEN_BYTES}}})"')

_ESCAPES = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "/": "/", '"': '"', "'": "'", "\\": "\\"}


def _plain(line: str) -> str:
    """A line without the escapes of programs, however often put in, of URLs, of HTML and of terminals."""
    for _ in range(_LEVELS):
        if "\\" not in line:
            break
        line = _ESCAPES.sub(_letter, line)
    if "%" in line:
        line = unquote(line)
    if "&" in line:
        with suppress(ValueError):  # a reference by a number of thousands of digits
            line = html.unescape(line)
    return line if line.isascii() and "\x1b" not in line else _INVISIBLE.sub("", line)


def _letter(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2]
    return chr(int(number, 16)) if number else _LETTERS.get(escape[3], escape[0])
