"""Which estates there are, and the settings of each."""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from urllib.parse import quote

from console.own_folders import data_folder
from console.settings import Settings
from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean
from crypto_core.text.likeness import meant

DEFAULT = "default"
"""The estate of the settings themselves."""
OF_A_DATABASE = frozenset(
    {"database_url", "state_url", "binding", "anchor_file", "anchor_bucket", "agreed_code"}
)
"""Settings that are about one database: another one has its own, or none."""
OF_AN_ENVIRONMENT = frozenset(
    {
        *("environment", "environment_colour", "write_key", "write_alias"),
        *("trusted_keys", "retired_keys", "administrators", "trusted_accounts", "signing_key"),
        *("former_signing_keys", "events_file", "athena_table", "athena_output", "athena_workgroup"),
        *("receipts", "receipts_complete_since", "approvals_key"),
    }
)
"""Settings about trust, signing and events: an estate with a database_url inherits none of them."""
SHARED = frozenset(
    {
        *("profile", "regions", "write_format", "least_format", "read_only", "fips", "receipts_grace"),
        *("browser_user", "dev_key", "databases", "estates", "keys", "theme", "refresh", "reduced_motion"),
        *("log_file", "token_index", "rotation_days", "material_days", "events_days", "anchor_days"),
        *("tsa_url", "tsa_certificates", "approvals", "approval_minutes", "notify", "github_url"),
        *("slack_url", "atlassian_url", "github_client_id", "github_client_secret", "runbooks", "controls"),
        *("github_audit_token", "slack_audit_token", "atlassian_audit_token", "drill_days", "review_days"),
        *("evidence_days", "tables", "extensions", "user_commands", "columns"),
    }
)
"""Settings that every estate has alike. What is in none of these tables no estate inherits."""


def estates_of(settings: Settings) -> dict[str, Settings]:
    """Return the settings of each estate by its name: the settings themselves, the databases, the estates.

    Raises SettingsError for an estate whose database is not in the settings.
    """
    found = {DEFAULT: settings} if settings.database_url else {}
    named = {estate.database for estate in settings.estates.values()}
    found |= {
        name: settings.model_copy(update=of_database(settings, name))
        for name in settings.databases
        if name not in named
    }
    return found | {name: _of_estate(settings, name) for name in settings.estates}


def estate_named(settings: Settings, name: str) -> Settings:
    """Return the settings of one estate. Raises SettingsError with what may be meant."""
    estates = estates_of(settings)
    if name not in estates:
        raise SettingsError(
            f"There is no estate {clean(name, 60)!r} in the settings.",
            remedy=f"{meant(name, estates)}Estates: {', '.join(estates) or 'none'}.",
        )
    return estates[name]


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
    estate = settings.estates[name]
    if estate.database and estate.database not in settings.databases:
        raise SettingsError(
            f"Estate {clean(name, 60)}: [databases] has no {clean(estate.database, 60)!r}.",
            remedy="Add it there, or give the estate a database_url.",
        )
    if estate.database:
        base = of_database(settings, estate.database)
    else:
        own_events = str(data_folder() / f"events-{quote(name, safe='')}.sqlite")
        base = without(settings, SHARED) | {"environment": name[:20], "events_file": own_events}
    given = {
        field: value
        for field in type(estate).model_fields
        if field != "database" and (value := getattr(estate, field))
    }
    found = settings.model_copy(update=base | given)
    if found.approvals_key and found.approvals_key in (found.write_key, *found.trusted_keys):
        raise SettingsError(
            f"Estate {clean(name, 60)}: tokens are sealed under its approvals_key.",
            remedy="Make another key for approvals.",
        )
    return found
