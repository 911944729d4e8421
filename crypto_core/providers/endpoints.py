"""Where tokens may be sent: the providers' own hosts, or the base URLs of the settings, and nowhere else.

A base URL in a row of the database is foreign data: whoever can write it must not be able to pull a token to
a host of theirs. Of such a URL only the name of an Atlassian host is taken; the address is made here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError, SettingsError

GITHUB = "https://api.github.com"
SLACK = "https://slack.com"
ATLASSIAN = "https://api.atlassian.com"

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_SITE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.(?:atlassian\.net|jira\.com)")
_BY_CLOUD_ID = re.compile(r"/ex/(?:jira|confluence)/[0-9a-f-]{36}")
"""Where tokens with scopes are taken: api.atlassian.com, with the site's cloud id."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The base URLs of the providers' APIs, without a slash at the end.

    `atlassian` is "" where each site is asked itself, else all calls of Atlassian's go there. With an OAuth
    app's client id and secret, GitHub is told to revoke the app's own tokens.
    """

    github: str = GITHUB
    slack: str = SLACK
    atlassian: str = ""
    github_client_id: str = ""
    github_client_secret: str = field(default="", repr=False)

    @property
    def github_app(self) -> bool:
        return bool(self.github_client_id and self.github_client_secret)


def base_url(text: str) -> str:
    """Return a base URL of the settings, without a slash at its end.

    Raises SettingsError unless it is https, or http on the loopback interface, without user, query and
    fragment.
    """
    parts = _split(text)
    if parts is None or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingsError("Not a base URL such as https://github.example/api/v3.")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise SettingsError("Tokens are only sent over https, or http on this machine.")
    return text.rstrip("/")


def host_of(url: str) -> str:
    """Return the host of a URL of ours, with its port where that is not the usual one."""
    return urlsplit(url).netloc


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach what listens on this host."""
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return (host or "").lower() == "localhost"


def atlassian_site(text: str) -> str:
    """Return the base URL of the Atlassian site that a row names. Raises RefusedError for anything else."""
    if not text:
        raise RefusedError("The row names no site.")
    parts = _split(text)
    host = parts.hostname if parts is not None else None
    if parts is None or host is None or not _HOST.fullmatch(host):
        raise RefusedError("What the row names as its site is no URL.")
    if parts.scheme != "https":
        raise RefusedError(f"The row's site {clean(host, 100)} is not named with https.")
    if "@" in parts.netloc or parts.port not in (None, 443):
        raise RefusedError(f"The row's site {clean(host, 100)} is named with a user or a port.")
    if host == host_of(ATLASSIAN) and (path := _BY_CLOUD_ID.match(parts.path)):
        return ATLASSIAN + path[0]
    if not _SITE.fullmatch(host):
        raise RefusedError(f"The row's site {clean(host, 100)} is none of Atlassian's.")
    return f"https://{host}"


def _split(text: str) -> SplitResult | None:
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises for what is no port
    except ValueError:
        return None
    return parts
