"""A token as an operator enters it: without what pasting adds, and refused where it can't be one.

No message repeats the token or a part of it. Nothing that holds its text is left in a frame that an error
passes through.
"""

from __future__ import annotations

from crypto_core.envelope import PROVIDER_PREFIXES, Format, classify, require_sealable
from crypto_core.providers.messages import REFRESH_COLUMN, REFRESH_PREFIXES
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
"""What a terminal puts around pasted text (xterm, "Bracketed Paste Mode"), where it reaches the field."""

_ISSUERS = {"jira": "atlassian", "confluence": "atlassian"}
"""Who issues the tokens of a row's provider, where that has another name."""

_MARKS_REFRESH_TOKENS = frozenset({"github", "slack"})
"""Issuers whose refresh tokens are told by their beginning."""

_ACCESS_COLUMNS = frozenset({"access_token", "bot_token"})

_ALSO_OTHERS = frozenset({"atlassian"})
"""Issuers of tokens without a beginning of their own too: Atlassian's OAuth 2.0 tokens are JWTs."""


def taken(raw: Secret, ref: TokenRef, provider: str) -> Secret:
    """Return what was entered for a connection of `provider`, without the white space around it.

    Raises InvalidTokenError for what is empty, too long, an envelope, no text of visible ASCII characters,
    or begins like another provider's token, or like a token of another kind than the column's.
    """
    token, fault = _read(raw, _ISSUERS.get(provider, provider), ref.column)
    if fault:
        raise InvalidTokenError(f"{ref}: {fault}", remedy="Nothing was written. Copy the new token again.")
    require_sealable(token)
    return token


def stripped(raw: Secret) -> Secret:
    """Return what was entered without what pasting puts around it. Raises InvalidTokenError for no text."""
    return Secret.of(pasted(raw.reveal()))


def pasted(text: str) -> str:
    return text.strip().removeprefix(_PASTE_BEGINS).removesuffix(_PASTE_ENDS).strip()


def why_no_token(text: str) -> str:
    """Return why a text, as `pasted` gives it, can't be a provider's token; "" where it may be one."""
    if not text:
        return "the token is empty."
    if not text.isascii() or not text.isprintable() or " " in text:
        return "the token holds white space, control characters or letters that no token has."
    found = classify(text)
    if found.format.protected or found.format is Format.DEV:
        return "this is an already sealed value from the database, not a provider's token."
    return ""


def _read(raw: Secret, issuer: str, column: str) -> tuple[Secret, str]:
    """What was entered, and what is wrong with it; the text itself does not leave this function."""
    token = stripped(raw)
    text = token.reveal()
    return token, _fault(text, issuer) or _wrong_kind(text, issuer, column)


def _fault(text: str, issuer: str) -> str:
    fault = why_no_token(text)
    if fault:
        return fault
    found = classify(text)
    prefixes = PROVIDER_PREFIXES.get(issuer)
    if prefixes is None:
        return ""
    if found.provider not in (None, issuer):
        return f"this begins like a token of {found.provider}, and the connection is with {issuer}."
    if found.provider is None and issuer not in _ALSO_OTHERS:
        return f"this begins like no token of {clean(issuer, 40)} ({', '.join(prefixes)})."
    return ""


def _wrong_kind(text: str, issuer: str, column: str) -> str:
    refresh = text.startswith(REFRESH_PREFIXES)
    if refresh and column in _ACCESS_COLUMNS:
        return f"this is a refresh token, and {column} is for one that calls the provider."
    if not refresh and column == REFRESH_COLUMN and issuer in _MARKS_REFRESH_TOKENS:
        return f"this is no refresh token of {issuer}, and {REFRESH_COLUMN} is for one."
    return ""
