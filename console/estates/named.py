"""Which estates there are, and the settings of each."""

from __future__ import annotations

from typing import Any

from console.settings import Settings
from crypto_core.errors import SettingsError
from crypto_core.text.cleaning import clean
from crypto_core.text.likeness import meant

DEFAULT = "default"
"""The estate of the settings themselves."""
_NEVER_SHARED: dict[str, Any] = {
    "write_key": None,
    "write_alias": "",
    "trusted_keys": (),
    "state_url": None,
    "binding": None,
    "environment_colour": "",
}
"""What an estate with a database of its own takes from nowhere else: nothing of it is sealed under another's
key, nor journaled in another's database.
"""


def estates_of(settings: Settings) -> dict[str, Settings]:
    """Return the settings of each estate by its name: the settings themselves, the databases, the estates.

    Raises SettingsError for an estate whose database is not in the settings.
    """
    found = {DEFAULT: settings} if settings.database_url else {}
    named = {estate.database for estate in settings.estates.values()}
    found |= {name: _of_database(settings, name) for name in settings.databases if name not in named}
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


def _of_database(settings: Settings, name: str) -> Settings:
    database = settings.databases[name]
    return settings.model_copy(
        update={
            "database_url": database.url,
            "environment": database.environment or name[:20],
            "environment_colour": database.environment_colour,
            # A binding names one database; another's tokens must not be sealed for it.
            "binding": database.binding,
        }
    )


def _of_estate(settings: Settings, name: str) -> Settings:
    estate = settings.estates[name]
    if estate.database and estate.database not in settings.databases:
        raise SettingsError(
            f"Estate {clean(name, 60)}: [databases] has no {clean(estate.database, 60)!r}.",
            remedy="Add it there, or give the estate a database_url.",
        )
    base = _of_database(settings, estate.database) if estate.database else settings
    update: dict[str, Any] = {
        field: value
        for field in type(estate).model_fields
        if field != "database" and (value := getattr(estate, field))
    }
    own = {} if estate.database else _NEVER_SHARED | {"environment": name[:20]}
    return base.model_copy(update=own | update)
