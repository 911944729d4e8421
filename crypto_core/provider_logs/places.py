"""Where a token of a row is used: at which provider, and in which workspace or on which site, by its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from crypto_core.database.tokens.inventory import InventoryRow
from crypto_core.providers.registry import provider_of_row
from crypto_core.text.cleaning import clean


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """The audit log in which uses of a token stand. `named` are its workspaces or sites, as rows tell."""

    provider: str
    named: tuple[str, ...] = ()


_LOG_OF: Mapping[str, str] = {
    "github": "github",
    "slack": "slack",
    "jira": "atlassian",
    "confluence": "atlassian",
}
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "slack": ("team_id",),
    "atlassian": ("cloud_base_url", "base_url"),
    "github": (),
}


def place_of(row: InventoryRow) -> TokenPlace | None:
    """Return where a row's token is used; None for a provider whose audit log isn't read."""
    own = dict(row.shown).get("provider", "")
    provider = provider_of_row(own.lower() or row.provider)
    log = _LOG_OF.get(provider.name) if provider is not None else None
    if log is None:
        return None
    shown = dict(row.shown)
    told = [shown[name] for name in _COLUMNS[log] if shown.get(name) and name not in row.altered]
    return TokenPlace(log, tuple(name for name in map(_name, told) if name))


def _name(text: str) -> str:
    """A workspace's id as it is; of a site's address the host."""
    if "://" not in text:
        return clean(text, 120)
    try:
        return clean(urlsplit(text).hostname or "", 120)
    except ValueError:
        return ""
