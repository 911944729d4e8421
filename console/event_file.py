"""The store of events alone: neither database nor AWS is needed, nor loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from console.own_folders import data_folder

if TYPE_CHECKING:
    from console.settings import Settings
    from crypto_core.trail.query import Aliases
    from crypto_core.trail.store import EventStore


def open_events(
    settings: Settings, aliases: Aliases = dict, *, told: Callable[[str], None] | None = None
) -> EventStore:
    """Return the store of events. Its file is made when it is first needed.

    `told` is called before something that takes long: an older store is brought up to date.
    """
    from crypto_core.trail.store import EventStore

    return EventStore(events_file(settings), aliases=aliases, told=told)


def events_file(settings: Settings) -> Path:
    return Path(settings.events_file) if settings.events_file else data_folder() / "events.sqlite"
