"""Where tokens may be sent: the providers' own hosts, or the base URLs of the settings, and nowhere else.

A base URL in a row of the database is foreign data: whoever can write it must not be able to pull a token to
a host of theirs. Of such a URL a provider takes the name of a host of its own at most, and makes the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from crypto_core.values.errors import SettingsError

GITHUB = "https://api.github.com"
SLACK = "https://slack.com"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The base URLs that settings name, by provider, without a slash at the end.

    Under `atlassian` is one where all calls of Atlassian's go; without it each site is asked itself. GitHub
    revokes an OAuth app's own tokens for whoever has its client id and secret.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    github_client_id: str = ""
    github_client_secret: str = field(default="", repr=False)

    def of(self, provider: str, own: str = "") -> str:
        """Return where a provider is asked, at its `own` base URL unless settings name another one."""
        return self.urls.get(provider) or own

    @property
    def github_app(self) -> bool:
        return bool(self.github_client_id and self.github_client_secret)


def base_url(text: str) -> str:
    """Return a base URL of the settings, without a slash at its end.

    Raises SettingsError unless it is https, or http on the loopback interface, without user, query and
    fragment.
    """
    parts = split_url(text)
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


def split_url(text: str) -> SplitResult | None:
    """Return the parts of a URL, None for a text that is none or may be read in two ways."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises for what is no port
    except ValueError:
        return None
    return parts
