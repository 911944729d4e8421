"""Finds tokens in whatever they leaked in: lists, CSV, logs, dumps, the reports of secret scanners.

Where every line is one word that can be a token, each line is one. In any other text tokens are told by the
beginnings that their providers give them, also within JSON and in text that was escaped several times; and by
the fields of gitleaks ("Secret"), trufflehog ("Raw"), GitHub's alerts ("secret") and GitHub's audit log
("hashed_token"). No message repeats what was read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

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

_LEVELS = 4
"""How often a text may have been escaped."""
_LEAST_BY_FIELD = 16
"""Characters of a field's value up to which it is no secret."""


@dataclass(frozen=True, slots=True)
class LeakedTokens:
    """The tokens of a text, each once with all its lines.

    `is_list` is True where every line was taken for a token. `silent_lines` are those, not empty, in which
    nothing was recognised.
    """

    wanted: tuple[WantedToken, ...]
    is_list: bool = True
    silent_lines: int = 0

    @property
    def remark(self) -> str:
        """What of the text was not looked for, "" for nothing."""
        if not self.silent_lines:
            return ""
        lines = counted(self.silent_lines, "line")
        if self.is_list:
            return f"{lines} not looked for: {LEAST_OF_A_TOKEN} characters or fewer are no token."
        return (
            f"{lines} held nothing that begins like a provider's token. "
            "Others are recognised only where each line is one token."
        )

    def found_by(self, summary: str) -> str:
        """Return how tokens were found, by a search's summary, as an incident keeps it."""
        hashes = sum(one.token is None for one in self.wanted)
        words = "leaked tokens" if hashes else "a leaked token"
        if hashes == len(self.wanted):
            words = "GitHub's hashed_token"
        return ". ".join(filter(None, (f"{words}: {summary}", self.remark)))


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
    for is_list, reader in ((True, _of_list), (False, _of_report)):
        collected = _Collected()
        whole = _collect(content, reader, collected)
        if whole or not is_list:
            break
    nothing = LeakedTokens((), is_list, collected.silent)
    if len(collected.lines) > MOST_WANTED:
        return nothing, f"There are more than {MOST_WANTED:,} tokens: look for them in parts."
    if not collected.lines:
        return nothing, "There is nothing in it that begins like a provider's token."
    return LeakedTokens(collected.wanted(), is_list, collected.silent), ""


def _decoded(text: Secret) -> str:
    content = exposed(text)
    if bytes(content[:2]) in (b"\xff\xfe", b"\xfe\xff"):  # as PowerShell writes files
        return str(content, "utf-16", "replace").removeprefix("\ufeff")
    return str(content, "utf-8", "replace").removeprefix("\ufeff")


@dataclass(slots=True)
class _Collected:
    """Tokens and hashes by their SHA-256, with the lines that they stand in.

    What may be a hash and doesn't say so is looked for as both.
    """

    lines: dict[bytes, list[int]] = field(default_factory=dict)
    tokens: dict[bytes, Secret] = field(default_factory=dict)
    silent: int = 0

    def add(self, token: str, number: int) -> None:
        digest = hash_of(token) or hashlib.sha256(token.encode()).digest()
        if not token.startswith(HASH_FIELD):
            self.tokens.setdefault(digest, Secret.of(token.strip('"')))
        lines = self.lines.setdefault(digest, [])
        if number not in lines[-1:]:
            lines.append(number)

    def wanted(self) -> tuple[WantedToken, ...]:
        return tuple(
            WantedToken(
                number,
                _issuer(self.tokens.get(digest)),
                self.tokens.get(digest),
                _hash_in(self.tokens.get(digest), digest),
                tuple(lines),
            )
            for number, (digest, lines) in enumerate(self.lines.items(), 1)
        )


def _collect(content: str, reader: Callable[[str], Iterator[str] | None], collected: _Collected) -> bool:
    """Read line by line; returns whether the reader knew what each line is, and ends where it doesn't."""
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        tokens = reader(line)
        if tokens is None:
            return False
        any_found = False
        for token in tokens:
            any_found = True
            collected.add(token, number)
            if len(collected.lines) > MOST_WANTED:
                return True
        collected.silent += not any_found
    return True


def _hash_in(token: Secret | None, digest: bytes) -> bytes:
    return digest if token is None or hash_of(token.reveal()) else b""


def _issuer(token: Secret | None) -> str:
    return "github" if token is None else classify(token.reveal()).provider or ""


def _of_list(line: str) -> Iterator[str] | None:
    """The one token of a line, none of a short word; None for a line that is something else."""
    token = pasted(line)
    if why_not_wanted(token) or (_STRUCTURE.search(token) and not hash_of(token)):
        return None
    return iter((token,) if len(token) > LEAST_OF_A_TOKEN else ())


_STRUCTURE = re.compile(r"[][{}()<>\"'`,;:\\]|^[#/]")
"""What has no place in a token, but in JSON, CSV, a log or a program."""


def _of_report(line: str) -> Iterator[str]:
    """Whatever in a line is told for a token by its beginning or by its field."""
    text = _unescaped(line)
    for match in _SHAPES.finditer(text):
        if (token := _whole_token(match[0])) and len(token) <= MAX_TOKEN_BYTES:
            yield token
    if "secret" in text or "Secret" in text or "aw" in text or "hashed_token" in text:
        yield from _by_field(text)


def _by_field(text: str) -> Iterator[str]:
    for match in _HASHES.finditer(text):
        if hash_of(match[1]):
            yield HASH_FIELD + match[1]
    for match in _FIELDS.finditer(text):
        token = pasted(match[1])
        if not (_SHAPES.search(token) or why_not_wanted(token)):
            yield token


def _whole_token(run: str) -> str:
    """A token out of a run of letters that tokens have, "" for a run that only begins like one."""
    if not run.startswith(_JWT):
        return run.rstrip("-")
    parts = run.split(".")[:3]
    return ".".join(parts) if len(parts) == 3 and parts[1].startswith(_JWT) and parts[2] else ""


def _shape(issuer: TokenIssuer) -> str:
    """A token by its beginning. Whatever begins matches: none is read twice."""
    parts = rf"(?:\.[A-Za-z0-9_-]{_MANY})*" if issuer.dotted else ""
    return f"(?:{'|'.join(map(re.escape, issuer.prefixes))})[{issuer.characters}]{_MANY}{parts}"


_MANY = f"{{{LEAST_OF_A_TOKEN},}}"
_JWT = "eyJ"
"""RFC 7519: JSON in base64. Atlassian's OAuth 2.0 tokens are such."""
_KINDS = [*map(_shape, ISSUERS.values()), rf"{_JWT}[A-Za-z0-9_.-]{_MANY}"]
_SHAPES = re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}}))(?:{'|'.join(_KINDS)})")
_HASHES = re.compile(r"hashed_token[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9+/]{43}=)")
_FIELDS = re.compile(rf'"(?:[Ss]ecret|[Rr]aw)"\s*:\s*"([^"\\\s]{{{_LEAST_BY_FIELD},{MAX_TOKEN_BYTES}}})"')

_ESCAPES = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "/": "/", '"': '"', "'": "'", "\\": "\\"}


def _unescaped(line: str) -> str:
    """A line without the escapes of JSON and of programs, however often they were put in."""
    for _ in range(_LEVELS):
        if "\\" not in line:
            break
        line = _ESCAPES.sub(_letter, line)
    return line


def _letter(escape: re.Match[str]) -> str:
    number = escape[1] or escape[2]
    return chr(int(number, 16)) if number else _LETTERS.get(escape[3], escape[0])
