"""Who issues tokens, one record each: what its tokens look like, and what rows and tables call it.

Whatever recognises tokens, masks, names, checks or imitates them, in Python as in SQL, derives from these.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """An issuer, by the name under which its tokens are shown.

    `prefixes` are what its tokens begin with, `refresh` those of refresh tokens among them. `products` are
    further names by which rows call the provider of its tokens, `table_words` further words for it in the
    names of tables. `characters` may stand behind a prefix, as in a class of a regular expression; where
    `dotted`, further parts may follow behind dots. With `others` it issues tokens that begin otherwise, too.
    """

    name: str
    prefixes: tuple[str, ...]
    refresh: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    table_words: tuple[str, ...] = ()
    characters: str = "A-Za-z0-9_-"
    dotted: bool = False
    others: bool = False


_ISSUERS = (
    TokenIssuer(
        "github",
        ("github_pat_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        refresh=("ghr_",),
        table_words=("gh",),
        characters="A-Za-z0-9_",
        dotted=True,
    ),
    # xoxe.xoxb- and xoxe.xoxp- are access tokens that expire.
    TokenIssuer(
        "slack",
        ("xoxb-", "xoxp-", "xoxa-", "xoxe-", "xoxe.", "xoxr-", "xoxs-", "xapp-"),
        refresh=("xoxr-", "xoxe-"),
        characters="A-Za-z0-9-",
    ),
    # Its OAuth 2.0 tokens are JWTs.
    TokenIssuer(
        "atlassian",
        ("ATATT3", "ATCTT3"),
        products=("jira", "confluence"),
        characters="A-Za-z0-9_=-",
        others=True,
    ),
)
ISSUERS = {issuer.name: issuer for issuer in _ISSUERS}

PROVIDER_PREFIXES = {issuer.name: issuer.prefixes for issuer in _ISSUERS}
"""By issuer: a stored value that begins like that is plaintext."""
TOKEN_PREFIXES = tuple(prefix for prefixes in PROVIDER_PREFIXES.values() for prefix in prefixes)
REFRESH_PREFIXES = tuple(prefix for issuer in _ISSUERS for prefix in issuer.refresh)

TOKENS_OF = {name: issuer.name for issuer in _ISSUERS for name in (issuer.name, *issuer.products)}
"""Whose tokens a row has, by the provider that the row names."""
TABLE_WORDS = {name: name for name in TOKENS_OF} | {w: i.name for i in _ISSUERS for w in i.table_words}
"""The provider of a table's rows, by words of its name."""


def issuer_of(provider: str) -> TokenIssuer | None:
    """Return who issues the tokens of a provider, as rows name it; None where that isn't known."""
    return ISSUERS.get(TOKENS_OF.get(provider.lower(), ""))
