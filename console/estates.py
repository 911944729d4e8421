"""Which estates there are, and the settings of each."""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from urllib.parse import quote

from console.own_folders import data_folder
from console.setting_parts import OF_AN_ENVIRONMENT
from console.settings import Settings, changed
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import SettingsError
from crypto_core.values.typed_names import meant

DEFAULT = "default"
"""The estate of the settings themselves."""
SHARED = frozenset(
    {
        *("profile", "regions", "write_format", "least_format", "read_only", "fips", "receipts_grace"),
        *("browser_user", "dev_key", "databases", "estates", "keys", "theme", "refresh", "reduced_motion"),
        *("log_file", "token_index", "rotation_days", "material_days", "events_days", "anchor_days"),
        *("tsa_url", "tsa_certificates", "approvals", "approval_minutes", "notify", "github_url"),
        *("slack_url", "atlassian_url", "provider_urls", "github_client_id", "github_client_secret"),
        *("github_audit_token", "slack_audit_token", "atlassian_audit_token", "drill_days", "review_days"),
        *("evidence_days", "runbooks", "controls", "tables", "extensions", "user_commands", "columns"),
    }
)
"""Settings that every estate has alike. What is in none of these tables no estate inherits."""


def estates_of(settings: Settings) -> dict[str, Settings | SettingsError]:
    """Return the settings of each estate by its name: the settings themselves, the databases, the estates.

    An error for one whose database is not in the settings, or with an invalid setting: the others stand.
    """
    found: dict[str, Settings | SettingsError] = {}
    for name in _names(settings):
        try:
            found[name] = _of_estate(settings, name)
        except SettingsError as error:
            found[name] = error
    return found


def estate_named(settings: Settings, name: str) -> Settings:
    """Return the settings of one estate. Raises SettingsError for what is wrong, with what may be meant."""
    names = _names(settings)
    if name not in names:
        raise SettingsError(
            f"There is no estate {clean(name, 60)!r} in the settings.",
            remedy=f"{meant(name, names)}Estates: {', '.join(names) or 'none'}.",
        )
    return _of_estate(settings, name)


def _names(settings: Settings) -> tuple[str, ...]:
    named = {estate.database for estate in settings.estates.values()}
    default = (DEFAULT,) if settings.database_url else ()
    databases = (name for name in settings.databases if name not in named)
    return tuple(dict.fromkeys((*default, *databases, *settings.estates)))


def without(settings: Settings, kept: Set[str]) -> dict[str, Any]:
    """Return the defaults of all settings that are not kept."""
    fields = type(settings).model_fields
    return {name: fields[name].get_default(call_default_factory=True) for name in fields if name not in kept}


def of_database(settings: Settings, name: str) -> dict[str, Any]:
    """Return the settings that are others in one of [databases]."""
    database = settings.databases[name]
    return without(settings, SHARED | OF_AN_ENVIRONMENT) | {
        "database_url": database.url,
        "environment": database.environment or name[:20],
        "environment_colour": database.environment_colour,
        # A binding names one database; another's tokens must not be sealed for it.
        "binding": database.binding,
    }


def _of_estate(settings: Settings, name: str) -> Settings:
    estate = settings.estates.get(name)
    if estate is None and name not in settings.databases:
        return settings
    database = name if estate is None else estate.database
    if database and database not in settings.databases:
        raise SettingsError(
            f"Estate {clean(name, 60)}: [databases] has no {clean(database, 60)!r}.",
            remedy="Add it there, or give the estate a database_url.",
        )
    if database:
        base = of_database(settings, database)
    else:
        own_events = str(data_folder() / f"events-{quote(name, safe='')}.sqlite")
        base = without(settings, SHARED) | {"environment": name[:20], "events_file": own_events}
    return changed(settings, base | (estate.given() if estate else {}), f"Estate {clean(name, 60)}")
