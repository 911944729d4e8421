"""From a row of the database to whom its token may be sent; nothing is opened or sent for that."""

from __future__ import annotations

from urllib.parse import urlsplit

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.envelope import Format
from crypto_core.errors import RefusedError
from crypto_core.providers import atlassian, github, slack
from crypto_core.providers.answers import ByHand
from crypto_core.providers.endpoints import ATLASSIAN, Endpoints, atlassian_site, host_of
from crypto_core.providers.messages import ProviderAnswer, Request, Said, Target

_NAMES = {
    "github": "github",
    "slack": "slack",
    "jira": "jira",
    "atlassian": "jira",
    "confluence": "confluence",
}
_SITE_COLUMNS = ("cloud_base_url", "base_url")
_NOT_OPENED = {
    Format.EMPTY: "no token is stored",
    Format.UNRECOGNISED: "what is stored is not recognised: plaintext or corrupt. See keydeck inspect",
}


def target_of(row: InventoryRow, endpoints: Endpoints) -> Target | ByHand:
    """Return whom a token's row says to ask, or why nobody can be asked."""
    provider = _NAMES.get(row.provider.lower(), "")
    if row.format in _NOT_OPENED:
        return ByHand(row.ref, provider or row.provider, _NOT_OPENED[row.format])
    match provider:
        case "github":
            return Target(row.ref, provider, endpoints.github)
        case "slack":
            return Target(row.ref, provider, endpoints.slack)
        case "jira" | "confluence":
            return _atlassian(row, provider, endpoints)
    return ByHand(row.ref, row.provider, "Keydeck knows no way to ask this provider")


def _atlassian(row: InventoryRow, provider: str, endpoints: Endpoints) -> Target | ByHand:
    shown = dict(row.shown)
    email = shown.get("email", "")
    if email and not atlassian.is_email(email):
        return ByHand(row.ref, provider, "what the row holds as its e-mail address is none")
    named = next((shown[column] for column in _SITE_COLUMNS if shown.get(column)), "")
    if endpoints.atlassian:
        return Target(row.ref, provider, endpoints.atlassian, email, _forwarded(named))
    if not email:
        # An OAuth token is asked about without its site.
        return Target(row.ref, provider, ATLASSIAN)
    try:
        return Target(row.ref, provider, atlassian_site(named), email)
    except RefusedError as error:
        return ByHand(row.ref, provider, error.message)


def _forwarded(named: str) -> str:
    """The site's host, for a proxy that stands before several sites; "" for one that is not Atlassian's."""
    try:
        return host_of(atlassian_site(named))
    except RefusedError:
        return ""


def not_asked_before_opening(row: InventoryRow, target: Target) -> str:
    """Return why a token will not be asked about, as far as its row tells; "" where it may be."""
    if row.ref.column == "refresh_token":
        return "a refresh token can only be used, not asked about"
    kind = dict(row.shown).get("token_type", "").lower()
    if target.provider in ("jira", "confluence") and not target.email and "api" in kind:
        return "an API token is asked about with its owner's e-mail address, which the row does not hold"
    return ""


def question_of(target: Target, token: str) -> Request | str:
    """Return the request that asks about a token, or why there is none."""
    match target.provider:
        case "github":
            return github.question(target.base, token)
        case "slack":
            return slack.question(target.base, token)
    return atlassian.question(target, token)


def said_of(target: Target, token: str, answer: ProviderAnswer) -> Said:
    """Return what an answer to the question says."""
    match target.provider:
        case "github":
            return github.read(answer, token)
        case "slack":
            return slack.read(answer)
    return atlassian.read(answer, target)


def hosts(targets: tuple[Target, ...] | list[Target]) -> tuple[str, ...]:
    """Return the hosts that would be called, as they are told to whoever agrees to it."""
    return tuple(sorted({_told(target.base) for target in targets}))


def _told(base: str) -> str:
    # Without encryption only on this machine, and then that is worth seeing.
    return base if urlsplit(base).scheme == "http" else host_of(base)
