"""A token as an operator enters it: without what pasting adds, and refused where it can't be one.

No message repeats the token or a part of it. Nothing that holds its text is left in a frame that an error
passes through.
"""

from __future__ import annotations

from crypto_core.envelope import Format, classify, require_sealable
from crypto_core.envelope.issuers import REFRESH_PREFIXES, TokenIssuer, issuer_of
from crypto_core.providers.messages import REFRESH_COLUMN
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret

_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
"""What a terminal puts around pasted text (xterm, "Bracketed Paste Mode"), where it reaches the field."""

_ACCESS_COLUMNS = frozenset({"access_token", "bot_token"})


def taken(raw: Secret, ref: TokenRef, provider: str) -> Secret:
    """Return what was entered for a connection of `provider`, without the white space around it.

    Raises InvalidTokenError for what is empty, too long, an envelope, no text of visible ASCII characters,
    or begins like another provider's token, or like a token of another kind than the column's.
    """
    token, fault = _read(raw, issuer_of(provider), ref.column)
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


def _read(raw: Secret, issuer: TokenIssuer | None, column: str) -> tuple[Secret, str]:
    """What was entered, and what is wrong with it; the text itself does not leave this function."""
    token = stripped(raw)
    text = token.reveal()
    return token, _fault(text, issuer) or _wrong_kind(text, issuer, column)


def _fault(text: str, issuer: TokenIssuer | None) -> str:
    fault = why_no_token(text)
    if fault or issuer is None:
        return fault
    begins = classify(text).provider
    if begins not in (None, issuer.name):
        return f"this begins like a token of {begins}, and the connection is with {issuer.name}."
    if begins is None and not issuer.others:
        return f"this begins like no token of {issuer.name} ({', '.join(issuer.prefixes)})."
    return ""


def _wrong_kind(text: str, issuer: TokenIssuer | None, column: str) -> str:
    refresh = text.startswith(REFRESH_PREFIXES)
    if refresh and column in _ACCESS_COLUMNS:
        return f"this is a refresh token, and {column} is for one that calls the provider."
    if not refresh and column == REFRESH_COLUMN and issuer is not None and issuer.refresh:
        return f"this is no refresh token of {issuer.name}, and {REFRESH_COLUMN} is for one."
    return ""
