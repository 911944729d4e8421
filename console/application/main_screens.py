"""The main screens side by side, each loaded when it is first opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from screens.facts import Facts
    from screens.main_screen import MainScreen

NAMES = ("status", "connections", "keys", "events", "incidents", "jobs", "findings", "log")


def main_screen(name: str, facts: Facts) -> MainScreen:
    """Return a new screen, one of NAMES."""
    match name:
        case "status":
            from screens.status.screen import StatusScreen

            return StatusScreen(facts)
        case "connections":
            from screens.connections.screen import ConnectionsScreen

            return ConnectionsScreen(facts)
        case "keys":
            from screens.keys.screen import KeysScreen

            return KeysScreen(facts)
        case "events":
            from screens.events.screen import EventsScreen

            return EventsScreen(facts)
        case "incidents":
            from screens.incidents.screen import IncidentsScreen

            return IncidentsScreen(facts)
        case "jobs":
            from screens.jobs.screen import JobsScreen

            return JobsScreen(facts)
        case "findings":
            from screens.findings.screen import FindingsScreen

            return FindingsScreen(facts)
        case _:
            from screens.log.screen import LogScreen

            return LogScreen(facts)
