"""Starts an incident from a finding, an event, a key or a token."""

from __future__ import annotations

from screens.incidents.about import About
from screens.incidents.declare import DeclareDialog
from screens.main_screen import MainScreen
from screens.routes import Followed, IncidentRoute


async def begin_incident(screen: MainScreen, about: About | None = None) -> bool:
    """In a worker: ask what is unknown, open an incident and its page; returns whether one was opened."""
    number = await screen.app.push_screen_wait(DeclareDialog(screen.facts, about or About()))
    if number is None:
        return False
    screen.say(f"INC-{number} is open. From another console: 5.")
    screen.post_message(Followed(IncidentRoute(number)))
    return True
