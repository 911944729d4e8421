"""The store of events alone: neither database nor AWS is needed, nor loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from console.own_folders import data_folder

if TYPE_CHECKING:
    from console.settings import Settings
    from crypto_core.trail.query import Aliases
    from crypto_core.trail.store import EventStore


def open_events(settings: Settings, aliases: Aliases = dict) -> EventStore:
    """Return the store of events. Its file is made when it is first needed."""
    from crypto_core.trail.store import EventStore

    return EventStore(events_file(settings), aliases=aliases)


def events_file(settings: Settings) -> Path:
    """Return where the store of events is."""
    return Path(settings.events_file) if settings.events_file else data_folder() / "events.sqlite"
